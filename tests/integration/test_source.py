"""The mirror of a watched repository on this machine: what it brings, what it follows, what it refuses."""

import os
import stat
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pygit2
import pytest

from agent.protocol.errors import InputError, MalformedError, RetryError
from reconciler.pipeline.source import (
    CommitTree,
    Credentials,
    Mirror,
    SourceLimits,
    clear_exception,
    descends,
    locate,
    open_repository,
    read_exception,
    resolve,
    write_exception,
)
from reconciler.pipeline.source.mirror import ACCEPTED, PACKS_LIMIT
from reconciler.pipeline.source.watch import Watcher, next_poll
from tests.source_cases import WorkingCopy

pytestmark = pytest.mark.needs("git")


@pytest.fixture
def watched(tmp_path: Path) -> WorkingCopy:
    return WorkingCopy.make(tmp_path / "fleets")


@pytest.fixture
def mirror(tmp_path: Path, watched: WorkingCopy) -> Mirror:
    return Mirror(tmp_path / "state" / "mirror.git", str(watched.path))


def test_a_commit_arrives_with_its_files(watched: WorkingCopy, mirror: Mirror) -> None:
    head = watched.commit("first", {"ordain.yaml": "a: 1\n", "tenants/shop/web.yaml": "b: 2\n"})
    assert mirror.fetch() == head
    tree = CommitTree(mirror.repository, head)
    assert list(tree.entries) == ["ordain.yaml", "tenants/shop/web.yaml"]
    assert tree.read("tenants/shop/web.yaml") == b"b: 2\n"
    assert tree.entries["ordain.yaml"].size == 5


def test_a_repository_without_commits_is_no_error(mirror: Mirror) -> None:
    assert mirror.fetch() is None
    assert mirror.head() is None


def test_a_file_url_and_a_bare_repository_do_as_well(tmp_path: Path, watched: WorkingCopy) -> None:
    head = watched.commit("first", {"a": "1"})
    watched.git("clone", "--quiet", "--bare", ".", str(tmp_path / "with space%20.git"))
    bare = Mirror(tmp_path / "mirror.git", str(tmp_path / "with space%20.git"))
    assert bare.fetch() == head
    url = Mirror(tmp_path / "other.git", watched.path.as_uri())
    assert url.fetch() == head


def test_a_branch_that_is_not_there_is_named_with_those_that_are(tmp_path: Path, watched: WorkingCopy) -> None:
    watched.commit("first", {"a": "1"})
    with pytest.raises(RetryError, match=r"branch .release. is not there .its branches: main\)"):
        Mirror(tmp_path / "mirror.git", str(watched.path), branch="release").fetch()


def test_a_head_that_is_at_no_branch_of_several_is_said_to_be(tmp_path: Path, watched: WorkingCopy) -> None:
    watched.commit("one")
    watched.git("branch", "other")
    watched.git("checkout", "--quiet", "--detach")
    with pytest.raises(RetryError, match=r"its HEAD is at no branch .its branches: main, other\); name the one to follow"):
        Mirror(tmp_path / "mirror.git", str(watched.path)).fetch()


def test_checking_out_another_branch_in_the_watched_copy_moves_nothing(watched: WorkingCopy, mirror: Mirror) -> None:
    # HEAD names the branch try, one commit on top of main.
    first = watched.commit("1", {"a": "1"})
    mirror.fetch()
    watched.git("checkout", "--quiet", "-b", "try")
    watched.commit("2", {"a": "2"})
    assert mirror.fetch() == first


def test_a_renamed_default_branch_is_followed_and_the_old_ref_goes(watched: WorkingCopy, mirror: Mirror) -> None:
    head = watched.commit("first", {"a": "1"})
    mirror.fetch()
    watched.git("branch", "--move", "trunk")
    assert mirror.fetch() == head
    assert [name for name in mirror.repository.references if "origin" in name] == ["refs/remotes/origin/trunk"]


def test_a_force_push_is_followed_by_the_mirror_and_seen_for_what_it_is(watched: WorkingCopy, mirror: Mirror) -> None:
    # before: 1 -- 2     after: 1 -- 3
    first = watched.commit("1", {"a": "1"})
    second = watched.commit("2", {"a": "2"})
    mirror.fetch()
    mirror.keep_accepted(second)
    watched.git("reset", "--quiet", "--hard", first)
    third = watched.commit("3", {"a": "3"})
    assert mirror.fetch() == third
    assert not descends(mirror.repository, second, third)
    assert descends(mirror.repository, first, third)
    assert str(mirror.repository.references[ACCEPTED].target) == second


def test_a_reset_to_an_older_commit_does_not_descend_either(watched: WorkingCopy, mirror: Mirror) -> None:
    first = watched.commit("1", {"a": "1"})
    second = watched.commit("2", {"a": "2"})
    mirror.fetch()
    watched.git("reset", "--quiet", "--hard", first)
    assert mirror.fetch() == first
    assert not descends(mirror.repository, second, first)


def test_a_head_that_the_mirror_never_had_is_nobodys_ancestor(watched: WorkingCopy, mirror: Mirror) -> None:
    head = watched.commit("1", {"a": "1"})
    mirror.fetch()
    assert not descends(mirror.repository, "0123456789" * 4, head)


def test_a_fetch_past_its_size_is_given_up(tmp_path: Path, watched: WorkingCopy) -> None:
    (watched.path / "large").write_bytes(os.urandom(3_000_000))
    watched.commit("large")
    mirror = Mirror(tmp_path / "mirror.git", str(watched.path), limits=SourceLimits(bytes=1_000_000))
    with pytest.raises(RetryError, match="more than 1000000 bytes"):
        mirror.fetch()
    assert mirror.head() is None


def test_a_fetch_past_its_time_is_given_up(tmp_path: Path, watched: WorkingCopy) -> None:
    watched.commit("some", {f"file-{number}": str(number) for number in range(200)})
    mirror = Mirror(tmp_path / "mirror.git", str(watched.path), limits=SourceLimits(seconds=0.0))
    with pytest.raises(RetryError, match="not done after 0 s"):
        mirror.fetch()


def test_a_mirror_that_does_not_open_is_made_anew(tmp_path: Path, watched: WorkingCopy) -> None:
    head = watched.commit("1", {"a": "1"})
    path = tmp_path / "mirror.git"
    Mirror(path, str(watched.path)).fetch()
    (path / "HEAD").write_text("garbage")
    assert Mirror(path, str(watched.path)).fetch() == head


def test_packs_that_pile_up_are_made_one_and_nothing_is_lost(watched: WorkingCopy, mirror: Mirror) -> None:
    heads = []
    for number in range(PACKS_LIMIT + 1):
        heads.append(watched.commit(str(number), {f"file-{number}": str(number)}))
        mirror.fetch()
    loose = str(mirror.repository.create_blob(b"of an accepted state"))
    packs = Path(mirror.repository.path) / "objects" / "pack"
    assert len(list(packs.glob("*.pack"))) == PACKS_LIMIT + 1
    assert mirror.fetch() == heads[-1]
    assert len(list(packs.glob("*.pack"))) == 1
    fresh = pygit2.Repository(mirror.repository.path)
    assert all(head in fresh for head in [*heads, loose])
    assert len(CommitTree(fresh, heads[-1]).entries) == len(heads)


def test_nothing_of_a_hostile_repository_is_run(tmp_path: Path, watched: WorkingCopy, mirror: Mirror) -> None:
    trap = tmp_path / "trap"
    script = f"#!/bin/sh\ntouch {trap}\ncat\n"
    for name in ("post-checkout", "pre-push", "reference-transaction", "post-update", "pre-receive", "fsmonitor-watchman"):
        hook = watched.path / ".git" / "hooks" / name
        hook.write_text(script)
        hook.chmod(hook.stat().st_mode | stat.S_IXUSR)
    watched.git("config", "core.hooksPath", ".git/hooks")
    watched.git("config", "core.fsmonitor", str(watched.path / ".git/hooks/fsmonitor-watchman"))
    watched.git("config", "core.sshCommand", str(watched.path / ".git/hooks/pre-push"))
    watched.git("config", "uploadpack.packObjectsHook", str(watched.path / ".git/hooks/pre-push"))
    data = watched.object("blob", b"as it is in git\n")
    attributes = watched.object("blob", b"* filter=evil diff=evil text eol=crlf\n")
    for kind in ("smudge", "clean", "process"):
        watched.git("config", f"filter.evil.{kind}", str(watched.path / ".git/hooks/pre-push"))
    listing = f"100644 blob {attributes}\t.gitattributes\n100644 blob {data}\tfile\n"
    head = watched.commit_tree(watched.git("mktree", stdin=listing.encode()))
    trap.unlink(missing_ok=True)
    assert mirror.fetch() == head
    assert CommitTree(mirror.repository, head).read("file") == b"as it is in git\n"
    assert not trap.exists()


def test_a_repository_that_borrows_objects_is_refused(tmp_path: Path, watched: WorkingCopy) -> None:
    watched.commit("secret", {"secret": "of somebody else"})
    watched.git("clone", "--quiet", "--shared", ".", str(tmp_path / "borrower"))
    with pytest.raises(RetryError, match="borrows objects from another repository"):
        Mirror(tmp_path / "mirror.git", str(tmp_path / "borrower")).fetch()


def test_a_missing_path_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RetryError, match="no git repository that can be opened"):
        Mirror(tmp_path / "mirror.git", str(tmp_path / "nowhere")).fetch()


@pytest.mark.parametrize(
    ("repository", "why"),
    [
        ("https://ana:hunter2@git.example.com/fleets.git", "holds a user name or password"),
        ("https://hunter2@git.example.com/fleets.git", "holds a user name or password"),
        ("http://git.example.com/fleets.git", "http: not supported"),
        ("ssh://git:hunter2@git.example.com/fleets.git", "holds a user name or password"),
        ("file://otherhost/fleets.git", "not supported"),
    ],
)
def test_a_repository_is_named_safely_or_refused_without_repeating_a_secret(repository: str, why: str) -> None:
    with pytest.raises(InputError, match=why) as refused:
        locate(repository)
    assert "hunter2" not in str(refused.value)


def test_a_token_is_read_at_each_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    by_file = Credentials.parse(f"file:{file}")
    assert by_file.token() == "first"
    file.write_text("second\n")
    assert by_file.token() == "second"
    monkeypatch.setenv("FLEETS_TOKEN", "third")
    assert Credentials.parse("env:FLEETS_TOKEN").token() == "third"
    monkeypatch.delenv("FLEETS_TOKEN")
    with pytest.raises(RetryError, match="FLEETS_TOKEN is empty or not there"):
        Credentials.parse("env:FLEETS_TOKEN").token()


def test_a_token_given_as_such_is_refused_unseen() -> None:
    with pytest.raises(InputError) as refused:
        Credentials.parse("ghp_hunter2")
    assert "hunter2" not in str(refused.value)


def test_a_revision_resolves_or_is_refused_with_a_remedy(watched: WorkingCopy) -> None:
    first = watched.commit("1", {"a": "1"})
    watched.commit("2", {"a": "2"})
    repository = open_repository(watched.path)
    assert resolve(repository, "main~1") == first
    with pytest.raises(InputError, match="names no commit"):
        resolve(repository, "nonsense")
    with pytest.raises(InputError, match=r"fetch it, with all of its history; in CI that takes fetch-depth: 0"):
        resolve(repository, "e" * 40)


class Bell:
    """Notes when it was rung."""

    def __init__(self) -> None:
        self.rung = threading.Event()
        self.at = 0.0

    def __call__(self) -> None:
        self.at = self.at or time.monotonic()
        self.rung.set()


@pytest.mark.parametrize("kind", ["working copy", "linked worktree", "bare"])
def test_a_commit_is_noticed_within_200_ms(tmp_path: Path, watched: WorkingCopy, kind: str) -> None:
    watched.commit("1", {"a": "1"})
    path = watched.path
    if kind == "linked worktree":
        path = tmp_path / "linked"
        watched.git("worktree", "add", "--quiet", str(path))
    if kind == "bare":
        path = tmp_path / "bare.git"
        watched.git("clone", "--quiet", "--bare", ".", str(path))
        watched.git("remote", "add", "origin", str(path))
    bell = Bell()
    watcher = Watcher(locate(str(path)), bell)
    assert watcher.start()
    try:
        time.sleep(0.3)
        assert not bell.rung.is_set()
        watched.commit("2", {"a": "2"})
        if kind == "bare":
            watched.git("push", "--quiet", "origin", "main")
        done = time.monotonic()
        assert bell.rung.wait(2)
        assert bell.at - done < 0.2
    finally:
        watcher.stop()


def test_our_own_fetch_is_no_news(watched: WorkingCopy, mirror: Mirror) -> None:
    watched.commit("1", {"a": "1"})
    bell = Bell()
    watcher = Watcher(mirror.location, bell)
    assert watcher.start()
    try:
        time.sleep(0.2)
        bell.rung.clear()
        mirror.fetch()
        assert not bell.rung.wait(0.5)
    finally:
        watcher.stop()


def test_what_can_not_be_watched_is_polled(tmp_path: Path) -> None:
    assert not Watcher(locate("https://git.example.com/fleets.git"), Bell()).start()
    assert not Watcher(locate(str(tmp_path / "nowhere")), Bell()).start()


def test_polls_are_spread_around_their_interval() -> None:
    random = Random(7)
    waits = [next_poll(30.0, 0.1, random) for _ in range(500)]
    assert 27.0 <= min(waits) < 27.5
    assert 32.5 < max(waits) <= 33.0


def test_a_word_about_rewritten_history_is_kept_until_it_is_used(tmp_path: Path) -> None:
    assert read_exception(tmp_path) is None
    now = datetime(2026, 11, 22, 10, tzinfo=UTC)
    written = write_exception(tmp_path, head="a" * 40, reason="secret removed", now=now)
    assert read_exception(tmp_path) == written
    assert (written.head, written.reason, written.when) == ("a" * 40, "secret removed", "2026-11-22T10:00:00Z")
    clear_exception(tmp_path)
    assert read_exception(tmp_path) is None


def test_a_damaged_word_about_history_allows_nothing(tmp_path: Path) -> None:
    (tmp_path / "history-exception.json").write_text('{"head": "')
    with pytest.raises(MalformedError):
        read_exception(tmp_path)
