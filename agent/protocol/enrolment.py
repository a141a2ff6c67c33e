"""How a host joins and stays: tokens, enrolment, renewal. What both sides send, and what is signed.

    GET  /v1/authority              the roots of the certificate authority; no client certificate
    POST /v1/enrol                  a token, or a platform's, for a certificate; no client certificate
    POST /v1/certificates           a new certificate over the old one's connection
    POST /v1/certificates/lapsed    a new certificate for one that ran out, by its old key; no client certificate
    POST /v1/certificates/relay     a server's certificate for an agent that runs a relay, in the names of its manifest

A token is text for people to copy: `ordain1.<what it says>.<secret>`, both parts base64url without padding. What it says is canonical
JSON (`TokenBody`), so that an agent knows which authority to expect before it shows the secret to anybody.
"""

import base64
import binascii
import re

from agent.protocol import codec
from agent.protocol.errors import MalformedError
from agent.protocol.state import Struct

FORMAT = 1
TOKEN_PREFIX = "ordain1"  # noqa: S105 - what each begins with, so that scanners for secrets find them
TOKEN_LIMIT = 2048
"""Characters of a token; one of ours has about 260."""
REQUEST_LIMIT = 65_536
"""Bytes of any request of this page: a certificate request, a certificate and a platform's token are some thousand each."""
ANSWER_LIMIT = 1_048_576
"""Bytes of an answer: chains of certificates and the tenant's root metadata."""
SECRET_BYTES = 32
SECRET_LENGTH = 43
"""Characters of as many bytes in base64url without padding."""
_TOKEN = re.compile(rf"{TOKEN_PREFIX}\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{{{SECRET_LENGTH}}})")
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\n?")
CHAIN_LIMIT = 8
"""Certificates in one PEM text: a leaf and its intermediate, or the roots of now and of a change of authority."""


class TokenBody(Struct):
    """What a token says in the open: its id, for which tenant, and the SHA-256 of each root (DER) that the server may show."""

    id: str
    tenant: str
    authority: list[str]


class Token(Struct):
    """A token taken apart; `secret` is never written anywhere but on the host's own screen or file."""

    body: TokenBody
    secret: str


class EnrolmentRequest(Struct):
    """`POST /v1/enrol`: one of `token` (an enrolment token's text) and `platform` (an OIDC token of the host's platform) is given.

    `agent` is the name that the host asks for, "" where the token says it; `pool` names the pool where a platform's token is shown.
    `request` is a certificate request in PEM. `facts` are what the host says of itself, for people and for policy: never believed.
    """

    format: int
    request: str
    token: str = ""
    platform: str = ""
    tenant: str = ""
    agent: str = ""
    pool: str = ""
    facts: dict[str, object] = {}


class RenewalRequest(Struct):
    """`POST /v1/certificates`, and `…/lapsed`, where `certificate` is the one that ran out (PEM) and `proof` its key's signature.

    `proof` is base64 of an ECDSA signature (SHA-256, DER) over `identity.renewal_message`.
    """

    format: int
    request: str
    certificate: str = ""
    proof: str = ""


class Issued(Struct):
    """The answer to all of them: who the host now is.

    `certificate` is its certificate and the intermediate that signed it, `authority` the roots to trust the server by, all in PEM;
    `root` the tenant's newest root metadata, as text; `server_time` RFC 3339, to tell a wrong clock from a refused host.
    """

    format: int
    tenant: str
    agent: str
    certificate: str
    authority: str
    root: str
    server_time: str


class RelayIssued(Struct):
    """The answer to `POST /v1/certificates/relay`, which is asked by a `RenewalRequest` of `format` and `request` alone.

    `certificate` is what the relay shows to hosts and the intermediate that signed it, `authority` the roots, `intermediates` those that
    sign for agents of the relay's tenant, all in PEM; `root` the tenant's newest root metadata, as text.
    """

    format: int
    certificate: str
    authority: str
    intermediates: str
    root: str
    server_time: str


class Authority(Struct):
    """`GET /v1/authority`: the roots in PEM, the one that issues now first."""

    format: int
    authority: str
    server_time: str


class Refusal(Struct):
    """What every answer with a status of 400 or above says: `code` for machines (`CODES`), `error` for people, `server_time` RFC 3339."""

    code: str
    error: str
    server_time: str = ""
    retry_after: int = 0


CODES = (
    "malformed",  # 400: the request itself
    "unauthenticated",  # 401: no certificate, token or session that is known
    "refused",  # 403: known, and may not
    "revoked",  # 403: the certificate is revoked; asking again changes nothing
    "decommissioned",  # 410: this agent is no longer wanted; the answer to a watch says what to do
    "quarantined",  # 403 for everything but reports: an operator holds this agent
    "unknown",  # 404: no such thing, or none that the asker may know of
    "conflict",  # 409: such an agent is enrolled already
    "too-much",  # 413: larger than allowed
    "slow-down",  # 429: with Retry-After
    "unavailable",  # 503: try later, with Retry-After
)
HELD_BACK = ("revoked", "quarantined", "decommissioned")
"""Codes of agents that are known and get nothing, whatever they ask for."""


def write_token(token: Token) -> str:
    """Return a token as text."""
    return f"{TOKEN_PREFIX}.{_text(codec.canonical(token.body))}.{token.secret}"


def read_token(text: str) -> Token:
    """Take a token apart; raises `MalformedError`, which never repeats the text, unless it is just as `write_token` writes it."""
    found = _TOKEN.fullmatch(text.strip()) if len(text) <= TOKEN_LIMIT else None
    if found is None:
        message = f"not an enrolment token: one begins with {TOKEN_PREFIX}. and has three parts; copy it whole"
        raise MalformedError(message)
    try:
        data = base64.urlsafe_b64decode(found[1] + "=" * (-len(found[1]) % 4))
    except (binascii.Error, ValueError) as error:
        message = "not an enrolment token: its middle part can't be read; copy it whole"
        raise MalformedError(message) from error
    return Token(body=codec.decode(data, TokenBody, what="enrolment token"), secret=found[2])


def split_pem(text: str) -> list[str]:
    """Return the certificates of a PEM text, each in PEM; raises `MalformedError` where there is anything else, or none."""
    found = _PEM.findall(text)
    if not found or len(found) > CHAIN_LIMIT or "".join(found).split() != text.split():
        message = f"not one to {CHAIN_LIMIT} certificates in PEM, and nothing else"
        raise MalformedError(message)
    return found


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
