"""Asking a server who it is, before anything is told to it.

The first question goes to whoever answers: nothing is said in it, and the answer counts only if its roots are those whose fingerprints
came with the token, or from an operator. All that follows goes over connections that these roots verify.
"""

import hmac
import warnings
from collections.abc import Iterable

from cryptography.hazmat.primitives.serialization import Encoding
from urllib3.exceptions import InsecureRequestWarning

from agent.fetching.fetcher import Http
from agent.fetching.tls import Tls
from agent.joining.requests import certificates, fingerprint
from agent.protocol import codec, enrolment
from agent.protocol.enrolment import Authority
from agent.protocol.errors import RefusedError


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
            f"{server}: it is not the authority that the token was made for, or that --authority names. Is the address right? "
            "Then something is in between: nothing was told to it, and the token is still good"
        )
        raise RefusedError(message)
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in roots)
