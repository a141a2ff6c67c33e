"""A mapping that shares with an earlier one equals the plain one of the same changes, and leaves the earlier one as it was."""

from hypothesis import given
from hypothesis import strategies as st

from reconciler.pipeline.layers import FEW, Layered, derived

keys = st.integers(0, 150)
changes = st.lists(st.tuples(st.dictionaries(keys, st.integers(), max_size=30), st.sets(keys, max_size=10)), max_size=12)


@given(st.dictionaries(keys, st.integers()), changes, st.booleans())
def test_a_layered_mapping_is_what_a_plain_one_would_be(
    start: dict[int, int],
    steps: list[tuple[dict[int, int], set[int]]],
    ordered: bool,  # noqa: FBT001 - hypothesis draws it
) -> None:
    start = dict(sorted(start.items())) if ordered else start
    plain, layered = dict(start), derived(start, {}, ordered=ordered)
    for put, other in steps:
        gone = other - put.keys()
        before, known = layered, dict(plain)
        layered = derived(layered, put, gone, ordered=ordered)
        plain = {key: value for key, value in plain.items() if key not in gone} | put
        assert dict(before) == known
        assert dict(layered) == plain
        assert not ordered or list(layered) == sorted(plain)
        assert len(layered) == len(plain)
        assert {key for key in range(151) if key in layered} == plain.keys()
        assert [layered.get(key) for key in range(151)] == [plain.get(key) for key in range(151)]


def test_differences_are_merged_before_they_are_many() -> None:
    mapping = derived(dict.fromkeys(range(500), 0), {})
    for key in range(FEW):
        mapping = derived(mapping, {key: 1})
        assert isinstance(mapping, Layered)
    mapping = derived(mapping, {FEW: 1})
    assert type(mapping) is dict
    assert list(mapping) == list(range(500))
