"""What a setting may be beside its type: data beside its field in `settings`, checked where a file is read, and shown on its page."""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from agent.protocol.errors import InputError

SUBJECT = re.compile(
    r"operator:[a-z0-9]([a-z0-9._@-]{0,126}[a-z0-9])?"
    r"|(oidc|group):(https://[^\s#*\x00-\x1f\x7f]+|http://(127\.0\.0\.1|localhost)(:[0-9]{1,5})?(/[^\s#*\x00-\x1f\x7f]*)?)"
    r"#[^*\x00-\x20\x7f]([^*\x00-\x1f\x7f]{0,254}[^*\x00-\x20\x7f])?"
)
"""Who may be named by a role: the same as schemas/role.schema.json has it. There are no patterns."""
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DNS_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")
"""With `_`, which no host's name should have and some on private networks have."""
PORT_MOST = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """The values that a setting may have, or each entry of its list; `said` is what they are, in words that follow "must be"."""

    said: str
    holds: Callable[[Any], bool]


def within(least: float, most: float) -> Allowed:
    """Return numbers of a range, both ends included; no `nan` is in it."""
    return Allowed(said=f"from {_plain(least)} to {_plain(most)}", holds=lambda value: bool(least <= value <= most))


def _plain(number: float) -> str:
    return str(int(number) if number == int(number) else number)


def one_of(*words: str, capitals: bool = False) -> Allowed:
    """Return these words alone, in capitals too where that is said."""
    *others, last = [f"`{word}`" for word in words]
    return Allowed(said=f"{', '.join(others)} or {last}", holds=lambda value: (value.lower() if capitals else value) in words)


def matching(pattern: str | re.Pattern[str], said: str) -> Allowed:
    """Return texts that a pattern fits as a whole."""
    return Allowed(said=said, holds=lambda value: re.fullmatch(pattern, value) is not None)


def host(value: str) -> bool:
    """Return whether something can stand in a server's certificate: an IP address, or a DNS name (`*.` before it for all below it)."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        name = value.removeprefix("*.")
        return _DNS_NAME.fullmatch(name) is not None and not name.rpartition(".")[2].isdigit()
    return True


def address(text: str) -> tuple[str, int]:
    """Return (host, port) of an address such as `0.0.0.0:8420`; port 0 means any free one. Raises `InputError` if it is none."""
    stated, _, port = text.rpartition(":")
    stated = stated.strip("[]") or "127.0.0.1"
    try:
        ip = ipaddress.ip_address("127.0.0.1" if stated == "localhost" else stated)
        number = int(port)
    except ValueError as error:
        message = f"{text!r} is not an address; write 127.0.0.1:8420"
        raise InputError(message) from error
    if not 0 <= number <= PORT_MOST:
        message = f"{text!r}: a port lies between 0 and {PORT_MOST}"
        raise InputError(message)
    return str(ip), number


def loopback(text: str) -> tuple[str, int]:
    """Return what `address` does; raise `InputError` for an address that others can reach: what is served there has no TLS."""
    stated, port = address(text)
    if not ipaddress.ip_address(stated).is_loopback:
        message = f"{text!r} can be reached from other machines; health, metrics and webhooks are served on loopback addresses only"
        raise InputError(message)
    return stated, port


def _read_by(read: Callable[[str], object]) -> Callable[[str], bool]:
    def holds(value: str) -> bool:
        try:
            read(value)
        except InputError:
            return False
        return True

    return holds


ADDRESS = Allowed(said="an address such as `127.0.0.1:8420`", holds=_read_by(address))
LOOPBACK = Allowed(said="a loopback address such as `127.0.0.1:8422`", holds=_read_by(loopback))
HOSTS = Allowed(said="DNS names or IP addresses", holds=host)
SUBJECTS = matching(SUBJECT, "`operator:NAME`, `oidc:ISSUER#NAME` or `group:ISSUER#NAME`")
HTTP_URL = matching(r"(https?://[^\s/?#]+[^\s?#]*)?", "an address such as `https://s3.example.com`")
HTTPS_URL = matching(r"(https://[^\s/?#]+[^\s?#]*)?", "an address such as `https://login.example.com`")
SHA256 = matching(r"([0-9a-f]{64})?", "64 of 0-9 and a-f")


def bare(kind: Any) -> tuple[Any, Allowed | None]:
    """Return the type of a field without what stands beside it, and what it allows."""
    if get_origin(kind) is not Annotated:
        return kind, None
    plain, allowed = get_args(kind)
    return plain, allowed
