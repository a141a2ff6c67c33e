"""A repository to look at the past in: it has what another has, and more that goes away with it. The other is never written."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pygit2

from reconciler.pipeline import accepted
from reconciler.publication.store import Store


@contextmanager
def scratch(
    repository: pygit2.Repository, store: Store | None = None, state: accepted.AcceptedState | None = None
) -> Iterator[pygit2.Repository]:
    """Yield a repository with all objects of `repository` and, out of `store`, those of an accepted state.

    Raises:
        RetryError: an archive is missing from the store, and the repository lacks what is in it.
        MalformedError: an archive is damaged.
    """
    with tempfile.TemporaryDirectory(prefix="ordain-") as directory:
        made = pygit2.init_repository(directory, bare=True)
        common = Path(repository.path, "commondir")
        objects = Path(repository.path, common.read_text().strip() if common.is_file() else "", "objects")
        made.odb.add_disk_alternate(str(objects.resolve()))
        if store is not None and state is not None:
            accepted.restore(store, made, state)
        yield made
