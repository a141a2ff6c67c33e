"""The index of all documents: what a change derives equals what is built anew, and costs what it changes."""

import time
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.pipeline.compile.world import LIBRARY, World, build
from reconciler.pipeline.manifests import Document, Layout, object_name
from tests.compile_cases import COLLECTOR, WEB, component, shop

PATHS = ("tenants/a/one.yaml", "tenants/a/two.yaml", "tenants/b/one.yaml", "library/one.yaml", "ordain.yaml", "elsewhere.yaml")
KINDS = ("Agent", "AgentPool", "Component", "Fleet", "Tenant", "Repository", "Freeze", "Nonsense")
labels = st.dictionaries(st.sampled_from("xyz"), st.sampled_from("12"), max_size=2)
odd = st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, object]:
    name = st.sampled_from(["n", "m", "library/n"])
    return {
        "kind": draw(st.sampled_from(KINDS)),
        "metadata": {"name": draw(name), "tenant": draw(st.sampled_from(["a", "b", "", None])), "labels": draw(labels | odd)},
        "spec": draw(
            odd
            | st.fixed_dictionaries({"selector": odd | st.fixed_dictionaries({"matchLabels": labels | odd})})
            | st.fixed_dictionaries({"components": odd | st.lists(odd | st.fixed_dictionaries({"name": name | odd}), max_size=2)})
            | st.fixed_dictionaries({"includes": st.lists(st.fixed_dictionaries({"name": name}), max_size=2)})
            | st.fixed_dictionaries({"files": st.lists(odd | st.fixed_dictionaries({"source": st.sampled_from(["files/x", "../x", ""])}))})
        ),
    }


files = st.dictionaries(st.sampled_from(PATHS), st.lists(documents(), max_size=3))


def read(path: str, values: list[dict[str, object]]) -> tuple[Document, ...]:
    return tuple(Document(path=path, index=index, value=value, name=object_name(value)) for index, value in enumerate(values))


def built(state: Mapping[str, list[dict[str, object]]]) -> World:
    return build((document for path, values in state.items() for document in read(path, values)), Layout())


@given(files, st.lists(st.dictionaries(st.sampled_from(PATHS), st.none() | st.lists(documents(), max_size=2), max_size=3), max_size=4))
@settings(max_examples=100)
def test_a_world_derived_by_changes_equals_one_built_of_the_result(
    start: dict[str, list[dict[str, object]]], changes: list[dict[str, list[dict[str, object]] | None]]
) -> None:
    world, state = built(start), dict(start)
    for change in changes:
        before = built(state)
        derived = world.replace({path: read(path, values or []) for path, values in change.items()})
        assert world == before, "deriving a world changed the one it came from"
        world = derived
        state.update({path: values or [] for path, values in change.items()})
        assert world == built(state)


def test_objects_are_found_by_name_and_components_as_their_users_write_them() -> None:
    world = shop().world
    assert world.names == ["shop"]
    assert list(world.fleets()) == [("shop", "web")]
    assert sorted(world.members("shop")) == ["runners", "web-01", "web-02"]
    for tenant, ref, path in (("shop", "collector", COLLECTOR), ("shop", "library/base-dirs", "library/base-dirs.yaml")):
        found = world.component(tenant, ref)
        assert found is not None
        assert found.path == path
    assert world.component(LIBRARY, "collector") is None
    assert world.component("shop", "base-dirs") is None
    assert world.fleet(("shop", "nothing")) is None


def test_a_tenant_that_loses_its_last_file_is_gone() -> None:
    world = shop().world
    paths = list(world.tenant("shop").files)
    assert world.replace(dict.fromkeys(paths, ())).names == []


def test_of_two_that_claim_one_name_the_first_by_path_counts_until_it_goes() -> None:
    first = shop().write("tenants/shop/a.yaml", component("collector", "{}")).world
    found = first.component("shop", "collector")
    assert found is not None
    assert found.path == "tenants/shop/a.yaml"
    left = first.replace({"tenants/shop/a.yaml": ()}).component("shop", "collector")
    assert left is not None
    assert left.path == COLLECTOR


def test_every_document_is_listed_misplaced_ones_too() -> None:
    case = shop().write("library/mine.yaml", component("mine", "{}"))
    listed = {(document.path, document.index) for document in case.world.documents()}
    assert listed == {(document.path, document.index) for path in case.files for document in case.documents(path)}
    assert case.world.at(WEB)[0].kind == "Fleet"
    assert case.world.at("library/mine.yaml") == ()


def test_one_more_host_costs_little_among_ten_thousand() -> None:
    def host(number: int) -> Document:
        value = {"kind": "Agent", "metadata": {"name": f"a{number}", "tenant": "a", "labels": {"role": "web", "rack": str(number % 50)}}}
        return Document(path=f"tenants/a/{number}.yaml", index=0, value=value, name=object_name(value))

    world = build((host(number) for number in range(10_000)), Layout())
    started = time.perf_counter()
    for number in range(10_000, 10_010):
        world = world.replace({f"tenants/a/{number}.yaml": (host(number),)})
    assert len(world.members("a")) == 10_010
    assert (time.perf_counter() - started) / 10 < 0.05
