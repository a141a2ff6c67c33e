"""What is written to control groups and read from them: in a directory that looks like one, so that all controllers are there."""

from pathlib import Path

import pytest

from agent.processes import cgroups
from agent.processes.cgroups import Cgroups, Use
from agent.protocol.state import Limits


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory pids\n")
    return tmp_path


def _values(group: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in group.iterdir()}


def test_limits_are_written_as_the_kernel_reads_them(base: Path) -> None:
    group = Cgroups(base).make("app", Limits(memory="256Mi", cpu="150%", processes=20))
    assert group == base / "app"
    assert _values(group) == {"memory.max": "268435456", "memory.oom.group": "1", "cpu.max": "150000 100000", "pids.max": "20"}


def test_limits_that_a_new_release_leaves_out_are_lifted(base: Path) -> None:
    groups = Cgroups(base)
    groups.make("app", Limits(memory="1Mi", cpu="1%", processes=1))
    values = _values(groups.make("app", Limits()))
    assert {values[file] for file in ("memory.max", "cpu.max", "pids.max")} == {"max"}


def test_what_has_no_controller_is_not_written_but_said(base: Path) -> None:
    (base / "cgroup.subtree_control").write_text("pids\n")
    limits = Limits(memory="256Mi", cpu="50%", processes=20)
    assert _values(Cgroups(base).make("app", limits)) == {"pids.max": "20"}
    assert cgroups.notes(limits, Cgroups(base).controllers) == (
        "the limit of memory, 256Mi, can't be kept: there is no memory controller of cgroup v2 for the agent here",
        "the limit of processor time, 50%, can't be kept: there is no cpu controller of cgroup v2 for the agent here",
    )


def test_use_counts_what_is_in_memory_for_good_and_no_cache(tmp_path: Path) -> None:
    (tmp_path / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1000000\n")
    assert cgroups.use(tmp_path) == Use(cpu_seconds=1.5, memory=None)
    (tmp_path / "memory.stat").write_text("anon 4096\nfile 1000000\nkernel 100\nshmem 10\n")
    assert cgroups.use(tmp_path) == Use(cpu_seconds=1.5, memory=4206)
    assert cgroups.use(tmp_path / "gone") is None


def test_a_kill_for_memory_is_told_by_its_count(tmp_path: Path) -> None:
    assert not cgroups.ran_out_of_memory(tmp_path)
    (tmp_path / "memory.events").write_text("low 0\nmax 12\noom 1\noom_kill 0\n")
    assert not cgroups.ran_out_of_memory(tmp_path)
    (tmp_path / "memory.events").write_text("low 0\nmax 12\noom 1\noom_kill 3\n")
    assert cgroups.ran_out_of_memory(tmp_path)


def test_members_are_those_of_groups_below_too(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "cgroup.procs").write_text("1\n2\n")
    (tmp_path / "below/cgroup.procs").write_text("3\n")
    assert cgroups.members(tmp_path) == {1, 2, 3}
    assert cgroups.members(tmp_path / "gone") == frozenset()
