"""As whom a relay asks its uplink: the identity of the agent on the same host, read from that agent's directory, and never written.

    <identity>/current                    the number of the directory that counts
    <identity>/<number>/key.pem, certificate.pem, authority.pem, root.json, enrolment.json

The agent renews its certificate there, in a new directory; whoever asks by the old one looks for the new one first.
"""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from agent.protocol.errors import InputError, RetryError

TRIES = 5
"""Readings of a directory that goes while it is read, since the agent renewed its certificate just then."""


class _Enrolment(msgspec.Struct):
    """What is read of `enrolment.json`; it may hold more."""

    server: str
    tenant: str
    agent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayIdentity:
    """Who the host is: `number` changes at each renewal; `chain` and `authority` are PEM, `root` the tenant's root metadata."""

    number: str
    server: str
    tenant: str
    agent: str
    chain: bytes
    key: bytes
    authority: str
    root: bytes


def current_number(directory: Path) -> str:
    """Return which identity counts; raise `InputError` where the host is not enrolled."""
    try:
        return (directory / "current").read_text().strip()
    except OSError as error:
        message = f"{directory}: no identity of an enrolled agent can be read there ({error.strerror}); see `ordain-agent enroll`"
        raise InputError(message) from error


def read_identity(directory: Path) -> RelayIdentity:
    """Return who the host is.

    Raises:
        InputError: it is not enrolled, or what is there is damaged.
        RetryError: it changes all the time.
    """
    for _ in range(TRIES):
        number = current_number(directory)
        try:
            return _read(directory / number, number)
        except FileNotFoundError:
            continue
        except (OSError, msgspec.MsgspecError, UnicodeError) as error:
            message = f"{directory / number}: {error}; enrol the host again: ordain-agent enroll"
            raise InputError(message) from error
    message = f"{directory}: what its `current` names is not there; is the agent at work on it?"
    raise RetryError(message)


def _read(place: Path, number: str) -> RelayIdentity:
    enrolment = msgspec.json.decode((place / "enrolment.json").read_bytes(), type=_Enrolment)
    return RelayIdentity(
        number=number,
        server=enrolment.server,
        tenant=enrolment.tenant,
        agent=enrolment.agent,
        chain=(place / "certificate.pem").read_bytes(),
        key=(place / "key.pem").read_bytes(),
        authority=(place / "authority.pem").read_text(),
        root=(place / "root.json").read_bytes(),
    )
