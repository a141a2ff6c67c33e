"""What a disk may hold after a power loss at any instant of a recorded run: all that was not fsynced may be gone.

A preloaded shim (`record.c`) writes down what a real process does; here it is done again in memory. A file's content is for keeps once
the file was fsynced, a name once its directory was. Of each instant three disks are made: one that lost all that was not fsynced, one that
kept every name but no such content, and one on which each directory kept its names or not, by chance.
"""

import os
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import preload


def environment(library: Path, log: Path, *below: Path) -> dict[str, str]:
    """Return what makes a process write down what it does below some directories; `log` is made."""
    log.mkdir()
    return preload.environment(library, ORDAIN_RECORD_TO=log, ORDAIN_RECORD_BELOW=":".join(map(str, below)))


@dataclass(slots=True, eq=False)
class _Node:
    """A file (`kept`: its content at the last fsync), a symbolic link (`target`) or a directory (names now, and names for keeps)."""

    kept: bytes = b""
    target: str | None = None
    now: "dict[str, _Node] | None" = None
    safe: "dict[str, _Node]" = field(default_factory=dict)


def _load(path: Path, known: dict[int, _Node]) -> _Node:
    info = path.lstat()
    if path.is_symlink():
        return _Node(target=str(path.readlink()))
    if path.is_dir():
        names = {entry.name: _load(entry, known) for entry in path.iterdir()}
        return _Node(now=names, safe=dict(names))
    return known.setdefault(info.st_ino, _Node(kept=path.read_bytes()))


class Disk:
    """Some directories as they were before a recording; `play` yields after each step of it."""

    def __init__(self, *directories: Path) -> None:
        known: dict[int, _Node] = {}
        self._tops = {directory: _load(directory, known) for directory in directories}

    def play(self, log: Path) -> Iterator[str]:
        """Do what the log says, and yield each line once it is done."""
        for line in (log / "log").read_text().splitlines():
            what, one, two = line.split("\t")
            self._do(what, one, two, log)
            yield line

    def _do(self, what: str, one: str, two: str, log: Path) -> None:
        if what == "sync":
            self._sync(one, two, log)
            return
        names, name = self._above(one)
        if what == "file":
            names.setdefault(name, _Node())
        elif what == "directory":
            names[name] = _Node(now={})
        elif what == "symlink":
            names[name] = _Node(target=two)
        elif what == "unlink":
            del names[name]
        elif what in ("rename", "link"):
            other, there = self._above(two)
            node = names[name]
            if what == "rename" and other.get(there) is not node:
                del names[name]
            other[there] = node

    def _sync(self, path: str, copy: str, log: Path) -> None:
        node = self._find(path)
        if node is None:  # a file that was removed while open
            return
        if node.now is not None:
            node.safe = dict(node.now)
        elif copy:
            node.kept = (log / copy).read_bytes()

    def _above(self, path: str) -> "tuple[dict[str, _Node], str]":
        above, _, name = path.rpartition("/")
        node = self._find(above)
        assert node is not None, path
        assert node.now is not None, path
        return node.now, name

    def _find(self, path: str) -> _Node | None:
        for top, node in self._tops.items():
            if Path(path) == top or Path(path).is_relative_to(top):
                found: _Node | None = node
                for part in Path(path).relative_to(top).parts:
                    found = (found.now or {}).get(part) if found else None
                return found
        message = f"{path} is outside of what is recorded"
        raise AssertionError(message)

    def lost(self, how: str, chance: random.Random) -> Mapping[Path, "Tree"]:
        """Return what is left after a power loss now: `nothing`, `names` or `some` of what was not fsynced was kept."""
        return {top: _tree(node, how, chance) for top, node in self._tops.items()}


Tree = dict[str, "Tree | tuple[int, bytes] | str"]
"""Name → directory, (identity, content) of a file, or target of a link."""


def _tree(node: _Node, how: str, chance: random.Random) -> Tree:
    names = node.now if how == "names" or (how == "some" and chance.random() < 0.5) else node.safe
    found: Tree = {}
    for name, below in (names or {}).items():
        if below.now is not None:
            found[name] = _tree(below, how, chance)
        else:
            found[name] = below.target if below.target is not None else (id(below), below.kept)
    return found


def put(tree: Tree, directory: Path, links: dict[int, Path]) -> None:
    """Make `directory` hold a tree; files that were one file are one again."""
    directory.mkdir(mode=0o700, parents=True)
    for name, what in tree.items():
        place = directory / name
        if isinstance(what, dict):
            put(what, place, links)
        elif isinstance(what, str):
            place.symlink_to(what)
        elif what[0] in links:
            os.link(links[what[0]], place)
        else:
            place.write_bytes(what[1])
            links[what[0]] = place
