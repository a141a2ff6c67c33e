"""The routes for agents: repositories as static files, an agent's fleets as a hint, artifacts by digest.

    GET /v1/repositories/{tenant}/{fleet}/metadata/{file}        TUF metadata, as published
    GET /v1/repositories/{tenant}/{fleet}/targets/{kind}/{file}  bundles, members and rollout documents, as published
    GET /v1/agents/{tenant}/{agent}/fleets                       {"fleets": ["web", …]}; an agent of a pool is {pool}/{id}
    GET /v1/artifacts/{tenant}/{sha256}                          a stored artifact, its tenant's or the library's; ranges too
    POST /v1/hooks/{forge}                                       a forge's webhook, see hooks.py
    GET /healthz, /readyz, /metrics                              for those who run it

Everything is read through the store; a request names no path, only parts that fit a pattern. What isn't there is a 404, which TUF
clients need to find the newest root. Files whose name holds their version or hash never change, and say so to caches.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from functools import partial

from aiohttp import web

from agent.protocol import codec
from agent.protocol.errors import OrdainError, RefusedError
from agent.protocol.identity import LABEL
from reconciler import health
from reconciler.control.api import ranges
from reconciler.control.api.hooks import Hooks
from reconciler.control.tenants import read_controls
from reconciler.publication import layout
from reconciler.publication.controls import Controls
from reconciler.publication.store import Store
from reconciler.publication.trust import read_trust

METADATA = re.compile(r"timestamp\.json|[1-9][0-9]{0,15}\.(?:root|targets|releases|rollouts|snapshot)\.json")
TARGET = re.compile(r"(?P<kind>bundles|members|rollouts)/(?P<sha256>[0-9a-f]{64})\.(?P<name>[a-z0-9][a-z0-9.-]{0,180})")
DIGEST = re.compile(r"[0-9a-f]{64}")
FOREVER = "public, max-age=31536000, immutable"
CHECK = "no-cache"
READS_LIMIT = 8
"""Files that are read at the same time: the largest is half a gibibyte, and threads are few."""

_log = logging.getLogger(__name__)


class _Routes:
    """Handlers over one store; `_known` keeps each tenant's verified controls with the version of the file that they came from."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reads = asyncio.Semaphore(READS_LIMIT)
        self._known: dict[str, tuple[str, Controls]] = {}

    async def metadata(self, request: web.Request) -> web.Response:
        """Answer with a metadata file."""
        tenant, fleet, name = _label(request, "tenant"), _label(request, "fleet"), request.match_info["file"]
        if not METADATA.fullmatch(name):
            raise web.HTTPNotFound
        changing = name == "timestamp.json"
        return await self._file(request, layout.metadata(tenant, fleet, name), CHECK if changing else FOREVER, "application/json")

    async def target(self, request: web.Request) -> web.Response:
        """Answer with a target file under its hashed name."""
        tenant, fleet = _label(request, "tenant"), _label(request, "fleet")
        match = TARGET.fullmatch(request.match_info["path"])
        if match is None:
            raise web.HTTPNotFound
        key = layout.target(tenant, fleet, f"{match['kind']}/{match['name']}", match["sha256"])
        return await self._file(request, key, FOREVER, "application/octet-stream")

    async def artifact(self, request: web.Request) -> web.StreamResponse:
        """Answer with a stored artifact of the tenant, or of the library; in parts to those who ask for a range."""
        tenant, sha256 = _label(request, "tenant"), request.match_info["sha256"]
        if not DIGEST.fullmatch(sha256):
            raise web.HTTPNotFound
        for key in (layout.artifact(tenant, sha256), layout.artifact("", sha256)):
            size = await asyncio.to_thread(self._store.size, key)
            if size is not None:
                headers = {"Cache-Control": FOREVER, "Content-Type": "application/octet-stream"}
                return await ranges.answer(request, partial(self._part, key), size=size, etag=f'"{sha256}"', headers=headers)
        raise web.HTTPNotFound

    async def _part(self, key: str, start: int, length: int) -> bytes | None:
        async with self._reads:
            return await asyncio.to_thread(self._store.read_range, key, start, length)

    async def fleets(self, request: web.Request) -> web.Response:
        """Answer with the fleets of an agent, or of the pool that it is of, as verified controls say."""
        tenant, agent = _label(request, "tenant"), _label(request, "agent")
        if "id" in request.match_info:
            _label(request, "id")
        async with self._reads:
            controls = await asyncio.to_thread(self._controls, tenant)
        known = (controls.pools if "id" in request.match_info else controls.agents) if controls else {}
        if agent not in known:
            message = f"{tenant} has no such agent; it is known once its manifest is accepted"
            return _json({"error": message}, status=404)
        return _changing(request, codec.canonical({"fleets": sorted(known[agent].fleets)}), "application/json")

    async def _file(self, request: web.Request, key: str, cache: str, content_type: str) -> web.Response:
        async with self._reads:
            data = await asyncio.to_thread(self._store.get, key)
        if data is None:
            raise web.HTTPNotFound(text="")  # asked for at each poll, for the root after the newest: a body would only cost
        if cache == CHECK:
            return _changing(request, data, content_type)
        return web.Response(body=data, headers={"Cache-Control": cache}, content_type=content_type)

    def _controls(self, tenant: str) -> Controls | None:
        version = self._store.version(layout.controls(tenant))
        if version is None:
            return None
        known = self._known.get(tenant)
        if known is None or known[0] != version:
            trust = read_trust(self._store, tenant)
            controls = read_controls(self._store, trust) if trust else None
            if controls is None:
                return None
            known = self._known[tenant] = (version, controls)
        return known[1]


def _label(request: web.Request, part: str) -> str:
    value = request.match_info[part]
    if not LABEL.fullmatch(value):
        raise web.HTTPNotFound
    return value


def _changing(request: web.Request, data: bytes, content_type: str) -> web.Response:
    """Answer with what changes under its name, or that it is still what the asker has: agents rely on the ETag being the SHA-256."""
    headers = {"Cache-Control": CHECK, "ETag": f'"{codec.sha256(data)}"'}
    if request.headers.get("If-None-Match") == headers["ETag"]:
        return web.Response(status=304, headers=headers)
    return web.Response(body=data, headers=headers, content_type=content_type)


def _json(value: dict[str, object], *, status: int = 200) -> web.Response:
    return web.Response(body=codec.canonical(value), status=status, content_type="application/json")


@web.middleware
async def _errors(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
    """Turn our own errors into answers: 404 for what can't be trusted, 503 for what can't be read now; the log says why."""
    try:
        return await handler(request)
    except OrdainError as error:
        _log.warning("%s: %s", request.path, error)
        return _json({"error": "not available"}, status=404 if isinstance(error, RefusedError) else 503)


async def _unannounced(_request: web.Request, response: web.StreamResponse) -> None:
    """Leave out which versions answer: nobody needs to know, and it was a sixth of what a poll without news receives."""
    response.headers.pop("Server", None)


def application(
    store: Store, *, ready: Callable[[], bool] = lambda: True, metrics: Callable[[], bytes] = lambda: b"", hooks: Hooks | None = None
) -> web.Application:
    """Return the application that serves a store; `ready` and `metrics` answer `/readyz` and `/metrics`."""
    routes = _Routes(store)
    app = web.Application(middlewares=[_errors], client_max_size=1024)
    app.router.add_get("/v1/repositories/{tenant}/{fleet}/metadata/{file}", routes.metadata)
    app.router.add_get("/v1/repositories/{tenant}/{fleet}/targets/{path:.+}", routes.target)
    app.router.add_get("/v1/agents/{tenant}/{agent}/fleets", routes.fleets)
    app.router.add_get("/v1/agents/{tenant}/{agent}/{id}/fleets", routes.fleets)
    app.router.add_get("/v1/artifacts/{tenant}/{sha256}", routes.artifact)
    if hooks is not None:
        hooks.add_to(app)
    app.on_response_prepare.append(_unannounced)
    return health.add_routes(app, ready=lambda: "" if ready() else "the first pass over all fleets is not done", metrics=metrics)
