"""Envelopes: one payload, one type, known keys; anything else is refused by name."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner

from agent.protocol.errors import MalformedError, RefusedError
from reconciler.publication import envelope

TYPE = "application/vnd.ordain.test+json"
SIGNER = CryptoSigner.generate_ed25519()
OTHER = CryptoSigner.generate_ed25519()


def test_a_signed_payload_comes_back() -> None:
    assert envelope.verify(envelope.sign(b"{}", TYPE, [SIGNER]), TYPE, [SIGNER.public_key]) == b"{}"


def test_a_payload_of_one_type_is_not_one_of_another() -> None:
    with pytest.raises(RefusedError, match="signed as"):
        envelope.verify(envelope.sign(b"{}", TYPE, [SIGNER]), TYPE + "2", [SIGNER.public_key])


def test_another_key_does_not_count() -> None:
    with pytest.raises(RefusedError, match="not signed by 1 of the 1 keys"):
        envelope.verify(envelope.sign(b"{}", TYPE, [OTHER]), TYPE, [SIGNER.public_key])


def test_one_signature_is_not_two() -> None:
    keys = [SIGNER.public_key, OTHER.public_key]
    with pytest.raises(RefusedError):
        envelope.verify(envelope.sign(b"{}", TYPE, [SIGNER]), TYPE, keys, threshold=2)
    assert envelope.verify(envelope.sign(b"{}", TYPE, [SIGNER, OTHER]), TYPE, keys, threshold=2) == b"{}"


def test_a_changed_payload_is_refused() -> None:
    signed = json.loads(envelope.sign(b'{"a":1}', TYPE, [SIGNER]))
    signed["payload"] = json.loads(envelope.sign(b'{"a":2}', TYPE, [SIGNER]))["payload"]
    with pytest.raises(RefusedError):
        envelope.verify(json.dumps(signed).encode(), TYPE, [SIGNER.public_key])


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=5) | st.just("payload"),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["payload", "payloadType", "signatures", "keyid", "sig"]), inner, max_size=5)
        ),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode())
)
def test_hostile_bytes_raise_one_family_only(data: bytes) -> None:
    with pytest.raises(RefusedError):
        envelope.verify(data, TYPE, [SIGNER.public_key])


def test_too_deep_and_too_large_are_malformed() -> None:
    with pytest.raises(MalformedError):
        envelope.verify(b"[" * 200_000, TYPE, [SIGNER.public_key])
    with pytest.raises(MalformedError, match="more than"):
        envelope.verify(b" " * (envelope.ENVELOPE_LIMIT + 1), TYPE, [SIGNER.public_key])
