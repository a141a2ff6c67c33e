"""Whatever a schema might let through one day, compiling answers with findings and never falls over."""

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.pipeline.compile.affected import affected, depends_of
from reconciler.pipeline.compile.compiler import CompileRefused, compile_fleet
from reconciler.pipeline.compile.controls import controls_of
from reconciler.pipeline.compile.references import check
from reconciler.pipeline.compile.world import build
from reconciler.pipeline.finding import Place, Pointer
from reconciler.pipeline.manifests import Document, object_name
from tests.compile_cases import shop

CASE = shop()
DOCUMENTS = [document for path in CASE.files for document in CASE.documents(path)]
ODD: st.SearchStrategy[object] = st.sampled_from(
    [
        None,
        True,
        -1,
        10**30,
        0.5,
        float("inf"),
        float("nan"),
        "",
        "x",
        "library/",
        "library/base-dirs",
        "${labels.x}",
        "/",
        "files/x",
        [],
        [None],
        ["x"],
        {},
        {"x": None},
        {"name": []},
    ]
)


def pointers(value: Any, above: Pointer = ()) -> Iterator[Pointer]:
    yield above
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from pointers(item, (*above, key))


PLACES = [(number, pointer) for number, document in enumerate(DOCUMENTS) for pointer in pointers(document.value) if pointer]


def changed(document: Document, pointer: Pointer, odd: object) -> Document:
    value = copy.deepcopy(document.value)
    inner: Any = value
    for part in pointer[:-1]:
        inner = inner[part]
    inner[pointer[-1]] = odd
    return Document(path=document.path, index=document.index, value=value, name=object_name(value))


@given(st.sampled_from(PLACES), ODD)
@settings(max_examples=400)
def test_an_odd_value_anywhere_brings_findings_and_no_other_error(place: tuple[int, Pointer], odd: object) -> None:
    number, pointer = place
    documents = list(DOCUMENTS)
    documents[number] = changed(documents[number], pointer, odd)
    world, before = build(documents, CASE.layout), CASE.world
    assert all(isinstance(finding.place, Place) for finding in check(world, CASE.tree))
    assert affected(before, world, CASE.files) <= {*before.fleets(), *world.fleets()}
    for tenant in world.names:
        controls_of(world, tenant)
    for key in world.fleets():
        assert depends_of(world, key)
        try:
            compiled = compile_fleet(world, CASE.tree, key)
        except CompileRefused as refusal:
            assert refusal.findings != []  # noqa: PT017 - some odd values compile, so nothing must raise
        else:
            assert compiled.release_input()["members"] is not None
