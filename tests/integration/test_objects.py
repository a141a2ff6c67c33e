"""Archives of git objects: what they hold, what a new machine gets from them, and what of them is refused."""

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import pygit2
import pytest

from agent.protocol.errors import MalformedError
from reconciler.pipeline.objects import export_objects, import_objects
from reconciler.pipeline.source import CommitTree, Mirror, descends, open_repository
from tests.source_cases import WorkingCopy, tree_record

pytestmark = pytest.mark.needs("git")


@pytest.fixture
def copy(tmp_path: Path) -> WorkingCopy:
    return WorkingCopy.make(tmp_path / "copy")


@pytest.fixture
def empty(tmp_path: Path) -> pygit2.Repository:
    return pygit2.init_repository(str(tmp_path / "new-machine.git"), bare=True)


def names(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getnames()


def packed(*members: tuple[str, bytes]) -> bytes:
    """Return an archive as an attacker would write it."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(raw.getvalue())


def oid(kind: str, data: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()


def test_an_archive_brings_a_tree_to_a_machine_that_has_nothing(copy: WorkingCopy, empty: pygit2.Repository) -> None:
    head = copy.commit("1", {"a": "1", "d/e/f": "2", "d/same": "1"})
    tree = CommitTree(open_repository(copy.path), head)
    data = export_objects(tree.repository, None, tree.oid, [head])
    assert data is not None
    assert import_objects(empty, data) == 6  # two blobs, three directories, one commit
    restored = CommitTree(empty, tree.oid)
    assert dict(restored.entries) == dict(tree.entries)
    assert restored.read("d/e/f") == b"2"
    assert import_objects(empty, data) == 0


def test_an_archive_holds_what_changed_and_nothing_else(copy: WorkingCopy) -> None:
    first = copy.commit("1", {"a": "1", "d/e": "2", "other/x": "3"})
    second = copy.commit("2", {"d/e": "changed"})
    repository = open_repository(copy.path)
    old, new = CommitTree(repository, first), CommitTree(repository, second)
    data = export_objects(repository, old.oid, new.oid, [second])
    assert data is not None
    directory = str(repository[new.oid]["d"].id)  # type: ignore[index]
    changed = new.entries["d/e"].oid
    assert names(data) == [f"blob-{changed}", f"tree-{directory}", f"tree-{new.oid}", f"commit-{second}"]
    assert export_objects(repository, new.oid, new.oid) is None


def test_the_same_objects_give_the_same_archive(copy: WorkingCopy) -> None:
    head = copy.commit("1", {f"d{number}/f": str(number) for number in range(20)})
    repository = open_repository(copy.path)
    tree = CommitTree(repository, head).oid
    assert export_objects(repository, None, tree, [head]) == export_objects(repository, None, tree, [head])


def test_archives_in_order_lead_to_the_newest_tree(copy: WorkingCopy, empty: pygit2.Repository) -> None:
    repository, before = open_repository(copy.path), None
    archives = []
    for number in range(4):
        head = copy.commit(str(number), {f"d/{number}": str(number), "shared": str(number % 2)})
        tree = CommitTree(repository, head).oid
        archives.append(export_objects(repository, before, tree, [head]))
        before = tree
    for archive in archives:
        assert archive is not None
        import_objects(empty, archive)
    assert before is not None
    assert list(CommitTree(empty, before).entries) == ["d/0", "d/1", "d/2", "d/3", "shared"]


def test_a_force_push_loses_nothing_that_was_accepted(tmp_path: Path, copy: WorkingCopy) -> None:
    # accepted: 1 -- 2     then main is reset to 1 and goes on with 3; a new machine starts with an empty disk
    first = copy.commit("1", {"a": "1"})
    copy.commit("between", {"b": "2"})
    accepted = copy.commit("2", {"a": "2"})
    repository = open_repository(copy.path)
    tree = CommitTree(repository, accepted)
    data = export_objects(repository, None, tree.oid, [accepted])
    assert data is not None
    copy.git("reset", "--quiet", "--hard", first)
    head = copy.commit("3", {"a": "3"})
    copy.git("reflog", "expire", "--expire=now", "--all")
    copy.git("gc", "--quiet", "--prune=now")
    mirror = Mirror(tmp_path / "state" / "mirror.git", str(copy.path))
    assert mirror.fetch() == head
    assert accepted not in mirror.repository
    import_objects(mirror.repository, data)
    assert CommitTree(mirror.repository, accepted).read("a") == b"2"
    assert not descends(mirror.repository, accepted, head)
    mirror.keep_accepted(accepted)
    assert mirror.fetch() == head


def test_submodules_are_left_out(copy: WorkingCopy) -> None:
    tree = copy.object("tree", tree_record("160000", b"module", "1" * 40))
    data = export_objects(open_repository(copy.path), None, tree)
    assert data is not None
    assert names(data) == [f"tree-{tree}"]


@pytest.mark.parametrize(
    "name",
    [f"blob-{oid('blob', b'other')}", f"tree-{oid('blob', b'data')}", "blob-short", f"tag-{'0' * 40}", f"../blob-{oid('blob', b'data')}"],
)
def test_a_member_that_is_not_what_its_name_says_is_refused(empty: pygit2.Repository, name: str) -> None:
    with pytest.raises(MalformedError):
        import_objects(empty, packed((name, b"data")))
    assert list(empty.odb) == []


def test_links_in_an_archive_are_refused(empty: pygit2.Repository) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        entry = tarfile.TarInfo("blob-" + "0" * 40)
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)
    with pytest.raises(MalformedError, match="does not belong there"):
        import_objects(empty, gzip.compress(raw.getvalue()))


def test_bytes_that_are_no_archive_are_refused(empty: pygit2.Repository) -> None:
    good = packed((f"blob-{oid('blob', b'data')}", b"data"))
    for bad in (b"", b"junk", good[:-4], good[:20], good + b"more", gzip.compress(b"x" * 5000), bytes(reversed(good))):
        with pytest.raises(MalformedError):
            import_objects(empty, bad)


def test_an_archive_that_unpacks_without_end_is_refused(empty: pygit2.Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.pipeline.objects.UNPACKED_LIMIT", 1_000_000)
    data = b"0" * 5_000_000
    with pytest.raises(MalformedError, match="more than 1000000 bytes"):
        import_objects(empty, packed((f"blob-{oid('blob', data)}", data)))
