"""What a commit leaves alone is not worked out again, and shortcuts find what the long way finds."""

from hypothesis import given
from hypothesis import strategies as st

from reconciler.pipeline.acceptance.change import impact
from reconciler.pipeline.compile.compiler import compile_fleet
from reconciler.pipeline.compile.controls import controls_of, unchanged
from reconciler.pipeline.manifests import inspect_tree
from reconciler.pipeline.tree import MemoryTree
from tests.compile_cases import COLLECTOR, WEB, component, shop

SPARES = "tenants/shop/spares.yaml"
POOL = """
apiVersion: ordain.dev/v1
kind: AgentPool
metadata: {name: spares, tenant: shop, labels: {role: web, region: eu}}
spec: {maximum: 40}
"""
paths = st.lists(
    st.lists(st.sampled_from(["a", "A", "b", "aB", "Ab"]), min_size=1, max_size=3).map("/".join), min_size=1, max_size=6, unique=True
)


def test_a_commit_that_only_touches_a_component_leaves_controls_as_they_are() -> None:
    case = shop()
    before = case.world
    after = before.replace({COLLECTOR: case.write(COLLECTOR, component("collector", "{}")).documents(COLLECTOR)})
    assert after != before
    assert unchanged(before, after, "shop")
    assert controls_of(before, "shop") == controls_of(after, "shop")


def test_a_commit_that_touches_a_fleet_or_adds_a_host_writes_controls_again() -> None:
    case = shop().write(SPARES, POOL)
    before = shop().world
    assert not unchanged(before, before.replace({WEB: ()}), "shop")
    assert not unchanged(before, before.replace({SPARES: case.documents(SPARES)}), "shop")


def test_a_pool_counts_as_its_maximum_in_all_and_by_label() -> None:
    case = shop().write(SPARES, POOL)
    one_each, pools = 0, 0
    for (document,) in case.world.members("shop").values():
        one_each, pools = one_each + (document.kind == "Agent"), pools + document.spec.get("maximum", 0)
    compiled = {("shop", "web"): compile_fleet(case.world, case.tree, ("shop", "web"))}
    found = impact(compiled, {}, case.world)
    assert found["total"] == one_each + pools
    without = impact(compiled, {}, shop().world)
    assert found["total_by_label"]["region"]["eu"] == without["total_by_label"]["region"]["eu"] + 40


@given(paths, st.data())
def test_names_that_differ_in_case_are_found_by_a_look_at_the_changed_ones_alone(listed: list[str], data: st.DataObject) -> None:
    files = [path for path in listed if not any(other.startswith(path + "/") for other in listed)]
    only = data.draw(st.sets(st.sampled_from(files), min_size=1))
    found = inspect_tree(MemoryTree(dict.fromkeys(files, b"")), only=only)
    names = set().union(*map(with_parents, files))
    mine = set().union(*map(with_parents, only))
    fresh = [name for name in mine if all(path in only for path in files if path == name or path.startswith(name + "/"))]
    assert bool(found) == any(clashing(one, other) for one in fresh for other in names)


def clashing(one: str, other: str) -> bool:
    return one != other and one.lower() == other.lower() and one.rpartition("/")[0] == other.rpartition("/")[0]


def with_parents(path: str) -> set[str]:
    parts = path.split("/")
    return {"/".join(parts[: count + 1]) for count in range(len(parts))}
