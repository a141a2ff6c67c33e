"""Putting the new beside the old: everything a switch needs, on the same file system, with owner, mode and context.

What lies below a directory that does not exist yet is staged in the nearest one that does. The names begin with
`.ordain-` and end like their target, since many check commands look at the ending.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.apply import saved as images
from agent.apply.plan import Action
from agent.apply.saved import Originals
from agent.host import CHUNK, STAGED_PREFIX, Host
from agent.protocol.errors import RetryError
from agent.providers.artifacts import Cache
from agent.providers.item import Item

NAME_LIMIT = 200
"""Bytes of a target's name that its staged name repeats; names have 255."""


def staged_path(host: Host, action: Action, *, transaction: str, number: int, replacing: frozenset[str]) -> str | None:
    """Return where an action's new content is staged, None if it brings none."""
    if action.kind != "put":
        return None
    with host.locate(action.path, replacing=replacing) as place:
        ending = place.name.encode()[-NAME_LIMIT:].decode(errors="ignore")
        return f"{place.nearest.rstrip('/')}/{STAGED_PREFIX}{transaction}-{number}-{ending}"


def stage(
    host: Host,
    action: Action,
    path: str,
    *,
    replacing: frozenset[str],
    originals: Originals,
    cache: Cache,
    stopping: Callable[[], bool],
) -> None:
    """Put an action's new content at `path`, complete and fsynced.

    Raises:
        RetryError: an artifact could not be had now.
        OSError: no space, no permission and the like.
    """
    if action.original is not None:
        images.stage(host, action.original, originals.directory, path)
        return
    item = action.item
    if item is None:  # pragma: no cover - a put brings one or the other
        return
    if item.kind == "symlink":
        host.symlink(path, item.target, owner=item.owner)
        return
    chunks = iter([item.content or b""]) if item.source is None else _artifact(item, cache, stopping)
    context = host.observe(action.path, replacing=replacing).context
    host.stage(path, chunks, mode=item.mode, owner=item.owner, context=context)


def _artifact(item: Item, cache: Cache, stopping: Callable[[], bool]) -> Iterator[bytes]:
    """Yield an artifact's bytes, and fail at the end if they are not what the release says."""
    if item.source is None:  # pragma: no cover - only called with one
        return
    total = hashlib.sha256()
    for chunk in _read(cache.fetch(item.source, stopping=stopping)):
        total.update(chunk)
        yield chunk
    if not hmac.compare_digest(total.hexdigest(), item.source.sha256):
        message = f"{item.path}: the artifact changed on disk while it was read; it is fetched again"
        raise RetryError(message)


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            yield chunk
