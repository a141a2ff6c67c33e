"""Who this host is, on its disk: a key that never leaves it, its certificate, whom to trust, and what it is called.

    <state>/identity/                0700
      next.pem                       0600: a key for which a certificate is being asked for
      current                        which of the directories below counts: its number
      <number>/key.pem               0600
      <number>/certificate.pem       the certificate, and the intermediate that signed it
      <number>/authority.pem         the roots to trust the server by, and no others
      <number>/root.json             the tenant's root metadata, as it was at enrolment
      <number>/enrolment.json        `Enrolment`

A directory is written whole before the pointer names it, so a crash at any instant leaves the identity from before or the new one. A
key is on disk before anybody is asked to certify it: whoever is killed in between asks again with the same key, and a token that
serves once has not been used up for nothing.
"""

import base64
import contextlib
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from agent.disk import read_optional
from agent.protocol import codec, durable, faults
from agent.protocol.enrolment import Issued
from agent.protocol.errors import MalformedError
from agent.protocol.state import Struct

PLACES = ("joining:after-key", "joining:before-pointer", "joining:after-pointer")
"""Where a crash test may kill the agent here."""
FORMAT = 1
CERTIFICATE = "certificate.pem"
LAYOUT = bytes.fromhex("308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420")
"""How PKCS #8 of a key of P-256 begins (RFC 5208 and RFC 5915), up to its 32 bytes."""


class Enrolment(Struct):
    """As whom this host enrolled and where, and how its agent is run. `token` is the id of the token, which is no secret.

    What the certificate says stands here as well, so that an agent at rest needs no library to read one: its SHA-256 in hexadecimal
    digits, and from when until when it is valid (seconds since 1970).
    """

    format: int
    server: str
    tenant: str
    agent: str
    root: str
    config: str
    token: str = ""
    fingerprint: str = ""
    begins: int = 0
    ends: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """One identity. Its files stay as they are, until a renewal has made another."""

    directory: Path
    enrolment: Enrolment

    @property
    def key_file(self) -> Path:
        """The private key, PEM."""
        return self.directory / "key.pem"

    @property
    def certificate_file(self) -> Path:
        """The certificate and its intermediate, PEM."""
        return self.directory / CERTIFICATE

    @property
    def authority(self) -> str:
        """The roots to trust the server by, PEM."""
        return (self.directory / "authority.pem").read_text()

    @property
    def root_metadata(self) -> bytes:
        """The tenant's root metadata, the anchor of trust in what is served."""
        return (self.directory / "root.json").read_bytes()

    @property
    def chain(self) -> str:
        """The certificate and its intermediate, PEM."""
        return self.certificate_file.read_text()

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the certificate in hexadecimal digits."""
        return self.enrolment.fingerprint

    @property
    def begins(self) -> datetime:
        """From when on the certificate is valid."""
        return datetime.fromtimestamp(self.enrolment.begins, UTC)

    @property
    def ends(self) -> datetime:
        """Until when."""
        return datetime.fromtimestamp(self.enrolment.ends, UTC)

    def sign(self, message: bytes) -> bytes:
        """Return the signature of this host's key: ECDSA, SHA-256, DER."""
        return _signing_key(self.key_file).sign(message, ec.ECDSA(hashes.SHA256()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Identities:
    """The identity of a state directory; whoever changes it holds a lock of that directory."""

    directory: Path

    @property
    def _pointer(self) -> Path:
        return self.directory / "current"

    @property
    def _next(self) -> Path:
        return self.directory / "next.pem"

    def current(self) -> Enrolled | None:
        """Return who this host is, None where it is not enrolled.

        Raises:
            MalformedError: what is there is damaged.
        """
        try:
            number = self._pointer.read_text().strip()
        except (FileNotFoundError, NotADirectoryError):
            return None
        directory = self.directory / number
        enrolment = read_optional(directory / "enrolment.json", Enrolment) if number.isdecimal() else None
        if enrolment is None:
            message = f"{self._pointer}: it names no identity that is there; enrol again: ordain-agent enroll"
            raise MalformedError(message)
        return Enrolled(directory=directory, enrolment=enrolment)

    def next_key(self) -> ec.EllipticCurvePrivateKey:
        """Return the key to ask a certificate for: the one that a call before made, if it was not certified."""
        durable.make_directory(self.directory, mode=0o700)
        with contextlib.suppress(FileNotFoundError, MalformedError):
            return read_key(self._next)
        key = ec.generate_private_key(ec.SECP256R1())
        durable.replace(self._next, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=0o600)
        faults.reached("joining:after-key")
        return key

    def adopt(self, issued: Issued, enrolment: Enrolment) -> Enrolled:
        """Make what was issued for `next_key` this host's identity for keeps, and return it.

        Call it once `issued` was verified, with what its certificate says in `enrolment` (`requests.with_certificate`).
        """
        number = max((int(place.name) for place in self.directory.iterdir() if place.name.isdecimal()), default=0) + 1
        directory = self.directory / str(number)
        durable.make_directory(directory, mode=0o700)
        files = {
            "key.pem": self._next.read_bytes(),
            CERTIFICATE: issued.certificate.encode(),
            "authority.pem": issued.authority.encode(),
            "root.json": issued.root.encode(),
            "enrolment.json": codec.canonical(enrolment),
        }
        for name, data in files.items():
            durable.replace(directory / name, data, mode=0o600)
        faults.reached("joining:before-pointer")
        durable.replace(self._pointer, f"{number}\n".encode(), mode=0o600)
        faults.reached("joining:after-pointer")
        self.sweep()
        return Enrolled(directory=directory, enrolment=enrolment)

    def sweep(self) -> None:
        """Remove what is no longer, or never became, this host's identity; a key that is in use is no longer one to ask for."""
        known = self.current()
        if known is None:
            return
        for place in self.directory.iterdir():
            if place.name.isdecimal() and place != known.directory:
                shutil.rmtree(place, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            if self._next.read_bytes() == known.key_file.read_bytes():
                durable.remove(self._next)


def _signing_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Return the key in a file that `next_key` wrote: by its layout, for OpenSSL's decoders take half a megabyte for good."""
    try:
        written = base64.b64decode("".join(path.read_text().splitlines()[1:-1]), validate=True)
    except (OSError, ValueError):
        written = b""
    if not written.startswith(LAYOUT):
        return read_key(path)
    return ec.derive_private_key(int.from_bytes(written[len(LAYOUT) : len(LAYOUT) + 32], "big"), ec.SECP256R1())


def read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Return the private key in a file; raise `MalformedError` if there is another thing in it."""
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        message = f"{path}: not a private key; enrol again: ordain-agent enroll"
        raise MalformedError(message) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        message = f"{path}: not a key of P-256; enrol again: ordain-agent enroll"
        raise MalformedError(message)
    return key
