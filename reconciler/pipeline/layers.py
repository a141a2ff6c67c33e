"""Mappings that differ from an earlier one in a few keys: a commit of one file must not copy the names of thirty thousand.

A layered mapping is never changed. What it shares with the one before is not copied; when the differences are many
compared with what is below them, they are merged into a plain mapping again.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

K = TypeVar("K")
V = TypeVar("V")
FEW, SHARE = 64, 16
"""Differences up to which nothing is merged; beyond, as soon as they are more than one in so many keys."""


class Layered(Mapping[K, V]):
    """A mapping laid over another: what was put, and what is gone. Made by `derived`."""

    __slots__ = ("_base", "_gone", "_length", "_ordered", "_put")

    def __init__(self, base: Mapping[K, V], put: Mapping[K, V], gone: frozenset[K], *, ordered: bool) -> None:
        """`gone` are keys of `base` that `put` does not have; `ordered` says that `base` is in order of its keys, and this is to be too."""
        self._base, self._put, self._gone, self._ordered = base, put, gone, ordered
        self._length = len(base) - len(gone) + sum(key not in base for key in put)

    def __getitem__(self, key: K) -> V:
        if key in self._put:
            return self._put[key]
        if key in self._gone:
            raise KeyError(key)
        return self._base[key]

    def __contains__(self, key: object) -> bool:
        return key in self._put or (key not in self._gone and key in self._base)

    def __iter__(self) -> Iterator[K]:
        """Yield the keys: those that are new come last, unless it is ordered."""
        keys: list[Any] = [key for key in self._base if key not in self._gone] if self._gone else list(self._base)
        new = [key for key in self._put if key not in self._base]
        return iter(sorted(keys + new) if self._ordered and new else keys + new)

    def __len__(self) -> int:
        return self._length


def derived(before: Mapping[K, V], put: Mapping[K, V], gone: Iterable[K] = (), *, ordered: bool = False) -> Mapping[K, V]:
    """Return `before` with some keys put, and some others gone, which need not have been there; `ordered` keeps order of keys."""
    base: Mapping[K, V] = before
    all_put, all_gone = dict(put), {key for key in gone if key in before}
    if isinstance(before, Layered):
        base = before._base  # noqa: SLF001 - its own kind
        all_gone |= before._gone - all_put.keys()  # noqa: SLF001
        all_put = {key: value for key, value in before._put.items() if key not in all_gone} | all_put  # noqa: SLF001
    all_gone = {key for key in all_gone if key in base}
    if len(all_put) + len(all_gone) <= max(FEW, len(base) // SHARE):
        return Layered(base, all_put, frozenset(all_gone), ordered=ordered)
    merged: Any = {key: value for key, value in base.items() if key not in all_gone} | all_put
    return dict(sorted(merged.items())) if ordered else merged
