"""Applying waivers to what was found: which ones are in force follows from what is accepted, and what is accepted from them.

A waiver counts as any manifest does: once its file is accepted. One that comes with what it excuses counts too, unless its file is
refused, by who signed it or by a rule about waivers; then what it would have excused is refused with it.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from reconciler.pipeline.acceptance.change import Facts
from reconciler.pipeline.acceptance.judgement import Judged, Judges
from reconciler.pipeline.acceptance.proposal import Proposal
from reconciler.pipeline.compile.world import World
from reconciler.pipeline.finding import Finding, ObjectName
from reconciler.pipeline.manifests import Document
from reconciler.pipeline.policy.answers import resolve, shown
from reconciler.pipeline.policy.metadata import Scope
from reconciler.pipeline.waivers import Excused, Found, Waiver, excuse, place_in, read

WAIVER = "waiver"
"""The space of an index in which waivers stand."""
GRANTED = "this waiver is granted by the change that it excuses"
"""How a note begins that says so; who signed it follows."""


def waivers_of(world: World) -> tuple[Waiver, ...]:
    """Return the waivers of a world, whether or not they are in force."""
    found = (read(document) for tenant in world.names for document in world.tenants[tenant].documents(WAIVER))
    return tuple(waiver for waiver in found if waiver is not None)


def excused(
    judged: Sequence[Judged], waivers: Sequence[Waiver], judges: Judges, now: str, document_of: Callable[[Finding], Document | None]
) -> tuple[list[Judged], Excused]:
    """Return what was judged, with the waivers that excuse it and why others don't, and what came of the waivers.

    `document_of` finds the manifest that a finding is placed in.
    """
    about = {(waiver.rule, waiver.object) for waiver in waivers}
    chosen = [number for number, one in enumerate(judged) if (one.finding.rule, one.finding.object) in about]
    found = [as_found(judged[number].finding, judges, document_of(judged[number].finding)) for number in chosen]
    outcome = excuse(found, waivers, now)
    notes: dict[int, list[str]] = {}
    for miss in outcome.near:
        notes.setdefault(id(miss.finding), []).append(f"waiver {miss.waiver.title} does not excuse this: {miss.why}")
    told = list(judged)
    for position, number in enumerate(chosen):
        one = judged[number]
        told[number] = replace(one, waived=outcome.by.get(position), notes=tuple(notes.get(id(one.finding), ())))
    return told, outcome


def as_found(finding: Finding, judges: Judges, document: Document | None) -> Found:
    """Return a finding as waivers see it; `document` is the manifest that it is placed in, None for a file beside one."""
    rules = [policies.judge.rules[finding.rule] for policies in judges.all if finding.rule in policies.judge.rules]
    waivable = bool(rules) and all(rule.waivable for rule in rules)
    if document is None:
        return Found(finding=finding, place=_source(finding), waivable=waivable)
    value = resolve(document.value, finding.place.pointer)
    plain = value is not None and not isinstance(value, dict | list)
    whole = shown(value, sensitive=finding.sensitive) if finding.place.row is not None else ""
    return Found(finding=finding, place=place_in(document.value, finding.place.pointer), waivable=waivable, plain=plain, whole=whole)


def newly_granted(judged: Sequence[Judged], proposal: Proposal, facts: Facts) -> list[Judged]:
    """Return what was judged, noting where a waiver comes with the change that it excuses, and who signed that, as far as is known.

    At a first import nothing is noted: all comes at once, and says nothing about who granted what.
    """
    if not proposal.base.objects:
        return list(judged)
    return [
        _granted(one, proposal, facts) if one.waived is not None and one.waived.place.file in proposal.touched else one for one in judged
    ]


def _granted(one: Judged, proposal: Proposal, facts: Facts) -> Judged:
    waiver = one.waived
    before = proposal.base.objects.get(waiver.name) if waiver else None
    if waiver is None or (before is not None and read(before) == waiver):
        return one
    signers = sorted({str(each["signer"]) for each in facts.commits if each.get("signer") and waiver.place.file in each.get("paths", ())})
    by = f"signed by {', '.join(signers)}" if signers else "and no signature says by whom"
    return replace(one, notes=(*one.notes, f"{GRANTED}, {by}"))


def granted_here(judged: Iterable[Judged]) -> dict[str, str]:
    """Return the waivers that the change itself grants, by title, each with who signed it: what its note says after GRANTED."""
    granted = ((one.waived.title, note) for one in judged if one.waived is not None for note in one.notes if note.startswith(GRANTED))
    return {title: note.removeprefix(f"{GRANTED}, ").removeprefix("and ") for title, note in granted}


def to_judge_again(proposal: Proposal, facts: Facts) -> frozenset[ObjectName]:
    """Return the objects about which a waiver came, changed, went, or ended since the decision before."""
    accepted = waivers_of(proposal.base.world)
    ended = (waiver for waiver in accepted if facts.since is not None and facts.since < waiver.until <= facts.now)
    gone = (waiver for waiver in accepted if waiver.place.file in proposal.touched)
    new = (read(document) for path in proposal.read for document in proposal.documents(path))
    return frozenset(waiver.object for waiver in (*ended, *gone, *new) if waiver is not None)


def unused(outcome: Excused, judges: Judges, asked: Callable[[Scope, ObjectName], bool]) -> Iterator[Judged]:
    """Yield a warning for each waiver that nothing needs; `asked` says whether rules of a scope were asked about an object just now."""
    rules = {name: rule for policies in judges.all for name, rule in policies.judge.rules.items()}
    near = {miss.waiver.title: miss.why for miss in outcome.near}
    for waiver in outcome.unused:
        rule = rules.get(waiver.rule)
        if rule is not None and asked("release" if rule.finished and waiver.object.kind == "Fleet" else rule.scope, waiver.object):
            why = f": {near[waiver.title]}" if waiver.title in near else f": {waiver.rule} finds nothing on {waiver.object}"
            yield Judged(finding=_unused(waiver, why))


def _unused(waiver: Waiver, why: str) -> Finding:
    return Finding(
        action="warn",
        rule="waivers/unused",
        code="waivers/unused",
        message=f"nothing needs this waiver{why}",
        remedy="remove it, or correct its place and value",
        place=replace(waiver.place, pointer=("spec",)),
        object=waiver.name,
    )


def _source(finding: Finding) -> str:
    """Return the place of a finding in a source file, by its path beside the manifest: `sources[files/motd]`."""
    manifest = next((place.file for place in finding.also), "").rpartition("/")[0]
    return f"sources[{finding.place.file.removeprefix(manifest + '/')}]"


def placed(proposal: Proposal, kept: Collection[str] = ()) -> Callable[[Finding], Document | None]:
    """Return what finds the manifest that a finding is placed in: the head's where it was touched and is not `kept` as it was accepted."""

    def find(finding: Finding) -> Document | None:
        path = finding.place.file
        before = proposal.base.files.get(path)
        accepted = before.documents if before else ()
        documents = proposal.documents(path) if path in proposal.read and path not in kept else accepted
        return next((document for document in documents if document.index == finding.place.document), None)

    return find
