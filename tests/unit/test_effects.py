"""What a switch brings about, decided purely: order, digests and the plan of effects."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.effects.digests import process_digest
from agent.effects.order import ordered
from agent.effects.plan import Effect, Part, plan_effects
from agent.processes.interface import Seen, Standing, Wanted
from agent.protocol.errors import RefusedError
from agent.protocol.state import HostFile, Package, Process, Service, State, Sysctl, User
from agent.providers.item import Item
from agent.settling.table import Table

APP = Process(name="app", command=["/opt/app/bin/app"], restart_on=["/etc/app"])


def part(*processes: Process, fleet: str = "web", digest: str = "1") -> Part:
    wanted = {process.name: Wanted(process=process, digest=digest) for process in processes}
    after = {f"process/{process.name}": process.after for process in processes}
    return Part(fleet=fleet, processes=wanted, services={}, actions={}, after=after)


def seen(standing: Standing = "running", digest: str = "1") -> Seen:
    return Seen(standing=standing, digest=digest)


def short(effects: tuple[Effect, ...]) -> list[str]:
    return [f"{effect.kind} {effect.resource}" for effect in effects]


def file(path: str, content: str) -> Item:
    return Item(path=path, provider="files", kind="file", digest=content)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=20))
def test_what_is_waited_for_comes_first_in_any_graph_without_a_circle(edges: list[tuple[int, int]]) -> None:
    after: dict[str, list[str]] = {f"process/{number}": [] for number in range(10)}
    for one, other in edges:
        if one < other:
            after[f"process/{other}"].append(f"process/{one}")
    found = ordered(after)
    assert sorted(found) == sorted(after)
    assert all(found.index(wait) < found.index(name) for name, waits in after.items() for wait in waits)


def test_a_circle_is_refused_and_shown() -> None:
    with pytest.raises(RefusedError, match="goes in a circle: process/"):
        ordered({"process/a": ["process/b"], "process/b": ["process/a"]})


def test_what_is_not_here_is_not_waited_for() -> None:
    assert ordered({"process/a": ["service/gone.service"]}) == ["process/a"]


def test_what_goes_stops_in_reverse_before_what_comes_starts_in_order() -> None:
    web = part(Process(name="a", command=["/a"], after=["process/b"]), Process(name="b", command=["/b"]))
    before = {"process/old-1": (), "process/old-2": ("process/old-1",)}
    found = plan_effects([web], {"old-1": seen(), "old-2": seen()}, before=before)
    assert short(found) == ["stop process/old-2", "stop process/old-1", "start process/b", "start process/a"]


def test_what_runs_as_it_should_is_left_alone() -> None:
    assert plan_effects([part(APP)], {"app": seen()}) == ()


@pytest.mark.parametrize("standing", ["running", "waiting", "ended", "looping"])
def test_what_changed_is_restarted_once_however_it_stands(standing: Standing) -> None:
    assert short(plan_effects([part(APP, digest="2")], {"app": seen(standing)})) == ["restart process/app"]


@pytest.mark.parametrize("standing", ["ended", "looping", "waiting"])
def test_what_its_policy_leaves_alone_is_not_started_again(standing: Standing) -> None:
    assert plan_effects([part(APP)], {"app": seen(standing)}) == ()


def test_what_another_fleet_will_take_over_goes_on_running() -> None:
    assert plan_effects([part()], {"app": seen()}, spared={"process/app"}) == ()
    assert plan_effects([part(), part(APP, fleet="other")], {"app": seen()}) == ()


def test_a_process_is_known_by_its_program_and_by_what_it_reads() -> None:
    items = {path: file(path, "1") for path in ("/opt/app/bin/app", "/etc/app/a.conf", "/etc/other")}
    first = process_digest(APP, items)
    assert process_digest(APP, items | {"/etc/other": file("/etc/other", "2")}) == first
    assert process_digest(APP, items | {"/etc/app/a.conf": file("/etc/app/a.conf", "2")}) != first
    assert process_digest(APP, items | {"/etc/app/b.conf": file("/etc/app/b.conf", "1")}) != first
    assert process_digest(APP, items | {"/opt/app/bin/app": file("/opt/app/bin/app", "2")}) != first


def test_an_unpacked_artifact_is_read_by_what_lies_in_it() -> None:
    trees = [Item(path="/opt/app", provider="artifacts", kind="tree", digest=digest) for digest in ("1", "2")]
    assert process_digest(APP, {"/opt/app": trees[0]}) != process_digest(APP, {"/opt/app": trees[1]})


def test_what_may_not_be_changed_now_is_left_as_it_is() -> None:
    frozen = replace(part(APP, digest="2"), frozen=True)
    assert plan_effects([frozen], {"app": seen()}) == ()
    assert plan_effects([frozen], {}) == ()


@pytest.mark.parametrize(
    ("state", "name"),
    [
        (State(processes=[APP]), "process/app"),
        (State(services=[Service(name="web.service")]), "service/web.service"),
        (State(packages=[Package(name="nginx")]), "package/nginx"),
        (State(users=[User(name="otel")]), "user/otel"),
        (State(sysctls=[Sysctl(name="vm.swappiness", value="1")]), "sysctl/vm.swappiness"),
        (State(host_files=[HostFile(name="db", path="/etc/hosts")]), "block/db of /etc/hosts"),
    ],
)
def test_what_one_fleet_holds_another_waits_for(state: State, name: str) -> None:
    held = Table(current={"base": state, "web": State()}, wanted={}, left=frozenset())
    assert held.conflict("web", state) == f"{name} still belongs to fleet base here"
    assert held.conflict("base", state) is None
    let_go = Table(current=held.current, wanted={}, left=frozenset({"base"}))
    assert let_go.conflict("web", state) is None


def test_what_another_fleet_took_over_is_no_longer_held_nor_given_up() -> None:
    state = State(processes=[APP], packages=[Package(name="nginx")])
    table = Table(current={"base": state, "web": State(processes=[APP])}, wanted={}, left=frozenset({"base"}))
    assert table.holding("base").processes == []
    assert table.former("base").processes == []
    assert table.former("base").packages == state.packages
