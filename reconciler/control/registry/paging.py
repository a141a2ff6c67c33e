"""Pages by key: each begins after the last row of the one before, so that a page costs the same however many came before it."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from agent.protocol.errors import InputError

T = TypeVar("T")
PAGE_LIMIT = 1000
"""Rows of one page at most; an answer of the API stays below a megabyte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Rows, and where the next page begins: `next` is passed as `after`, and "" at the end."""

    items: tuple[T, ...]
    next: str = ""


def limited(limit: int) -> int:
    """Return how many rows a page may have: from one to `PAGE_LIMIT`."""
    return max(1, min(limit, PAGE_LIMIT))


def number_after(after: str) -> int:
    """Read the `next` of pages by number, 0 for ""; raise `InputError` for anything else."""
    if not after:
        return 0
    if not (after.isascii() and after.isdecimal() and len(after) < 20):  # noqa: PLR2004 - digits of a number of 64 bits
        message = f"{after[:40]!r} is not where a page begins; pass what the page before gave as next"
        raise InputError(message)
    return int(after)


def pair_after(after: str) -> tuple[str, str]:
    """Read the `next` of pages by tenant and name, `shop/web-01`, ("", "") for ""; raise `InputError` for anything else."""
    tenant, slash, name = after.partition("/")
    if after and not (slash and tenant and name):
        message = f"{after[:80]!r} is not where a page begins; pass what the page before gave as next"
        raise InputError(message)
    return tenant, name
