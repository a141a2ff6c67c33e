"""What a host is told once it has a certificate, however it got it."""

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from agent.protocol.enrolment import FORMAT, Issued
from agent.protocol.errors import MalformedError, RefusedError
from agent.protocol.identity import AgentName
from reconciler.control.authority.keeper import Certified, Keeper
from reconciler.control.authority.requests import requested_key
from reconciler.control.refusal import Denied
from reconciler.control.registry.certificates import Known
from reconciler.publication.store import Store
from reconciler.publication.times import stamp
from reconciler.publication.trust import read_trust


def issued(store: Store, keeper: Keeper, name: AgentName, made: Certified, *, now: datetime) -> Issued:
    """Return the answer that brings a certificate; reads the store, so it is for a thread.

    Raises:
        Denied: the tenant has no trust yet: nothing could be delivered to the host.
    """
    return Issued(
        format=FORMAT,
        tenant=name.tenant,
        agent=name.agent,
        certificate=made.chain,
        authority=keeper.authority(),
        root=newest_root(store, name.tenant),
        server_time=stamp(now),
    )


def newest_root(store: Store, tenant: str) -> str:
    """Return a tenant's newest root metadata; for a thread, and raises as `issued` does."""
    trust = read_trust(store, tenant)
    if trust is None:
        message = f"tenant {tenant} waits for its key ceremony; ask again once it was held"
        raise Denied("unavailable", message, retry_after=60)
    return trust.roots[-1].decode()


def wanted_key(request: str, format_: int) -> ec.EllipticCurvePublicKey:
    """Return the key of a certificate request, in the one format that there is.

    Raises:
        Denied: another format, no request, or a key of another kind.
    """
    if format_ != FORMAT:
        message = f"format {format_}, and this server reads format {FORMAT}; upgrade whichever side is older"
        raise Denied("malformed", message)
    try:
        return requested_key(request.encode())
    except MalformedError:
        raise
    except RefusedError as error:
        raise Denied("malformed", str(error)) from error


def require_not_revoked(known: Sequence[Known], key: str) -> None:
    """Raise `Denied` where a certificate of this very key was revoked: whoever has the key must not come back by an old request."""
    if any(one.key == key and one.revoked_at is not None for one in known):
        message = "a certificate of this key was revoked; make a new key, and a request by it"
        raise Denied("revoked", message)


def full_name(domain: str, tenant: str, agent: str) -> AgentName:
    """Return an agent's name with its trust domain."""
    return AgentName(domain=domain, tenant=tenant, agent=agent)


def ends(certificate: x509.Certificate) -> str:
    """Return when a certificate ends, as audit has it."""
    return stamp(certificate.not_valid_after_utc)
