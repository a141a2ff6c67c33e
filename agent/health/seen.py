"""How probes stood last, on disk, for whoever asks without an agent."""

from collections.abc import Sequence
from typing import Literal

from agent.disk import Disk, read_optional
from agent.protocol import codec, durable
from agent.protocol.state import Struct

Verdict = Literal["unknown", "holds", "failed"]


class Seen(Struct):
    """How a probe stands since when (RFC 3339): `unknown` until it held, or failed often enough. `why` is what it said as it failed."""

    name: str
    verdict: Verdict
    why: str = ""
    since: str = ""


class Probes(Struct):
    """The probes of what a fleet holds, as they stood last."""

    probes: list[Seen] = []


def read_probes(disk: Disk, fleet: str) -> list[Seen]:
    """Return how the probes of a fleet stood last."""
    return (read_optional(disk.fleet(fleet) / "probes.json", Probes) or Probes()).probes


def write_probes(disk: Disk, fleet: str, probes: Sequence[Seen]) -> None:
    """Keep how they stand now."""
    durable.replace(disk.fleet(fleet) / "probes.json", codec.canonical(Probes(probes=list(probes))), mode=0o600, lasting=False)
