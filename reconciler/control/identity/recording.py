"""Certificates and the registry: what was made is written down before it is handed out, what is shown must be known.

A registry that was lost, or is older than what is out there, takes agents in again by the certificates that they show: their chain and
name hold, git knows them, and that it happened is a row of audit.
"""

from base64 import b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import Connection

from agent.protocol.identity import AgentName
from reconciler.control.authority import certificates as made
from reconciler.control.known import KnownTenants, member
from reconciler.control.lookups import Lookups
from reconciler.control.refusal import Denied
from reconciler.control.registry import agents, audit, certificates
from reconciler.control.registry.registry import Registry
from reconciler.publication.controls import Pool

TAKEN_IN = timedelta(days=100)
"""How long after its certificate ran out a pool's host is taken in, where its lease is longer: less than `retention` keeps certificates,
for after that nothing may be left here that says that it was let go."""


def row(certificate: x509.Certificate, name: AgentName) -> certificates.Certificate:
    """Return a certificate as the registry writes it."""
    issuer = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier or b""
    return certificates.Certificate(
        fingerprint=made.fingerprint(certificate),
        tenant=name.tenant,
        agent=name.agent,
        serial=f"{certificate.serial_number:x}",
        issuer=issuer.hex(),
        key=key_text(certificate.public_key()),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


def key_text(key: object) -> str:
    """Return a public key as the registry writes it: SubjectPublicKeyInfo (DER) in base64."""
    assert isinstance(key, ec.EllipticCurvePublicKey)  # noqa: S101 - agents have no others: `requested_key`
    return b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def lease(known: KnownTenants, name: AgentName) -> timedelta | None:
    """Return how long a pool's member stays without renewing; None for agents of their own."""
    controls = known.controls(name.tenant)
    found = member(controls, name.agent) if controls else None
    return timedelta(seconds=found.lease) if isinstance(found, Pool) and found.lease else None


class Recorder:
    """Sees to it that the registry knows the certificates that are shown; see `identity.agents.Recorded`."""

    def __init__(self, registry: Registry, known: KnownTenants, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Keep whom to ask."""
        self._registry, self._known, self._now = registry, known, now
        self._recorded: Lookups[str, str] = Lookups(registry, _recorded)

    async def __call__(self, certificate: x509.Certificate, name: AgentName) -> None:
        """Return once the registry knows a certificate; whether it is revoked there is for `Standing` to say.

        Raises:
            Denied: it is not known, and can't be taken in; or it was written down after its agent was revoked, of which `Standing`
                need not have heard: an agent without a certificate to show is not in it.
        """
        state = await self._recorded.find(made.fingerprint(certificate))
        if state in ("revoked", "decommissioned"):
            message = f"{name.tenant}/{name.agent} is {state}; an operator can let the host enrol again"
            raise Denied("revoked", message)
        if state is not None:
            return
        controls = self._known.controls(name.tenant)
        stays, now = lease(self._known, name), self._now()
        over = stays is not None and now > certificate.not_valid_after_utc + min(stays, TAKEN_IN)
        known = controls is not None and member(controls, name.agent) is not None and not over
        found = await self._registry.run(_take_in, row(certificate, name), known=known, lease=stays, now=now)
        if found is None:
            message = f"no such certificate of {name.tenant}/{name.agent} is known here; enrol the host again"
            raise Denied("unauthenticated", message)


def _take_in(
    connection: Connection, certificate: certificates.Certificate, *, known: bool, lease: timedelta | None, now: datetime
) -> agents.Agent | None:
    until = now + lease if lease else None
    found = agents.take_in(connection, certificate, subject_known=known, now=now, lease_until=until)
    if found is None:
        return None
    audit.append(
        connection,
        certificate.tenant,
        who=f"agent:{certificate.tenant}/{certificate.agent}",
        action="certificates.take-in",
        target=f"{certificate.tenant}/{certificate.agent}",
        reason="this registry did not know the certificate, which is good by its signature and date",
        detail={"certificate": certificate.fingerprint},
        at=now,
    )
    return found


def _recorded(connection: Connection, fingerprints: Sequence[str]) -> dict[str, str]:
    """Return which certificates are known; of those that nobody revoked the state of their agent, else ""."""
    found = {one.fingerprint: one for one in certificates.some(connection, fingerprints)}
    good = [(one.tenant, one.agent) for one in found.values() if one.revoked_at is None]
    states = agents.states(connection, good)
    return {key: states.get((one.tenant, one.agent), "") if one.revoked_at is None else "" for key, one in found.items()}
