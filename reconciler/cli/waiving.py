"""Which finding is to be waived, and the manifest that does it: a new one, or the one that is there with its comments kept."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agent.protocol.errors import InputError, RefusedError
from reconciler.cli.judging import Opened
from reconciler.manifest_edit import Edit, edited
from reconciler.pipeline.acceptance import Judged
from reconciler.pipeline.acceptance.excusing import as_found
from reconciler.pipeline.finding import Finding
from reconciler.pipeline.manifests import Document, Layout, parse_file
from reconciler.pipeline.positions import find
from reconciler.pipeline.tree import Tree
from reconciler.pipeline.validation import validate
from reconciler.pipeline.waivers import Found, excuse, read
from reconciler.pipeline.waivers.writing import Granted, name_for, text_for, value_for
from reconciler.printable import printable

SHOWN = 10
"""Findings that are named where several fit, or none does: a screenful."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which finding: by a line of a file, or by its rule and object as `ordain check` prints them."""

    file: str = ""
    line: int = 0
    rule: str = ""
    object: str = ""

    def fits(self, finding: Finding, line: int) -> bool:
        """Return whether a finding, which stands on `line`, is meant."""
        if self.file:
            return (finding.place.file, line) == (self.file, self.line) and self.rule in ("", finding.rule)
        return finding.rule == self.rule and self.object in (str(finding.object), str(finding.object).partition(" ")[2])


def chosen(wanted: Wanted, state: Opened, tree: Tree) -> Found:
    """Return the one finding that is meant, as waivers see it.

    Raises:
        InputError: there is none, or more than one.
        RefusedError: it can't be waived.
    """
    decision = state.judgement.decision
    lines = [(one, _line(one.finding, tree)) for one in decision.judged]
    fitting = [one for one, line in lines if wanted.fits(one.finding, line)]
    if not fitting:
        raise InputError("\n".join(["there is no such finding now; `ordain check` shows those that there are:", *_listed(lines)]))
    open_ones = [one for one in fitting if one.waived is None] or fitting  # those that are waived may get a later end
    if len({one.finding.rule for one in open_ones}) > 1 or (len(open_ones) > 1 and not wanted.file):
        raise InputError(
            "\n".join(["several findings fit; name one by FILE:LINE, and --rule where it takes that:", *_listed(lines, open_ones)])
        )
    finding = open_ones[0].finding
    found = as_found(finding, state.judges, _document(finding, state))
    _require_waivable(found)
    return found


def _listed(lines: Iterable[tuple[Judged, int]], only: Iterable[Judged] = ()) -> Iterator[str]:
    chosen = [id(one) for one in only]
    named = [(one, line) for one, line in lines if not chosen or id(one) in chosen]
    for one, line in named[:SHOWN]:
        yield f"  {printable(one.finding.place.file)}:{line} {one.finding.rule} {one.finding.object or ''}".rstrip()
    if len(named) > SHOWN:
        yield f"  … and {len(named) - SHOWN} more"


def _require_waivable(found: Found) -> None:
    finding = found.finding
    why = ""
    if finding.action == "error":
        why = "what could not be judged can't be excused; see what is wrong with the rule"
    elif not found.waivable:
        why = "mend what it finds: no waiver excuses it"
    elif finding.object is None or not finding.object.tenant:
        why = "only findings on an object of a tenant can be waived; for others set the rule in ordain.yaml"
    elif finding.object.kind in ("Waiver", "Signer", "Role", "Task"):
        why = f"findings on a {finding.object.kind} can't be waived"
    if why:
        message = f"{finding.rule} at {finding.place.file} can't be waived: {why}"
        raise RefusedError(message)


def _line(finding: Finding, tree: Tree) -> int:
    try:
        return find(tree.read(finding.place.file), finding.place).line
    except KeyError:
        return 1


def _document(finding: Finding, state: Opened) -> Document | None:
    decision = state.judgement.decision
    file = decision.read.get(finding.place.file) or state.base.files.get(finding.place.file)
    return next((one for one in file.documents if one.index == finding.place.document), None) if file else None


def manifest_of(found: Found, granted: Granted, state: Opened, tree: Tree) -> tuple[str, bytes]:
    """Return the file and content of a waiver: the one that is there for this place, changed, or a new one.

    One that excuses another line of the same text stays as it is.

    Raises:
        InputError: the one that is there can't be edited without changing more than it should.
    """
    about = found.finding.object
    tenant = about.tenant if about is not None else ""
    documents = [one for file in {**state.base.files, **state.judgement.decision.read}.values() for one in file.documents]
    waivers = [(one, waiver) for one in documents if one.path in tree.entries and (waiver := read(one)) is not None]
    judged = state.judgement.decision.judged
    mine = {one.waived.title for one in judged if one.waived and one.finding == found.finding}
    others = {one.waived.title for one in judged if one.waived} - mine
    for document, waiver in waivers:
        if (waiver.rule, waiver.object, waiver.at) == (found.finding.rule, about, found.place) and not (
            waiver.incident or granted.incident or waiver.title in others
        ):
            return document.path, edited(tree.read(document.path), _edits(document, found, granted), path=document.path)
    taken = {waiver.name.name for _, waiver in waivers if waiver.name.tenant == tenant}
    name = name_for(found.finding.rule, about, taken) if about is not None else ""
    return f"{state.layout.tenants}/{tenant}/waivers/{name}.yaml", text_for(found, granted, name).encode()


def _edits(document: Document, found: Found, granted: Granted) -> list[Edit]:
    wanted = {"value": value_for(found), "reason": granted.reason, "owner": granted.owner, "expires": granted.until}
    return [
        Edit(document=document.index, pointer=("spec", name), value=value, after=("at",))
        for name, value in wanted.items()
        if value is not None and document.spec.get(name) != value
    ]


def check(file: str, text: bytes, found: Found, *, layout: Layout, now: str) -> None:
    """Raise `InputError` for what would not do: a waiver must be valid, and excuse this finding."""
    parsed = parse_file(file, text)
    wrong = [*parsed.findings, *(one for document in parsed.documents for one in validate(document, layout))]
    waivers = [waiver for document in parsed.documents if (waiver := read(document)) is not None]
    outcome = excuse([found], waivers, now)
    if wrong or not outcome.by:
        why = wrong[0].message if wrong else "; ".join(miss.why for miss in outcome.near)
        message = f"{file}: {why}; nothing was written"
        raise InputError(message)
