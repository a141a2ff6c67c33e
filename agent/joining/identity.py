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

import contextlib
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from agent.disk import read_optional
from agent.protocol import codec, durable, faults
from agent.protocol.enrolment import Issued, split_pem
from agent.protocol.errors import MalformedError
from agent.protocol.state import Struct

PLACES = ("joining:after-key", "joining:before-pointer", "joining:after-pointer")
"""Where a crash test may kill the agent here."""
FORMAT = 1
CERTIFICATE = "certificate.pem"


class Enrolment(Struct):
    """As whom this host enrolled and where, and how its agent is run. `token` is the id of the token, which is no secret."""

    format: int
    server: str
    tenant: str
    agent: str
    root: str
    config: str
    token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """One identity. Its files stay as they are, until a renewal has made another."""

    directory: Path
    enrolment: Enrolment
    certificate: x509.Certificate

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
    def fingerprint(self) -> str:
        """The SHA-256 of the certificate in hexadecimal digits."""
        return fingerprint(self.certificate)

    @property
    def begins(self) -> datetime:
        """From when on the certificate is valid."""
        return self.certificate.not_valid_before_utc

    @property
    def ends(self) -> datetime:
        """Until when."""
        return self.certificate.not_valid_after_utc

    def sign(self, message: bytes) -> bytes:
        """Return the signature of this host's key: ECDSA, SHA-256, DER."""
        return read_key(self.key_file).sign(message, ec.ECDSA(hashes.SHA256()))


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
        try:
            certificate = leaf((directory / CERTIFICATE).read_text())
        except FileNotFoundError:
            enrolment = None
        if enrolment is None:
            message = f"{self._pointer}: it names no identity that is there; enrol again: ordain-agent enroll"
            raise MalformedError(message)
        return Enrolled(directory=directory, enrolment=enrolment, certificate=certificate)

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
        """Make what was issued for `next_key` this host's identity for keeps, and return it; call it once `issued` was verified."""
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
        return Enrolled(directory=directory, enrolment=enrolment, certificate=leaf(issued.certificate))

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


def certificates(text: str) -> list[x509.Certificate]:
    """Return the certificates of a PEM text; raise `MalformedError` for anything else."""
    try:
        return [x509.load_pem_x509_certificate(one.encode()) for one in split_pem(text)]
    except ValueError as error:
        message = f"a certificate that can't be read: {error}"
        raise MalformedError(message) from error


def leaf(text: str) -> x509.Certificate:
    """Return the first certificate of a PEM text; raises as `certificates` does."""
    return certificates(text)[0]


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of a certificate in hexadecimal digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()
