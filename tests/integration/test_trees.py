"""Snapshots and differences out of git objects, held to what the git command says, and hostile trees."""

import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.protocol.errors import MalformedError
from reconciler.pipeline.source import CommitTree, PatchedTree, diff_trees, open_repository, write_tree
from reconciler.pipeline.tree import MemoryTree, blob_id, difference
from tests.source_cases import WorkingCopy, tree_record

pytestmark = pytest.mark.needs("git")

PATHS = ["a", "a.b", "a/b", "a/c", "a/d/e", "a0", "b/a", "b.yaml", "c/a/a", "é"]
TEXTS = st.sampled_from(["", "one", "two"])


@st.composite
def contents(draw: st.DrawFn) -> dict[str, bytes]:
    """Draw path → bytes, without a file where another one needs a directory."""
    chosen = draw(st.dictionaries(st.sampled_from(PATHS), TEXTS, max_size=len(PATHS)))
    return {path: text.encode() for path, text in chosen.items() if not any(other.startswith(path + "/") for other in chosen)}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> WorkingCopy:
    return WorkingCopy.make(tmp_path_factory.mktemp("trees") / "copy")


def written(copy: WorkingCopy, files: dict[str, bytes]) -> str:
    """Return the id of a tree that git itself made of these files."""
    copy.git("read-tree", "--empty")
    lines = b"".join(b"100644 %s\t%s\n" % (copy.object("blob", data).encode(), path.encode()) for path, data in files.items())
    copy.git("update-index", "--add", "--index-info", stdin=lines)
    return copy.git("write-tree")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=contents(), after=contents())
def test_trees_compare_as_their_files_do(copy: WorkingCopy, before: dict[str, bytes], after: dict[str, bytes]) -> None:
    old, new = written(copy, before), written(copy, after)
    repository = open_repository(copy.path)
    expected = difference(MemoryTree(before), MemoryTree(after))
    assert diff_trees(repository, old, new) == expected
    earlier = CommitTree(repository, old)
    assert dict(earlier.entries) == dict(MemoryTree(before).entries)
    later = CommitTree(repository, new, near=earlier)
    assert list(later.entries.items()) == list(MemoryTree(after).entries.items())


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(head=contents(), accepted=contents(), data=st.data())
def test_a_tree_with_files_put_back_is_the_tree_that_git_would_write(
    copy: WorkingCopy, head: dict[str, bytes], accepted: dict[str, bytes], data: st.DataObject
) -> None:
    base, other = written(copy, head), written(copy, accepted)
    repository = open_repository(copy.path)
    touched = sorted(diff_trees(repository, other, base).touched)
    refused = data.draw(st.sets(st.sampled_from(touched)) if touched else st.just(set()))
    replace = {path: blob_id(accepted[path]) if path in accepted else None for path in refused}
    patched = PatchedTree(CommitTree(repository, base), replace)
    tree = write_tree(repository, base, replace)
    assert list(patched.entries.items()) == list(CommitTree(repository, tree).entries.items())
    assert all(patched.read(path) == accepted[path] for path in patched.entries if path in replace)
    assert written(copy, {path: patched.read(path) for path in patched.entries}) == tree


def test_putting_everything_back_gives_the_accepted_tree(copy: WorkingCopy) -> None:
    accepted = {"x": b"1", "y/z": b"2"}
    base, other = written(copy, {"x/inner": b"3", "y": b"4", "new/deep/file": b"5"}), written(copy, accepted)
    repository = open_repository(copy.path)
    touched = diff_trees(repository, other, base).touched
    assert write_tree(repository, base, {path: blob_id(accepted[path]) if path in accepted else None for path in touched}) == other


def test_nothing_to_put_back_writes_nothing(copy: WorkingCopy) -> None:
    base = written(copy, {"a": b"1"})
    assert write_tree(open_repository(copy.path), base, {}) == base


def test_reading_lists_nothing_and_a_missing_path_is_a_key_error(copy: WorkingCopy) -> None:
    tree = CommitTree(open_repository(copy.path), written(copy, {"a/b/c": b"deep", "d": b""}))
    assert tree.read("a/b/c") == b"deep"
    for path in ("a", "a/b", "a/b/x", "d/e", "", "/", "../d"):
        with pytest.raises(KeyError):
            tree.read(path)
    assert tree._entries is None  # noqa: SLF001 - what it costs is the point


def test_links_and_submodules_are_listed_by_their_mode_and_not_followed(copy: WorkingCopy) -> None:
    target = copy.object("blob", b"/etc/passwd")
    listing = f"120000 blob {target}\tlink\n160000 commit {'1' * 40}\tmodule\n"
    tree = CommitTree(open_repository(copy.path), copy.git("mktree", "--missing", stdin=listing.encode()))
    assert {path: entry.mode for path, entry in tree.entries.items()} == {"link": 0o120000, "module": 0o160000}
    assert tree.read("link") == b"/etc/passwd"
    with pytest.raises(KeyError):
        tree.read("module")


def test_hostile_names_are_listed_as_they_are_and_harm_nothing(copy: WorkingCopy) -> None:
    blob = copy.object("blob", b"x")
    names = [b"..", b".git", b"\xff", b"a\nb"]
    data = b"".join(tree_record("100644", name, blob) for name in sorted(names))
    oid = copy.object("tree", data)
    repository = open_repository(copy.path)
    tree = CommitTree(repository, oid)
    assert set(tree.entries) == {"..", ".git", "\udcff", "a\nb"}
    assert tree.read("\udcff") == b"x"
    without = write_tree(repository, oid, {"..": None})
    assert set(CommitTree(repository, without).entries) == {".git", "\udcff", "a\nb"}


def test_a_tree_bomb_is_refused_quickly(copy: WorkingCopy) -> None:
    # Ten levels of ten names each: eleven objects that stand for 10^10 files.
    oid, mode = copy.object("blob", b"boom"), "100644"
    for _ in range(10):
        oid = copy.object("tree", b"".join(tree_record(mode, b"%d" % digit, oid) for digit in range(10)))
        mode = "40000"
    repository = open_repository(copy.path)
    began = time.monotonic()
    with pytest.raises(MalformedError, match="more than 200000 files or directories"):
        diff_trees(repository, None, oid)
    with pytest.raises(MalformedError):
        CommitTree(repository, oid).entries  # noqa: B018 - listing is what fails
    assert time.monotonic() - began < 20


def test_directories_without_end_are_refused(copy: WorkingCopy) -> None:
    oid, mode = copy.object("blob", b"x"), "100644"
    for _ in range(100):
        oid, mode = copy.object("tree", tree_record(mode, b"d", oid)), "40000"
    with pytest.raises(MalformedError, match="deeper than"):
        diff_trees(open_repository(copy.path), None, oid)


@pytest.mark.parametrize("data", [b"100644 a", b"100644 a\0short", b"9 a\0" + b"x" * 20, b"junk"])
def test_a_malformed_tree_is_refused(copy: WorkingCopy, data: bytes) -> None:
    oid = copy.object("tree", data)
    parent = copy.object("tree", tree_record("40000", b"d", oid))
    with pytest.raises(MalformedError):
        diff_trees(open_repository(copy.path), None, parent)


def test_a_missing_object_is_refused_by_its_id(copy: WorkingCopy) -> None:
    oid = copy.object("tree", tree_record("100644", b"a", "ab" * 20))
    with pytest.raises(MalformedError, match="ab" * 20):
        CommitTree(open_repository(copy.path), oid).entries  # noqa: B018 - listing is what fails


def test_a_commit_of_one_file_among_10000_costs_milliseconds(tmp_path: Path) -> None:
    copy = WorkingCopy.make(tmp_path / "many")
    first = copy.commit("first", {f"tenants/shop/{number // 100}/{number}.yaml": f"{number}\n" for number in range(10_000)})
    second = copy.commit("second", {"tenants/shop/42/4242.yaml": "changed\n"})
    subprocess.run(["git", "repack", "-adq"], cwd=copy.path, check=True)
    repository = open_repository(copy.path)
    before = CommitTree(repository, first)
    assert len(before.entries) == 10_000
    began = time.process_time()
    after = CommitTree(repository, second, near=before)
    assert set(diff_trees(repository, before.oid, after.oid)) == {"tenants/shop/42/4242.yaml"}
    assert after.read("tenants/shop/42/4242.yaml") == b"changed\n"
    assert after.entries["tenants/shop/42/4242.yaml"].size == 8
    back = write_tree(repository, after.oid, {"tenants/shop/42/4242.yaml": before.entries["tenants/shop/42/4242.yaml"].oid})
    assert back == before.oid
    assert time.process_time() - began < 0.1
