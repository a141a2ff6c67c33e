"""Receipts: whether the host that one is of signed it. What holds, holds wherever it came through; the rest is dropped and counted."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from agent.protocol import report
from agent.protocol.errors import MalformedError, RefusedError
from agent.protocol.identity import LABEL
from agent.protocol.report import SignedReceipt
from reconciler.control.intake.decoding import carried_bytes


def require_own(signed: SignedReceipt, *, tenant: str, agent: str) -> None:
    """Raise `RefusedError` unless a receipt says that it is of this agent, and of a fleet of its tenant."""
    receipt = signed.receipt
    owner, _, fleet = receipt.fleet.partition("/")
    if receipt.format != report.FORMAT or receipt.agent != agent or owner != tenant or not LABEL.fullmatch(fleet):
        message = f"a receipt of {receipt.agent} in {receipt.fleet}, shown by {tenant}/{agent}"
        raise RefusedError(message)


def require_signed(signed: SignedReceipt, key: ec.EllipticCurvePublicKey) -> None:
    """Raise `RefusedError` unless this key signed the receipt."""
    _require(key, signed.signature, report.receipt_message(signed.receipt), "receipt")


def require_batch_signed(batch: bytes, signature: str, key: ec.EllipticCurvePublicKey) -> None:
    """Raise `RefusedError` unless this key signed the canonical bytes of a batch."""
    _require(key, signature, report.batch_message(batch), "batch")


def _require(key: ec.EllipticCurvePublicKey, signature: str, signed: bytes, what: str) -> None:
    try:
        key.verify(carried_bytes(signature, what=what), signed, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, MalformedError) as error:
        message = f"a {what} that the key of its certificate did not sign"
        raise RefusedError(message) from error
