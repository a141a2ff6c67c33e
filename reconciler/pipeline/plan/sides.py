"""Both sides of a change, as far as it reaches: what its fleets were compiled to, and what they would be if all of it went through.

A decision keeps refused files as they were accepted. People who look at a plan want to see what they wrote, refused or not, so here
the head is taken as it is wherever it can be read; what does not compile is said to. A file that can't be read counts as it was
accepted: what it holds is not deleted. So does a refused one that takes the name of another: it stops nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.pipeline.acceptance import Corpus, Decision, Released
from reconciler.pipeline.acceptance.appointment import stated_format
from reconciler.pipeline.acceptance.proposal import PartialTree, Proposal
from reconciler.pipeline.acceptance.structure import proposed_world
from reconciler.pipeline.compile.affected import affected
from reconciler.pipeline.compile.compiler import Compiled, CompileRefused, compile_fleet
from reconciler.pipeline.compile.findings import named
from reconciler.pipeline.compile.world import FleetKey, World
from reconciler.pipeline.manifests import Layout, is_manifest
from reconciler.pipeline.tree import Difference, Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """The worlds before and after, and what the fleets that the change reaches compile to in each.

    `fleets` are all that it reaches, removed ones and those that a refused file holds up too. One that is in neither of `old` and
    `new` compiles on neither side; `failed` says why one does not compile after the change.
    """

    proposal: Proposal
    before: World
    after: World
    fleets: tuple[FleetKey, ...]
    old: Mapping[FleetKey, Compiled]
    new: Mapping[FleetKey, Compiled]
    failed: Mapping[FleetKey, str]


def both_sides(
    base: Corpus, head: Tree, changed: Difference, decision: Decision, released: Released, *, layout: Layout, bundle_format: int
) -> Sides:
    """Compile what the decision did not: of the base what `released` leaves out, of the head what was refused or held up.

    `released` has what the change itself concerns. A fleet may be held up by a refusal besides, and then it is no new one.
    """
    touched = changed.touched if layout == base.layout else frozenset(base.tree.entries.keys() | head.entries.keys())
    removed = frozenset(touched - head.entries.keys())
    proposal = Proposal(base=base, head=head, layout=layout, touched=touched, removed=removed, read=decision.read, findings=())
    unread = frozenset(path for path in touched - removed if _unread(proposal, path))
    after = proposed_world(proposal, touched - unread)
    if copies := _refused_copies(after, decision):
        unread |= copies
        after = proposed_world(proposal, touched - unread)
    tree = PartialTree(head, base.tree, unread)
    reached = affected(base.world, after, touched - unread) | decision.frozen.keys()
    known = {key for key in reached if key in decision.compiled and key not in decision.frozen} if not decision.refused else set()
    old = {key: one for key in sorted(reached) if (one := released.compiled.get(key) or _compiled_before(base, key)) is not None}
    new: dict[FleetKey, Compiled] = {key: decision.compiled[key] for key in known}
    failed: dict[FleetKey, str] = {}
    for key in sorted(reached - known):
        if after.fleet(key) is None:
            continue
        try:
            new[key] = compile_fleet(after, tree, key, format=bundle_format)
        except CompileRefused as refusal:
            failed[key] = named([f"{finding.place.file}: {finding.message}" for finding in refusal.findings], apart="; ")
    return Sides(
        proposal=proposal,
        before=base.world,
        after=after,
        fleets=tuple(sorted(key for key in reached if base.world.fleet(key) or after.fleet(key))),
        old=old,
        new=new,
        failed=failed,
    )


def _compiled_before(base: Corpus, key: FleetKey) -> Compiled | None:
    """Return what a fleet of the base is compiled to, None where there is none or it does not compile."""
    if base.world.fleet(key) is None:
        return None
    try:
        return compile_fleet(base.world, base.tree, key, format=stated_format(base.repository))
    except CompileRefused:
        return None


def _refused_copies(after: World, decision: Decision) -> frozenset[str]:
    """Return the refused files that take a name which a file that is not refused has: the other one stands, whatever came beside it."""
    claims = [index.of(space)[name] for index in after.tenants.values() for space, name in index.duplicates]
    standing = [found for found in claims if any(one.path not in decision.refused for one in found)]
    return frozenset(one.path for found in standing for one in found if one.path in decision.refused)


def _unread(proposal: Proposal, path: str) -> bool:
    """Return whether a file of the head is a manifest file that can't be read, or that its schema refuses."""
    file = proposal.read.get(path)
    return file.refused if file is not None else is_manifest(path, proposal.layout)
