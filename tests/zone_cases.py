"""A control zone that faces hosts, for tests: two tenants with signed controls, an authority, a registry and an OPA, behind mutual TLS.

shop   agents web-01, web-02 (fleet web), db-01 (db, may be imaged again), pool runners (web, at most 3, an hour's lease),
       pool lost (a platform nobody runs); at most 8 agents
lab    agent lab-01 (fleet bench), and one that is called as one of shop's: web-01
"""

import asyncio
import http.client
import json
import ssl
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agent.protocol import codec
from agent.protocol.enrolment import FORMAT, Token, TokenBody, split_pem, write_token
from agent.protocol.identity import AgentName
from reconciler.control.authority.ceremony import DOMAIN, development_authority
from reconciler.control.authority.keeper import Make
from reconciler.control.authority.rotation import Terms
from reconciler.control.authz.asking import Authz
from reconciler.control.enrolment.platforms import Platforms
from reconciler.control.enrolment.policy import Policy
from reconciler.control.identity import recording
from reconciler.control.registry import certificates, tokens
from reconciler.control.registry.registry import Registry
from reconciler.control.zone import Zone, ZoneSettings
from reconciler.pipeline.approve import write_controls
from reconciler.publication import controls
from reconciler.publication.ceremony import development_keys
from reconciler.publication.controls import Controls, Platform, Quotas
from reconciler.publication.keys import KeyRing
from reconciler.publication.store import LocalStore, Store
from tests import registry_cases

SECONDS = 30.0


@dataclass(slots=True)
class Clock:
    """The zone's clock: the real one, and what a test adds."""

    ahead: timedelta = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    @contextmanager
    def later(self, by: timedelta) -> Iterator[None]:
        """Be ahead for a while."""
        self.ahead = by
        try:
            yield
        finally:
            self.ahead = timedelta()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; `closed` says that the server ends the connection."""

    status: int
    body: Any
    closed: bool

    @property
    def code(self) -> str:
        """Of a refusal."""
        return str(self.body.get("code", "")) if isinstance(self.body, dict) else ""


@dataclass(slots=True, kw_only=True)
class Host:
    """A host: its key, and the certificate that it was given last, with its intermediate."""

    site: "Site"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    chain: str = ""

    @property
    def certificate(self) -> x509.Certificate:
        """Its own certificate."""
        return x509.load_pem_x509_certificate(split_pem(self.chain)[0].encode())

    def request(self) -> str:
        """Return a certificate request by its key."""
        return csr(self.key)

    def enrol(self, token: str = "", **more: object) -> Answer:
        """Enrol by a token; keep the certificate."""
        return self._take(self.site.ask("POST", "/v1/enrol", {"format": FORMAT, "request": self.request(), "token": token, **more}))

    def ask(self, method: str, path: str, body: object = None) -> Answer:
        """Ask over a connection of its own."""
        with self.connected() as connection:
            return ask(connection, method, path, body)

    def renew(self, key: ec.EllipticCurvePrivateKey) -> Answer:
        """Renew over the connection, for another key, and keep both."""
        answer = self.ask("POST", "/v1/certificates", {"format": FORMAT, "request": csr(key)})
        if answer.status == 201:
            self.key = key
        return self._take(answer)

    @contextmanager
    def connected(self) -> Iterator[http.client.HTTPSConnection]:
        """Give a connection by its certificate, which stays open between requests."""
        with self.site.connection(self.context()) as connection:
            yield connection

    def context(self) -> ssl.SSLContext:
        """Return TLS with its certificate."""
        context = ssl.create_default_context(cadata=self.site.zone.keeper.authority())
        with tempfile.NamedTemporaryFile() as file:
            file.write(self.chain.encode() + self.private)
            file.flush()
            context.load_cert_chain(file.name)
        return context

    @property
    def private(self) -> bytes:
        """Its key in PEM."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def _take(self, answer: Answer) -> Answer:
        if answer.status == 201:
            self.chain = answer.body["certificate"]
        return answer


@dataclass(slots=True, kw_only=True)
class Site:
    """A zone that runs."""

    directory: Path
    store: Store
    registry: Registry
    zone: Zone
    clock: Clock
    url: str = ""

    def connection(self, context: ssl.SSLContext | None = None) -> "_Connection":
        """Return a connection, without a client certificate unless the context has one."""
        host, _, port = self.url.removeprefix("https://").rpartition(":")
        return _Connection(host, int(port), context or ssl.create_default_context(cadata=self.zone.keeper.authority()))

    def ask(self, method: str, path: str, body: object = None) -> Answer:
        """Ask as nobody."""
        with self.connection() as connection:
            return ask(connection, method, path, body)

    def host(self) -> Host:
        """Return a host that is not enrolled."""
        return Host(site=self)

    def enrolled(self, agent: str = "web-01", tenant: str = "shop", *, reimage: bool = True) -> Host:
        """Return a host that enrolled by a token."""
        host = self.host()
        pool: dict[str, Any] = {"pool": agent[:-1]} if agent.endswith("/") else {"agent": agent}
        answer = host.enrol(self.token(tenant, **pool, reimage=reimage))
        assert answer.status == 201, answer.body
        return host

    def token(self, tenant: str = "shop", *, ttl: timedelta = timedelta(hours=1), **more: Any) -> str:
        """Return the text of a new enrolment token."""
        now = self.clock()
        with self.registry.begin() as connection:
            made, secret = tokens.create(connection, tenant, expires_at=now + ttl, by="operator:test", now=now, **more)
        return write_token(Token(body=TokenBody(id=made.id, tenant=tenant, authority=self.zone.fingerprints()), secret=secret))

    def made(self, agent: str = "web-02", *, tenant: str = "shop", life: timedelta, recorded: bool = True) -> Host:
        """Return a host with a certificate of so short a life, which the registry has as if it had enrolled."""
        host = self.host()
        name = AgentName(domain=DOMAIN, tenant=tenant, agent=agent)
        certified = self.zone.keeper.issue(host.key.public_key(), name, lifetime=life)
        host.chain = certified.chain
        if recorded:
            with self.registry.begin() as connection:
                certificates.record(connection, recording.row(certified.certificate, name), how="renewed", now=self.clock())
        return host


class _Connection(http.client.HTTPSConnection):
    def __init__(self, host: str, port: int, context: ssl.SSLContext) -> None:
        super().__init__(host, port, context=context, timeout=SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def ask(connection: http.client.HTTPSConnection, method: str, path: str, body: object = None) -> Answer:
    """Ask over a connection that may be used again."""
    data = b"" if body is None else codec.canonical(body)
    connection.request(method, path, body=data, headers={"Content-Length": str(len(data))})
    response = connection.getresponse()
    read = response.read()
    shown = json.loads(read) if response.headers.get_content_type() == "application/json" and read else read
    return Answer(status=response.status, body=shown, closed=response.headers.get("Connection", "") == "close")


def csr(key: ec.EllipticCurvePrivateKey) -> str:
    """Return a certificate request."""
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return made.public_bytes(Encoding.PEM).decode()


def shop(platforms: Mapping[str, list[Platform]]) -> Controls:
    """Return the controls of tenant shop; `platforms` by the name of an agent or a pool."""
    return Controls(
        tenant="shop",
        agents={
            "web-01": controls.Agent(labels={"role": "web"}, fleets=["web"], platforms=platforms.get("web-01", [])),
            "web-02": controls.Agent(labels={"role": "web"}, fleets=["web"]),
            "db-01": controls.Agent(labels={"role": "db"}, fleets=["db"], reimage=True),
        },
        pools={"runners": controls.Pool(fleets=["web"], maximum=3, lease=3600, platforms=platforms.get("runners", []))},
        fleets={"web": controls.Fleet(freshness=3600), "db": controls.Fleet(freshness=3600)},
        quotas=Quotas(agents=8),
    )


def lab() -> Controls:
    """Return the controls of tenant lab."""
    return Controls(
        tenant="lab",
        agents={"lab-01": controls.Agent(fleets=["bench"]), "web-01": controls.Agent(fleets=["bench"])},
        fleets={"bench": controls.Fleet(freshness=3600)},
    )


def founded(directory: Path, platforms: Mapping[str, list[Platform]] | None = None) -> LocalStore:
    """Make keys, trust, controls and authority of both tenants; return the store."""
    store = LocalStore(directory / "store")
    for tenant, written in (("shop", shop(platforms or {})), ("lab", lab())):
        rings = development_keys(directory / "keys", store, tenant)
        write_controls(store, rings.pipeline.signer(f"{tenant}/releases"), written, now=datetime.now(UTC))
    development_authority(directory / "keys", store, ["shop", "lab"])
    return store


@contextmanager
def site(
    directory: Path,
    opa: Path | None,
    *,
    platforms: Mapping[str, list[Platform]] | None = None,
    issuers: Platforms | None = None,
    make: Make | None = None,
    terms: Terms | None = None,
) -> Iterator[Site]:
    """Run a site; without an OPA nobody can enrol there."""
    store, clock = founded(directory, platforms), Clock()
    with ExitStack() as stack:
        registry = stack.enter_context(registry_cases.empty(directory))
        authz = stack.enter_context(Authz(opa)) if opa else None
        zone = Zone(
            ZoneSettings(
                store=store,
                ring=KeyRing(zone="control", directory=directory / "keys" / "control"),
                registry=registry,
                names=["127.0.0.1", "localhost"],
                policy=Policy(authz),
                platforms=issuers or Platforms(),
                make=make,
                terms=terms or Terms(),
                now=clock,
            )
        )
        made = Site(directory=directory, store=store, registry=registry, zone=zone, clock=clock)
        context = zone.listening.context()
        assert context is not None
        made.url = stack.enter_context(serving(zone.application(), context))
        yield made


@contextmanager
def serving(application: web.Application, context: ssl.SSLContext) -> Iterator[str]:
    """Serve an application as `serve` does, on a free port of 127.0.0.1, from a thread; yield its address."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # handshakes that fail on purpose are not told
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=1)
    loop.run_until_complete(runner.setup())
    loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
