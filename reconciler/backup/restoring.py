"""A backup into an empty place, in an order that leaves nothing that could run where a restore is stopped.

    verify all of the file ─▶ store ─▶ its numbers far above the backup's ─▶ registry ─▶ keys

Keys come last: without them nothing is signed. What stands already counts more than the backup: a store that holds something is left as
it is, and the registry yields to what is published there.
"""

import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, select, update

from agent.protocol import durable
from agent.protocol.errors import InputError, MalformedError, RefusedError
from reconciler import process
from reconciler.backup import archive, numbers
from reconciler.backup.archive import PIECE, Content, Manifest
from reconciler.backup.saving import KEYS, REGISTRY, STORE, Progress, sqlite_file, with_target
from reconciler.control.registry import audit, copying, schema
from reconciler.control.registry.registry import Registry
from reconciler.publication.store import Store
from reconciler.settings import Settings

UNFINISHED = "restore-unfinished"
"""File of the state directory while a restore is at work: one that was stopped is begun again by the same command."""
_OWN = {"lock", "tmp", UNFINISHED}
"""Names in a state directory that a restore may find: they are its own."""
_KEY_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,249}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore did: `fleets` go on above the numbers of the backup, `tokens` were ended since nobody knows whether they were used."""

    manifest: Manifest
    store: bool
    fleets: list[str] = field(default_factory=list)
    registry: str = ""
    tokens: int = 0
    keys: int = 0


def restore(loaded: Settings, file: Path, *, who: str, now: datetime, progress: Progress) -> Restored:
    """Bring a backup into the place that the settings name.

    Raises:
        InputError: the file can't be read.
        MalformedError: it is no whole backup; nothing was written.
        RefusedError: the state directory is in use, or it, the keys' directory or the registry hold something already.
    """
    with process.only_one(loaded.state):
        _require_empty(loaded)
        progress(f"verifying {file}")
        manifest = archive.verified(file)
        for one in manifest.files.values():
            _require_known(one.path)
        durable.replace(loaded.state / UNFINISHED, manifest.made_at.encode(), mode=0o600)
        store = loaded.open_store()
        begun = loaded.state / f"{UNFINISHED}-store"
        fresh = begun.exists() or next(iter(store.list("")), None) is None
        fleets = _restore_store(store, file, manifest, begun=begun, now=now, progress=progress) if fresh else []
        tokens = _restore_registry(loaded, file, manifest, who=who, now=now, progress=progress)
        keys = _restore_keys(loaded.keys_directory, file, manifest)
        for left in (begun, loaded.state / UNFINISHED):
            durable.remove(left)
    return Restored(
        manifest=manifest,
        store=fresh and manifest.store != "none",
        fleets=fleets,
        registry=loaded.registry_url if manifest.registry else "",
        tokens=tokens,
        keys=keys,
    )


def _require_empty(loaded: Settings) -> None:
    """Raise where something is in the place already, unless a restore that was stopped left it."""
    state = loaded.state
    if (state / UNFINISHED).exists():
        return
    inside = {loaded.keys_directory.resolve(), Path(loaded.store_url).resolve()}
    found = sorted(entry.name for entry in state.iterdir() if entry.name not in _OWN and entry.resolve() not in inside)
    if found:
        message = (
            f"{state}: not empty ({', '.join(found[:3])}{'…' if len(found) > 3 else ''}); give --aside to move it beside, or name another"  # noqa: PLR2004 - names that say enough
        )
        raise RefusedError(message)
    if loaded.keys_directory.is_dir() and any(loaded.keys_directory.iterdir()):
        message = f"{loaded.keys_directory}: there are keys already, and none are overwritten; move them away, or give --aside"
        raise RefusedError(message)


def _require_known(path: str) -> None:
    """Raise for a path that no backup of ours has: one that could lead out of the place that it is for."""
    top, _, rest = path.partition("/")
    named = path == REGISTRY or (f"{top}/" in (STORE, KEYS) and all(_KEY_PART.fullmatch(part) for part in rest.split("/")))
    if not named:
        message = f"{path[:100]!r}: a backup has no such file"
        raise MalformedError(message)


def _restore_store(store: Store, file: Path, manifest: Manifest, *, begun: Path, now: datetime, progress: Progress) -> list[str]:
    if not any(one.path.startswith(STORE) for one in manifest.files.values()):
        return []
    durable.replace(begun, b"", mode=0o600)
    with store.together():
        for content in archive.contents(file, manifest):
            if content.path.startswith(STORE):
                progress(f"the store: {content.path}")
                store.create_from(content.path.removeprefix(STORE), content.chunks)
    return numbers.jump(store, made_at=manifest.made_at, now=now)


def _restore_registry(loaded: Settings, file: Path, manifest: Manifest, *, who: str, now: datetime, progress: Progress) -> int:
    """Make the registry of the backup's copy, brought to this version; return how many enrolment tokens were ended."""
    if not manifest.registry:
        return 0
    progress("the registry")
    ended: list[int] = []
    with tempfile.TemporaryDirectory(prefix="ordain-restore-") as directory:
        copy = Path(directory) / REGISTRY
        for content in archive.contents(file, manifest):
            if content.path == REGISTRY:
                durable.create_from(copy, content.chunks, mode=0o600)

        def prepare(registry: Registry) -> None:
            registry.migrate()
            ended.append(registry.write(_tell, who=who, manifest=manifest, now=now))

        with_target(copy, prepare)
        _put_registry(loaded.registry_url, copy, progress)
    return ended[0]


def _put_registry(url: str, copy: Path, progress: Progress) -> None:
    target = sqlite_file(url)
    if target is None:
        with_target(copy, lambda source: _duplicate(source, url, progress))
    elif target.exists():
        message = f"{target}: there is a registry already; move it away, or give --aside"
        raise RefusedError(message)
    else:
        durable.make_directory(target.parent, mode=0o700)
        durable.create_from(target, _chunks(copy), mode=0o600)


def _duplicate(source: Registry, url: str, progress: Progress) -> None:
    target = Registry.open(url)
    try:
        copying.duplicate(source, target, progress)
    finally:
        target.close()


def _chunks(path: Path) -> Iterable[bytes]:
    with path.open("rb") as stream:
        while piece := stream.read(PIECE):
            yield piece


def _tell(connection: Connection, *, who: str, manifest: Manifest, now: datetime) -> int:
    """Write into every audit chain that it has a gap, and end enrolment tokens: one that was used since would be good again."""
    detail = {"backup": manifest.made_at, "host": manifest.host, "gap": f"what was done after {manifest.made_at} is not known here"}
    for chain in sorted({audit.INSTALLATION, *audit.chains(connection)}):
        audit.append(connection, chain, who=who, action="registry.restored", target=chain, detail=detail, at=now)
    table = schema.tokens
    live = (table.c.revoked_at.is_(None), table.c.expires_at > now, table.c.uses_left > 0)
    ids = connection.execute(select(table.c.id).where(*live)).scalars().all()
    connection.execute(update(table).where(*live).values(revoked_at=now))
    return len(ids)


def _restore_keys(directory: Path, file: Path, manifest: Manifest) -> int:
    put = 0
    durable.make_directory(directory, mode=0o700)
    for content in archive.contents(file, manifest):
        if content.path.startswith(KEYS):
            put += _put_key(directory / content.path.removeprefix(KEYS), content)
    return put


def _put_key(path: Path, content: Content) -> bool:
    durable.make_directory(path.parent, mode=0o700)
    durable.create_from(path, content.chunks, mode=0o600)
    return True


def put_aside(loaded: Settings, *, stamped: str) -> Path | None:
    """Move a state directory beside itself for a restore; return where it is now, None where there was none.

    Raises:
        RefusedError: a process works on it.
        InputError: it can't be moved.
    """
    state = loaded.state.resolve()
    if not state.is_dir():
        return None
    with process.only_one(state):
        pass
    aside = state.with_name(f"{state.name}.{stamped}")
    try:
        if aside.exists():
            raise FileExistsError(17, os.strerror(17))
        state.rename(aside)
    except OSError as error:
        message = f"{state}: can't be moved to {aside}: {error.strerror}"
        raise InputError(message) from error
    durable.sync_directory(state.parent)
    return aside
