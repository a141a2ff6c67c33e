"""Routes about hosts: which there are and how they are, and what operators do to one. Each change is one transaction with its audit.

GET  /api/v1/agents                                                    a page of all that may be seen, filtered
GET  /api/v1/agents/{tenant}/{agent}                                   one; of a pool …/{agent}/members/{id}, and so below
POST /api/v1/agents/{tenant}/{agent}/{revoke,quarantine,release,decommission}
GET  /api/v1/pending                                                   who asked to join and is unknown to git
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from aiohttp import web
from sqlalchemy import Connection

from agent.protocol.errors import InputError
from reconciler.control.api import shapes
from reconciler.control.api.admission import agent_name, operator_of, seen_by
from reconciler.control.api.answers import answer
from reconciler.control.api.asked import BODY_LIMIT, PAGES, TENANT, Query, meant, words
from reconciler.control.api.desk import Desk, stamped
from reconciler.control.api.routes import OPERATOR, Handler, Route, label
from reconciler.control.known import member
from reconciler.control.refusal import Denied
from reconciler.control.registry import agents, audit, certificates, facts, pending, statuses
from reconciler.publication.times import instant

if TYPE_CHECKING:
    from agent.protocol.state import Struct

FILTERS = (*TENANT, "label", "fleet", "state", "presence", "version", "pool", "prefix", "seenBefore", "seenSince", *PAGES)
MEMBER = "/members/{id}"


class _Hosts:
    """Handlers over a desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def listed(self, request: web.Request) -> web.Response:
        """Answer with a page of the agents that fit the filters and that the asker may see.

        Hosts of pools that are decommissioned only where a state is asked for.
        """
        query, seen = Query(request, FILTERS), seen_by(request)
        wanted = _filter(query)
        if wanted.tenants is None:
            wanted = replace(wanted, tenants=seen.names())
        page = await self._desk.registry.ask(agents.listed, wanted, after=query.one("after"), limit=query.limit())
        runs = await self._desk.registry.ask(statuses.of_agents, [(one.tenant, one.agent) for one in page.items])
        rows = [row for one in page.items if seen.covers(one.tenant, (row := self._row(one, runs.get((one.tenant, one.agent), []))).fleets)]
        return answer(shapes.AgentPage(agents=rows, next=page.next))

    async def shown(self, request: web.Request) -> web.Response:
        """Answer with all that is known of one."""
        tenant, name = label(request, "tenant"), agent_name(request)
        found = await self._desk.registry.ask(_known, tenant, name)
        if found is None:
            raise self._nobody(tenant, name)
        return answer(self._shown(*found))

    def _nobody(self, tenant: str, name: str) -> Denied:
        """Return the refusal of a name that never enrolled, with what git knows of it or of one like it."""
        controls = self._desk.known.controls(tenant)
        agents_, pools = (controls.agents, controls.pools) if controls else ({}, {})
        near = meant(name, agents_)
        if name in pools:
            hint = f"; it is a pool, whose hosts are {tenant}/{name}/ID"
        elif name in agents_:
            hint = "; git knows it, and a token lets it join: ordain token create"
        else:
            hint = f"; did you mean {tenant}/{near}?" if near else ""
        return Denied("unknown", f"no agent {tenant}/{name} ever enrolled{hint}")

    def _row(self, one: agents.Agent, standing: list[statuses.Status]) -> shapes.AgentRow:
        controls = self._desk.known.controls(one.tenant)
        found = member(controls, one.agent) if controls else None
        return shapes.AgentRow(
            tenant=one.tenant,
            agent=one.agent,
            state=one.state,
            presence=one.presence,
            fleets=sorted(found.fleets) if found else [],
            labels=dict(found.labels) if found else {},
            last_seen=stamped(one.last_seen),
            version=one.version,
            runs=[_running(each) for each in standing],
        )

    def _shown(
        self, one: agents.Agent, held: list[certificates.Known], standing: list[statuses.Status], said: facts.Facts | None
    ) -> shapes.AgentShown:
        row = self._row(one, [])
        controls = self._desk.known.controls(one.tenant)
        return shapes.AgentShown(
            **{name: getattr(row, name) for name in row.__struct_fields__ if name != "runs"},
            reason=one.reason,
            state_by=one.state_by,
            state_at=stamped(one.state_at),
            leave=one.leave,
            enrolled_at=stamped(one.enrolled_at),
            enrolled_by=one.enrolled_by,
            lease_until=stamped(one.lease_until),
            incarnation=one.incarnation,
            known_to_git=controls is not None and member(controls, one.agent) is not None,
            certificates=[_certificate(each) for each in held],
            standing=[_standing(each) for each in standing],
            facts=dict(said.facts or {}) if said else {},
        )

    async def revoke(self, request: web.Request) -> web.Response:
        """Let a host in no more; it comes back by enrolling again."""
        asked = await self._desk.bodies.read(request, shapes.Reason)
        return await self._move(request, "revoked", "agents.revoke", asked.reason)

    async def quarantine(self, request: web.Request) -> web.Response:
        """Hold a host: it may report, and gets nothing."""
        asked = await self._desk.bodies.read(request, shapes.Reason)
        return await self._move(request, "quarantined", "agents.quarantine", asked.reason)

    async def release(self, request: web.Request) -> web.Response:
        """End a quarantine."""
        asked = await self._desk.bodies.read(request, shapes.Reason)
        return await self._move(request, "enrolled", "agents.release", asked.reason)

    async def decommission(self, request: web.Request) -> web.Response:
        """Take a host out for good."""
        asked = await self._desk.bodies.read(request, shapes.Decommission)
        return await self._move(request, "decommissioned", "agents.decommission", asked.reason, leave=asked.leave)

    async def _move(self, request: web.Request, state: agents.State, action: str, reason: str, *, leave: str = "") -> web.Response:
        tenant, name, desk = label(request, "tenant"), agent_name(request), self._desk
        said: dict[str, Any] = {"by": operator_of(request).subject, "reason": words(reason, "a reason"), "now": desk.now(), "leave": leave}
        moved = await desk.registry.run(_moved, tenant, name, state, action=action, **said)
        if moved is None:
            raise self._nobody(tenant, name)
        if moved.state != "enrolled":
            desk.standing.hold((tenant, name), moved.state)  # here from now on; elsewhere when the registry tells
        return answer(shapes.Done(target=moved.name, state=moved.state))

    async def pending(self, request: web.Request) -> web.Response:
        """Answer with a page of one tenant's hosts that wait; without a tenant, of the first that has any."""
        query, seen = Query(request, (*TENANT, *PAGES)), seen_by(request)
        wanted, desk = query.one("tenant"), self._desk
        allowed = [
            name for name in (desk.known.tenants() if seen.everywhere else seen.tenants) if seen.everywhere or seen.tenants[name].all
        ]
        names = sorted(name for name in allowed if wanted in ("", name))
        rows, following = await desk.registry.ask(_pending, names, after=query.one("after"), limit=query.limit())
        return answer(shapes.PendingPage(pending=rows, next=following))


def _filter(query: Query) -> agents.Filter:
    return agents.Filter(
        tenants=[query.one("tenant")] if query.one("tenant") else None,
        states=_each(query, "state", get_args(agents.State)),
        ended=bool(query.all("state")),
        presences=_each(query, "presence", get_args(agents.Presence)),
        labels=dict(_label(text) for text in query.all("label")),
        fleet=query.one("fleet"),
        pool=query.one("pool"),
        version=query.one("version"),
        prefix=query.one("prefix"),
        seen_before=instant(query.one("seenBefore"), what="seenBefore") if query.one("seenBefore") else None,
        seen_since=instant(query.one("seenSince"), what="seenSince") if query.one("seenSince") else None,
    )


def _each(query: Query, name: str, known: tuple[Any, ...]) -> list[Any]:
    for value in query.all(name):
        if not value or value not in known:
            message = f"{name} is one of {', '.join(filter(None, known))}, not {value!r}"
            raise Denied("malformed", message)
    return query.all(name)


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        message = f"a label is asked for as name=value, not {text!r}"
        raise Denied("malformed", message)
    return name, value


_Found = tuple[agents.Agent, list[certificates.Known], list[statuses.Status], facts.Facts | None]


def _known(connection: Connection, tenant: str, name: str) -> _Found | None:
    one = agents.get(connection, tenant, name)
    if one is None:
        return None
    held = certificates.of_agent(connection, tenant, name, limit=10)
    return one, held, statuses.of_agent(connection, tenant, name), facts.of(connection, tenant, name)


def _moved(connection: Connection, /, tenant: str, name: str, state: agents.State, *, action: str, **said: Any) -> agents.Agent | None:
    before = agents.get(connection, tenant, name)
    if before is None:
        return None
    if action == "agents.release" and before.state != "quarantined":
        message = f"{tenant}/{name} is not in quarantine: it is {before.state}"
        raise Denied("conflict", message)
    try:
        after = agents.set_state(connection, tenant, name, state, **said)
    except InputError as error:
        raise Denied("conflict", str(error)) from error
    detail = {"before": before.state} | ({"leave": after.leave} if after.leave else {})
    audit.append(connection, tenant, who=said["by"], action=action, target=after.name, reason=said["reason"], detail=detail, at=said["now"])
    return after


def _pending(connection: Connection, tenants: list[str], *, after: str, limit: int) -> tuple[list[shapes.PendingRow], str]:
    """Return a page over several tenants, and where the next begins: `<tenant>/<agent>`."""
    first, _, name = after.partition("/")
    rows: list[shapes.PendingRow] = []
    for tenant in tenants:
        if tenant < first:
            continue
        page = pending.listed(connection, tenant, after=name if tenant == first else "", limit=limit - len(rows))
        rows += [_waiting(one) for one in page.items]
        if len(rows) >= limit:
            return rows, f"{tenant}/{rows[-1].agent}"
    return rows, ""


def _waiting(one: pending.Pending) -> shapes.PendingRow:
    plain = {name: getattr(one, name) for name in ("tenant", "agent", "pool", "why", "how", "address", "count")}
    return shapes.PendingRow(**plain, facts=dict(one.facts), first_at=stamped(one.first_at), last_at=stamped(one.last_at))


def _certificate(one: certificates.Known) -> shapes.CertificateRow:
    return shapes.CertificateRow(
        fingerprint=one.fingerprint,
        not_before=stamped(one.not_before),
        not_after=stamped(one.not_after),
        how=one.how,
        revoked_at=stamped(one.revoked_at),
        revoked_why=one.revoked_why,
    )


def _standing(one: statuses.Status) -> shapes.FleetRow:
    said = one.report
    plain = {name: getattr(said, name) for name in ("result", "why", "digest", "commit", "desired", "attempt", "drift", "held")}
    return shapes.FleetRow(fleet=one.fleet, mode=said.mode or "", changed_at=stamped(one.changed_at), **plain)


def _running(one: statuses.Status) -> shapes.Running:
    said = one.report
    return shapes.Running(fleet=one.fleet, digest=said.digest, result=said.result, mode=said.mode or "", drift=said.drift, held=said.held)


def routes(desk: Desk) -> list[Route]:
    """Return the routes about hosts."""
    hosts = _Hosts(desk)
    one, reading = "/api/v1/agents/{tenant}/{agent}", f"{OPERATOR}agents.read"
    changes: dict[str, tuple[Handler, str, type[Struct]]] = {
        "revoke": (hosts.revoke, "agents.revoke", shapes.Reason),
        "quarantine": (hosts.quarantine, "agents.quarantine", shapes.Reason),
        "release": (hosts.release, "agents.quarantine", shapes.Reason),
        "decommission": (hosts.decommission, "agents.decommission", shapes.Decommission),
    }
    waiting = f"{OPERATOR}pending.read"
    found = [
        Route(method="GET", path="/api/v1/agents", handler=hosts.listed, who=reading, gives=shapes.AgentPage, query=FILTERS),
        Route(method="GET", path="/api/v1/pending", handler=hosts.pending, who=waiting, gives=shapes.PendingPage, query=(*TENANT, *PAGES)),
    ]
    for path in (one, one + MEMBER):
        found.append(Route(method="GET", path=path, handler=hosts.shown, who=reading, gives=shapes.AgentShown))
        found += [
            Route(
                method="POST",
                path=f"{path}/{name}",
                handler=handler,
                who=f"{OPERATOR}{action}",
                body=BODY_LIMIT,
                takes=takes,
                gives=shapes.Done,
            )
            for name, (handler, action, takes) in changes.items()
        ]
    return found
