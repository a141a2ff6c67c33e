"""Putting the new beside the old: everything a switch needs, on the same file system, with owner, mode and context.

What lies below a directory that does not exist yet is staged in the nearest one that does. The names begin with
`.ordain-` and end like their target, since many check commands look at the ending.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import BinaryIO

from agent.apply import saved as images
from agent.apply.plan import Action
from agent.apply.saved import Originals
from agent.archives import trees
from agent.archives.entries import ArchiveError, TooLargeError, default_limit
from agent.archives.unpack import unpack
from agent.fetching.cache import Cache
from agent.host import CHUNK, STAGED_PREFIX, Host
from agent.protocol.errors import RefusedError
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


def kept_path(host: Host, action: Action, *, transaction: str, number: int) -> str | None:
    """Return where the tree that stands at an action's path is put aside, None if none does."""
    if not action.aside:
        return None
    above = host.resolve(action.path).rpartition("/")[0]
    return f"{above}/{STAGED_PREFIX}{transaction}-{number}-kept"


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
        ArchiveError: an artifact that must not be unpacked.
        RefusedError: one that unpacks to more than this host's owner allows.
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
    with ExitStack() as opened:
        stream = None if item.source is None else opened.enter_context(cache.open(item.source, stopping=stopping))
        if item.kind == "tree" and stream is not None:
            _stage_tree(host, item, path, stream, cache=cache, stopping=stopping)
            return
        chunks: Iterable[bytes] = [item.content or b""] if stream is None else _chunks(stream)
        context = host.observe(action.path, replacing=replacing).context
        host.stage(path, chunks, mode=item.mode, owner=item.owner, context=context)


def _stage_tree(host: Host, item: Item, path: str, stream: BinaryIO, *, cache: Cache, stopping: Callable[[], bool]) -> None:
    """Unpack an artifact at `path`; nobody else can enter it before all is there. Its SELinux labels are those that the place gives."""
    if item.source is None or item.unpack is None:  # pragma: no cover - a tree has both
        return
    stated = default_limit(os.fstat(stream.fileno()).st_size) if item.limit is None else item.limit
    allowed = cache.downloads().unpacked or stated
    host.make_directory(path, mode=0o700, owner=(None, None))
    with host.directory(path) as descriptor:
        try:
            unpack(stream, item.unpack, trees.Builder(descriptor, item.owner), limit=min(stated, allowed), stopping=stopping)
        except ArchiveError as error:
            message = f"{item.path}: {item.source.url} is not unpacked: {error}"
            if isinstance(error, TooLargeError) and allowed < stated:  # the host's word, which may change
                message = f"{item.path}: `downloads.unpacked` of agent.toml allows {allowed} bytes, and {item.source.url} has more"
                raise RefusedError(message) from error
            raise ArchiveError(message) from error
        cache.keep_listing(item.source, item.unpack, trees.listing(descriptor, item.owner))
    host.set_attributes(path, mode=item.mode, owner=item.owner)


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        yield chunk
