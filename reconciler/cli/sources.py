"""Where `ordain check` gets its snapshots: the files as they are, or a commit of the git repository that they are in."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pygit2

from agent.protocol.errors import InputError
from reconciler.pipeline.snapshot import DirectoryTree, Unchanged
from reconciler.pipeline.source import CommitTree, commits_between, descends, open_repository, resolve
from reconciler.pipeline.tree import EMPTY, Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What a change starts from, all of it taken as accepted: a commit, its tree, and the commits since, up to `newest`."""

    revision: str
    tree: Tree
    commits: tuple[Mapping[str, Any], ...] = ()
    newest: str | None = None
    place: "Place | None" = None
    """Where its git repository is, for signatures; None: nobody looks at them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A fleet repository: its directory, the git repository around it, and the way from the root of that (`fleets/`, or empty)."""

    path: Path
    repository: pygit2.Repository | None
    prefix: str = ""

    def git(self) -> pygit2.Repository:
        """Return the git repository; raise `InputError` if there is none."""
        return self.repository if self.repository is not None else open_repository(self.path)


def place_of(path: Path) -> Place:
    """Return where a fleet repository is."""
    found = pygit2.discover_repository(str(path))
    if found is None:
        return Place(path=path, repository=None)
    repository = open_repository(path)
    if repository.workdir is None:
        return Place(path=path, repository=repository)
    inside = path.resolve().relative_to(Path(repository.workdir).resolve()).as_posix()
    return Place(path=path, repository=repository, prefix="" if inside == "." else inside + "/")


def head_of(place: Place, rev: str | None, *, known: Unchanged | None = None) -> tuple[Tree, str | None]:
    """Return the snapshot to judge, and its commit; that is None for files as they are, of which `known` knows some.

    Raises:
        InputError: the revision names no commit, or one that does not have the directory.
    """
    if rev is None:
        return DirectoryTree(place.path, known=known), None
    revision = resolve(place.git(), rev)
    tree = _at(place, revision)
    if tree is None:
        message = f"{place.prefix} is not in {rev}; name a revision that has it"
        raise InputError(message)
    return tree, revision


DEFAULT_BRANCHES = ("refs/remotes/origin/HEAD", "refs/remotes/origin/main", "refs/remotes/origin/master")
"""What a change is merged into, where nothing else is said; a branch's own upstream is where it is pushed to, not that."""
LOCAL_BRANCHES = ("refs/heads/main", "refs/heads/master")
"""The same in a repository without a remote."""


def merge_base_of(place: Place, rev: str | None, head: str | None) -> Base | None:
    """Return where `head` (None: files as they are) parted from `rev` or, that left out, from the default branch; else what is checked out.

    None where there is no commit to start from: then all of it is new. A revision that has no history in common with the head
    is a base as it is.

    Raises:
        InputError: `rev` names no commit, or there is no git repository.
    """
    repository = place.git()
    newest = head or _checked_out(repository)
    if rev is None:
        found = _default_base(repository, newest) if newest is not None else None
        return base_of(place, found, head) if found is not None else None
    revision = _resolved(repository, rev)
    parted = repository.merge_base(revision, newest) if newest is not None else None
    if parted is not None and str(parted) != revision:
        click.echo(f"{rev} has moved on: planned from {str(parted)[:12]}, where the head parted from it", err=True)
    return base_of(place, str(parted or revision), head)


def _default_base(repository: pygit2.Repository, newest: str) -> str:
    remote = any(name in repository.references for name in DEFAULT_BRANCHES)
    for name in DEFAULT_BRANCHES if remote else LOCAL_BRANCHES:
        if name in repository.references:
            found = repository.merge_base(repository.references[name].peel(pygit2.Commit).id, newest)
            if found is not None:
                return str(found)
    return newest


def base_of(place: Place, rev: str, head: str | None) -> Base:
    """Return a revision as the accepted state of a check, with the commits since: up to `head`, or to what is checked out.

    Raises:
        InputError: it names no commit.
    """
    repository = place.git()
    revision = _resolved(repository, rev)
    newest = head or _checked_out(repository)
    if newest is not None and not descends(repository, revision, newest):
        click.echo(f"warning: {rev} is not in the history of what is judged, so what only it has counts as removed", err=True)
    commits = tuple(
        {"sha": one.sha, "author": one.author, "email": one.email, "signer": None, "time": one.time, "paths": list(one.paths)}
        for one in (commits_between(repository, revision, newest) if newest is not None else ())
    )
    return Base(revision=revision, tree=_at(place, revision) or EMPTY, commits=commits, newest=newest, place=place)


def _resolved(repository: pygit2.Repository, rev: str) -> str:
    try:
        return resolve(repository, rev)
    except InputError as error:
        message = f"--base: {error}; a shallow clone may lack it (`git fetch --unshallow`, or fetch-depth: 0)"
        raise InputError(message) from error


def _checked_out(repository: pygit2.Repository) -> str | None:
    return None if repository.head_is_unborn else str(repository.head.target)


def _at(place: Place, revision: str) -> CommitTree | None:
    """Return the snapshot of the fleet repository's directory in a commit, None where the commit does not have it."""
    repository = place.git()
    if not place.prefix:
        return CommitTree(repository, revision)
    try:
        found = repository[revision].peel(pygit2.Tree)[place.prefix.rstrip("/")]
    except KeyError:
        return None
    return CommitTree(repository, str(found.id)) if isinstance(found, pygit2.Tree) else None
