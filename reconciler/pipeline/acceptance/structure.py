"""Refusing what doesn't fit together, until what is left does, and compiling that."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reconciler.pipeline.acceptance.claims import laid_on_newcomers
from reconciler.pipeline.acceptance.proposal import PartialTree, Proposal, closure
from reconciler.pipeline.compile.affected import affected
from reconciler.pipeline.compile.assembly import Assembly
from reconciler.pipeline.compile.compiler import Compiled, CompileRefused, compile_fleet
from reconciler.pipeline.compile.references import check
from reconciler.pipeline.compile.world import FleetKey, World, build
from reconciler.pipeline.finding import Finding
from reconciler.pipeline.manifests import inspect_names, is_manifest
from reconciler.pipeline.tree import Tree

ILLEGIBLE = frozenset({"schema/unknown-field", "schema/required", "schema/type", "schema/const", "schema/kind", "schema/name"})
"""Codes of findings that leave open what their manifest means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """What is left of a change: the world, what was refused and why, and the fleets compiled from it.

    `broken` are fleets that don't compile though no changed file is to blame; `findings` are those of the first
    pass, since later passes only find what follows from refusing.
    """

    world: World
    tree: Tree
    refused: Mapping[str, str]
    compiled: Mapping[FleetKey, Compiled]
    broken: Mapping[FleetKey, str]
    findings: tuple[Finding, ...]


def settle(
    proposal: Proposal, refused: Mapping[str, str], groups: Iterable[frozenset[str]], recompile: frozenset[FleetKey], *, bundle_format: int
) -> Structure:
    """Refuse the changed files that findings across documents name, again and again, until there are none.

    Each pass refuses at least one more file, so it ends. `recompile` are fleets to compile whether touched or not.
    """
    groups = tuple(groups)
    first: tuple[Finding, ...] | None = None
    while True:
        refused = closure(refused, groups)
        accepted = proposal.touched - refused.keys()
        world = proposed_world(proposal, accepted)
        tree = PartialTree(proposal.head, proposal.base.tree, frozenset(refused))
        assembled: dict[FleetKey, Assembly] = {}
        found = _check(proposal, world, tree, touched=accepted, assembled=assembled)
        stopped = _stopped(found)
        hit = affected(proposal.base.world, world, accepted) | recompile
        compiled, more = _compile(world, tree, {key for key in hit if world.fleet(key) and key not in stopped}, bundle_format, assembled)
        found += [*more, *_beside_kept(proposal, tree, refused)]
        if first is None:
            first = tuple(_as_written(proposal, world, tree, found))
        # What is found first is the reason: what is found later often follows from it.
        blamed = {path: one.message for one in reversed(found) if one.action == "deny" for path in _to_blame(proposal, one) & accepted}
        if not blamed:
            return Structure(world=world, tree=tree, refused=refused, compiled=compiled, broken=_stopped(found), findings=first)
        refused = {**refused, **blamed}


def _beside_kept(proposal: Proposal, tree: Tree, refused: Mapping[str, str]) -> list[Finding]:
    """Return what differs only in case from a file that was to be removed and is kept."""
    if proposal.removed.isdisjoint(refused):
        return []
    paths = tree.entries.keys()
    return inspect_names(paths, paths & proposal.touched - refused.keys() - proposal.base.tree.entries.keys())


def _check(
    proposal: Proposal, world: World, tree: Tree, *, touched: frozenset[str], assembled: dict[FleetKey, Assembly] | None = None
) -> list[Finding]:
    before = proposal.base.world
    return laid_on_newcomers(check(world, tree, since=before, touched=touched, assembled=assembled), before, world)


def _to_blame(proposal: Proposal, finding: Finding) -> frozenset[str]:
    """Return the files that a finding names, and those that had what it misses: removing them is what brought it."""
    accepted = proposal.base.objects
    return finding.files | {accepted[name].path for name in finding.missing if name in accepted}


def _as_written(proposal: Proposal, world: World, tree: Tree, found: list[Finding]) -> Iterable[Finding]:
    """Return what is wrong across documents once the files that are refused by themselves are taken as they are.

    What would then be well is left out: their own findings say it. What is wrong within them besides is added, so that
    nobody mends one mistake to be told of the next; but not where a field is missing or misspelt, since much follows from that.
    """
    legal = ((path, file) for path, file in proposal.read.items() if path not in proposal.doubted)
    unfit = {path: file for path, file in legal if file.refused and file.parsed.documents}
    if not unfit or proposal.layout != world.layout:
        return found
    whole = world.replace({path: file.parsed.documents for path, file in unfit.items()})
    taken = _check(proposal, whole, tree, touched=proposal.touched)
    causes = {(one.rule, one.place) for one in taken}
    kept = [one for one in found if one.scope != "across" or (one.rule, one.place) in causes]
    said = {(one.place.file, one.place.document, one.place.pointer) for file in unfit.values() for one in file.findings}
    said |= {(one.place.file, one.place.document, one.place.pointer) for one in kept}
    legible = {path for path, file in unfit.items() if not any(one.code in ILLEGIBLE for one in file.findings)}
    more = (one for one in taken if one.place.file in legible)
    return [*kept, *(one for one in more if (one.place.file, one.place.document, one.place.pointer) not in said)]


def proposed_world(proposal: Proposal, accepted: frozenset[str]) -> World:
    """Return the world as it would be with the change of these paths accepted."""
    if proposal.layout != proposal.base.layout:
        kept = [document for path, file in proposal.base.files.items() if path not in accepted for document in file.documents]
        return build((*kept, *(document for path in accepted for document in proposal.documents(path))), proposal.layout)
    either = [path for path in accepted if is_manifest(path, proposal.layout) or is_manifest(path, proposal.base.layout)]
    return proposal.base.world.replace({path: proposal.documents(path) for path in either})


def _stopped(found: Iterable[Finding]) -> dict[FleetKey, str]:
    stopped: dict[FleetKey, str] = {}
    for finding in found:
        for fleet in finding.fleets if finding.action == "deny" else ():
            tenant, _, name = fleet.partition("/")
            stopped.setdefault((tenant, name), finding.message)
    return stopped


def _compile(
    world: World, tree: Tree, fleets: Iterable[FleetKey], bundle_format: int, assembled: Mapping[FleetKey, Assembly]
) -> tuple[dict[FleetKey, Compiled], list[Finding]]:
    compiled: dict[FleetKey, Compiled] = {}
    found: list[Finding] = []
    for fleet in sorted(fleets):
        try:
            compiled[fleet] = compile_fleet(world, tree, fleet, format=bundle_format, assembly=assembled.get(fleet))
            found += compiled[fleet].warnings
        except CompileRefused as refusal:
            found += refusal.findings
    return compiled, found
