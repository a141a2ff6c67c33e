"""Agents that enrolled: one row each, from enrolment until long after they left.

Whoever changes a state says why and who they are; those changes wake listeners (`wakeups.AGENTS`) and, where certificates go with
it, `wakeups.REVOCATIONS`. A tombstone is a row of state `decommissioned`: it keeps the name's history, and its incarnation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, bindparam, delete, exists, func, or_, select, tuple_, update

from agent.protocol.errors import InputError
from reconciler.control.registry import certificates, schema
from reconciler.control.registry.paging import Page, limited, pair_after
from reconciler.control.registry.upserts import insert
from reconciler.control.registry.wakeups import AGENTS, notify

State = Literal["enrolled", "quarantined", "revoked", "decommissioned"]
Presence = Literal["", "online", "lost", "flapping"]
STATES: tuple[State, ...] = ("enrolled", "quarantined", "revoked", "decommissioned")
LIVE: tuple[State, ...] = ("enrolled", "quarantined")
"""States of agents that are there, or may come back by themselves."""

BACKDATED = timedelta(hours=1)
"""How much earlier than its making a certificate may say it begins, for hosts whose clocks are behind."""

_agents = schema.agents
_beats = schema.heartbeats


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """One agent; `agent` is `web-01` or `runners/7f3a`, and `subject` what git calls it: `web-01`, `runners`.

    `incarnation` counts its enrolments from 1; `leave` says what a decommissioned one should do with what it manages (`keep`,
    `remove`), "" for others; `lease_until` is for members of pools; `last_seen`, `version` and `sequence` come from its reports.
    """

    tenant: str
    agent: str
    subject: str
    incarnation: int
    state: State
    reason: str
    state_by: str
    state_at: datetime
    leave: str
    enrolled_at: datetime
    enrolled_by: str
    lease_until: datetime | None
    presence: Presence
    presence_at: datetime | None
    last_seen: datetime | None
    version: str
    sequence: int

    @property
    def name(self) -> str:
        """`<tenant>/<agent>`, as commands and messages have it."""
        return f"{self.tenant}/{self.agent}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which agents: those that fit everything given. `tenants` None is all tenants, and an empty one is none.

    `labels` are label → value as git has them, `fleet` the name of one within its tenant. An agent that was never seen counts as seen
    long ago. `prefix` is what the agent's name begins with.
    """

    tenants: Sequence[str] | None = None
    states: Sequence[State] = ()
    presences: Sequence[Presence] = ()
    labels: Mapping[str, str] | None = None
    fleet: str = ""
    pool: str = ""
    version: str = ""
    prefix: str = ""
    seen_before: datetime | None = None
    seen_since: datetime | None = None
    ended: bool = True
    """Whether hosts of pools that are decommissioned are among them: of an elastic pool those are soon the most."""


def get(connection: Connection, tenant: str, agent: str) -> Agent | None:
    """Return an agent, whatever its state; None where none of that name ever enrolled."""
    row = connection.execute(_joined().where(_agents.c.tenant == tenant, _agents.c.agent == agent)).one_or_none()
    return _agent(row) if row else None


def some(connection: Connection, names: Sequence[tuple[str, str]]) -> list[Agent]:
    """Return those of (tenant, agent) that ever enrolled, whatever their state."""
    statement = _joined().where(tuple_(_agents.c.tenant, _agents.c.agent).in_(names))
    return [_agent(row) for row in connection.execute(statement)]


def listed(connection: Connection, wanted: Filter, *, after: str = "", limit: int = 100) -> Page[Agent]:
    """Return a page of agents by tenant and name; `after` is the `next` of the page before (`<tenant>/<agent>`)."""
    size = limited(limit)
    statement = _joined().where(*_conditions(wanted)).order_by(_agents.c.tenant, _agents.c.agent).limit(size + 1)
    if after:
        statement = statement.where(tuple_(_agents.c.tenant, _agents.c.agent) > tuple_(*pair_after(after)))
    found = [_agent(row) for row in connection.execute(statement)]
    return Page(items=tuple(found[:size]), next=found[size - 1].name if len(found) > size else "")


def count(connection: Connection, tenant: str, *, pool: str = "") -> int:
    """Return how many agents a tenant, or one pool of it, has: all that are not revoked, decommissioned or past their lease's end."""
    statement = select(func.count()).where(_agents.c.tenant == tenant, _agents.c.state.in_(LIVE))
    if pool:
        statement = statement.where(_agents.c.subject == pool, _agents.c.agent != pool)
    return connection.execute(statement).scalar_one()


def counts(connection: Connection, *, tenants: Sequence[str] | None = None) -> dict[tuple[str, State, Presence], int]:
    """Return how many agents there are by (tenant, state, presence), for metrics and overviews."""
    statement = select(_agents.c.tenant, _agents.c.state, _agents.c.presence, func.count()).group_by(
        _agents.c.tenant, _agents.c.state, _agents.c.presence
    )
    if tenants is not None:
        statement = statement.where(_agents.c.tenant.in_(tenants))
    return {(row[0], row[1], row[2]): row[3] for row in connection.execute(statement)}


def states(connection: Connection, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], State]:
    """Return the states of these agents, by (tenant, agent); those that never enrolled are left out."""
    columns = (_agents.c.tenant, _agents.c.agent)
    rows = connection.execute(select(*columns, _agents.c.state).where(tuple_(*columns).in_(names))) if names else ()
    return {(row[0], row[1]): row[2] for row in rows}


def enrol(connection: Connection, tenant: str, agent: str, *, by: str, now: datetime, lease_until: datetime | None = None) -> Agent:
    """Write that an agent enrolled: new, or a name that enrols again, whose incarnation rises and whose state is `enrolled` again.

    `by` says how: `token:<id>`, `platform:<issuer>`. Whether it may enrol is the caller's decision, made in the same transaction.
    Certificates of its former incarnation are revoked, what it reported is forgotten, and history stays. `lease_until` is for members
    of pools.
    """
    values = _new(tenant, agent, by=by, now=now, lease_until=lease_until)
    added = connection.execute(insert(connection, _agents).values(values).on_conflict_do_nothing().returning(_agents.c.agent)).first()
    notify(connection, AGENTS, f"{tenant}/{agent}")
    if added is not None:
        return Agent(**values, last_seen=None, version="", sequence=0)
    certificates.revoke_agent(connection, tenant, agent, why="its name enrolled again")
    for table in (schema.statuses, schema.facts, _beats):
        connection.execute(delete(table).where(table.c.tenant == tenant, table.c.agent == agent))
    changed = {**values, "incarnation": _agents.c.incarnation + 1}
    connection.execute(update(_agents).where(_agents.c.tenant == tenant, _agents.c.agent == agent).values(changed))
    return _required(connection, tenant, agent)


def set_state(
    connection: Connection, tenant: str, agent: str, state: State, *, by: str, reason: str, now: datetime, leave: str = ""
) -> Agent:
    """Move an agent to a state; revoked and decommissioned ones lose all their certificates in the same transaction, and their presence.

    From quarantine back to `enrolled` is a move as any other; out of `revoked` and `decommissioned` leads enrolling again only.
    `leave` (`keep`, `remove`) goes with `decommissioned`. The same state again changes its reason.

    Raises:
        InputError: there is no such agent, or the way back is asked for.
    """
    found = _required(connection, tenant, agent, lock=True)
    if found.state not in LIVE and state in LIVE:
        message = f"agent {found.name} is {found.state} ({found.reason}); it comes back by enrolling again"
        raise InputError(message)
    changed = {"state": state, "reason": reason, "state_by": by, "state_at": now, "leave": leave if state == "decommissioned" else ""}
    silent = {} if state in LIVE else {"presence": "", "presence_at": None}  # nobody listens for it any more
    connection.execute(update(_agents).where(_agents.c.tenant == tenant, _agents.c.agent == agent).values(changed | silent))
    if state not in LIVE:
        why = certificates.DECOMMISSIONED + reason if state == "decommissioned" else reason
        certificates.revoke_agent(connection, tenant, agent, why=why)
    notify(connection, AGENTS, found.name)
    return _required(connection, tenant, agent)


def take_in(
    connection: Connection,
    certificate: certificates.Certificate,
    *,
    subject_known: bool,
    now: datetime,
    lease_until: datetime | None = None,
) -> Agent | None:
    """Write down again a certificate that this registry does not know, and its agent with it: the registry was lost or is older.

    For a certificate whose chain, name, issuer and validity hold: agents and git are enough to make a registry again. `subject_known`
    says that signed controls have its agent or pool; `lease_until` is for members of pools. Returns the agent; None where it is not
    taken in: git does not know it, this registry says that the certificate or the agent is revoked, or the agent decommissioned, or
    that it enrolled after the certificate was made. Audit it. A certificate that is known is left as it is, and its agent returned.
    """
    known = certificates.get(connection, certificate.fingerprint)
    found = get(connection, certificate.tenant, certificate.agent)
    if known is not None:
        return found if known.revoked_at is None else None
    if not subject_known or (found is not None and not _may_have(found, certificate)):
        return None
    if found is None:
        values = _new(certificate.tenant, certificate.agent, by="taken-in", now=now, lease_until=lease_until)
        connection.execute(insert(connection, _agents).values(values).on_conflict_do_nothing())
    certificates.record(connection, certificate, how="taken-in", now=now)
    notify(connection, AGENTS, f"{certificate.tenant}/{certificate.agent}")
    return _required(connection, certificate.tenant, certificate.agent)


def _may_have(found: Agent, certificate: certificates.Certificate) -> bool:
    later = certificate.not_before >= found.enrolled_at - BACKDATED
    return found.state in LIVE and (found.enrolled_by == "taken-in" or later)


def extend_lease(connection: Connection, tenant: str, agent: str, *, until: datetime) -> None:
    """Let a member of a pool stay until then: at each renewal of its certificate."""
    connection.execute(update(_agents).where(_agents.c.tenant == tenant, _agents.c.agent == agent).values(lease_until=until))


def past_lease(connection: Connection, *, now: datetime, limit: int = 500) -> list[Agent]:
    """Return members of pools whose lease is over and who are not decommissioned yet, those of the oldest lease first."""
    conditions = (_agents.c.lease_until < now, _agents.c.state != "decommissioned")
    return [_agent(row) for row in connection.execute(_joined().where(*conditions).order_by(_agents.c.lease_until).limit(limited(limit)))]


def prune_ended(connection: Connection, *, tenant: str, before: datetime, limit: int) -> int:
    """Forget hosts of a tenant's pools that ended before then, by lease and by state, at most `limit`; return how many.

    Their ids are never given again, so no name loses its history. Certificates go by themselves, and are not taken in again
    (`identity.recording`).
    """
    over = (
        _agents.c.tenant == tenant,
        _agents.c.agent != _agents.c.subject,
        _agents.c.state == "decommissioned",
        _agents.c.state_at < before,
        _agents.c.lease_until < before,
    )
    some = select(_agents.c.agent).where(*over).limit(limit)
    gone = list(connection.execute(delete(_agents).where(_agents.c.agent.in_(some), *over).returning(_agents.c.agent)).scalars())
    for table in (schema.statuses, schema.facts, _beats):
        connection.execute(delete(table).where(table.c.tenant == tenant, table.c.agent.in_(gone)))
    return len(gone)


def set_presence(connection: Connection, changes: Sequence[tuple[str, str, Presence]], *, now: datetime) -> None:
    """Write (tenant, agent, presence) of agents whose presence changed, in one statement for all; those that left meanwhile have none."""
    if changes:
        statement = (
            update(_agents)
            .where(_agents.c.tenant == bindparam("t"), _agents.c.agent == bindparam("a"), or_(*(_agents.c.state == one for one in LIVE)))
            .values(presence=bindparam("p"), presence_at=now)
        )
        connection.execute(statement, [{"t": tenant, "a": agent, "p": presence} for tenant, agent, presence in changes])


def _new(tenant: str, agent: str, *, by: str, now: datetime, lease_until: datetime | None) -> dict[str, Any]:
    return {
        "tenant": tenant,
        "agent": agent,
        "subject": agent.partition("/")[0],
        "incarnation": 1,
        "state": "enrolled",
        "reason": "",
        "state_by": by,
        "state_at": now,
        "leave": "",
        "enrolled_at": now,
        "enrolled_by": by,
        "lease_until": lease_until,
        "presence": "",
        "presence_at": None,
    }


def _joined() -> Select[Any]:
    beside = and_(_beats.c.tenant == _agents.c.tenant, _beats.c.agent == _agents.c.agent)
    return select(_agents, _beats.c.last_seen, _beats.c.version, _beats.c.sequence).select_from(_agents.outerjoin(_beats, beside))


def _agent(row: Row[Any]) -> Agent:
    values = row._mapping  # noqa: SLF001 - documented; the underscore keeps names of columns apart
    return Agent(**{**values, "version": values["version"] or "", "sequence": values["sequence"] or 0})


def _required(connection: Connection, tenant: str, agent: str, *, lock: bool = False) -> Agent:
    statement = _joined().where(_agents.c.tenant == tenant, _agents.c.agent == agent)
    row = connection.execute(statement.with_for_update(of=_agents) if lock else statement).one_or_none()
    if row is None:
        message = f"there is no agent {tenant}/{agent}; `ordain agents list --tenant {tenant}` shows those that enrolled"
        raise InputError(message)
    return _agent(row)


def _conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    plain = {_agents.c.tenant: wanted.tenants, _agents.c.state: wanted.states or None, _agents.c.presence: wanted.presences or None}
    found: list[ColumnElement[bool]] = [column.in_(values) for column, values in plain.items() if values is not None]
    if wanted.version:
        found.append(_beats.c.version == wanted.version)
    if wanted.pool:
        found += [_agents.c.subject == wanted.pool, _agents.c.agent != wanted.pool]
    if not wanted.ended:
        found.append(or_(_agents.c.state != "decommissioned", _agents.c.agent == _agents.c.subject))
    if wanted.prefix:
        found.append(_agents.c.agent.startswith(wanted.prefix, autoescape=True))
    if wanted.seen_since:
        found.append(_beats.c.last_seen >= wanted.seen_since)
    if wanted.seen_before:
        found.append(or_(_beats.c.last_seen < wanted.seen_before, _beats.c.last_seen.is_(None)))
    return found + _of_git(wanted)


def _of_git(wanted: Filter) -> list[ColumnElement[bool]]:
    labels, fleets = schema.subject_labels, schema.subject_fleets
    found: list[ColumnElement[bool]] = [
        exists().where(
            labels.c.tenant == _agents.c.tenant, labels.c.subject == _agents.c.subject, labels.c.label == label, labels.c.value == value
        )
        for label, value in (wanted.labels or {}).items()
    ]
    if wanted.fleet:
        found.append(
            exists().where(fleets.c.tenant == _agents.c.tenant, fleets.c.subject == _agents.c.subject, fleets.c.fleet == wanted.fleet)
        )
    return found
