"""Answers to waiting agents: which parts are newer than what an agent has, put together once for all agents that have the same.

An agent is told of its fleets from signed controls, and of nothing else; it believes only what it verifies itself.
"""

import random
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from agent.protocol import codec, watching
from agent.protocol.errors import MalformedError
from agent.protocol.identity import LABEL
from agent.protocol.watching import Leave, WatchAnswer, WatchRequest
from reconciler.control.intake.pace import Pace
from reconciler.control.watch.waiting import Agent, Waiting

HOLD = 55.0
"""Seconds that a request is held at most: reports wait behind it, and many proxies close after a minute."""
SPREAD = 0.1
"""The share of the holding time that is left to chance, so that agents that came together don't ask again together."""
REQUEST_LIMIT = 16_384
"""Bytes of a request: 64 names of 63 characters, twice."""
BODIES = 256
"""Answers that are kept: agents of the same fleets that have the same get the same bytes."""
BODY_KEPT = 262_144
"""Bytes of an answer that is kept: what is larger is put together for each agent, so that all of them are 64 MiB at most."""


RELAY = " relay"
"""What follows an agent's name where its relay waits: the agent beside it, by the same certificate, waits too."""


class Fleets(Protocol):
    """Whoever knows, from what is signed, which fleets an agent may be told of."""

    def fleets(self, tenant: str, agent: str) -> tuple[str, ...]:
        """Return those that it is in, sorted; none where nobody knows it."""
        ...

    def carried(self, tenant: str, agent: str) -> tuple[str, ...]:
        """Return those that it carries for others as a relay, sorted."""
        ...


class Reports(Protocol):
    """Whoever takes reports: how each agent goes on, and what it is asked for."""

    def pace(self, tenant: str, agent: str) -> Pace:
        """Return how often it reports."""
        ...

    async def wants_whole(self, tenant: str, agent: str, fingerprint: str, reported: int) -> bool:
        """Return whether it should report everything anew, having sent a report of this number last; `fingerprint` of its certificate."""
        ...

    def seen(self, tenant: str, agent: str) -> None:
        """Note that it is there."""
        ...


def decode(body: bytes) -> WatchRequest:
    """Read a request; raise `MalformedError` for what no agent sends."""
    request = codec.decode(body, WatchRequest, what="watch", limit=REQUEST_LIMIT)
    names = {*request.versions, *request.fleets}
    if request.format != watching.FORMAT:
        message = f"watch: format {request.format}, and this server reads format {watching.FORMAT}; upgrade whichever side is older"
        raise MalformedError(message)
    if len(request.fleets) > watching.FLEETS_LIMIT or len(request.versions) > watching.FLEETS_LIMIT or not all(map(LABEL.fullmatch, names)):
        message = f"watch: at most {watching.FLEETS_LIMIT} fleets, each by its own name"
        raise MalformedError(message)
    if not 0 <= request.wait <= watching.WAIT_LIMIT:
        message = f"watch: wait is between 0 and {watching.WAIT_LIMIT} seconds"
        raise MalformedError(message)
    return request


class Answers:
    """Answers requests; one for a process."""

    def __init__(self, known: Fleets, waiting: Waiting, reports: Reports, *, carried: bool = False) -> None:
        """Keep whom to ask; `carried` is said by a relay, see `WatchAnswer`."""
        self._carried = carried
        self._known, self.waiting, self._reports = known, waiting, reports
        self._bodies: OrderedDict[object, bytes] = OrderedDict()

    async def answer(self, agent: Agent, fingerprint: str, request: WatchRequest, *, may_wait: Callable[[], bool]) -> bytes:
        """Return the answer once there is one, after the holding time at the latest.

        `may_wait` says whether the agent may still be held; where it no longer may, this returns at once, and whoever asked looks why.
        """
        if request.carried:
            return await self._for_a_relay(agent, request, may_wait)
        self._reports.seen(*agent)
        fleets = self._fleets(agent)
        whole = await self._reports.wants_whole(*agent, fingerprint, request.reported)
        at_once = whole or tuple(sorted(set(request.fleets))) != fleets
        await self.waiting.wait(agent, request.versions, fleets, 0 if at_once else _seconds(request), may_wait=may_wait)
        self._reports.seen(*agent)
        return self._put_together(agent, request, self._fleets(agent), whole=whole)

    async def _for_a_relay(self, agent: Agent, request: WatchRequest, may_wait: Callable[[], bool]) -> bytes:
        """Return the answer to a relay: of what it carries for others, and how it goes on itself says its agent's own watch."""
        fleets = self._known.carried(*agent)[: watching.FLEETS_LIMIT]
        at_once = tuple(sorted(set(request.fleets))) != fleets
        waits = (agent[0], agent[1] + RELAY)
        await self.waiting.wait(waits, request.versions, fleets, 0 if at_once else _seconds(request), may_wait=may_wait)
        return self._put_together(agent, request, self._known.carried(*agent)[: watching.FLEETS_LIMIT], whole=False)

    def leave(self, agent: Agent, leave: Leave) -> bytes:
        """Return the answer to an agent that is no longer wanted."""
        every = self._reports.pace(*agent).every
        return watching.encode_answer(WatchAnswer(format=watching.FORMAT, fleets=[], every=every, leave=leave), {})

    def _fleets(self, agent: Agent) -> tuple[str, ...]:
        return self._known.fleets(*agent)[: watching.FLEETS_LIMIT]

    def _put_together(self, agent: Agent, request: WatchRequest, fleets: tuple[str, ...], *, whole: bool) -> bytes:
        tenant = agent[0]
        newer = {}
        for fleet in fleets:
            part = self.waiting.parts.get((tenant, fleet))
            if part is not None and part.version > request.versions.get(fleet, 0):
                newer[fleet] = part
        pace = self._reports.pace(*agent)
        key = (tenant, fleets, pace, whole, tuple((fleet, part.version, part.stored) for fleet, part in newer.items()))
        body = self._bodies.get(key)
        if body is None:
            plain = WatchAnswer(
                format=watching.FORMAT, fleets=list(fleets), every=pace.every, brief=pace.brief, report=whole, carried=self._carried
            )
            body = watching.encode_answer(plain, _fitting({fleet: part.data for fleet, part in newer.items()}))
            self._keep(key, body)
        else:
            self._bodies.move_to_end(key)
        return body

    def _keep(self, key: object, body: bytes) -> None:
        if len(body) <= BODY_KEPT:
            self._bodies[key] = body
        if len(self._bodies) > BODIES:
            self._bodies.popitem(last=False)


def _seconds(request: WatchRequest) -> float:
    """Return for how long a request is held: as it asks, some of that left to chance."""
    return min(request.wait, HOLD) * (1 - SPREAD * random.random())  # noqa: S311 - only spreads load


def _fitting(parts: dict[str, bytes]) -> dict[str, bytes]:
    """Return as many of the parts as fit into an answer; the agent asks again for the rest once it has these."""
    fitting, size = {}, 0
    for fleet, data in parts.items():
        size += len(data) + 1
        if size > watching.ANSWER_LIMIT - watching.PART_LIMIT:
            break
        fitting[fleet] = data
    return fitting
