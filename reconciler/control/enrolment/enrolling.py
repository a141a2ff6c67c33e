"""Enrolling: from what a host shows to its certificate, in named steps.

    credential  a token or a platform's word that holds                     Denied: unauthenticated, refused
    place       where signed controls have the agent, or the pool           pending is noted where they don't
    policy      Rego decides, the repository's own rules too                Denied: unknown, conflict, refused, …
    issue       a certificate for the key of the request                    nothing is written yet
    write       in one transaction: quotas, the token's use, agent, certificate, audit

Nothing is used up unless all of it is written, and a host that lost the answer asks again with the same key: it is the same agent, and
the token's use is the one that it made before.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection

from agent.protocol.enrolment import EnrolmentRequest, Issued
from agent.protocol.identity import AgentName
from reconciler.control.authority.keeper import Certified, Keeper
from reconciler.control.authority.rotation import note_issued
from reconciler.control.enrolment import answering, credentials
from reconciler.control.enrolment.credentials import Credential
from reconciler.control.enrolment.platforms import Platforms
from reconciler.control.enrolment.policy import Policy, Question
from reconciler.control.identity import recording
from reconciler.control.identity.standing import Standing
from reconciler.control.known import KnownTenants
from reconciler.control.refusal import Denied
from reconciler.control.registry import agents, audit, certificates, pending
from reconciler.control.registry.registry import Registry
from reconciler.publication.controls import Agent, Controls, Pool
from reconciler.publication.store import Store

FACTS_LIMIT = 64
"""Facts that are kept of a host that is not known: for people who decide about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where git has who asks; `found` None where it has not."""

    controls: Controls | None
    found: Agent | Pool | None
    name: str
    """`web-01`, or `runners/7f3a…`."""

    @property
    def lease(self) -> timedelta | None:
        """How long a pool's member stays without renewing."""
        return timedelta(seconds=self.found.lease) if isinstance(self.found, Pool) and self.found.lease else None


class Enrolling:
    """Enrols hosts; `counts` is by outcome (`enrolled`, `again`, or the code of a refusal), for metrics."""

    def __init__(
        self,
        *,
        store: Store,
        registry: Registry,
        known: KnownTenants,
        keeper: Keeper,
        standing: Standing,
        policy: Policy,
        platforms: Platforms,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Keep whom to ask."""
        self.counts: Counter[str] = Counter()
        self._store, self._registry, self._known, self._keeper = store, registry, known, keeper
        self._standing, self._policy, self._platforms, self._now = standing, policy, platforms, now

    async def enrol(self, request: EnrolmentRequest, *, address: str) -> Issued:
        """Return who the host now is. Raises `Denied`, and each refusal of a credential that held is a row of audit."""
        try:
            return await self._enrol(request, address)
        except Denied as denied:
            self.counts[denied.code] += 1
            raise

    async def _enrol(self, request: EnrolmentRequest, address: str) -> Issued:
        key = answering.wanted_key(request.request, request.format)
        credential = await self._credential(request)
        await self._known.awaited(credential.tenant)
        place = self._place(credential, recording.key_text(key))
        standing = await self._registry.ask(_standing, credential, place.name, recording.key_text(key))
        try:
            credential.require_meant(request)
            await self._policy.require(_question(request, credential, place, standing, address), rules=_rules(place))
            name, made = await asyncio.to_thread(self._issue, credential.tenant, place, key)
            again = await self._registry.run(_write, credential, place, name, made, standing=standing, address=address, now=self._now())
        except Denied as denied:
            await self._registry.run(_refused, request, credential, place, denied, address=address, now=self._now())
            raise
        self._standing.release((name.tenant, name.agent))
        self.counts["again" if again else "enrolled"] += 1
        return await asyncio.to_thread(answering.issued, self._store, self._keeper, name, made, now=self._now())

    async def _credential(self, request: EnrolmentRequest) -> Credential:
        if bool(request.token) == bool(request.platform):
            message = "show an enrolment token, or a token of your platform, and not both"
            raise Denied("malformed", message)
        if request.token:
            return await credentials.by_token(self._registry, request, now=self._now())
        return await credentials.by_platform(self._platforms, self._known, request)

    def _place(self, credential: Credential, key: str) -> _Place:
        controls = self._known.controls(credential.tenant)
        found: Agent | Pool | None = None
        if controls is not None:
            found = controls.agents.get(credential.agent) if credential.agent else controls.pools.get(credential.pool)
        return _Place(controls=controls, found=found, name=credential.member(key))

    def _issue(self, tenant: str, place: _Place, key: ec.EllipticCurvePublicKey) -> tuple[AgentName, Certified]:
        wanted = place.controls.trust_domain if place.controls else ""
        name = answering.full_name(self._keeper.domain(tenant, wanted=wanted), tenant, place.name)
        if wanted not in ("", name.domain):
            message = f"the authority of tenant {tenant} is for {name.domain}, and its manifest says {wanted}"
            raise Denied("unavailable", f"{message}: an operator repeats the ceremony", retry_after=60)
        return name, self._keeper.issue(key, name, lifetime=place.lease)


def _rules(place: _Place) -> str:
    return place.controls.authz if place.controls else ""


def _question(request: EnrolmentRequest, credential: Credential, place: _Place, standing: str, address: str) -> Question:
    found = place.found
    # What a manifest allows at any time says nothing of a host that was revoked meanwhile: an older token of its name may be a thief's.
    stated = isinstance(found, Agent) and found.reimage and standing != "revoked"
    return Question(
        tenant=credential.tenant,
        agent=credential.agent,
        pool=credential.pool,
        known=found is not None,
        standing=standing,
        reimage=credential.reimage or stated,
        how=credential.how,
        address=address,
        facts=dict(request.facts),
        labels=dict(found.labels) if found else {},
        fleets=sorted(found.fleets) if found else [],
        platform=credential.platform,
        claims=dict(credential.claims),
    )


def _is_repeated(connection: Connection, credential: Credential, name: str, key: str) -> bool:
    """Return whether this very key enrolled by this very credential before: the host lost the answer."""
    found = agents.get(connection, credential.tenant, name)
    if found is None or found.state != "enrolled" or found.enrolled_by != credential.by:
        return False
    known = certificates.of_agent(connection, credential.tenant, name)
    return any(one.key == key and one.revoked_at is None for one in known)


def _standing(connection: Connection, credential: Credential, name: str, key: str) -> str:
    """Return in which state the name is, "" for nobody, and for the host itself that asks again."""
    if _is_repeated(connection, credential, name, key):
        return ""
    found = agents.get(connection, credential.tenant, name)
    return found.state if found else ""


def _write(
    connection: Connection,
    credential: Credential,
    place: _Place,
    name: AgentName,
    made: Certified,
    *,
    standing: str,
    address: str,
    now: datetime,
) -> bool:
    """Write that a host enrolled; return whether it had before, and only asks again."""
    row = recording.row(made.certificate, name)
    credential.require_live(connection, now=now)
    answering.require_not_revoked(certificates.of_agent(connection, name.tenant, name.agent), row.key)
    again = _is_repeated(connection, credential, name.agent, row.key)
    if not again:
        if _standing(connection, credential, name.agent, row.key) != standing:
            message = f"{name.agent} of tenant {name.tenant} enrolled just now from elsewhere"
            raise Denied("conflict", message)
        audit.hold(connection, name.tenant)
        _require_room(connection, credential, place, standing)
        credential.use(connection, now=now)
        until = now + place.lease if place.lease else None
        agents.enrol(connection, name.tenant, name.agent, by=credential.by, now=now, lease_until=until)
        pending.forget(connection, name.tenant, name.agent)
    certificates.record(connection, row, how="enrolled", now=now)
    note_issued(connection, name, made.generation, tried=made.tried, now=now)
    audit.append(
        connection,
        name.tenant,
        who=credential.by,
        action="agents.enrol",
        target=f"{name.tenant}/{name.agent}",
        reason="asked again" if again else "",
        detail={"certificate": row.fingerprint, "ends": answering.ends(made.certificate), "address": address},
        at=now,
    )
    return again


def _require_room(connection: Connection, credential: Credential, place: _Place, standing: str) -> None:
    """Raise `Denied` where the pool or the tenant has as many agents as it may."""
    if standing in ("enrolled", "quarantined"):
        return  # one that is counted already
    quota = place.controls.quotas.agents if place.controls else 0
    if quota and agents.count(connection, credential.tenant) >= quota:
        message = (
            f"tenant {credential.tenant} has {quota} agents, as many as its quota allows; decommission some, or raise it in its manifest"
        )
        raise Denied("refused", message)
    maximum = place.found.maximum if isinstance(place.found, Pool) else 0
    if maximum and agents.count(connection, credential.tenant, pool=credential.pool) >= maximum:
        message = f"pool {credential.pool} has {maximum} members, as many as its manifest allows; they go when their lease ends"
        raise Denied("refused", message)


def _refused(
    connection: Connection, request: EnrolmentRequest, credential: Credential, place: _Place, denied: Denied, *, address: str, now: datetime
) -> None:
    """Write down who was refused; where only git does not know them, that they wait for a manifest."""
    name = credential.agent or place.name
    if denied.code == "unknown":
        pending.note(
            connection,
            credential.tenant,
            name,
            pool=credential.pool,
            why=str(denied),
            how=credential.by,
            address=address,
            facts=dict(list(request.facts.items())[:FACTS_LIMIT]),
            now=now,
        )
    audit.append(
        connection,
        credential.tenant,
        who=credential.by,
        action="agents.enrol",
        target=f"{credential.tenant}/{name}",
        outcome="refused",
        reason=str(denied),
        detail={"address": address, "code": denied.code},
        at=now,
    )
