"""Agents that die at any place: there are never two copies of a process, and none that the next agent doesn't know."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent.processes import kin, spawn, starter, supervisor
from agent.processes.families import Families
from agent.processes.kin import Alive
from tests.process_cases import until

KILLED = -9


@dataclass(slots=True, kw_only=True)
class Agents:
    """One agent after the other, on one directory."""

    directory: Path
    running: subprocess.Popen[str] | None = None
    gone: list[int] = field(default_factory=list)

    def begin(self, fault: str = "") -> None:
        """Have an agent begin that dies at `fault`."""
        assert self.running is None
        command = [sys.executable, "-m", "tests.process_agent", str(self.directory)]
        environment = {**os.environ, "ORDAIN_FAULT": fault}
        streams: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.running = subprocess.Popen(command, env=environment, text=True, bufsize=1, **streams)
        self._answer()

    def ask(self, *lines: str) -> str:
        """Return the answer to the last line; empty if the agent died."""
        said = ""
        for line in lines:
            if self.running is None:
                return ""
            try:
                assert self.running.stdin is not None
                self.running.stdin.write(line + "\n")
                said = self._answer()
            except BrokenPipeError:
                self.end()
        return said

    def look(self) -> dict[str, Any]:
        """Return how all processes stand."""
        found: dict[str, Any] = json.loads(self.ask("look"))
        return found

    def end(self) -> int:
        """Kill the agent, and return how it ended."""
        assert self.running is not None
        self.running.kill()
        code = self.running.wait()
        for stream in (self.running.stdin, self.running.stdout):
            assert stream is not None
            stream.close()
        self.running = None
        return code

    def alive(self, name: str = "app") -> list[Alive]:
        """Return all processes of the machine that are marked as this one's, launches that wait for a word among them."""
        marker = Families(self.directory / "processes").marker(name)
        processes = kin.table()
        marks = kin.Markers().read(processes)
        return [alive for pid, alive in processes.items() if marks.get(pid) == marker and not alive.is_zombie]

    def launches(self) -> list[str]:
        """Return the launches on this machine that come from this checkout and wait for a word."""
        found = []
        for pid in kin.table():
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if spawn.LAUNCH.encode() in command and Path(f"/proc/{pid}/fd/2").readlink().is_relative_to(self.directory):
                    found.append(str(pid))
            except OSError:
                continue
        return found

    def _answer(self) -> str:
        assert self.running is not None
        assert self.running.stdout is not None
        line = self.running.stdout.readline()
        if not line:
            self.gone.append(self.end())
        return line.strip()


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[Agents]:
    made = Agents(directory=tmp_path)
    try:
        yield made
    finally:
        if made.running is not None:
            made.end()
        for name in (path.stem for path in (tmp_path / "processes/records").glob("*.json")):
            kin.end(partial(made.alive, name))


def _settled(agents: Agents) -> int:
    """Let a new agent have what it wants, and return the pid of the one process that there is then."""
    agents.begin()
    agents.ask("want app:two", "start app")
    until(lambda: not agents.launches())
    seen = agents.look()["app"]
    if seen["digest"] != "two":
        agents.ask("restart app")
        seen = agents.look()["app"]
    assert seen["standing"] == "running"
    assert [alive.pid for alive in agents.alive()] == [seen["pid"]]
    return int(seen["pid"])


@pytest.mark.parametrize("place", [*starter.PLACES, "durable:before-name", "durable:after-name"])
def test_an_agent_killed_while_it_starts_a_process_leaves_none_or_one_that_is_known(agents: Agents, place: str) -> None:
    agents.begin(fault=place)
    agents.ask("want app:one", "start app")
    assert agents.gone == [KILLED]
    until(lambda: not agents.launches())
    left = agents.alive()
    assert len(left) == int(place == "processes:begun")
    pid = _settled(agents)
    if left:
        assert _pids(agents)[0] == left[0].pid
    assert _pids(agents)[-1] == pid


@pytest.mark.parametrize("place", [*supervisor.PLACES, "processes:begun@2", "durable:before-name@3"])
def test_an_agent_killed_while_it_restarts_a_process_leaves_the_old_none_or_the_new(agents: Agents, place: str) -> None:
    agents.begin(fault=place)
    agents.ask("want app:one", "start app", "want app:two", "restart app")
    assert agents.gone == [KILLED]
    until(lambda: not agents.launches())
    assert len(agents.alive()) <= 1
    _settled(agents)


def test_processes_outlive_a_killed_agent_and_are_found_by_the_next(agents: Agents) -> None:
    agents.begin()
    agents.ask("want app:one other:one", "start app", "start other")
    before = agents.look()
    agents.end()
    os.kill(before["other"]["pid"], signal.SIGKILL)  # while no agent is there
    agents.begin()
    found = agents.look()
    assert found["app"] | {"cpu_seconds": 0} == before["app"] | {"cpu_seconds": 0}
    assert found["other"]["standing"] == "waiting"
    agents.ask("want app:one other:one")
    other = until(lambda: seen if (seen := agents.look()["other"])["standing"] == "running" else None)
    assert other["pid"] != before["other"]["pid"]
    assert (other["restarts"], other["why"]) == (1, "ended while no agent was its parent, so nobody knows how")
    os.kill(before["app"]["pid"], signal.SIGKILL)  # and of an adopted one it is noticed as well
    app = until(lambda: seen if (seen := agents.look()["app"])["pid"] not in (None, before["app"]["pid"]) else None)
    assert app["restarts"] == 1
    assert agents.ask("close") == "done"
    assert [alive.pid for alive in agents.alive()] == [app["pid"]]


def test_an_agent_that_replaces_itself_is_still_told_how_its_processes_end(agents: Agents) -> None:
    agents.begin()
    agents.ask("want app:one", "start app")
    pid = agents.look()["app"]["pid"]
    assert agents.ask("exec") == "ready"
    assert agents.look()["app"]["pid"] == pid
    agents.ask("want app:one")
    os.kill(pid, signal.SIGKILL)
    app = until(lambda: seen if (seen := agents.look()["app"])["pid"] not in (None, pid) else None)
    assert app["why"] == "ended by SIGKILL"
    assert not Path(f"/proc/{pid}").exists()


def test_a_pid_that_is_somebody_elses_now_is_not_touched(agents: Agents) -> None:
    agents.begin()
    agents.ask("want app:one", "start app")
    pid = agents.look()["app"]["pid"]
    agents.end()
    os.kill(pid, signal.SIGKILL)
    with subprocess.Popen(["sleep", "600"]) as stranger:
        try:
            record = agents.directory / "processes/records/app.json"
            record.write_text(record.read_text().replace(f'"pid":{pid}', f'"pid":{stranger.pid}'))
            agents.begin()
            assert agents.look()["app"]["pid"] is None
            agents.ask("want app:one")
            assert agents.ask("stop app", "close") == "done"
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_what_ran_before_this_boot_is_not_looked_for(agents: Agents) -> None:
    agents.begin()
    agents.ask("want app:one", "start app")
    pid = agents.look()["app"]["pid"]
    agents.end()
    record = agents.directory / "processes/records/app.json"
    boot = json.loads(record.read_text())["boot"]
    record.write_text(record.read_text().replace(boot, "another"))
    agents.begin()
    agents.ask("want app:one")
    assert agents.look()["app"]["standing"] == "stopped"
    assert agents.look()["app"]["digest"] is None
    agents.ask("start app")
    assert [alive.pid for alive in agents.alive()] == [agents.look()["app"]["pid"]]
    assert not Path(f"/proc/{pid}/exe").exists()


def test_a_damaged_record_costs_a_restart_and_no_second_copy(agents: Agents) -> None:
    agents.begin()
    agents.ask("want app:one", "start app")
    agents.end()
    (agents.directory / "processes/records/app.json").write_text("{")
    _settled(agents)


def test_a_stop_that_a_crash_interrupted_is_no_failure(agents: Agents) -> None:
    agents.begin(fault="processes:stopping")
    agents.ask("want app:one", "start app", "stop app")
    assert agents.gone == [KILLED]
    agents.begin()
    agents.ask("want app:one")
    os.kill(agents.look()["app"]["pid"], signal.SIGTERM)  # as the agent was about to do
    until(lambda: agents.look()["app"]["standing"] == "stopped")


def test_at_rest_twenty_processes_cost_their_agent_next_to_nothing(agents: Agents) -> None:
    agents.begin()
    words = [f"app-{number}:one" for number in range(20)]
    agents.ask(f"want {' '.join(words)}", *(f"start {word.partition(':')[0]}" for word in words))
    rested = json.loads(agents.ask("rest 2"))
    assert rested["share"] < 0.5
    assert rested["memory"] < 45
    agents.ask("want", *(f"stop {word.partition(':')[0]}" for word in words))
    assert agents.look() == {}


def _pids(agents: Agents) -> list[int]:
    """Return the pids of all programs that ever began, in order."""
    path = agents.directory / "app.pids"
    until(lambda: path.exists() and path.read_text().endswith("\n"))
    return [int(line) for line in path.read_text().splitlines()]
