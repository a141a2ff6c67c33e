"""How an artifact was made, as others say: in-toto statements in DSSE envelopes, kept beside the manifest in git.

What cosign, slsa-github-generator and GitHub's attestations write is read: one envelope, one a line, or a Sigstore bundle
around one. Rules get what it says in few words. It is `verified` only if one of the keys that `ordain.yaml` names signed it;
without that it is what a stranger claims, and certificates and transparency logs are not looked at.

https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md, https://slsa.dev/spec/v1.0/provenance

What verifies is imported where there is something to verify: it takes a twentieth of a second, and most repositories have none.
"""

import binascii
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from agent.protocol.errors import MalformedError

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import Key, Signature

PAYLOAD_TYPE = "application/vnd.in-toto+json"
TEXT_LIMIT = 1024 * 1024
"""Characters of one file: a statement has a few thousand, mostly about materials."""
ENVELOPES_LIMIT = 32
"""Envelopes in one file: one for each platform, and several kinds of statement."""
SIGNATURES_LIMIT = 16
SUBJECTS_LIMIT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement: what kind it is, who built, the SHA-256 of what it is about, and who signed it, if that is known."""

    predicate_type: str
    builder: str
    subjects: tuple[str, ...]
    keyids: tuple[str, ...]
    verified: bool

    def as_input(self) -> dict[str, Any]:
        """Return it as rules see it."""
        return {
            "predicateType": self.predicate_type,
            "builder": {"id": self.builder},
            "subjects": list(self.subjects),
            "keyids": list(self.keyids),
            "verified": self.verified,
        }


def key(pem: str) -> "Key":
    """Return a public key (ed25519, ECDSA or RSA) from PEM.

    Raises:
        MalformedError: anything else.
    """
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415
    from securesystemslib.signer import SSlibKey  # noqa: PLC0415

    try:
        return SSlibKey.from_crypto(load_pem_public_key(pem.encode()))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        message = f"not a public key in PEM: {error}"
        raise MalformedError(message) from error


def keys_of(repository: Mapping[str, Any] | None) -> tuple["Key", ...]:
    """Return the keys that `ordain.yaml` names; one that is none is passed over, since its manifest is refused for it."""
    spec = (repository or {}).get("spec")
    stated = spec.get("provenance") if isinstance(spec, dict) else None
    listed = stated.get("keys") if isinstance(stated, dict) else None
    found = []
    for pem in listed if isinstance(listed, list) else ():
        try:
            found.append(key(pem))
        except (MalformedError, AttributeError):
            continue
    return tuple(found)


def read(text: str, keys: Sequence["Key"] = ()) -> list[Statement]:
    """Return the statements in a file.

    Raises:
        MalformedError: not envelopes of in-toto statements, or more than the limits allow.
    """
    if len(text) > TEXT_LIMIT:
        message = f"more than {TEXT_LIMIT} characters"
        raise MalformedError(message)
    try:
        return [_statement(envelope, keys) for envelope in _envelopes(text)]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, binascii.Error) as error:
        message = f"not in-toto statements in DSSE envelopes ({type(error).__name__}: {str(error)[:100]})"
        raise MalformedError(message) from error


@lru_cache(maxsize=32)
def _read_again(text: str, keys: tuple["Key", ...]) -> tuple[Statement, ...]:
    """Return what a file says; nothing of one that is refused elsewhere."""
    try:
        return tuple(read(text, keys))
    except MalformedError:
        return ()


def for_rules(component: Mapping[str, Any], sources: Mapping[str, str], keys: tuple["Key", ...]) -> dict[str, list[dict[str, Any]]]:
    """Return the statements about each artifact of a component that has provenance, by its name; `sources` are texts by `source`."""
    found = {}
    for artifact, source in stated(component):
        about = {*digests(artifact).values()}
        statements = _read_again(sources[source], keys) if source in sources else ()
        found[str(artifact.get("name"))] = [one.as_input() for one in statements if not about.isdisjoint(one.subjects)]
    return found


def stated(component: Mapping[str, Any]) -> Iterable[tuple[Mapping[str, Any], str]]:
    """Yield (artifact, source) of each artifact that names a file of provenance."""
    spec = component.get("spec")
    artifacts = spec.get("artifacts") if isinstance(spec, dict) else None
    for artifact in artifacts if isinstance(artifacts, list) else ():
        provenance = artifact.get("provenance") if isinstance(artifact, dict) else None
        source = provenance.get("source") if isinstance(provenance, dict) else None
        if isinstance(source, str):
            yield artifact, source


def digests(artifact: Mapping[str, Any]) -> dict[str, str]:
    """Return the SHA-256 of an artifact by platform, "" where one file serves all."""
    platforms = artifact.get("platforms")
    listed = platforms if isinstance(platforms, dict) else {"": artifact}
    return {str(name): one["sha256"] for name, one in listed.items() if isinstance(one, dict) and isinstance(one.get("sha256"), str)}


def _envelopes(text: str) -> list[dict[str, Any]]:
    try:
        documents = [json.loads(text)]
    except ValueError:
        documents = [json.loads(line) for line in text.splitlines() if line.strip()]
    if len(documents) > ENVELOPES_LIMIT or not documents:
        message = f"{len(documents)} envelopes"
        raise ValueError(message)
    return [document.get("dsseEnvelope", document) for document in documents]


def _statement(data: dict[str, Any], keys: Sequence["Key"]) -> Statement:
    from securesystemslib.dsse import Envelope  # noqa: PLC0415

    signatures = data["signatures"]
    if data["payloadType"] != PAYLOAD_TYPE or len(signatures) > SIGNATURES_LIMIT:
        message = "another payload type, or too many signatures"
        raise ValueError(message)
    named = [str(one.get("keyid") or "") for one in signatures]
    numbered = [{**one, "keyid": str(number)} for number, one in enumerate(signatures)]  # cosign leaves key ids empty
    envelope = Envelope.from_dict({**data, "signatures": numbered})
    payload = json.loads(envelope.payload)
    signers = [one.keyid for one in keys if any(_signed(one, signature, envelope) for signature in envelope.signatures.values())]
    subjects = [subject["digest"]["sha256"] for subject in payload["subject"][:SUBJECTS_LIMIT] if "sha256" in subject["digest"]]
    if not all(isinstance(subject, str) for subject in subjects):
        message = "a digest that is no text"
        raise TypeError(message)
    return Statement(
        predicate_type=str(payload["predicateType"]),
        builder=_builder(payload.get("predicate")),
        subjects=tuple(subjects),
        keyids=tuple(signers or [name for name in named if name]),
        verified=bool(signers),
    )


def _signed(one: "Key", signature: "Signature", envelope: "Envelope") -> bool:
    from securesystemslib.exceptions import UnverifiedSignatureError  # noqa: PLC0415

    try:
        one.verify_signature(type(signature)(one.keyid, signature.signature), envelope.pae())
    except (UnverifiedSignatureError, ValueError, TypeError):
        return False
    return True


def _builder(predicate: object) -> str:
    """Return who built, as SLSA 1 (`runDetails.builder.id`) or 0.2 (`builder.id`) says; empty where neither does."""
    if not isinstance(predicate, dict):
        return ""
    run = predicate.get("runDetails")
    builder = (run if isinstance(run, dict) else predicate).get("builder")
    found = builder.get("id") if isinstance(builder, dict) else None
    return found if isinstance(found, str) else ""
