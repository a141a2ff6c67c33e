"""The agent as a process: what it costs, how it ends, and that there is one of it."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.protocol.state import File, State
from tests import agent_cases
from tests.agent_cases import Rig, file_state

RSS_LIMIT_KB = 45 * 1024


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with agent_cases.rig(tmp_path) as made:
        made.fleet().publish(file_state(a="1"), ["web-01"])
        yield made


@contextmanager
def running(rig: Rig, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run the agent until the test is done with it."""
    process = subprocess.Popen(rig.command(*options), stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(true: Callable[[], bool], *, seconds: float = 20) -> None:
    """Wait until a function says yes."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_at_rest_it_costs_under_45_mb(rig: Rig) -> None:
    with running(rig, "--poll", "0.2") as process:
        until(lambda: len(rig.server.asked("timestamp.json")) > 10)
        fields = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        (rss,) = [int(line.split()[1]) for line in fields if line.startswith("VmRSS")]
    assert rss < RSS_LIMIT_KB


def test_it_follows_releases_until_sigterm_and_ends_well(rig: Rig) -> None:
    with running(rig, "--poll", "0.2", "--format", "json") as process:
        until((rig.root / "etc/app/a").exists)
        rig.fleet().publish(file_state(a="2"), ["web-01"])
        until(lambda: rig.text("/etc/app/a") == "2")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert '"step": "stop"' in process.stderr.read().splitlines()[-1]


def test_sigterm_in_the_midst_of_an_apply_finishes_it(rig: Rig) -> None:
    slow = State(files=[File(path="/etc/app/a", content="2", check=["/bin/sh", "-c", f"touch {rig.directory}/checking; sleep 1"])])
    rig.fleet().publish(slow, ["web-01"])
    with running(rig) as process:
        until((rig.directory / "checking").exists)
        process.terminate()
        assert process.wait(20) == 0
    assert rig.text("/etc/app/a") == "2"
    assert rig.status()["result"] == "applied"


def test_a_second_agent_on_one_state_directory_is_refused_and_readers_are_not(rig: Rig) -> None:
    with running(rig, "--poll", "0.2"):
        until((rig.root / "etc/app/a").exists)
        second = rig.run()
        assert second.returncode == 3
        assert "another ordain-agent runs" in second.stderr
        for command in ("status", "generations", "plan"):
            assert rig.ask(command).returncode == 0


def test_a_rollback_beside_a_running_agent_holds(rig: Rig) -> None:
    with running(rig, "--poll", "0.2"):
        until((rig.root / "etc/app/a").exists)
        rig.fleet().publish(file_state(a="2"), ["web-01"])
        until(lambda: rig.text("/etc/app/a") == "2")
        done = rig.ask("rollback", "web")
        assert done.returncode == 0, done.stderr
        asked = len(rig.server.asked("timestamp.json"))
        until(lambda: len(rig.server.asked("timestamp.json")) > asked + 2)
        assert rig.text("/etc/app/a") == "1"


def test_a_state_directory_belongs_to_one_agent(rig: Rig) -> None:
    assert rig.run().returncode == 0
    rig.name = "web-02"
    done = rig.run()
    assert done.returncode == 2
    assert "belongs to agent shop/web-01" in done.stderr


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--server", "ftp://x", "--server"),
        ("--name", "Web_01", "DNS label"),
        ("--root-metadata", "/nowhere", "no such file"),
        ("--root", "/nowhere", "--root"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_wrong(rig: Rig, option: str, value: str, said: str) -> None:
    command = rig.command("--once")
    command[command.index(option) + 1] = value
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert said.lower() in done.stderr.lower()


def test_status_before_any_run_says_what_to_do(rig: Rig) -> None:
    done = rig.ask("status")
    assert done.returncode == 2
    assert "ordain-agent run" in done.stderr


def test_its_own_directory_is_for_its_own_user_only(rig: Rig) -> None:
    assert rig.run().returncode == 0
    assert rig.state.stat().st_mode & 0o777 == 0o700
    assert os.access(rig.state, os.R_OK)


def test_status_for_people_says_what_runs_and_why_not(rig: Rig) -> None:
    rig.run()
    rig.fleet().publish(State(files=[File(path="/etc/app/a", content="2", check=["/bin/false"])]), ["web-01"])
    rig.run()
    shown = rig.ask("status").stdout
    assert "web: failed: /etc/app/a: its check /bin/false ended with 1" in shown
    assert "runs: generation 1" in shown
