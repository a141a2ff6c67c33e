"""Reports of many agents in one transaction: every table once for all of them, whatever they brought.

Nothing is kept twice: a receipt by its digest, an event by the batch it came in and its place there; a status only of a newer batch
than the one that is kept; so a batch that is sent again, or arrives late, changes nothing. Acknowledge after the commit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from agent.protocol.errors import MalformedError
from agent.protocol.report import Batch
from reconciler.control.registry import events, facts, heartbeats, receipts, statuses


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A batch that was checked: its agent is in `agents`, with that incarnation, and all fleets that it names are of its tenant."""

    tenant: str
    agent: str
    incarnation: int
    batch: Batch
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """How many rows were new or changed: of receipts and events those that were not there, statuses and facts that were older."""

    receipts: int
    events: int
    statuses: int


def write_batches(connection: Connection, batches: Sequence[Received]) -> Written:
    """Keep batches of any agents, several of one agent too (in any order); return how much of it was news.

    A constant number of statements, executed with many rows; rows are written in the order of their keys, so that two processes
    never wait for each other in a circle.
    """
    ordered = sorted(batches, key=lambda one: (one.tenant, one.agent, one.incarnation, one.batch.sequence))
    heartbeats.keep(connection, [_beat(one) for one in ordered])
    kept = receipts.append(connection, [found for one in ordered for found in _receipts(one)])
    told = events.append(connection, [found for one in ordered for found in _events(one)])
    changed = statuses.keep(connection, [found for one in ordered for found in _statuses(one)])
    statuses.remove(connection, [found for one in ordered for found in _gone(one)])
    statuses.keep_only(connection, [_whole(one) for one in ordered if one.batch.whole])
    facts.keep(connection, [_facts(one) for one in ordered if one.batch.facts is not None or one.batch.problems is not None])
    return Written(receipts=kept, events=told, statuses=changed)


def own_fleet(tenant: str, fleet: str) -> str:
    """Return a fleet's own name from `<tenant>/<fleet>`, as receipts have it; raise `MalformedError` where it is another tenant's."""
    owner, _, name = fleet.partition("/")
    if owner != tenant or not name:
        message = f"fleet {fleet[:130]!r} is not one of tenant {tenant}"
        raise MalformedError(message)
    return name


def _beat(one: Received) -> heartbeats.Heartbeat:
    return heartbeats.Heartbeat(
        tenant=one.tenant,
        agent=one.agent,
        incarnation=one.incarnation,
        sequence=one.batch.sequence,
        version=one.batch.version,
        last_seen=one.received_at,
    )


def _receipts(one: Received) -> Iterator[receipts.Receipt]:
    for signed in one.batch.receipts:
        fleet = own_fleet(one.tenant, signed.receipt.fleet)
        yield receipts.Receipt(tenant=one.tenant, agent=one.agent, fleet=fleet, signed=signed, received_at=one.received_at)


def _events(one: Received) -> Iterator[events.Event]:
    for index, event in enumerate(one.batch.events):
        yield events.Event(
            tenant=one.tenant,
            agent=one.agent,
            key=events.key_of(one.incarnation, one.batch.sequence, index),
            kind=event.kind,
            at=event.at,
            received_at=one.received_at,
            fleet=event.fleet,
            path=event.path,
            text=event.text if event.drift is None else f"{event.text}; {event.drift}",
        )


def _statuses(one: Received) -> Iterator[statuses.Status]:
    for said in one.batch.statuses:
        yield statuses.Status(
            tenant=one.tenant,
            agent=one.agent,
            fleet=said.fleet,
            report=said,
            incarnation=one.incarnation,
            sequence=one.batch.sequence,
            changed_at=one.received_at,
        )


def _gone(one: Received) -> Iterator[statuses.Gone]:
    for fleet in one.batch.gone:
        yield statuses.Gone(tenant=one.tenant, agent=one.agent, incarnation=one.incarnation, sequence=one.batch.sequence, fleet=fleet)


def _whole(one: Received) -> statuses.Whole:
    fleets = tuple(said.fleet for said in one.batch.statuses)
    return statuses.Whole(tenant=one.tenant, agent=one.agent, incarnation=one.incarnation, sequence=one.batch.sequence, fleets=fleets)


def _facts(one: Received) -> facts.Facts:
    return facts.Facts(tenant=one.tenant, agent=one.agent, facts=one.batch.facts, problems=one.batch.problems, at=one.received_at)
