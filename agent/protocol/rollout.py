"""The rollout document: which release each host of a fleet takes, small at any fleet size.

Agents compute their own place from their signed labels and name, with the same pure function as the
control plane, so no document lists who is in a wave.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from agent.protocol import codec
from agent.protocol.errors import MalformedError
from agent.protocol.state import Struct

FORMAT = 1
BOUND_ALL = 10_000
"""`bound` that admits everybody: slots run from 0 to 9,999."""
HELD_LIMIT = 1000


class Release(Struct):
    """A bundle and a members sequence, approved together."""

    digest: str
    members: int


class Held(Struct):
    """Who stays where they are."""

    selectors: list[dict[str, str]] = []
    names: list[str] = []


class ModeSwitch(Struct):
    """A mode that is on from `start` until `until` (RFC 3339, UTC, `Z`) for those selected."""

    name: str
    start: str
    until: str
    selectors: list[dict[str, str]] = []
    bound: int = BOUND_ALL


class RolloutDocument(Struct):
    """`rollouts/<fleet>.json`; `fleet` is `<tenant>/<fleet>`, times are RFC 3339 in UTC."""

    format: int
    fleet: str
    serial: int
    epoch: int
    attempt: int
    stable: Release | None
    candidate: Release | None
    not_before: str
    selectors: list[dict[str, str]] = []
    bound: int = 0
    held: Held = Held()
    modes: list[ModeSwitch] = []
    tasks: list[str] = []


def target(fleet: str) -> str:
    """Return the TUF target path; `fleet` is the fleet's own name, without tenant."""
    return f"rollouts/{fleet}.json"


def decode(data: bytes, *, fleet: str) -> RolloutDocument:
    """Read the rollout document of this fleet; raise `MalformedError` if it is another."""
    document = codec.decode(data, RolloutDocument, what=f"rollout document of {fleet}")
    if document.format != FORMAT or document.fleet != fleet:
        message = f"rollout document of {fleet}: it is of {document.fleet}, format {document.format}"
        raise MalformedError(message)
    if len(document.held.names) > HELD_LIMIT or not 0 <= document.bound <= BOUND_ALL:
        message = f"rollout document of {fleet}: held names or bound out of range"
        raise MalformedError(message)
    return document


def matches(labels: Mapping[str, str], match_labels: Mapping[str, str]) -> bool:
    """Return whether labels hold all of a selector's; an empty selector matches everybody."""
    return all(labels.get(key) == value for key, value in match_labels.items())


def selected(labels: Mapping[str, str], selectors: Sequence[Mapping[str, str]]) -> bool:
    """Return whether any of the selectors matches; no selector selects nobody."""
    return any(matches(labels, selector) for selector in selectors)


def slot(candidate: str, attempt: int, agent: str) -> int:
    """Return an agent's place, 0 to 9,999, in one attempt of one candidate (its digest)."""
    digest = hashlib.sha256(f"{candidate}:{attempt}\0{agent}".encode()).digest()
    return int.from_bytes(digest[:8], "big") * 10_000 >> 64


def choose(document: RolloutDocument, *, agent: str, labels: Mapping[str, str]) -> Release | None:
    """Return the release that an agent should run; None means: stay with what runs.

    `labels` are the agent's signed ones, of the candidate's members where there is a candidate.
    """
    if agent in document.held.names or selected(labels, document.held.selectors):
        return None
    candidate = document.candidate
    if candidate is None:
        return document.stable
    if selected(labels, document.selectors) or slot(candidate.digest, document.attempt, agent) < document.bound:
        return candidate
    return document.stable


def followed(document: RolloutDocument, limits: Mapping[str, int]) -> tuple[RolloutDocument, tuple[str, ...]]:
    """Return the document with those switches alone that hosts of a bundle follow, and why they follow none of the others.

    `limits` are the modes that the bundle has, and for how many seconds each may be on.
    """
    kept, warnings = [], []
    for switch in document.modes:
        problem = _problem(switch, limits)
        if problem is None:
            kept.append(switch)
        else:
            warnings.append(f"mode {switch.name} is not followed: {problem}")
    return msgspec.structs.replace(document, modes=kept), tuple(warnings)


def mode_due(document: RolloutDocument, *, known: Sequence[str], now: str, agent: str, labels: Mapping[str, str]) -> str | None:
    """Return the mode that an agent should be in at `now`, None for base.

    `known` are the modes of the agent's bundle in rising priority; `now` and the document's times
    compare as text because all of them are `YYYY-MM-DDTHH:MM:SSZ`.
    """
    on = {
        switch.name
        for switch in document.modes
        if switch.start <= now < switch.until
        and (selected(labels, switch.selectors) or slot(switch.name, document.attempt, agent) < switch.bound)
    }
    return next((name for name in reversed(known) if name in on), None)


def _problem(switch: ModeSwitch, limits: Mapping[str, int]) -> str | None:
    if switch.name not in limits:
        return "this release does not have it"
    try:
        asked = (_instant(switch.until) - _instant(switch.start)).total_seconds()
    except ValueError:
        return "its times are not RFC 3339 in UTC"
    return f"it lasts longer than {limits[switch.name]} s" if asked > limits[switch.name] else None


def _instant(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
