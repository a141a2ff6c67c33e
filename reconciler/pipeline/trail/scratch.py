"""A repository to look at the past in: it has what another has, and more that goes away with it. The other is never written."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pygit2

from reconciler.pipeline import accepted
from reconciler.pipeline.objects import import_objects
from reconciler.publication.store import Store


@contextmanager
def scratch() -> Iterator[pygit2.Repository]:
    """Yield an empty repository, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="ordain-") as directory:
        yield pygit2.init_repository(directory, bare=True)


def attach(made: pygit2.Repository, repository: pygit2.Repository) -> None:
    """Let a scratch repository have all objects of another; what it has itself comes first."""
    common = Path(repository.path, "commondir")
    objects = Path(repository.path, common.read_text().strip() if common.is_file() else "", "objects")
    made.odb.add_disk_alternate(str(objects.resolve()))


@contextmanager
def with_accepted(repository: pygit2.Repository, store: Store, state: accepted.AcceptedState) -> Iterator[pygit2.Repository]:
    """Yield a repository with all objects of `repository` and, out of `store`, those of an accepted state that it lacks.

    Raises:
        RetryError: an archive is missing from the store, and the repository lacks what is in it.
        MalformedError: an archive is damaged.
    """
    with scratch() as made:
        attach(made, repository)
        accepted.restore(store, made, state)
        yield made


@contextmanager
def with_all(repository: pygit2.Repository, store: Store | None) -> Iterator[pygit2.Repository]:
    """Yield a repository with all objects of `repository` and all that `store` keeps; raise `MalformedError` where that is damaged."""
    if store is None:
        yield repository
        return
    with scratch() as made:
        attach(made, repository)
        for key in store.list(accepted.OBJECTS):
            data = store.get(key)
            if data is not None:
                import_objects(made, data)
        yield made
