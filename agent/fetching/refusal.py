"""What a server answers where it does not grant something, as an error: with a code to act on, and when to ask again."""

import random
from collections.abc import Mapping

from agent.protocol import codec
from agent.protocol.enrolment import Refusal
from agent.protocol.errors import MalformedError, RetryError

TEXT_LIMIT = 2000
"""Characters of what a server says to people."""
RETRY_LIMIT = 3600
"""Seconds: a server that asks for more than an hour's peace is asked again then."""
SPREAD = 0.5
"""What is added to a time to wait, at most, as a share of it: those who were sent away together don't come back together."""


class NotGrantedError(RetryError):
    """An answer with a status of 400 or above; `code` is one of `enrolment.CODES`, "" where something else than ordain answered."""

    def __init__(self, url: str, status: int, refusal: Refusal, *, retry_after: int) -> None:
        said = refusal.error[:TEXT_LIMIT] or f"HTTP {status}"
        super().__init__(f"{url}: {said}")
        self.status = status
        self.code = refusal.code
        self.said = said
        self.server_time = refusal.server_time
        self.retry_after = retry_after
        """Seconds, 0 where the server does not say."""

    @property
    def overloaded(self) -> bool:
        """Whether the server only asks for time."""
        return self.status in (429, 503)

    def wait(self, otherwise: float) -> float:
        """Return the seconds to wait before the next try, spread; `otherwise` where the server does not say."""
        return (self.retry_after or otherwise) * (1 + SPREAD * random.random())  # noqa: S311 - only spreads load


def not_granted(url: str, status: int, body: bytes, headers: Mapping[str, str]) -> NotGrantedError:
    """Return the error of an answer; a body that is no `Refusal` is not repeated, since it may be anybody's page."""
    try:
        refusal = codec.decode(body, Refusal, what=url)
    except MalformedError:
        refusal = Refusal(code="", error="")
    stated = headers.get("Retry-After", "")
    seconds = int(stated) if stated.isascii() and stated.isdecimal() and len(stated) < 10 else refusal.retry_after  # noqa: PLR2004 - digits
    return NotGrantedError(url, status, refusal, retry_after=min(max(seconds, 0), RETRY_LIMIT))
