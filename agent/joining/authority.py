"""Asking a server who it is, before anything is told to it.

The first question goes to whoever answers: nothing is said in it, and the answer counts only if its roots are those whose fingerprints
came with the token, or from an operator. All that follows goes over connections that these roots verify.
"""

import hmac
import warnings
from collections.abc import Iterable
from datetime import UTC, datetime

from cryptography.hazmat.primitives.serialization import Encoding
from urllib3.exceptions import InsecureRequestWarning

from agent.fetching.fetcher import Http
from agent.fetching.tls import Tls
from agent.joining.identity import certificates, fingerprint
from agent.protocol import codec, enrolment
from agent.protocol.enrolment import Authority
from agent.protocol.errors import RefusedError

APART_SECONDS = 300
"""How far two clocks may be apart before anybody is told."""


def ask_authority(server: str) -> Authority:
    """Return what a server says of its authority; nothing of it is believed yet. Raises `RetryError` or `MalformedError`."""
    http = Http(Tls(server=server, authority=None))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InsecureRequestWarning)  # it is so on purpose: see above
            data = http.get(f"{server}/v1/authority", limit=enrolment.ANSWER_LIMIT)
    finally:
        http.close()
    return codec.decode(data, Authority, what=f"{server}/v1/authority", limit=enrolment.ANSWER_LIMIT)


def expected_roots(stated: Authority, fingerprints: Iterable[str], *, server: str) -> str:
    """Return those roots (PEM) whose SHA-256 is among `fingerprints`; raise `RefusedError` where none is."""
    known = [one.strip().lower().replace(":", "") for one in fingerprints]
    roots = [one for one in certificates(stated.authority) if any(hmac.compare_digest(fingerprint(one), known_one) for known_one in known)]
    if not roots:
        message = (
            f"{server}: it is not the authority that the token was made for. Is the address right? Then something is in between: "
            "nothing was told to it, and the token is still good"
        )
        raise RefusedError(message)
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in roots)


def clock_hint(server_time: str, *, now: datetime | None = None) -> str:
    """Return a sentence where this host's clock is far from a server's, "" where it is not. Only for people: nobody vouches for it."""
    try:
        theirs = datetime.strptime(server_time, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return ""
    ours = now or datetime.now(UTC)
    apart = (ours - theirs).total_seconds()
    if abs(apart) <= APART_SECONDS:
        return ""
    how = "ahead of" if apart > 0 else "behind"
    return f"this host's clock says {ours:%Y-%m-%dT%H:%M:%SZ}, {_length(abs(apart))} {how} the server's: set it right, then ask again"


def _length(seconds: float) -> str:
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours" if seconds < 48 * 3600 else f"{seconds / 86_400:.0f} days"
