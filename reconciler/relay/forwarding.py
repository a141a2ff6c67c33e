"""Carrying reports to the uplink: those of one host in their order, those of several at the same time, and none twice that is known kept.

What the uplink can't take now stays, for as long as it asks for; what it never would take is dropped, counted and logged: one damaged
report may not hold up all others.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path

from agent.protocol import codec
from agent.protocol.errors import MalformedError, OrdainError, RetryError
from agent.protocol.report import Acknowledged, SignedBatch
from reconciler.control.authority.certificates import agent_name
from reconciler.control.intake import decoding
from reconciler.relay.spool import Spool, batches
from reconciler.relay.taking import Agent, signer
from reconciler.relay.uplink import Uplink

AT_ONCE = 8
"""Hosts whose reports are under way together: half of what the uplink answers to one agent at a time."""
ANSWER_LIMIT = 65_536
FIRST_SECONDS, LONGEST_SECONDS = 1.0, 15.0
"""Between tries while the uplink does not answer, doubled each time; hosts stand behind this, so it is never given up."""
SPREAD = 0.5
NEVER = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
"""Answers that stay so, whoever brings the batch; and 403 where the batch is refused, not the relay."""

_log = logging.getLogger(__name__)
Heard = Callable[[Agent, int, Acknowledged], None]


class _LaterError(RetryError):
    """The uplink takes nothing now; `seconds` is what it asks for, 0 where it does not say."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class Forwarding:
    """Empties a spool; `counts` is by what became of a batch (`kept`, `dropped`), `why` why nothing goes on, "" where it does."""

    def __init__(self, uplink: Uplink, spool: Spool, *, heard: Heard, stirred: asyncio.Event) -> None:
        """`heard` takes what the uplink says to a host's batch, `stirred` is set when something new waits."""
        self.counts: Counter[str] = Counter()
        self.why = ""
        self._uplink, self._spool, self._heard, self._stirred = uplink, spool, heard, stirred
        self._kept: set[int] = set()
        """Of the oldest file: the lines that the uplink has."""
        self._file: Path | None = None

    async def run(self) -> None:
        """Carry what waits and what comes, until cancelled."""
        pause = FIRST_SECONDS
        while True:
            self._stirred.clear()
            path = self._spool.oldest()
            if path is None:
                await self._stirred.wait()
                continue
            try:
                await self._carry(path)
                self.why, pause = "", FIRST_SECONDS
            except* OrdainError as group:
                seconds = max((one.seconds for one in _flat(group) if isinstance(one, _LaterError)), default=0.0)
                said = str(next(iter(_flat(group))))
                if said != self.why:
                    _log.warning("reports wait, %d bytes: %s", self._spool.size, said)
                self.why = said
                await asyncio.sleep((seconds or pause) * (1 + SPREAD * random.random()))  # noqa: S311 - only spreads load
                pause = min(pause * 2, LONGEST_SECONDS)

    async def _carry(self, path: Path) -> None:
        """Carry all of a file and remove it; raises a group of `RetryError`, and knows then what of it is kept."""
        if path != self._file:
            self._file, self._kept = path, set()
        hosts = await asyncio.to_thread(self._read, path)
        turns = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for agent, found in hosts.items():
                group.create_task(self._carry_host(agent, found, turns))
        await asyncio.to_thread(self._spool.remove, path)

    def _read(self, path: Path) -> dict[Agent, list[tuple[int, int, bytes]]]:
        """Return what is left of a file, by host: the line, the batch's number, the batch as it came."""
        hosts: dict[Agent, list[tuple[int, int, bytes]]] = {}
        for line, body in enumerate(batches(path)):
            if line in self._kept:
                continue
            try:
                agent, number = author(body)
            except OrdainError as error:
                self._drop(f"{path.name}, line {line + 1}: {error}")
                continue
            hosts.setdefault(agent, []).append((line, number, body))
        return hosts

    async def _carry_host(self, agent: Agent, found: Iterable[tuple[int, int, bytes]], turns: asyncio.Semaphore) -> None:
        async with turns:
            for line, number, body in found:
                answer = await self._uplink.ask("POST", "/v1/reports", body, limit=ANSWER_LIMIT)
                if answer.status == HTTPStatus.OK:
                    self._heard(agent, number, codec.decode(answer.body, Acknowledged, what="answer to a report"))
                    self.counts["kept"] += 1
                elif answer.status in NEVER or (answer.status == HTTPStatus.FORBIDDEN and answer.code == "refused"):
                    self._drop(f"{agent[0]}/{agent[1]}, report {number}: {answer.body[:300].decode(errors='replace')}")
                else:
                    message = f"{self._uplink.server} takes no reports now: HTTP {answer.status} {answer.code}"
                    raise _LaterError(message, answer.retry_after)
                self._kept.add(line)

    def _drop(self, why: str) -> None:
        self.counts["dropped"] += 1
        _log.warning("a report is dropped, the server would never take it: %s", why)


def author(body: bytes) -> tuple[Agent, int]:
    """Return whose batch it is, by its certificate, and its number; raise `MalformedError` where it is none."""
    found = decoding.decode(body)
    if not isinstance(found, SignedBatch):
        message = "no signed batch"
        raise MalformedError(message)
    name = agent_name(signer(found))
    return (name.tenant, name.agent), decoding.decode_batch(decoding.carried_bytes(found.batch, what="batch")).sequence


def _flat(group: BaseExceptionGroup[OrdainError]) -> list[OrdainError]:
    found: list[OrdainError] = []
    for one in group.exceptions:
        found += _flat(one) if isinstance(one, BaseExceptionGroup) else [one]
    return found
