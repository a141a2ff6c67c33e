"""Reaching a server as an operator: where it is, by which roots it is known, and which token is shown.

    --state DIR       the local server of that state directory, by its own token: whoever can read it runs the installation
    --server URL      one that `ordain login` has signed in at
    ORDAIN_SERVER, ORDAIN_TOKEN, ORDAIN_AUTHORITY     for programs: address, token, and a file with roots (PEM)
    else the server of the last `ordain login`

The server is verified before the token is sent: by the roots that were written down at sign-in, or the system's where there are none.
"""

import os
import re
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import click
import msgspec
import urllib3

from agent.protocol import codec
from agent.protocol.enrolment import Refusal
from agent.protocol.errors import InputError, MalformedError, OrdainError, RefusedError, RetryError
from agent.protocol.handshakes import CLOCK_CODES, PLAIN
from reconciler.cli import logins
from reconciler.control.identity.local import CONTROL_FILE, TOKEN_FILE, ControlPlace
from reconciler.outgoing import EndlessError, TooLargeError, connections, received
from reconciler.printable import printable
from reconciler.publication.times import stamp

SECONDS = 60.0
"""For one answer: verifying a long audit takes some."""
ANSWER_LIMIT = 64 * 1024 * 1024
"""Bytes of an answer: a page of a thousand agents has less than one mebibyte."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")
"""Hosts that no proxy stands before."""
PAGE = 500
"""Rows that are asked for at once where all are wanted."""
_FAMILY: Mapping[str, type[OrdainError]] = {
    "malformed": InputError,
    "unknown": InputError,
    "too-much": InputError,
    "slow-down": RetryError,
    "unavailable": RetryError,
}
_NUMBER = re.compile(r"\[Errno -?[0-9]+\] ")
Query = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server and who asks: `authority` are roots in PEM, "" for those of the system."""

    url: str
    token: str = ""
    authority: str = ""

    def ask(self, method: str, path: str, *, query: Query | None = None, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the answer's object.

        Raises:
            InputError: what was asked for is wrong, or there is no such thing.
            RefusedError: it is not allowed, or the server is not the one that is expected.
            RetryError: it can't be reached, or can't answer now.
        """
        data = b"" if body is None else msgspec.json.encode(body)
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {self.token}"} if self.token else {})
        if body is not None:
            headers["Content-Type"] = "application/json"
        where = self.url + path + (f"?{urlencode(query, doseq=True)}" if query else "")
        status, found = self._received(method, where, headers, data)
        if status >= 400:  # noqa: PLR2004 - what HTTP calls errors
            raise _refused(status, found)
        try:
            return msgspec.json.decode(found, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            message = f"{self.url} answers with what is no JSON object; is it a server of ordain?"
            raise RefusedError(message) from error

    def _received(self, method: str, where: str, headers: Mapping[str, str], data: bytes) -> tuple[int, bytes]:
        until = time.monotonic() + SECONDS
        try:
            proxied = () if urlsplit(where).hostname in LOOPBACK else ("https",)
            with connections(where, proxied=proxied, ssl_context=self._tls()) as pool:
                answer = pool.request(
                    method, where, headers=headers, body=data, retries=False, redirect=False, preload_content=False, timeout=SECONDS
                )
                try:
                    return answer.status, b"".join(received(answer, limit=ANSWER_LIMIT, until=until))
                finally:
                    answer.close()
        except urllib3.exceptions.SSLError as error:
            raise self._not_believed(error) from error
        except (urllib3.exceptions.HTTPError, EndlessError, TooLargeError) as error:
            message = f"{self.url} can't be reached: {_reason(error)}; is `ordain serve` running?"
            raise RetryError(message) from error

    def _tls(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cadata=self.authority or None)
        except (ssl.SSLError, ValueError) as error:
            message = f"the roots for {self.url} are no certificates in PEM; sign in again, or give a file that holds its root"
            raise InputError(message) from error

    def _not_believed(self, error: urllib3.exceptions.SSLError) -> OrdainError:
        """Return what a failed handshake means for whoever typed the command."""
        cause = next((one for one in (*error.args, error.__cause__) if isinstance(one, ssl.SSLError)), None)
        if isinstance(cause, ssl.SSLCertVerificationError):
            if cause.verify_code in CLOCK_CODES:
                clock = f"by this machine's clock, which says {stamp(datetime.now(UTC))}"
                return RefusedError(f"{self.url}: {cause.verify_message} {clock}; compare it with a right one")
            changed = "if its authority was changed on purpose, sign in again or name its new root"
            hint = changed if self.authority else "sign in with ordain login, or name the file of its root in ORDAIN_AUTHORITY"
            return RefusedError(f"{self.url} is not the server that is expected: {cause.verify_message}; {hint}")
        if cause is not None and cause.reason in PLAIN:
            return InputError(f"{self.url}: what answers there does not speak TLS; is it the right port?")
        return RefusedError(f"{self.url}: no connection by TLS: {cause.reason if cause else error}; is it a server of ordain?")

    def pages(self, path: str, name: str, *, query: Query | None = None, limit: int = 0) -> list[dict[str, Any]]:
        """Return the rows `name` of all pages, or of as many as hold `limit` rows."""
        rows: list[dict[str, Any]] = []
        after = ""
        while True:
            size = min(PAGE, limit - len(rows)) if limit else PAGE
            page = self.ask("GET", path, query={**(query or {}), "limit": str(size)} | ({"after": after} if after else {}))
            rows += page[name]
            after = page["next"]
            if not after or (limit and len(rows) >= limit):
                return rows


def _refused(status: int, data: bytes) -> OrdainError:
    try:
        refusal = msgspec.json.decode(data, type=Refusal)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return RetryError(f"the server answers with status {status}, and does not say why")
    family = _FAMILY.get(refusal.code, RefusedError)
    again = f" (ask again in {refusal.retry_after} s)" if refusal.retry_after else ""
    return family(f"{printable(refusal.error)}{again}")


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    if isinstance(reason, Exception):
        return _reason(reason)
    text = str(error) or type(error).__name__
    return _NUMBER.sub("", text.rpartition(": ")[2] if isinstance(error, urllib3.exceptions.NewConnectionError) else text)


def reach(*, state: Path | None, server: str | None, environment: Mapping[str, str] = os.environ) -> Server:
    """Return the server that is meant, with what is shown to it; see the module.

    Raises:
        InputError: none is named, or nobody has signed in at it.
    """
    if state is not None:
        return _local(state)
    url = server or environment.get("ORDAIN_SERVER", "")
    known = logins.read(logins.place(environment))
    url = checked(url) if url else known.current
    if not url:
        message = "which server? Give --state DIR of a local one, or sign in with ordain login --server URL"
        raise InputError(message)
    login = known.servers.get(url)
    token = environment.get("ORDAIN_TOKEN", "") or (login.token if login else "")
    if not token:
        message = f"nobody has signed in at {url} here; run ordain login --server {url}, or set ORDAIN_TOKEN"
        raise InputError(message)
    found = Server(url=url, token=token, authority=login.authority if login else "")
    roots = environment.get("ORDAIN_AUTHORITY", "")
    return replace(found, authority=read_roots(Path(roots))) if roots else found


def checked(url: str) -> str:
    """Return a server's URL in its one form; raise `InputError` unless it is `https://HOST[:PORT]`."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query or parts.username:
        message = f"{url!r} is not the address of a server; write https://ordain.example.com:8420"
        raise InputError(message)
    return f"https://{parts.netloc.lower()}"


def read_roots(file: Path) -> str:
    """Return roots (PEM) from a file; raise `InputError` where it can't be read."""
    try:
        return file.read_text()
    except (OSError, UnicodeError) as error:
        message = f"{file}: {getattr(error, 'strerror', None) or 'not text'}; it should hold the root of the server's authority (PEM)"
        raise InputError(message) from error


def _local(state: Path) -> Server:
    try:
        place = codec.decode((state / CONTROL_FILE).read_bytes(), ControlPlace, what=str(state / CONTROL_FILE))
        token = (state / TOKEN_FILE).read_text().strip()
    except FileNotFoundError as error:
        message = f"{state}: no server has run on this state directory; start `ordain up --state {state}`, or name another"
        raise InputError(message) from error
    except (OSError, MalformedError) as error:
        message = f"{state}: {error}"
        raise InputError(message) from error
    return Server(url=place.url, token=token, authority=place.authority)


def reaching(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options by which a command finds its server; it gets them as `state` and `server`."""
    for option in (
        click.option("--server", help="Address of the server. [default: ORDAIN_SERVER, or that of the last ordain login]"),
        click.option("--state", type=click.Path(file_okay=False, path_type=Path), help="State directory of a server on this machine."),
    ):
        command = option(command)
    return command


FORMAT = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
REASON = click.option("--reason", required=True, help="Why: it stands in the audit.")
