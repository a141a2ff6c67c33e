"""Whatever a schema might let through one day, compiling answers with findings and never falls over."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.pipeline.compile.affected import affected, depends_of
from reconciler.pipeline.compile.compiler import CompileRefused, compile_fleet
from reconciler.pipeline.compile.controls import controls_of
from reconciler.pipeline.compile.references import check
from reconciler.pipeline.compile.world import build
from reconciler.pipeline.finding import Place, Pointer
from reconciler.pipeline.manifests import Document, object_name
from tests.compile_cases import WEB, component, shop

RUNNING = """{
  after: [collector],
  processes: [{name: a, command: [/a, "${labels.region}"], environment: {A: b},
    restartOn: [/opt/otelcol], after: [service/b.service], limits: {memory: 1Mi}}],
  services: [{name: b.service, unit: "[Service]", dropIns: [{name: a.conf, content: x}], timer: x, state: running}],
  containers: [{name: c, image: "e@sha256:%s", environment: {A: "${labels.region}"},
    ports: [{host: 1, container: 1}], volumes: [{source: /srv, path: /srv}], user: "1:1", command: [a],
    limits: {memory: 1Mi, cpu: 5%%, openFiles: 16, processes: 1}}],
  packageRepositories: [{name: r, manager: apt, url: "https://example.com", key: "-----BEGIN PGP PUBLIC KEY BLOCK-----", suites: [a]}],
  packages: [{name: p, version: "1"}], groups: [{name: g, gid: 5}], users: [{name: u, groups: [g]}],
  kernelSettings: {sysctl: {a.b: 1, a.c: "${labels.region}"}, modules: [m]},
  hostFiles: [{name: h, path: /etc/hosts, content: "${labels.region}"}],
  actions: [{name: x, on: [/opt/otelcol], run: [/x]}], reboot: {when: always, within: {cron: "0 3 * * *", duration: 1h}}}""" % ("ab" * 32)

CASE = (
    shop()
    .write("tenants/shop/components/running.yaml", component("running", RUNNING))
    .edit(
        WEB, "- {name: collector, parameters: {sampling: 0.1}}", "- {name: collector, parameters: {sampling: 0.1}}\n    - {name: running}"
    )
)
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


@pytest.mark.no_cover
@given(st.sampled_from(PLACES), ODD)
@settings(max_examples=200)
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
