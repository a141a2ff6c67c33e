"""What runs beside files: processes and actions that start, stop and run as releases say, across polls, crashes and fleets."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.disk import Disk
from agent.host import Host
from agent.logs import Log
from agent.processes.supervisor import supervise
from agent.protocol.state import Action, File, HostFile, Process, State
from agent.reporting.running import running as running_of
from tests import agent_cases
from tests.agent_cases import Rig

KILLED = -9
SECONDS = 60.0
"""Until something is taken to never happen, on a machine that does ten other things."""
PLACES = ("agent:after-commit", "agent:before-effect", "agent:after-effect")
CONFIG = "/etc/app/app.conf"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with agent_cases.rig(tmp_path) as made:
        try:
            yield made
        finally:
            supervise(made.state / "processes", host=Host(made.root), log=Log()).close(leave_running=False)


def app(rig: Rig, name: str = "app", **changes: Any) -> Process:
    """Return a process that writes a line when it starts, and then waits."""
    script = f"echo started >> {rig.directory}/{name}.starts; exec sleep 10000"
    return Process(**{"name": name, "command": ["/bin/sh", "-c", script], "restart_on": [CONFIG], **changes})


def release(*processes: Process, word: str = "one", **parts: Any) -> State:
    return State(files=[File(path=CONFIG, content=word)], processes=list(processes), **parts)


def starts(rig: Rig, name: str = "app") -> int:
    path = rig.directory / f"{name}.starts"
    return len(path.read_text().splitlines()) if path.exists() else 0


def running(rig: Rig) -> dict[str, int | None]:
    """Return process → pid of those that run."""
    return {one.name: one.pid for one in running_of(Disk(root=rig.state), rig.root) if one.standing == "running"}


def kill(rig: Rig, name: str) -> int:
    """Kill a process and return the pid that it had."""
    pid = running(rig)[name]
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    return pid


def until(what: str, found: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not found():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_a_process_is_started_restarted_once_for_a_change_and_stopped_when_it_leaves(rig: Rig) -> None:
    fleet = rig.fleet()
    fleet.publish(release(app(rig)), ["web-01"])
    assert rig.poll() == 0, rig.log
    first = running(rig)["app"]
    assert rig.poll() == 0
    assert (running(rig)["app"], starts(rig)) == (first, 1), "a second apply changes nothing"
    fleet.publish(release(app(rig), word="two"), ["web-01"])
    assert rig.poll() == 0
    assert rig.poll() == 0
    assert starts(rig) == 2
    assert running(rig)["app"] != first
    fleet.publish(State(files=[File(path=CONFIG, content="two")]), ["web-01"])
    assert rig.poll() == 0
    assert running(rig) == {}
    assert starts(rig) == 2


def test_a_process_that_ran_when_the_agent_ended_goes_on_and_is_found_again(rig: Rig) -> None:
    rig.fleet().publish(release(app(rig)), ["web-01"])
    assert rig.run().returncode == 0
    first = running(rig)["app"]
    assert rig.run().returncode == 0
    assert (running(rig)["app"], starts(rig)) == (first, 1)


def test_a_process_that_was_killed_between_two_agents_runs_again(rig: Rig) -> None:
    rig.fleet().publish(release(app(rig, back_off="0s")), ["web-01"])
    assert rig.poll() == 0
    first = kill(rig, "app")
    rig.poll()
    until("it runs again", lambda: rig.poll() == 0 and running(rig).get("app", first) != first)
    assert starts(rig) == 2


def test_what_runs_is_looked_after_when_no_server_answers(rig: Rig) -> None:
    rig.fleet().publish(release(app(rig)), ["web-01"])
    assert rig.poll() == 0
    supervise(rig.state / "processes", host=Host(rig.root), log=Log()).close(leave_running=False)
    assert running(rig) == {}
    rig.server.close()
    assert rig.poll() == 3
    assert list(running(rig)) == ["app"]
    assert starts(rig) == 2


def test_what_the_owner_no_longer_allows_goes_on_and_is_not_started_again(rig: Rig) -> None:
    rig.fleet().publish(release(app(rig), app(rig, "other")), ["web-01"])
    assert rig.poll() == 0
    rig.config.parent.mkdir(parents=True)
    rig.config.write_text('[allow]\nproviders = ["files"]\n')
    rig.poll()
    assert set(running(rig)) == {"app", "other"}
    supervise(rig.state / "processes", host=Host(rig.root), log=Log()).close(leave_running=False)
    rig.poll()
    assert running(rig) == {}
    rig.config.unlink()
    assert rig.poll() == 0
    assert set(running(rig)) == {"app", "other"}


def test_a_process_that_can_not_run_fails_its_release_with_its_last_words(rig: Rig) -> None:
    broken = app(rig, command=["/bin/sh", "-c", "echo cannot read my configuration; exit 3"])
    rig.fleet().publish(release(broken), ["web-01"])
    assert rig.poll() == 1
    status = rig.status()
    assert status["result"] == "failed"
    assert "process/app: ended with exit code 3" in status["why"]
    assert "cannot read my configuration" in status["why"]
    assert status["receipt"]["result"] == "failed"
    assert rig.text(CONFIG) == "one", "files are switched before effects, and stay"
    rig.fleet().publish(release(app(rig)), ["web-01"])
    assert rig.poll() == 0
    assert rig.status()["result"] == "applied"
    (shown,) = rig.answer("status")["processes"]
    assert (shown["name"], shown["fleet"], shown["standing"], shown["pid"]) == ("app", "web", "running", running(rig)["app"])
    assert "process/app  web    running" in rig.ask("status").stdout


def test_what_waits_for_something_that_does_not_run_is_not_started(rig: Rig) -> None:
    broken = app(rig, "db", command=["/nowhere/db"])
    rig.fleet().publish(release(broken, app(rig, after=["process/db"])), ["web-01"])
    assert rig.poll() == 1
    assert "process/app: waits for process/db, which does not run" in rig.status()["why"]
    assert starts(rig) == 0
    rig.fleet().publish(release(app(rig, "db"), app(rig, after=["process/db"])), ["web-01"])
    assert rig.poll() == 0
    assert set(running(rig)) == {"app", "db"}


def test_a_process_moves_between_fleets_in_place(rig: Rig) -> None:
    mine = app(rig, restart_on=[])
    rig.fleet("base").publish(State(processes=[mine]), ["web-01"])
    assert rig.poll() == 0
    first = running(rig)
    rig.fleet("web").publish(State(processes=[mine]), ["web-01"])
    assert rig.poll() == 0
    assert rig.status("web")["why"] == "process/app still belongs to fleet base here"
    rig.fleet("base").publish(State(), ["web-01"])
    assert rig.poll() == 0
    assert rig.status("web")["result"] == "applied"
    assert (running(rig), starts(rig)) == (first, 1)


def test_an_action_runs_once_for_each_change_and_a_failed_one_is_said(rig: Rig) -> None:
    ran = rig.directory / "ran"
    action = Action(name="warm", on=[CONFIG], run=["/bin/sh", "-c", f"echo x >> {ran}; test -e {rig.directory}/may"])
    (rig.directory / "may").touch()
    rig.fleet().publish(release(actions=[action]), ["web-01"])
    assert [rig.poll(), rig.poll()] == [0, 0]
    assert ran.read_text() == "x\n"
    (rig.directory / "may").unlink()
    rig.fleet().publish(release(actions=[action], word="two"), ["web-01"])
    assert rig.poll() == 1
    assert "action/warm: /bin/sh ended with 1" in rig.status()["why"]
    (rig.directory / "may").touch()
    assert rig.poll() == 0
    assert rig.status()["result"] == "applied"


def test_agent_toml_keeps_root_and_programs_from_processes(rig: Rig) -> None:
    rig.config.parent.mkdir(parents=True)
    rig.config.write_text('[allow]\ncommands = ["/usr/bin/true"]\n')
    rig.fleet().publish(release(app(rig)), ["web-01"])
    assert rig.poll() == 1
    assert f"{rig.config}:2: `commands` does not allow /bin/sh" in rig.status()["why"]
    assert rig.files() == {}
    assert starts(rig) == 0


@pytest.mark.parametrize("place", ["agent:after-commit", "agent:before-effect", "agent:after-effect"])
def test_an_agent_killed_around_an_effect_leaves_it_to_the_next(rig: Rig, place: str) -> None:
    fleet = rig.fleet()
    fleet.publish(release(app(rig), app(rig, "gone")), ["web-01"])
    assert rig.poll() == 0
    fleet.publish(release(app(rig), app(rig, "new"), word="two"), ["web-01"])
    assert rig.run(fault=place).returncode == KILLED
    until("the next agent puts it right", lambda: rig.poll() == 0)
    assert set(running(rig)) == {"app", "new"}
    assert 2 <= starts(rig) <= 3
    before = starts(rig), starts(rig, "new")
    assert rig.poll() == 0
    assert (starts(rig), starts(rig, "new")) == before


def test_lines_in_a_shared_file_come_before_the_switch_and_are_accounted_for(rig: Rig) -> None:
    (rig.root / "etc").mkdir()
    (rig.root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    block = HostFile(name="db", path="/etc/hosts", content="10.0.0.7 db for ${agent.name}\n")
    rig.fleet().publish(release(host_files=[block]), ["web-01"])
    assert rig.poll() == 0, rig.log
    assert "10.0.0.7 db for web-01" in rig.text("/etc/hosts")
    assert [entry["outcome"] for entry in rig.status()["account"]] == ["done"]
    assert rig.poll() == 0
    assert "fix" not in rig.log, "a second apply changes nothing"
    assert "changed, not restored by a rollback: done" in rig.ask("status").stdout


def test_a_fix_that_fails_leaves_the_old_generation_and_says_so(rig: Rig) -> None:
    (rig.root / "etc").mkdir()
    (rig.root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    rig.fleet().publish(release(), ["web-01"])
    assert rig.poll() == 0
    (rig.root / "etc/broken").mkdir()
    blocks = [HostFile(name="a", path="/etc/hosts", content="x\n"), HostFile(name="b", path="/etc/broken", content="x\n")]
    rig.fleet().publish(release(host_files=blocks, word="two"), ["web-01"])
    assert rig.poll() == 1
    assert rig.text(CONFIG) == "one"
    assert "/etc/broken" in rig.status()["why"]


def test_a_plan_says_what_would_start_stop_and_never_come_back(rig: Rig) -> None:
    (rig.root / "etc").mkdir()
    (rig.root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    rig.fleet().publish(release(app(rig), app(rig, "gone")), ["web-01"])
    assert rig.poll() == 0
    block = HostFile(name="db", path="/etc/hosts", content="10.0.0.7 db\n")
    rig.fleet().publish(release(app(rig), app(rig, "new"), word="two", host_files=[block]), ["web-01"])
    (planned,) = rig.answer("plan")["fleets"]
    assert [(one["effect"], one["resource"]) for one in planned["effects"]] == [
        ("stop", "process/gone"),
        ("restart", "process/app"),
        ("start", "process/new"),
    ]
    assert [fix["restoredByRollback"] for fix in planned["fixes"]] == [False]
    shown = rig.ask("plan").stdout
    assert "not restored by a rollback" in shown
    assert "restart  process/app" in shown
    assert starts(rig) == 1, "a plan changes nothing"
    assert set(running(rig)) == {"app", "gone"}
    assert rig.poll() == 0
    assert rig.answer("plan")["fleets"][0]["result"] == "unchanged"


def test_a_rollback_by_hand_brings_back_what_ran(rig: Rig) -> None:
    fleet = rig.fleet()
    fleet.publish(release(app(rig)), ["web-01"])
    assert rig.poll() == 0
    fleet.publish(release(app(rig, "newer"), word="two"), ["web-01"])
    assert rig.poll() == 0
    assert set(running(rig)) == {"newer"}
    assert rig.answer("rollback", "web")["runs"] is True
    assert set(running(rig)) == {"app"}
    assert rig.poll() == 0
    assert (set(running(rig)), starts(rig)) == ({"app"}, 2)


def test_a_rollback_beside_a_running_agent_leaves_what_runs_to_it(rig: Rig) -> None:
    fleet = rig.fleet()
    fleet.publish(release(app(rig)), ["web-01"])
    assert rig.poll() == 0
    fleet.publish(release(app(rig), app(rig, "newer"), word="two"), ["web-01"])
    agent = subprocess.Popen(rig.command("--poll", "3600"), stderr=subprocess.DEVNULL)
    try:
        until("the second release runs", lambda: starts(rig) == 2 and rig.status()["generation"] == 2)
        assert rig.answer("rollback", "web")["runs"] is True
        assert (rig.text(CONFIG), starts(rig), set(running(rig))) == ("one", 3, {"app"})
        kill(rig, "app")
        until("the agent heals it", lambda: starts(rig) == 4)
    finally:
        agent.terminate()
        assert agent.wait(SECONDS) == 0
    assert set(running(rig)) == {"app"}, "the agent's end leaves running what ran"
