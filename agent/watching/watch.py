"""Waiting for news at the server: one request that is held until there is some, or it is time to look at this host anyway.

What comes along is as good as fetched, and verified the same. A server that has no watch is asked at each poll; one that is away or
overloaded is left alone for as long as it asks for, and the host is held to what it has meanwhile.
"""

import json
import time
from collections.abc import Callable

from agent.disk import FLEETS_LIMIT, Disk
from agent.fetching.backoff import Backoff
from agent.fetching.bounds import InterruptedHoldError
from agent.fetching.fetcher import Http
from agent.fetching.refusal import NotGrantedError
from agent.fetching.tls import LapsedError
from agent.protocol import codec, watching
from agent.protocol.enrolment import HELD_BACK
from agent.protocol.errors import MalformedError, OrdainError, RetryError
from agent.protocol.identity import LABEL
from agent.protocol.watching import WatchAnswer, WatchRequest
from agent.settings import Settings
from agent.watching.answered import Answered
from agent.watching.sources import Asking, HeldBackError, LeaveError

HOLD_LIMIT = 55
"""Seconds that a request is held at most: many proxies close what is silent for a minute."""
NO_WATCH = (404, 405, 501)
"""How servers answer that have none; or that know no such agent, which then is told so by the next question."""
ASKING_SECONDS = 600.0
"""Until a server that had no watch is asked for one again."""
EARLY_SECONDS = 1.0
"""Of rest, where a server answers without news long before it had to: one that does so always is not asked all the time."""
LONGEST_VERSION = 2**53


class Watch:
    """Waits for news of this host's fleets. `heard` is told of every answer, `lapsed` that the certificate was no longer believed."""

    def __init__(
        self,
        *,
        settings: Settings,
        http: Http,
        disk: Disk,
        sleep: Callable[[float], bool],
        heard: Callable[[WatchAnswer], None],
        lapsed: Callable[[], None],
        reported: Callable[[], int],
    ) -> None:
        self._settings, self._http, self._disk, self._sleep = settings, http, disk, sleep
        self._heard, self._lapsed, self._reported = heard, lapsed, reported
        self._asking = Asking(settings=settings, http=http, disk=disk, sleep=sleep)
        self._asking_until = 0.0
        self._backoff = Backoff()
        self._next: WatchAnswer | OrdainError | None = None
        """What a held request ended with, for the next poll."""
        self._now: WatchAnswer | OrdainError | None = None
        """What this poll goes by."""
        self._fleets: list[str] = []
        self._unused: dict[str, int] | None = None
        """The versions that an answer with news was given for; while they stay so, nothing came of it, and the same would come again."""

    @property
    def _asks(self) -> bool:
        return time.monotonic() < self._asking_until

    def fleets(self) -> list[str]:
        """Return the fleets of the last answer; without one, ask at once."""
        if self._next is None and not self._asks:
            self._next = self._ask(0)
        self._now, self._next = self._next, None
        if self._asks:
            return self._asking.fleets()
        answer = self._now
        if isinstance(answer, NotGrantedError) and _held_back(answer):
            message = f"{answer.code}: {answer.said}. What runs here is kept, and nothing new is started"
            raise HeldBackError(message) from answer
        if isinstance(answer, OrdainError):
            raise answer if isinstance(answer, RetryError) else RetryError(str(answer))
        if answer is None:  # pragma: no cover - `_ask` returns something unless there is no watch
            return self._fleets
        if answer.leave is not None:
            raise LeaveError(answer.leave)
        return self._fleets

    def answered(self, fleet: str) -> Answered | None:
        """Return what the last answer says of a fleet's files."""
        if self._asks:
            return None
        base = f"{self._settings.server}/v1/repositories/{self._settings.tenant}/{fleet}/"
        if isinstance(self._now, WatchAnswer):
            return Answered(base=base, files=self._now.parts.get(fleet))
        return Answered(base=base, away=RetryError(str(self._now or "not heard of yet")))

    def wait(self, seconds: float) -> bool:
        """Have a request held; return whether there is news, or the agent is to look now."""
        resting = self._backoff.seconds()
        if self._asks or resting or seconds < 1:
            self._next = self._next or (self._now if resting else None)  # what failed stands until it is tried again
            woken = self._sleep(min(seconds, resting) if resting and not self._asks else seconds)
            self._next = None if woken else self._next  # whoever says to look now has a reason
            return woken
        if self._unused == self._versions():
            self._next = self._unused = None
            return self._sleep(seconds)
        # Who was held back asks whether that still stands, and is not let wait for other news.
        began, hold = time.monotonic(), 0 if _held_back(self._now) else min(int(seconds), HOLD_LIMIT)
        before, answer = self._fleets, self._ask(hold)
        self._next = answer
        if isinstance(answer, WatchAnswer) and not (answer.parts or answer.leave or answer.fleets != before or _held_back(self._now)):
            early = time.monotonic() - began < hold / 2
            return self._sleep(EARLY_SECONDS) if early else False
        return self._is_news(answer)

    def again(self) -> None:
        """Ask again at once."""
        self._backoff.worked()
        self._next = None if isinstance(self._next, OrdainError) else self._next

    def _is_news(self, answer: WatchAnswer | OrdainError | None) -> bool:
        """Return whether an answer is to be looked at now: news are, and that this host is held back where it was not so before."""
        held = _held_back(answer)
        return held != _held_back(self._now) if held else not isinstance(answer, OrdainError)

    def _ask(self, hold: int) -> WatchAnswer | OrdainError | None:
        """Return the answer or why there is none; None where it was broken off, or the server has no watch."""
        versions = self._versions()
        request = WatchRequest(format=watching.FORMAT, versions=versions, fleets=self._fleets, wait=hold, reported=self._reported())
        url = f"{self._settings.server}/v1/watch"
        try:
            data = self._http.post(url, codec.canonical(request), limit=watching.ANSWER_LIMIT, hold=hold)
            answer = _understood(codec.decode(data, WatchAnswer, what=url, limit=watching.ANSWER_LIMIT), url)
        except InterruptedHoldError:
            return None
        except (RetryError, MalformedError) as error:
            return self._failed(error)
        self._backoff.worked()
        self._unused = versions if answer.parts else None
        self._fleets = answer.fleets
        self._heard(answer)
        return answer

    def _failed(self, error: OrdainError) -> OrdainError | None:
        if isinstance(error, NotGrantedError) and error.status in NO_WATCH:
            self._asking_until = time.monotonic() + ASKING_SECONDS
            return None
        if isinstance(error, LapsedError) or (isinstance(error, NotGrantedError) and error.code == "unauthenticated"):
            self._lapsed()
        self._backoff.failed(error)
        return error

    def _versions(self) -> dict[str, int]:
        """Return the version of each fleet's timestamp as this host verified it last, 0 for none."""
        return {fleet: _version(self._disk, fleet) for fleet in self._fleets}


def _held_back(answer: WatchAnswer | OrdainError | None) -> str:
    """Return the code by which an operator's decision holds this host back, "" where an answer is none of those."""
    return answer.code if isinstance(answer, NotGrantedError) and answer.code in HELD_BACK else ""


def _version(disk: Disk, fleet: str) -> int:
    try:
        found = json.loads((disk.fleet(fleet) / "metadata" / "timestamp.json").read_bytes())["signed"]["version"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return 0
    return found if isinstance(found, int) and 0 < found < LONGEST_VERSION else 0


def _understood(answer: WatchAnswer, url: str) -> WatchAnswer:
    if answer.format != watching.FORMAT or len(answer.fleets) > FLEETS_LIMIT or not all(map(LABEL.fullmatch, answer.fleets)):
        message = f"{url}: format {answer.format}, or fleets that can't be; is the server newer than this agent?"
        raise MalformedError(message)
    return answer
