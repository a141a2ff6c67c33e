"""Keys of the authority wherever they are: a file, a token, a key service. X.509 asks for a private key; a signer is enough."""

from typing import NoReturn

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.signer import Signer

from agent.protocol.errors import InputError

SCHEME = "ecdsa-sha2-nistp256"


class SigningKey(ec.EllipticCurvePrivateKey):
    """A P-256 private key that only signs, wherever its secret is.

    Raises:
        InputError: the signer's key is of another kind; only on being made.
    """

    def __init__(self, signer: Signer) -> None:
        if signer.public_key.scheme != SCHEME:
            message = f"the authority's key is {signer.public_key.scheme}, and must be {SCHEME}: `ordain keys init` makes such"
            raise InputError(message)
        public = load_pem_public_key(signer.public_key.keyval["public"].encode())
        if not isinstance(public, ec.EllipticCurvePublicKey):  # pragma: no cover - the scheme says so
            raise TypeError(SCHEME)
        self._signer, self._public = signer, public

    def sign(self, data: bytes | bytearray | memoryview, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Return the signature of data by ECDSA with SHA-256, in DER (RFC 3279, section 2.2.3)."""
        if not isinstance(signature_algorithm.algorithm, hashes.SHA256):
            raise TypeError(SCHEME)
        return bytes.fromhex(self._signer.sign(bytes(data)).signature)

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Return the public half."""
        return self._public

    @property
    def curve(self) -> ec.EllipticCurve:
        """P-256."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """In bits."""
        return self._public.key_size

    def exchange(self, algorithm: object, peer_public_key: object) -> NoReturn:
        """Nothing is agreed on by this key."""
        raise NotImplementedError

    def private_numbers(self) -> NoReturn:
        """The secret stays where it is."""
        raise NotImplementedError

    def private_bytes(self, encoding: object, format: object, encryption_algorithm: object) -> NoReturn:  # noqa: A002 - the name it has there
        """The secret stays where it is."""
        raise NotImplementedError

    def __copy__(self) -> "SigningKey":
        return self

    def __deepcopy__(self, memo: object) -> "SigningKey":
        return self
