"""The keeper of the authority: issues agents' certificates and the server's own, and knows by which intermediates to believe others.

What it issues by is public and stands in the store (`generations`); the keys are the ring's, wherever they are. Which generation issues
for whom is a plan (`Plan`): usually the newest for all, and during a change of authority the one beside it for some.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from agent.protocol.errors import OrdainError, RefusedError, RetryError
from agent.protocol.identity import AgentName
from reconciler.control.authority import certificates
from reconciler.control.authority.certificates import Issuer
from reconciler.control.authority.generations import Generation, read_generations, stamp_of
from reconciler.control.authority.signing import SigningKey
from reconciler.control.refusal import Denied
from reconciler.publication.keys import AUTHORITY, AUTHORITY_SERVER, KeyRing
from reconciler.publication.store import Store

_log = logging.getLogger(__name__)
Make = Callable[[str, str], None]
"""Makes what a tenant lacks, for a trust domain ("" the installation's): `ordain up` does so, elsewhere nothing but the ceremony."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """By which generations certificates are issued: `for_all`, but `candidate` for the agents that `chosen` picks; 0 is none.

    `server` is the generation of the server's own certificate, which is the last to change: agents that have not heard of another root
    still reach it.
    """

    for_all: int
    server: int
    candidate: int = 0
    chosen: Callable[[AgentName], bool] = field(default=lambda _: False)

    def number(self, name: AgentName) -> int:
        """Return which generation issues for an agent."""
        return self.candidate if self.candidate and self.chosen(name) else self.for_all


@dataclass(frozen=True, slots=True, kw_only=True)
class Certified:
    """A certificate that was made: `certificate`, and `chain`, which is it and its intermediate in PEM.

    `tried` says that its generation is being tried on some.
    """

    certificate: x509.Certificate
    chain: str
    generation: int
    tried: bool = False


class Keeper:
    """Issues and judges certificates; safe to use from several threads, since what it knows is replaced whole."""

    def __init__(
        self,
        store: Store,
        ring: KeyRing,
        *,
        lifetime: timedelta = certificates.AGENT_LIFETIME,
        make: Make | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`ring` is the control zone's; `lifetime` is of agents' certificates. Nothing is read before the first `look`."""
        self.lifetime = lifetime
        self._store, self._ring, self._make, self._now = store, ring, make, now
        self._stamp: tuple[str, ...] = ()
        self._generations: dict[int, Generation] = {}
        self._plan: Plan | None = None

    def look(self) -> bool:
        """Read the store again where something was added; return whether. Raises as `read_generations`; what was known stands then."""
        stamp = stamp_of(self._store)
        if stamp == self._stamp:
            return False
        self._generations = {one.number: one for one in read_generations(self._store)}
        self._stamp = stamp
        return True

    @property
    def generations(self) -> Sequence[Generation]:
        """All generations, rising."""
        return list(self._generations.values())

    def follow(self, plan: Plan) -> None:
        """Issue by this plan from now on."""
        self._plan = plan

    @property
    def plan(self) -> Plan:
        """The plan that is followed; raises `RetryError` while there is no authority."""
        if not self._generations:
            message = "there is no certificate authority yet: run `ordain keys init --zone authority`"
            raise RetryError(message)
        newest = max(self._generations)
        return self._plan or Plan(for_all=newest, server=newest)

    def roots(self) -> list[x509.Certificate]:
        """Return all roots that are in use, the one that issues for all first."""
        first = self.plan.for_all
        ordered = sorted(self._generations.values(), key=lambda one: (one.number != first, one.number))
        return list(dict.fromkeys(one.root for one in ordered))

    def authority(self) -> str:
        """Return all roots in PEM, as `GET /v1/authority` and every certificate's answer bring them."""
        return "".join(pem(root) for root in self.roots())

    def domain(self, tenant: str, *, wanted: str = "") -> str:
        """Return the trust domain of a tenant's agents; `wanted` is for an authority that is made on the spot (see `Make`).

        Raises:
            RefusedError: the ceremony was not held for the tenant.
        """
        if self._make is not None and tenant not in self._known_tenants():
            self._make(tenant, wanted)
            self.look()
        return certificates.domain_of(self._of_tenant(tenant, self.plan.for_all).tenant(tenant))

    def issue(self, key: ec.EllipticCurvePublicKey, name: AgentName, *, lifetime: timedelta | None = None) -> Certified:
        """Return a certificate for an agent's key.

        Raises:
            RefusedError: no intermediate for that tenant, or its key is not in the ring.
            RetryError: no authority yet.
        """
        generation = self._of_tenant(name.tenant, self.plan.number(name))
        issuer = self._issuer(f"{name.tenant}/{AUTHORITY}", generation.tenant(name.tenant))
        life = min(lifetime or self.lifetime, self.lifetime)
        made = certificates.issue_agent(issuer, key, name=name.uri, now=self._now(), lifetime=life)
        tried = generation.number == self.plan.candidate
        return Certified(certificate=made, chain=pem(made) + pem(issuer.certificate), generation=generation.number, tried=tried)

    def issue_server(self, key: ec.EllipticCurvePublicKey, names: Sequence[str], *, lifetime: timedelta) -> Certified:
        """Return a certificate for a server's own key and names; raises as `issue`."""
        generation = self._generations[self.plan.server]
        issuer = self._issuer(AUTHORITY_SERVER, generation.server)
        made = certificates.issue_server(issuer, key, names=names, now=self._now(), lifetime=lifetime)
        return Certified(certificate=made, chain=pem(made) + pem(issuer.certificate), generation=generation.number)

    def require_issued(self, certificate: x509.Certificate, name: AgentName) -> None:
        """Raise `Denied` unless the intermediate of that tenant, for that trust domain, signed the certificate."""
        self.generation_of(certificate, name)

    def generation_of(self, certificate: x509.Certificate, name: AgentName) -> int:
        """Return which generation an agent's certificate is of; raises as `require_issued`."""
        for generation in self._generations.values():
            intermediate = generation.tenants.get(name.tenant)
            if intermediate is not None and is_signed(certificate, intermediate) and certificates.domain_of(intermediate) == name.domain:
                return generation.number
        message = f"the certificate says {name.uri}, and is not of the authority of tenant {name.tenant}"
        raise Denied("unauthenticated", message)

    def _of_tenant(self, tenant: str, number: int) -> Generation:
        """Return the generation of that number if it has the tenant, else the newest that has; a tenant may have come late."""
        found = self._generations.get(number)
        if found is not None and tenant in found.tenants:
            return found
        others = [one for one in self._generations.values() if tenant in one.tenants]
        return others[-1] if others else self._generations[self.plan.for_all]

    def _known_tenants(self) -> set[str]:
        return {tenant for one in self._generations.values() for tenant in one.tenants}

    def _issuer(self, role: str, certificate: x509.Certificate) -> Issuer:
        for signer in self._ring.signers(role):
            key = SigningKey(signer)
            if key.public_key() == certificate.public_key():
                return Issuer(certificate=certificate, key=key)
        message = f"the control zone's key {role} is not the one that the authority certified: name that in [keys], or repeat the ceremony"
        raise RefusedError(message)


def keep_looking(keeper: Keeper) -> bool:
    """Look, and say so in the log where what stands in the store can't be believed; return whether something is new."""
    try:
        return keeper.look()
    except OrdainError as error:
        _log.error("the certificate authority can't be read, what was known counts: %s", error)
        return False


def pem(certificate: x509.Certificate) -> str:
    """Return a certificate in PEM."""
    return certificate.public_bytes(Encoding.PEM).decode()


def is_signed(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    """Return whether the key of one certificate signed another, which names it as its issuer."""
    try:
        certificate.verify_directly_issued_by(by)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True
