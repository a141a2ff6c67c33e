"""Waiting for news: an agent names what it has, and the server answers when something of it is newer.

    POST /v1/watch    held for up to `wait` seconds

The answer is a shortcut, never an authority: its files go through the same verification as if each had been fetched. The part of a
fleet is encoded once for all agents that wait for it (`encode_part`), and answers are put together from parts (`encode_answer`).
"""

from collections.abc import Mapping
from typing import Literal

from agent.protocol import codec
from agent.protocol.state import Struct

FORMAT = 1
WAIT_LIMIT = 60
"""Seconds that a request may be held: reports wait behind it on the same connection."""
FLEETS_LIMIT = 64
ANSWER_LIMIT = 8_388_608
"""Bytes of an answer: some kilobytes for each fleet that changed. What is larger is left out, and fetched file by file."""
PART_LIMIT = 524_288
"""Bytes of one fleet's files in an answer."""
_REPORT = b',"report":true}'


class WatchRequest(Struct):
    """What an agent has: fleet → version of its timestamp, 0 for none; `fleets` is its own list as it last heard it.

    `wait` 0 asks for an answer at once. `reported` is the number of its last report, so that a server that lost it can say so.
    `carried` asks for the fleets that the agent carries for others as a relay, in the place of its own.
    """

    format: int
    versions: dict[str, int] = {}
    fleets: list[str] = []
    wait: int = 0
    reported: int = 0
    carried: bool = False


class Leave(Struct):
    """What an agent that is no longer wanted should do with what it manages; the host's own `agent.toml` has the last word on `remove`."""

    what: Literal["keep", "remove"]
    reason: str = ""


class WatchAnswer(Struct):
    """What is newer: fleet → file name below the fleet's repository → its text, as it would be served.

    Names are `metadata/timestamp.json`, `metadata/<N>.snapshot.json`, `metadata/<N>.releases.json`, `metadata/<N>.rollouts.json`,
    `metadata/<N>.root.json`, `metadata/<N>.targets.json` and `targets/rollouts/<sha256>.<fleet>.json`. `fleets` is which fleets the
    agent is in, a hint. `every` is the seconds between reports; `report` asks for a whole report (facts and all statuses) at once.
    `carried` is said by a relay: it takes reports only as `report.SignedBatch`, which it can carry without being believed.
    `brief` asks to keep everything but heartbeats for later: outside the windows of reporting, or the day's bytes are used up.
    """

    format: int
    fleets: list[str]
    every: int
    brief: bool = False
    carried: bool = False
    parts: dict[str, dict[str, str]] = {}
    report: bool = False
    leave: Leave | None = None


def encode_part(fleet: str, files: Mapping[str, str]) -> bytes:
    """Return the bytes of one fleet's part, to be shared by all answers that hold it."""
    return codec.canonical({fleet: dict(files)})[1:-1]


def encode_answer(answer: WatchAnswer, parts: Mapping[str, bytes]) -> bytes:
    """Return the canonical bytes of an answer whose parts were encoded before; `answer.parts` must be empty."""
    plain = codec.canonical(answer)
    if not parts:
        return plain
    end = _REPORT if plain.endswith(_REPORT) else b"}"  # what stands after `parts`, as sorted keys have it
    joined = b",".join(parts[fleet] for fleet in sorted(parts))
    return plain.removesuffix(end) + b',"parts":{' + joined + b"}" + end
