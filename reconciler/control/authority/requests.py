"""What an agent asks for: a certificate for a key that it proves to have (PKCS #10, RFC 2986).

Only the key counts. Names and attributes that a request states are not looked at: who somebody is, a token or a certificate says.
"""

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from agent.protocol.errors import MalformedError, RefusedError
from agent.protocol.identity import renewal_message

REQUEST_LIMIT = 8192
"""Bytes of a request in PEM: one for P-256 has about 350."""
PEM = b"-----BEGIN CERTIFICATE REQUEST-----"


def requested_key(pem: bytes) -> ec.EllipticCurvePublicKey:
    """Return the key of a request.

    Raises:
        MalformedError: no request, or its own signature does not hold.
        RefusedError: a key of another kind than P-256.
    """
    if len(pem) > REQUEST_LIMIT or not pem.lstrip().startswith(PEM):
        message = f"not a certificate request in PEM of at most {REQUEST_LIMIT} bytes"
        raise MalformedError(message)
    try:
        request = x509.load_pem_x509_csr(pem)
        key = request.public_key()
        holds = request.is_signature_valid
    except ValueError as error:
        message = f"not a certificate request: {error}"
        raise MalformedError(message) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        message = "an agent's key is of P-256 (secp256r1), and this one is not"
        raise RefusedError(message)
    if not holds:
        message = "the certificate request is not signed by the key that it names"
        raise MalformedError(message)
    return key


def require_continued(old: x509.Certificate, pem: bytes, proof: bytes) -> None:
    """Raise `RefusedError` unless the key of an old certificate signed this very request.

    It is how a certificate that lapsed is renewed: what an open connection would prove is proved by a signature.
    """
    key = old.public_key()
    message = "the request is not signed by the key of the certificate that it would renew"
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise RefusedError(message)
    try:
        key.verify(proof, renewal_message(pem, old.public_bytes(Encoding.DER)), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise RefusedError(message) from error
