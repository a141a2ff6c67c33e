"""A platform's word: OIDC tokens (OpenID Connect Core 1.0) of Kubernetes, of forges' runners, of clouds, by which hosts join.

Only issuers that a manifest names are asked for keys, over https alone. Keys are kept for an hour; a token that names another key has
them fetched again, but not more often than once in ten seconds: anybody may send such tokens. What is verified here is that the issuer
signed the token, for this audience, and that it is in its time; whether its claims are those that the manifest asks for, policy decides.
"""

import asyncio
import base64
import json
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from agent.protocol.errors import InputError
from reconciler.control.refusal import Denied
from reconciler.publication.controls import Platform

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures by keys that the issuer alone has: no `none`, and no HS256, whose key the verifier would share."""
TOKEN_LIMIT = 16_384
"""Characters of a token: those of clouds have some 2,000, with many groups some more."""
DOCUMENT_LIMIT = 262_144
"""Bytes of an issuer's configuration, or of its keys."""
KEPT = 3600.0
"""Seconds that keys are used without asking again."""
AGAIN = 10.0
"""Seconds between two fetches from one issuer, whatever tokens say."""
FETCH_SECONDS = 5.0
LEEWAY = 60
"""Seconds that clocks of issuers may differ from ours."""
LONGEST = 86_400
"""Seconds from a token's issue in which it is taken, however long it says that it is valid."""
DISCOVERY = "/.well-known/openid-configuration"


@dataclass(slots=True)
class _Keys:
    keys: KeySet | None = None
    fetched: float = float("-inf")
    tried: float = float("-inf")
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Platforms:
    """Verifies tokens of platforms; one for an event loop. `fetches` counts what was asked of issuers, for metrics."""

    def __init__(self, *, authority: str = "", clock: Callable[[], float] = time.monotonic, now: Callable[[], float] = time.time) -> None:
        """`authority` is a file with certificates (PEM) that issuers' may come from, beside the system's; `clock` and `now` in seconds.

        Raises:
            InputError: the file can't be read, or holds no certificates: no host could join, and it would be heard of then alone.
        """
        self.fetches = 0
        self._authority, self._clock, self._now = authority, clock, now
        self._known: dict[str, _Keys] = {}
        self._context: ssl.SSLContext | None = None
        if authority:
            self._tls()

    async def verify(self, token: str, platforms: Sequence[Platform]) -> tuple[Platform, dict[str, Any]]:
        """Return the platform whose word a token is, and its claims.

        Raises:
            Denied: no token, of another issuer or audience, not signed by the issuer, or not in its time (unauthenticated); or the
                issuer can't be asked now (unavailable).
        """
        header, said = _opened(token)
        candidates = [one for one in platforms if one.issuer == said.get("iss")]
        if not candidates:
            message = f"no platform of the manifest has the issuer {str(said.get('iss'))[:200]!r} of this token"
            raise Denied("unauthenticated", message)
        claims = await self._claims(token, candidates[0].issuer, str(header.get("kid", "")))
        for platform in candidates:
            if platform.audience and platform.audience in _listed(claims.get("aud")):
                return platform, claims
        message = "the platform's token is for another audience than the manifest says: ask the platform for one for ordain"
        raise Denied("unauthenticated", message)

    async def _claims(self, token: str, issuer: str, kid: str) -> dict[str, Any]:
        known = self._known.setdefault(issuer, _Keys())
        await self._fetch(issuer, known, fresh=lambda: known.keys is not None and self._clock() - known.fetched < KEPT)
        if not _has(known.keys, kid):
            await self._fetch(issuer, known, fresh=lambda: _has(known.keys, kid))
        if known.keys is None:
            message = "the platform's keys can't be fetched now; ask again"
            raise Denied("unavailable", message, retry_after=int(AGAIN))
        try:
            decoded = jwt.decode(token, known.keys, algorithms=list(ALGORITHMS))
        except (JoseError, ValueError) as error:
            message = f"the platform's token can't be verified: {error}"
            raise Denied("unauthenticated", message) from error
        self._require_time(decoded.claims)
        return dict(decoded.claims)

    def _require_time(self, claims: dict[str, Any]) -> None:
        """Raise `Denied` unless a token says when it ends and began, and is between; see RFC 7519, section 4.1."""
        now = self._now()
        times = {name: claims.get(name) for name in ("exp", "iat", "nbf")}
        numbers = {name: value for name, value in times.items() if isinstance(value, int | float) and not isinstance(value, bool)}
        if "exp" not in numbers or "iat" not in numbers or (times["nbf"] is not None and "nbf" not in numbers):
            message = "the platform's token does not say when it was issued and when it ends"
        elif now > numbers["exp"] + LEEWAY:
            message = "the platform's token expired: ask the platform for another"
        elif max(numbers["iat"], numbers.get("nbf", 0)) > now + LEEWAY:
            message = "the platform's token begins later: is the clock of this server, or of the issuer, wrong?"
        elif now > numbers["iat"] + LONGEST:
            message = f"the platform's token is older than {LONGEST // 3600} hours: ask the platform for another"
        else:
            return
        raise Denied("unauthenticated", message)

    async def _fetch(self, issuer: str, known: _Keys, *, fresh: Callable[[], bool]) -> None:
        """Fetch an issuer's keys unless they are fresh, or were asked for just now; what can't be fetched leaves those from before."""
        async with known.turn:
            if fresh() or self._clock() - known.tried < AGAIN:
                return
            known.tried = self._clock()
            self.fetches += 1
            try:
                known.keys = await self._ask(issuer)
            except (aiohttp.ClientError, TimeoutError, ssl.SSLError, JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
                if known.keys is None:
                    message = f"the keys of {issuer} can't be fetched ({type(error).__name__}: {error}); ask again"
                    raise Denied("unavailable", message, retry_after=int(AGAIN)) from error
                return
            known.fetched = self._clock()

    async def _ask(self, issuer: str) -> KeySet:
        timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
        connector = aiohttp.TCPConnector(ssl=self._tls())
        async with aiohttp.ClientSession(timeout=timeout, connector=connector, trust_env=True) as session:
            stated = await _document(session, issuer.rstrip("/") + DISCOVERY)
            if stated.get("issuer") != issuer:
                message = f"it says that it is {str(stated.get('issuer'))[:200]!r}"
                raise ValueError(message)
            listed = await _document(session, str(stated["jwks_uri"]))
        asymmetric = [key for key in listed["keys"] if key.get("kty") != "oct" and key.get("use", "sig") == "sig"]
        return KeySet.import_key_set({"keys": asymmetric})

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context()
            if self._authority:
                try:
                    self._context.load_verify_locations(cafile=Path(self._authority))
                except (OSError, ssl.SSLError) as error:
                    message = f"[identity] platforms_authority: {self._authority}: {error}"
                    raise InputError(message) from error
        return self._context


async def _document(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    if urlsplit(url).scheme != "https":
        message = f"{url[:200]}: keys are fetched over https alone"
        raise ValueError(message)
    async with session.get(url, allow_redirects=False) as response:
        response.raise_for_status()
        data = await response.content.read(DOCUMENT_LIMIT + 1)
        while len(data) <= DOCUMENT_LIMIT and not response.content.at_eof():
            data += await response.content.read(DOCUMENT_LIMIT + 1 - len(data))
    found = json.loads(data) if len(data) <= DOCUMENT_LIMIT and response.status == 200 else None  # noqa: PLR2004 - a redirect is none
    if not isinstance(found, dict):
        message = f"{url[:200]}: not a JSON object of at most {DOCUMENT_LIMIT} bytes"
        raise TypeError(message)
    return found


def _opened(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a token's header and claims say, unverified: only to know whom to ask."""
    if len(token) > TOKEN_LIMIT or token.count(".") != 2:  # noqa: PLR2004 - header, claims, signature
        message = f"not a platform's token: a signed JWT of at most {TOKEN_LIMIT} characters"
        raise Denied("unauthenticated", message)
    try:
        header, claims = (json.loads(_decoded(part)) for part in token.split(".")[:2])
    except (ValueError, RecursionError) as error:
        message = "not a platform's token: its parts can't be read"
        raise Denied("unauthenticated", message) from error
    if not isinstance(header, dict) or not isinstance(claims, dict) or header.get("alg") not in ALGORITHMS:
        message = f"the platform's token must be signed by one of {', '.join(ALGORITHMS)}"
        raise Denied("unauthenticated", message)
    return header, claims


def _decoded(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)


def _has(keys: KeySet | None, kid: str) -> bool:
    """Return whether the keys hold the one that a token names; a token that names none is tried with what is there."""
    return keys is not None and (not kid or any(key.kid == kid for key in keys.keys))


def _listed(audience: object) -> list[str]:
    values = audience if isinstance(audience, list) else [audience]
    return [value for value in values if isinstance(value, str)]
