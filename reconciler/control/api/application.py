"""The routes for agents: repositories as static files, an agent's fleets as a hint, artifacts by digest."""

from collections.abc import Callable

from aiohttp import web

from reconciler.publication.store import Store


def application(store: Store, *, ready: Callable[[], bool] = lambda: True, metrics: Callable[[], bytes] = lambda: b"") -> web.Application:
    """Return the application that serves a store; see the module's docstring for its routes."""
    raise NotImplementedError
