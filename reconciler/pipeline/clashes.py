"""Names that differ only in case, and which files brought them: on some machines they are one file.

Two names clash where they stand in one directory; what lies below follows from that, and is not said again. Who was there before
is not to blame: only files that were added are, and of these only those under a name that no older file has. Where every name is
as new as the others, all of them are.
"""

import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass

FEW = 100
"""Paths that are looked for one by one in a listing; past that, one look at all of it costs less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clash:
    """A name that is new, another one that differs from it only in case, and the files, sorted, that are to blame: at least one."""

    name: str
    other: str
    files: tuple[str, ...]


def clashes(paths: Collection[str], added: Collection[str] | None = None) -> Iterator[Clash]:
    """Yield the clashes among files that `added` ones bring (None: all of them are), the topmost first, each once."""
    if added is not None and len(added) <= FEW and not (added and _may_clash(paths, added)):
        return
    wanted = None if added is None else {_key(name) for path in added for name in (path, *parents(path))}
    groups = _spelt(paths, wanted)
    below = _files_below(paths, {name for names in groups for name in names})
    blamed = set[str]()
    for names in groups:
        fresh = [name for name in names if added is None or all(path in added for path in below[name])]
        files = sorted(path for name in fresh for path in below[name])
        if blamed.issuperset(files):
            continue
        blamed.update(files)
        others = [name for name in names if name not in fresh] or fresh[1:]
        yield Clash(name=fresh[0], other=others[0], files=tuple(files))


def parents(path: str) -> Iterator[str]:
    """Yield the directories above a path, the nearest first."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _spelt(paths: Collection[str], wanted: Collection[str] | None) -> list[list[str]]:
    """Return the names that differ only in case from others of their directory, those of one directory together, the topmost first."""
    first: dict[str, str] = {}
    found: dict[str, set[str]] = {}
    directory = ""
    for path in paths:
        names = [path]
        if (here := path.rpartition("/")[0]) != directory:
            directory = here
            names += parents(path)
        for name in names:
            key = _key(name)
            if (wanted is None or key in wanted) and first.setdefault(key, name) != name:
                found.setdefault(key, {first[key]}).add(name)
    return [sorted(found[key]) for key in sorted(found, key=lambda key: (key.count("/"), key))]


def _files_below(paths: Collection[str], names: Collection[str]) -> dict[str, list[str]]:
    """Return the files at and below each of some names."""
    below: dict[str, list[str]] = {name: [] for name in names}
    for path in paths if below else ():
        for name in (path, *parents(path)):
            if name in below:
                below[name].append(path)
    return below


def _may_clash(paths: Collection[str], added: Collection[str]) -> bool:
    """Return whether names of some paths may stand in a listing in two forms: one search in one text, at a fiftieth of the cost."""
    listed = "/\n" + "/\n".join(paths) + "/\n"
    if not listed.isascii():
        return True
    folded = listed.lower()
    names = {name for path in added for name in (path, *parents(path))}
    return any(folded.count(f"\n{name.lower()}/") != listed.count(f"\n{name}/") for name in names)


def _key(name: str) -> str:
    """Return a name as it is for a file system that knows no case; that of its directory as it is written."""
    directory, slash, last = name.rpartition("/")
    return f"{directory}{slash}{last.lower() if last.isascii() else unicodedata.normalize('NFC', last).casefold()}"
