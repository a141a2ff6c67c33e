"""What stands after a decision though it refuses nothing: verdicts on what was accepted before, and waivers.

A decision looks at what changed, so what stands is carried on from one to the next: an entry goes when its object is looked at
again, and comes back where the verdict is still there.
"""

from collections.abc import Iterable

import msgspec

from reconciler.pipeline.acceptance import Decision, Judged
from reconciler.pipeline.accepted import AcceptedState, KnownWaiver, StandingVerdict
from reconciler.pipeline.finding import ObjectName
from reconciler.pipeline.positions import pointer_text
from reconciler.pipeline.waivers import WHOLE, place_in

STANDING_LIMIT = 200
"""Standing verdicts that accepted state lists, which each decision writes; of more, only the number is known. `ordain check` shows all."""


def standing_after(decision: Decision, before: AcceptedState | None, now: str) -> list[StandingVerdict]:
    """Return the standing verdicts after a decision, all of them; those that stood before keep their time."""
    found = [_standing(one, decision, now) for one in decision.judged if _stands(one, decision)]
    earlier = before.standing if before else []
    looked_at = None if decision.asked is None else {str(name) for name in decision.asked}
    there = (one for one in earlier if _named(one.object) in decision.corpus.objects)
    released = {str(name) for name in decision.asked_releases}
    kept = [
        one for one in there if one.file in decision.refused or not _asked(one.object, released if one.scope == "release" else looked_at)
    ]
    known = {_key(one): one.since for one in earlier}
    merged = {_key(one): one for one in (*kept, *found)}
    return [msgspec.structs.replace(one, since=known.get(_key(one), one.since)) for one in sorted(merged.values(), key=_key)]


def waivers_after(decision: Decision, before: AcceptedState | None) -> list[KnownWaiver]:
    """Return the accepted waivers, and whether anything was found to need them when their objects were last looked at."""
    idle = {one.finding.object for one in decision.judged if one.finding.rule == "waivers/unused"}
    used = {one.waived.title for one in decision.judged if one.waived is not None}
    earlier = {one.name: one.unused for one in before.waivers} if before else {}
    return [
        KnownWaiver(
            name=one.title,
            rule=one.rule,
            object=str(one.object),
            owner=one.owner,
            reason=one.reason,
            until=one.until,
            file=one.place.file,
            incident=one.incident,
            unused=one.name in idle or (earlier.get(one.title, False) and one.title not in used),
        )
        for one in sorted(decision.waivers, key=lambda one: (one.until, one.title))
    ]


def _stands(one: Judged, decision: Decision) -> bool:
    return one.standing and one.waived is None and one.finding.action == "deny" and one.finding.place.file not in decision.refused


def _named(text: str) -> ObjectName:
    """Return the object whose name reads so: no kind has a space in it, and no name a slash. To write out all names took 5 µs each."""
    kind, _, rest = text.partition(" ")
    tenant, _, name = rest.rpartition("/")
    return ObjectName(kind=kind, tenant=tenant, name=name)


def _asked(name: str, looked_at: set[str] | None) -> bool:
    return looked_at is None or name in looked_at


def _standing(one: Judged, decision: Decision, now: str) -> StandingVerdict:
    finding = one.finding
    file = decision.corpus.files.get(finding.place.file)
    documents = file.documents if file else ()
    value = next((document.value for document in documents if document.index == finding.place.document), None)
    place = place_in(value, finding.place.pointer) if value is not None else pointer_text(finding.place.pointer)
    return StandingVerdict(
        rule=finding.rule,
        object=str(finding.object or ""),
        file=finding.place.file,
        place=place or WHOLE,
        message=finding.message,
        since=now,
        blocks=one.blocks_standing,
        scope="release" if finding.scope == "release" else "object",
    )


def _key(one: StandingVerdict) -> tuple[str, str, str, str]:
    return one.file, one.object, one.rule, one.place


def shortened(standing: Iterable[StandingVerdict]) -> tuple[list[StandingVerdict], int]:
    """Return as many as accepted state lists, and how many are left out."""
    listed = list(standing)
    return listed[:STANDING_LIMIT], max(0, len(listed) - STANDING_LIMIT)
