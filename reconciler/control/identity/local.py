"""The token for commands on serve's own machine: whoever may read its state directory runs the installation anyway.

It is made anew at each start and kept in memory and in `<state>/local-token` (0600) alone. `<state>/control.json` says where serve
answers and by which roots it is known, so that `ordain … --state DIR` needs nothing else.
"""

import hmac
from dataclasses import dataclass
from pathlib import Path

from agent.protocol import codec, durable
from agent.protocol.state import Struct
from reconciler.control.registry import secrets_at_rest

PREFIX = "ordainop1"
"""What operators' tokens begin with, so that scanners for secrets find them; enrolment tokens begin otherwise."""
SUBJECT = "local"
TOKEN_FILE = "local-token"  # noqa: S105 - the name of the file
CONTROL_FILE = "control.json"


class ControlPlace(Struct):
    """`<state>/control.json`: serve's address, and the roots of the authority in PEM."""

    url: str
    authority: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalToken:
    """The secret of this start of serve."""

    secret: str

    def matches(self, secret: str) -> bool:
        """Return whether this is it, in constant time."""
        return hmac.compare_digest(self.secret.encode(), secret.encode())


def make() -> LocalToken:
    """Return a new one."""
    return LocalToken(secret=secrets_at_rest.make())


def announce(state: Path, token: LocalToken, *, url: str, authority: str) -> None:
    """Write where serve answers (`url`), by which roots (PEM), and the token's text; call it once serve listens."""
    url = url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")  # no certificate is for "anywhere"
    durable.replace(state / TOKEN_FILE, f"{text(token)}\n".encode(), mode=0o600)
    durable.replace(state / CONTROL_FILE, codec.canonical(ControlPlace(url=url, authority=authority)))


def text(token: LocalToken) -> str:
    """Return the token as it is sent."""
    return f"{PREFIX}.{SUBJECT}.{token.secret}"
