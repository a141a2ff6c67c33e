"""What manifests say that only a judge, a date or the whole snapshot can tell to be wrong: waivers and overrides that excuse nothing."""

import difflib
from collections.abc import Iterator
from datetime import date, datetime, timedelta

from reconciler.pipeline.acceptance.judgement import Judges
from reconciler.pipeline.acceptance.proposal import Proposal
from reconciler.pipeline.compile.world import home_of
from reconciler.pipeline.finding import Action, Finding, Pointer
from reconciler.pipeline.manifests import REPOSITORY_FILE, Document
from reconciler.pipeline.policy.levels import pattern

WAIVER_DAYS = 90
"""The farthest day on which a waiver may end: what should hold for longer is a change of the rule."""


def check_waivers(proposal: Proposal, judges: Judges, now: str) -> Iterator[Finding]:
    """Yield what is wrong with the waivers of a change, by the rules that there are and the decision time."""
    known = sorted({rule for policies in judges.all for rule in policies.judge.rules})
    for waiver in waivers(proposal):
        rule = waiver.spec.get("rule")
        if known and isinstance(rule, str) and rule not in known:
            close = difflib.get_close_matches(rule, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            message = f"there is no policy rule {rule} whose verdict could be excused{hint}"
            yield _finding(waiver, "manifest/unknown-rule", ("spec", "rule"), message, "`ordain policy list` names all rules")
        yield from _check_date(waiver, datetime.fromisoformat(now).date())


def check_effect(proposal: Proposal) -> Iterator[Finding]:
    """Yield a warning for each waiver and freeze of a change: they are checked, and nothing acts on them yet."""
    for file in proposal.read.values():
        for document in file.documents:
            if document.kind in ("Waiver", "Freeze"):
                what = "this waiver excuses nothing" if document.kind == "Waiver" else "this freeze stops nothing"
                message = f"{what} yet: this version of ordain reads and checks it, and does not act on it"
                remedy = "don't count on it until a version of ordain brings it"
                yield _finding(document, "manifest/not-in-effect", ("kind",), message, remedy, action="warn")


def waivers(proposal: Proposal) -> Iterator[Document]:
    """Yield the waivers among the manifests that a change touches."""
    return (document for file in proposal.read.values() for document in file.documents if document.kind == "Waiver")


def _check_date(waiver: Document, today: date) -> Iterator[Finding]:
    try:
        expires = date.fromisoformat(str(waiver.spec.get("expires")))
    except ValueError:
        return
    last = today + timedelta(days=WAIVER_DAYS)
    pointer = ("spec", "expires")
    if expires > last:
        message = f"a waiver ends within {WAIVER_DAYS} days, today by {last}, and this one on {expires}"
        remedy = "choose an earlier day; what should hold for longer is a level or a parameter in ordain.yaml"
        yield _finding(waiver, "manifest/waiver", pointer, message, remedy)
    elif expires < today:
        message = f"this waiver ended on {expires}: it excuses nothing any more"
        yield _finding(waiver, "manifest/waiver", pointer, message, "remove it, or give it a later day", action="warn")


def check_overrides(proposal: Proposal) -> Iterator[Finding]:
    """Yield a warning for each path and tenant in the overrides of a changed `ordain.yaml` that matches nothing in the head."""
    documents = [document for document in proposal.documents(REPOSITORY_FILE) if document.spec.get("overrides")]
    paths = proposal.head.entries.keys() if documents else ()
    tenants = {home_of(path, proposal.layout) for path in paths}
    for document in documents:
        for index, override in enumerate(document.spec.get("overrides", ())):
            for position, glob in enumerate(override.get("paths", ())):
                matches = pattern(glob).fullmatch
                if not any(map(matches, paths)):
                    yield _unused(document, ("spec", "overrides", index, "paths", position), f"no file matches {glob}")
            for position, tenant in enumerate(override.get("tenants", ())):
                if tenant not in tenants:
                    yield _unused(document, ("spec", "overrides", index, "tenants", position), f"there is no tenant {tenant}")


def _unused(document: Document, pointer: Pointer, message: str) -> Finding:
    remedy = "correct it, or leave it out; paths begin at the root: * stays within a directory, ** does not"
    return _finding(document, "manifest/unused-override", pointer, f"{message}, so this override changes nothing", remedy, action="warn")


def _finding(document: Document, rule: str, pointer: Pointer, message: str, remedy: str, *, action: Action = "deny") -> Finding:
    return Finding(
        action=action, rule=rule, code=rule, message=message, remedy=remedy, place=document.place(*pointer), object=document.name
    )
