"""What a host tells: receipts of releases, how each fleet stands, drift, facts. Sent as numbered batches, and only what changed.

    POST /v1/reports    a `Batch`, or one that a relay brings: a `SignedBatch`; answered by `Acknowledged` once it is kept

What a host says is a claim. A receipt is signed by its key, so nobody between can make one up, and a stolen server can't either.
"""

from hashlib import sha256
from typing import Literal

from agent.protocol import codec
from agent.protocol.state import Struct

FORMAT = 1
BATCH_LIMIT = 1_048_576
"""Bytes of one batch; what is more goes into the next."""
RECEIPTS_LIMIT = 500
EVENTS_LIMIT = 500
STATUSES_LIMIT = 64
RECEIPT_SIGNED = b"ordain receipt 1\0"
BATCH_SIGNED = b"ordain report 1\0"
"""What such signatures begin with, so that each is good for nothing else."""

Result = Literal["applied", "refused", "failed", "restored", "waiting"]


class Receipt(Struct):
    """One outcome of a release on one host; `fleet` is `<tenant>/<fleet>`, `at` is RFC 3339 in UTC."""

    format: int
    fleet: str
    agent: str
    digest: str
    members: int
    group: str
    mode: str | None
    attempt: int
    serial: int
    generation: int
    result: Result
    why: str
    at: str


class SignedReceipt(Struct):
    """A receipt and who says so: `signature` is base64 of ECDSA (P-256, SHA-256, DER) over `receipt_message`.

    `certificate` is the SHA-256 of the certificate (DER, hexadecimal) whose key signed.
    """

    receipt: Receipt
    certificate: str
    signature: str


class Used(Struct):
    """What a fleet's processes and services use on a host, all together.

    `cpu` is in thousandths of a core on average, `memory` in bytes, `restarts` those by themselves; `startup` is how many milliseconds
    a release took from the begin of its switch until its probes held, None where that is not known.
    """

    cpu: int
    memory: int
    restarts: int
    startup: int | None = None


class Usage(Struct):
    """What a release made of that: `before` it was switched to (None where nothing ran), and `after` so many `seconds` of it."""

    digest: str
    attempt: int
    seconds: int
    before: Used | None
    after: Used


class FleetReport(Struct):
    """How one fleet stands on a host: what runs (`digest`, "" for nothing yet), what came of the newest news, and drifted paths.

    `fleet` is its own name here, in `gone` and in events: whose it is, the connection says. In receipts, which are signed, it is
    `<tenant>/<fleet>`.
    """

    fleet: str
    result: Result
    why: str = ""
    since: str = ""
    digest: str = ""
    members: int = 0
    desired: str = ""
    group: str = ""
    mode: str | None = None
    attempt: int = 0
    serial: int = 0
    generation: int = 0
    commit: str = ""
    held: bool = False
    unheard: str = ""
    drift: int = 0
    """How many paths drifted."""
    warnings: list[str] = []
    usage: Usage | None = None


class Difference(Struct):
    """How a path differs from what its release says: digests of contents, or kind and mode; `since` when it has been seen.

    `owner` (user id) and `changed` are what the file system knows of whoever wrote it last, None and "" where nothing is there.
    """

    differs: list[str]
    expected: str
    actual: str
    since: str
    owner: int | None = None
    changed: str = ""

    def __str__(self) -> str:
        """The words in which it is kept."""
        whose = "" if self.owner is None else f", of user {self.owner}, written {self.changed}"
        return f"{','.join(self.differs)}: {self.actual} for {self.expected} since {self.since}{whose}"


class Event(Struct):
    """Something that happened on a host and is worth keeping.

    `kind` is `drift`, `contested` (drift that is put right less often), `repaired`, `restored`, `problem` or `recovered`.
    """

    kind: str
    at: str
    fleet: str = ""
    path: str = ""
    text: str = ""
    drift: Difference | None = None


class Batch(Struct):
    """One report. `sequence` grows by one for each new batch, and one that is sent again has the same; `sent_at` is the host's clock.

    `statuses` are of fleets whose status changed since the last acknowledged batch, all of them where `whole`; `gone` are fleets that
    left. `facts` and `problems` are there only where they changed, and where `whole`. `dropped` counts events that had no room while
    offline. A batch with nothing in it is a heartbeat.
    """

    format: int
    sequence: int
    sent_at: str
    version: str = ""
    whole: bool = False
    receipts: list[SignedReceipt] = []
    statuses: list[FleetReport] = []
    gone: list[str] = []
    events: list[Event] = []
    facts: dict[str, object] | None = None
    problems: list[str] | None = None
    dropped: int = 0


class SignedBatch(Struct):
    """A batch for a relay to carry: `batch` is base64 of its canonical bytes, `certificate` the leaf and intermediate in PEM.

    `signature` is base64 of ECDSA over `batch_message`. Whoever carries it can delay it or lose it, and nothing else.
    """

    format: int
    certificate: str
    batch: str
    signature: str


class Acknowledged(Struct):
    """The answer: batches up to `sequence` are kept for good.

    `every` is the seconds until the next report; `report` asks for a whole one. `brief` asks for heartbeats only until an answer is
    without it: outside the windows of reporting, or the day's bytes are used up. A `sequence` above that of the batch means that the
    host lost count: the batch's statuses are not kept, and it goes on above that number with a whole batch.
    """

    format: int
    sequence: int
    every: int
    report: bool = False
    brief: bool = False


def receipt_message(receipt: Receipt) -> bytes:
    """Return what the key of an agent signs of a receipt."""
    return RECEIPT_SIGNED + codec.canonical(receipt)


def batch_message(data: bytes) -> bytes:
    """Return what the key of an agent signs of a batch's canonical bytes."""
    return BATCH_SIGNED + sha256(data).digest()
