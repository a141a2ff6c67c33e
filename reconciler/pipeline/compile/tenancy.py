"""What a tenant may use, held against what there is, and fleets that roles and relays name: found by indexes, so a commit costs little.

Whoever goes over a quota is told: the file that brings too much, or the Tenant where it lowers the bound. What stood before stays.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from agent.protocol import quantity
from agent.protocol.errors import MalformedError
from reconciler.pipeline.compile import manifest
from reconciler.pipeline.compile.findings import across, did_you_mean
from reconciler.pipeline.compile.index import FLEET, MEMBER, ROLE, TENANT, Index, claim_of
from reconciler.pipeline.compile.world import World, home_of
from reconciler.pipeline.finding import Finding
from reconciler.pipeline.manifests import Document

COUNTED = {"agents": MEMBER, "fleets": FLEET}
"""Quotas that bound how many documents of a space there are."""


def quotas(spec: Mapping[str, Any]) -> dict[str, int]:
    """Return the quotas that a Tenant's spec states, quantities as bytes; what it leaves out has no bound."""
    stated = manifest.mapping(spec.get("quotas"))
    found = {name: size(value) if name == "bundleBytes" else value for name, value in stated.items()}
    return {name: value for name, value in found.items() if isinstance(value, int) and value > 0}


def size(text: object) -> int:
    """Return the bytes of a quantity, 0 for what is none."""
    try:
        return quantity.octets(text) if isinstance(text, str) else 0
    except MalformedError:
        return 0


def quota(index: Index, tenant: str, name: str) -> int:
    """Return a tenant's quota, 0 where there is no bound."""
    stated = index.get(TENANT, tenant)
    return quotas(stated.spec).get(name, 0) if stated is not None else 0


def check_quotas(world: World, since: World | None, touched: Collection[str]) -> Iterator[Finding]:
    """Yield a finding for each quota that is exceeded by what the touched files bring, or by a Tenant that lowers it.

    Without `since` everything is new.
    """
    homes = {home_of(path, world.layout) for path in touched}
    for tenant in (name for name in world.names if since is None or name in homes):
        before = since.tenant(tenant) if since is not None else Index()
        paths = world.tenant(tenant).files.keys() if since is None else touched
        for name in COUNTED:
            yield from _check_quota(tenant, name, before, world.tenant(tenant), paths)


def _check_quota(tenant: str, name: str, before: Index, index: Index, paths: Collection[str]) -> Iterator[Finding]:
    space = COUNTED[name]
    most = quota(index, tenant, name)
    there = _count(index, space)
    if not most or there <= most:
        return
    grown = [(one, more) for one in _documents(index, paths, space) if (more := _weight(one) - _weight_before(before, one)) > 0]
    left, over = most - there + sum(more for _, more in grown), []
    for document, more in sorted(grown, key=lambda one: (one[0].path, one[0].index)):
        left -= more
        over += [document] if left < 0 else []
    if over:
        pointer = ("spec", "maximum") if over[0].kind == "AgentPool" else ("metadata", "name")
        message = f"tenant {tenant} may have {most:,} {name}, and with this there would be {there:,}"
        remedy = f"leave it out, remove others, or have quotas.{name} of the tenant raised by whoever may"
        yield across("quota", over[0], pointer, message, remedy=remedy, also=over[1:])
        return
    stated = index.get(TENANT, tenant)
    if stated is not None and stated.path in paths and _lowered(most, before.get(TENANT, tenant), name):
        message = f"spec.quotas.{name}: tenant {tenant} has {there:,} {name} already"
        yield across("quota", stated, ("spec", "quotas", name), message, remedy="remove some of them first, or leave the quota as it is")


def _documents(index: Index, paths: Collection[str], space: str) -> Iterator[Document]:
    return (document for path in paths for document in index.files.get(path, ()) if claim_of(document)[0] == space)


def _count(index: Index, space: str) -> int:
    """Return how many there are of a space; a pool counts as its maximum."""
    members = index.of(space)
    pools = index.kinds.get("AgentPool", ()) if space == MEMBER else ()
    return len(members) + sum(_weight(members[name][0]) - 1 for name in pools)


def _weight(document: Document | None) -> int:
    if document is None:
        return 0
    maximum = document.spec.get("maximum") if document.kind == "AgentPool" else 1
    return maximum if isinstance(maximum, int) else 1


def _weight_before(before: Index, document: Document) -> int:
    return _weight(before.get(*claim_of(document)))


def _lowered(most: int, before: Document | None, name: str) -> bool:
    """Return whether a quota is less than it was; having had none, or no Tenant, it was more."""
    old = quotas(before.spec).get(name, 0) if before is not None else 0
    return old == 0 or most < old


def check_fleets(world: World) -> Iterator[Finding]:
    """Yield warnings for roles and relays that name a fleet that there is not: it may be misspelt, or gone."""
    for tenant in world.names:
        index = world.tenant(tenant)
        for role in index.documents(ROLE):
            yield from _unknown(index, role, ("spec", "fleets"), "this role is for nothing there")
        for fleet in index.relays.keys() - index.of(FLEET).keys():
            for name in sorted(index.relays[fleet]):
                relay = index.get(MEMBER, name)
                if relay is not None:
                    yield from _unknown(index, relay, ("spec", "relay", "fleets"), "it relays nothing of it", only=fleet)


def _unknown(index: Index, document: Document, pointer: tuple[str, ...], so: str, *, only: str = "") -> Iterator[Finding]:
    stated: Any = document.value
    for part in pointer:
        stated = manifest.mapping(stated).get(part)
    for position, name in enumerate(manifest.sequence(stated)):
        if isinstance(name, str) and index.get(FLEET, name) is None and only in ("", name):
            tenant = document.name.tenant if document.name is not None else ""
            message = f"there is no fleet {name} in tenant {tenant}, so {so}; {did_you_mean(name, index.of(FLEET))}"
            remedy = "correct the name, or remove it"
            yield across("unknown-fleet", document, (*pointer, position), message, remedy=remedy, action="warn")
