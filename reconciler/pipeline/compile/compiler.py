"""From a fleet to its bundle: one finished state for each group and mode, the same bytes for the same inputs anywhere.

What reaches no host is not in it: no commit, no strategy, no members, no names of components.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from agent.protocol import bundle, codec
from agent.protocol.errors import InputError, RefusedError
from agent.protocol.membership import Member
from reconciler.pipeline.compile import manifest
from reconciler.pipeline.compile.affected import depends_of
from reconciler.pipeline.compile.assembly import Assembly, assemble
from reconciler.pipeline.compile.filled import Filled
from reconciler.pipeline.compile.findings import across, named
from reconciler.pipeline.compile.groups import Group
from reconciler.pipeline.compile.index import TENANT
from reconciler.pipeline.compile.provenance import Provenance
from reconciler.pipeline.compile.states import Builder, Misshapen
from reconciler.pipeline.compile.tenancy import quota
from reconciler.pipeline.compile.world import FleetKey, World
from reconciler.pipeline.finding import Finding, ObjectName, Place, Pointer
from reconciler.pipeline.manifests import Document
from reconciler.pipeline.tree import Tree

FORMATS = (bundle.FORMAT,)
"""Formats of bundles that can be written; `ordain.yaml` pins one."""
_SMALLER = "refer to fewer labels, deliver large files as artifacts, or divide the fleet"


class CompileRefused(RefusedError):  # noqa: N818 - it is said of the fleet: refused
    """A fleet that can't be compiled: `findings` holds all the reasons, none of them a warning."""

    def __init__(self, fleet: str, findings: Sequence[Finding]) -> None:
        reasons = [f"{finding.place.file}: {finding.message}" for finding in findings]
        super().__init__(f"fleet {fleet} can't be compiled: {named(reasons)}; `ordain check` shows all of it")
        self.fleet = fleet
        self.findings = list(findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A compiled fleet. `fleet` is `<tenant>/<fleet>`; `data` is the canonical `data.json`, `digest` its SHA-256."""

    fleet: str
    bundle: bundle.Bundle
    data: bytes
    digest: str
    pools: Mapping[str, Member]
    """Pools of the fleet by name; `labels` are all of theirs, so that selectors of waves can be evaluated on a host."""
    agents: Mapping[str, Member]
    """Agents of the fleet by name, likewise."""
    depends: frozenset[str]
    """Files whose change can change any of this."""
    warnings: tuple[Finding, ...]
    """What was noted and keeps nothing from being compiled."""
    document: Document
    maximum: Mapping[str, int]
    """How many agents each pool may have."""
    provenance: Provenance
    filled: Sequence[Filled] = ()
    """The items of its states that labels or parameters were filled into, once for each set of values."""

    @property
    def object(self) -> ObjectName:
        """Which manifest it was compiled from."""
        tenant, _, name = self.fleet.partition("/")
        return ObjectName(kind="Fleet", tenant=tenant, name=name)

    @property
    def place(self) -> Place:
        """The place of the Fleet manifest."""
        return self.document.place()

    def origin(self, pointer: Pointer) -> Place:
        """Return where in the manifests a value of `release_input()["release"]` comes from.

        Never fails: what has no place of its own is the Fleet manifest's.
        """
        return self.provenance.origin(pointer)

    def release_input(self) -> dict[str, Any]:
        """Return what release rules are asked about, in plain values.

        `{"fleet": <the Fleet manifest>, "release": {"groups": {g: {"base": state, "modes": [{name, atMost, state}]}}},
        "members": [{"name", "labels", "group", "pool": bool, "maximum": only of pools}]}`, members in order of name.
        Fields of a state that hold their default are left out, as on the wire.
        """
        groups = {name: msgspec.to_builtins(group) for name, group in self.bundle.groups.items()}
        for group in groups.values():
            group.setdefault("modes", [])
        return {"fleet": self.document.value, "release": {"groups": groups}, "members": self.members_input()}

    def members_input(self) -> list[dict[str, Any]]:
        """Return the members alone, as `release_input` has them."""
        return [self._member(name, pool=name in self.pools) for name in sorted({*self.pools, *self.agents})]

    def _member(self, name: str, *, pool: bool) -> dict[str, Any]:
        member = self.pools[name] if pool else self.agents[name]
        plain = {"name": name, "labels": dict(member.labels), "group": member.group, "pool": pool}
        return {**plain, "maximum": self.maximum[name]} if pool else plain


def compile_fleet(
    world: World,
    tree: Tree,
    fleet: FleetKey,
    *,
    format: int = bundle.FORMAT,  # noqa: A002 - the word of ordain.yaml
    assembly: Assembly | None = None,
) -> Compiled:
    """Compile one fleet; `assembly` is what `assemble` said of it, if that was asked already.

    Raises:
        CompileRefused: with all findings at once.
        InputError: a format that this version can't write.
        KeyError: there is no such fleet.
    """
    if format not in FORMATS:
        message = f"bundles of format {format} can't be written by this version; set spec.format in ordain.yaml to one of {FORMATS}"
        raise InputError(message)
    assembly = assembly or assemble(world, tree, fleet)
    name = "/".join(fleet)
    if assembly.denied:
        raise CompileRefused(name, assembly.denied)
    builder = Builder(assembly, tree)
    groups = _build(builder, assembly, name)
    made = bundle.Bundle(format=format, fleet=name, groups=groups)
    data = bundle.encode(made)
    if not bundle.fits(data):
        raise CompileRefused(name, [_too_large(assembly, len(data))])
    most = quota(world.tenant(fleet[0]), fleet[0], "bundleBytes")
    if 0 < most < len(data):
        raise CompileRefused(name, [_over_quota(assembly, len(data), most, world.tenant(fleet[0]).get(TENANT, fleet[0]))])
    pools, agents = _members(assembly)
    return Compiled(
        fleet=name,
        bundle=made,
        data=data,
        digest=codec.sha256(data),
        pools=pools,
        agents=agents,
        depends=depends_of(world, fleet),
        warnings=tuple(finding for finding in assembly.findings if finding.action != "deny"),
        document=assembly.fleet,
        maximum={pool: _maximum(assembly.membership.documents[pool]) for pool in pools},
        provenance=Provenance(fleet=assembly.fleet, parts=assembly.parts),
        filled=builder.filled,
    )


def _build(builder: Builder, assembly: Assembly, name: str) -> dict[str, bundle.Group]:
    modes = manifest.modes(assembly.fleet)
    try:
        return {
            group.name: bundle.Group(
                base=builder.state(group, None),
                modes=[bundle.Mode(name=mode.name, at_most=mode.at_most, state=builder.state(group, mode)) for mode in modes],
            )
            for group in assembly.membership.groups.values()
        }
    except Misshapen as error:
        part = error.part
        finding = across("shape", part.document, part.pointer, str(error), remedy=error.remedy, also=[assembly.fleet], fleets=[name])
        raise CompileRefused(name, [finding]) from error


def _members(assembly: Assembly) -> tuple[dict[str, Member], dict[str, Member]]:
    pools: dict[str, Member] = {}
    agents: dict[str, Member] = {}
    for group in assembly.membership.groups.values():
        _enter(assembly, group, pools, agents)
    return pools, agents


def _enter(assembly: Assembly, group: Group, pools: dict[str, Member], agents: dict[str, Member]) -> None:
    for name in group.members:
        document = assembly.membership.documents[name]
        member = Member(group=group.name, labels=manifest.labels(document))
        if document.kind == "AgentPool":
            pools[name] = member
        else:
            agents[name] = member


def _maximum(pool: Document) -> int:
    stated = pool.spec.get("maximum")
    return stated if isinstance(stated, int) else 0


def _too_large(assembly: Assembly, size: int) -> Finding:
    limits = f"{bundle.DATA_LIMIT}, or more than {bundle.COMPRESSED_LIMIT} when compressed"
    message = f"the fleet's bundle is too large: {size} bytes in {len(assembly.membership.groups)} groups, more than {limits}"
    fleets = ["/".join(assembly.key)]
    also = _made_of(assembly)
    return across("bundle-size", assembly.fleet, ("spec", "components"), message, remedy=_SMALLER, also=also, fleets=fleets)


def _over_quota(assembly: Assembly, size: int, most: int, tenant: Document | None) -> Finding:
    message = f"the fleet's bundle has {size:,} bytes, and one of tenant {assembly.key[0]} may have {most:,}"
    remedy = f"{_SMALLER}; or have quotas.bundleBytes of the tenant raised by whoever may"
    also = (*_made_of(assembly), *([tenant] if tenant is not None else []))
    fleets = ["/".join(assembly.key)]
    return across("quota", assembly.fleet, ("spec", "components"), message, remedy=remedy, also=also, fleets=fleets)


def _made_of(assembly: Assembly) -> tuple[Document, ...]:
    return (*(instance.document for instance in assembly.instances.values()), *assembly.membership.documents.values())
