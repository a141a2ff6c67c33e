"""All routes for operators: the one list that serve, the OpenAPI document and the isolation tests are made from."""

from reconciler.control.api import carrying, commits, freezes, hosts, joining, modes, people, receipts, rollouts, sessions, trail, webhooks
from reconciler.control.api.desk import Desk
from reconciler.control.api.routes import Route


def routes(desk: Desk) -> list[Route]:
    """Return the routes of `/api/v1`."""
    return [
        route
        for group in (sessions, hosts, receipts, carrying, joining, people, rollouts, commits, freezes, modes, webhooks, trail)
        for route in group.routes(desk)
    ]
