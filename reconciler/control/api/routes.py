"""Routes as data: method, path, handler, and who may ask. What is not in a list of them does not exist.

One rule holds for every route of agents, so that none can forget it: a path that names a tenant, an agent or a fleet is answered only
to that tenant's agent, to that agent itself, and to an agent of that fleet (or its relay). Everything else is `unknown` to the asker.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from aiohttp import web

from agent.protocol.identity import LABEL
from agent.protocol.state import Struct
from reconciler.control.identity.agents import Asker
from reconciler.control.refusal import Denied

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
State = Literal["quarantined", "decommissioned"]

ASKER = web.RequestKey("asker", Asker)
"""Where the gate leaves which agent asks."""
ANYONE = "anyone"
"""No client certificate is needed, and none is looked at."""
AGENT = "agent"
"""An agent, by its certificate; `agent_of(request)` says which."""
OPERATOR = "operator:"
"""What `operator:<action>` begins with: an operator who may do that, as `authz` decides."""
BODY_LIMIT = 1024
"""Bytes of a request's body where a route says nothing else: most have none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One way to ask: `path` as aiohttp writes it (`/v1/artifacts/{tenant}/{sha256}`), `who` `anyone`, `agent` or `operator:<action>`.

    `even` are the states in which an agent is answered here all the same. `body` bounds the request's, in bytes. `talk` says that it
    counts against the rate at which all agents of a tenant may report. Of operators' routes, `takes` and `gives` are the shapes of body
    and answer, and `query` the parameters, as the OpenAPI document has them.
    """

    method: str
    path: str
    handler: Handler
    who: str
    even: frozenset[State] = frozenset()
    body: int = BODY_LIMIT
    talk: bool = False
    takes: type[Struct] | None = None
    gives: type[Struct] | None = None
    query: tuple[str, ...] = ()

    @property
    def action(self) -> str:
        """What an operator must be allowed to do, "" where this is no route for operators."""
        return self.who.removeprefix(OPERATOR) if self.who.startswith(OPERATOR) else ""


def agent_of(request: web.Request) -> Asker:
    """Return which agent asks; only for handlers of routes that are for agents."""
    return request[ASKER]


def label(request: web.Request, part: str) -> str:
    """Return a part of the path that is a name; raise `Denied` (unknown) if it can't be one."""
    value = request.match_info[part]
    if not LABEL.fullmatch(value):
        message = f"there is no such {part}"
        raise Denied("unknown", message)
    return value


def require_distinct(routes: Iterable[Route]) -> list[Route]:
    """Return the routes as a list; raise `ValueError` if two are for the same method and path, or one is for nobody."""
    found: dict[tuple[str, str], Route] = {}
    for route in routes:
        if route.who not in (ANYONE, AGENT) and not route.action:
            message = f"{route.method} {route.path}: nobody is called {route.who!r}"
            raise ValueError(message)
        if found.setdefault((route.method, route.path), route) is not route:
            message = f"{route.method} {route.path}: there are two of it"
            raise ValueError(message)
    return list(found.values())
