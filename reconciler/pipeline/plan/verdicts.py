"""What was found before and after: which verdicts are new, gone and unchanged, and on which of them the two judges differ.

Verdicts are the same where rule, object, place by name and value are, wherever the lines around them went: their fingerprint.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from reconciler.pipeline.acceptance import Judges
from reconciler.pipeline.acceptance.judgement import STRICTEST, ask_release, item_of
from reconciler.pipeline.acceptance.proposal import changed_objects
from reconciler.pipeline.compile.references import check
from reconciler.pipeline.finding import Finding, Place, Verdict, as_json
from reconciler.pipeline.manifests import REPOSITORY_FILE, Document
from reconciler.pipeline.plan.shape import JudgeChange, Verdicts
from reconciler.pipeline.plan.sides import Sides
from reconciler.pipeline.policy.evaluate import Policies
from reconciler.pipeline.positions import verdict
from reconciler.pipeline.tree import Tree

VERDICTS_LIMIT = 200
"""Verdicts of each kind in a plan; `ordain check` shows all that stand."""
SECRETIVE = ("Component", "Fleet")
"""Kinds whose values land on hosts."""

Change = Mapping[str, Any]


def before(sides: Sides, judge: Policies | None, change: Change) -> list[Finding]:
    """Return what the base's judge says of the accepted versions of what the change touches; nothing where there is no base."""
    base = sides.proposal.base
    found = [one for path in sides.proposal.touched if path in base.files for one in base.files[path].findings]
    found += check(sides.before, base.tree, since=sides.after, touched=sides.proposal.touched) if base.objects else []
    found += [warning for compiled in sides.old.values() for warning in compiled.warnings]
    if judge is None:
        return found
    objects = changed_objects(sides.proposal)
    names = [name for kind in ("changed", "removed") for name, _ in objects[kind]]
    accepted = [base.objects[name] for name in names if name in base.objects]
    found += judge.objects([item_of(one, base.tree, old=one.value) for one in accepted], change)
    for key, compiled in sorted(sides.old.items()):
        new = sides.new.get(key)
        if new is None or new.digest != compiled.digest or new.agents != compiled.agents or new.pools != compiled.pools:
            found += ask_release(judge, compiled, compiled.release_input(), change)
    return found


def of_secrets(sides: Sides, judges: Judges, change: Change) -> Iterator[tuple[list[Finding], list[Document]]]:
    """Yield for each side what rules find in all documents that the change's fleets are made of there, with those documents.

    Not only in those that it touches: a file that differs by a parameter brings along the lines around it.
    """
    for world, tree, side in ((sides.before, sides.proposal.base.tree, sides.old), (sides.after, sides.proposal.head, sides.new)):
        paths = sorted({path for compiled in side.values() for path in compiled.depends})
        documents = [document for path in paths for document in world.at(path) if document.kind in SECRETIVE]
        items = [item_of(one, tree, old=one.value) for one in documents]
        yield [one for policies in judges.all for one in policies.objects(items, change)], documents


def compared(after: Sequence[Verdict], base: Iterable[Finding], tree: Tree) -> Verdicts:
    """Return the verdicts of a decision against what the base's snapshot (`tree`) had."""
    former = {one.fingerprint: one for one in (verdict(finding, tree.read) for finding in base)}
    kept = [one.standing or one.fingerprint in former for one in after]
    new, unchanged = ([one for one, same in zip(after, kept, strict=True) if same is wanted] for wanted in (False, True))
    gone = [former[one] for one in former.keys() - {one.fingerprint for one in after}]
    return Verdicts(
        new=_limited(map(_plain, new)),
        gone=_limited({**_plain(one), "blocking": False} for one in gone),
        unchanged=_limited(map(_plain, unchanged)),
        more=sum(max(0, len(found) - VERDICTS_LIMIT) for found in (new, gone, unchanged)),
    )


def judges_apart(sides: Sides, judges: Judges, change: Change) -> JudgeChange:
    """Return how the head is judged by the base's judge and by its own; nothing where they are the same or one is missing."""
    refused = tuple(f"{one.place.file}: {one.message}" for one in judges.refused if one.action in ("deny", "error"))
    if judges.own is None or judges.before is None:
        return JudgeChange(changed=bool(refused) and judges.before is not None, loosened=judges.loosened, refused=refused)
    first, own = (_all_of(sides, policies, change) for policies in (judges.before, judges.own))
    base_only, head_only = (_apart(one, other, sides.proposal.head) for one, other in ((first, own), (own, first)))
    return JudgeChange(
        changed=True,
        loosened=judges.loosened,
        refused=refused,
        base_only=_limited(base_only),
        head_only=_limited(head_only),
        more=sum(max(0, len(found) - VERDICTS_LIMIT) for found in (base_only, head_only)),
    )


def _all_of(sides: Sides, policies: Policies, change: Change) -> list[Finding]:
    base = sides.proposal.base
    objects = {document.name: document for document in sides.after.documents() if document.name is not None}
    olds = {name: base.objects[name].value if name in base.objects else None for name in objects}
    found = policies.objects([item_of(one, sides.proposal.head, old=olds[name]) for name, one in objects.items()], change)
    for key, compiled in sorted(sides.new.items()):
        old = sides.old.get(key)
        found += ask_release(policies, compiled, old.release_input() if old is not None else None, change)
    return [*found, *policies.change(change, Place(file=REPOSITORY_FILE))]


def _apart(found: Sequence[Finding], other: Sequence[Finding], tree: Tree) -> list[dict[str, Any]]:
    """Return what only the first of two judges says: the other says nothing there, or does something else about it."""
    said = {(one.rule, one.action, one.object, one.place, one.message) for one in other}
    apart = [one for one in found if (one.rule, one.action, one.object, one.place, one.message) not in said]
    return [_plain(verdict(one, tree.read)) for one in apart]


def _plain(one: Verdict) -> dict[str, Any]:
    return {**as_json(one), "blocking": one.blocking, "fingerprint": one.fingerprint}


def _limited(found: Iterable[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Return verdicts as they are listed: the worst first, then by place, as many as a plan holds."""
    ordered = sorted(
        found, key=lambda one: (not one["blocking"], STRICTEST.index(one["action"]), one["file"], one["line"], one["rule"], one["message"])
    )
    return tuple(ordered[:VERDICTS_LIMIT])
