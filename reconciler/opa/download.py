"""OPA from its release page: received in pieces that are kept, and made a program only when its SHA-256 is the pinned one.

The sum decides, so where the file comes from does not matter: a mirror is as good as the release page. A platform
without a pinned sum is not downloaded for at all. What has arrived is kept beside, and asked for from there on next time.
"""

import hashlib
import hmac
import platform
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import urllib3
from urllib3 import exceptions

from agent.protocol import durable
from agent.protocol.errors import InputError, RetryError
from reconciler.outgoing import EndlessError, TooLargeError, connections, received

RELEASES = "https://github.com/open-policy-agent/opa/releases/download"
"""The release page: below it lies `v<version>/<file>`, and beside each file `<file>.sha256`."""
FILES = {
    "linux/amd64": "opa_linux_amd64_static",
    "linux/arm64": "opa_linux_arm64_static",
    "darwin/amd64": "opa_darwin_amd64",
    "darwin/arm64": "opa_darwin_arm64_static",
}
"""Platform → the file of a release that needs no libraries."""
SUMS: dict[str, str] = {}
"""Platform → SHA-256 of its file in the pinned version, as its `.sha256` says.

Empty: nobody could read them from the release page when this version was pinned, and a sum that was not read there is
worth nothing. OPA is then built by Go, whose checksum database vouches for it, unless an operator names the sum.
"""
BYTES_LIMIT = 256 * 1024 * 1024
"""Bytes of an OPA: it has 60 to 100 MB."""
SECONDS = 600.0
"""For the whole download: 100 MB at 2 Mbit/s take seven minutes."""
SILENCE = 20.0
"""Seconds without a byte, and until a connection is there."""
TRIES = 3
PAUSE = 1.0
"""Seconds before the second try; twice as many before the next."""
_REDIRECTS = 5
"""From the release page to where its files lie there is one."""
_SUM = re.compile(r"[0-9a-f]{64}")
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_PARTIAL, _REFUSED, _NOTHING_THERE, _FAULT = 206, 400, 416, 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Where OPA can be had and the SHA-256 that it must have; an empty one means that nobody can vouch for it."""

    url: str
    sha256: str


class _BrokenOffError(Exception):
    """The rest did not come; what did is kept."""


def this_platform() -> str:
    """Return `<system>/<machine>` as release files are named, such as `linux/arm64`."""
    machine = platform.machine().lower()
    return f"{sys.platform}/{_MACHINES.get(machine, machine)}"


def offered(version: str, *, url: str = "", sha256: str = "", where: str = "") -> Offer:
    """Return where this platform's OPA can be had; `url` and `sha256` are an operator's own, `where` another platform.

    Raises:
        InputError: a sum that is none, or an address that is not http(s).
    """
    where = where or this_platform()
    if sha256 and not _SUM.fullmatch(sha256):
        message = (
            f"{sha256!r} (opa_sha256, ORDAIN_OPA_SHA256) is no SHA-256: write 64 of 0-9 and a-f, as the release's .sha256 file has them"
        )
        raise InputError(message)
    if url and not url.startswith(("https://", "http://")):
        message = f"{url!r} (opa_url, ORDAIN_OPA_URL) is no address: write the https:// one of OPA's file"
        raise InputError(message)
    file = FILES.get(where)
    return Offer(url=url or (f"{RELEASES}/v{version}/{file}" if file else ""), sha256=sha256 or SUMS.get(where, ""))


def download(offer: Offer, target: Path) -> None:
    """Put what is offered at `target`, executable, for keeps; nothing else ever stands there.

    Raises:
        RetryError: it can't be had, is larger than an OPA, or is not what the sum says.
    """
    part = target.parent / f".{offer.sha256}.part"
    until = time.monotonic() + SECONDS
    for attempt in range(1, TRIES + 1):
        resumed = part.exists()
        try:
            _receive(offer, part, until)
        except (_BrokenOffError, exceptions.HTTPError) as error:
            if attempt == TRIES or time.monotonic() > until:
                message = f"{offer.url}: {_reason(error)}; what has arrived is kept, and the next try goes on from there"
                raise RetryError(message) from error
            time.sleep(PAUSE * 2 ** (attempt - 1))
            continue
        found = _digest(part)
        if hmac.compare_digest(found, offer.sha256):
            return _keep(part, target)
        part.unlink()
        if not resumed:
            message = f"{offer.url}: its SHA-256 is {found}, and not {offer.sha256} as pinned; it is thrown away"
            raise RetryError(message)
    message = f"{offer.url}: it is another file at each try; name a mirror that keeps it"
    raise RetryError(message)


def _receive(offer: Offer, part: Path, until: float) -> None:
    """Append to `part` what is missing, or begin anew if the server does."""
    offset = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
    follow = urllib3.Retry(connect=0, read=0, other=0, status=0, redirect=_REDIRECTS)
    with connections(offer.url, proxied=("https", "http")) as pool:
        answer = pool.request("GET", offer.url, headers=headers, retries=follow, preload_content=False, timeout=SILENCE)
        try:
            if answer.status == _NOTHING_THERE and offset:  # all of it is here, or more: the sum tells
                return
            if answer.status >= _FAULT:
                message = f"HTTP status {answer.status}"
                raise _BrokenOffError(message)
            if answer.status >= _REFUSED:
                message = f"{offer.url}: HTTP status {answer.status}; name an address that has it (opa_url, ORDAIN_OPA_URL)"
                raise RetryError(message)
            _append(answer, offer.url, part, offset if answer.status == _PARTIAL else 0, until)
        finally:
            answer.close()


def _append(answer: urllib3.BaseHTTPResponse, url: str, part: Path, size: int, until: float) -> None:
    try:
        with part.open("ab" if size else "wb") as stream:
            stream.writelines(received(answer, limit=BYTES_LIMIT - size, until=until))
    except TooLargeError:
        part.unlink()
        message = f"{url}: more than {BYTES_LIMIT} bytes, which no OPA has; name another address (opa_url, ORDAIN_OPA_URL)"
        raise RetryError(message) from None
    except EndlessError:
        message = f"not done after {SECONDS:g} s"
        raise _BrokenOffError(message) from None


def _keep(part: Path, target: Path) -> None:
    part.chmod(0o755)
    durable.sync_file(part)
    part.replace(target)
    durable.sync_directory(target.parent)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _reason(error: Exception) -> str:
    """Return an error in one line: those of urllib3 quote the objects that they went through."""
    if isinstance(error, exceptions.MaxRetryError):
        return _reason(error.reason) if error.reason is not None else "it can't be reached"
    if isinstance(error, exceptions.TimeoutError) and not isinstance(error, exceptions.NewConnectionError):
        return f"no byte for {SILENCE:g} s"
    if isinstance(error, (exceptions.IncompleteRead, exceptions.ProtocolError)):
        return "it broke off"
    return "it can't be reached" if isinstance(error, exceptions.HTTPError) else str(error)
