"""Which agent asks, by the certificate of its connection.

TLS has verified the chain when a connection begins. The rest is checked here: that the intermediate of that very tenant signed the
certificate (any other could name it too), that it is in its time (a connection may last longer than its certificate, a resumed one was
not looked at, and a handshake that fails does not say why), and that the registry knows it. All of that but the time is done once for
each certificate; its standing is looked at on every request, and again when a watch wakes (`require`).
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Protocol

from cryptography import x509

from agent.protocol.errors import MalformedError
from agent.protocol.identity import AgentName
from reconciler.control.authority import certificates
from reconciler.control.identity.standing import Standing
from reconciler.control.refusal import Denied

REMEMBERED = 50_000
"""Certificates whose checks are remembered: five times the agents that one process serves; about 400 bytes each."""


QUARANTINE_RETRY = 10
"""Seconds after which a host in quarantine asks again: whoever lets it go waits for it. A hundred of them are a few requests a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """An agent whose certificate was checked; `fingerprint` is its SHA-256 in hexadecimal digits."""

    name: AgentName
    fingerprint: str
    not_before: datetime
    not_after: datetime

    @property
    def tenant(self) -> str:
        """Its tenant."""
        return self.name.tenant

    @property
    def agent(self) -> str:
        """Its name, or `<pool>/<id>`."""
        return self.name.agent


class Issuers(Protocol):
    """Whoever knows the authority."""

    def require_issued(self, certificate: x509.Certificate, name: AgentName) -> None:
        """Raise `Denied` unless the intermediate of that tenant, for that trust domain, signed the certificate."""
        ...


Recorded = Callable[[x509.Certificate, AgentName], Awaitable[None]]
"""Sees to it that the registry knows a certificate; raises `Denied` (revoked, unknown) where it must not be believed."""


class Agents:
    """Knows agents by their certificates; one for a process."""

    def __init__(
        self,
        issuers: Issuers,
        standing: Standing,
        recorded: Recorded,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        grace: timedelta = timedelta(),
    ) -> None:
        """`recorded` is asked once for each certificate that this process has not seen; one counts for `grace` beyond its time."""
        self._issuers, self._standing, self._recorded, self._now, self._grace = issuers, standing, recorded, now, grace
        self._known: OrderedDict[bytes, Asker] = OrderedDict()

    async def identify(self, der: bytes | None) -> Asker:
        """Return whose certificate (DER) it is; None is that of a connection without one. It may still be held: see `require`.

        Raises:
            Denied: unauthenticated, revoked or unknown.
        """
        if der is None:
            message = "this needs the client certificate of an enrolled agent: run ordain-agent enroll on the host"
            raise Denied("unauthenticated", message)
        digest = sha256(der).digest()
        asker = self._known.get(digest)
        if asker is None:
            asker = await self._check(der, digest)
        else:
            self._known.move_to_end(digest)
        now = self._now()
        if not asker.not_before - self._grace <= now < asker.not_after + self._grace:
            how = "ran out" if now >= asker.not_after else "begins later than it is here: some clock is, or was, wrong"
            message = f"the certificate of this connection {how}; renew it by POST /v1/certificates/lapsed"
            raise Denied("unauthenticated", message)
        return asker

    def require(self, asker: Asker, *, even: Collection[str] = ()) -> None:
        """Raise `Denied` where a certificate is revoked, or its agent is held in a state that `even` does not name."""
        held, who = self._standing.held((asker.tenant, asker.agent)), f"{asker.tenant}/{asker.agent}"
        if held == "revoked" or self._standing.is_revoked(asker.fingerprint):
            message = f"the certificate of {who} is revoked; an operator can let the host enrol again"
            raise Denied("revoked", message)
        if held == "decommissioned" and held not in even:
            message = f"{who} is decommissioned; ask /v1/watch what to do with what it manages"
            raise Denied("decommissioned", message)
        if held == "quarantined" and held not in even:
            message = f"{who} is in quarantine; an operator decides what becomes of it"
            raise Denied("quarantined", message, retry_after=QUARANTINE_RETRY)

    async def _check(self, der: bytes, digest: bytes) -> Asker:
        certificate = x509.load_der_x509_certificate(der)
        try:
            name = certificates.agent_name(certificate)
        except MalformedError as error:
            raise Denied("unauthenticated", str(error)) from error
        self._issuers.require_issued(certificate, name)
        await self._recorded(certificate, name)
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        asker = Asker(name=name, fingerprint=digest.hex(), not_before=begins, not_after=ends)
        self._known[digest] = asker
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return asker
