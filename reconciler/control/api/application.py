"""The applications of the control zone, made from routes: one behind TLS for agents and operators, one on loopback.

The one on loopback is plain: health, metrics and hooks, for what runs on the same machine. With `files` it also hands out signed files
to agents that are not enrolled, and to caches: those read nothing but what the keys signed.
"""

from collections.abc import Callable, Iterable
from functools import partial

from aiohttp import web

from reconciler import health
from reconciler.control.api import files
from reconciler.control.api.gate import Gate, formed
from reconciler.control.api.hooks import Hooks
from reconciler.control.api.routes import ANYONE, Route, require_distinct
from reconciler.publication.store import Store


def secure(routes: Iterable[Route], gate: Gate, hooks: Hooks | None = None) -> web.Application:
    """Return the application of these routes, each behind the gate. Webhooks carry signatures of their own and pass it."""
    app = web.Application(middlewares=[formed])
    for route in require_distinct(routes):
        add = app.router.add_get if route.method == "GET" else partial(app.router.add_route, route.method)  # a GET answers HEAD too
        add(route.path, gate.guarded(route))
    if hooks is not None:
        hooks.add_to(app)
    app.on_response_prepare.append(_unannounced)
    return app


def application(
    store: Store,
    *,
    ready: Callable[[], bool] = lambda: True,
    metrics: Callable[[], bytes] = lambda: b"",
    hooks: Hooks | None = None,
    with_files: bool = True,
) -> web.Application:
    """Return the application of the loopback address; `ready` and `metrics` answer `/readyz` and `/metrics`."""
    app = secure(files.routes(store, who=ANYONE) if with_files else (), Gate(), hooks)
    return health.add_routes(app, ready=lambda: "" if ready() else "the first pass over all fleets is not done", metrics=metrics)


async def _unannounced(_request: web.Request, response: web.StreamResponse) -> None:
    """Leave out which versions answer: nobody needs to know, and it was a sixth of what a poll without news receives."""
    response.headers.pop("Server", None)
