"""What is remembered of a base changes nothing but the time that a plan takes: cold and warm, all of it is the same, byte for byte."""

import random
from dataclasses import fields
from pathlib import Path
from typing import Any

import pygit2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.cli.memory import Memory
from reconciler.cli.planned import render
from reconciler.pipeline.acceptance.corpus import Corpus, load
from reconciler.pipeline.compile.index import Index
from reconciler.pipeline.remembered.bases import KnownBases
from reconciler.pipeline.remembered.manifests import KnownManifests
from reconciler.pipeline.remembered.sealed import Sealed
from reconciler.pipeline.source import CommitTree, write_tree
from tests.acceptance_cases import REPOSITORY, agent, component, fleet, tenant
from tests.plan_cases import before, begin, commit, planned, write

TEXTS = [
    tenant("shop"),
    agent("web-01", role="web", region="eu"),
    agent("web-01", role="db"),
    agent("box", owner="lab", role="box"),
    component("motd", "/etc/motd"),
    component("motd", "/etc/motd") + "---\n" + agent("web-02", role="web"),
    fleet("web", "motd", role="web"),
    fleet("all", "library/base"),
    component("base", "/etc/base").replace(", tenant: shop", ""),
    agent("web-03").replace("spec: {}", "spec: {colour: red}"),
    "kind: [\n",
    "",
    "---\n" + agent("web-04", role="web"),
]
PATHS = [
    *(f"tenants/shop/{name}.yaml" for name in ("a", "b", "c", "agents/d", "files/e")),
    "tenants/lab/a.yaml",
    "library/base.yaml",
    "signers/ana.yaml",
    "places/shop/a.yaml",
]
REPOSITORIES = ["", REPOSITORY, REPOSITORY + "  tenants: places\n", "kind: nothing\n"]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> pygit2.Repository:
    return pygit2.init_repository(str(tmp_path_factory.mktemp("git")), bare=True)


def tree_of(bare: pygit2.Repository, files: dict[str, str]) -> str:
    empty = str(bare.TreeBuilder().write())
    return write_tree(bare, empty, {path: str(bare.create_blob(text.encode())) for path, text in files.items()})


def told(corpus: Corpus) -> list[Any]:
    """Return all that a corpus holds, and in which order, but for names in sets."""
    indexes = [
        {one.name: list(value.items()) if isinstance(value := getattr(index, one.name), dict) else value for one in fields(Index)}
        for index in corpus.world.tenants.values()
    ]
    return [
        list(corpus.tree.entries.items()),
        corpus.layout,
        list(corpus.files.items()),
        list(corpus.objects.items()),
        list(corpus.world.tenants),
        indexes,
        list(corpus.world.misplaced.items()),
        corpus.world.repository,
    ]


@given(
    repository=st.sampled_from(REPOSITORIES), files=st.dictionaries(st.sampled_from(PATHS), st.sampled_from(TEXTS), min_size=1, max_size=8)
)
def test_a_base_is_the_same_as_if_it_were_read(
    repository: str, files: dict[str, str], bare: pygit2.Repository, tmp_path_factory: pytest.TempPathFactory
) -> None:
    oid = tree_of(bare, files | ({"ordain.yaml": repository} if repository else {}))
    cache = tmp_path_factory.mktemp("cache")
    known = KnownManifests(Sealed(cache), "manifests")
    first = load(CommitTree(bare, oid), read=known.read)
    KnownBases(Sealed(cache), known, "this version").put(first)
    known.save()
    again = KnownManifests(Sealed(cache), "manifests")
    recalled = KnownBases(Sealed(cache), again, "this version").get(CommitTree(bare, oid))
    assert recalled is not None
    assert told(recalled) == told(first)
    [*claimed] = [one for index in recalled.world.tenants.values() for each in index.files.values() for one in each]
    assert all(any(one is other for other in recalled.files[one.path].documents) for one in claimed)


def test_a_base_is_put_together_anew_by_another_version_and_where_a_value_is_missing(bare: pygit2.Repository, tmp_path: Path) -> None:
    tree = CommitTree(bare, tree_of(bare, before()))
    sealed = Sealed(tmp_path)
    known, forgetful = KnownManifests(sealed, "manifests"), KnownManifests(sealed, "nothing")
    KnownBases(sealed, known, "this version").put(load(tree, read=known.read))
    known.save()
    assert KnownBases(sealed, KnownManifests(sealed, "manifests"), "this version").get(tree) is not None
    assert KnownBases(sealed, KnownManifests(sealed, "manifests"), "another version").get(tree) is None
    assert KnownBases(sealed, forgetful, "this version").get(tree) is None


def edited(files: dict[str, str], chance: random.Random) -> dict[str, str]:
    """Return the files after one edit of the kind that people make: of a component, a host, a fleet, or the repository's own file."""
    hosts = sorted(path for path in files if "/agents/" in path)
    parts = sorted(path for path in files if "/components/" in path)
    number = chance.randrange(100)
    edits: list[dict[str, str | None]] = [
        {chance.choice(parts): files[parts[0]].replace("hello", f"hello {number}").replace("end", f"end {number}")},
        {chance.choice(hosts): agent(f"web-{number}", role=chance.choice(["web", "db"]), region="eu")},
        {f"tenants/shop/agents/new-{number}.yaml": agent(f"new-{number}", role="db", region="us")},
        {"tenants/shop/fleets/db.yaml": fleet("db", chance.choice(["backup", "config", "missing"]), role="db")},
        {chance.choice(hosts): None},
        {chance.choice(parts): component("backup", "/etc/backup.conf", mode="0666")},
        {"tenants/shop/notes.yaml": "kind: [\n"},
        {"ordain.yaml": REPOSITORY + "  rules: {host-safety/world-writable: {level: audit}}\n"},
    ]
    return {path: text for path, text in {**files, **chance.choice(edits)}.items() if text is not None}


@pytest.mark.no_cover
@pytest.mark.needs("opa", "git")
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_plan_is_the_same_with_all_that_is_remembered(seed: int, tmp_path: Path, opa: Path) -> None:
    chance = random.Random(seed)
    root = tmp_path / "fleets"
    begin(root, before())
    files = before()
    for step in range(4):
        files = edited(edited(files, chance), chance)
        for path in root.rglob("*.yaml"):
            path.unlink()
        write(root, files)
        warm = planned(root, opa, memory=Memory(tmp_path / "cache", root))
        assert render(warm, "json") == render(planned(root, opa), "json")
        if step == 1:
            commit(root, files)
    assert len([*(tmp_path / "cache").glob("base-*")]) == 2
