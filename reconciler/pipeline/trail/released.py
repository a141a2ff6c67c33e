"""A release in time: which decision brought it, and when `serve` published it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from agent.protocol import rollout
from agent.protocol.errors import MalformedError
from agent.protocol.rollout import RolloutDocument
from reconciler.pipeline.audit import DecisionRecord, RecordedVerdict, RecordedWaiver
from reconciler.pipeline.trail.decided import Decided
from reconciler.publication import layout
from reconciler.publication.store import Store

LOOKED_AT = 10_000
"""Rollout documents of one fleet that are read to find when a release was published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """That a release went out to some hosts first: since when, by which serial, and until when (empty: it still does).

    Whoever becomes stable for everybody is offered no longer, and is published.
    """

    since: str
    serial: int
    until: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is known of a release: the decision that brought it (None: none that is known), and when it was published (empty: unknown).

    `offered` is the last rollout of it that reached somebody, None for none.
    `signed` is whether a verified record says so; otherwise it is what a note says. `verdicts` and `waivers` are those about the files
    in question: of this decision, and of earlier ones that judged a file as it still is.
    """

    decision: Decided | None
    published: str = ""
    serial: int = 0
    offered: Offered | None = None
    signed: bool = False
    verdicts: tuple[RecordedVerdict, ...] = ()
    waivers: tuple[RecordedWaiver, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What verdicts are asked for: those on `files`, and on `objects` (`Fleet shop/web`); `blob` finds a file of a tree, None for none."""

    files: frozenset[str] = frozenset()
    objects: frozenset[str] = frozenset()
    blob: Callable[[str, str], str | None] = lambda _tree, _file: None


def told(decisions: Sequence[Decided], store: Store | None, fleet: str, digest: str, about: About) -> Told:
    """Return what is known of a fleet's release, with the verdicts that are asked for."""
    found = next((one for one in reversed(decisions) if one.releases.get(fleet) == digest), None)
    documents = published(store, fleet) if store is not None else []
    since, serial = _published(documents, digest)
    before = Told(decision=found, published=since, serial=serial, offered=_offered(documents, digest))
    if found is None or found.record is None:
        return before
    earlier = [one.record for one in decisions if one.record is not None and one.sequence < found.sequence]
    kept = list(_standing(found.record, earlier[::-1], about))
    verdicts = tuple(verdict for _, verdict in kept)
    excused = {(record.sequence, verdict.waived) for record, verdict in kept}
    known = {record.sequence: record for record, _ in kept}.values()
    waivers = tuple(one for record in known for one in record.waivers if (record.sequence, f"{one.tenant}/{one.name}") in excused)
    return replace(before, signed=True, verdicts=verdicts, waivers=waivers)


def _standing(record: DecisionRecord, earlier: Iterable[DecisionRecord], about: About) -> Iterator[tuple[DecisionRecord, RecordedVerdict]]:
    """Yield the verdicts of a decision, then those of earlier ones on files that it did not judge, each with its record.

    A file is judged when it changes, so what was said of it last still holds: by the same judge, and of the same content. What was
    said of a fleet then was about an older release of it.
    """
    own = [one for one in record.verdicts if one.file in about.files or _named(one) in about.objects]
    yield from ((record, one) for one in own)
    left = about.files - {one.file for one in own}
    for before in earlier:
        if not left or before.judge != record.judge:
            return
        said = [one for one in before.verdicts if one.file in left and one.file not in before.refused and not _of_fleet(one)]
        same = {file for file in {one.file for one in said} if about.blob(before.tree, file) == about.blob(record.tree, file) is not None}
        yield from ((before, one) for one in said if one.file in same)
        left -= {one.file for one in said}


def _of_fleet(verdict: RecordedVerdict) -> bool:
    return verdict.object is not None and verdict.object.kind == "Fleet"


def _named(verdict: RecordedVerdict) -> str:
    named = verdict.object
    return f"{named.kind} {named.tenant + '/' if named.tenant else ''}{named.name}" if named is not None else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A rollout document that stands published, as it says itself: nobody here can verify what the control zone's keys signed.

    `digest` is that of the stable release; hosts that a wave admitted have the candidate's: see `taken`.
    """

    serial: int
    at: str
    digest: str
    document: RolloutDocument


def taken(offered: Sequence[Published], *, agent: str, labels: Mapping[str, str]) -> list[str]:
    """Return the digest that each of these documents gave a host, as the host itself decides; who is held stays where it was."""
    found: list[str] = []
    for one in offered:
        chosen = rollout.choose(one.document, agent=agent, labels=labels)
        found.append(chosen.digest if chosen else found[-1] if found else one.digest)
    return found


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
            at = document.not_before
            found.append(Published(serial=document.serial, at=at, digest=document.stable.digest, document=document))
    return sorted(found, key=lambda one: one.serial)


def _first(keys: Iterable[str]) -> list[str]:
    return [key for _, key in zip(range(LOOKED_AT), keys, strict=False)]


def _offered(documents: Iterable[Published], digest: str) -> Offered | None:
    """Return the last time that a release was one for some hosts."""
    found: Offered | None = None
    for one in documents:
        candidate = one.document.candidate
        is_offered = candidate is not None and candidate.digest == digest
        if is_offered and (found is None or found.until):
            found = Offered(since=one.at, serial=one.serial)
        elif not is_offered and found is not None and not found.until:
            found = replace(found, until=one.at)
    return found


def _published(documents: Iterable[Published], digest: str) -> tuple[str, int]:
    """Return when a release became the stable one the last time, and by which serial."""
    since, before = ("", 0), ""
    for one in documents:
        if one.digest == digest != before:
            since = one.at, one.serial
        before = one.digest
    return since
