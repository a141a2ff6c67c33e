"""Keeping the site's copies: woken by the uplink's watch, verified before anything of it is served, and served on while it is away.

What an operator brings on a stick (`ordain mirror import`) is in the same store, and taken up as well.
"""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from agent.protocol import codec, watching
from agent.protocol.errors import MalformedError, OrdainError, RefusedError
from agent.protocol.watching import WatchAnswer, WatchRequest
from reconciler.mirror.copying import Copied, copy_fleet
from reconciler.mirror.stick import fleets_in
from reconciler.publication import layout
from reconciler.publication.store import Store
from reconciler.relay.known import Carried
from reconciler.relay.members import read_listed
from reconciler.relay.uplink import Uplink

HOLD = 55.0
"""Seconds that a watch is held at most."""
FIRST_SECONDS, LONGEST_SECONDS = 1.0, 15.0
"""Between tries while something fails, doubled each time."""
SPREAD = 0.5
LOOK_EVERY = 2.0
"""Seconds between looks at the store for what came on a stick."""
UNWANTED = 2**53 - 1
"""The version that is said of a fleet which is not to be told of now."""

_log = logging.getLogger(__name__)
Published = Callable[[str, str], None]
"""Told of tenant and fleet when a newer copy is there."""


@dataclass(slots=True, kw_only=True)
class _Failure:
    """Why a fleet could not be copied, and until when it rests (seconds of the monotonic clock)."""

    why: str
    pause: float
    until: float


class Copies:
    """Keeps copies of the fleets that the uplink names for this relay, or of those of `only`; `counts` is by outcome, for metrics."""

    def __init__(
        self,
        uplink: Uplink,
        store: Store,
        carried: Carried,
        *,
        root: Callable[[], bytes],
        published: Published,
        only: frozenset[str] = frozenset(),
    ) -> None:
        """`root` gives the tenant's root metadata."""
        self.counts: Counter[str] = Counter()
        self.failures: dict[str, _Failure] = {}
        self.why = ""
        """Why the uplink is not heard, "" where it is."""
        self._uplink, self._store, self._carried, self._root = uplink, store, carried, root
        self._published, self._only = published, only
        self._fleets: list[str] = []
        self._stamps: dict[str, str | None] = {}
        self._looking = asyncio.Lock()

    async def look(self) -> None:
        """Take up what stands in the store: verified, then served."""
        async with self._looking:
            for fleet in await asyncio.to_thread(self._changed):
                await self._take_up(fleet)

    async def keep_looking(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY)

    async def run(self) -> None:
        """Copy what the uplink tells of, until cancelled."""
        pause = FIRST_SECONDS
        while True:
            try:
                answer = await self._watch()
                self.why, pause = "", FIRST_SECONDS
            except OrdainError as error:
                if str(error) != self.why:
                    _log.warning("the uplink is not heard, copies are served on: %s", error)
                self.why = str(error)
                await asyncio.sleep(pause * (1 + SPREAD * random.random()))  # noqa: S311 - only spreads load
                pause = min(pause * 2, LONGEST_SECONDS)
                continue
            self._carry_only(answer.fleets)
            for fleet in filter(self._is_wanted, answer.parts):
                await self._copy(fleet)

    async def _watch(self) -> WatchAnswer:
        now = time.monotonic()
        resting = {fleet: one.until for fleet, one in self.failures.items() if one.until > now}
        quiet = {fleet for fleet in self._fleets if fleet in resting or not self._is_wanted(fleet)}
        hold = min([HOLD, *(until - now for until in resting.values())])
        request = WatchRequest(
            format=watching.FORMAT,
            versions={fleet: UNWANTED if fleet in quiet else self._carried.version(fleet) for fleet in self._fleets},
            fleets=self._fleets,
            wait=max(int(hold), 1),
            carried=True,
        )
        data = await self._uplink.require("POST", "/v1/watch", codec.canonical(request), limit=watching.ANSWER_LIMIT, hold=hold)
        answer = codec.decode(data, WatchAnswer, what="answer to a watch", limit=watching.ANSWER_LIMIT)
        if answer.format != watching.FORMAT:
            message = f"{self._uplink.server}: format {answer.format}; is the server newer than this relay?"
            raise MalformedError(message)
        return answer

    def _carry_only(self, fleets: list[str]) -> None:
        """Serve no others than git names for this relay now; one that comes back is looked at again."""
        self._fleets = fleets
        wanted = frozenset(filter(self._is_wanted, fleets))
        self._carried.keep_only(wanted)
        self._stamps = {fleet: stamp for fleet, stamp in self._stamps.items() if fleet in wanted}

    def _is_wanted(self, fleet: str) -> bool:
        return not self._only or fleet in self._only

    async def _copy(self, fleet: str) -> None:
        tenant = self._uplink.identity.tenant
        try:
            copied = await asyncio.to_thread(self._copied, tenant, fleet)
        except OrdainError as error:
            self._failed(fleet, error)
            return
        await self.look()
        if self._carried.version(fleet) < copied.after:
            message = f"{tenant}/{fleet}: the copy is damaged; remove public/{tenant}/{fleet} from the relay's store, and it is made anew"
            self._failed(fleet, RefusedError(message))
            return
        self.failures.pop(fleet, None)
        self.counts["copied"] += copied.changed
        if copied.changed:
            _log.info("copied", extra={"tenant": tenant, "fleet": fleet, "version": copied.after, "bytes": copied.bytes})

    def _copied(self, tenant: str, fleet: str) -> Copied:
        with self._uplink.source() as source:
            return copy_fleet(source, self._store, tenant=tenant, fleet=fleet, root=self._root(), now=datetime.now(UTC))

    def _failed(self, fleet: str, error: OrdainError) -> None:
        before = self.failures.get(fleet)
        if before is None or before.why != str(error):
            _log.warning("not copied: %s", error, extra={"fleet": fleet})
        self.counts["failed"] += 1
        pause = min(before.pause * 2, LONGEST_SECONDS) if before else FIRST_SECONDS
        self.failures[fleet] = _Failure(why=str(error), pause=pause, until=time.monotonic() + pause)

    def _changed(self) -> list[str]:
        """Return the fleets whose timestamp's file is another than when it was taken up; what can't be read now is looked at later."""
        tenant, found = self._uplink.identity.tenant, []
        try:
            there = fleets_in(self._store, tenant)
            for fleet in filter(self._is_wanted, there):
                stamp = self._store.version(layout.metadata(tenant, fleet, "timestamp.json"))
                named = not self._fleets or fleet in self._fleets
                if named and stamp is not None and stamp != self._stamps.get(fleet):
                    self._stamps[fleet] = stamp
                    found.append(fleet)
        except OrdainError as error:
            _log.warning("the store can't be looked at: %s", error)
        return found

    async def _take_up(self, fleet: str) -> None:
        tenant = self._uplink.identity.tenant
        try:
            listed = await asyncio.to_thread(read_listed, self._store, tenant, fleet, root=self._root())
        except OrdainError as error:
            _log.error("this copy is not served: %s", error, extra={"fleet": fleet})
            return
        if listed is not None:
            self._carried.put(fleet, listed)
            self._published(tenant, fleet)
