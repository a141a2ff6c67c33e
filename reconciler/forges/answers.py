"""What an answer of a forge means: done, refused and by which family of errors, or to be tried again, and when.

A 403 is two things on GitHub: a right that is missing, which waiting doesn't change, and a rate limit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from agent.protocol.errors import InputError, RefusedError

SECONDARY_SECONDS = 60.0
"""To wait after a rate limit without a time: what GitHub's documentation asks for."""
OK = range(200, 300)
REDIRECTED = range(300, 400)
UNAUTHORIZED, FORBIDDEN, NOT_FOUND, CONFLICT, TOO_MANY = 401, 403, 404, 409, 429
INVALID = (400, 422)
SERVER = range(500, 600)


class _Said(msgspec.Struct):
    """The forge's own words about what it refused; GitLab's are under `message` or `error`, and may be lists by field."""

    message: Any = ""
    error: Any = ""
    errors: Any = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def said(self) -> str:
        """Return the forge's words about a refusal, whatever they are; empty where there are none."""
        try:
            found = msgspec.json.decode(self.body, type=_Said)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return ""
        texts = [one if isinstance(one, str) else msgspec.json.encode(one).decode() for one in (found.message or found.error, found.errors)]
        return ", ".join(one for one in texts if one not in ("", "[]", "null"))


class DeniedError(RefusedError):
    """What the token may not do (403)."""


class InvalidError(RefusedError):
    """What the forge does not take as it is (400, 422); its words are in the message."""


class MissingError(InputError):
    """What is not there, or what the token may not see (404)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Why to wait, and for how long; None where the forge named no time."""

    why: str
    seconds: float | None


def waiting(answer: Answer, said: str, *, now: float) -> Wait | None:
    """Return whether an answer means that it may do better later; `now` is Unix time, where the answer does not have its own."""
    told = _told(answer.headers, now)
    limited = "retry-after" in answer.headers or _limit(answer.headers, "remaining") == "0" or "rate limit" in said.lower()
    if answer.status == TOO_MANY or (answer.status == FORBIDDEN and limited):
        return Wait(why="rate limit", seconds=SECONDARY_SECONDS if told is None else told)
    if answer.status == CONFLICT:
        return Wait(why="somebody else is writing the same", seconds=None)
    if answer.status in SERVER:
        return Wait(why="the forge is not well", seconds=told if "retry-after" in answer.headers else None)
    return None


def _told(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that the forge wants to be left alone for, by its own clock where it says what that shows."""
    here = _date(headers.get("date", "")) or now
    after = headers.get("retry-after", "")
    if after.isdecimal():
        return float(after[:9])
    if (date := _date(after)) is not None:
        return max(0.0, date - here)
    reset = _limit(headers, "reset")
    return max(0.0, float(reset[:12]) - here) if reset.isdecimal() and _limit(headers, "remaining") in ("0", "") else None


def _limit(headers: Mapping[str, str], name: str) -> str:
    """Return what a forge says of its primary limit, which is not the one that was met as long as some of it remains."""
    return headers.get(f"x-ratelimit-{name}", headers.get(f"ratelimit-{name}", ""))


def _date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, OverflowError, OSError):
        return None
