"""Tokens of identity providers (OpenID Connect): signed, for us, of now. For operators who sign in, and for hosts by their platform's word.

An issuer's keys are fetched by its discovery document and kept: for an hour, and for a day where it can't be reached. A token with a key
that is not among them has them fetched again, so that a rotation is followed at once, but not more often than twice a minute: anybody
may send tokens. Only the issuers that settings and controls name are ever asked; what a token says of itself leads nowhere.
"""

import ipaddress
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec
import urllib3
from joserfc import jwk, jws, jwt
from joserfc.errors import ExpiredTokenError, JoseError

from agent.protocol.errors import InputError, RefusedError, RetryError
from reconciler.outgoing import EndlessError, TooLargeError, connections, received

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures by a private key. Never a shared secret (HS…), which could be the public key's own text, and never `none`."""
TOKEN_LIMIT = 16_384
"""Bytes of a token; those of people in hundreds of groups have eight thousand."""
DOCUMENT_LIMIT = 262_144
"""Bytes of a discovery document or of an issuer's keys."""
KEYS = 64
"""Keys of one issuer that are looked at."""
SECONDS = 5.0
"""For a request to an issuer, all of it."""
FRESH = 3600.0
"""Seconds for which keys count without asking again."""
STALE = 86_400.0
"""Seconds for which they count while the issuer can't be reached."""
AGAIN = 30.0
"""Seconds between two questions to one issuer."""
LEEWAY = 60
"""Seconds by which clocks may differ."""
LONGEST = 86_400
"""Seconds that a token may be old: one that was issued longer ago is a credential that somebody kept."""

_log = logging.getLogger(__name__)
Fetch = Callable[[str], bytes]
"""Returns the body of an address; raises `RetryError` where it can't be had."""


@dataclass(slots=True, kw_only=True)
class _Known:
    """The keys of an issuer as they were at `at`; `tried` is when it was last asked, both on the monotonic clock."""

    keys: Sequence[jwk.Key]
    at: float
    tried: float


class Issuers:
    """Reads tokens of issuers; safe to use from many threads. Blocks while it asks an issuer: call it in a thread."""

    def __init__(
        self, fetch: Fetch | None = None, *, now: Callable[[], float] = time.time, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`now` is in seconds since 1970, `clock` counts up."""
        self._fetch, self._now, self._clock = fetch or fetched, now, clock
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._known: dict[str, _Known] = {}

    def claims(self, token: str, *, issuer: str, audience: str) -> Mapping[str, Any]:
        """Return what a token says, if `issuer` signed it for `audience` and its time is now.

        Raises:
            RefusedError: it is no token, or not such a one; the message says which, and never repeats it.
            RetryError: the issuer's keys can't be had.
        """
        key_id, algorithm = _header(token)
        for key in self._keys(issuer, key_id):
            try:
                found = jwt.decode(token, key, algorithms=[algorithm])
            except (JoseError, ValueError):
                continue
            return self._checked(found.claims, issuer, audience)
        message = f"the token is not signed by a key of {issuer}"
        raise RefusedError(message)

    def metadata(self, issuer: str) -> Mapping[str, Any]:
        """Return an issuer's discovery document (OpenID Connect Discovery, section 4).

        Raises:
            RefusedError: it is another issuer's.
            RetryError: it can't be had.
        """
        where = f"{_checked_address(issuer)}/.well-known/openid-configuration"
        found = _object(self._fetch(where), where)
        if found.get("issuer") != issuer:
            message = f"{where} says that it is of {str(found.get('issuer'))[:200]!r}, and not of {issuer}"
            raise RefusedError(message)
        return found

    def _checked(self, claims: Mapping[str, Any], issuer: str, audience: str) -> Mapping[str, Any]:
        needed = {
            "iss": {"essential": True, "value": issuer},
            "sub": {"essential": True},
            "aud": {"essential": True, "value": audience},
            "exp": {"essential": True},
            "iat": {"essential": True},
        }
        now = int(self._now())
        try:
            jwt.JWTClaimsRegistry(now=now, leeway=LEEWAY, **needed).validate(dict(claims))  # type: ignore[arg-type]
        except ExpiredTokenError as error:
            message = "the token expired; get another one from your identity provider"
            raise RefusedError(message) from error
        except (JoseError, TypeError, ValueError) as error:
            message = f"the token is not for this: {error}"
            raise RefusedError(message) from error
        if now - claims["iat"] > LONGEST:
            message = "the token was issued more than a day ago"
            raise RefusedError(message)
        return claims

    def _keys(self, issuer: str, key_id: str | None) -> list[jwk.Key]:
        with self._lock:
            lock = self._locks.setdefault(issuer, threading.Lock())
        with lock:  # of many who need the same keys, one fetches them
            known = self._known.get(issuer)
            now = self._clock()
            found = _fitting(known.keys, key_id) if known and now - known.at < FRESH else []
            if not found and (known is None or now - known.tried >= AGAIN):
                known = self._refreshed(issuer, known, now)
                found = _fitting(known.keys, key_id)
            if not found and known and now - known.at < STALE:
                found = _fitting(known.keys, key_id)
            return found

    def _refreshed(self, issuer: str, known: _Known | None, now: float) -> _Known:
        try:
            keys = self._published(issuer)
        except RetryError as error:
            if known is None or now - known.at >= STALE:
                raise
            _log.warning("keys from before are used: %s", error)
            known.tried = now
            return known
        made = self._known[issuer] = _Known(keys=keys, at=now, tried=now)
        return made

    def _published(self, issuer: str) -> list[jwk.Key]:
        where = _checked_address(str(self.metadata(issuer).get("jwks_uri", "")))
        listed = _object(self._fetch(where), where).get("keys")
        found = []
        for one in listed[:KEYS] if isinstance(listed, list) else ():
            if isinstance(one, dict) and one.get("kty") in ("RSA", "EC", "OKP") and one.get("use", "sig") == "sig":
                try:
                    found.append(jwk.import_key(one))
                except (JoseError, ValueError, TypeError, KeyError) as error:
                    _log.info("a key of %s is passed over: %s", issuer, error)
        return found


def fetched(address: str) -> bytes:
    """Return the body of an issuer's document; raise `RetryError` where it can't be had, or is too large or too slow."""
    until = time.monotonic() + SECONDS
    try:
        with connections(address) as pool:
            answer = pool.request("GET", address, retries=False, redirect=False, preload_content=False, timeout=SECONDS)
            try:
                body = b"".join(received(answer, limit=DOCUMENT_LIMIT, until=until))
            finally:
                answer.close()
    except (urllib3.exceptions.HTTPError, EndlessError, TooLargeError) as error:
        message = f"{address} can't be read: {str(error) or type(error).__name__}"
        raise RetryError(message) from error
    if answer.status != 200:  # noqa: PLR2004 - what HTTP calls OK
        message = f"{address} answers with status {answer.status}"
        raise RetryError(message)
    return body


def _checked_address(address: str) -> str:
    """Return an address without a slash at its end; raise `InputError` unless it is https, or http on this machine."""
    where = urlsplit(address)
    if where.scheme == "https" or (where.scheme == "http" and _is_loopback(where.hostname or "")):
        return address.rstrip("/")
    message = f"{address[:200]!r} is not the https:// address of an issuer of identities"
    raise InputError(message)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _header(token: str) -> tuple[str | None, str]:
    """Return which key signed a token, and by which algorithm, as it says itself."""
    message = "that is no token of an identity provider (a JWT in three parts)"
    if len(token) > TOKEN_LIMIT or token.count(".") != 2:  # noqa: PLR2004 - header, payload, signature
        raise RefusedError(message)
    try:
        header = jws.extract_compact(token.encode("ascii")).headers()
        key_id, algorithm = header.get("kid"), header["alg"]
    except (JoseError, ValueError, KeyError) as error:
        raise RefusedError(message) from error
    if algorithm not in ALGORITHMS:
        message = f"the token is signed by {str(algorithm)[:20]!r}, which is not taken"
        raise RefusedError(message)
    return key_id if isinstance(key_id, str) else None, algorithm


def _fitting(keys: Sequence[jwk.Key], key_id: str | None) -> list[jwk.Key]:
    return [key for key in keys if key_id is None or key.kid in (None, key_id)]


def _object(data: bytes, where: str) -> Mapping[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        message = f"{where} is not a JSON object: {error}"
        raise RetryError(message) from error
