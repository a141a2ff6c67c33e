"""What commands about the past look into: a git repository and, where it is at hand, a store with the keys to verify it by."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from securesystemslib.signer import Key

from agent.protocol.errors import InputError
from reconciler import settings
from reconciler.cli.sources import Place, head_of, place_of
from reconciler.pipeline.acceptance.corpus import Corpus, load
from reconciler.pipeline.accepted import AcceptedState, read
from reconciler.pipeline.manifests import REPOSITORY_FILE
from reconciler.pipeline.signing import decision_keys
from reconciler.pipeline.source import CommitTree, mirror_path
from reconciler.pipeline.trail.decided import Decided, read_notes, read_records
from reconciler.pipeline.trail.scratch import with_accepted
from reconciler.publication.keys import REPOSITORY, KeyRing
from reconciler.publication.public_keys import NEXT, PublicKeys, read_public
from reconciler.publication.store import Store, open_store

ReleaseKeys = Callable[[str], Sequence[Key]]
"""From a tenant to the keys that may have signed its releases at any time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A repository and, where it is at hand, a store with the public keys of the pipeline."""

    place: Place
    store: Store | None = None
    decision_keys: Sequence[Key] = ()
    release_keys: ReleaseKeys = lambda _: ()

    def decisions(self) -> list[Decided]:
        """Return all decisions: verified records of the store, else what the repository's notes say."""
        if self.store is None:
            return read_notes(self.place.git())
        return read_records(self.store, self.decision_keys)

    def accepted(self) -> AcceptedState | None:
        """Return the accepted state, None without a store or before the first decision; raise `RefusedError` if it is not ours."""
        found = read(self.store, *self.decision_keys) if self.store is not None else None
        return found.state if found else None


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where the evidence is."""
    for option in (
        click.option(
            "--repo", type=click.Path(exists=True, path_type=Path), help="Fleet repository. [default: ., or the mirror in --state]"
        ),
        click.option("--state", type=click.Path(exists=True, file_okay=False, path_type=Path), help="The reconciler's state directory."),
        click.option("--settings", "file", type=click.Path(dir_okay=False, path_type=Path), help="Settings file (TOML), with --state."),
        click.option("--store", "url", help="A store, or a copy of one, on another machine; with --keys."),
        click.option("--keys", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="public.json of the pipeline zone."),
    ):
        command = option(command)
    return command


def gather(repo: Path | None, state: Path | None, file: Path | None, url: str | None, keys: Path | None) -> Evidence:
    """Return what the options name: with --state the reconciler's own, with --store a copy, else the repository alone.

    Raises:
        InputError: options that don't go together, no repository, or keys that can't be read.
    """
    if state is not None:
        loaded = settings.load(file, state=state)
        mirror = mirror_path(state)
        ring = loaded.ring("pipeline")
        named = place_of(mirror) if repo is None and mirror.is_dir() else place_of(repo or Path())
        listed = read_public(keys, zone="pipeline") if keys is not None else None
        return Evidence(
            place=named,
            store=open_store(url) if url else loaded.open_store(),
            decision_keys=_of_public(listed, REPOSITORY) if listed else decision_keys(ring),
            release_keys=(lambda tenant: _of_public(listed, f"{tenant}/releases")) if listed else _of_ring(ring),
        )
    if url is None:
        return Evidence(place=place_of(repo or Path()))
    if keys is None:
        message = "--store needs --keys: the public.json of the pipeline zone, without which nothing in a store can be believed"
        raise InputError(message)
    found = read_public(keys, zone="pipeline")
    return Evidence(
        place=place_of(repo or Path()),
        store=open_store(url),
        decision_keys=_of_public(found, REPOSITORY),
        release_keys=lambda tenant: _of_public(found, f"{tenant}/releases"),
    )


def _of_public(found: PublicKeys, role: str) -> list[Key]:
    """Return the keys that a role has, is to have and had; none where the file does not know it."""
    return [*(found.key(name) for name in (role, role + NEXT) if name in found.keys), *found.former(role)]


def _of_ring(ring: KeyRing) -> ReleaseKeys:
    def keys(tenant: str) -> Sequence[Key]:
        role = f"{tenant}/releases"
        return [*ring.publics(role), *ring.former(role)] if ring.has(role) else []

    return keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A snapshot of the fleet repository with the commit that it is from; the repository has its objects and its history."""

    corpus: Corpus
    head: str
    place: Place


@contextmanager
def snapshot(evidence: Evidence, rev: str | None) -> Iterator[Snapshot]:
    """Yield what was accepted last or, without a store, what is checked out; with `rev` that revision.

    Objects of an accepted state that the repository lacks come out of the store, and go to a directory that is gone afterwards.
    """
    accepted = evidence.accepted() if rev is None else None
    place = evidence.place
    if accepted is None or evidence.store is None:
        tree, head = head_of(place, rev or "HEAD")
        if REPOSITORY_FILE not in tree.entries:
            message = f"{place.path}: there is no {REPOSITORY_FILE} at {rev or 'HEAD'}; name the fleet repository with --repo"
            raise InputError(message)
        yield Snapshot(corpus=load(tree), head=str(head), place=place)
        return
    with with_accepted(place.git(), evidence.store, accepted) as whole:
        corpus = load(CommitTree(whole, accepted.tree))
        yield Snapshot(corpus=corpus, head=accepted.head, place=Place(path=place.path, repository=whole))
