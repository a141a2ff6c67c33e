"""One simulated host: it waits for news, takes what its fleets ask for, and reports with receipts that its own key signed.

It changes nothing on any disk, supervises nothing and knows no modes; all that goes over the wire is as an agent has it.
"""

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from time import monotonic

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from agent.protocol import codec, report, watching
from agent.protocol.errors import OrdainError
from agent.protocol.report import Acknowledged, Batch, FleetReport, Receipt, SignedReceipt
from agent.protocol.watching import WatchRequest
from reconciler.publication.times import stamp
from tests.simulator.chances import Chances, Fate
from tests.simulator.line import BrokenLineError, Line, RefusedAnswerError
from tests.simulator.reading import Quick, Told, Verified, answer_of, document_of, version_of
from tests.simulator.tally import Taken, Tally

HOLD = 50
"""Seconds that a watch is held at most."""
VERSION = "simulated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a host is, since it enrolled."""

    tenant: str
    name: str
    key: ec.EllipticCurvePrivateKey
    fingerprint: str
    """SHA-256 of its certificate."""


@dataclass(slots=True, kw_only=True)
class Host:
    """An enrolled host. `verified` makes what reads its fleet with the agent's own client, None where it reads quickly."""

    identity: Identity
    line: Line
    fate: Fate
    chances: Chances
    tally: Tally
    verified: Callable[[str], Verified] | None
    bad: Callable[[str], bool]
    """Whether a digest is of a release that fails on hosts which fail."""
    fleets: list[str] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)
    sequence: int = 0
    _readers: dict[str, tuple[Quick, Verified | None]] = field(default_factory=dict)
    _runs: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    """Fleet → digest, group and attempt that came of something."""
    _pending: list[tuple[Receipt, Taken]] = field(default_factory=list)
    """What is to be told, and what notes when that was done."""
    _sent: tuple[bytes, int] | None = None
    """A batch that was not acknowledged yet, and how much of `_pending` it tells: the same is sent until it is."""
    _statuses: dict[str, FleetReport] = field(default_factory=dict)
    _whole: bool = True
    _every: float = 60
    _reported_at: float = float("-inf")

    async def live(self) -> None:
        """Talk until cancelled, or silenced by a release."""
        dropping = self._drop_later()
        try:
            while not await self._talked():
                pass
        finally:
            if dropping is not None:
                dropping.cancel()
            self.close()

    async def _talked(self) -> bool:
        """Talk over one connection; return True once this host is silenced, False when it is to begin anew."""
        try:
            await self._talk()
        except BrokenLineError:
            self.tally.broken += 1
            await asyncio.sleep(self.fate.dice.uniform(0.2, 2.0))
        except RefusedAnswerError as error:
            self.tally.refused(error)
            if error.status not in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
                self.line.close()
            await asyncio.sleep(max(error.refusal.retry_after, 1) * (1 + self.fate.dice.random()))
        else:
            return True
        return False

    def _drop_later(self) -> "asyncio.Task[None] | None":
        """Have the connection lost now and then."""

        async def drop() -> None:
            while True:
                await asyncio.sleep(self.fate.dice.expovariate(self.chances.drops / 60))
                self.tally.drops += 1
                self.line.close()

        return asyncio.create_task(drop()) if self.chances.drops else None

    def close(self) -> None:
        """Cut all connections."""
        self.line.close()
        for _, verified in self._readers.values():
            if verified is not None:
                verified.close()

    async def _talk(self) -> None:
        while True:
            if self._sent or self._whole or self._pending or monotonic() >= self._reported_at + self._every:
                await self._report()
            if not await self._watch():
                return

    async def _watch(self) -> bool:
        """Wait for news, and take what is there; return False once a release has silenced this host."""
        hold = max(1, min(HOLD, int(self._reported_at + self._every - monotonic()))) if self.fleets else 0
        request = WatchRequest(format=watching.FORMAT, versions=self.versions, fleets=self.fleets, wait=hold, reported=self.sequence)
        await self._pause(self.chances.latency / 2)
        answer = answer_of(await self.line.post("/v1/watch", codec.canonical(request), hold=hold))
        at = monotonic()
        await self._pause(self.chances.latency / 2)
        self.fleets, self._every, self._whole = list(answer.fleets), answer.every, self._whole or answer.report
        for fleet, files in answer.parts.items():
            document = document_of(files, f"{self.identity.tenant}/{fleet}")
            self.tally.told(self.identity.name, document, at)
            told = await self._read(fleet, dict(files))
            if told is not None and not await self._take(fleet, told):
                return False
            self.versions[fleet] = version_of(files)
        return True

    async def _read(self, fleet: str, files: dict[str, str]) -> Told | None:
        """Return what a fleet asks for, None where it can't be believed: what runs is kept."""
        quick, verified = self._reader(fleet)
        told = await quick.read(files, datetime.now(UTC) + self.fate.clock)
        if verified is None:
            self.tally.believed += 1
            return told
        try:
            checked = await asyncio.to_thread(verified.read, files, self.fate.clock)
        except OrdainError as error:
            self.tally.unverified.append(f"{self.identity.name}: {error}")
            return None
        self.tally.verified += 1
        if checked != told:
            self.tally.disagreed.append(f"{self.identity.name}: {checked} verified, {told} read")
        return checked

    def _reader(self, fleet: str) -> tuple[Quick, Verified | None]:
        if fleet not in self._readers:
            tenant, name = self.identity.tenant, self.identity.name

            async def fetch(path: str) -> bytes:
                await self._pause(self.chances.latency)
                return await self.line.get(f"/v1/repositories/{tenant}/{fleet}/{path}")

            self._readers[fleet] = Quick(tenant, fleet, name, fetch), self.verified(fleet) if self.verified else None
        return self._readers[fleet]

    async def _take(self, fleet: str, told: Told) -> bool:
        """Apply a release as fate has it; return False where that silences this host."""
        release = told.release
        if release is None or self._runs.get(fleet) == (release.digest, told.group, told.attempt):
            return True
        bad = self.bad(release.digest)
        taken = Taken(host=self.identity.name, digest=release.digest, attempt=told.attempt, serial=told.serial, at=monotonic())
        self.tally.taken.append(taken)
        if bad and self.fate.silenced:
            taken.result = "silent"
            return False
        await self._pause(self.chances.applying)
        fails = bad and self.fate.fails
        taken.result = "failed" if fails else "applied"
        self._runs[fleet] = (release.digest, told.group, told.attempt)
        receipt = Receipt(
            format=report.FORMAT,
            fleet=f"{self.identity.tenant}/{fleet}",
            agent=self.identity.name,
            digest=release.digest,
            members=release.members,
            group=told.group,
            mode=None,
            attempt=told.attempt,
            serial=told.serial,
            generation=len(self._runs),
            result="failed" if fails else "applied",
            why="a simulated failure" if fails else "",
            at=self._now(),
        )
        self._pending.append((receipt, taken))
        about = {"digest": "" if fails else release.digest, "desired": release.digest, "attempt": told.attempt, "serial": told.serial}
        self._statuses[fleet] = FleetReport(fleet=fleet, result=receipt.result, why=receipt.why, since=receipt.at, **about)  # type: ignore[arg-type]
        return True

    async def _report(self) -> None:
        """Send what there is to say, and wait until it is kept."""
        self._sent = self._sent or self._next()
        data, count = self._sent
        await self._pause(self.chances.latency)
        answer = codec.decode(await self.line.post("/v1/reports", data), Acknowledged, what="acknowledgement")
        self._reported_at, self._every, self._whole, self._sent = monotonic(), answer.every, answer.report, None
        if answer.sequence > self.sequence:  # it lost count: all anew above that number
            self.sequence, self._whole = answer.sequence, True
        told, self._pending = self._pending[:count], self._pending[count:]
        for _, taken in told:
            taken.told_at = monotonic()

    def _next(self) -> tuple[bytes, int]:
        self.sequence += 1
        batch = Batch(
            format=report.FORMAT,
            sequence=self.sequence,
            sent_at=self._now(),
            version=VERSION,
            whole=self._whole,
            receipts=[self._signed(one) for one, _ in self._pending],
            statuses=list(self._statuses.values()) if self._whole or self._pending else [],
        )
        return codec.canonical(batch), len(self._pending)

    def _signed(self, receipt: Receipt) -> SignedReceipt:
        signature = self.identity.key.sign(report.receipt_message(receipt), ec.ECDSA(hashes.SHA256()))
        return SignedReceipt(receipt=receipt, certificate=self.identity.fingerprint, signature=base64.b64encode(signature).decode())

    def _now(self) -> str:
        return stamp(datetime.now(UTC) + self.fate.clock)

    async def _pause(self, mean: float) -> None:
        if mean:
            await asyncio.sleep(self.fate.dice.expovariate(1 / mean))
