"""Bundles: what is approved is signed, is what its commit compiles to, and is what agents are offered."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from securesystemslib.signer import Key

from agent.protocol import bundle, codec, membership
from agent.protocol.errors import MalformedError, OrdainError
from agent.protocol.membership import Member
from reconciler.pipeline.audit import DecisionRecord, record_key
from reconciler.pipeline.compile.world import FleetKey
from reconciler.pipeline.proof.shape import Finding, Misfit, Report, Unproven
from reconciler.pipeline.proof.trees import compiles_to
from reconciler.pipeline.trail.released import published
from reconciler.pipeline.trail.trees import Trees
from reconciler.publication import controls, layout, releases
from reconciler.publication.releases import Approval, Releases
from reconciler.publication.store import Store

ReleaseKeys = Callable[[str], Sequence[Key]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """What bundles are proven by: the store, the keys of tenants, the decisions by number, and what their trees compile to."""

    store: Store
    keys: ReleaseKeys
    records: Mapping[int, DecisionRecord]
    trees: Trees
    first: int = 1
    fleet: FleetKey = ("", "")
    """The fleet that is looked at."""

    @property
    def prefix(self) -> str:
        """Where the fleet's approved files stand."""
        return layout.approved(*self.fleet)

    def get(self, name: str) -> bytes | None:
        """Return an approved file of the fleet."""
        return self.store.get(self.prefix + name)


def check_bundles(shelf: Shelf, report: Report, said: Callable[[str], None]) -> None:
    """Check all that is approved and published, fleet by fleet."""
    for tenant in layout.children(shelf.store, "approved/"):
        report.take("controls", _controls(shelf, tenant))
        for fleet in layout.children(shelf.store, f"approved/{tenant}/"):
            said(f"proving the bundles of {tenant}/{fleet}")
            _check_fleet(replace(shelf, fleet=(tenant, fleet)), report)


def _controls(shelf: Shelf, tenant: str) -> Iterator[Finding]:
    """Yield what is wrong with a tenant's controls: signed by its key, of a decision that there is, about that decision's head."""
    where, keys = layout.controls(tenant), shelf.keys(tenant)
    data = shelf.store.get(where)
    if data is None or not keys:
        why = "they are not in this store" if data is None else f"no key of {tenant}/releases is in the public keys given"
        yield Unproven(what="controls", where=where, why=why)
        return
    try:
        found = controls.read(data, keys, tenant=tenant)
    except OrdainError as error:
        yield Misfit(what="controls", where=where, expected="signed with the tenant's releases key", found=str(error))
        return
    record = shelf.records.get(found.decision)
    if record is None:
        yield Unproven(
            what="controls", where=where, why=f"{record_key(found.decision)}, by which they were written, is not here or does not hold"
        )
    elif record.head != found.head:
        yield Misfit(what="controls", where=where, expected=f"commit {record.head} of decision {record.sequence}", found=found.head)


def _check_fleet(shelf: Shelf, report: Report) -> None:
    listed, held = _roles(shelf, report)
    for path, (role, approval) in sorted(listed.items(), key=lambda item: (item[1][1].decision, item[0])):
        if approval.decision >= shelf.first:
            report.take(_sort(approval), _target(shelf, path, role, approval))
    _strangers(shelf, listed, report)
    _public(shelf, listed, held, report)


def _sort(approval: Approval) -> str:
    return "bundle" if approval.digest is not None else "members document"


Listed = dict[str, tuple[Releases, Approval]]


def _roles(shelf: Shelf, report: Report) -> tuple[Listed, set[int]]:
    """Verify all releases metadata of a fleet; return what any of them lists, as the newest that does says it, and those that hold."""
    found: Listed = {}
    held: set[int] = set()
    for version in layout.versions(shelf.store, shelf.prefix, releases.ROLE):
        read = _role(shelf, version)
        if isinstance(read, Releases):
            report.take("release list", [])
            held.add(version)
            found |= {path: (read, approval) for path, approval in read.approvals.items()}
        else:
            report.take("release list", [read])
    return found, held


def _role(shelf: Shelf, version: int) -> Releases | Finding:
    tenant, fleet = shelf.fleet
    where, keys = f"{shelf.prefix}{version}.{releases.ROLE}.json", shelf.keys(tenant)
    if not keys:
        return Unproven(what="release list", where=where, why=f"no key of {tenant}/releases is in the public keys given")
    try:
        return releases.read(releases.delegating_to(*keys), tenant, fleet, shelf.store.get(where) or b"", version=version)
    except OrdainError as error:
        return Misfit(what="release list", where=where, expected="signed with the tenant's releases key", found=str(error))


def _target(shelf: Shelf, path: str, role: Releases, approval: Approval) -> Iterator[Finding]:
    where, data = shelf.prefix + path, shelf.get(path)
    listed, what = role.signed.targets[path].hashes["sha256"], _sort(approval)
    if data is None:
        if path in _newest(shelf, role):
            yield Misfit(what=what, where=where, expected=f"the file that releases {role.version} lists", found="nothing")
        return
    if codec.sha256(data) != listed:
        yield Misfit(what=what, where=where, expected=f"bytes with SHA-256 {listed}", found=f"SHA-256 {codec.sha256(data)}")
        return
    record = shelf.records.get(approval.decision)
    if record is None:
        yield Unproven(
            what=what, where=where, why=f"{record_key(approval.decision)}, by which it was approved, is not here or does not hold"
        )
    elif record.head != approval.commit:
        yield Misfit(
            what="release list", where=where, expected=f"commit {record.head} of decision {record.sequence}", found=approval.commit
        )
    elif not shelf.trees.has(record.tree):
        yield Unproven(what=what, where=where, why=f"tree {record.tree} is in neither the repository nor the store")
    elif approval.digest is not None:
        yield from _bundle(shelf, data, approval.digest, record, where)
    elif approval.members is not None:
        yield from _members(shelf, data, approval.members, record, where)


def _newest(shelf: Shelf, role: Releases) -> Mapping[str, Approval]:
    """Return what a role lists if it is the newest: what only older ones list may be gone."""
    versions = layout.versions(shelf.store, shelf.prefix, releases.ROLE)
    return role.approvals if versions and versions[-1] == role.version else {}


def _bundle(shelf: Shelf, data: bytes, digest: str, record: DecisionRecord, where: str) -> Iterator[Finding]:
    try:
        bundle.unpack(data, digest=digest)
    except MalformedError as error:
        yield Misfit(what="bundle", where=where, expected=f"a bundle with digest {digest}", found=str(error))
        return
    yield from compiles_to(shelf.trees, record, shelf.fleet, digest, what="bundle", where=where)


def _members(shelf: Shelf, data: bytes, number: int, record: DecisionRecord, where: str) -> Iterator[Finding]:
    try:
        stated = _all_members(shelf, data, number)
        compiled = shelf.trees.compiled(record.tree, shelf.fleet)
    except KeyError:
        yield Misfit(
            what="members document", where=where, expected=f"a fleet {'/'.join(shelf.fleet)} at commit {record.head}", found="none there"
        )
        return
    except OrdainError as error:
        yield Misfit(what="members document", where=where, expected=f"the members at commit {record.head}", found=str(error))
        return
    meant = {**compiled.pools, **compiled.agents}
    wrong = sorted(name for name in meant.keys() | stated.keys() if meant.get(name) != stated.get(name))
    for name in wrong[:1]:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        yield Misfit(
            what="members document",
            where=where,
            expected=f"{name}: {_member(meant.get(name))}{more}",
            found=f"{name}: {_member(stated.get(name))}",
        )


def _all_members(shelf: Shelf, data: bytes, number: int) -> dict[str, Member]:
    name = "/".join(shelf.fleet)
    document = membership.decode(data, fleet=name, sequence=number)
    found = {**document.pools, **document.agents}
    for digest in document.shards.digests.values() if document.shards is not None else ():
        shard = shelf.get(membership.shard_target(digest)) or b""
        found |= membership.decode_shard(shard, fleet=name, digest=digest).agents
    return found


def _member(one: Member | None) -> str:
    return "not a member" if one is None else f"group {one.group}, labels {dict(sorted(one.labels.items()))}"


def _strangers(shelf: Shelf, listed: Listed, report: Report) -> None:
    """Name approved files that no releases metadata lists; a crash leaves such, and nobody is offered them."""
    for key in shelf.store.list(shelf.prefix):
        path = key.removeprefix(shelf.prefix)
        if "/" in path and path not in listed and listed:
            why = "no releases metadata lists it: a crash left it, or it was put there; no host is offered it"
            report.take("bundle", [Unproven(what="file", where=key, why=why)])


def _public(shelf: Shelf, listed: Listed, held: set[int], report: Report) -> None:
    """Check that what agents are offered is what is approved."""
    tenant, fleet = shelf.fleet
    prefix = layout.targets(tenant, fleet)
    for key in shelf.store.list(prefix):
        report.take("public copy", _copy(shelf, key, key.removeprefix(prefix), listed))
    metadata = layout.metadata(tenant, fleet)
    for version in held.intersection(layout.versions(shelf.store, metadata, releases.ROLE)):
        name = f"{version}.{releases.ROLE}.json"
        same = shelf.store.get(metadata + name) == shelf.get(name)
        wrong = Misfit(what="public copy", where=metadata + name, expected=f"the bytes of {shelf.prefix}{name}", found="others")
        report.take("public copy", [] if same else [wrong])
    digests = {approval.digest for _, approval in listed.values()}
    for one in published(shelf.store, f"{tenant}/{fleet}") if listed else ():
        where = f"rollout document {one.serial} of {tenant}/{fleet}"
        named = [one.digest, *([one.document.candidate.digest] if one.document.candidate else [])]
        strange = [digest for digest in named if digest not in digests]
        expected = "a bundle that was approved"
        report.take(
            "rollout document",
            [Misfit(what="rollout document", where=where, expected=expected, found=f"sha256:{digest}") for digest in strange],
        )


def _copy(shelf: Shelf, key: str, path: str, listed: Listed) -> Iterator[Finding]:
    """Yield what is wrong with a published target, whose name begins with its SHA-256."""
    directory, _, name = path.rpartition("/")
    stated, _, rest = name.partition(".")
    data = shelf.store.get(key) or b""
    if codec.sha256(data) != stated:
        yield Misfit(what="public copy", where=key, expected=f"SHA-256 {stated}, as its name says", found=f"SHA-256 {codec.sha256(data)}")
        return
    original = f"{directory}/{rest}"
    if directory == "rollouts":
        return
    if original in listed and listed[original][0].signed.targets[original].hashes["sha256"] == stated:
        return
    if listed:
        yield Misfit(
            what="public copy",
            where=key,
            expected=f"a file that releases metadata lists, as {shelf.prefix}{original}",
            found="one that none lists",
        )
