"""What operators ask, read strictly: bodies as JSON of a known shape, query parameters of known names.

People write this JSON by hand, so it need not be canonical as agents' must be; but an unknown field, a name twice, NaN and other trailing
words are refused, lest something is done that was not meant.
"""

import difflib
import json
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import msgspec
from aiohttp import web

from agent.protocol.state import Struct
from reconciler.control.api.bodies import Bodies
from reconciler.control.refusal import Denied
from reconciler.control.registry.paging import PAGE_LIMIT

if TYPE_CHECKING:
    from multidict import MultiMapping

BODY_LIMIT = 65_536
"""Bytes of what operators send: some names and a sentence why."""
PAGE = 100
"""Rows of a page where nobody says how many."""
PAGES = ("after", "limit")
"""Parameters of every list that comes in pages."""
TENANT = ("tenant",)
COMPARED = 2000
"""Names that are compared with one that is not known: each takes some 10 microseconds, in which nobody else is answered."""
WORDS_LIMIT = 1000
"""Characters of a reason or a description."""

S = TypeVar("S", bound=Struct)


class Bodied:
    """Reads bodies; one for all handlers, so that together they stay within bounds."""

    def __init__(self) -> None:
        """Nothing is being read."""
        self._bodies = Bodies()

    async def read(self, request: web.Request, shape: type[S], *, limit: int = BODY_LIMIT) -> S:
        """Return the request's body of at most `limit` bytes; raise `Denied` (malformed) if it is not of that shape."""
        data = await self._bodies.read(request, limit=limit)
        try:
            plain = json.loads(data, object_pairs_hook=_once, parse_constant=_no_number)
            return msgspec.convert(plain, shape, strict=True)
        except (msgspec.ValidationError, ValueError, RecursionError) as error:
            message = f"the body is not what is taken here: {error}"
            raise Denied("malformed", message) from error


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        message = "a name stands twice in an object"
        raise ValueError(message)
    return found


def _no_number(text: str) -> NoReturn:
    message = f"{text} is no number of JSON"
    raise ValueError(message)


class Query:
    """The query parameters of a request, of known names only."""

    def __init__(self, request: web.Request, known: Collection[str]) -> None:
        """Raise `Denied` (malformed) for a parameter that is not in `known`."""
        self._given: MultiMapping[str] = request.query
        unknown = sorted(set(request.query) - set(known))
        if unknown:
            message = f"there is no parameter {unknown[0]!r}; there are {', '.join(sorted(known))}"
            raise Denied("malformed", message)

    def one(self, name: str) -> str:
        """Return a parameter that may stand once, "" where it doesn't."""
        found = self.all(name)
        if len(found) > 1:
            message = f"{name} is given twice"
            raise Denied("malformed", message)
        return found[0] if found else ""

    def all(self, name: str) -> list[str]:
        """Return a parameter that may stand often."""
        return self._given.getall(name, [])

    def limit(self) -> int:
        """Return how many rows a page shall have at most."""
        text = self.one("limit") or str(PAGE)
        if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= PAGE_LIMIT):
            message = f"limit is a number from 1 to {PAGE_LIMIT}"
            raise Denied("malformed", message)
        return int(text)


def meant(name: str, known: Collection[str]) -> str:
    """Return the known name that is most like one that was typed wrong, "" where none is, or where too many would have to be compared."""
    near = difflib.get_close_matches(name, sorted(known), n=1) if len(known) <= COMPARED else []
    return near[0] if near else ""


def words(text: str, what: str) -> str:
    """Return a sentence of a person's; raise `Denied` (malformed) if it is empty or a book."""
    if not text.strip() or len(text) > WORDS_LIMIT:
        message = f"{what} is needed, of up to {WORDS_LIMIT} characters: it stands in the audit"
        raise Denied("malformed", message)
    return text.strip()
