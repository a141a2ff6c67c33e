"""Speaking TLS with the installation's own server: it is believed by the roots of enrolment alone, and shown this host's certificate.

The system's roots are for everybody else, to whom the certificate is never shown.
"""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from agent.protocol.errors import MalformedError, RetryError
from agent.protocol.handshakes import CLOCK_CODES, PLAIN

NAME_CODES = (62, 64)
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""
LAPSED = "CERTIFICATE_EXPIRED"
"""Of the alert by which a server says that our certificate ran out (RFC 8446, section 6.2), as OpenSSL names it."""


class LapsedError(RetryError):
    """The server says that this host's certificate ran out."""


class UntrustedError(RetryError):
    """What answers can't show that it is the server; `clock` is whether a wrong clock may be why."""

    def __init__(self, message: str, *, clock: bool) -> None:
        super().__init__(message)
        self.clock = clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How to speak with `server`, an https address: `authority` are roots (PEM), None believes anybody and is for asking who it is.

    `certificate` and `key` are files of this host's own; without them no certificate is shown.
    """

    server: str
    authority: str | None
    certificate: Path | None = None
    key: Path | None = None

    def is_for(self, url: str) -> bool:
        """Return whether an address is that server's."""
        return origin(url) == origin(self.server)

    def context(self) -> ssl.SSLContext:
        """Return what connections are made with; raise `MalformedError` where roots, certificate or key can't be read."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks the chain and the host's name
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            if self.authority is None:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            else:
                context.load_verify_locations(cadata=self.authority)
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except (ssl.SSLError, OSError, ValueError) as error:
            message = f"{self.certificate or self.server}: authority, certificate or key can't be used: {error}; enrol this host again"
            raise MalformedError(message) from error
        return context


def origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of an address."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def in_our_words(url: str, error: BaseException) -> RetryError | None:
    """Return what went wrong in TLS as an error that says what to do, None where it was something else."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return UntrustedError(f"{url}: {_untrusted(cause)}", clock=cause.verify_code in CLOCK_CODES)
        if isinstance(cause, ssl.SSLError) and LAPSED in (cause.reason or ""):
            return LapsedError(f"{url}: the server says that this host's certificate ran out; it is renewed by the old key")
        if isinstance(cause, ssl.SSLError) and cause.reason in PLAIN:
            return RetryError(f"{url}: what answers there does not speak TLS; is it the right port?")
    return None


def _untrusted(error: ssl.SSLCertVerificationError) -> str:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if error.verify_code in CLOCK_CODES:
        return f"{error.verify_message} by this host's clock, which says {now}. Compare it with a right one before you suspect the server"
    if error.verify_code in NAME_CODES:
        return f"{error.verify_message}: its certificate is of another name; use a name that it is made for, or have it made for this one"
    return f"its certificate is not to be trusted ({error.verify_message}). Is something in between, or is it another installation?"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that it came from, however it was wrapped."""
    seen: list[BaseException] = [error]
    for one in seen:
        yield one
        inner = [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
        seen += [found for found in inner if isinstance(found, BaseException) and not any(found is known for known in seen)]
