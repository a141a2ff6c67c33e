"""Wire documents: one byte string for one value, and one family of errors for all other bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol import codec, rollout
from agent.protocol.errors import MalformedError

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(plain)
def test_what_is_encoded_is_decoded_to_the_same(value: object) -> None:
    assert codec.decode(codec.canonical(value), object, what="value") == value


@given(st.dictionaries(st.text(), st.integers(-5, 5)))
def test_the_order_of_keys_makes_no_difference(value: dict[str, int]) -> None:
    assert codec.canonical(value) == codec.canonical(dict(reversed(value.items())))


@given(st.binary(max_size=200))
def test_hostile_bytes_raise_one_family_of_errors(data: bytes) -> None:
    with pytest.raises(MalformedError, match=r"^document: "):
        codec.decode(data, rollout.RolloutDocument, what="document")


@given(plain, st.integers(0), st.integers(0, 255))
def test_a_changed_byte_never_reads_as_the_same_value(value: object, position: int, byte: int) -> None:
    data = bytearray(codec.canonical(value))
    position %= len(data)
    if data[position] == byte:
        return
    data[position] = byte
    try:
        other = codec.decode(bytes(data), object, what="value")
    except MalformedError:
        return
    assert codec.canonical(other) == bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" {}",
        b"{} ",
        b'{"a": 1}',
        b'{"b":1,"a":1}',
        b'{"a":1,"a":1}',
        b"1.0",
        b"1e3",
        b"NaN",
        b"-0",
        b'"\\u0041"',
        b'"\\ud800"',
        b"\xff",
        b"[" * 100_000,
        b"9" * 10_000,
    ],
)
def test_another_spelling_of_a_value_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError, match=r"^document: "):
        codec.decode(data, object, what="document")


def test_unknown_fields_and_oversize_are_refused() -> None:
    with pytest.raises(MalformedError, match="unknown field"):
        codec.decode(b'{"digest":"d","members":1,"more":1}', rollout.Release, what="release")
    with pytest.raises(MalformedError, match="more than the limit of 3"):
        codec.decode(b"1234", int, what="number", limit=3)


def test_a_float_is_a_fault_of_the_caller() -> None:
    with pytest.raises(TypeError, match="float"):
        codec.canonical({"a": [0.5]})
