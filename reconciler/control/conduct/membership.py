"""Who a release is for, one host at a time: agents by name as its signed members list them, and of pools the hosts that enrolled."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from sqlalchemy import Connection, select

from agent.protocol import membership
from agent.protocol.membership import Members
from reconciler.control.registry import schema
from reconciler.publication import layout
from reconciler.publication.releases import Releases
from reconciler.publication.store import Store
from reconciler.rollouts.waves import Member

KEPT = 256
"""Members documents that are remembered: one for each fleet whose rollout is under way."""
LIVE = ("enrolled", "quarantined")


class Roll:
    """Reads who a fleet's members are; documents never change under their sequence, so each is read once."""

    def __init__(self, store: Store) -> None:
        """`store` is where approved members stand."""
        self._store = store
        self._read = lru_cache(maxsize=KEPT)(self._listed)

    def members(self, connection: Connection, releases: Releases, tenant: str, fleet: str, sequence: int) -> Sequence[Member]:
        """Return the hosts of a members sequence, sorted by name; raises `MalformedError` where the store lacks what is approved."""
        named, pools = self._read(tenant, fleet, sequence, _hash(releases, sequence))
        enrolled = list(_enrolled(connection, tenant, pools)) if pools else []
        return sorted((*named, *enrolled), key=lambda one: one.name) if enrolled else named

    def _listed(self, tenant: str, fleet: str, sequence: int, sha256: str) -> tuple[tuple[Member, ...], dict[str, dict[str, str]]]:
        _ = sha256  # part of what is remembered: after a restore a sequence may be given out again
        name = f"{tenant}/{fleet}"
        document = membership.decode(self._get(tenant, fleet, membership.target(sequence)), fleet=name, sequence=sequence)
        named = tuple(sorted(self._agents(tenant, fleet, document), key=lambda one: one.name))
        return named, {pool: dict(member.labels) for pool, member in document.pools.items()}

    def _agents(self, tenant: str, fleet: str, document: Members) -> Iterator[Member]:
        yield from (Member(name=name, labels=member.labels) for name, member in document.agents.items())
        for digest in document.shards.digests.values() if document.shards else ():
            data = self._get(tenant, fleet, membership.shard_target(digest))
            shard = membership.decode_shard(data, fleet=f"{tenant}/{fleet}", digest=digest)
            yield from (Member(name=name, labels=member.labels) for name, member in shard.agents.items())

    def _get(self, tenant: str, fleet: str, path: str) -> bytes:
        return self._store.get(layout.approved(tenant, fleet, path)) or b""


def additive_since(releases: Releases) -> frozenset[int]:
    """Return the members sequences from which the newest was reached by adding hosts only, itself among them."""
    approved = sorted((one.members, one.additive) for one in releases.approvals.values() if one.members is not None)
    found = {approved[-1][0]} if approved else set()
    for (before, _), (_, additive) in zip(reversed(approved[:-1]), reversed(approved[1:]), strict=True):
        if not additive:
            break
        found.add(before)
    return frozenset(found)


def _hash(releases: Releases, sequence: int) -> str:
    listed = releases.signed.targets.get(membership.target(sequence))
    return str(listed.hashes.get("sha256")) if listed else ""


def _enrolled(connection: Connection, tenant: str, pools: dict[str, dict[str, str]]) -> Iterator[Member]:
    agents = schema.agents
    wanted = (agents.c.tenant == tenant, agents.c.subject.in_(pools), agents.c.agent != agents.c.subject, agents.c.state.in_(LIVE))
    for name, pool in connection.execute(select(agents.c.agent, agents.c.subject).where(*wanted)):
        yield Member(name=name, labels=pools[pool])
