"""What manifests say that only a judge, a date or the whole snapshot can tell to be wrong: waivers and overrides that excuse nothing."""

import difflib
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from reconciler.pipeline.acceptance.change import Facts
from reconciler.pipeline.acceptance.judgement import Judges
from reconciler.pipeline.acceptance.proposal import Proposal
from reconciler.pipeline.compile.world import home_of
from reconciler.pipeline.finding import Action, Finding, ObjectName, Pointer
from reconciler.pipeline.manifests import REPOSITORY_FILE, Document
from reconciler.pipeline.policy.levels import pattern
from reconciler.pipeline.policy.metadata import Rule
from reconciler.pipeline.waivers.terms import BREAK_GLASS_HOURS, WAIVER_DAYS, ends
from reconciler.publication.times import instant, stamp


def check_waivers(proposal: Proposal, judges: Judges, facts: Facts) -> Iterator[Finding]:
    """Yield what is wrong with the waivers of a change, by the rules that there are, the decision time and who signed."""
    rules = {name: rule for policies in judges.all for name, rule in policies.judge.rules.items()}
    for document in waivers(proposal):
        rule = document.spec.get("rule")
        if rules and isinstance(rule, str):
            yield from _check_rule(document, rule, rules)
        yield from _check_end(document, instant(facts.now, what="the decision time"))
        if "breakGlass" in document.spec and proposal.base.objects.get(_name(document)) != document:
            yield from _check_signers(document, proposal, facts)


def _check_rule(waiver: Document, rule: str, rules: Mapping[str, Rule]) -> Iterator[Finding]:
    pointer = ("spec", "rule")
    if rule not in rules:
        close = difflib.get_close_matches(rule, sorted(rules), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        message = f"there is no policy rule {rule} whose verdict could be excused{hint}"
        yield _finding(waiver, "manifest/unknown-rule", pointer, message, "`ordain policy list` names all rules")
    elif not rules[rule].waivable:
        message = f"{rule} can't be waived: its METADATA says waivable: false"
        yield _finding(waiver, "manifest/waiver", pointer, message, "mend what it finds; nobody can excuse it")


def _check_end(waiver: Document, now: datetime) -> Iterator[Finding]:
    until, glass = ends(waiver.spec), "breakGlass" in waiver.spec
    if until is None:
        return
    pointer = ("spec", "breakGlass", "until") if glass else ("spec", "expires")
    ended = stamp(until) if glass else str(waiver.spec.get("expires"))
    if until <= now:
        message = f"this waiver ended {'at' if glass else 'on'} {ended}: it excuses nothing any more"
        yield _finding(waiver, "manifest/waiver", pointer, message, "remove it, or write a new one", action="warn")
    elif glass and until > now + timedelta(hours=BREAK_GLASS_HOURS):
        last = stamp(now + timedelta(hours=BREAK_GLASS_HOURS))
        message = f"breaking the glass lasts at most {BREAK_GLASS_HOURS} hours, now until {last}, and this one until {ended}"
        yield _finding(waiver, "manifest/waiver", pointer, message, "choose an earlier time; a waiver with expires may last for days")
    elif not glass and (until - timedelta(days=1)).date() > (last_day := now.date() + timedelta(days=WAIVER_DAYS)):
        message = f"a waiver ends within {WAIVER_DAYS} days, today by {last_day}, and this one on {ended}"
        remedy = "choose an earlier day; what should hold for longer is a level or a parameter in ordain.yaml"
        yield _finding(waiver, "manifest/waiver", pointer, message, remedy)


def _check_signers(waiver: Document, proposal: Proposal, facts: Facts) -> Iterator[Finding]:
    """Yield a finding where not all people who are named have signed a commit of this change that touches the file; a bot is no person."""
    glass = waiver.spec["breakGlass"]
    named = glass.get("approvedBy") if isinstance(glass, dict) else None
    signed = {str(commit["signer"]) for commit in facts.commits if commit.get("signer") and waiver.path in commit.get("paths", ())}
    missing = [name for name in named or () if name not in signed or not _is_person(str(name), proposal)]
    if missing:
        pointer = ("spec", "breakGlass", "approvedBy")
        message = f"breaking the glass takes two people, and {missing[0]}, who is named, is no person who signed one of its commits"
        remedy = "with signatures on, let each of the two sign a commit that touches this file, and push both together"
        yield _finding(waiver, "manifest/waiver", pointer, message, remedy)


def _is_person(signer: str, proposal: Proposal) -> bool:
    tenant, _, name = signer.rpartition("/")
    stated = proposal.base.objects.get(ObjectName(kind="Signer", tenant=tenant, name=name))
    return stated is None or stated.spec.get("role", "person") == "person"


def _name(document: Document) -> ObjectName:
    return document.name or ObjectName(kind="Waiver", tenant="", name="")


def waivers(proposal: Proposal) -> Iterator[Document]:
    """Yield the waivers among the manifests that a change touches."""
    return (document for file in proposal.read.values() for document in file.documents if document.kind == "Waiver")


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
