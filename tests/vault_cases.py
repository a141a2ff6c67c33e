"""A Vault for tests: OpenBao itself where its program is on PATH, else a server that speaks the part of its protocol that hosts use.

Both have a store at `secret`, a policy that lets hosts read below `apps/`, and three ways to log in: a token, an AppRole, a certificate.
"""

import ipaddress
import json
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ROOT = "root-token-of-the-test"
ROLE, SECRET = "role-of-web", "secret-of-web"
SECONDS = 60.0
"""Until a server that is started answers, on a machine that does ten other things."""
PORT = 18231


@dataclass
class Vault:
    """Where it is and what hosts need of it, as files in `place`; `asked` are the paths asked for, where that is known."""

    place: Path
    address: str = ""
    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    namespaces: set[str] = field(default_factory=set)
    hangs: threading.Event = field(default_factory=threading.Event)
    """Set unless its answers are to be waited for."""

    def __post_init__(self) -> None:
        self.hangs.set()

    def file(self, name: str) -> str:
        """Return the path of a file, as agent.toml names it."""
        return str(self.place / name)

    def put(self, path: str, **fields: Any) -> None:
        """Keep a secret in the store."""
        self.values[path] = fields

    def configuration(self, **stated: str) -> str:
        """Return a section of agent.toml."""
        lines = {"address": self.address, "ca": self.file("ca.pem"), **stated}
        return "[vault]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in lines.items())


@dataclass
class Bao(Vault):
    """A real one."""

    def put(self, path: str, **fields: Any) -> None:
        self.ask("POST", f"secret/data/{path}", {"data": fields})

    def ask(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        pool = urllib3.PoolManager(ca_certs=self.file("ca.pem"), retries=False, timeout=10.0)
        answer = pool.request(method, f"{self.address}/v1/{path}", json=body, headers={"X-Vault-Token": ROOT})
        assert answer.status < 300, answer.data
        found: dict[str, Any] = json.loads(answer.data) if answer.data else {}
        return found


def certificate(place: Path, name: str, *usage: x509.ObjectIdentifier) -> None:
    """Write a certificate that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.ExtendedKeyUsage(list(usage)), critical=False)
        .sign(key, hashes.SHA256())
    )
    (place / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (place / f"{name}.key").write_bytes(private)


class _Handler(BaseHTTPRequestHandler):
    vault: Vault
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.vault.asked.append(self.path)
        self.vault.namespaces.add(self.headers.get("X-Vault-Namespace", ""))
        path = self.path.removeprefix("/v1/secret/data/")
        token = self.headers.get("X-Vault-Token")
        self.vault.hangs.wait(SECONDS)
        if token not in (ROOT, "token-of-web") or not path.startswith("apps/"):
            self._answer(403, {"errors": ["permission denied"]})
        elif path not in self.vault.values:
            self._answer(404, {"errors": []})
        else:
            self._answer(200, {"data": {"data": self.vault.values[path], "metadata": {"version": 1}}})

    def do_POST(self) -> None:
        self.vault.asked.append(self.path)
        given = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))) or b"{}")
        connection: Any = self.connection
        known = self.path == "/v1/auth/approle/login" and given == {"role_id": ROLE, "secret_id": SECRET}
        known |= self.path == "/v1/auth/cert/login" and connection.getpeercert() not in ({}, None)
        body = {"auth": {"client_token": "token-of-web", "lease_duration": 60}} if known else {"errors": ["invalid role or secret ID"]}
        self._answer(200 if known else 400, body)

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is there
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: those who hang up are what is tested."""


@contextmanager
def spoken(place: Path) -> Iterator[Vault]:
    """Give a server that speaks the protocol."""
    vault = Vault(place=place)
    certificate(place, "ca", ExtendedKeyUsageOID.SERVER_AUTH)
    certificate(place, "host", ExtendedKeyUsageOID.CLIENT_AUTH)
    for name, text in (("token", ROOT), ("role_id", ROLE), ("secret_id", SECRET + "\n")):
        (place / name).write_text(text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(place / "ca.pem", place / "ca.key")
    context.load_verify_locations(place / "host.pem")
    context.verify_mode = ssl.CERT_OPTIONAL
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"vault": vault}))
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    vault.address = f"https://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield vault
    finally:
        server.shutdown()
        server.server_close()


def has_bao() -> bool:
    """Return whether there is a real one here."""
    return shutil.which("bao") is not None


@contextmanager
def real(place: Path) -> Iterator[Bao]:
    """Give a real OpenBao, with the same in it."""
    command = ["bao", "server", "-dev", "-dev-tls", f"-dev-root-token-id={ROOT}", f"-dev-listen-address=127.0.0.1:{PORT}"]
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, f"-dev-tls-cert-dir={place}"],
            stdout=log,
            stderr=log,
            env={"HOME": str(place), "PATH": "/usr/bin"},
            executable=shutil.which("bao"),
        )
        try:
            vault = Bao(place=place, address=f"https://127.0.0.1:{PORT}")
            _wait(place)
            (place / "vault-ca.pem").rename(place / "ca.pem")
            _furnish(vault)
            yield vault
        finally:
            process.terminate()
            process.wait(timeout=SECONDS)


def _wait(place: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while b"Root Token" not in (place / "log").read_bytes():
        assert time.monotonic() < deadline, (place / "log").read_text()
        time.sleep(0.05)


def _furnish(vault: Bao) -> None:
    certificate(vault.place, "host", ExtendedKeyUsageOID.CLIENT_AUTH)
    vault.ask("PUT", "sys/policies/acl/apps", {"policy": 'path "secret/data/apps/*" { capabilities = ["read"] }'})
    vault.ask("POST", "sys/auth/approle", {"type": "approle"})
    vault.ask("POST", "auth/approle/role/web", {"token_policies": "apps", "token_ttl": "60s"})
    role = vault.ask("GET", "auth/approle/role/web/role-id", {})["data"]["role_id"]
    secret = vault.ask("POST", "auth/approle/role/web/secret-id", {})["data"]["secret_id"]
    vault.ask("POST", "sys/auth/cert", {"type": "cert"})
    pem = (vault.place / "host.pem").read_text()
    vault.ask("POST", "auth/cert/certs/web", {"certificate": pem, "token_policies": "apps"})
    token = vault.ask("POST", "auth/token/create", {"policies": ["apps"], "ttl": "5m"})["auth"]["client_token"]
    for name, text in (("token", token), ("role_id", role), ("secret_id", secret)):
        (vault.place / name).write_text(text)
