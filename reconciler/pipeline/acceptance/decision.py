"""The decision on one change, step by step: read, fit together, judge, refuse, compile, release.

OPA is asked about objects while the rest is compiled, where none of its rules needs to know what that brings.

What a finding refuses depends on its scope: of a manifest or an object, the file; across documents, the changed files that
it names; of a change, all of them; of a release, only that fleet's new release.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from reconciler.pipeline.acceptance.change import Facts, change_input
from reconciler.pipeline.acceptance.claims import claimed_elsewhere
from reconciler.pipeline.acceptance.corpus import Corpus, ManifestFile, Reader, by_name, read_file
from reconciler.pipeline.acceptance.excusing import to_judge_again
from reconciler.pipeline.acceptance.judgement import Judged, Judges, judge_change, judge_objects, once
from reconciler.pipeline.acceptance.mentions import check_overrides, check_waivers, waivers
from reconciler.pipeline.acceptance.owners import check_owners
from reconciler.pipeline.acceptance.proposal import Proposal, companions, concerned, propose
from reconciler.pipeline.acceptance.structure import Structure, settle
from reconciler.pipeline.acceptance.upholding import Case, Upheld, judge_releases, left_over, uphold
from reconciler.pipeline.compile.affected import affected
from reconciler.pipeline.compile.compiler import Compiled
from reconciler.pipeline.compile.index import FLEET
from reconciler.pipeline.compile.world import FleetKey, World
from reconciler.pipeline.finding import Finding, ObjectName
from reconciler.pipeline.layers import derived
from reconciler.pipeline.manifests import Layout, is_judge, is_manifest
from reconciler.pipeline.tree import Difference, Tree
from reconciler.pipeline.waivers import Waiver, next_instant

WORTH_A_THREAD = 100
"""Changed manifests from which on OPA is asked beside compiling: for fewer, to start a thread takes longer than it saves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What stands released before a decision: fleets compiled from accepted state, and those that stand still, with the reason."""

    compiled: Mapping[FleetKey, Compiled] = field(default_factory=dict)
    frozen: Mapping[FleetKey, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What came of a change.

    `corpus` is the accepted state after it, `refused` the files that keep their accepted version, `releases` the fleets
    whose release is new, `frozen` those that stand still, each with its reason. `judged` is everything that was found,
    `change` what rules saw of the change, `read` what its head has where they differ.
    """

    corpus: Corpus
    refused: Mapping[str, str]
    judged: tuple[Judged, ...]
    compiled: Mapping[FleetKey, Compiled]
    releases: tuple[FleetKey, ...]
    frozen: Mapping[FleetKey, str]
    new_judge: bool
    change: Mapping[str, Any] = field(default_factory=dict)
    read: Mapping[str, ManifestFile] = field(default_factory=dict)
    dated: bool = False
    """Whether another day may change what was found, whatever the rules read."""
    waivers: tuple[Waiver, ...] = ()
    """The waivers that are accepted after it, in force or ended; those that excuse something stand in `judged`."""
    asked: frozenset[ObjectName] | None = None
    """The objects that object rules were asked about, None for all that there are."""
    asked_releases: frozenset[ObjectName] = frozenset()
    """The fleets that release rules were asked about."""
    wake_at: str = ""
    """The next instant at which time alone changes what is found: empty where it changes nothing."""

    @property
    def manifests(self) -> int:
        """How many manifests there are that could be read; all of them are counted, so it is for people to ask."""
        return sum(len(file.parsed.documents) for file in {**self.corpus.files, **self.read}.values())

    @property
    def accepted(self) -> bool:
        """Whether nothing at all was refused or left unjudged."""
        return not any(one.blocking for one in self.judged)


def decide(
    base: Corpus,
    head: Tree,
    difference: Difference,
    *,
    layout: Layout,
    judges: Judges,
    facts: Facts,
    released: Released | None = None,
    bundle_format: int = 1,
    read: Reader = read_file,
) -> Decision:
    """Decide on the change from `base` to `head`; `difference` says where they differ, `layout` how the head is read.

    `read` reads its manifest files.
    """
    released, judges = released or Released(), judges.on(facts.now)
    doubted = frozenset(one.place.file for one in facts.signatures if one.action in ("deny", "error"))
    proposal = propose(base, head, difference, layout, doubted=doubted, read=read)
    groups = companions(proposal)
    before = (*facts.signatures, *check_owners(proposal))
    mentions = (*before, *check_waivers(proposal, judges, facts), *check_overrides(proposal))
    dated = judges.changes_between(facts.since, facts.now)
    again = frozenset(base.objects) if dated else to_judge_again(proposal, facts)

    def settled(refused: Mapping[str, str]) -> Structure:
        return settle(proposal, refused, groups, frozenset(released.frozen), bundle_format=bundle_format)

    case = Case(proposal=proposal, judges=judges, facts=facts, settle=settled)
    with ThreadPoolExecutor(1, thread_name_prefix="objects") as aside:
        beside = len(proposal.read) >= WORTH_A_THREAD and not judges.objects_need_change
        early = aside.submit(judge_objects, proposal, judges, {}, again) if beside else None
        structure = settled(_refused_by_reading(proposal, judges, mentions))
        change = change_input(facts, proposal, structure.compiled, released.compiled, judges.loosened)
        objects = early.result() if early else judge_objects(proposal, judges, change, again)
    whole = judge_change(judges, change) if proposal.touched else []
    upheld = uphold(case, structure, objects, whole)
    read_or_joined = (*(Judged(finding=one) for one in (*judges.refused, *proposal.findings, *mentions, *structure.findings)), *whole)
    return _decision(case, upheld, released, change, found=read_or_joined, again=again)


def _decision(
    case: Case, upheld: Upheld, released: Released, change: Mapping[str, Any], *, found: Iterable[Judged], again: frozenset[ObjectName]
) -> Decision:
    """Judge the releases that follow from what is left of a change, and put together what came of all of it."""
    proposal, settled = case.proposal, upheld.settled
    frozen = {**_held_up(proposal, settled), **settled.broken}
    candidates = [
        key for key in sorted(settled.compiled) if key not in frozen and _is_new(settled.compiled[key], released.compiled.get(key))
    ]
    releases = judge_releases(
        case, upheld, {key: settled.compiled[key] for key in candidates}, released.compiled, change=change, again=again
    )
    frozen |= releases.denied
    asked = {*again, *(document.name for file in proposal.read.values() for document in file.documents if document.name)}
    idle = left_over(case, upheld, releases, asked)
    return Decision(
        corpus=accepted_corpus(proposal, settled),
        refused=settled.refused,
        judged=tuple(once((*found, *upheld.objects, *idle, *(one for judged in releases.found.values() for one in judged)))),
        compiled=_kept(released.compiled, proposal.base.world, settled.world)
        | {key: one for key, one in settled.compiled.items() if key not in frozen},
        releases=tuple(key for key in candidates if key not in releases.denied),
        frozen=frozen,
        new_judge=case.judges.own is not None and not any(proposal.is_judge(path) for path in settled.refused),
        read=proposal.read,
        dated=bool(upheld.waivers) or any(True for _ in waivers(proposal)),
        change=change,
        waivers=upheld.waivers,
        asked=None if case.judges.own is not None else frozenset(asked),
        asked_releases=releases.fleets,
        wake_at=_wake_at(case, upheld),
    )


def _wake_at(case: Case, upheld: Upheld) -> str:
    """Return the next instant at which a waiver ends, or time brings other findings of the judges that there were."""
    now = case.facts.now
    instants = (next_instant(upheld.waivers, now), *(policies.judge.next_instant(now) for policies in case.judges.all))
    return min((instant for instant in instants if instant), default="")


def _kept(compiled: Mapping[FleetKey, Compiled], before: World, after: World) -> dict[FleetKey, Compiled]:
    """Return the releases of fleets that there still are; a tenant whose Fleet manifests are untouched has all of its."""
    there = {tenant: index.of(FLEET) for tenant, index in after.tenants.items()}
    if all(index.of(FLEET) is there.get(tenant) for tenant, index in before.tenants.items()):
        return dict(compiled)
    return {key: one for key, one in compiled.items() if key[1] in there.get(key[0], ())}


def _refused_by_reading(proposal: Proposal, judges: Judges, mentions: Iterable[Finding]) -> dict[str, str]:
    against = [one for one in (*proposal.findings, *mentions) if one.action in ("deny", "error")]
    refused = {path: one.message for one in reversed(against) for path in concerned(one, proposal.touched)}
    if not judges.all:
        reason = judges.refused[0].message if judges.refused else "there is no judge"
        return dict.fromkeys(proposal.touched, f"nothing can be judged: {reason}") | refused
    if judges.refused:
        refused |= {path: judges.refused[0].message for path in proposal.touched if proposal.is_judge(path)}
    return refused


def _held_up(proposal: Proposal, settled: Structure) -> dict[FleetKey, str]:
    """Return the fleets that depend on a refused file, by either version of it, with the file and the reason.

    None depends on what takes a name that another file has: there the other one stands.
    """
    held: dict[FleetKey, str] = {}
    for path, reason in sorted(settled.refused.items()):
        if is_judge(path, proposal.layout):
            continue
        for world in (proposal.base.world, settled.world):  # a fleet that is new depends on what came with it
            wished = world.replace({path: [one for one in proposal.documents(path) if not claimed_elsewhere(world, one)]})
            for key in affected(world, wished, {path}):
                if settled.world.fleet(key):
                    held.setdefault(key, f"{path} is refused: {reason}")
    return held


def _is_new(new: Compiled, old: Compiled | None) -> bool:
    return old is None or old.digest != new.digest or old.agents != new.agents or old.pools != new.pools


def accepted_corpus(proposal: Proposal, settled: Structure) -> Corpus:
    """Return the accepted state after a change of which `settled` is left."""
    accepted = proposal.touched - settled.refused.keys()
    read = {path: proposal.read[path] for path in sorted(accepted) if path in proposal.read}
    files = derived(proposal.base.files, read, accepted - read.keys())
    before = (document for path in accepted if (file := proposal.base.files.get(path)) for document in file.documents)
    now = by_name(document for file in read.values() for document in file.documents)
    gone = {one.name for one in before if one.name is not None and proposal.base.objects.get(one.name) is one} - now.keys()
    objects = derived(proposal.base.objects, now, gone)
    layout = proposal.base.layout if any(proposal.is_judge(path) for path in settled.refused) else proposal.layout
    files = {path: file for path, file in files.items() if is_manifest(path, layout)} if layout != proposal.base.layout else files
    return Corpus(tree=settled.tree, layout=layout, files=files, objects=objects, world=settled.world)
