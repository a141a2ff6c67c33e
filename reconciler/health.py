"""The three routes that every process has: /healthz, /readyz and /metrics."""

from collections.abc import Callable

from aiohttp import web

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def add_routes(application: web.Application, *, ready: Callable[[], str], metrics: Callable[[], bytes]) -> web.Application:
    """Add the routes; `ready` returns what is missing, nothing when nothing is."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        missing = ready()
        return web.Response(text=f"{missing or 'ok'}\n", status=503 if missing else 200)

    async def expose(_: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": METRICS_TYPE})

    application.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", expose)])
    return application
