"""Taking reports: read, checked, kept together with others', and only then acknowledged.

A batch that is sent again is acknowledged and kept once. One that skips numbers is kept, the gap is noted, and the host asked to tell
everything: what was lost on the way were changes. One with a number far below tells that the host lost count; see `Acknowledged`.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from sqlalchemy import Connection

from agent.protocol import report
from agent.protocol.enrolment import split_pem
from agent.protocol.errors import RefusedError
from agent.protocol.report import Acknowledged, Batch, Event, SignedBatch
from reconciler.control.intake import decoding, receipts
from reconciler.control.intake.accounts import Account, Accounts, Agent
from reconciler.control.intake.groups import Groups
from reconciler.control.intake.pace import Pace, pace
from reconciler.control.intake.signatures import Holder, Signatures
from reconciler.control.known import KnownTenants, member, reporting
from reconciler.control.refusal import Denied
from reconciler.control.registry import batches, heartbeats
from reconciler.control.registry.batches import Received
from reconciler.control.registry.registry import Registry
from reconciler.control.registry.wakeups import REPORTS, notify
from reconciler.publication.controls import Agent as StatedAgent
from reconciler.publication.controls import Reporting
from reconciler.publication.times import stamp

OVERHEAD = 500
"""Bytes on the wire beside a report's body: headers, TLS, the answer."""
ASK_EVERY = 300.0
"""Seconds between asking one agent for a whole report."""


Believe = Callable[[x509.Certificate], Awaitable[None]]
"""Sees to it that the registry knows an agent's certificate; raises `RefusedError` where that must not be believed."""


class Intake:
    """Takes reports of all agents; one for a process. `counts` is by what became of a batch, for metrics."""

    def __init__(
        self,
        registry: Registry,
        known: KnownTenants,
        *,
        believe: Believe | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Nothing is kept before `groups.run` runs. `believe` is asked about certificates of carried batches that are not known."""
        self._believe = believe
        self.counts: Counter[str] = Counter()
        self.accounts = Accounts(registry)
        self.signatures = Signatures(registry)
        self.groups: Groups[Received, None] = Groups(self._keep)
        self._registry, self._known, self._now = registry, known, now
        self._seen: dict[Agent, datetime] = {}

    async def take(self, agent: Agent, fingerprint: str, body: bytes) -> Acknowledged:
        """Keep what an agent reports, or what it carries for another as a relay; return what it is told.

        `fingerprint` is that of the certificate which it shows.

        Raises:
            MalformedError: no report.
            Denied: it may not carry that, or it can't be kept now.
        """
        found = decoding.decode(body)
        batch: Batch
        if isinstance(found, SignedBatch):
            agent, fingerprint, batch = await self._carried(agent, found)
            self.counts["carried"] += 1
        else:
            batch = found
        account = await self.accounts.load(agent, fingerprint)
        account.use(len(body) + OVERHEAD, self._now())
        missing = await self._missing(agent, account, batch)
        return await self._kept(agent, account, await self._checked(agent, batch, missing), ask=bool(missing) and not batch.whole)

    async def take_carried(self, tenant: str, body: bytes) -> Acknowledged:
        """Keep a signed batch of any agent of a tenant that an operator carried here; return what its host would be told.

        Raises:
            MalformedError: no signed batch.
            Denied: it is of no agent of that tenant, or can't be kept now.
        """
        found = decoding.decode(body)
        if not isinstance(found, SignedBatch):
            message = "a batch that its host did not sign as a whole can't be carried"
            raise Denied("malformed", message)
        agent, fingerprint, batch = await self._signed_by(tenant, found)
        self.counts["by-hand"] += 1
        account = await self.accounts.load(agent, fingerprint)
        missing = await self._missing(agent, account, batch)
        return await self._kept(agent, account, await self._checked(agent, batch, missing), ask=False)

    async def _checked(self, agent: Agent, batch: Batch, missing: int) -> Batch:
        """Return a batch with the receipts that hold, and with events of our own about what is wrong with it."""
        said = {"reports-missing": f"{missing} batches before this one never came"} if missing else {}
        if batch.dropped:
            said["events-dropped"] = f"{batch.dropped} events had no room while it was offline"
        if batch.receipts:
            held, dropped = await self.signatures.sorted_out(batch.receipts, tenant=agent[0], agent=agent[1])
            if dropped:
                said["receipts-dropped"] = f"{len(dropped)} of {len(batch.receipts)}: {', '.join(sorted(set(dropped)))}"
                batch = msgspec.structs.replace(batch, receipts=held)
        if not said:
            return batch
        own = [Event(kind=kind, at=stamp(self._now()), text=text) for kind, text in said.items()]
        return msgspec.structs.replace(batch, events=[*batch.events, *own])

    async def _kept(self, agent: Agent, account: Account, batch: Batch, *, ask: bool) -> Acknowledged:
        empty = is_empty(batch)
        received = Received(tenant=agent[0], agent=agent[1], incarnation=account.incarnation, batch=batch, received_at=self._now())
        await self.groups.put(agent[0], received, soon=not empty)
        self.counts["heartbeat" if empty else "again" if batch.sequence <= account.sequence else "kept"] += 1
        account.sequence = max(account.sequence, batch.sequence)
        found = self.pace(*agent)
        whole = ask and self._may_ask(account)
        return Acknowledged(format=report.FORMAT, sequence=account.sequence, every=found.every, brief=found.brief, report=whole)

    async def _missing(self, agent: Agent, account: Account, batch: Batch) -> int:
        """Return how many batches before this one never came; the registry is asked before that is believed."""
        if batch.sequence <= account.sequence + 1:
            return 0
        await self.accounts.look_up(agent)
        missing = max(batch.sequence - account.sequence - 1, 0)
        self.counts["gap"] += bool(missing)
        return missing

    async def _carried(self, relay: Agent, carried: SignedBatch) -> tuple[Agent, str, Batch]:
        """Return what `_signed_by` does of a batch that a relay brings; raise `Denied` (unknown) where it is none."""
        controls = self._known.controls(relay[0])
        stated = member(controls, relay[1]) if controls else None
        if not isinstance(stated, StatedAgent) or not stated.relay:
            message = f"{relay[0]}/{relay[1]} is no relay: its manifest names no fleets that it carries"
            raise Denied("unknown", message)  # and not `refused`, which is said of a batch: a relay keeps what it has, and asks again
        return await self._signed_by(relay[0], carried)

    async def _signed_by(self, tenant: str, carried: SignedBatch) -> tuple[Agent, str, Batch]:
        """Return whose batch it is, the fingerprint of the certificate that signed it, and the batch.

        Raises:
            Denied: it is not signed by an agent of the tenant.
            MalformedError: it holds no batch.
        """
        leaf = _leaf(carried.certificate)
        fingerprint = leaf.fingerprint(hashes.SHA256()).hex()
        holder = await self.signatures.holder(fingerprint) or await self._taken_in(leaf, fingerprint)
        if holder is None or holder.tenant != tenant:
            message = "the batch is of no agent of this tenant whose certificate is known and not revoked"
            raise Denied("refused", message)
        data = decoding.carried_bytes(carried.batch, what="batch")
        receipts.require_batch_signed(data, carried.signature, holder.key)
        return (holder.tenant, holder.agent), fingerprint, decoding.decode_batch(data)

    async def _taken_in(self, leaf: x509.Certificate, fingerprint: str) -> Holder | None:
        """Return whose key it is that the registry does not know: it was lost, and this host speaks through a relay alone."""
        if self._believe is None:
            return None
        try:
            await self._believe(leaf)
        except RefusedError:  # whoever carries it must hear that of the batch, not of itself
            return None
        return await self.signatures.holder(fingerprint)

    # What agents are told

    def pace(self, tenant: str, agent: str) -> Pace:
        """Return how an agent reports, by its controls and what it used today."""
        now, account = self._now(), self.accounts.get((tenant, agent))
        controls = self._known.controls(tenant)
        stated = reporting(controls, agent) if controls else Reporting()
        return pace(stated, used=account.used_on(now) if account else 0, now=now)

    async def wants_whole(self, tenant: str, agent: str, fingerprint: str, reported: int) -> bool:
        """Return whether an agent should report everything: it has sent more than is kept, so the registry was lost, or is older."""
        account = await self.accounts.load((tenant, agent), fingerprint)
        if reported <= account.sequence:
            return False
        await self.accounts.look_up((tenant, agent))
        return reported > account.sequence and self._may_ask(account)

    def _may_ask(self, account: Account) -> bool:
        now = time.monotonic()
        if now - account.asked_at < ASK_EVERY and account.asked_at:
            return False
        account.asked_at = now
        return True

    # Keeping

    def seen(self, tenant: str, agent: str) -> None:
        """Note that an agent is there: it asked for news. `write_seen` writes it down."""
        self._seen[tenant, agent] = self._now()

    async def write_seen(self) -> None:
        """Write down who was there since the last time; what can't be written now is noted again by whoever comes back."""
        seen, self._seen = self._seen, {}
        if seen:
            await self._registry.run(heartbeats.touch, [(*agent, at) for agent, at in seen.items()])

    async def _keep(self, found: Sequence[Received]) -> Sequence[None]:
        await self._registry.run(_write, found)
        return [None] * len(found)


def _write(connection: Connection, found: Sequence[Received]) -> None:
    """Write batches, and wake those who wait for receipts of the fleets that some came for."""
    batches.write_batches(connection, found)
    for fleet in sorted({signed.receipt.fleet for one in found for signed in one.batch.receipts}):
        notify(connection, REPORTS, fleet)


def is_empty(batch: Batch) -> bool:
    """Return whether a batch is a heartbeat and nothing more."""
    said = batch.receipts or batch.statuses or batch.gone or batch.events or batch.dropped or batch.whole
    return not said and batch.facts is None and batch.problems is None


def _leaf(pem: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(split_pem(pem)[0].encode())
    except ValueError as error:
        message = f"the batch's certificate can't be read: {error}"
        raise Denied("malformed", message) from error
