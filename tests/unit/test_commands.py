"""Running a host's programs: what they see, how long they may, how much they may say, and what is left of them."""

import os
import time
from pathlib import Path

import pytest

from agent import commands
from agent.commands import Commands, MissingProgramError
from agent.protocol.errors import RetryError

RUN = Commands()


def test_a_program_sees_the_fixed_environment_and_what_its_caller_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDAIN_TOKEN", "secret")
    seen = dict(line.split("=", 1) for line in RUN.output("env", environment={"DEBIAN_FRONTEND": "noninteractive"}).splitlines())
    assert seen == {**commands.ENVIRONMENT, "DEBIAN_FRONTEND": "noninteractive"}


def test_both_streams_the_exit_status_and_the_standard_input_are_told_apart() -> None:
    ended = RUN.run("sh", "-c", "cat; echo bad >&2; exit 3", text="given")
    assert (ended.code, ended.output, ended.errors) == (3, "given", "bad")
    assert ended.failure == "sh ended with 3: bad"
    assert RUN.run("false").failure == "false ended with 1 and said nothing"
    assert RUN.run("sh", "-c", "echo one; echo two >&2", together=True).output == "one\ntwo\n"


def test_an_error_quotes_the_end_of_what_was_said() -> None:
    with pytest.raises(RetryError, match=r"^sh ended with 1: [^a]*the end$") as caught:
        RUN.output("sh", "-c", "head -c 100000 /dev/zero | tr '\\0' ' ' >&2; echo the end >&2; exit 1")
    assert len(str(caught.value)) < commands.SHOWN + 100


def test_a_program_that_the_host_does_not_have_is_refused_by_name() -> None:
    with pytest.raises(MissingProgramError, match="no-such-program can't be run: No such file"):
        RUN.run("no-such-program")


def test_a_program_that_does_not_end_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    for seconds in (1, 10, 60):  # a machine that is busy may not start a shell in one
        with pytest.raises(RetryError, match=f"sh did not end within {seconds} s"):
            RUN.run("sh", "-c", f"sleep 600 & echo $! > {note}.new; mv {note}.new {note}; wait", timeout=seconds)
        if note.exists():
            break
    wait_until_gone(int(note.read_text()))


def test_a_program_that_prints_without_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "OUTPUT_LIMIT", 1024 * 1024)
    with pytest.raises(RetryError, match="yes printed more than 1 MiB"):
        RUN.run("yes")


def test_what_a_program_leaves_running_does_not_hold_us_up_and_stays_unless_it_is_swept(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    assert RUN.run("sh", "-c", f"sleep 600 & echo $! > {note}").code == 0
    left = int(note.read_text())
    os.kill(left, 0)
    os.kill(left, 9)
    assert RUN.run("sh", "-c", f"sleep 600 & echo $! > {note}", sweep=True).code == 0
    wait_until_gone(int(note.read_text()))


def wait_until_gone(pid: int) -> None:
    """Wait until a process has ended, or is a zombie that nobody waits for."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state == "Z":
            return
        time.sleep(0.02)
    pytest.fail(f"process {pid} still runs")
