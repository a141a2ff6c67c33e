"""A bare mirror of the one branch that is watched, in the state directory.

It can be deleted at any time: the next fetch makes it again. Its configuration names no remote and no token, and none of
the watched repository's settings reach it: it holds objects and our refs, and nothing decides by them.
"""

import contextlib
import logging
import re
import shutil
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import pygit2
from pygit2.enums import RepositoryOpenFlag

from agent.protocol.errors import InputError, RetryError
from reconciler.pipeline.source.location import Credentials, Location, locate
from reconciler.pipeline.source.nearby import bring
from reconciler.pipeline.source.ssh import SshAccess
from reconciler.pipeline.source.transfer import SourceLimits, Transfer

ACCEPTED = "refs/ordain/accepted"
HEADS = "refs/heads/"
BRANCHES = "refs/remotes/origin/"
PACKS_LIMIT = 50
"""Packs after which they are made one: each fetch brings a pack, and each lookup asks them all."""

PACK_SIZE = 32 * 1024 * 1024
"""Bytes up to which a pack is written again with others, so that making one of many stays quick."""

_FULL_SHA = re.compile(r"[0-9a-f]{40}")
_HEAD = re.compile(r"^(?:HEAD|@)(?![\w{])")
_log = logging.getLogger(__name__)


def mirror_path(state: Path) -> Path:
    """Return where the mirror of a state directory lies."""
    return state / "mirror.git"


def fetched_head(path: Path) -> str | None:
    """Return the head that a mirror last fetched, None where there is no mirror or no commit: a look, changing nothing."""
    if not (path / "HEAD").is_file():
        return None
    repository = pygit2.Repository(str(path), RepositoryOpenFlag.NO_SEARCH)
    refs = list(_below(repository, BRANCHES))
    return str(repository.references[refs[0]].target) if len(refs) == 1 else None


def open_repository(path: Path) -> pygit2.Repository:
    """Open the repository that holds `path`; raise `InputError` if there is none."""
    try:
        found = pygit2.discover_repository(str(path))
        if found is not None:
            return pygit2.Repository(found)
    except (pygit2.GitError, KeyError) as error:
        message = f"{path}: the git repository can't be opened: {error}"
        raise InputError(message) from error
    message = f"{path}: no git repository; give a directory inside one"
    raise InputError(message)


def resolve(repository: pygit2.Repository, revision: str) -> str:
    """Return the full commit sha of a revision; raise `InputError` if it names no commit."""
    try:
        return str(repository.revparse_single(revision).peel(pygit2.Commit).id)
    except (KeyError, ValueError, pygit2.GitError) as error:
        where = (repository.workdir or repository.path).rstrip("/")
        remedy = "give a branch, a tag or a commit that `git log` shows"
        if _FULL_SHA.fullmatch(revision):
            remedy = "fetch it, with all of its history; in CI that takes fetch-depth: 0 or GIT_DEPTH: 0, and the pull request's own ref"
        message = f"{revision!r} names no commit of {where}; {remedy}"
        raise InputError(message) from error


def full_sha(path: Path, revision: str) -> str:
    """Return the full commit sha of a revision in the mirror at `path`, which a full sha needs not be in.

    `HEAD` is the head of the branch that is followed, and a branch is that of the watched repository: `HEAD~2`, `main`.

    Raises:
        InputError: it names no commit there, or there is no repository.
    """
    if _FULL_SHA.fullmatch(revision):
        return revision
    repository = open_repository(path)
    followed = next(iter(_below(repository, BRANCHES)), "HEAD")
    for meant in (_HEAD.sub(followed, revision), BRANCHES + revision):
        with contextlib.suppress(InputError):
            return resolve(repository, meant)
    return resolve(repository, revision)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteHead:
    """What the watched repository says its branch is at."""

    ref: str
    sha: str


class Mirror:
    """The mirror, and the only thing that talks to the watched repository."""

    def __init__(
        self,
        path: Path,
        url: str,
        branch: str | None = None,
        limits: SourceLimits | None = None,
        *,
        credentials: Credentials | None = None,
        ssh: SshAccess | None = None,
    ) -> None:
        """`url` as `locate` reads it (raises `InputError`); without `branch` it is the one that the remote's HEAD names."""
        self.location: Location = locate(url)
        self.transfer = Transfer(
            location=self.location, limits=limits or SourceLimits(), credentials=credentials, ssh=ssh, home=path.with_name("ssh")
        )
        self._path, self._branch = path, branch
        self.repository: pygit2.Repository = _open_or_make(path)

    def head(self) -> str | None:
        """Return the head as last fetched, without asking the remote."""
        return fetched_head(self._path)

    def fetch(self) -> str | None:
        """Bring the branch here; return the sha of its head, or None while the repository has no commit.

        A poll without news is one question and one answer. A branch that was rewritten is followed: whether that is
        allowed is decided by `descends`. When there is no news, packs that piled up are made one.

        Raises:
            RetryError: network, time or size limits, a missing branch, no access.
        """
        remote = self._remote_head()
        if remote is None:
            return None
        ref = BRANCHES + remote.ref.removeprefix(HEADS)
        if not self._has(ref, remote.sha):
            if not self._brought(ref, remote.sha):
                self.transfer.fetch(self.repository, [f"+{remote.ref}:{ref}"])
            self._prune(ref)
        else:
            self.compact()
        return self.head()

    def _remote_head(self) -> RemoteHead | None:
        heads = self.transfer.list_heads(self.repository)
        branches = {name: sha for name, sha in heads.items() if name.startswith(HEADS)}
        wanted = self._wanted(branches)
        if wanted in branches:
            return RemoteHead(ref=wanted, sha=branches[wanted])
        if not branches and not self._branch:
            return None
        known = ", ".join(sorted(name.removeprefix(HEADS) for name in branches)[:10]) or "none"
        said = f"branch {wanted.removeprefix(HEADS)!r} is not there" if wanted else "its HEAD is at no branch"
        name = "push it, or name another one" if wanted else "name the one to follow: [source] branch in the settings"
        message = f"{self.location}: {said} (its branches: {known}); {name}"
        raise RetryError(message)

    def _wanted(self, branches: Collection[str]) -> str:
        """Return the ref to follow: the one that was asked for, else the one that was followed before, else what HEAD names.

        A person who checks out another branch in a watched working repository must not move a fleet to it.
        """
        if self._branch:
            return HEADS + self._branch
        before = [HEADS + name.removeprefix(BRANCHES) for name in _below(self.repository, BRANCHES)]
        if len(before) == 1 and before[0] in branches:
            return before[0]
        return self.transfer.head_branch or (next(iter(branches)) if len(branches) == 1 else "")

    def _has(self, ref: str, sha: str) -> bool:
        known = self.repository.references.get(ref)
        return known is not None and str(known.target) == sha and sha in self.repository

    def _brought(self, ref: str, sha: str) -> bool:
        """Bring a local repository's commit here if it is close to the one that the ref is at; return whether that was done."""
        known = self.repository.references.get(ref)
        if known is None or self.location.path is None or not bring(self.location.path, self.repository, str(known.target), sha):
            return False
        self.repository.references.create(ref, sha, force=True)
        return True

    def _prune(self, keep: str) -> None:
        for ref in list(_below(self.repository, BRANCHES)):
            if ref != keep:
                self.repository.references.delete(ref)

    def keep_accepted(self, head: str) -> None:
        """Let `refs/ordain/accepted` point to the accepted head, so that plain git can find it too.

        Not for one whose parents are missing, as after a move to a new machine and a rewrite: a ref promises the
        remote that its whole history is here, and a fetch would then lack objects.
        """
        commit = self.repository.get(head)
        if isinstance(commit, pygit2.Commit) and all(parent in self.repository for parent in commit.parent_ids):
            self.repository.references.create(ACCEPTED, head, force=True)

    def compact(self) -> bool:
        """Make one pack of the small packs and loose objects if there are more than PACKS_LIMIT packs; return whether it was done.

        Objects that no ref reaches are kept: they may be in an accepted state.
        """
        objects = self._path / "objects"
        if len(list((objects / "pack").glob("*.idx"))) <= PACKS_LIMIT:
            return False
        small = [index for index in (objects / "pack").glob("*.idx") if index.with_suffix(".pack").stat().st_size <= PACK_SIZE]
        loose = [file for directory in objects.glob("[0-9a-f][0-9a-f]") for file in directory.glob("?" * 38)]
        oids = {file.parent.name + file.name for file in loose}.union(*(_packed(index) for index in small))

        def choose(builder: pygit2.PackBuilder) -> None:
            for oid in sorted(oids):
                builder.add(pygit2.Oid(hex=oid))

        self.repository.pack(objects / "pack", choose)
        if not set((objects / "pack").glob("*.idx")) - set(small):
            return False
        for file in (*loose, *small, *(index.with_suffix(".pack") for index in small)):
            file.unlink()
        self.repository = _open_or_make(self._path)  # the old handle keeps the removed packs open
        return True


def _packed(index: Path) -> Iterable[str]:
    """Yield the ids of the objects in a pack, from its index (https://git-scm.com/docs/pack-format, version 2)."""
    data = index.read_bytes()
    count = int.from_bytes(data[1028:1032])
    for at in range(1032, 1032 + 20 * count, 20):
        yield data[at : at + 20].hex()


def _below(repository: pygit2.Repository, prefix: str) -> Iterable[str]:
    return (name for name in repository.references if name.startswith(prefix))


def _open_or_make(path: Path) -> pygit2.Repository:
    """Open the mirror, or make a new one where there is none that opens: nothing is only there."""
    pygit2.settings.enable_fsync_gitdir(True)  # noqa: FBT003 - pygit2's own; a power loss must not leave empty objects behind
    if path.exists():
        try:
            _remove_left(path)
            return pygit2.Repository(str(path), RepositoryOpenFlag.NO_SEARCH | RepositoryOpenFlag.BARE)
        except pygit2.GitError as error:
            if any(path.iterdir()):
                _log.warning("mirror %s can't be opened and is made anew: %s", path, error)
            _empty(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return pygit2.init_repository(str(path), bare=True)


def _empty(directory: Path) -> None:
    """Remove all that is in a directory, but not itself: a disk of its own may be mounted there."""
    for place in directory.iterdir():
        shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink()


def _remove_left(path: Path) -> None:
    """Remove locks and half-written packs that a killed process left: one process works on a state directory, and this one has none yet."""
    for left in (*path.glob("*.lock"), *(path / "refs").rglob("*.lock"), *(path / "objects").rglob("*_git2_*")):
        left.unlink(missing_ok=True)
