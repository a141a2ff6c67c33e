"""Asking the judges about a change: the one that was accepted before it, and its own.

A verdict that the accepted version had just so (same rule, object, place and value) is standing: shown and counted, and
blocking only where its rule says `standing: block`. So a tightened rule never blocks an unrelated fix.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

from reconciler.pipeline.acceptance.corpus import Corpus
from reconciler.pipeline.acceptance.finished import ask_finished
from reconciler.pipeline.acceptance.proposal import Proposal, changed_objects, source_texts, with_touched_sources
from reconciler.pipeline.compile.compiler import Compiled
from reconciler.pipeline.finding import Finding, ObjectName, Place, Pointer, blocks
from reconciler.pipeline.manifests import REPOSITORY_FILE, Document
from reconciler.pipeline.policy.evaluate import ObjectItem, Policies
from reconciler.pipeline.tree import Tree
from reconciler.pipeline.waivers import Waiver, place_in

Key = tuple[str, str, str, str]
"""What makes two verdicts the same: rule, object, place by name, value."""
STRICTEST = ("error", "deny", "warn", "audit")
"""Actions, the strictest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judges:
    """Who judges a change. `before` is None at the first import; `own` is None where the change leaves the judge alone.

    `refused` says why the change's own judge can't be used; `loosened` in words what it would no longer refuse.
    """

    before: Policies | None
    own: Policies | None = None
    refused: tuple[Finding, ...] = ()
    loosened: tuple[str, ...] = ()

    def on(self, now: str) -> "Judges":
        """Return them at the time of the decision: levels may depend on the day."""
        return replace(self, before=self.before.on(now) if self.before else None, own=self.own.on(now) if self.own else None)

    def changes_between(self, since: str | None, now: str) -> bool:
        """Return whether time alone may have brought other findings since the decision before."""
        return since is not None and self.before is not None and self.before.judge.changes_between(since, now)

    @property
    def all(self) -> tuple[Policies, ...]:
        """Both, without those that there are not."""
        return tuple(policies for policies in (self.before, self.own) if policies is not None)

    @property
    def objects_need_change(self) -> bool:
        """Whether a rule about objects may look at the change as a whole, and so must wait until that is known."""
        judges = (policies.judge for policies in self.all)
        return any(
            rule.scope == "object" and rule.reads_change and judge.levels.anywhere(rule.id)
            for judge in judges
            for rule in judge.rules.values()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A finding, whether it stood before, the waiver that excuses it, and why waivers that nearly fit don't (`notes`)."""

    finding: Finding
    standing: bool = False
    blocks_standing: bool = False
    waived: Waiver | None = None
    notes: tuple[str, ...] = ()

    @property
    def blocking(self) -> bool:
        """Whether it refuses something: an error always, a deny unless it is waived or merely standing."""
        return self.waived is None and blocks(self.finding.action, standing=self.standing, blocks_standing=self.blocks_standing)


def judge_objects(
    proposal: Proposal, judges: Judges, change: Mapping[str, Any], again: AbstractSet[ObjectName] = frozenset()
) -> list[Judged]:
    """Return what the object rules say of each object that changed, of those to judge `again` and, of a new judge, of all others too."""
    objects = changed_objects(proposal)
    changed = {**with_touched_sources(proposal), **dict((*objects["added"], *objects["changed"]))}
    items = [item_of(document, proposal.head, old=_accepted(proposal.base, name)) for name, document in changed.items()]
    found: list[Judged] = []
    for policies in judges.all:
        verdicts = policies.objects(items, change)
        keys = _accepted_keys(policies, verdicts, proposal.base, change)
        found += [
            _judged(policies, one, standing=one.object is not None and key_of(one, changed[one.object].value) in keys) for one in verdicts
        ]
    newest = judges.own or judges.before
    if newest is not None and (again or judges.own is not None):
        gone = changed.keys() | dict(objects["removed"]).keys()
        base = proposal.base
        names = base.objects.keys() if judges.own is not None else again & base.objects.keys()
        rest = [item_of(base.objects[name], base.tree, old=base.objects[name].value) for name in names if name not in gone]
        found += [_judged(newest, one, standing=one.action != "error") for one in newest.objects(rest, change)]
    return once(found)


def _accepted_keys(policies: Policies, verdicts: Iterable[Finding], base: Corpus, change: Mapping[str, Any]) -> set[Key]:
    """Return the verdicts that the accepted versions of denied objects have: asked only for those."""
    denied = {one.object for one in verdicts if one.action == "deny" and one.object in base.objects}
    before = [base.objects[name] for name in denied if name is not None]
    if not before:
        return set()
    found = policies.objects([item_of(document, base.tree, old=document.value) for document in before], change)
    return {key_of(one, base.objects[one.object].value) for one in found if one.object is not None}


def judge_change(judges: Judges, change: Mapping[str, Any]) -> list[Judged]:
    """Return what the change rules say; they are never standing, since each change is a new one."""
    place = Place(file=REPOSITORY_FILE)
    return once(_judged(policies, one, standing=False) for policies in judges.all for one in policies.change(change, place))


def judge_release(judges: Judges, new: Compiled, old: Compiled | None, change: Mapping[str, Any]) -> list[Judged]:
    """Return what the release rules say of one fleet's new release."""
    found: list[Judged] = []
    before = old.release_input() if old else None
    for policies in judges.all:
        verdicts = ask_release(policies, new, before, change)
        denied = any(one.action == "deny" for one in verdicts)
        keys = {_release_key(policies, one) for one in ask_release(policies, old, before, change)} if old and denied else set()
        found += [_judged(policies, one, standing=_release_key(policies, one) in keys) for one in verdicts]
    return once(found)


def ask_release(policies: Policies, compiled: Compiled, old: Mapping[str, Any] | None, change: Mapping[str, Any]) -> list[Finding]:
    """Return what one judge's rules say of a compiled fleet; `old` is the input of the release that is accepted.

    These are the release rules, and those about components that want to see finished states.
    """
    found = policies.release(
        compiled.release_input(),
        old=old,
        change=change,
        fleet=compiled.fleet,
        place_of=lambda pointer: _origin(compiled, pointer),
        object=compiled.object,
    )
    return [*found, *ask_finished(policies, compiled, change)]


def _origin(compiled: Compiled, pointer: Pointer) -> Place:
    """Return where in the manifests a value of a release rule's input comes from."""
    root, rest = pointer[:1], pointer[1:]
    if root == ("release",):
        return compiled.origin(rest)
    return replace(compiled.place, pointer=rest) if root == ("fleet",) else compiled.place


def item_of(document: Document, tree: Tree, *, old: Mapping[str, Any] | None) -> ObjectItem:
    """Return what object rules are asked about: a manifest of a snapshot, and its accepted version."""
    return ObjectItem(document=document, old=old, sources=source_texts(document, tree))


def _accepted(base: Corpus, name: ObjectName | None) -> Mapping[str, Any] | None:
    document = base.objects.get(name) if name else None
    return document.value if document else None


def _judged(policies: Policies, finding: Finding, *, standing: bool) -> Judged:
    rule = policies.judge.rules.get(finding.rule)
    tenant = finding.object.tenant if finding.object else ""
    blocks = rule is not None and policies.judge.setting(finding.rule, finding.place.file, tenant).standing == "block"
    return Judged(finding=finding, standing=standing, blocks_standing=blocks)


def key_of(finding: Finding, value: Mapping[str, Any]) -> Key:
    """Return what makes a verdict the same in another version; `value` is the manifest that it is about, empty for a release."""
    return finding.rule, str(finding.object), place_in(value, finding.place.pointer), finding.value


def _release_key(policies: Policies, finding: Finding) -> Key:
    """Return `key_of` a release's finding; one about a finished text is known by file, message and text, wherever that moves to."""
    rule = policies.judge.rules.get(finding.rule)
    if rule is None or not rule.finished:
        return key_of(finding, {})
    return finding.rule, finding.place.file, finding.message, finding.value


def once(found: Iterable[Judged]) -> list[Judged]:
    """Leave out what both judges say of the same place; where one blocks and the other doesn't, or is milder, the stricter one stays."""
    kept: dict[tuple[object, ...], Judged] = {}
    for one in found:
        finding = one.finding
        key = (finding.rule, finding.object, finding.place, finding.message, finding.value)
        if key not in kept or _strictness(one) > _strictness(kept[key]):
            kept[key] = one
    return list(kept.values())


def _strictness(one: Judged) -> tuple[bool, int]:
    return one.blocking, -STRICTEST.index(one.finding.action)
