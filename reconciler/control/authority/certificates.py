"""Making certificates (RFC 5280): the root, a tenant's intermediate, agents' and the server's own.

An agent's certificate carries one name, its SPIFFE-ID (X509-SVID, sections 2 to 5), and may authenticate a client and nothing else.
An intermediate may sign for its tenant's trust domain alone, and says by a name of its own which tenant that is.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent.protocol import identity

ROOT_LIFETIME = timedelta(days=3650)
INTERMEDIATE_LIFETIME = timedelta(days=730)
AGENT_LIFETIME = timedelta(hours=24)
SERVER_LIFETIME = timedelta(days=30)
BACKDATED = timedelta(minutes=5)
"""Before the instant of issue an agent's certificate is valid already, by a tenth of its life at most: its holder renews at half of it."""
FAR_BACKDATED = timedelta(days=2)
"""As for certificates that hosts look at: one whose clock is a day behind must get through, to hear, signed, what time it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """Who signs: a certificate, and the key that it names."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def make_root(key: ec.EllipticCurvePrivateKey, *, installation: str, now: datetime, generation: int = 1) -> x509.Certificate:
    """Return an installation's root, which signs itself and intermediates only; `generation` keeps names apart where keys are the same."""
    name = _name(f"ordain {installation} root", generation)
    builder = _builder(name, key.public_key(), now, ROOT_LIFETIME).issuer_name(name)
    return _authority(builder, key.public_key(), depth=1).sign(key, hashes.SHA256())


def make_intermediate(
    root: Issuer, key: ec.EllipticCurvePublicKey, *, domain: str, tenant: str, now: datetime, generation: int = 1
) -> x509.Certificate:
    """Return a tenant's intermediate, which signs certificates of that tenant's agents only."""
    lifetime = min(INTERMEDIATE_LIFETIME, root.certificate.not_valid_after_utc - now)
    builder = _builder(_name(f"ordain {tenant}", generation), key, now, lifetime).issuer_name(root.certificate.subject)
    builder = _authority(builder, key, depth=0, issuer=root)
    builder = builder.add_extension(
        x509.NameConstraints(permitted_subtrees=[x509.UniformResourceIdentifier(domain)], excluded_subtrees=None), critical=True
    )
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    builder = builder.add_extension(_uri(f"spiffe://{domain}/{tenant}"), critical=False)
    return builder.sign(root.key, hashes.SHA256())


def make_server_intermediate(root: Issuer, key: ec.EllipticCurvePublicKey, *, now: datetime, generation: int = 1) -> x509.Certificate:
    """Return the intermediate that signs what servers show, and could not make an agent."""
    lifetime = min(INTERMEDIATE_LIFETIME, root.certificate.not_valid_after_utc - now)
    builder = _builder(_name("ordain servers", generation), key, now, lifetime).issuer_name(root.certificate.subject)
    builder = _authority(builder, key, depth=0, issuer=root)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return builder.sign(root.key, hashes.SHA256())


def issue_agent(
    issuer: Issuer, key: ec.EllipticCurvePublicKey, *, name: str, now: datetime, lifetime: timedelta = AGENT_LIFETIME
) -> x509.Certificate:
    """Return an agent's certificate for its SPIFFE-ID `name`; it never outlives its issuer."""
    lifetime = min(lifetime, issuer.certificate.not_valid_after_utc - now)
    builder = _builder(x509.Name([]), key, now, lifetime, backdated=min(BACKDATED, lifetime / 10)).issuer_name(issuer.certificate.subject)
    builder = _leaf(builder, issuer, ExtendedKeyUsageOID.CLIENT_AUTH)
    return builder.add_extension(_uri(name), critical=True).sign(issuer.key, hashes.SHA256())  # critical: the subject is empty


def issue_server(
    issuer: Issuer, key: ec.EllipticCurvePublicKey, *, names: Sequence[str], now: datetime, lifetime: timedelta = SERVER_LIFETIME
) -> x509.Certificate:
    """Return a server's own certificate for host names and addresses; it never outlives its issuer."""
    lifetime = min(lifetime, issuer.certificate.not_valid_after_utc - now)
    builder = _builder(_name("ordain server"), key, now, lifetime).issuer_name(issuer.certificate.subject)
    builder = _leaf(builder, issuer, ExtendedKeyUsageOID.SERVER_AUTH)
    stated = x509.SubjectAlternativeName([_host(name) for name in names])
    return builder.add_extension(stated, critical=False).sign(issuer.key, hashes.SHA256())


def agent_name(certificate: x509.Certificate) -> identity.AgentName:
    """Return whose certificate it is.

    Raises:
        MalformedError: it does not carry just one name, or that is no agent's.
    """
    return identity.read_spiffe(_only_uri(certificate))


def tenant_of(intermediate: x509.Certificate) -> str:
    """Return for which tenant an intermediate signs, "" if it is none of ordain's."""
    return _only_uri(intermediate).rpartition("/")[2]


def domain_of(intermediate: x509.Certificate) -> str:
    """Return for which trust domain a tenant's intermediate signs, "" if it is none of ordain's."""
    return _only_uri(intermediate).removeprefix("spiffe://").rpartition("/")[0]


def fingerprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of a certificate in hexadecimal digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def _only_uri(certificate: x509.Certificate) -> str:
    try:
        stated = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ""
    names = list(stated)
    only = names[0] if len(names) == 1 else None
    return only.value if isinstance(only, x509.UniformResourceIdentifier) else ""


def _name(text: str, generation: int = 1) -> x509.Name:
    following = f" {generation}" if generation > 1 else ""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[: 64 - len(following)] + following)])


def _uri(text: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(text)])


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, lifetime: timedelta, *, backdated: timedelta = FAR_BACKDATED
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).public_key(key).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - backdated).not_valid_after(now + lifetime)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _authority(
    builder: x509.CertificateBuilder, key: ec.EllipticCurvePublicKey, *, depth: int, issuer: Issuer | None = None
) -> x509.CertificateBuilder:
    signer = issuer.certificate.public_key() if issuer else key
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=depth), critical=True)
    builder = builder.add_extension(_usage(signs=True), critical=True)
    return builder.add_extension(_signed_by(signer), critical=False)


def _leaf(builder: x509.CertificateBuilder, issuer: Issuer, use: x509.ObjectIdentifier) -> x509.CertificateBuilder:
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
    return builder.add_extension(_signed_by(issuer.certificate.public_key()), critical=False)


def _signed_by(key: object) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)  # type: ignore[arg-type]
