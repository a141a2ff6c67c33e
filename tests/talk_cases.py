"""A control zone that agents talk to over mutual TLS, in this process, with real certificates: for tests of watches, reports and limits."""

import asyncio
import base64
import io
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import aiohttp
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agent.protocol import codec, report, watching
from agent.protocol.identity import AgentName
from agent.protocol.report import Acknowledged, Batch, Receipt, SignedReceipt
from agent.protocol.watching import WatchAnswer, WatchRequest
from reconciler.control.api import files
from reconciler.control.api.application import secure
from reconciler.control.api.gate import Gate
from reconciler.control.api.routes import AGENT
from reconciler.control.api.talk import Talk
from reconciler.control.authority.ceremony import DOMAIN, development_authority
from reconciler.control.authority.certificates import fingerprint
from reconciler.control.authority.keeper import Keeper
from reconciler.control.authority.listening import BACKLOG, Listening
from reconciler.control.identity.agents import Agents
from reconciler.control.identity.recording import row
from reconciler.control.identity.standing import Standing
from reconciler.control.known import KnownTenants
from reconciler.control.registry import agents as rows
from reconciler.control.registry import certificates
from reconciler.control.registry.registry import Registry
from reconciler.pipeline.approve import write_controls
from reconciler.publication import controls
from reconciler.publication.controls import Controls, Quotas, Reporting
from reconciler.publication.store import LocalStore
from tests import registry_cases
from tests.publication_cases import Zone, make_zone

PATIENCE = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """An enrolled agent: its name, its key, the certificate that it shows, and a context that shows it."""

    tenant: str
    agent: str
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    chain: str
    context: ssl.SSLContext

    @property
    def fingerprint(self) -> str:
        """Of its certificate."""
        return fingerprint(self.certificate)

    def signed(self, receipt: Receipt) -> SignedReceipt:
        """Return a receipt with this agent's signature."""
        return SignedReceipt(receipt=receipt, certificate=self.fingerprint, signature=self.signature(report.receipt_message(receipt)))

    def signature(self, message: bytes) -> str:
        """Return what its key signs, in base64."""
        return base64.b64encode(self.key.sign(message, ec.ECDSA(hashes.SHA256()))).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The control zone of two tenants, shop and lab."""

    zones: dict[str, Zone]
    registry: Registry
    known: KnownTenants
    standing: Standing
    keeper: Keeper
    talk: Talk

    def write_controls(
        self,
        tenant: str = "shop",
        *,
        agents: dict[str, controls.Agent],
        pools: dict[str, controls.Pool] | None = None,
        reporting: Reporting | None = None,
        quotas: Quotas | None = None,
    ) -> None:
        """Have git say these things of a tenant."""
        zone = self.zones[tenant]
        listed = [one.fleets for one in agents.values()] + [one.fleets for one in (pools or {}).values()]
        names = {fleet for fleets in listed for fleet in fleets}
        wanted = Controls(
            tenant=tenant,
            agents=agents,
            pools=pools or {},
            fleets={name: controls.Fleet(freshness=86_400) for name in names},
            reporting=reporting or Reporting(),
            quotas=quotas or Quotas(),
        )
        write_controls(zone.store, zone.rings.pipeline.signer(f"{tenant}/releases"), wanted, now=datetime.now(UTC))

    def enrol(self, agent: str, *, tenant: str = "shop", lease_until: datetime | None = None) -> Host:
        """Enrol an agent, as if by a token."""
        with self.registry.begin() as connection:
            rows.enrol(connection, tenant, agent, by="token:test", now=datetime.now(UTC), lease_until=lease_until)
        return self._certified(tenant, agent, "enrolled")

    def renew(self, host: Host) -> Host:
        """Give an agent a new certificate for another key, as at half of its life."""
        return self._certified(host.tenant, host.agent, "renewed")

    def _certified(self, tenant: str, agent: str, how: certificates.How) -> Host:
        key = ec.generate_private_key(ec.SECP256R1())
        name = AgentName(domain=DOMAIN, tenant=tenant, agent=agent)
        made = self.keeper.issue(key.public_key(), name)
        with self.registry.begin() as connection:
            certificates.record(connection, row(made.certificate, name), how=how, now=datetime.now(UTC))
        context = ssl.create_default_context(cadata=self.keeper.authority())
        _load(context, made.chain, key)
        return Host(tenant=tenant, agent=agent, key=key, certificate=made.certificate, chain=made.chain, context=context)

    def application(self) -> web.Application:
        """Return the application for agents."""
        agents = Agents(self.keeper, self.standing, _recorded)
        gate = Gate(agents=agents, may_read=self.known.may_read, pacing=self.talk.pacing)
        routes = [*self.talk.routes(agents), *files.routes(self.zones["shop"].store, who=AGENT)]
        return self.talk.add_to(secure(routes, gate))

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        """Serve agents on a free port of 127.0.0.1; yield the port."""
        runner = web.AppRunner(self.application(), access_log=None, handler_cancellation=True, shutdown_timeout=5)
        await runner.setup()
        context = Listening(self.keeper, ["localhost", "127.0.0.1"]).context()
        assert runner.server is not None
        factory = self.talk.guards.guarded(runner.server)
        server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0, ssl=context, backlog=BACKLOG)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            await runner.cleanup()


class Client:
    """One connection of an agent; talks as the wire types say."""

    def __init__(self, host: Host, port: int) -> None:
        self.host = host
        self.session = aiohttp.ClientSession(
            f"https://localhost:{port}", connector=aiohttp.TCPConnector(ssl=host.context, limit=1), auto_decompress=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def watch(
        self, *, wait: int = 0, versions: dict[str, int] | None = None, fleets: list[str] | None = None, reported: int = 0
    ) -> WatchAnswer:
        """Wait for news."""
        request = WatchRequest(format=1, wait=wait, versions=versions or {}, fleets=fleets or [], reported=reported)
        data = await self.post("/v1/watch", codec.canonical(request))
        return codec.decode(data, WatchAnswer, what="answer", limit=watching.ANSWER_LIMIT)

    async def report(self, sequence: int, **said: object) -> Acknowledged:
        """Send a batch."""
        return codec.decode(await self.post("/v1/reports", codec.canonical(batch(sequence, **said))), Acknowledged, what="answer")

    async def post(self, path: str, body: bytes) -> bytes:
        """Send a body, and return the answer's; raises `RefusedAnswerError` for any but a 200."""
        async with self.session.post(path, data=io.BytesIO(body)) as response:
            data = await response.read()
            if response.status != 200:
                raise RefusedAnswerError(response.status, data, dict(response.headers))
            return data


class RefusedAnswerError(Exception):
    """What the server said instead."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        super().__init__(f"{status}: {body[:300]!r}")
        self.status, self.body, self.headers = status, body, headers


async def until(true: Callable[[], bool]) -> None:
    """Wait until something is so, for a minute at most."""
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110 - it is looked at from outside, as an operator would
            await asyncio.sleep(0.01)


def batch(sequence: int, **said: object) -> Batch:
    """Return a batch; `said` are its fields."""
    fields: dict[str, object] = {"format": 1, "sequence": sequence, "sent_at": "2026-11-23T12:00:00Z", "version": "1.0", **said}
    return Batch(**fields)  # type: ignore[arg-type]


def receipt(agent: str = "web-01", **said: object) -> Receipt:
    """Return a receipt of fleet shop/web; `said` are its fields."""
    plain = {"format": 1, "fleet": "shop/web", "agent": agent, "digest": "d" * 64, "members": 1, "group": "all", "mode": None, "attempt": 1}
    rest = {"serial": 1, "generation": 1, "result": "applied", "why": "", "at": "2026-11-23T12:00:00Z"}
    return Receipt(**{**plain, **rest, **said})  # type: ignore[arg-type]


@contextmanager
def site(directory: Path) -> Iterator[Site]:
    """Give a control zone; its agents are those that controls name, and none is enrolled."""
    zones = {tenant: make_zone(directory, tenant) for tenant in ("shop", "lab")}
    store = zones["shop"].store
    assert isinstance(store, LocalStore)
    development_authority(directory / "keys", store, ["lab", "shop"])
    keeper = Keeper(store, zones["shop"].rings.control)
    keeper.look()
    with registry_cases.empty(directory) as registry:
        known, standing = KnownTenants(store), Standing()
        talk = Talk(store=store, registry=registry, known=known, standing=standing)
        yield Site(zones=zones, registry=registry, known=known, standing=standing, keeper=keeper, talk=talk)


async def _recorded(_certificate: x509.Certificate, _name: AgentName) -> None:
    """Believe every certificate that the authority made: `enrol` has written all of them down."""


def _load(context: ssl.SSLContext, chain: str, key: ec.EllipticCurvePrivateKey) -> None:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with tempfile.NamedTemporaryFile() as file:
        file.write(chain.encode() + private)
        file.flush()
        context.load_cert_chain(file.name)
