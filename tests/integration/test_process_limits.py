"""What a process may use and see: limits, privileges and paths, as the kernel tells the process itself."""

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.processes import cgroups
from agent.processes.cgroups import Cgroups
from agent.protocol.errors import MalformedError
from agent.protocol.state import Limits, Process
from tests.process_cases import Team, own_group, python, shell, team, until

IS_ROOT = os.geteuid() == 0
root_only = pytest.mark.skipif(not IS_ROOT, reason="only root sets users")


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Team]:
    with team(tmp_path) as made:
        yield made


def _told(crew: Team, process: Process) -> str:
    """Return what a process says before its last line, `done`."""
    crew.run(process)
    crew.wait_for("done\n")
    return crew.printed().removesuffix("done\n")


def test_open_files_are_limited(crew: Team) -> None:
    assert _told(crew, shell("app", "ulimit -n; ulimit -Hn; echo done; exec sleep 600", limits=Limits(open_files=50))) == "50\n50\n"


def test_a_limit_of_open_files_over_the_hosts_own_is_said(crew: Team) -> None:
    told = _told(crew, shell("app", "echo done; exec sleep 600", limits=Limits(open_files=2**31)))
    assert told == ""
    assert [note.partition(":")[0] for note in crew.seen().notes] == ["the limit of open files, 2147483648, can't be kept"]


def test_limits_that_need_a_control_group_are_said_where_there_is_none(crew: Team) -> None:
    limits = Limits(memory="256Mi", cpu="50%", processes=20)
    notes = crew.supervisor.require(shell("app", "exit", limits=limits))
    assert [note.partition(" can't be kept")[0] for note in notes] == [
        "the limit of memory, 256Mi,",
        "the limit of processor time, 50%,",
        "the limit of processes, 20,",
    ]


def test_what_is_no_limit_is_refused(crew: Team) -> None:
    with pytest.raises(MalformedError, match="'lots' is not a quantity"):
        crew.supervisor.require(shell("app", "exit", limits=Limits(memory="lots")))


FORKS = "(i=0; while [ $i -lt 60 ]; do sleep 600 & i=$((i+1)); echo $i; done); echo done; exec sleep 600"


@root_only
def test_a_process_of_another_user_is_that_user_and_its_processes_are_counted(crew: Team) -> None:
    nobody = pwd.getpwnam("nobody")
    limited = shell("app", FORKS, user="nobody", working_directory="/tmp", limits=Limits(processes=30))
    told = _told(crew, limited)
    assert len([line for line in told.splitlines() if line.isdecimal()]) < 30
    assert crew.seen().notes == ("the limit of processes, 30, counts all that user nobody runs: there is no pids controller here",)
    assert os.stat(f"/proc/{crew.pid()}").st_uid == nobody.pw_uid  # noqa: PTH116 - of the kernel's


@root_only
def test_a_user_brings_its_groups_and_home(crew: Team) -> None:
    nobody = pwd.getpwnam("nobody")
    told = _told(
        crew, shell("app", "id -u; id -g; id -G; echo $HOME $USER; echo done; exec sleep 600", user="nobody", working_directory="/tmp")
    )
    assert told.splitlines()[:2] == [str(nobody.pw_uid), str(nobody.pw_gid)]
    assert told.splitlines()[2].split() == [str(group) for group in sorted(os.getgrouplist("nobody", nobody.pw_gid))]
    assert told.splitlines()[3] == f"{nobody.pw_dir} nobody"


@pytest.mark.parametrize("wanted", [True, False])
def test_new_privileges_are_taken_away_if_that_is_asked_for(crew: Team, *, wanted: bool) -> None:
    told = _told(crew, shell("app", "grep NoNewPrivs /proc/self/status; echo done; exec sleep 600", no_new_privileges=wanted))
    assert told.split() == ["NoNewPrivs:", str(int(wanted))]


@root_only
def test_new_privileges_are_taken_away_from_a_user_that_may_not_read_the_agents_own_interpreter(crew: Team) -> None:
    script = "grep NoNewPrivs /proc/self/status; id -un; echo done; exec sleep 600"
    told = _told(crew, shell("app", script, user="nobody", working_directory="/tmp", no_new_privileges=True))
    assert told.split() == ["NoNewPrivs:", "1", "nobody"]


@pytest.mark.needs("own-mounts")
def test_paths_are_read_only_and_private_in_the_process_alone(crew: Team) -> None:
    for name in ("fixed/below", "own", "free"):
        (crew.root / name).mkdir(parents=True)
    (crew.root / "own/others").write_text("hidden")
    script = "for d in fixed fixed/below own free; do (echo x > $d/new) 2>/dev/null && echo $d; done; ls own; echo done; exec sleep 600"
    told = _told(crew, shell("app", script, read_only_paths=["/fixed"], private_paths=["/own"]))
    assert told.split() == ["own", "free", "new"]
    assert crew.seen().notes == ()
    assert sorted(str(path.relative_to(crew.root)) for path in crew.root.rglob("*")) == [
        *("fixed", "fixed/below", "free", "free/new", "own", "own/others"),
    ]


@pytest.mark.needs("own-mounts")
def test_a_whole_machine_may_be_read_only_with_a_private_place_in_it(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    script = f"(echo x > {tmp_path}/new) 2>/dev/null && echo open; echo x > {tmp_path}/own/new && echo private; echo done; exec sleep 600"
    with team(tmp_path, machine=Path("/")) as crew:
        told = _told(crew, shell("app", script, read_only_paths=["/"], private_paths=[str(tmp_path / "own")]))
    assert told.split() == ["private"]


def test_a_working_directory_that_is_missing_is_said(crew: Team) -> None:
    crew.want(shell("app", "exit", working_directory="/nowhere/at/all"))
    with pytest.raises(Exception, match="process/app: working directory /nowhere/at/all: No such file or directory"):
        crew.supervisor.start("app")


# Control groups


@pytest.fixture
def grouped(tmp_path: Path) -> Iterator[Team]:
    """A team whose processes have control groups, in a place of its own."""
    base = own_group()
    assert base is not None
    try:
        with team(tmp_path, groups=Cgroups(base)) as made:
            yield made
    finally:
        cgroups.kill(base)
        until(lambda: not cgroups.members(base))
        cgroups.remove(base)


@pytest.mark.needs("cgroup")
def test_a_control_group_ends_even_what_hid_from_all_else(grouped: Team) -> None:
    script = "(env -i setsid sleep 604 & echo $! > hidden) ; echo done; exec sleep 600"
    _told(grouped, shell("app", script, stop_timeout="1s"))
    group = Path(grouped.record().group)
    hidden = int((grouped.root / "hidden").read_text())
    assert hidden in cgroups.members(group)
    grouped.begin_again()
    grouped.want()
    grouped.supervisor.stop("app")
    until(lambda: not Path(f"/proc/{hidden}/exe").exists())
    assert not group.exists()


BURN = """
import os, time
if os.fork() == 0:
    while time.process_time() < 0.4: pass
    os._exit(0)
os.wait()
print("done", flush=True)
time.sleep(600)
"""


@pytest.mark.needs("cgroup")
def test_a_control_group_counts_the_time_of_those_that_are_gone(grouped: Team) -> None:
    _told(grouped, python("app", BURN))
    used = grouped.seen().cpu_seconds
    assert used is not None
    assert used > 0.3


@pytest.mark.needs("cgroup-memory")
def test_a_process_that_uses_more_memory_than_its_limit_is_killed_and_that_is_said(grouped: Team) -> None:
    greedy = python("app", "x = bytearray(200 << 20)\nprint('done')", limits=Limits(memory="50Mi"), restart="never")
    grouped.run(greedy)
    until(lambda: grouped.seen().standing == "ended")
    assert grouped.seen().why == "killed by the kernel, since it used more memory than its limit"
    assert grouped.printed() == ""
