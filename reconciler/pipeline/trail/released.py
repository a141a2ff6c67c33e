"""A release in time: which decision brought it, and when `serve` published it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agent.protocol import rollout
from agent.protocol.errors import MalformedError
from reconciler.pipeline.audit import RecordedVerdict, RecordedWaiver
from reconciler.pipeline.trail.decided import Decided
from reconciler.publication import layout
from reconciler.publication.store import Store

LOOKED_AT = 10_000
"""Rollout documents of one fleet that are read to find when a release was published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is known of a release: the decision that brought it (None: none that is known), and when it was published (empty: unknown).

    `signed` is whether a verified record says so; otherwise it is what a note says. `verdicts` and `waivers` are those of the decision
    that are about the files in question.
    """

    decision: Decided | None
    published: str = ""
    serial: int = 0
    signed: bool = False
    verdicts: tuple[RecordedVerdict, ...] = ()
    waivers: tuple[RecordedWaiver, ...] = ()


def told(
    decisions: Sequence[Decided], store: Store | None, fleet: str, digest: str, *, files: Iterable[str] = (), objects: Iterable[str] = ()
) -> Told:
    """Return what is known of a fleet's release; verdicts are those on `files`, and on `objects` (`Fleet shop/web`)."""
    found = next((one for one in reversed(decisions) if one.releases.get(fleet) == digest), None)
    published, serial = _published(store, fleet, digest) if store is not None else ("", 0)
    if found is None or found.record is None:
        return Told(decision=found, published=published, serial=serial)
    listed, about = set(files), set(objects)
    verdicts = tuple(one for one in found.record.verdicts if one.file in listed or _named(one) in about)
    excused = {one.waived for one in verdicts}
    waivers = tuple(one for one in found.record.waivers if f"{one.tenant}/{one.name}" in excused)
    return Told(decision=found, published=published, serial=serial, signed=True, verdicts=verdicts, waivers=waivers)


def _named(verdict: RecordedVerdict) -> str:
    named = verdict.object
    return f"{named.kind} {named.tenant + '/' if named.tenant else ''}{named.name}" if named is not None else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A rollout document that stands published, as it says itself: nobody here can verify what the control zone's keys signed."""

    serial: int
    at: str
    digest: str


def published(store: Store, fleet: str) -> list[Published]:
    """Return the rollout documents of a fleet, `tenant/name`, in order of their serials; damaged ones are passed over."""
    tenant, _, name = fleet.partition("/")
    found = []
    for key in _first(store.list(layout.targets(tenant, name) + "rollouts/")):
        data = store.get(key)
        try:
            document = rollout.decode(data, fleet=fleet) if data is not None else None
        except MalformedError:
            continue
        if document is not None and document.stable is not None:
            found.append(Published(serial=document.serial, at=document.not_before, digest=document.stable.digest))
    return sorted(found, key=lambda one: one.serial)


def _first(keys: Iterable[str]) -> list[str]:
    return [key for _, key in zip(range(LOOKED_AT), keys, strict=False)]


def _published(store: Store, fleet: str, digest: str) -> tuple[str, int]:
    """Return when a release became the stable one the last time, and by which serial."""
    since, before = ("", 0), ""
    for one in published(store, fleet):
        if one.digest == digest != before:
            since = one.at, one.serial
        before = one.digest
    return since
