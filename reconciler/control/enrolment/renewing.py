"""Renewing: a new certificate for an agent that has one, over its connection, or after it ran out by its old key.

Over the connection TLS proves who asks. After the end, the request must be signed by the old certificate's key; so long after it only:
for max(30 days, what its fleets call fresh and a week), and for a pool's member as long as its lease. A revoked one never renews. That
git no longer has an agent does not end it: an operator decommissions it, and it must be there to be told.
"""

import asyncio
import binascii
from base64 import b64decode
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection

from agent.protocol.enrolment import Issued, RenewalRequest, split_pem
from agent.protocol.errors import MalformedError, RefusedError
from agent.protocol.identity import AgentName
from reconciler.control.authority import certificates as made
from reconciler.control.authority.keeper import Certified, Keeper
from reconciler.control.authority.requests import require_continued
from reconciler.control.authority.rotation import note_issued
from reconciler.control.enrolment import answering
from reconciler.control.identity import recording
from reconciler.control.identity.agents import Asker
from reconciler.control.identity.recording import Recorder
from reconciler.control.known import KnownTenants
from reconciler.control.refusal import Denied
from reconciler.control.registry import agents, audit, certificates
from reconciler.control.registry.certificates import How
from reconciler.control.registry.registry import Registry
from reconciler.publication.store import Store

LAPSED = timedelta(days=30)
"""How long after its end a certificate renews: a gateway that was off over the holidays needs nobody."""
BEYOND_FRESH = timedelta(days=7)
"""Beyond what its fleets call fresh: who may work so long without a word may also come back after it."""
REPEATED = timedelta(minutes=15)
"""In which the same request is answered again: an answer may be lost. Later, it is somebody else's copy."""


class Renewing:
    """Renews certificates; `counts` is by how and outcome (`renewed`, or the code of a refusal), for metrics."""

    def __init__(
        self,
        *,
        store: Store,
        registry: Registry,
        known: KnownTenants,
        keeper: Keeper,
        recorder: Recorder,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Keep whom to ask."""
        self.counts: Counter[tuple[str, str]] = Counter()
        self._store, self._registry, self._known, self._keeper, self._recorder = store, registry, known, keeper, recorder
        self._now = now

    async def renew(self, asker: Asker, request: RenewalRequest) -> Issued:
        """Return the next certificate of an agent that asks over its own connection; raises `Denied`."""
        try:
            key = answering.wanted_key(request.request, request.format)
            return await self._issue(asker.name, key, how="renewed", old=asker.fingerprint)
        except Denied as denied:
            self.counts["renewed", denied.code] += 1
            raise

    async def renew_lapsed(self, request: RenewalRequest, *, address: str) -> Issued:
        """Return the next certificate of an agent whose last one ran out; raises `Denied`, which is audited where the proof held."""
        try:
            return await self._lapsed(request, address)
        except Denied as denied:
            self.counts["lapsed", denied.code] += 1
            raise

    async def _lapsed(self, request: RenewalRequest, address: str) -> Issued:
        key = answering.wanted_key(request.request, request.format)
        old = _old(request)
        name = _name(old)
        self._keeper.require_issued(old, name)
        _require_proof(old, request)
        try:
            await self._recorder(old, name)
            await self._registry.ask(_require_may_return, name, made.fingerprint(old), until=self._until(old, name), now=self._now())
            return await self._issue(name, key, how="lapsed", old=made.fingerprint(old))
        except Denied as denied:
            await self._registry.run(_refused, name, denied, address=address, now=self._now())
            raise

    def _until(self, old: x509.Certificate, name: AgentName) -> datetime | None:
        """Return until when a certificate may renew; None for a pool's member, whose lease says."""
        if "/" in name.agent:
            return None
        controls = self._known.controls(name.tenant)
        fleets = self._known.fleets(name.tenant, name.agent)
        fresh = [controls.fleets[fleet].freshness for fleet in fleets if fleet in controls.fleets] if controls else []
        return old.not_valid_after_utc + max(LAPSED, timedelta(seconds=max(fresh, default=0)) + BEYOND_FRESH)

    async def _issue(self, name: AgentName, key: ec.EllipticCurvePublicKey, *, how: How, old: str) -> Issued:
        lease = recording.lease(self._known, name)
        certified = await asyncio.to_thread(self._keeper.issue, key, name, lifetime=lease)
        await self._registry.run(_write, name, certified, how=how, old=old, lease=lease, now=self._now())
        self.counts[how, "renewed"] += 1
        return await asyncio.to_thread(answering.issued, self._store, self._keeper, name, certified, now=self._now())


def _old(request: RenewalRequest) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(split_pem(request.certificate)[0].encode())
    except (MalformedError, ValueError) as error:
        message = "`certificate` is the one that ran out, in PEM"
        raise Denied("malformed", message) from error


def _name(old: x509.Certificate) -> AgentName:
    try:
        return made.agent_name(old)
    except MalformedError as error:
        raise Denied("unauthenticated", str(error)) from error


def _require_proof(old: x509.Certificate, request: RenewalRequest) -> None:
    try:
        proof = b64decode(request.proof, validate=True)
        require_continued(old, request.request.encode(), proof)
    except (binascii.Error, ValueError) as error:
        message = "`proof` is a signature in base64"
        raise Denied("malformed", message) from error
    except RefusedError as error:
        raise Denied("unauthenticated", str(error)) from error


def _require_may_return(connection: Connection, name: AgentName, fingerprint: str, *, until: datetime | None, now: datetime) -> None:
    """Raise `Denied` where a certificate is revoked, its agent is not wanted, or its time is over."""
    known = certificates.get(connection, fingerprint)
    agent = agents.get(connection, name.tenant, name.agent)
    if agent is not None and agent.state == "decommissioned":
        message = f"{agent.name} is decommissioned: {agent.reason}"
        raise Denied("decommissioned", message)
    if known is None or known.revoked_at is not None or agent is None or agent.state == "revoked":
        message = f"the certificate of {name.tenant}/{name.agent} is revoked; an operator can let the host enrol again"
        raise Denied("revoked", message)
    end = until or agent.lease_until
    if end is not None and now > end:
        message = f"the certificate of {agent.name} ran out too long ago to be renewed; enrol the host again"
        raise Denied("refused", message)


def _write(
    connection: Connection, name: AgentName, certified: Certified, *, how: How, old: str, lease: timedelta | None, now: datetime
) -> None:
    row = recording.row(certified.certificate, name)
    known = certificates.of_agent(connection, name.tenant, name.agent)
    answering.require_not_revoked(known, row.key)
    if how == "lapsed" and any(one.key == row.key and now - one.recorded_at > REPEATED for one in known):
        message = "this request was answered before; make a new key, and a request by it"
        raise Denied("conflict", message)
    certificates.record(connection, row, how=how, now=now)
    note_issued(connection, name, certified.generation, tried=certified.tried, now=now)
    if lease is not None:
        agents.extend_lease(connection, name.tenant, name.agent, until=now + lease)
    if how == "lapsed":
        detail = {"certificate": row.fingerprint, "old": old, "ends": answering.ends(certified.certificate)}
        who = f"agent:{name.tenant}/{name.agent}"
        audit.append(connection, name.tenant, who=who, action="certificates.renew-lapsed", target=who[6:], detail=detail, at=now)


def _refused(connection: Connection, name: AgentName, denied: Denied, *, address: str, now: datetime) -> None:
    audit.append(
        connection,
        name.tenant,
        who=f"agent:{name.tenant}/{name.agent}",
        action="certificates.renew-lapsed",
        target=f"{name.tenant}/{name.agent}",
        outcome="refused",
        reason=str(denied),
        detail={"address": address, "code": denied.code},
        at=now,
    )
