"""Provenance on its way into a rule: signed beside the manifest, read in few words, verified by the keys of ordain.yaml."""

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner

from reconciler.cli import cli

pytestmark = pytest.mark.needs("opa")
SHA256 = hashlib.sha256(b"a tool").hexdigest()
RULE = """\
# METADATA
# title: Programs are built by our own builder
# description: What nobody vouches for is not run.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: deny
#   code: supply/attested
#   remedy: build it by our pipeline, and commit its provenance
package ordain.custom.supply.attested

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", "artifacts", i, "url"], message) if {
	some i, artifact in input.object.spec.artifacts
	not attested(artifact)
	message := sprintf("%s is not vouched for by our builder", [artifact.name])
}

attested(artifact) if {
	some statement in input.provenance[artifact.name]
	statement.verified
	statement.builder.id == "https://ci.example.com/builder"
}
"""


def _repository(directory: Path, signer: ed25519.Ed25519PrivateKey, trusted: ed25519.Ed25519PrivateKey, sha256: str) -> Path:
    public = trusted.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    said = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "tool", "digest": {"sha256": SHA256}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {"runDetails": {"builder": {"id": "https://ci.example.com/builder"}}},
    }
    envelope = Envelope(json.dumps(said).encode(), "application/vnd.in-toto+json", {})
    envelope.sign(CryptoSigner(signer))
    keys = "".join(f"        {line}\n" for line in public.splitlines())
    files = {
        "ordain.yaml": "apiVersion: ordain.dev/v1\nkind: Repository\nmetadata: {name: acme}\nspec:\n  format: 1\n"
        f"  provenance:\n    keys:\n      - |\n{keys}",
        "tenants/shop/tenant.yaml": "{apiVersion: ordain.dev/v1, kind: Tenant, metadata: {name: shop}, spec: {description: A shop}}",
        "tenants/shop/tool.yaml": "apiVersion: ordain.dev/v1\nkind: Component\nmetadata: {name: tool, tenant: shop, labels: {owner: us}}\n"
        "spec:\n  description: A tool\n  artifacts:\n    - name: tool\n      path: /opt/tool\n"
        f'      url: "https://example.com/tool-1.0"\n      sha256: "{sha256}"\n      provenance: {{source: files/tool.intoto.jsonl}}\n',
        "tenants/shop/files/tool.intoto.jsonl": json.dumps(envelope.to_dict()),
        "policies/supply/attested/attested.rego": RULE,
    }
    for path, text in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text)
    return directory


def _denied(directory: Path) -> list[tuple[str, int]]:
    answer = CliRunner().invoke(cli, ["check", str(directory), "--format", "json"])
    found = json.loads(answer.stdout)
    return [(one["rule"], one["line"]) for one in found["verdicts"] if one["action"] in ("deny", "error")]


def test_a_rule_lets_pass_what_a_trusted_key_vouches_for_and_nothing_else(tmp_path: Path) -> None:
    ours, theirs = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()
    assert _denied(_repository(tmp_path / "ours", ours, ours, SHA256)) == []
    assert _denied(_repository(tmp_path / "theirs", theirs, ours, SHA256)) == [("custom/supply/attested", 9)]


def test_provenance_of_another_build_is_refused_whoever_signed_it(tmp_path: Path) -> None:
    ours = ed25519.Ed25519PrivateKey.generate()
    assert ("manifest/provenance", 11) in _denied(_repository(tmp_path, ours, ours, hashlib.sha256(b"another").hexdigest()))


def test_a_key_that_is_none_is_refused_in_its_line(tmp_path: Path) -> None:
    ours = ed25519.Ed25519PrivateKey.generate()
    repository = _repository(tmp_path, ours, ours, SHA256)
    text = (repository / "ordain.yaml").read_text().splitlines()
    text[9] = text[9].replace("M", "A", 1)
    (repository / "ordain.yaml").write_text("\n".join(text))
    assert ("manifest/provenance", 8) in _denied(repository)
