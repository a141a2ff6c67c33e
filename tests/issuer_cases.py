"""An identity provider for tests: discovery, keys, id tokens that it really signs, and sign-in on another device (RFC 8628), behind TLS."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwk, jwt

from reconciler.control.authority import certificates

CLIENT = "ordain-cli"


@dataclass(slots=True, kw_only=True)
class Issuer:
    """What it says, which a test may change: `answers` are what the token endpoint says next, in order, before it gives a token."""

    authority: Path
    url: str = ""
    key: jwk.ECKey = field(default_factory=lambda: made_key("first"))
    published: list[jwk.ECKey] = field(default_factory=list)
    person: dict[str, Any] = field(default_factory=dict)
    answers: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def token(self, *, key: jwk.ECKey | None = None, **claims: Any) -> str:
        """Return an id token for the client; a claim that is None is left out."""
        now = int(time.time())
        said = {"iss": self.url, "sub": "ana", "aud": CLIENT, "iat": now, "exp": now + 300, **self.person, **claims}
        key = key or self.key
        header = {"alg": "ES256", "kid": key.kid or ""}
        return jwt.encode(header, {name: value for name, value in said.items() if value is not None}, key)

    def rotate(self, name: str) -> None:
        """Sign with a new key, which is published beside the old one."""
        self.key = made_key(name)
        self.published.append(self.key)


def made_key(name: str) -> jwk.ECKey:
    """Return a key by that name."""
    return jwk.ECKey.generate_key("P-256", {"kid": name, "use": "sig"})


@contextmanager
def issuer(directory: Path) -> Iterator[Issuer]:
    """Run one; `authority` is a file with the root that vouches for it."""
    chain, root = _certificates(directory)
    made = Issuer(authority=root)
    made.published.append(made.key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"of": made}))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    made.url = f"https://localhost:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    of: Issuer

    def do_GET(self) -> None:
        documents = {
            "/.well-known/openid-configuration": {
                "issuer": self.of.url,
                "jwks_uri": f"{self.of.url}/keys",
                "device_authorization_endpoint": f"{self.of.url}/device",
                "token_endpoint": f"{self.of.url}/token",
            },
            "/keys": {"keys": [key.as_dict(private=False) for key in self.of.published]},
        }
        self._answer(200 if self.path in documents else 404, documents.get(self.path, {}))

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.of.asked.append(self.path)
        if form["client_id"] != [CLIENT]:
            self._answer(400, {"error": "invalid_client"})
        elif self.path == "/device":
            said = {"device_code": "d", "user_code": "ABCD-EFGH", "verification_uri": f"{self.of.url}/go", "expires_in": 60, "interval": 1}
            self._answer(200, said)
        elif self.of.answers:
            self._answer(400, {"error": self.of.answers.pop(0)})
        else:
            self._answer(200, {"id_token": self.of.token(), "token_type": "Bearer"})

    def _answer(self, status: int, said: object) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        """Say nothing."""


def _certificates(directory: Path) -> tuple[Path, Path]:
    """Make a root and what a server of localhost shows; return the files of both."""
    now, pem = datetime.now(UTC), serialization.Encoding.PEM
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
    root = certificates.Issuer(certificate=certificates.make_root(keys[0], installation="issuer", now=now), key=keys[0])
    middle = certificates.Issuer(certificate=certificates.make_server_intermediate(root, keys[1].public_key(), now=now), key=keys[1])
    leaf = certificates.issue_server(middle, keys[2].public_key(), names=["localhost"], now=now)
    key = keys[2].private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    chain, authority = directory / "issuer.pem", directory / "issuer-root.pem"
    chain.write_bytes(leaf.public_bytes(pem) + middle.certificate.public_bytes(pem) + key)
    authority.write_bytes(root.certificate.public_bytes(pem))
    return chain, authority
