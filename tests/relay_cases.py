"""A relay and its uplink in this process, over mutual TLS with real certificates: the uplink can go and come back at the same address."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agent.protocol import codec, enrolment
from agent.protocol.enrolment import Authority, RenewalRequest
from agent.protocol.identity import AgentName
from agent.protocol.watching import WatchRequest
from reconciler.control.api import files
from reconciler.control.api.answers import answer
from reconciler.control.api.application import secure
from reconciler.control.api.bodies import Bodies
from reconciler.control.api.gate import Gate
from reconciler.control.api.routes import AGENT, ANYONE, Route, agent_of
from reconciler.control.authority.ceremony import DOMAIN
from reconciler.control.authority.certificates import AGENT_LIFETIME
from reconciler.control.authority.keeper import Keeper
from reconciler.control.authority.listening import Listening, load_chain
from reconciler.control.enrolment.relays import Relays
from reconciler.control.identity.agents import Agents
from reconciler.publication import controls
from reconciler.publication.times import stamp
from reconciler.relay.relaying import Relay, RelaySettings
from tests.talk_cases import Client, Host, Site, _recorded, until

ADDRESS = "127.0.0.2"
"""Where relays answer: the uplink is at 127.0.0.1, and no relay gets a name of its."""
AGENTS = {
    "web-01": controls.Agent(fleets=["web"]),
    "web-02": controls.Agent(fleets=["web"]),
    "db-01": controls.Agent(fleets=["db"]),
    "site-01": controls.Agent(relay=["web"], relay_names=[ADDRESS]),
}


class Uplink(Site):
    """`talk_cases.Site`, which also certifies relays, at one address over restarts."""

    def relays(self) -> Relays:
        """Return what certifies relays."""
        store = self.zones["shop"].store
        return Relays(store=store, registry=self.registry, known=self.known, keeper=self.keeper, names=["127.0.0.1", "serve.example.com"])

    def application(self) -> web.Application:
        """Return the application for agents and relays."""
        agents, relays, bodies = Agents(self.keeper, self.standing, _recorded), self.relays(), Bodies()

        async def certify(request: web.Request) -> web.Response:
            asked = codec.decode(await bodies.read(request, limit=enrolment.REQUEST_LIMIT), RenewalRequest, what="request")
            return answer(await relays.issue(agent_of(request), asked), status=201)

        async def authority(_: web.Request) -> web.Response:
            return answer(Authority(format=enrolment.FORMAT, authority=self.keeper.authority(), server_time=stamp(datetime.now(UTC))))

        routes = [
            Route(method="GET", path="/v1/authority", handler=authority, who=ANYONE),
            *self.talk.routes(agents),
            *files.routes(self.zones["shop"].store, who=AGENT),
            Route(method="POST", path="/v1/certificates/relay", handler=certify, who=AGENT, body=enrolment.REQUEST_LIMIT),
        ]
        return self.talk.add_to(secure(routes, Gate(agents=agents, may_read=self.known.may_read, pacing=self.talk.pacing)))

    @asynccontextmanager
    async def up(self, port: int) -> AsyncIterator[None]:
        """Answer at a port of 127.0.0.1 for as long as the block lasts."""
        runner = web.AppRunner(self.application(), access_log=None, handler_cancellation=True, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=Listening(self.keeper, ["127.0.0.1"]).context()).start()
        try:
            yield
        finally:
            await runner.cleanup()


def uplink(site: Site) -> Uplink:
    """Return a site that certifies relays, with the agents of `AGENTS`."""
    made = Uplink(**{one.name: getattr(site, one.name) for one in fields(Site)})
    made.write_controls(agents=AGENTS)
    made.known.look()
    return made


def lapsed_host(site: Site, agent: str, *, ended: timedelta) -> Host:
    """Return a host whose certificate ran out so long ago."""
    zone = site.zones["shop"]
    keeper = Keeper(zone.store, zone.rings.control, now=lambda: datetime.now(UTC) - ended - AGENT_LIFETIME)
    keeper.look()
    key = ec.generate_private_key(ec.SECP256R1())
    made = keeper.issue(key.public_key(), AgentName(domain=DOMAIN, tenant="shop", agent=agent))
    context = ssl.create_default_context(cadata=site.keeper.authority())
    load_chain(context, made.chain.encode() + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Host(tenant="shop", agent=agent, key=key, certificate=made.certificate, chain=made.chain, context=context)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def write_identity(directory: Path, host: Host, site: Site, *, number: int = 1) -> Path:
    """Write a host's identity as its agent does; return the directory."""
    place = directory / str(number)
    place.mkdir(parents=True)
    private = host.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (place / "key.pem").write_bytes(private)
    (place / "certificate.pem").write_text(host.chain)
    (place / "authority.pem").write_text(site.keeper.authority())
    (place / "root.json").write_bytes(site.zones["shop"].trust.roots[-1])
    said = {"format": 1, "server": "https://elsewhere.example.com", "tenant": "shop", "agent": host.agent, "root": "/", "config": "/etc"}
    (place / "enrolment.json").write_text(json.dumps(said))
    (directory / "current").write_text(f"{number}\n")
    return directory


class AtRelay(Client):
    """A host that asks a relay, believing the installation's authority alone."""

    def __init__(self, host: Host, port: int) -> None:
        self.host = host
        connector = aiohttp.TCPConnector(ssl=host.context, limit=1)
        self.session = aiohttp.ClientSession(f"https://{ADDRESS}:{port}", connector=connector, auto_decompress=False)

    async def get(self, path: str) -> tuple[int, bytes]:
        """Return status and body."""
        async with self.session.get(path) as response:
            return response.status, await response.read()

    async def status(self, path: str, body: bytes) -> tuple[int, str]:
        """Return status and code of an answer to a body."""
        async with self.session.post(path, data=body) as response:
            said = json.loads(await response.read())
            return response.status, said.get("code", "")


WATCH = codec.canonical(WatchRequest(format=1))


@asynccontextmanager
async def relaying(directory: Path, identity: Path, port: int, *, spool: int = 2**20) -> AsyncIterator[tuple[Relay, int]]:
    """Run a relay whose uplink is at a port; yield it, and its own port once it answers."""
    settings = RelaySettings(identity=identity, state=directory, server=f"https://127.0.0.1:{port}", spool=spool)
    relay = await asyncio.to_thread(Relay, settings)
    runner = web.AppRunner(relay.application(), access_log=None, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    try:
        await until(lambda: relay.shown.context() is not None)
        await web.TCPSite(runner, ADDRESS, 0, ssl_context=relay.shown.context()).start()
        yield relay, runner.addresses[0][1]
    finally:
        await runner.cleanup()
