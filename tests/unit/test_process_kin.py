"""Whose a process is: from tables of processes that the test makes up."""

from agent.processes.kin import Alive, Root, kin


def _alive(pid: int, parent: int, session: int | None = None, *, began: int = 10, state: str = "S") -> Alive:
    return Alive(pid=pid, parent=parent, session=session or pid, began=began, state=state, ticks=0, pages=0)


def _table(*processes: Alive) -> dict[int, Alive]:
    return {alive.pid: alive for alive in processes}


def _pids(roots: dict[str, Root], table: dict[int, Alive], markers: dict[int, str] | None = None) -> dict[str, list[int]]:
    return {name: sorted(alive.pid for alive in found) for name, found in kin(roots, table, markers or {}).items()}


APP = Root(marker="k/app", pid=100, began=5)


def test_children_and_their_children_belong_to_their_main_process() -> None:
    table = _table(_alive(1, 0), _alive(100, 1, began=5), _alive(101, 100), _alive(102, 101), _alive(200, 1), _alive(201, 200))
    assert _pids({"app": APP}, table) == {"app": [100, 101, 102]}


def test_a_session_is_the_main_processs_also_when_parents_are_gone() -> None:
    table = _table(_alive(100, 1, began=5), _alive(101, 1, 100), _alive(102, 1, 102))
    assert _pids({"app": APP}, table) == {"app": [100, 101]}


def test_a_stranger_with_the_main_processs_old_pid_is_a_stranger_with_all_its_kin() -> None:
    table = _table(_alive(100, 1, began=6), _alive(101, 100), _alive(102, 1, 100))
    assert _pids({"app": APP}, table) == {"app": []}


def test_a_dead_main_process_still_names_its_session_until_it_is_reaped() -> None:
    table = _table(_alive(100, 1, began=5, state="Z"), _alive(101, 1, 100))
    assert _pids({"app": APP}, table) == {"app": [101]}


def test_a_marker_or_a_control_group_is_enough() -> None:
    table = _table(_alive(300, 1), _alive(301, 300), _alive(400, 1))
    root = Root(marker="k/app", members=frozenset({400}))
    assert _pids({"app": root}, table, {300: "k/app", 400: "k/other"}) == {"app": [300, 301, 400]}


def test_a_parent_that_is_younger_than_its_child_is_none() -> None:
    table = _table(_alive(100, 1, began=5), _alive(101, 100, began=4))
    assert _pids({"app": APP}, table) == {"app": [100]}


def test_the_nearest_mark_counts_where_processes_start_one_another() -> None:
    inner = Root(marker="k/inner", pid=101, began=10)
    table = _table(_alive(100, 1, began=5), _alive(101, 100), _alive(102, 101))
    assert _pids({"app": APP, "inner": inner}, table) == {"app": [100], "inner": [101, 102]}


def test_a_table_in_which_parents_go_round_ends() -> None:
    table = _table(_alive(300, 301), _alive(301, 300))
    assert _pids({"app": APP}, table) == {"app": []}
