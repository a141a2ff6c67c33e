"""Commands for whoever looks after a host: what it is, whether it is well, and leaving it for good."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.processes import kin
from agent.protocol.state import File, Process, State
from tests import agent_cases
from tests.agent_cases import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with agent_cases.rig(tmp_path) as made:
        yield made


def health(rig: Rig) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in rig.answer("doctor")["findings"]}


def test_facts_are_printed_and_those_that_the_agent_noted_are_dated(rig: Rig) -> None:
    rig.fleet().publish(State(files=[File(path="/etc/motd", content="x")]), ["web-01"])
    assert rig.answer("facts")["since"] is None
    assert rig.poll() == 0
    told = rig.answer("facts")
    assert told["since"] is not None
    assert "processes" in told["facts"]["capabilities"]
    assert "memory: " in rig.ask("facts").stdout


def test_a_host_that_is_well_is_said_to_be_and_the_exit_code_says_so_too(rig: Rig) -> None:
    rig.fleet().publish(State(files=[File(path="/etc/motd", content="x")]), ["web-01"])
    assert rig.poll() == 0
    done = rig.ask("doctor")
    assert done.returncode == 0, done.stdout
    found = health(rig)
    assert found["fleet web"]["level"] == "ok"
    assert "names web" in found["server"]["says"]
    assert found["agent.toml"]["level"] == "warn"


def test_what_stops_a_host_is_bad_and_says_what_to_do(rig: Rig) -> None:
    rig.fleet().publish(State(files=[File(path="/etc/motd", content="x")]), ["web-01"])
    rig.config.parent.mkdir(parents=True)
    rig.config.write_text('[allow]\npaths = ["/opt"]\n')
    rig.config.chmod(0o666)
    assert rig.poll() == 1
    rig.server.close()
    rig.state.chmod(0o755)
    found = health(rig)
    assert rig.ask("doctor").returncode == 1
    assert found["agent.toml"]["remedy"] == f"chown root {rig.config} && chmod 644 {rig.config}"
    assert found["state"]["remedy"] == f"chmod 700 {rig.state}"
    assert {name for name, one in found.items() if one["level"] == "bad"} == {"agent.toml", "state", "server", "fleet web"}
    assert "agent.toml:2" in found["fleet web"]["says"]


def test_an_agent_toml_that_can_not_be_read_does_not_end_the_look_at_all_else(rig: Rig) -> None:
    rig.fleet().publish(State(files=[File(path="/etc/motd", content="x")]), ["web-01"])
    assert rig.poll() == 0
    rig.config.parent.mkdir(parents=True)
    rig.config.write_text("[allow\n")
    found = health(rig)
    assert (found["agent.toml"]["level"], found["server"]["level"]) == ("bad", "ok")


# Leaving a host


def installed(rig: Rig) -> None:
    """Bring a file over one that was there, another, a process, and a user that the host has already."""
    (rig.root / "etc").mkdir(exist_ok=True)
    (rig.root / "etc/motd").write_text("was here before\n")
    process = Process(name="app", command=["/bin/sh", "-c", "exec sleep 10000"])
    rig.fleet().publish(
        State(files=[File(path="/etc/motd", content="held\n"), File(path="/opt/app/conf", content="x")], processes=[process]), ["web-01"]
    )
    assert rig.run().returncode == 0
    assert rig.text("/etc/motd") == "held\n"


def pid(rig: Rig) -> int:
    found: int = next(one["pid"] for one in rig.answer("status")["processes"] if one["name"] == "app")
    return found


def alive(number: int) -> bool:
    """Return whether a process runs; one that ended and that nobody asked how does not."""
    found = kin.read(number)
    return found is not None and found.state != "Z"


def test_a_host_that_is_left_with_remove_is_as_it_was_before(rig: Rig) -> None:
    installed(rig)
    running = pid(rig)
    done = rig.ask("uninstall", "--remove", "--yes")
    assert done.returncode == 0, done.stderr
    assert rig.files() == {"/etc/motd": "was here before\n"}
    assert not alive(running)
    assert not rig.state.exists()
    assert "goes: process/app" in done.stdout
    assert "apt-get purge" in done.stdout


def test_a_host_that_is_left_with_keep_is_as_it_is_and_what_runs_goes_on(rig: Rig) -> None:
    installed(rig)
    running = pid(rig)
    try:
        done = rig.ask("uninstall", "--keep", "--yes")
        assert done.returncode == 0, done.stderr
        assert rig.text("/etc/motd") == "held\n"
        assert alive(running)
        assert not rig.state.exists()
    finally:
        os.kill(running, 9)


def test_nothing_goes_while_nobody_is_sure_or_said_what_should_become_of_it(rig: Rig) -> None:
    installed(rig)
    try:
        unsure = rig.ask("uninstall", "--remove")
        assert (unsure.returncode, "add --yes" in unsure.stderr) == (2, True)
        unsaid = rig.ask("uninstall", "--yes")
        assert (unsaid.returncode, "--keep or --remove" in unsaid.stderr) == (2, True)
        assert rig.text("/etc/motd") == "held\n"
    finally:
        rig.ask("uninstall", "--remove", "--yes")
