"""Members: an agent finds itself, and only itself, by reading one shard."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.protocol import codec, membership
from agent.protocol.errors import MalformedError
from agent.protocol.membership import Member, Members

VECTORS = json.loads((Path(__file__).resolve().parents[1] / "vectors" / "membership.json").read_bytes())
FLEET = "shop/web"


def agents(count: int) -> dict[str, Member]:
    return {f"web-{number}": Member(group=f"g-{number % 3}", labels={"n": str(number)}) for number in range(count)}


def looked_up(document: Members, shards: dict[str, bytes], agent: str) -> Member | None:
    read = membership.decode(codec.canonical(document), fleet=FLEET, sequence=document.sequence)
    digest = membership.needed_shard(read, agent)
    shard = membership.decode_shard(shards[digest], fleet=FLEET, digest=digest) if digest else None
    return membership.find(read, shard, agent)


@given(st.integers(0, 1500), st.text("abc-0123456789", max_size=8))
@settings(max_examples=30)
def test_everybody_in_it_is_found_and_nobody_else(count: int, stranger: str) -> None:
    everybody = agents(count)
    document, shards = membership.split(FLEET, 5, {"runners": Member(group="g-9")}, everybody)
    assert (document.shards is None) == (count <= membership.INLINE_LIMIT)
    assert all(digest == codec.sha256(data) for digest, data in shards.items())
    for name in [*list(everybody)[:: max(1, count // 40)], stranger]:
        assert looked_up(document, shards, name) == everybody.get(name)
    assert looked_up(document, shards, "runners/7f3a") == Member(group="g-9")
    assert looked_up(document, shards, "others/7f3a") is None


def test_shards_hold_256_names_at_most_and_all_names_once() -> None:
    document, shards = membership.split(FLEET, 1, {}, agents(10_000))
    assert document.shards is not None
    assert document.shards.count == 10_000
    parts = [membership.decode_shard(data, fleet=FLEET, digest=digest).agents for digest, data in shards.items()]
    assert max(len(part) for part in parts) <= membership.INLINE_LIMIT
    assert sum(len(part) for part in parts) == len({name for part in parts for name in part}) == 10_000


def test_one_more_host_changes_one_shard() -> None:
    before = membership.split(FLEET, 1, {}, agents(3000))[1]
    after = membership.split(FLEET, 2, {}, {**agents(3000), "one-more": Member(group="g-1")})[1]
    assert len(after.keys() - before.keys()) == 1


@pytest.mark.parametrize("row", VECTORS["shards"], ids=lambda row: f"{row['agent']}-{row['bits']}")
def test_the_shard_of_a_name_never_changes(row: dict[str, int]) -> None:
    assert membership.shard_of(str(row["agent"]), row["bits"]) == row["shard"]


def test_another_fleets_sequences_and_shards_are_refused() -> None:
    document, shards = membership.split(FLEET, 1, {}, agents(300))
    data = codec.canonical(document)
    for fleet, sequence in (("shop/db", 1), (FLEET, 2)):
        with pytest.raises(MalformedError, match="it says"):
            membership.decode(data, fleet=fleet, sequence=sequence)
    digest, shard = next(iter(shards.items()))
    with pytest.raises(MalformedError, match="it is of shop/web"):
        membership.decode_shard(shard, fleet="shop/db", digest=digest)
    with pytest.raises(MalformedError, match="another digest"):
        membership.decode_shard(shard, fleet=FLEET, digest="0" * 64)


@pytest.mark.parametrize("bits", [0, -1, 21, 64, 1 << 40])
def test_nonsense_numbers_of_bits_are_refused(bits: int) -> None:
    data = codec.canonical(Members(format=1, fleet=FLEET, sequence=1, shards=membership.Shards(bits=bits, count=1, digests={})))
    with pytest.raises(MalformedError, match="bits of shards"):
        membership.decode(data, fleet=FLEET, sequence=1)


@given(st.binary(max_size=200))
def test_hostile_bytes_raise_one_family_of_errors(data: bytes) -> None:
    with pytest.raises(MalformedError):
        membership.decode(data, fleet=FLEET, sequence=1)
    with pytest.raises(MalformedError):
        membership.decode_shard(data, fleet=FLEET, digest=codec.sha256(data))


def test_targets_are_named_by_sequence_and_by_digest() -> None:
    assert (membership.target(7), membership.shard_target("ab")) == ("members/7.json", "members/ab.json")
