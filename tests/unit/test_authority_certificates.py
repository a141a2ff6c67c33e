"""Certificates: who they name, what they may be used for, and that each is believed only where it should be. OpenSSL judges too."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner

from agent.protocol.errors import InputError, MalformedError, OrdainError, RefusedError
from agent.protocol.identity import AgentName, read_spiffe, renewal_message, spiffe
from reconciler.control.authority import certificates
from reconciler.control.authority.certificates import Issuer
from reconciler.control.authority.requests import requested_key, require_continued
from reconciler.control.authority.signing import SigningKey

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DOMAIN = "fleet.example.com"


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def root() -> Issuer:
    key = SigningKey(CryptoSigner.generate_ecdsa())
    return Issuer(certificate=certificates.make_root(key, installation="test", now=NOW), key=key)


def tenant(root: Issuer, name: str = "shop") -> Issuer:
    key = SigningKey(CryptoSigner.generate_ecdsa())
    made = certificates.make_intermediate(root, key.public_key(), domain=DOMAIN, tenant=name, now=NOW)
    return Issuer(certificate=made, key=key)


def request(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "whoever I say")])
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, algorithm).public_bytes(Encoding.PEM)


def openssl_says(directory: Path, root: Issuer, chain: list[x509.Certificate], leaf: x509.Certificate, purpose: str) -> str:
    """Return what OpenSSL says of a certificate, at NOW; "" where it is good."""
    for name, listed in (("root", [root.certificate]), ("chain", chain), ("leaf", [leaf])):
        (directory / name).write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in listed))
    at = ["-attime", str(int(NOW.timestamp())), "-purpose", purpose, "-x509_strict"]
    places = ["-CAfile", str(directory / "root"), "-untrusted", str(directory / "chain")]
    done = subprocess.run(["openssl", "verify", *at, *places, str(directory / "leaf")], check=False, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.needs("openssl")
def test_an_agents_certificate_is_good_to_openssl_for_a_client_and_for_nothing_else(root: Issuer, tmp_path: Path) -> None:
    shop = tenant(root)
    leaf = certificates.issue_agent(shop, new_key().public_key(), name=spiffe(DOMAIN, "shop", "web-01"), now=NOW)
    assert openssl_says(tmp_path, root, [shop.certificate], leaf, "sslclient") == ""
    assert "purpose" in openssl_says(tmp_path, root, [shop.certificate], leaf, "sslserver")
    assert certificates.agent_name(leaf) == AgentName(domain=DOMAIN, tenant="shop", agent="web-01")
    assert leaf.not_valid_after_utc - NOW == timedelta(hours=24)


@pytest.mark.needs("openssl")
def test_a_servers_certificate_is_good_for_a_server_and_for_nothing_else(root: Issuer, tmp_path: Path) -> None:
    leaf = certificates.issue_server(root, new_key().public_key(), names=["ordain.example.com", "127.0.0.1", "::1"], now=NOW)
    assert openssl_says(tmp_path, root, [root.certificate], leaf, "sslserver") == ""
    assert "purpose" in openssl_says(tmp_path, root, [root.certificate], leaf, "sslclient")
    with pytest.raises(MalformedError):
        certificates.agent_name(leaf)


@pytest.mark.needs("openssl")
def test_an_intermediate_can_not_sign_for_another_trust_domain(root: Issuer, tmp_path: Path) -> None:
    shop = tenant(root)
    leaf = certificates.issue_agent(shop, new_key().public_key(), name=spiffe("elsewhere.example.com", "shop", "web-01"), now=NOW)
    assert "permitted subtree" in openssl_says(tmp_path, root, [shop.certificate], leaf, "sslclient")


@pytest.mark.needs("openssl")
def test_an_agents_certificate_signs_nothing(root: Issuer, tmp_path: Path) -> None:
    shop, key = tenant(root), new_key()
    leaf = certificates.issue_agent(shop, key.public_key(), name=spiffe(DOMAIN, "shop", "web-01"), now=NOW)
    forged = certificates.issue_agent(
        Issuer(certificate=leaf, key=key), new_key().public_key(), name=spiffe(DOMAIN, "shop", "db-01"), now=NOW
    )
    assert openssl_says(tmp_path, root, [leaf, shop.certificate], forged, "sslclient") != ""


def test_an_intermediate_says_for_which_tenant_it_signs(root: Issuer) -> None:
    assert certificates.tenant_of(tenant(root, "bank").certificate) == "bank"
    assert certificates.tenant_of(root.certificate) == ""


def test_nothing_outlives_who_signed_it(root: Issuer) -> None:
    late = root.certificate.not_valid_after_utc - timedelta(hours=1)
    key = SigningKey(CryptoSigner.generate_ecdsa())
    made = certificates.make_intermediate(root, key.public_key(), domain=DOMAIN, tenant="shop", now=late)
    assert made.not_valid_after_utc == root.certificate.not_valid_after_utc
    leaf = certificates.issue_agent(Issuer(certificate=made, key=key), key.public_key(), name=spiffe(DOMAIN, "shop", "a"), now=late)
    assert leaf.not_valid_after_utc == made.not_valid_after_utc


@pytest.mark.parametrize("signer", [CryptoSigner.generate_ed25519(), CryptoSigner.generate_rsa()])
def test_a_key_of_another_kind_can_not_be_the_authoritys(signer: CryptoSigner) -> None:
    with pytest.raises(InputError, match="ecdsa-sha2-nistp256"):
        SigningKey(signer)


# Requests


def test_of_a_request_only_the_key_counts() -> None:
    key = new_key()
    assert requested_key(request(key)) == key.public_key()


def test_requests_with_keys_of_another_kind_are_refused() -> None:
    for key in (rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP384R1())):
        with pytest.raises(RefusedError, match="P-256"):
            requested_key(request(key))


def test_a_request_that_somebody_altered_is_no_request() -> None:
    key = new_key()
    der = bytearray(x509.load_pem_x509_csr(request(key)).public_bytes(Encoding.DER))
    der[-1] ^= 1
    altered = x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM)
    with pytest.raises(MalformedError, match="not signed by the key"):
        requested_key(altered)


@given(st.binary(max_size=400))
def test_whatever_else_comes_is_refused_in_words(data: bytes) -> None:
    for pem in (data, b"-----BEGIN CERTIFICATE REQUEST-----\n" + data, request(new_key())[:-60] + data):
        with pytest.raises(OrdainError):
            requested_key(pem)


def test_a_lapsed_certificate_is_renewed_by_its_own_key_alone(root: Issuer) -> None:
    shop, key = tenant(root), new_key()
    old = certificates.issue_agent(shop, key.public_key(), name=spiffe(DOMAIN, "shop", "web-01"), now=NOW)
    wanted = request(new_key())
    proof = key.sign(renewal_message(wanted, old.public_bytes(Encoding.DER)), ec.ECDSA(hashes.SHA256()))
    require_continued(old, wanted, proof)
    for request_, proof_ in ((request(new_key()), proof), (wanted, proof[:-1]), (wanted, b"")):
        with pytest.raises(RefusedError):
            require_continued(old, request_, proof_)
    stranger = new_key().sign(renewal_message(wanted, old.public_bytes(Encoding.DER)), ec.ECDSA(hashes.SHA256()))
    with pytest.raises(RefusedError):
        require_continued(old, wanted, stranger)


# Names


@pytest.mark.parametrize("agent", ["web-01", "runners/7f3a"])
def test_a_name_is_read_as_it_is_written(agent: str) -> None:
    uri = spiffe(DOMAIN, "shop", agent)
    assert read_spiffe(uri).uri == uri
    assert read_spiffe(uri).agent == agent


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "spiffe://d/shop",
        "spiffe://d/shop/agent/",
        "spiffe://d/shop/agent/a/b",
        "spiffe://d/shop/pool/a",
        "spiffe://d/shop/agent/../bank",
        "spiffe://d/SHOP/agent/a",
        "spiffe://d/shop/agent/a?x",
        "spiffe://d/shop/agent/a#x",
        "spiffe://d:1/shop/agent/a",
        "spiffe://u@d/shop/agent/a",
        "https://d/shop/agent/a",
        "spiffe://d/shop/agent/a\n",
        "spiffe://d/shop/agent/%61",
    ],
)
def test_what_is_no_agents_name_is_refused(uri: str) -> None:
    with pytest.raises(MalformedError):
        read_spiffe(uri)
