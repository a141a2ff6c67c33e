"""A few new commits of a local repository come into the mirror as a fetch would bring them, at the cost of what they change."""

from pathlib import Path

import pygit2
import pytest

from reconciler.pipeline.source import CommitTree, Mirror, diff_trees, nearby
from reconciler.pipeline.source.nearby import bring
from tests.source_cases import WorkingCopy

pytestmark = pytest.mark.needs("git")


@pytest.fixture
def copy(tmp_path: Path) -> WorkingCopy:
    made = WorkingCopy.make(tmp_path / "fleets")
    made.commit("first", {"a/one.yaml": "1", "b/two.yaml": "2"})
    return made


@pytest.fixture
def mirror(copy: WorkingCopy, tmp_path: Path) -> Mirror:
    made = Mirror(tmp_path / "mirror.git", str(copy.path))
    made.fetch()
    return made


def whole(mirror: Mirror, head: str) -> dict[str, bytes]:
    """Return all files of a head, each read from the mirror alone."""
    tree = CommitTree(mirror.repository, head)
    return {path: tree.read(path) for path in tree.entries}


def test_commits_that_are_close_are_brought_with_all_that_they_name(copy: WorkingCopy, mirror: Mirror) -> None:
    old = mirror.head()
    copy.commit("second", {"a/one.yaml": "changed"})
    new = copy.commit("third", {"c/deep/three.yaml": "3", "b/two.yaml": None})
    assert old is not None
    assert bring(copy.path, mirror.repository, old, new)
    assert whole(mirror, new) == {"a/one.yaml": b"changed", "c/deep/three.yaml": b"3"}


def test_a_fetch_that_needs_no_transfer_leads_to_the_same_mirror(
    copy: WorkingCopy, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror.transfer, "fetch", lambda *_: pytest.fail("transferred"))
    for number in range(3):
        new = copy.commit("more", {"a/one.yaml": str(number)})
        assert mirror.fetch() == new == mirror.head()
    done = pygit2.Repository(mirror.repository.path)
    assert [str(commit.id) for commit in done.walk(new)] == copy.git("rev-list", "HEAD").split()


def test_both_sides_of_a_merge_are_brought(copy: WorkingCopy, mirror: Mirror) -> None:
    #   1 ── 2 ──── 4     main
    #    └── 3 ────┘      side
    copy.git("branch", "side")
    copy.commit("2", {"a/one.yaml": "2"})
    copy.git("checkout", "--quiet", "side")
    side = copy.commit("3", {"b/side.yaml": "3"})
    copy.git("checkout", "--quiet", "main")
    copy.git("merge", "--quiet", "--no-ff", "-m", "4", "side")
    new = copy.git("rev-parse", "HEAD")
    assert mirror.fetch() == new
    assert whole(mirror, new) == {"a/one.yaml": b"2", "b/side.yaml": b"3", "b/two.yaml": b"2"}
    assert whole(mirror, side)["b/side.yaml"] == b"3"


def test_rewritten_history_and_many_changes_are_left_to_a_fetch(copy: WorkingCopy, mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    old = mirror.head()
    assert old is not None
    far = copy.commit("many", {f"many/{number}.yaml": str(number) for number in range(20)})
    monkeypatch.setattr(nearby, "OBJECTS_LIMIT", 10)
    assert not bring(copy.path, mirror.repository, old, far)
    assert far not in mirror.repository
    assert mirror.fetch() == far
    copy.git("commit", "--quiet", "--amend", "-m", "rewritten")
    rewritten = copy.git("rev-parse", "HEAD")
    assert not bring(copy.path, mirror.repository, far, rewritten)
    assert mirror.fetch() == rewritten


def test_a_damaged_object_brings_nothing(copy: WorkingCopy, mirror: Mirror) -> None:
    old = mirror.head()
    assert old is not None
    new = copy.commit("second", {"a/one.yaml": "changed"})
    blob = copy.git("rev-parse", "HEAD:a/one.yaml")
    loose = copy.path / ".git" / "objects" / blob[:2] / blob[2:]
    loose.chmod(0o644)
    loose.write_bytes((copy.path / ".git" / "objects" / new[:2] / new[2:]).read_bytes())
    assert not bring(copy.path, mirror.repository, old, new)


def test_what_a_commit_removes_is_no_reason_to_transfer(copy: WorkingCopy, mirror: Mirror) -> None:
    old = mirror.head()
    new = copy.commit("gone", {"a/one.yaml": None})
    assert mirror.fetch() == new
    assert diff_trees(mirror.repository, CommitTree(mirror.repository, str(old)).oid, CommitTree(mirror.repository, new).oid).removed == {
        "a/one.yaml"
    }
