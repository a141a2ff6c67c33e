"""Certificates that were made, and those of them that are revoked; each by the SHA-256 of its DER in hexadecimal (`fingerprint`).

One that is not here is not known: `agents.take_in` says what becomes of it. Times of revocation are the database's clock, so that
`revoked_since` works for every process; ask for some time earlier than the last answer (`OVERLAP`), since a transaction that began
earlier may be committed later.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Row, delete, select, update

from reconciler.control.registry import clock, schema
from reconciler.control.registry.upserts import insert
from reconciler.control.registry.wakeups import REVOCATIONS, notify

How = Literal["enrolled", "renewed", "lapsed", "taken-in"]
DECOMMISSIONED = "decommissioned: "
"""What the reason begins with of certificates that were good until their agent was decommissioned: those alone are told to leave."""
OVERLAP = timedelta(minutes=2)
"""Longer than any transaction takes."""
_table = schema.certificates


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """One certificate: `serial` and `issuer` (the intermediate's key identifier) in hexadecimal.

    `key` is its public key (SubjectPublicKeyInfo, DER) in base64, by which receipts are checked that it signed.
    """

    fingerprint: str
    tenant: str
    agent: str
    serial: str
    issuer: str
    key: str
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Known(Certificate):
    """A certificate as the registry has it."""

    how: How
    recorded_at: datetime
    revoked_at: datetime | None
    revoked_why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """A revoked certificate, as long as it has not run out and its time to renew is not over."""

    fingerprint: str
    tenant: str
    agent: str
    revoked_at: datetime


def record(connection: Connection, certificate: Certificate, *, how: How, now: datetime) -> None:
    """Write a certificate down before it is handed out; the same one again changes nothing."""
    values = {name: getattr(certificate, name) for name in Certificate.__slots__}
    statement = insert(connection, _table).values(**values, how=how, recorded_at=now, revoked_at=None, revoked_why="")
    connection.execute(statement.on_conflict_do_nothing())


def get(connection: Connection, fingerprint: str) -> Known | None:
    """Return a certificate, revoked or not; None where it is not known."""
    row = connection.execute(select(_table).where(_table.c.fingerprint == fingerprint)).one_or_none()
    return _known(row) if row else None


def some(connection: Connection, fingerprints: Sequence[str]) -> list[Known]:
    """Return those certificates that are known, revoked or not."""
    return [_known(row) for row in connection.execute(select(_table).where(_table.c.fingerprint.in_(fingerprints)))]


def of_agent(connection: Connection, tenant: str, agent: str, *, limit: int = 100) -> list[Known]:
    """Return an agent's certificates, the newest first."""
    statement = select(_table).where(_table.c.tenant == tenant, _table.c.agent == agent)
    return [_known(row) for row in connection.execute(statement.order_by(_table.c.not_before.desc(), _table.c.fingerprint).limit(limit))]


def revoke(connection: Connection, fingerprint: str, *, why: str) -> bool:
    """Revoke one certificate; return whether it was known and valid before. Listeners hear it (`wakeups.REVOCATIONS`)."""
    return _revoke(connection, [_table.c.fingerprint == fingerprint], why) > 0


def revoke_agent(connection: Connection, tenant: str, agent: str, *, why: str, but: str = "") -> int:
    """Revoke an agent's certificates, all but the one of fingerprint `but`; return how many were valid before."""
    return _revoke(connection, [_table.c.tenant == tenant, _table.c.agent == agent, _table.c.fingerprint != but], why)


def _revoke(connection: Connection, conditions: Sequence[Any], why: str) -> int:
    statement = update(_table).where(*conditions, _table.c.revoked_at.is_(None)).values(revoked_at=clock.now(connection), revoked_why=why)
    rows = connection.execute(statement.returning(_table.c.tenant, _table.c.agent)).all()
    for tenant, agent in sorted({(row[0], row[1]) for row in rows}):
        notify(connection, REVOCATIONS, f"{tenant}/{agent}")
    return len(rows)


def revoked_since(connection: Connection, since: datetime | None = None) -> list[Revoked]:
    """Return what was revoked at `since` or later, all where None, the oldest first: what a process holds in memory."""
    statement = select(_table.c.fingerprint, _table.c.tenant, _table.c.agent, _table.c.revoked_at)
    statement = statement.where(_table.c.revoked_at.is_not(None) if since is None else _table.c.revoked_at >= since)
    rows = connection.execute(statement.order_by(_table.c.revoked_at, _table.c.fingerprint))
    return [Revoked(fingerprint=row[0], tenant=row[1], agent=row[2], revoked_at=row[3]) for row in rows]


def prune(connection: Connection, *, before: datetime, limit: int) -> int:
    """Forget certificates that ran out before then, at most `limit`; return how many.

    `before` must be older than lapsed ones may renew: one that is forgotten counts as unknown, and would be taken in again.
    """
    old = select(_table.c.fingerprint).where(_table.c.not_after < before).order_by(_table.c.not_after).limit(limit)
    return connection.execute(delete(_table).where(_table.c.fingerprint.in_(old))).rowcount


def _known(row: Row[Any]) -> Known:
    return Known(**row._mapping)  # noqa: SLF001 - documented; the underscore keeps names of columns apart
