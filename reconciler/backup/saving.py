"""What a backup takes, in an order that makes what it holds fit together although all goes on meanwhile.

    registry, as of one instant ─▶ what changes in the store ─▶ what is only ever added there ─▶ keys

What refers to others (timestamps, accepted state, records) is read before them, and they are there for keeps before it is; so what it
refers to is in the backup. The registry is older than the store, and yields to it where they differ.

An object store is kept by whoever runs it. Of it a backup holds what only a ceremony can make again (`trust/`) and the numbers that
were reached (`records/`).
"""

import platform
import re
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from importlib import metadata
from pathlib import Path

from agent.protocol import durable
from agent.protocol.errors import InputError, RefusedError, RetryError
from reconciler.backup.archive import FORMAT, PIECE, Content, File, Manifest, packed
from reconciler.control.registry import copying, migrating
from reconciler.control.registry.registry import Registry
from reconciler.publication.store import LocalStore, Store
from reconciler.publication.times import stamp
from reconciler.settings import Settings

REGISTRY = "registry.db"
STORE = "store/"
KEYS = "keys/"
WHOLE, CORE, NONE = "whole", "trust and records", "none"
CORE_PREFIXES = ("trust/", "records/")
_ADDED = re.compile(r".*/targets/.*|.*/([0-9]|[0-9a-f]{64})[^/]*")
"""Keys of what is written once, as far as others refer to it: targets, and what has a number or a digest at its front."""
_SMALL = 8 * 1024 * 1024
"""Bytes up to which something of the store is read at once; what is larger is written once only."""
_UNFINISHED = re.compile(r"\..*")
"""Names of what is being written beside a key, and of what no ordain made."""
Progress = Callable[[str], None]


def save(loaded: Settings, file: Path, *, with_store: bool, now: datetime, progress: Progress) -> Manifest:
    """Write a backup of an installation to a new file, its owner's alone; return what it holds.

    Raises:
        InputError: the file is there already, its directory is not, or there is nothing to back up.
        RefusedError: the registry is not of this version.
        RetryError: the registry or the store can't be read.
    """
    if file.exists():
        message = f"{file}: is there already; a backup is written to a new file"
        raise InputError(message)
    if not file.parent.is_dir():
        message = f"{file.parent}: there is no such directory; is its disk mounted? A backup makes none: it holds private keys"
        raise InputError(message)
    store = loaded.open_store()
    _require_something(loaded, store)
    how = (WHOLE if isinstance(store, LocalStore) else CORE) if with_store else NONE
    made: list[Manifest] = []

    def manifest(files: dict[str, File]) -> Manifest:
        made.append(
            Manifest(
                format=FORMAT,
                made_at=stamp(now),
                program=metadata.version("ordain"),
                host=platform.node(),
                store=how,
                registry=REGISTRY if REGISTRY in files else "",
                elsewhere=sorted(loaded.keys.uris),
                files=files,
            )
        )
        return made[0]

    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".ordain-backup-") as directory:
        parts = _parts(loaded, store, how, Path(directory) / REGISTRY, progress)
        if not durable.create_from(file, packed(parts, manifest), mode=0o600):
            message = f"{file}: somebody else wrote it just now"
            raise RefusedError(message)
    return made[0]


def _require_something(loaded: Settings, store: Store) -> None:
    """Raise `InputError` where there is no installation at all: a timer with a wrong path would write empty backups for years."""
    file = sqlite_file(loaded.registry_url)
    if (file is None or file.exists()) or loaded.keys_directory.is_dir() or next(iter(store.list("")), None) is not None:
        return
    found = f"{loaded.state}: there is no installation: no registry, no keys, nothing in the store"
    message = f"{found}; name the state directory of serve or up, and its settings"
    raise InputError(message)


def _parts(loaded: Settings, store: Store, how: str, copy: Path, progress: Progress) -> Iterator[Content]:
    if _copy_registry(loaded, copy, progress):
        yield _file(REGISTRY, copy)
    for key in _keys_of(store, how):
        progress(f"the store: {key}")
        content = _stored(store, key)
        if content is not None:
            yield content
    for path in sorted(loaded.keys_directory.rglob("*")):
        name = path.relative_to(loaded.keys_directory)
        if path.is_file() and not path.is_symlink() and not any(_UNFINISHED.fullmatch(part) for part in name.parts):
            yield _file(f"{KEYS}{name}", path)


def _copy_registry(loaded: Settings, copy: Path, progress: Progress) -> bool:
    """Copy the registry as it is at one instant into a file of SQLite; return whether there is one."""
    progress("the registry")
    file = sqlite_file(loaded.registry_url)
    if file is not None and not file.exists():
        return False
    registry = Registry.open(loaded.registry_url, create=False)
    try:
        with registry.read() as connection:
            migrating.require_usable(connection)
        if file is not None:
            _copy_sqlite(file, copy)
        else:
            with_target(copy, lambda target: copying.duplicate(registry, target, progress))
    finally:
        registry.close()
    return True


def _copy_sqlite(file: Path, copy: Path) -> None:
    """Copy in one step of SQLite's backup: a reader's snapshot, that writers neither wait for nor disturb."""
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as old, closing(sqlite3.connect(copy)) as new:
            old.backup(new, pages=-1)
            new.execute("PRAGMA journal_mode=DELETE").close()
    except sqlite3.Error as error:
        message = f"{file}: the registry can't be copied: {error}"
        raise RetryError(message) from error


def with_target(path: Path, use: Callable[[Registry], object]) -> None:
    """Call `use` with a registry in a file of SQLite, which is one file again afterwards."""
    target = Registry.open(f"sqlite:///{path}")
    try:
        use(target)
    finally:
        target.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE").close()


def sqlite_file(url: str) -> Path | None:
    """Return the file of a registry on SQLite, None of one on PostgreSQL."""
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


def _keys_of(store: Store, how: str) -> Iterator[str]:
    """Yield the keys of the store that are taken: those of what changes, and then, of a new list, those of what is only added."""
    if how != NONE:
        prefixes = ("",) if how == WHOLE else CORE_PREFIXES
        yield from (key for prefix in prefixes for key in store.list(prefix) if not _ADDED.fullmatch(key))
        yield from (key for prefix in prefixes for key in store.list(prefix) if _ADDED.fullmatch(key))


def _stored(store: Store, key: str) -> Content | None:
    """Return something of the store, None if it was deleted meanwhile."""
    size = store.size(key)
    if size is None:
        return None
    if size > _SMALL:
        return Content(path=STORE + key, size=size, chunks=_ranges(store, key, size))
    data = store.get(key)
    return None if data is None else Content(path=STORE + key, size=len(data), chunks=(data,))


def _ranges(store: Store, key: str, size: int) -> Iterator[bytes]:
    for start in range(0, size, PIECE):
        yield store.read_range(key, start, min(PIECE, size - start)) or b""


def _file(path: str, file: Path) -> Content:
    def chunks() -> Iterator[bytes]:
        with file.open("rb") as stream:
            while piece := stream.read(PIECE):
                yield piece

    return Content(path=path, size=file.stat().st_size, chunks=chunks())
