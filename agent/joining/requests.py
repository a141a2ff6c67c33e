"""What a host asks for, and whether what it got is what it asked for: pure, but for randomness."""

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from agent.joining.identity import Enrolment
from agent.protocol.enrolment import Issued, split_pem
from agent.protocol.errors import MalformedError, RefusedError
from agent.protocol.identity import AgentName, read_spiffe

CHAIN = 2
"""A certificate and the intermediate that signed it."""


def certificate_request(key: ec.EllipticCurvePrivateKey) -> str:
    """Return a certificate request (PKCS #10) in PEM. It says nothing but the key: who asks, a token or a certificate says."""
    return x509.CertificateSigningRequestBuilder(x509.Name([])).sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def require_issued(issued: Issued, key: ec.EllipticCurvePrivateKey, *, tenant: str, agent: str = "") -> AgentName:
    """Return whose certificate was issued, once it is known to be ours: for our key, by the authority, for this tenant (and agent).

    Raises:
        RefusedError: for another key, tenant or agent, or not signed by the roots that came along.
        MalformedError: no certificates.
    """
    chain, roots = certificates(issued.certificate), certificates(issued.authority)
    if len(chain) != CHAIN or chain[0].public_key() != key.public_key():
        message = "the server sent a certificate for another key than this host's; nothing of it is used"
        raise RefusedError(message)
    if not _signed(chain[0], [chain[1]]) or not _signed(chain[1], roots):
        message = "the server sent a certificate that its own authority did not sign; nothing of it is used"
        raise RefusedError(message)
    name = agent_name(chain[0])
    if (name.tenant, name.agent) != (issued.tenant, issued.agent) or name.tenant != tenant or (agent and name.agent != agent):
        message = f"the server sent a certificate of {name.tenant}/{name.agent}, not of {tenant}/{agent or issued.agent}; it is not used"
        raise RefusedError(message)
    return name


def agent_name(certificate: x509.Certificate) -> AgentName:
    """Return whose certificate it is; raise `MalformedError` if it does not carry just one SPIFFE-ID."""
    try:
        stated = list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except (x509.ExtensionNotFound, ValueError):
        stated = []
    if len(stated) != 1 or not isinstance(stated[0], x509.UniformResourceIdentifier):
        message = "a certificate that does not carry just one name"
        raise MalformedError(message)
    return read_spiffe(stated[0].value)


def _signed(certificate: x509.Certificate, issuers: list[x509.Certificate]) -> bool:
    return any(_signed_by(certificate, issuer) for issuer in issuers)


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def with_certificate(enrolment: Enrolment, issued: Issued) -> Enrolment:
    """Return an enrolment with what the certificate that was issued says."""
    made = certificates(issued.certificate)[0]
    return msgspec.structs.replace(
        enrolment,
        fingerprint=fingerprint(made),
        begins=int(made.not_valid_before_utc.timestamp()),
        ends=int(made.not_valid_after_utc.timestamp()),
    )


def certificates(text: str) -> list[x509.Certificate]:
    """Return the certificates of a PEM text; raise `MalformedError` for anything else."""
    try:
        return [x509.load_pem_x509_certificate(one.encode()) for one in split_pem(text)]
    except ValueError as error:
        message = f"a certificate that can't be read: {error}"
        raise MalformedError(message) from error


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of a certificate in hexadecimal digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()
