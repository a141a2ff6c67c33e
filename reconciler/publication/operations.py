"""What operators and hosts did by the API of `serve`, on its way into git: parts of a tenant's audit chain, signed by its online key.

`records/<tenant>/_operations/<series>-<part>.json`: a part holds the entries that its number says (`PART` each), and is replaced as it
fills. A series is one registry: where that was lost, its chain begins anew, and so does a series. What is signed here is what `serve`
says that it was asked; whoever took it over can leave entries out, and can't change those that were exported before.
"""

from collections.abc import Sequence

from securesystemslib.signer import Key, Signer

from agent.protocol import codec
from agent.protocol.errors import MalformedError
from agent.protocol.state import Struct
from reconciler.publication import envelope

FORMAT = 1
PAYLOAD_TYPE = "application/vnd.ordain.operations+json"
PART = 1000
"""Entries of a part: some 300 kB."""


class Operation(Struct):
    """An entry of the audit: its number in the chain, when, who, what was asked of what, how it ended and why, and the chain's hash."""

    number: int
    at: str
    who: str
    action: str
    target: str
    outcome: str
    reason: str
    hash: str


class Operations(Struct):
    """A part: `previous` is the chain's hash before its first entry, where that is known."""

    format: int
    tenant: str
    series: int
    part: int
    previous: str
    operations: list[Operation]

    @property
    def last(self) -> tuple[int, str]:
        """The number and the hash of its last entry; (0, "") where it has none."""
        return (self.operations[-1].number, self.operations[-1].hash) if self.operations else (0, "")


def part_of(number: int) -> int:
    """Return in which part an entry stands; entries count from 1."""
    return (number - 1) // PART


def write(found: Operations, signer: Signer) -> bytes:
    """Return the signed file; `signer` is the tenant's rollouts key."""
    return envelope.sign(codec.canonical(found), PAYLOAD_TYPE, [signer])


def read(data: bytes, keys: Sequence[Key], *, tenant: str) -> Operations:
    """Verify and read a part.

    Raises:
        MalformedError: no such part, or another tenant's.
        RefusedError: not signed by any of `keys`.
    """
    what = f"operations of {tenant}"
    found = codec.decode(envelope.verify(data, PAYLOAD_TYPE, keys, what=what), Operations, what=what, limit=envelope.ENVELOPE_LIMIT)
    if found.format != FORMAT or found.tenant != tenant:
        message = f"{what}: they are of {found.tenant}, format {found.format}"
        raise MalformedError(message)
    return found
