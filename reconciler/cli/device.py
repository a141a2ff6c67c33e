"""Signing in on another device (RFC 8628): a person opens a page, types a code, and this program gets an id token.

It asks the issuer alone, at addresses that the issuer's own discovery document names.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec
import urllib3

from agent.protocol.errors import InputError, RefusedError, RetryError
from reconciler.outgoing import EndlessError, TooLargeError, connections, received

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
SECONDS = 20.0
ANSWER_LIMIT = 262_144
"""Bytes of an answer of an issuer."""
INTERVAL = 5
"""Seconds between two questions where the issuer says nothing (section 3.2)."""
SLOWER = 5
"""Seconds more after each `slow_down` (section 3.5)."""
LONGEST = 1800
"""Seconds that a person has, whatever the issuer says."""
_TEXTS = {
    "access_denied": "the sign-in was declined",
    "expired_token": "nobody signed in in time; run ordain login again",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What to show: where to go and what to type there; `complete` is the address with the code in it, "" where there is none."""

    url: str
    code: str
    complete: str


def id_token(*, issuer: str, client_id: str, scope: str, show: Callable[[Code], None], wait: Callable[[float], None] = time.sleep) -> str:
    """Return an id token of whoever signs in; `show` is called once with what they need for it.

    Raises:
        InputError: the issuer is none, or lets nobody sign in this way.
        RefusedError: the sign-in was declined, or took too long; or the issuer's certificate is of an authority that nobody here knows.
        RetryError: the issuer can't be reached.
    """
    stated = _metadata(issuer)
    begin, asked = stated.get("device_authorization_endpoint"), stated.get("token_endpoint")
    if not isinstance(begin, str) or not isinstance(asked, str):
        message = f"{issuer} does not offer sign-in by a code (device authorization); ask for a token instead: ordain operators token"
        raise InputError(message)
    status, begun = _post(begin, {"client_id": client_id, "scope": scope})
    if status != 200 or not isinstance(begun.get("device_code"), str):  # noqa: PLR2004 - what HTTP calls OK
        message = f"{issuer} does not let {client_id} begin a sign-in: {_said(begun, status)}"
        raise RefusedError(message)
    show(Code(url=_text(begun, "verification_uri"), code=_text(begun, "user_code"), complete=_text(begun, "verification_uri_complete")))
    return _polled(asked, begun, client_id, wait)


def _polled(where: str, begun: Mapping[str, Any], client_id: str, wait: Callable[[float], None]) -> str:
    interval = _number(begun.get("interval"), INTERVAL)
    until = time.monotonic() + min(_number(begun.get("expires_in"), LONGEST), LONGEST)
    while time.monotonic() < until:
        wait(interval)
        status, found = _post(where, {"grant_type": GRANT, "device_code": begun["device_code"], "client_id": client_id})
        if status == 200:  # noqa: PLR2004
            return _required(found)
        error = found.get("error")
        if error == "slow_down":
            interval += SLOWER
        elif error != "authorization_pending":
            raise RefusedError(_TEXTS.get(str(error)) or f"the sign-in failed: {_said(found, status)}")
    raise RefusedError(_TEXTS["expired_token"])


def _required(found: Mapping[str, Any]) -> str:
    token = found.get("id_token")
    if not isinstance(token, str):
        message = "the issuer gave no id token: does its client ask for the scope openid?"
        raise RefusedError(message)
    return token


def _metadata(issuer: str) -> Mapping[str, Any]:
    where = issuer.rstrip("/") + "/.well-known/openid-configuration"
    status, stated = _ask("GET", where)
    if status != 200 or stated.get("issuer") != issuer:  # noqa: PLR2004
        message = f"{where} is not the discovery document of {issuer}"
        raise RefusedError(message)
    return stated


def _post(where: str, fields: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
    return _ask("POST", where, urlencode(fields).encode())


def _ask(method: str, where: str, body: bytes = b"") -> tuple[int, Mapping[str, Any]]:
    if urlsplit(where).scheme != "https":
        message = f"{where[:200]}: identities are asked for over https alone"
        raise InputError(message)
    headers = {"Accept": "application/json"} | ({"Content-Type": "application/x-www-form-urlencoded"} if body else {})
    until = time.monotonic() + SECONDS
    try:
        with connections(where) as pool:
            answer = pool.request(
                method, where, headers=headers, body=body, retries=False, redirect=False, preload_content=False, timeout=SECONDS
            )
            try:
                data = b"".join(received(answer, limit=ANSWER_LIMIT, until=until))
            finally:
                answer.close()
        return answer.status, msgspec.json.decode(data, type=dict[str, Any])
    except (urllib3.exceptions.HTTPError, EndlessError, TooLargeError) as error:
        if isinstance(error, urllib3.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
            message = f"{where}: {error}; an issuer with a certificate of your own authority: name the authority's file in SSL_CERT_FILE"
            raise RefusedError(message) from error
        message = f"{where} can't be reached: {str(error) or type(error).__name__}"
        raise RetryError(message) from error
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        message = f"{where} answers with what is no JSON object"
        raise RetryError(message) from error


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name, "")
    return value if isinstance(value, str) else ""


def _number(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LONGEST else otherwise


def _said(found: Mapping[str, Any], status: int) -> str:
    return _text(found, "error_description") or _text(found, "error") or f"status {status}"
