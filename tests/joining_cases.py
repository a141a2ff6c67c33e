"""A control plane that hosts enrol with, over real TLS: authority, enrolment, renewal, watch and reports, as agents see them.

Certificates are made by the functions that `serve` makes them with. A test may have any address refuse, or set the server's clock.
"""

import base64
import io
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from agent.disk import Disk
from agent.joining.enrol import Asked, enrol
from agent.joining.identity import Enrolled
from agent.logs import Log
from agent.loop import Agent
from agent.operations.starting import TOLD, settings_for
from agent.protocol import codec, enrolment, identity, report, watching
from agent.protocol.enrolment import Authority, EnrolmentRequest, Issued, Refusal, RenewalRequest, Token, TokenBody
from agent.protocol.report import Acknowledged, Batch
from agent.protocol.watching import Leave, WatchAnswer, WatchRequest
from agent.stopping import Stop
from reconciler.control.authority import certificates
from reconciler.control.authority.certificates import Issuer
from reconciler.control.authority.requests import requested_key, require_continued
from reconciler.publication.times import stamp
from tests.agent_cases import Rig, Server, Tenant

DOMAIN = "ordain.test"
SECRET = base64.urlsafe_b64encode(bytes(32)).decode().rstrip("=")


def make_issuer(parent: Issuer | None = None, *, tenant: str = "shop") -> Issuer:
    """Return a root, or an intermediate of one."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    if parent is None:
        return Issuer(certificate=certificates.make_root(key, installation="test", now=now), key=key)
    made = certificates.make_intermediate(parent, key.public_key(), domain=DOMAIN, tenant=tenant, now=now)
    return Issuer(certificate=made, key=key)


def pem(*made: x509.Certificate) -> str:
    """Return certificates as PEM."""
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in made)


class Controlled(Server):
    """What an agent sees of `serve`, in one thread for each connection. `refusals` is path → status and refusal, until taken away."""

    def __init__(self, directory: Path) -> None:
        """Listen on loopback with a certificate of a new authority."""
        super().__init__()
        super().close()
        self.root = make_issuer()
        self.roots = [self.root]
        self.issuer = make_issuer(self.root)
        self.agent = "web-01"
        self.tokens = {"1": SECRET}
        self.lifetime = timedelta(hours=24)
        self.clock_apart = timedelta(0)
        self.refusals: dict[str, tuple[int, Refusal]] = {}
        self.retry_after: dict[str, int] = {}
        self.over: set[str] = set()
        """Fingerprints of certificates that are no longer in their time."""
        self.keys: list[bytes] = []
        self.shown: list[tuple[str, str]] = []
        """Path → fingerprint of the client's certificate, "" for none."""
        self.enrolled: list[EnrolmentRequest] = []
        self.batches: list[Batch] = []
        self.watched: list[WatchRequest] = []
        self.leave: Leave | None = None
        self.answer_report = False
        self.every = 60
        self.brief = False
        self.root_metadata = ""
        self.revoked: set[str] = set()
        self.kept = 0
        self.lose_answers = 0
        """Reports that are kept and whose answers get lost."""
        self._news = threading.Condition()
        self._open: set[Any] = set()
        self._tls = self._context(directory)
        self._http = _Tls(self)
        self.url = f"https://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def _context(self, directory: Path) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        made = certificates.issue_server(self.root, key.public_key(), names=["127.0.0.1"], now=datetime.now(UTC))
        file = directory / "server.pem"
        file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + pem(made).encode())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=pem(self.root.certificate))
        return context

    def wrap(self, connection: Any) -> Any:
        """Return a connection as one of TLS, for closing at the end."""
        wrapped = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        self._open.add(wrapped)
        return wrapped

    def token(self, number: str = "1") -> str:
        """Return an enrolment token of the tenant shop."""
        roots = [certificates.fingerprint(one.certificate) for one in self.roots]
        return enrolment.write_token(Token(body=TokenBody(id=number, tenant="shop", authority=roots), secret=SECRET))

    def stir(self) -> None:
        """Wake who waits, as a publication does."""
        with self._news:
            self._news.notify_all()

    def close(self) -> None:
        """Stop serving, held requests too."""
        self._http.shutdown()
        self.refusals["/v1/watch"] = 503, Refusal(code="unavailable", error="going")
        self.stir()
        for connection in self._open:
            connection.close()
        self._http.server_close()

    def now(self) -> datetime:
        """Return the server's time."""
        return datetime.now(UTC) + self.clock_apart

    # What it answers

    def ask(self, path: str, body: bytes, shown: str, certificate: x509.Certificate | None) -> tuple[int, bytes]:
        """Return status and body for a POST."""
        self.requests.append((path, len(body)))
        self.shown.append((path, shown))
        if path in self.refusals:
            return self._refused(*self.refusals[path])
        if shown in self.revoked and shown:
            return self._refused(403, Refusal(code="revoked", error="the certificate is revoked"))
        if shown in self.over:
            return self._refused(401, Refusal(code="unauthenticated", error="the certificate of this connection ran out"))
        if certificate is None and path not in ("/v1/enrol", "/v1/certificates/lapsed"):
            return self._refused(401, Refusal(code="unauthenticated", error="no certificate"))
        answers: dict[str, Callable[[], tuple[int, bytes]]] = {
            "/v1/enrol": lambda: self._enrol(codec.decode(body, EnrolmentRequest, what=path)),
            "/v1/certificates": lambda: self._issue(codec.decode(body, RenewalRequest, what=path).request),
            "/v1/certificates/lapsed": lambda: self._renew_lapsed(codec.decode(body, RenewalRequest, what=path)),
            "/v1/watch": lambda: (200, self._watch(codec.decode(body, WatchRequest, what=path))),
            "/v1/reports": lambda: self._report(codec.decode(body, Batch, what=path)),
        }
        return answers[path]()

    def _renew_lapsed(self, asked: RenewalRequest) -> tuple[int, bytes]:
        old = x509.load_pem_x509_certificate(asked.certificate.encode())
        require_continued(old, asked.request.encode(), base64.b64decode(asked.proof))
        return self._issue(asked.request)

    def _refused(self, status: int, refusal: Refusal) -> tuple[int, bytes]:
        return status, codec.canonical(msgspec.structs.replace(refusal, server_time=stamp(self.now())))

    def authority(self) -> bytes:
        """Return the answer to who it is."""
        roots = pem(*(one.certificate for one in self.roots))
        return codec.canonical(Authority(format=enrolment.FORMAT, authority=roots, server_time=stamp(self.now())))

    def _enrol(self, asked: EnrolmentRequest) -> tuple[int, bytes]:
        self.enrolled.append(asked)
        key = requested_key(asked.request.encode()).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if asked.token:
            body = enrolment.read_token(asked.token).body
            if self.tokens.get(body.id) is None or (self.keys and key not in self.keys):
                return self._refused(401, Refusal(code="unauthenticated", error="the token was used, or its time is over"))
        self.keys.append(key)
        return self._issue(asked.request)

    def _issue(self, request: str) -> tuple[int, bytes]:
        key = requested_key(request.encode())
        name = identity.spiffe(DOMAIN, "shop", self.agent)
        made = certificates.issue_agent(self.issuer, key, name=name, now=self.now(), lifetime=self.lifetime)
        answer = Issued(
            format=enrolment.FORMAT,
            tenant="shop",
            agent=self.agent,
            certificate=pem(made, self.issuer.certificate),
            authority=pem(*(one.certificate for one in self.roots)),
            root=self.root_metadata,
            server_time=stamp(self.now()),
        )
        return 201, codec.canonical(answer)

    def _watch(self, asked: WatchRequest) -> bytes:
        self.watched.append(asked)
        fleets = self.hints.get(f"shop/{self.agent}", [])
        until = time.monotonic() + asked.wait
        with self._news:
            while not (newer := self._newer(asked, fleets)) and sorted(asked.fleets) == sorted(fleets) and self.leave is None:
                left = until - time.monotonic()
                if left <= 0 or "/v1/watch" in self.refusals or self.answer_report:
                    break
                self._news.wait(left)
        answer = WatchAnswer(
            format=watching.FORMAT,
            fleets=fleets,
            every=self.every,
            brief=self.brief,
            parts=newer,
            report=self.answer_report,
            leave=self.leave,
        )
        self.answer_report = False
        return codec.canonical(answer)

    def _newer(self, asked: WatchRequest, fleets: list[str]) -> dict[str, dict[str, str]]:
        found = {}
        for fleet in fleets:
            base = f"/v1/repositories/shop/{fleet}/"
            data = self.files.get(f"{base}metadata/timestamp.json")
            if data is not None and json.loads(data)["signed"]["version"] > asked.versions.get(fleet, 0):
                found[fleet] = self._part(base, json.loads(data)["signed"]["version"])
        return found

    def _part(self, base: str, version: int) -> dict[str, str]:
        names = {path.removeprefix(base): data for path, data in self.files.items() if path.startswith(base)}
        newest = max((name for name in names if name.endswith(".root.json")), key=lambda name: int(name.split("/")[1].split(".")[0]))
        wanted = ["metadata/timestamp.json", newest, newest.replace("root", "targets")]
        wanted += [f"metadata/{version}.{role}.json" for role in ("snapshot", "releases", "rollouts")]
        wanted += [name for name in names if name.startswith("targets/rollouts/")]
        return {name: names[name].decode() for name in wanted}

    def _report(self, batch: Batch) -> tuple[int, bytes]:
        if batch.sequence > self.kept:
            self.batches.append(batch)
            self.kept = batch.sequence
        if self.lose_answers:
            self.lose_answers -= 1
            return 500, b""
        answer = Acknowledged(format=report.FORMAT, sequence=self.kept, every=self.every, brief=self.brief)
        return 200, codec.canonical(answer)


class _Tls(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, server: Controlled) -> None:
        self._server = server

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                data = server.authority() if self.path == "/v1/authority" else server.body(self.path)
                server.requests.append((self.path, len(data or b"")))
                self._answer(404 if data is None else 200, data or b"")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                der = self.connection.getpeercert(binary_form=True)
                certificate = x509.load_der_x509_certificate(der) if der else None
                try:
                    status, data = server.ask(self.path, body, sha256(der).hexdigest() if der else "", certificate)
                except Exception as error:  # noqa: BLE001 - what the agent sent is what a test is about
                    status, data = 400, codec.canonical(Refusal(code="malformed", error=str(error)))
                self._answer(status, data)

            def _answer(self, status: int, data: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                if self.path in server.retry_after:
                    self.send_header("Retry-After", str(server.retry_after[self.path]))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                """Keep the test's output clean."""

        super().__init__(("127.0.0.1", 0), Handler)

    def get_request(self) -> Any:
        connection, address = super().get_request()
        return self._server.wrap(connection), address

    def handle_error(self, *_: Any) -> None:
        """Clients break off, and some are refused by TLS: neither is this server's fault."""


class Joined(Rig):
    """A host that enrols with a controlled server; `run` and `command` need no more than its state."""

    server: Controlled

    def command(self, *options: str) -> list[str]:
        """Return the command line of an agent that is enrolled."""
        return [sys.executable, "-m", "agent", "run", "--state", str(self.state), *options]

    def join(self) -> Enrolled:
        """Enrol in this process."""
        token = enrolment.read_token(self.server.token())
        asked = Asked(server=self.server.url, tenant="shop", fingerprints=tuple(token.body.authority), token=token)
        return enrol(asked, Disk(root=self.state), root=self.root.resolve(), config=self.config, facts={})[0]

    def agent(self, poll: float = 30.0) -> Agent:
        """Return an agent of this host, in this process; `log` is what it says."""
        settings, enrolled = settings_for(self.state, root=None, config=None, poll=poll, **dict.fromkeys(TOLD))
        self.said, self.stop = io.StringIO(), Stop()
        return Agent(settings, Log("text", self.said), self.stop, enrolled)

    def poll(self) -> int:
        """Poll once in this process; `log` then holds what the agent said."""
        try:
            return self.agent().run(once=True)
        finally:
            self.log = self.said.getvalue()

    def enroll(self, *options: str, fault: str = "") -> subprocess.CompletedProcess[str]:
        """Enrol in a process of its own; `fault` is where it dies."""
        command = [
            sys.executable,
            "-m",
            "agent",
            "enroll",
            "--server",
            self.server.url,
            "--state",
            str(self.state),
            "--root",
            str(self.root),
        ]
        given = options or ("--token", "-")
        environment = {**os.environ, "ORDAIN_FAULT": fault}
        return subprocess.run(
            [*command, *given], env=environment, input=self.server.token(), capture_output=True, text=True, check=False, timeout=60
        )


@contextmanager
def joined(directory: Path) -> Iterator[Joined]:
    """Give a host and a control plane that it may enrol with."""
    server = Controlled(directory)
    tenant = Tenant(server.files)
    server.root_metadata = tenant.roots[0].decode()
    try:
        yield Joined(directory, server, tenant)
    finally:
        server.close()
