"""What a relay shows to hosts: a server's certificate in its names, from the installation, renewed by itself and kept on disk.

It also says whom to believe: the roots, and the intermediates that sign for agents of the relay's tenant. Both come with the certificate,
and are asked for again where the installation has other roots, as while its authority changes, or where a host shows a certificate of an
intermediate that is not known.
"""

import asyncio
import logging
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agent.protocol import codec, durable, enrolment
from agent.protocol.enrolment import Authority, RelayIssued, RenewalRequest, split_pem
from agent.protocol.errors import MalformedError, OrdainError, RetryError
from agent.protocol.identity import AgentName
from agent.protocol.state import Struct
from reconciler.control.authority.certificates import domain_of, tenant_of
from reconciler.control.authority.keeper import is_signed
from reconciler.control.authority.listening import NO_CHECK_TIME, load_chain
from reconciler.control.refusal import Denied
from reconciler.publication.times import stamp
from reconciler.relay.uplink import Uplink

RENEW_AFTER = timedelta(hours=1)
"""After that another certificate is asked for, so that names are shown which git states now: each stands in the audit. It lives for thirty
days, which is for how long the uplink may be away."""
AUTHORITY_EVERY = 10.0
"""Seconds between looks at which authorities there are: hosts that were given a certificate of a new one come back by it at once."""
LOOK_EVERY = 2.0
"""Seconds between looks at whether something is due."""
AGAIN = 30.0
"""Seconds between two askings, at least."""
GRACE = timedelta(days=30)
"""How long beyond its time a host's certificate counts here, where nobody may be able to renew it: as long as the installation would."""

_log = logging.getLogger(__name__)


class _Kept(Struct):
    """The file: a private key in PEM and what came for it."""

    key: str
    issued: RelayIssued


class Shown:
    """The certificate of one listener. Reading and asking by `context` and `require_issued` are safe from any thread."""

    def __init__(self, file: Path, uplink: Uplink) -> None:
        """Take up what a process before was given; raises `MalformedError` where that is damaged."""
        self._file, self._uplink = file, uplink
        self._kept = codec.decode(file.read_bytes(), _Kept, what=str(file), limit=enrolment.ANSWER_LIMIT) if file.is_file() else None
        self._context: ssl.SSLContext | None = None
        self._trusted: set[str] = set()
        self._intermediates: list[x509.Certificate] = []
        self._wanted = True  # names may be others than those of the process before
        self._asked = self._looked = float("-inf")
        self._renews = float("inf")
        self.why = "" if self._kept else "no certificate yet"
        """Why there is no new certificate, "" where none is due."""
        self._take()

    @property
    def ends(self) -> datetime | None:
        """When the certificate runs out."""
        return _leaf(self._kept).not_valid_after_utc if self._kept else None

    def context(self) -> ssl.SSLContext | None:
        """Return what hosts are answered with, None before the first certificate."""
        return self._context

    def roots(self) -> str:
        """Return the roots to know the installation by, in PEM; "" before the first certificate."""
        return self._kept.issued.authority if self._kept else ""

    def root_metadata(self) -> bytes:
        """Return the tenant's root metadata, the newest that was heard of."""
        return self._kept.issued.root.encode() if self._kept else self._uplink.identity.root

    def require_issued(self, certificate: x509.Certificate, name: AgentName) -> None:
        """Raise `Denied` unless an intermediate of the relay's own tenant signed a certificate; see `identity.agents.Issuers`."""
        own = self._uplink.identity.tenant
        for one in self._intermediates if name.tenant == own else ():
            if is_signed(certificate, one) and domain_of(one) == name.domain:
                return
        self._wanted = self._wanted or name.tenant == own
        message = f"the certificate says {name.uri}, and is not of the authority of tenant {own}, which this relay stands for"
        raise Denied("unauthenticated", message)

    async def keep_fresh(self) -> None:
        """Ask for a certificate whenever one is due, until cancelled; what fails is logged once, and tried again."""
        while True:
            try:
                self._wanted = await self._uplink.follow() or self._wanted or await self._is_another_authority()
                if self._is_due() and time.monotonic() >= self._asked + AGAIN:
                    self._asked = time.monotonic()
                    await self._ask()
                    self._wanted, self.why = False, ""
            except (OrdainError, OSError, ssl.SSLError, ValueError) as error:
                if str(error) != self.why:
                    _log.warning("no new certificate for hosts to see: %s", error)
                self.why = str(error)
            await asyncio.sleep(LOOK_EVERY)

    def _is_due(self) -> bool:
        return self._kept is None or self._wanted or time.monotonic() >= self._renews

    async def _is_another_authority(self) -> bool:
        """Look now and then whether the installation has other roots than those that came with the certificate."""
        if self._kept is None or time.monotonic() < self._looked + AUTHORITY_EVERY:
            return False
        self._looked = time.monotonic()
        try:
            data = await self._uplink.require("GET", "/v1/authority", limit=enrolment.ANSWER_LIMIT)
        except RetryError:  # it is away: what is known counts
            return False
        stated = codec.decode(data, Authority, what="authority", limit=enrolment.ANSWER_LIMIT)
        return stated.authority != self._kept.issued.authority

    async def _ask(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        request = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
        body = codec.canonical(RenewalRequest(format=enrolment.FORMAT, request=request))
        data = await self._uplink.require("POST", "/v1/certificates/relay", body, limit=enrolment.ANSWER_LIMIT)
        issued = codec.decode(data, RelayIssued, what="certificate of the relay", limit=enrolment.ANSWER_LIMIT)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        self._kept = _Kept(key=private, issued=issued)
        self._take()
        left = (_leaf(self._kept).not_valid_after_utc - datetime.now(UTC)) / 2
        self._renews = time.monotonic() + min(RENEW_AFTER, left).total_seconds()
        await asyncio.to_thread(durable.replace, self._file, codec.canonical(self._kept), mode=0o600)
        _log.info("hosts see a certificate that is valid until %s", stamp(self.ends) if self.ends else "-")

    def _take(self) -> None:
        """Use what is kept: for connections from now on, and for telling whose hosts are the tenant's."""
        if self._kept is None:
            return
        issued = self._kept.issued
        context = self._context or _empty()
        load_chain(context, (issued.certificate + self._kept.key).encode())
        for root in split_pem(issued.authority):
            if root not in self._trusted:
                context.load_verify_locations(cadata=root)
                self._trusted.add(root)
        found = [x509.load_pem_x509_certificate(one.encode()) for one in split_pem(issued.intermediates)]
        roots = [x509.load_pem_x509_certificate(one.encode()) for one in split_pem(issued.authority)]
        self._intermediates = [one for one in found if _is_own(one, roots, self._uplink.identity.tenant)]
        self._context = context


def _is_own(intermediate: x509.Certificate, roots: list[x509.Certificate], tenant: str) -> bool:
    return tenant_of(intermediate) == tenant and any(is_signed(intermediate, root) for root in roots)


def _leaf(kept: _Kept) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(split_pem(kept.issued.certificate)[0].encode())
    except ValueError as error:
        message = "the certificate of the relay can't be read"
        raise MalformedError(message) from error


def _empty() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
    context.num_tickets = 1
    return context
