"""By what a host asks to join: an enrolment token, or its platform's word. Checked here; whether that is enough, policy decides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection

from agent.protocol.enrolment import EnrolmentRequest, Token, read_token
from agent.protocol.errors import MalformedError, RefusedError
from agent.protocol.identity import LABEL
from reconciler.control.enrolment.platforms import Platforms
from reconciler.control.known import KnownTenants
from reconciler.control.refusal import Denied
from reconciler.control.registry import tokens
from reconciler.control.registry.registry import Registry
from reconciler.control.registry.tokens import EnrolmentToken
from reconciler.publication.controls import Agent, Controls, Platform, Pool

MEMBER_DIGITS = 16
"""Of the SHA-256 that names a pool's member: two of a million members are alike with a chance of one in thirty million."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """Who may join by it: `agent`, or a new member of `pool` (the other is ""); `by` is how the registry says so.

    `use` takes it, in the transaction that enrols.
    """

    tenant: str
    agent: str
    pool: str
    by: str
    how: str
    reimage: bool
    token: Token | None = None
    platform: Platform | None = None
    claims: Mapping[str, Any] = field(default_factory=dict)

    def member(self, key: str) -> str:
        """Return the name that a host of this key gets: its own, or one in the pool that follows from key and credential.

        So a host that asks again with the same key, having lost the answer, is the same member.
        """
        if self.agent:
            return self.agent
        digest = sha256(b"\0".join((self.by.encode(), key.encode()))).hexdigest()
        return f"{self.pool}/{digest[:MEMBER_DIGITS]}"

    def require_meant(self, request: EnrolmentRequest) -> None:
        """Raise `Denied` where a token is shown for another tenant, agent or pool than it was made for."""
        if self.token is None:
            return
        if (request.tenant or self.tenant, self.token.body.tenant) != (self.tenant, self.tenant):
            message = "the enrolment token is for another tenant"
            raise Denied("refused", message)
        if (request.agent and request.agent != self.agent) or (request.pool and request.pool != self.pool):
            message = f"the enrolment token is for {'agent ' + self.agent if self.agent else 'pool ' + self.pool} of tenant {self.tenant}"
            raise Denied("refused", message)

    def use(self, connection: Connection, *, now: datetime) -> None:
        """Use a token once; a platform's word is good until it ends. Raises `Denied` where it can't be used any more."""
        if self.token is not None:
            try:
                tokens.use(connection, self.token.body.id, self.token.secret, now=now)
            except RefusedError as error:
                raise Denied("unauthenticated", str(error)) from error

    def require_live(self, connection: Connection, *, now: datetime) -> None:
        """Raise `Denied` where a token is revoked or over; one that is used up still answers the host that used it."""
        if self.token is not None:
            _checked(connection, self.token, now=now)


def _checked(connection: Connection, token: Token, *, now: datetime) -> EnrolmentToken:
    try:
        return tokens.check(connection, token.body.id, token.secret, now=now, used_up=True)
    except RefusedError as error:
        raise Denied("unauthenticated", str(error)) from error


async def by_token(registry: Registry, request: EnrolmentRequest, *, now: datetime) -> Credential:
    """Return what an enrolment token allows; whether it is for who asks, `require_meant` says.

    Raises:
        Denied: it is not known, over or revoked.
    """
    try:
        token = read_token(request.token)
    except MalformedError as error:
        raise Denied("malformed", str(error)) from error
    found = await registry.ask(_checked, token, now=now)
    return Credential(
        tenant=found.tenant, agent=found.agent, pool=found.pool, by=f"token:{found.id}", how="token", reimage=found.reimage, token=token
    )


async def by_platform(platforms: Platforms, known: KnownTenants, request: EnrolmentRequest) -> Credential:
    """Return what a platform's token allows: to join as the agent or the pool that it is shown for, if its manifest names the platform.

    For one that git does not know, a platform of any other of its tenant's vouches that it is real: policy refuses it, and it is listed.

    Raises:
        Denied: the token can't be verified, or no manifest names its platform.
    """
    if (
        not LABEL.fullmatch(request.tenant)
        or not LABEL.fullmatch(request.agent or request.pool)
        or bool(request.agent) == bool(request.pool)
    ):
        message = "a platform's token is shown for a tenant, and for one agent or one pool of it: name both"
        raise Denied("malformed", message)
    controls = await known.awaited(request.tenant)
    found = _named(controls, request)
    platform, claims = await platforms.verify(request.platform, found.platforms if found else _any_platform(controls))
    who = f"platform:{platform.issuer}#{claims.get('sub', '')}"[:500]
    return Credential(
        tenant=request.tenant,
        agent=request.agent,
        pool=request.pool,
        by=who,
        how="platform",
        reimage=False,
        platform=platform if found else None,
        claims=claims,
    )


def _named(controls: Controls | None, request: EnrolmentRequest) -> Agent | Pool | None:
    """Return what git has under the name that is asked for."""
    if controls is None:
        return None
    return controls.agents.get(request.agent) if request.agent else controls.pools.get(request.pool)


def _any_platform(controls: Controls | None) -> Sequence[Platform]:
    """Return all platforms that manifests of a tenant name; raise `Denied` where there is none."""
    members: list[Agent | Pool] = [*controls.agents.values(), *controls.pools.values()] if controls else []
    found = list({(one.issuer, one.audience): one for member in members for one in member.platforms}.values())
    if not found:
        message = "there is no such agent or pool that hosts join by their platform's word"
        raise Denied("unknown", message)
    return found
