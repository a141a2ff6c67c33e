"""Requests to a forge's API: whom a token is sent to, how much is read, and what a refusal says to do.

- A token goes to the one origin that was named, over https (http for this machine alone), and along no redirect: whoever can
  have a request redirected would get the token.
- It is read from where its reference points at each use, and stands in no message: also where a forge sends it back.
- An answer is bounded in bytes and in seconds, a list in pages.
- What may do better later is `WaitError`, with the forge's own time where it names one. Nothing is repeated here, see `patience`.
"""

import ipaddress
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec
import urllib3

from agent.protocol.errors import InputError, MalformedError, RefusedError
from reconciler.forges.answers import (
    FORBIDDEN,
    INVALID,
    NOT_FOUND,
    OK,
    REDIRECTED,
    UNAUTHORIZED,
    Answer,
    DeniedError,
    InvalidError,
    MissingError,
    waiting,
)
from reconciler.forges.patience import Patience, WaitError
from reconciler.outgoing import EndlessError, TooLargeError, connections, received
from reconciler.printable import clipped, printable

CONNECT_SECONDS = 10.0
GAP_SECONDS = 30.0
"""Without a byte: GitHub itself ends a request after 10 s."""
ANSWER_LIMIT = 48 * 1024 * 1024
"""Bytes of one answer: a hundred comments of 65,536 characters, some of four bytes, most of them escaped."""
PER_PAGE = 100
"""As many as GitHub and GitLab give at most; Gitea gives 50."""
PAGES_LIMIT = 50
"""Of one list: 5,000 comments, more than people read."""
SAID_LIMIT = 300
"""Characters of a forge's own words in a message."""
_NEXT = re.compile(r'<([^<>]*)>\s*;[^<>,]*\brel="?next"?')
_POOL = re.compile(r"^<?\w+(\(.*?\)| object at \w+>): ")
"""How urllib3 begins some of its messages: with the object that failed."""
_TOKEN = re.compile(r"[\x21-\x7e]+")

T = TypeVar("T")


def origin(api: str) -> str:
    """Return the address of an API without a slash at its end.

    Raises:
        InputError: not https and not on this machine, or more than an address: a user, a query.
    """
    try:
        parts = urlsplit(api)
        host = parts.hostname if parts.port != 0 else None
    except ValueError:
        host = None
    if not host or parts.username is not None or parts.query or parts.fragment:
        message = "--api: write https://HOST/PATH, without a user, a password or a query"
        raise InputError(message)
    if parts.scheme != "https" and not (parts.scheme == "http" and _loopback(host)):
        message = f"--api: {printable(host)} by {printable(parts.scheme)}: a token is sent over https only"
        raise InputError(message)
    return api.rstrip("/")


def _site(url: str) -> tuple[str, str] | None:
    """Return scheme and authority, None for what is no address."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return parts.scheme, parts.netloc


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def path(*parts: str | int) -> str:
    """Return a path of these parts, each of them one part whatever it holds."""
    return "".join("/" + quote(str(part), safe="") for part in parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token, and the header that takes it there. Its text shows nothing."""

    header: str
    prefix: str
    secret: str
    named: str
    """Where it came from: `env:NAME` or `file:PATH`."""

    def __post_init__(self) -> None:
        """Refuse what could not be a token, without showing it."""
        if not _TOKEN.fullmatch(self.secret):
            message = f"{self.named}: it should hold one token, without spaces or line ends inside"
            raise InputError(message)

    def __repr__(self) -> str:
        """Return where it came from."""
        return f"Token({self.named})"


class Api:
    """One origin, by one token."""

    def __init__(self, *, base: str, token: Token, headers: Mapping[str, str], rights: str, patience: Patience) -> None:
        """`base` is where all paths begin; `headers` go with each request; `rights` says what to give a token that may not do it."""
        self.base = origin(base)
        self._rights = rights
        self._token = token
        self._patience = patience
        self._headers = {"User-Agent": "ordain", "Accept": "application/json", "Accept-Encoding": "identity", **headers}
        self._pool = connections(self.base, num_pools=1, maxsize=1, retries=False)

    def get(self, where: str, kind: type[T], **query: str | int) -> T:
        """Return what is at a path; raises as `request`."""
        return self._read(self.request("GET", self._url(where, query)), kind, where)

    def pages(self, where: str, kind: type[T], **query: str | int) -> Iterator[T]:
        """Yield each page of a list, as its `Link` header leads on (RFC 8288).

        Raises:
            as `request`; RefusedError for too many pages.
        """
        url = self._url(where, query)
        for _ in range(PAGES_LIMIT):
            answer = self.request("GET", url)
            yield self._read(answer, kind, where)
            found = _NEXT.search(answer.headers.get("link", ""))
            if found is None:
                return
            url = self._next(found[1], where)
        message = f"{self.base}{where}: more than {PAGES_LIMIT} pages; nothing is written where not all was read"
        raise RefusedError(message)

    def send(self, method: str, where: str, body: Mapping[str, Any] | None = None) -> None:
        """Have something written; raises as `request`."""
        self.request(method, self._url(where, {}), body)

    def request(self, method: str, url: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Return the answer of a request that was granted.

        Raises:
            WaitError: it may do better later.
            DeniedError, InvalidError, MissingError: 403, 400 or 422, 404.
            InputError: the token is not accepted, or what it is about was moved.
            RefusedError: anything else.
        """
        answer = self._exchange(method, url, body)
        if answer.status in OK:
            return answer
        said = self._shown(answer.said())
        what = f"{method} {url.partition('?')[0]}: HTTP {answer.status}" + (f" ({said})" if said else "")
        wait = waiting(answer, said, now=time.time())
        if wait is not None:
            message = f"{what}; {wait.why}"
            raise WaitError(message, seconds=wait.seconds)
        raise self._refusal(answer, what)

    def _refusal(self, answer: Answer, what: str) -> InputError | RefusedError:
        named = self._token.named
        if answer.status in REDIRECTED:
            leads = self._shown(answer.headers.get("location", ""))
            return InputError(
                f"{what} leads to {leads!r}, and a token is sent along no redirect. "
                "Was the repository renamed or moved? Name it as it is called now (--repository, --api)"
            )
        if answer.status == UNAUTHORIZED:
            return InputError(f"{what}: the token in {named} is not accepted; has it expired, and is it one for {self.base}?")
        if answer.status == FORBIDDEN:
            return DeniedError(f"{what}: the token in {named} may not do that; {self._rights}")
        if answer.status == NOT_FOUND:
            return MissingError(
                f"{what}: no such thing, or the token in {named} may not see it. "
                f"See --repository, --pull-request and --commit; if they are right, {self._rights}"
            )
        return InvalidError(what) if answer.status in INVALID else RefusedError(what)

    def _shown(self, text: str) -> str:
        """Return somebody else's words as they may stand in a message: the token taken out before they are cut, and nothing that moves."""
        return clipped(printable(text.replace(self._token.secret, "***")), SAID_LIMIT)

    def _url(self, where: str, query: Mapping[str, str | int]) -> str:
        return f"{self.base}{where}" + (f"?{urlencode(query)}" if query else "")

    def _next(self, url: str, where: str) -> str:
        if _site(url) != _site(self.base):
            message = f"{self.base}{where}: its next page is said to be at {self._shown(url)!r}; a token goes to one place only"
            raise RefusedError(message)
        return url

    def _read(self, answer: Answer, kind: type[T], where: str) -> T:
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            message = f"{self.base}{where}: not what its API says ({error}); is --api right, and does nothing else answer there?"
            raise MalformedError(message) from error

    def _exchange(self, method: str, url: str, body: Mapping[str, Any] | None) -> Answer:
        headers = {**self._headers, self._token.header: self._token.prefix + self._token.secret}
        end = time.monotonic() + max(1.0, self._patience.left)
        try:
            response = self._pool.request(
                method,
                url,
                headers=headers,
                json=body,
                redirect=False,
                preload_content=False,
                timeout=urllib3.Timeout(connect=min(CONNECT_SECONDS, self._seconds()), read=min(GAP_SECONDS, self._seconds())),
            )
            try:
                data = _bounded(response, url, end)
            finally:
                response.close()
        except urllib3.exceptions.HTTPError as error:
            raise self._unreached(method, url, error) from None
        return Answer(status=response.status, headers={name.lower(): value for name, value in response.headers.items()}, body=data)

    def _unreached(self, method: str, url: str, error: urllib3.exceptions.HTTPError) -> WaitError | RefusedError:
        why = self._shown(_POOL.sub("", str(getattr(error, "reason", None) or error)))
        if isinstance(error, urllib3.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in why:
            return RefusedError(f"{self.base}: {why}. A forge with a certificate of your own: set SSL_CERT_FILE to its authority's")
        return WaitError(f"{method} {url.partition('?')[0]}: {why}")

    def _seconds(self) -> float:
        return max(1.0, self._patience.left)


def _bounded(response: urllib3.BaseHTTPResponse, url: str, end: float) -> bytes:
    """Return a body; raise `MalformedError` for one that is too large, `WaitError` for one that takes too long."""
    try:
        return b"".join(received(response, limit=ANSWER_LIMIT, until=end))
    except TooLargeError:
        message = f"{url}: more than {ANSWER_LIMIT} bytes; broken off. Is --api right, and does nothing else answer there?"
        raise MalformedError(message) from None
    except EndlessError:
        message = f"{url}: an answer that does not end"
        raise WaitError(message) from None
