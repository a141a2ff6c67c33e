"""Repositories as static files, an agent's fleets as a hint, artifacts by digest: what agents read, and caches may hold.

    GET /v1/repositories/{tenant}/{fleet}/metadata/{file}        TUF metadata, as published
    GET /v1/repositories/{tenant}/{fleet}/targets/{kind}/{file}  bundles, members and rollout documents, as published
    GET /v1/agents/{tenant}/{agent}/fleets                       {"fleets": ["web", …]}; an agent of a pool is {pool}/{id}
    GET /v1/artifacts/{tenant}/{sha256}                          a stored artifact, its tenant's or the library's; ranges too

Everything is read through the store; a request names no path, only parts that fit a pattern. What isn't there is a 404, which TUF
clients need to find the newest root. Files whose name holds their version or hash never change, and say so to caches.
"""

import asyncio
import logging
import re
from functools import partial

from aiohttp import web

from agent.protocol import codec
from agent.protocol.errors import RefusedError
from reconciler.control.api import ranges
from reconciler.control.api.kept import KeptFiles
from reconciler.control.api.routes import Route, label
from reconciler.control.refusal import Denied
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


class _Files:
    """Handlers over one store; `_known` keeps each tenant's verified controls with the version of the file that they came from."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reads = asyncio.Semaphore(READS_LIMIT)
        self._kept = KeptFiles()
        self._known: dict[str, tuple[str, Controls]] = {}

    async def metadata(self, request: web.Request) -> web.Response:
        """Answer with a metadata file."""
        tenant, fleet, name = label(request, "tenant"), label(request, "fleet"), request.match_info["file"]
        if not METADATA.fullmatch(name):
            raise web.HTTPNotFound
        changing = name == "timestamp.json"
        return await self._file(request, layout.metadata(tenant, fleet, name), CHECK if changing else FOREVER, "application/json")

    async def target(self, request: web.Request) -> web.Response:
        """Answer with a target file under its hashed name."""
        tenant, fleet = label(request, "tenant"), label(request, "fleet")
        match = TARGET.fullmatch(request.match_info["path"])
        if match is None:
            raise web.HTTPNotFound
        key = layout.target(tenant, fleet, f"{match['kind']}/{match['name']}", match["sha256"])
        return await self._file(request, key, FOREVER, "application/octet-stream")

    async def artifact(self, request: web.Request) -> web.StreamResponse:
        """Answer with a stored artifact of the tenant, or of the library; in parts to those who ask for a range."""
        tenant, sha256 = label(request, "tenant"), request.match_info["sha256"]
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
        tenant, agent = label(request, "tenant"), label(request, "agent")
        if "id" in request.match_info:
            label(request, "id")
        async with self._reads:
            controls = await asyncio.to_thread(self._believed, tenant)
        known = (controls.pools if "id" in request.match_info else controls.agents) if controls else {}
        if agent not in known:
            message = f"{tenant} has no such agent; it is known once its manifest is accepted"
            raise Denied("unknown", message)
        return changing(request, codec.canonical({"fleets": sorted(known[agent].fleets)}), "application/json")

    async def _file(self, request: web.Request, key: str, cache: str, content_type: str) -> web.Response:
        data = await self._read(key, lasting=cache == FOREVER)
        if data is None:
            raise web.HTTPNotFound(text="")  # asked for at each poll, for the root after the newest: a body would only cost
        if cache == CHECK:
            return changing(request, data, content_type)
        return web.Response(body=data, headers={"Cache-Control": cache}, content_type=content_type)

    def _believed(self, tenant: str) -> Controls | None:
        """Return a tenant's controls; those that can't be trusted are, to whoever asks, not there."""
        try:
            return self._controls(tenant)
        except RefusedError as error:
            _log.warning("its controls can't be believed: %s", error, extra={"tenant": tenant})
            return None

    async def _read(self, key: str, *, lasting: bool) -> bytes | None:
        """Return what stands at a key; of many who ask for one that is `lasting` at the same time, the first few read it for all."""
        if lasting and (kept := self._kept.get(key)) is not None:
            return kept
        async with self._reads:
            if lasting and (kept := self._kept.get(key)) is not None:
                return kept
            data = await asyncio.to_thread(self._store.get, key)
        if lasting and data is not None:
            self._kept.keep(key, data)
        return data

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


def changing(request: web.Request, data: bytes, content_type: str) -> web.Response:
    """Return what changes under its name, or that it is still what the asker has: agents rely on the ETag being the SHA-256."""
    headers = {"Cache-Control": CHECK, "ETag": f'"{codec.sha256(data)}"'}
    if request.headers.get("If-None-Match") == headers["ETag"]:
        return web.Response(status=304, headers=headers)
    return web.Response(body=data, headers=headers, content_type=content_type)


def routes(store: Store, *, who: str) -> list[Route]:
    """Return the routes of a store's files, for `who` may read them."""
    files = _Files(store)
    listed = {
        "/v1/repositories/{tenant}/{fleet}/metadata/{file}": files.metadata,
        "/v1/repositories/{tenant}/{fleet}/targets/{path:.+}": files.target,
        "/v1/agents/{tenant}/{agent}/fleets": files.fleets,
        "/v1/agents/{tenant}/{agent}/{id}/fleets": files.fleets,
        "/v1/artifacts/{tenant}/{sha256}": files.artifact,
    }
    return [Route(method="GET", path=path, handler=handler, who=who) for path, handler in listed.items()]
