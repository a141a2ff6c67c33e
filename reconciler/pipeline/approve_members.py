"""The members part of an approval: the document and its shards, stored before anything lists them."""

from collections.abc import Iterator, Mapping

import msgspec

from agent.protocol import codec, faults, membership
from agent.protocol.errors import MalformedError, RetryError
from agent.protocol.membership import Member, Members
from reconciler.pipeline.listing import Standing
from reconciler.publication import layout
from reconciler.publication.releases import fleet_name
from reconciler.publication.store import Store

TRIES = 100
"""Taken numbers to step over: each crash between a members document and the releases that list it leaves one."""


def same_members(standing: Standing, name: str, pools: Mapping[str, Member], agents: Mapping[str, Member]) -> int | None:
    """Return the number of the desired members if they are these, None if they are not; `name` is `<tenant>/<fleet>`."""
    if not standing.members:
        return None
    number = standing.members[-1].members or 0
    document, _ = membership.split(name, number, dict(pools), dict(agents))
    listed = standing.targets[membership.target(number)].hashes["sha256"]
    return number if listed == codec.sha256(codec.canonical(document)) else None


def store_members(
    store: Store, *, tenant: str, fleet: str, after: int, pools: Mapping[str, Member], agents: Mapping[str, Member]
) -> tuple[int, dict[str, bytes]]:
    """Store members under the next number; return it and all files by target path, the document first.

    Numbers that a crash left with other members are stepped over: nothing lists them.

    Raises:
        MalformedError: a shard's file holds other bytes than its name says.
        RetryError: no number is free.
    """
    name = fleet_name(tenant, fleet)
    document, shards = membership.split(name, after + 1, dict(pools), dict(agents))
    number, data = _store_document(store, tenant, fleet, document)
    faults.reached("approve:after-members")
    files = {membership.target(number): data}
    for digest, shard in shards.items():
        path = membership.shard_target(digest)
        key = layout.approved(tenant, fleet, path)
        if not store.create(key, shard) and store.get(key) != shard:
            message = f"{key}: holds other bytes than its name says; restore or remove it"
            raise MalformedError(message)
        files[path] = shard
    faults.reached("approve:after-shards")
    return number, files


def is_additive(store: Store, *, tenant: str, fleet: str, last: int, pools: Mapping[str, Member], agents: Mapping[str, Member]) -> bool:
    """Return whether nobody who is a member before and after moves to another group; no if members `last` were lost."""
    if not last:
        return True
    name = fleet_name(tenant, fleet)
    data = store.get(layout.approved(tenant, fleet, membership.target(last)))
    if data is None:
        return False
    before = membership.decode(data, fleet=name, sequence=last)
    try:
        moved = any(agents[agent].group != member.group for agent, member in _agents(store, tenant, fleet, before) if agent in agents)
    except MalformedError:
        return False
    return not moved and all(pools[pool].group == member.group for pool, member in before.pools.items() if pool in pools)


def _store_document(store: Store, tenant: str, fleet: str, document: Members) -> tuple[int, bytes]:
    for number in range(document.sequence, document.sequence + TRIES):
        data = codec.canonical(msgspec.structs.replace(document, sequence=number))
        key = layout.approved(tenant, fleet, membership.target(number))
        if store.create(key, data) or store.get(key) == data:
            return number, data
    message = (
        f"{layout.approved(tenant, fleet, membership.target(document.sequence))}: it and the next {TRIES} are taken; see who writes there"
    )
    raise RetryError(message)


def _agents(store: Store, tenant: str, fleet: str, members: Members) -> Iterator[tuple[str, Member]]:
    yield from members.agents.items()
    for digest in members.shards.digests.values() if members.shards else ():
        data = store.get(layout.approved(tenant, fleet, membership.shard_target(digest))) or b""
        yield from membership.decode_shard(data, fleet=fleet_name(tenant, fleet), digest=digest).agents.items()
