"""How artifacts were made: statements in the forms that builders write, believed only as far as they are signed."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner, Key

from agent.protocol.errors import MalformedError
from reconciler.pipeline import attestations
from reconciler.pipeline.compile.texts import check_provenance
from reconciler.pipeline.manifests import parse_file
from reconciler.pipeline.tree import MemoryTree

SHA256 = "ab" * 32
BUILDER = "https://github.com/acme/builder@refs/tags/v1"
SIGNER = CryptoSigner.generate_ed25519()


def statement(*subjects: str, predicate: object = None) -> dict[str, Any]:
    """Return an in-toto statement about files with these digests."""
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "x", "digest": {"sha256": one}} for one in subjects],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {"runDetails": {"builder": {"id": BUILDER}}} if predicate is None else predicate,
    }


def envelope(content: object, *signers: CryptoSigner, keyid: str | None = None, kind: str = attestations.PAYLOAD_TYPE) -> str:
    """Return a DSSE envelope on one line."""
    made = Envelope(json.dumps(content).encode(), kind, {})
    for signer in signers or (SIGNER,):
        made.sign(signer)
    data = made.to_dict()
    if keyid is not None:
        data["signatures"] = [{**one, "keyid": keyid} for one in data["signatures"]]
    return json.dumps(data)


def test_a_statement_is_read_in_few_words() -> None:
    (found,) = attestations.read(envelope(statement(SHA256)))
    assert found.as_input() == {
        "predicateType": "https://slsa.dev/provenance/v1",
        "builder": {"id": BUILDER},
        "subjects": [SHA256],
        "keyids": [SIGNER.public_key.keyid],
        "verified": False,
    }


@pytest.mark.parametrize("keyid", [None, "", "something of cosign's own"])
def test_a_statement_is_verified_by_a_key_whatever_it_calls_the_key(keyid: str | None) -> None:
    other = CryptoSigner.generate_ed25519()
    text = envelope(statement(SHA256), keyid=keyid)
    (found,) = attestations.read(text, [other.public_key, SIGNER.public_key])
    assert (found.verified, found.keyids) == (True, (SIGNER.public_key.keyid,))
    assert not attestations.read(text, [other.public_key])[0].verified


def test_a_statement_that_was_changed_is_not_verified() -> None:
    data = json.loads(envelope(statement(SHA256)))
    data["payload"] = base64.b64encode(json.dumps(statement("cd" * 32)).encode()).decode()
    (found,) = attestations.read(json.dumps(data), [SIGNER.public_key])
    assert (found.subjects, found.verified) == (("cd" * 32,), False)


def test_several_lines_a_bundle_and_an_older_predicate_are_read() -> None:
    older = envelope(statement(SHA256, predicate={"builder": {"id": "old"}}))
    bundle = json.dumps({"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "dsseEnvelope": json.loads(older)})
    other = envelope(statement("cd" * 32, predicate="free text"))
    assert [one.builder for one in attestations.read(f"{bundle}\n\n{other}\n")] == ["old", ""]


@pytest.mark.parametrize(
    "make",
    [ed25519.Ed25519PrivateKey.generate, lambda: ec.generate_private_key(ec.SECP256R1()), lambda: rsa.generate_private_key(65537, 2048)],
)
def test_keys_of_the_usual_kinds_are_read_from_pem(make: Any) -> None:
    public = make().public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    assert isinstance(attestations.key(public), Key)
    assert len(attestations.keys_of({"spec": {"provenance": {"keys": [public, "none", 5]}}})) == 1


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", "x", envelope("text"), envelope({}), envelope({"subject": [], "predicateType": 5, "x": 1})[:-5],
     envelope(statement(SHA256), kind="text/plain"), "\n".join([envelope(statement(SHA256))] * 33), " " * (1024 * 1024 + 1),
     envelope({**statement(), "subject": [{"digest": {"sha256": 5}}]}), envelope({**statement(), "subject": 5}), "[" * 100_000],
)  # fmt: skip
def test_anything_else_is_refused_by_one_error(text: str) -> None:
    with pytest.raises(MalformedError):
        attestations.read(text)


FIELDS = ["subject", "digest", "sha256", "payload", "payloadType", "signatures", "keyid", "sig", "predicate", "dsseEnvelope"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5),
    max_leaves=12,
)


@given(content=JSON, outside=JSON)
def test_no_content_raises_anything_else(content: Any, outside: Any) -> None:
    for text in (envelope(content), json.dumps(outside), f"{json.dumps(outside)}\n{json.dumps(content)}"):
        try:
            attestations.read(text, [SIGNER.public_key])
        except MalformedError:
            continue


MANIFEST = """\
apiVersion: ordain.dev/v1
kind: Component
metadata: {name: tool, tenant: shop}
spec:
  artifacts:
    - name: tool
      path: /opt/tool
      platforms:
        linux/amd64: {url: "https://example.com/a", sha256: "%s"}
        linux/arm64: {url: "https://example.com/b", sha256: "%s"}
      provenance: {source: files/tool.intoto.jsonl}
"""


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"tenants/shop/files/tool.intoto.jsonl": envelope(statement(SHA256, "cd" * 32))}, []),
        ({"tenants/shop/files/tool.intoto.jsonl": f"{envelope(statement(SHA256))}\n{envelope(statement('cd' * 32))}"}, []),
        ({"tenants/shop/files/tool.intoto.jsonl": envelope(statement(SHA256))}, ["is about cdcdcdcdcdcd… (linux/arm64)"]),
        ({"tenants/shop/files/tool.intoto.jsonl": "{}"}, ["not in-toto statements"]),
        ({}, ["there is no tenants/shop/files/tool.intoto.jsonl"]),
    ],
)
def test_provenance_must_be_there_and_about_the_artifact(files: dict[str, str], expected: list[str]) -> None:
    text = (MANIFEST % (SHA256, "cd" * 32)).encode()
    tree = MemoryTree({"tenants/shop/tool.yaml": text, **{path: one.encode() for path, one in files.items()}})
    (document,) = parse_file("tenants/shop/tool.yaml", text).documents
    found = [finding.message for finding in check_provenance(document, tree)]
    assert len(found) == len(expected)
    assert all(part in message for part, message in zip(expected, found, strict=True))
