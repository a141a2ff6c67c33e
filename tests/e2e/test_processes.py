"""From a commit to a process that runs, on a host without systemd: started, restarted once for a change, healed, stopped."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.host import Host
from agent.logs import Log
from agent.processes.supervisor import supervise
from tests.acceptance_cases import REPOSITORY, component, fleet, repository
from tests.e2e.installation import Installation, until

pytestmark = [pytest.mark.needs("opa", "git"), pytest.mark.timeout(600)]
LENIENT = REPOSITORY + "  rules:\n    host-safety/root-processes: {level: audit}\n"
"""The test's agent may have no other user to give its process to."""
COMPONENT = "tenants/shop/components/worker.yaml"


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path)
    yield made
    made.stop()
    state = made.hosts / "web-01/state"
    if state.exists():
        supervise(state / "processes", host=Host(made.root("web-01")), log=Log()).close(leave_running=False)


def worker(starts: Path, word: str) -> str:
    """Return a component with a file, and a process that reads it and writes a line whenever it starts."""
    script = f"echo started >> {starts}; exec sleep 10000"
    return component("worker", "/etc/worker.conf", word) + (
        "  processes:\n    - name: worker\n"
        f'      command: [/bin/sh, -c, "{script}"]\n'
        "      restartOn: [/etc/worker.conf]\n      backOff: 1s\n"
        "      limits: {memory: 64Mi}\n      noNewPrivileges: true\n"
    )


def processes(installation: Installation) -> dict[str, Any]:
    """Return process → how it stands, of those that run on the host."""
    if not (installation.hosts / "web-01/state/agent.json").exists():
        return {}
    found = installation.agent_status("web-01")["processes"]
    return {one["name"]: one for one in found if one["standing"] == "running"}


def test_a_process_follows_its_commits_and_outlives_its_agent(installation: Installation, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    changed = {"ordain.yaml": LENIENT, COMPONENT: worker(starts, "one"), "tenants/shop/fleets/web.yaml": fleet("web", "worker", role="web")}
    head = installation.commit(repository() | changed)
    installation.up()
    installation.examined(head)
    installation.start_agent("web-01")
    log = installation.hosts / "web-01.log"
    until("it runs", lambda: "worker" in processes(installation), log=log)
    first = processes(installation)["worker"]
    assert first["fleet"] == "web"
    installation.commit({COMPONENT: worker(starts, "two")})
    until("it was restarted", lambda: processes(installation).get("worker", first)["pid"] != first["pid"], log=log)
    assert installation.content("web-01", "/etc/worker.conf") == "two"
    assert starts.read_text() == "started\n" * 2
    second = processes(installation)["worker"]["pid"]
    os.kill(second, signal.SIGKILL)
    until("it was healed", lambda: processes(installation).get("worker", {"pid": second})["pid"] != second, log=log)
    third = processes(installation)["worker"]["pid"]
    (agent,) = installation.agents
    agent.kill()
    agent.wait()
    installation.start_agent("web-01")
    until("the next agent says something", lambda: log.read_text().count(" start ") == 2, log=log)
    assert processes(installation)["worker"]["pid"] == third
    installation.commit({COMPONENT: component("worker", "/etc/worker.conf", "two")})
    until("it was stopped", lambda: processes(installation) == {}, log=log)
    assert starts.read_text() == "started\n" * 3
