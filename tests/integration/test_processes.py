"""Processes of a real machine, kept running by the agent's own supervisor."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.processes import kin
from agent.processes.output import Rotation
from agent.protocol.errors import RefusedError, RetryError
from agent.protocol.state import CrashLoop, Process
from tests.process_cases import Team, python, shell, team, until

HARD = """
import os, signal, time
def stay(word):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(word, os.getpid(), flush=True)
    while True: time.sleep(60)
if os.fork() == 0:
    if os.fork() == 0: stay("grandchild")
    stay("child")
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0: stay("daemon")
    os._exit(0)
stay("main")
"""
"""A tree that ignores SIGTERM, with one in it that left its session and lost its parent."""


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Team]:
    with team(tmp_path) as made:
        yield made


def test_a_process_runs_with_its_own_environment_and_nothing_of_the_agents(crew: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDAIN_SECRET", "of the agent")
    crew.run(shell("app", "env; echo done; exec sleep 600", environment={"COLOUR": "blue", "HOME": "/here"}))
    crew.wait_for("done")
    names = {line.partition("=")[0] for line in crew.printed().splitlines()}
    assert names == {"PATH", "HOME", "USER", "LOGNAME", "COLOUR", "ORDAIN_PROCESS", "PWD", "done"}
    assert "COLOUR=blue" in crew.printed()
    assert "HOME=/here" in crew.printed()


def test_a_process_has_a_session_no_descriptors_and_no_signals_of_the_agents(crew: Team) -> None:
    ends = os.pipe()
    os.set_inheritable(ends[0], True)  # noqa: FBT003 - it has no other form
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        crew.run(shell("app", "exec 2>&1; ls /proc/$$/fd | tr '\\n' ' '; grep SigIgn /proc/$$/status; echo done; exec sleep 600"))
    finally:
        signal.signal(signal.SIGHUP, old)
        os.close(ends[0])
        os.close(ends[1])
    crew.wait_for("done")
    assert crew.printed().startswith("0 1 2 ")
    ignored = int(crew.printed().split("SigIgn:")[1].split()[0], 16)
    assert ignored & (1 << (signal.SIGHUP - 1) | 1 << (signal.SIGPIPE - 1)) == 0
    alive = kin.read(crew.pid())
    assert alive is not None
    assert alive.session == alive.pid != os.getsid(0)


def test_a_second_start_changes_nothing(crew: Team) -> None:
    crew.run(shell("app", "exec sleep 600"))
    pid = crew.pid()
    crew.supervisor.start("app")
    assert crew.pid() == pid
    assert len(crew.alive()) == 1


def test_a_killed_process_is_started_again_once_and_says_why(crew: Team) -> None:
    crew.run(shell("app", "echo up; exec sleep 600"))
    crew.wait_for("up\n")
    first = crew.pid()
    os.kill(first, signal.SIGKILL)
    seen = until(lambda: seen if (seen := crew.seen()).pid not in (None, first) else None)
    assert (seen.restarts, seen.why) == (1, "ended by SIGKILL")
    crew.wait_for("up\nup\n")
    assert len(crew.alive()) == 1


def test_what_a_dead_main_process_leaves_behind_is_ended_before_it_is_started_again(crew: Team) -> None:
    crew.run(shell("app", "sleep 601 & setsid sleep 602 & echo up; exec sleep 600"))
    crew.wait_for("up")
    until(lambda: len(crew.alive()) == 3)
    old = {alive.pid for alive in crew.alive()}
    os.kill(crew.pid(), signal.SIGKILL)
    crew.wait_for("up\nup\n")
    until(lambda: len(crew.alive()) == 3)
    assert old.isdisjoint(alive.pid for alive in crew.alive())


def test_a_tree_that_forks_and_ignores_sigterm_is_ended_with_all_that_it_started(crew: Team) -> None:
    crew.run(python("app", HARD, stop_timeout="1s"))
    for word in ("main", "child", "grandchild", "daemon"):
        crew.wait_for(f"{word} ")
    pids = {int(line.split()[1]) for line in crew.printed().splitlines()}
    assert {alive.pid for alive in crew.alive()} == pids
    crew.supervisor.stop("app")
    assert crew.alive() == []
    assert all(kin.read(pid) is None or kin.read(pid).is_zombie for pid in pids)  # type: ignore[union-attr]
    assert crew.seen().standing == "stopped"


def test_a_daemon_that_cleared_its_environment_is_found_by_its_parents(crew: Team) -> None:
    crew.run(shell("app", "env -i setsid sleep 603 & echo up $!; exec sleep 600"))
    crew.wait_for("up")
    pid = int(crew.printed().split()[1])
    until(lambda: (alive := kin.read(pid)) is not None and alive.session == pid)
    crew.supervisor.stop("app")
    left = kin.read(pid)
    assert left is None or left.is_zombie


def test_a_process_may_end_well_within_its_time(crew: Team) -> None:
    crew.run(shell("app", "trap 'echo bye; exit 0' INT; echo up; while :; do sleep 0.05; done", stop_signal="SIGINT", stop_timeout="60s"))
    crew.wait_for("up")
    crew.supervisor.stop("app")
    assert crew.printed().endswith("bye\n")
    assert (crew.seen().standing, crew.seen().why) == ("stopped", "ended with exit code 0")


def test_a_stopped_process_stays_stopped_and_one_that_is_not_wanted_is_forgotten(crew: Team) -> None:
    crew.run(shell("app", "exec sleep 600"), shell("other", "exec sleep 600"))
    crew.supervisor.stop("app")
    crew.supervisor.stop("app")
    assert crew.seen().standing == "stopped"
    crew.want(shell("app", "exec sleep 600"))
    assert crew.seen("other").standing == "running"
    crew.supervisor.stop("other")
    assert set(crew.supervisor.look()) == {"app"}
    assert not (crew.directory / "processes/records/other.json").exists()


def test_one_that_is_no_longer_wanted_just_so_is_not_started_again(crew: Team) -> None:
    crew.run(shell("app", "exec sleep 600"))
    crew.want(shell("app", "exec sleep 601"), digest="two")
    os.kill(crew.pid(), signal.SIGKILL)
    until(lambda: crew.seen().standing == "stopped")
    assert crew.seen().digest == "one"
    crew.supervisor.restart("app")
    assert (crew.seen().standing, crew.seen().digest) == ("running", "two")


def test_a_crash_loop_is_left_alone_until_it_is_asked_for_again(crew: Team) -> None:
    broken = shell("app", "exit 3", crash_loop=CrashLoop(starts=2, within="1h"))
    crew.run(broken)
    until(lambda: crew.seen().standing == "looping")
    assert (crew.seen().restarts, crew.seen().why) == (1, "ended with exit code 3")
    crew.run(shell("app", "exec sleep 600"), digest="two")
    assert (crew.seen().standing, crew.seen().restarts) == ("running", 0)


def test_a_task_that_runs_once_has_ended_and_stays_so(crew: Team) -> None:
    crew.run(shell("app", "echo once", restart="on-failure"))
    until(lambda: crew.seen().standing == "ended")
    assert crew.printed() == "once\n"


def test_a_program_that_is_not_there_is_said_and_tried_again(crew: Team) -> None:
    crew.want(Process(name="app", command=["/opt/app/bin"], crash_loop=CrashLoop(starts=1000)))
    with pytest.raises(RetryError, match="process/app: /opt/app/bin: No such file or directory"):
        crew.supervisor.start("app")
    assert crew.seen().standing == "waiting"
    program = crew.root / "opt/app/bin"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    until(lambda: crew.seen().standing == "running")


def test_paths_of_a_command_mean_those_below_the_root(crew: Team) -> None:
    (crew.root / "etc").mkdir()
    (crew.root / "etc/app.conf").write_text("of the root")
    crew.run(
        Process(
            name="app",
            command=["/bin/sh", "-c", 'cat "$0"; echo; pwd; echo "$1"; exec sleep 600', "/etc/app.conf", "/etc/passwd"],
            working_directory="/etc",
        )
    )
    crew.wait_for("/etc/passwd")
    assert crew.printed().splitlines() == ["of the root", str(crew.root / "etc"), "/etc/passwd"]


def test_an_unknown_user_is_left_out_below_a_root_and_named(crew: Team) -> None:
    stranger = shell("app", "exec sleep 600", user="nobody-has-this-name")
    assert crew.supervisor.require(stranger) == ("process app: owner nobody-has-this-name: unknown on this host; not set under --root",)
    crew.run(stranger)
    assert crew.seen().notes == crew.supervisor.require(stranger)


BUSY = """
import os, time
block = bytearray(30 << 20)
os.fork()
while time.process_time() < 0.3: pass
print("done", flush=True)
time.sleep(600)
"""


def test_a_process_is_measured_with_all_that_it_started(crew: Team) -> None:
    crew.run(python("app", BUSY))
    crew.wait_for("done\ndone\n")
    seen = crew.seen()
    assert seen.cpu_seconds is not None
    assert seen.cpu_seconds >= 0.5
    assert seen.rss_bytes is not None
    assert seen.rss_bytes > 60 << 20


def test_a_name_that_is_a_path_leads_nowhere(crew: Team) -> None:
    with pytest.raises(RefusedError, match="is not a DNS label"):
        crew.supervisor.require(shell("../app", "exit"))
    with pytest.raises(RefusedError, match="is not wanted"):
        crew.supervisor.start("other")


@pytest.mark.parametrize("number", [20, pytest.param(100, marks=pytest.mark.slow)])
def test_many_processes_are_started_healed_and_stopped(crew: Team, number: int) -> None:
    names = [f"app-{index}" for index in range(number)]
    crew.run(*(shell(name, "exec sleep 600") for name in names))
    before = crew.supervisor.look()
    assert {seen.standing for seen in before.values()} == {"running"}
    assert len({seen.pid for seen in before.values()}) == number
    os.kill(crew.pid(names[0]), signal.SIGKILL)
    until(lambda: crew.seen(names[0]).restarts == 1)
    after = crew.supervisor.look()
    assert all(after[name].pid == before[name].pid for name in names[1:])
    crew.want()
    for name in names:
        crew.supervisor.stop(name)
    assert crew.supervisor.look() == {}
    assert not any(crew.alive(name) for name in (names[0], names[-1]))


def test_output_is_rotated_while_a_process_runs(tmp_path: Path) -> None:
    with team(tmp_path, rotation=Rotation(size=1000, count=2, every=0.1)) as crew:
        crew.run(shell("app", "head -c 3000 /dev/zero | tr '\\0' x; exec sleep 600"))
        older = tmp_path / "processes/output/app.log.1"
        until(lambda: older.exists() and crew.printed() == "")
        files = [older, older.with_name("app.log.2")]
        assert 1000 < sum(path.read_text().count("x") for path in files if path.exists()) <= 3000


def test_an_unknown_user_refuses_a_process_on_a_whole_machine(tmp_path: Path) -> None:
    with team(tmp_path, machine=Path("/")) as crew:
        stranger = shell("app", "exec sleep 600", user="nobody-has-this-name")
        crew.want(stranger)
        for refused in (lambda: crew.supervisor.require(stranger), lambda: crew.supervisor.start("app")):
            with pytest.raises(RefusedError, match="process app: owner nobody-has-this-name: unknown on this host"):
                refused()
        assert crew.seen().standing == "stopped"
        crew.run(shell("app", "exec sleep 600"))
        pid = crew.pid()
        crew.want(stranger, digest="two")
        with pytest.raises(RefusedError):
            crew.supervisor.restart("app")
        assert crew.pid() == pid


def test_a_first_start_that_fails_is_tried_again_though_nothing_else_happens(crew: Team) -> None:
    crew.want(Process(name="app", command=["/opt/app/bin"]))
    time.sleep(0.2)  # until the thread has gone to sleep, with nothing to wait for
    with pytest.raises(RetryError):
        crew.supervisor.start("app")
    until(lambda: crew.record().restarts == 1)


def test_a_process_whose_record_can_not_be_written_does_not_begin(crew: Team) -> None:
    records = crew.directory / "processes/records"
    records.parent.mkdir(exist_ok=True)
    records.write_text("in the way")
    crew.want(shell("app", "touch began; exec sleep 600"))
    with pytest.raises(RetryError, match=r"records.*see to the disk and its permissions"):
        crew.supervisor.start("app")
    assert crew.alive() == []
    assert crew.seen().standing == "waiting"
    records.unlink()
    until(lambda: crew.seen().standing == "running")
    crew.supervisor.stop("app")
