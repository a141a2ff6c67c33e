"""The control zone of one tenant in a process of its own, for benchmarks: what `ordain serve` runs, over a directory that `talking` made.

    python -m benchmarks.talk_server DIRECTORY PORT [BARE_PORT]

On BARE_PORT a bare handler answers behind the same TLS: it reads the body, checks the certificate's presence, and says that all is well.
Prints `ready` once both listen.
"""

import asyncio
import ssl
import sys
import threading
from contextlib import AsyncExitStack
from pathlib import Path

from aiohttp import web
from cryptography import x509

from agent.protocol.identity import AgentName
from reconciler.control import loop as control_loop
from reconciler.control.api import files
from reconciler.control.api.application import secure
from reconciler.control.api.gate import Gate, client_certificate
from reconciler.control.api.routes import AGENT
from reconciler.control.api.talk import Talk
from reconciler.control.authority.keeper import Keeper
from reconciler.control.authority.listening import BACKLOG, Listening, tune
from reconciler.control.identity.agents import Agents
from reconciler.control.identity.standing import Standing
from reconciler.control.known import KnownTenants
from reconciler.control.registry.registry import Registry
from reconciler.publication.keys import KeyRing
from reconciler.publication.store import CONTROL_PREFIXES, LocalStore, Scoped


async def serve(directory: Path, port: int, bare_port: int) -> None:
    """Serve until standard input ends."""
    store = Scoped(inner=LocalStore(directory / "store"), write=CONTROL_PREFIXES)
    ring = KeyRing(zone="control", directory=directory / "keys" / "control", uris={})
    keeper, standing, known = Keeper(store, ring), Standing(), KnownTenants(store)
    registry = Registry.open(f"sqlite:///{directory}/registry.db")
    talk = Talk(store=store, registry=registry, known=known, standing=standing)
    agents = Agents(keeper, standing, _recorded)
    gate = Gate(agents=agents, may_read=known.may_read, pacing=talk.pacing)
    app = talk.add_to(secure([*talk.routes(agents), *files.routes(store, who=AGENT)], gate))
    context = await asyncio.to_thread(Listening(keeper, ["localhost", "127.0.0.1"]).context)
    assert context is not None  # noqa: S101 - the authority was made before
    stop = threading.Event()
    settings = control_loop.ControlSettings(store=store, keys=ring, holder="bench", published=talk.waiting.published)
    publishing = threading.Thread(target=control_loop.run, args=(settings, stop))
    async with AsyncExitStack() as open_now:
        await _listen(open_now, app, port, context, talk)
        if bare_port:
            await _listen(open_now, _bare(), bare_port, context, None)
        publishing.start()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        stop.set()
        await asyncio.to_thread(publishing.join)
    registry.close()


async def _listen(open_now: AsyncExitStack, app: web.Application, port: int, context: ssl.SSLContext, talk: Talk | None) -> None:
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=5)
    await runner.setup()
    open_now.push_async_callback(runner.cleanup)
    assert runner.server is not None  # noqa: S101 - it was set up
    factory = talk.guards.guarded(runner.server) if talk else runner.server
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", port, ssl=context, backlog=BACKLOG, reuse_address=True)
    open_now.callback(server.close)


def _bare() -> web.Application:
    async def report(request: web.Request) -> web.Response:
        if client_certificate(request) is None:
            raise web.HTTPUnauthorized
        await request.read()
        return web.Response(body=b'{"every":60,"format":1,"sequence":1}', content_type="application/json")

    app = web.Application()
    app.router.add_post("/v1/reports", report)
    return app


async def _recorded(_certificate: x509.Certificate, _name: AgentName) -> None:
    """Believe every certificate that the authority made; all of them stand in the registry."""


def main() -> None:
    """Serve the directory and ports that the command line names."""
    directory, port, bare_port = (*sys.argv[1:], "0")[:3]
    tune()
    asyncio.run(serve(Path(directory), int(port), int(bare_port)))


if __name__ == "__main__":
    main()
