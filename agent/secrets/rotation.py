"""Telling a secret that was rotated from a file that somebody changed: by a keyed digest of what ordain put there last."""

from collections.abc import Collection, Mapping
from pathlib import Path

from agent.disk import read_optional
from agent.protocol import codec, durable
from agent.protocol.state import Struct
from agent.providers.item import Item


class Put(Struct):
    """Path → keyed digest of the content with secrets that was put there last."""

    paths: dict[str, str] = {}


def read_put(directory: Path) -> Mapping[str, str]:
    """Return what was put for the fleet of a directory, by path; raise `MalformedError` if that is damaged."""
    return (read_optional(_place(directory), Put) or Put()).paths


def note_put(directory: Path, items: Mapping[str, Item], *, differing: Collection[str] = ()) -> None:
    """Keep what of `items` stands at its path now: all with secrets but those that are `differing`, of which is kept what was."""
    old = read_put(directory)
    now = {path: item.sealed for path, item in items.items() if item.sealed is not None and path not in differing}
    now |= {path: old[path] for path in differing if path in old}
    if now != old:
        durable.replace(_place(directory), codec.canonical(Put(paths=now)), mode=0o600)


def _place(directory: Path) -> Path:
    return directory / "secrets.json"
