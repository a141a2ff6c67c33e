"""Locks that a killed process left in git directories: git never removes them, so we do, where nobody else can hold them."""

import os
import time
from pathlib import Path

import pytest

from agent.protocol.errors import RetryError
from reconciler.pipeline.notes import DECISIONS, LOCK_AGE, read_note, write_notes
from reconciler.pipeline.source import Mirror, open_repository
from tests.source_cases import WorkingCopy

pytestmark = pytest.mark.needs("git")


@pytest.fixture
def watched(tmp_path: Path) -> WorkingCopy:
    return WorkingCopy.make(tmp_path / "fleets")


def left(watched: WorkingCopy, *, age: float) -> Path:
    lock = watched.path / ".git" / f"{DECISIONS}.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    os.utime(lock, (time.time() - age,) * 2)
    return lock


def test_a_lock_on_the_notes_that_nobody_can_hold_any_more_is_broken(tmp_path: Path, watched: WorkingCopy) -> None:
    head = watched.commit("first", {"a": "1"})
    lock = left(watched, age=LOCK_AGE + 1)
    write_notes(Mirror(tmp_path / "mirror.git", str(watched.path)), [(head, "decision 1\n")])
    assert not lock.exists()
    assert read_note(open_repository(watched.path), head) == "decision 1\n"


def test_a_young_lock_on_the_notes_is_somebody_at_work(tmp_path: Path, watched: WorkingCopy) -> None:
    head = watched.commit("first", {"a": "1"})
    lock = left(watched, age=0)
    with pytest.raises(RetryError, match=r"decisions\.lock"):
        write_notes(Mirror(tmp_path / "mirror.git", str(watched.path)), [(head, "decision 1\n")])
    assert lock.exists()


def test_locks_and_half_packs_in_the_mirror_go_when_it_is_opened(tmp_path: Path, watched: WorkingCopy) -> None:
    head = watched.commit("first", {"a": "1"})
    path = tmp_path / "mirror.git"
    assert Mirror(path, str(watched.path)).fetch() == head
    left = ("refs/remotes/origin/main.lock", "packed-refs.lock", "config.lock", "objects/pack/pack_git2_bbda8a33071fa72f")
    for name in left:
        (path / name).touch()
    head = watched.commit("second", {"a": "2"})
    assert Mirror(path, str(watched.path)).fetch() == head
    assert not [name for name in left if (path / name).exists()]
