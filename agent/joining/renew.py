"""Staying: a new certificate, for a new key, before the old one runs out, and also after it did.

It is asked for at half life, give or take a twentieth, over a connection that the old certificate proves. Where that is no longer
believed (the host was off for days, or its clock is wrong) the old key signs the request instead, on a route that asks for no client
certificate. When life began is taken from the clock only where this process did not see it begin: a clock that is a day off then neither
keeps an agent from renewing nor has it renew all the time.
"""

import base64
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from agent.fetching.fetcher import Http
from agent.fetching.refusal import NotGrantedError
from agent.fetching.tls import LapsedError, Tls
from agent.joining.clocks import clock_hint
from agent.joining.identity import Enrolled, Identities
from agent.protocol import codec, enrolment
from agent.protocol.enrolment import Issued, RenewalRequest, split_pem
from agent.protocol.errors import OrdainError, RetryError
from agent.protocol.identity import renewal_message

SHARE, SPREAD = 0.5, 0.05
"""Of a certificate's life: when it is renewed, and how far from that at most."""
RETRY_SHARE, RETRY_LONGEST = 1 / 50, 600.0
"""After a failure: this share of a life, at most ten minutes. A day's certificate is asked for some seventy times before it runs out."""
LIMIT = enrolment.ANSWER_LIMIT


def tls_of(enrolled: Enrolled) -> Tls:
    """Return how to speak with the server as this host."""
    return Tls(
        server=enrolled.enrolment.server,
        authority=enrolled.authority,
        certificate=enrolled.certificate_file,
        key=enrolled.key_file,
    )


def renewal_share(fingerprint: str) -> float:
    """Return after which share of its life a certificate is renewed: the same at each asking, evenly spread over agents."""
    return SHARE + SPREAD * (int(fingerprint[:16], 16) / 2**63 - 1)


@dataclass(slots=True, kw_only=True)
class Renewer:
    """Keeps this host's certificate fresh; `enrolled` is who it is now, and `http` speaks as that."""

    identities: Identities
    enrolled: Enrolled
    http: Http
    wall: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    clock: Callable[[], float] = field(default=time.monotonic)
    lapsed: bool = False
    """Whether the server says that the certificate is over, so that only its key still counts."""
    _due: float = 0.0

    def __post_init__(self) -> None:
        """Reckon from the clock when this certificate is due, since it was not seen to begin."""
        passed = (self.wall() - self.enrolled.begins).total_seconds()
        self._due = self.clock() + self._share() - passed

    def seconds(self) -> float:
        """Return the seconds until a renewal is due, 0 if it is."""
        return max(0.0, self._due - self.clock())

    def lapse(self) -> None:
        """Have the certificate renewed by its key, soon: the server says that it ran out, or does not know it."""
        if not self.lapsed:
            self.lapsed, self._due = True, self.clock()

    def renew(self) -> Enrolled:
        """Get a new certificate, use it from now on, and return it.

        Raises:
            NotGrantedError: the server won't, and its code says why.
            RetryError, RefusedError: it could not be had, or not be used; `seconds` is when to try again.
        """
        from agent.joining.requests import certificate_request, require_issued, with_certificate  # noqa: PLC0415 - half a megabyte

        life = (self.enrolled.ends - self.enrolled.begins).total_seconds()
        self._due = self.clock() + min(life * RETRY_SHARE, RETRY_LONGEST)
        former, key = self.enrolled, self.identities.next_key()
        request = certificate_request(key)
        issued = self._ask(request)
        require_issued(issued, key, tenant=former.enrolment.tenant, agent=former.enrolment.agent)
        self.enrolled = self.identities.adopt(issued, with_certificate(former.enrolment, issued))
        self.http.use(tls_of(self.enrolled))
        self.lapsed = False
        self._due = self.clock() + self._share()
        return self.enrolled

    def _share(self) -> float:
        enrolled = self.enrolled
        return renewal_share(enrolled.fingerprint) * (enrolled.ends - enrolled.begins).total_seconds()

    def _ask(self, request: str) -> Issued:
        """Ask over the old certificate; where that is not believed any more, by its key."""
        url = f"{self.enrolled.enrolment.server}/v1/certificates"
        try:
            if not self.lapsed:
                data = self.http.post(url, codec.canonical(RenewalRequest(format=enrolment.FORMAT, request=request)), limit=LIMIT)
                return codec.decode(data, Issued, what=url, limit=LIMIT)
        except RetryError as error:
            said = isinstance(error, LapsedError) or (isinstance(error, NotGrantedError) and error.code == "unauthenticated")
            if not said and (isinstance(error, NotGrantedError) or self.wall() < self.enrolled.ends):
                raise  # else it ran out, whatever this ended with: not every server comes to say so
        return self._ask_by_key(f"{url}/lapsed", request)

    def _ask_by_key(self, url: str, request: str) -> Issued:
        old = split_pem(self.enrolled.chain)[0]
        proof = self.enrolled.sign(renewal_message(request.encode(), ssl.PEM_cert_to_DER_cert(old)))
        asked = RenewalRequest(
            format=enrolment.FORMAT,
            request=request,
            certificate=old,
            proof=base64.b64encode(proof).decode(),
        )
        http = Http(Tls(server=self.enrolled.enrolment.server, authority=self.enrolled.authority))
        try:
            data = http.post(url, codec.canonical(asked), limit=LIMIT)
        finally:
            http.close()
        return codec.decode(data, Issued, what=url, limit=LIMIT)


def why_not(error: OrdainError) -> str:
    """Return why a certificate was not renewed, with what to do, for people."""
    hint = clock_hint(error.server_time) if isinstance(error, NotGrantedError) else ""
    remedy = "enrol this host again: ordain-agent enroll" if is_over(error) else "it is tried again"
    return ". ".join(filter(None, (f"the certificate is not renewed: {error}", hint, remedy)))


def is_over(error: OrdainError | OSError) -> bool:
    """Return whether the server refused a renewal for good: only enrolling again helps."""
    return isinstance(error, NotGrantedError) and not error.overloaded and error.status < 500  # noqa: PLR2004 - the server's own faults
