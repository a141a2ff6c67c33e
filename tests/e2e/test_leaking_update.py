"""An update that takes more of the processor than the one before: its canary measures it, and it is taken back by itself."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.host import Host
from agent.logs import Log
from agent.processes.supervisor import supervise
from tests.acceptance_cases import REPOSITORY, agent, component, fleet, repository
from tests.e2e.installation import until
from tests.e2e.test_backup import Enrolled

pytestmark = [pytest.mark.needs("opa", "git"), pytest.mark.timeout(900), pytest.mark.slow]
LENIENT = REPOSITORY + "  rules:\n    host-safety/root-processes: {level: audit}\n"
COMPONENT = "tenants/shop/components/worker.yaml"
HOSTS = ("web-01", "web-02")
STRATEGY = """\
  rollout:
    waves:
      - {name: canary, matchLabels: {canary: "true"}, soak: 1m}
      - {name: rest, limit: 100%, soak: 0s}
    health: {successThreshold: 100%, quorum: 100%, regressions: {cpu: 100%}}
"""
LONGEST = 300.0
"""Seconds: agents measure half a minute after a switch, and tell it with their next report."""


def worker(milliseconds: int) -> str:
    """Return a component with a process that works for so long each second."""
    spin = f"end = time.process_time() + {milliseconds / 1000}\\n    while time.process_time() < end: pass"
    work = f"import time\\nwhile True:\\n    {spin}\\n    time.sleep(1)"
    return (
        component("worker", "/etc/worker.conf") + f'  processes:\n    - {{name: worker, command: [/usr/bin/env, python3, -c, "{work}"]}}\n'
    )


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Enrolled]:
    made = Enrolled(tmp_path)
    yield made
    made.stop()
    for host in HOSTS:
        state = made.hosts / host / "state"
        if state.exists():
            supervise(state / "processes", host=Host(made.root(host)), log=Log()).close(leave_running=False)


def shown(installation: Enrolled) -> dict[str, Any]:
    """Return what `ordain rollout show` says."""
    found: dict[str, Any] = json.loads(installation.ordain("rollout", "show", "shop/web", "--format", "json"))
    return found


def commits(installation: Enrolled) -> dict[str, str]:
    """Return host → the commit that it runs."""
    there = [host for host in HOSTS if (installation.hosts / host / "state/agent.json").exists()]
    found = {host: installation.agent_status(host)["fleets"] for host in there}
    return {host: fleets[0]["commit"] for host, fleets in found.items() if fleets and fleets[0]["result"] == "applied"}


def test_an_update_that_leaks_processor_time_is_taken_back_and_reaches_nobody_but_the_canary(installation: Enrolled) -> None:
    canary = agent("web-01", role="web", canary="true")
    changed = {"ordain.yaml": LENIENT, COMPONENT: worker(5), "tenants/shop/agents/web-01.yaml": canary}
    good = installation.commit(repository() | changed | {"tenants/shop/fleets/web.yaml": fleet("web", "worker", role="web") + STRATEGY})
    installation.start()
    installation.examined(good)
    for host in HOSTS:
        installation.enrol(host)
    until("both run it", lambda: commits(installation) == dict.fromkeys(HOSTS, good), log=installation.log)
    bad = installation.commit({COMPONENT: worker(300)})
    until("the canary has the update", lambda: commits(installation).get("web-01") == bad, log=installation.hosts / "web-01.log")
    until("it is taken back", lambda: shown(installation)["phase"] == "stopped", patience=LONGEST, log=installation.log)
    stopped = shown(installation)
    assert any("cpu grew from" in one["why"] for one in stopped["events"])
    until("all run what they ran", lambda: commits(installation) == dict.fromkeys(HOSTS, good), log=installation.hosts / "web-01.log")
    assert stopped["refused"] in (installation.hosts / "web-01.log").read_text()
    assert stopped["refused"] not in (installation.hosts / "web-02.log").read_text()
