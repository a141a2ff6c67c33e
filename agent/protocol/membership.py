"""Members of a fleet: which agents and pools are in it, with the labels and group of each.

Signed with the fleet's release, so that a stolen server can't hand one host's state to another. Up to 256 agents stand in
the document itself; past that it is an index of shards, by the leading bits of the SHA-256 of the agent's name. A shard is
a target of its own, named by its digest: a new sequence reuses all shards in which nothing changed.
"""

import hashlib

from agent.protocol import codec
from agent.protocol.errors import MalformedError
from agent.protocol.state import Struct

FORMAT = 1
INLINE_LIMIT = 256
"""Agents in the document itself, and names in a shard at most."""
BITS_LIMIT = 20
"""2^20 shards: far past any fleet, and small enough to refuse nonsense by."""


class Member(Struct):
    """An agent or a pool as this fleet sees it."""

    group: str
    labels: dict[str, str] = {}


class Shards(Struct):
    """An index: shard number, in decimal, → digest of the shard document; empty shards are left out."""

    bits: int
    count: int
    digests: dict[str, str]


class Members(Struct):
    """`members/<sequence>.json`; `fleet` is `<tenant>/<fleet>`; either `agents` or `shards` is filled."""

    format: int
    fleet: str
    sequence: int
    pools: dict[str, Member] = {}
    agents: dict[str, Member] = {}
    shards: Shards | None = None


class Shard(Struct):
    """`members/<digest>.json`: the members whose names begin with the same bits when hashed."""

    format: int
    fleet: str
    agents: dict[str, Member]


def target(sequence: int) -> str:
    """Return the TUF target path of a members document."""
    return f"members/{sequence}.json"


def shard_target(digest: str) -> str:
    """Return the TUF target path of a shard."""
    return f"members/{digest}.json"


def shard_of(agent: str, bits: int) -> int:
    """Return the shard of an agent: the leading `bits` of the SHA-256 of its name."""
    return int.from_bytes(hashlib.sha256(agent.encode()).digest()[:8], "big") >> (64 - bits)


def split(fleet: str, sequence: int, pools: dict[str, Member], agents: dict[str, Member]) -> tuple[Members, dict[str, bytes]]:
    """Return the members document and, past 256 agents, its shards by digest (canonical bytes)."""
    if len(agents) <= INLINE_LIMIT:
        return Members(format=FORMAT, fleet=fleet, sequence=sequence, pools=pools, agents=agents), {}
    for bits in range(1, BITS_LIMIT + 1):
        parts: dict[int, dict[str, Member]] = {}
        for name, member in agents.items():
            parts.setdefault(shard_of(name, bits), {})[name] = member
        if all(len(part) <= INLINE_LIMIT for part in parts.values()):
            break
    encoded = {number: codec.canonical(Shard(format=FORMAT, fleet=fleet, agents=part)) for number, part in parts.items()}
    digests = {str(number): codec.sha256(data) for number, data in encoded.items()}
    index = Shards(bits=bits, count=len(agents), digests=digests)
    document = Members(format=FORMAT, fleet=fleet, sequence=sequence, pools=pools, shards=index)
    return document, {codec.sha256(data): data for data in encoded.values()}


def decode(data: bytes, *, fleet: str, sequence: int) -> Members:
    """Read the members document of this fleet and sequence; raise `MalformedError` if it is another."""
    members = codec.decode(data, Members, what=f"members {sequence} of {fleet}")
    if members.format != FORMAT or members.fleet != fleet or members.sequence != sequence:
        message = f"members {sequence} of {fleet}: it says format {members.format}, {members.fleet}, {members.sequence}"
        raise MalformedError(message)
    if members.shards is not None and not 1 <= members.shards.bits <= BITS_LIMIT:
        message = f"members {sequence} of {fleet}: {members.shards.bits} bits of shards"
        raise MalformedError(message)
    return members


def decode_shard(data: bytes, *, fleet: str, digest: str) -> Shard:
    """Read the shard with this digest; raise `MalformedError` if it is another, or another fleet's."""
    if codec.sha256(data) != digest:
        message = f"shard {digest} of {fleet}: it has another digest"
        raise MalformedError(message)
    shard = codec.decode(data, Shard, what=f"shard {digest} of {fleet}")
    if shard.format != FORMAT or shard.fleet != fleet:
        message = f"shard {digest} of {fleet}: it is of {shard.fleet}, format {shard.format}"
        raise MalformedError(message)
    return shard


def needed_shard(members: Members, agent: str) -> str | None:
    """Return the digest of the shard that an agent must read, None where the document itself says all."""
    if members.shards is None or "/" in agent:
        return None
    return members.shards.digests.get(str(shard_of(agent, members.shards.bits)))


def find(members: Members, shard: Shard | None, agent: str) -> Member | None:
    """Return the member that an agent (`web-01`) or a pool's agent (`runners/7f3a`) is, None if none."""
    pool, slash, _ = agent.partition("/")
    if slash:
        return members.pools.get(pool)
    return (shard.agents if shard else members.agents).get(agent)
