"""The launcher that the package owns: a version on trial is kept when it says so, and taken back when it ends, hangs or is cut off."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.upgrade import AGAIN_SECONDS, LAUNCHER, TRIAL, Upgrades, upgrades

LAUNCHER_SCRIPT = Path(__file__).parents[2] / "deploy" / "agent" / "launcher"
PATIENCE = 60.0
SAYS = 'echo "$(readlink -f "$0") $*" >>"$ORDAIN_STATE/ran"\n'
RUNS = SAYS + "exec sleep 1000\n"
CONFIRMS = SAYS + 'touch "$ORDAIN_STATE/upgrade/confirmed"\nexec sleep 1000\n'
ENDS = SAYS + "exit 1\n"


class Machine:
    """A directory of versions, the agent's state, and the launcher over them."""

    def __init__(self, root: Path) -> None:
        self.base, self.state = root / "base", root / "state"
        (self.state / "upgrade").mkdir(parents=True)
        self.base.mkdir()
        self.started: list[subprocess.Popen[bytes]] = []

    def install(self, version: str, script: str) -> None:
        program = self.base / version / "bin" / "ordain-agent"
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\n" + script)
        program.chmod(0o755)

    def run_from_now_on(self, version: str) -> None:
        (self.base / "current").symlink_to(version)

    def ask_for(self, version: str) -> None:
        (self.state / "upgrade" / "version").write_text(version)

    def start(self, seconds: int = 30) -> subprocess.Popen[bytes]:
        environment = {"ORDAIN_BASE": str(self.base), "ORDAIN_STATE": str(self.state), "ORDAIN_TRIAL_SECONDS": str(seconds)}
        command = [str(LAUNCHER_SCRIPT), "run", "--poll", "5"]
        process = subprocess.Popen(command, env={**os.environ, **environment}, start_new_session=True, stderr=subprocess.DEVNULL)
        self.started.append(process)
        return process

    def ran(self) -> list[str]:
        file = self.state / "ran"
        return [Path(line.split()[0]).parts[-3] for line in file.read_text().splitlines()] if file.exists() else []

    def current(self) -> str:
        return str((self.base / "current").readlink())

    def refused(self) -> list[list[str]]:
        file = self.state / "upgrade" / "refused"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def machine(tmp_path: Path):  # type: ignore[no-untyped-def]  # noqa: ANN201 - a fixture that yields
    made = Machine(tmp_path)
    made.install("1.0", RUNS)
    made.run_from_now_on("1.0")
    yield made
    for process in made.started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def test_without_a_trial_the_current_version_runs_in_the_launchers_place(machine: Machine) -> None:
    process = machine.start()
    until(lambda: machine.ran() == ["1.0"])
    process.terminate()
    assert process.wait(PATIENCE) == -signal.SIGTERM


def test_a_version_that_confirms_runs_from_then_on(machine: Machine) -> None:
    machine.install("2.0", CONFIRMS)
    machine.ask_for("2.0")
    process = machine.start()
    until(lambda: machine.current() == "2.0")
    until(lambda: not (machine.state / "upgrade" / "begun").exists())
    process.terminate()
    process.wait(PATIENCE)
    machine.start()
    until(lambda: machine.ran() == ["2.0", "2.0"])
    assert machine.refused() == []


def test_a_version_that_ends_at_its_start_is_taken_back_at_once(machine: Machine) -> None:
    machine.install("2.0", ENDS)
    machine.ask_for("2.0")
    machine.start()
    until(lambda: machine.ran() == ["2.0", "1.0"])
    assert (machine.current(), [line[:2] for line in machine.refused()]) == ("1.0", [["2.0", "ended"]])


def test_a_version_that_says_nothing_in_time_is_ended_and_taken_back(machine: Machine) -> None:
    machine.install("2.0", RUNS)
    machine.ask_for("2.0")
    machine.start(seconds=1)
    until(lambda: machine.ran() == ["2.0", "1.0"])
    assert [line[:2] for line in machine.refused()] == [["2.0", "unreached"]]


def test_a_machine_that_goes_down_in_mid_trial_comes_back_with_the_version_before(machine: Machine) -> None:
    machine.install("2.0", RUNS)
    machine.ask_for("2.0")
    process = machine.start()
    until(lambda: machine.ran() == ["2.0"])
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    machine.start()
    until(lambda: machine.ran() == ["2.0", "1.0"])
    assert [line[:2] for line in machine.refused()] == [["2.0", "interrupted"]]


def test_who_stops_the_service_in_mid_trial_says_nothing_against_the_version(machine: Machine) -> None:
    machine.install("2.0", RUNS)
    machine.ask_for("2.0")
    process = machine.start()
    until(lambda: machine.ran() == ["2.0"])
    process.terminate()
    assert process.wait(PATIENCE) == 0
    assert machine.refused() == []
    machine.start()
    until(lambda: machine.ran() == ["2.0", "2.0"])


@pytest.mark.parametrize("name", ["../../etc", "", ".", "9.9", "1.0 x", "a/b"])
def test_what_is_no_version_here_is_never_started(machine: Machine, name: str) -> None:
    machine.ask_for(name)
    machine.start()
    until(lambda: machine.ran() == ["1.0"])
    assert not (machine.state / "upgrade" / "version").exists()


# The agent's side


def agent(machine: Machine, running: str, *, trial: str = "", wanted: str = "") -> Upgrades:
    (machine.base / "wanted").write_text(wanted)
    return Upgrades(state=machine.state, running=running, base=machine.base, trial=trial)


def test_an_agent_asks_for_the_version_that_releases_want_and_only_once_it_lies_there(machine: Machine) -> None:
    asking = agent(machine, "1.0", wanted="2.0\n")
    assert asking.begin() is None
    assert "2.0, which is not in" in (asking.problem() or "")
    machine.install("2.0", CONFIRMS)
    assert (asking.problem(), asking.begin()) == (None, "2.0")
    machine.start()
    until(lambda: machine.current() == "2.0")
    assert agent(machine, "2.0", wanted="2.0\n").begin() is None


def test_a_version_that_was_taken_back_is_not_asked_for_again_and_that_is_said(machine: Machine) -> None:
    machine.install("2.0", ENDS)
    asking = agent(machine, "1.0", wanted="2.0")
    asking.begin()
    machine.start()
    until(machine.refused)
    assert asking.begin() is None
    assert asking.problem() == "agent 2.0 was tried and taken back, it ended at its start; 1.0 goes on"


def test_a_version_that_only_missed_its_server_is_tried_again_after_an_hour(machine: Machine) -> None:
    machine.install("2.0", RUNS)
    asking = agent(machine, "1.0", wanted="2.0")
    refused = machine.state / "upgrade" / "refused"
    refused.write_text(f"2.0 unreached {int(time.time())}\n")
    assert asking.begin() is None
    refused.write_text(f"2.0 unreached {int(time.time()) - AGAIN_SECONDS - 1}\n")
    assert asking.begin() == "2.0"


def test_the_version_on_trial_confirms_itself_once_and_no_other_does(machine: Machine) -> None:
    assert not agent(machine, "1.0", trial="2.0").confirm()
    begun = machine.state / "upgrade" / "begun"
    begun.touch()
    on_trial = agent(machine, "2.0", trial="2.0")
    assert (on_trial.confirm(), on_trial.confirm()) == (True, False)


def test_a_version_that_was_on_trial_makes_room_for_the_next_once_it_runs(machine: Machine) -> None:
    machine.install("2.0", CONFIRMS)
    machine.install("3.0", CONFIRMS)
    machine.ask_for("2.0")
    machine.start()
    until(lambda: machine.current() == "2.0")
    until(lambda: not (machine.state / "upgrade" / "begun").exists())
    running = agent(machine, "2.0", trial="2.0", wanted="3.0")
    assert (running.confirm(), running.begin()) == (False, "3.0")


def test_without_a_launcher_nothing_is_asked_for(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LAUNCHER, raising=False)
    monkeypatch.delenv(TRIAL, raising=False)
    alone = upgrades(machine.state, "1.0")
    assert (alone.begin(), alone.problem(), alone.confirm()) == (None, None, False)
