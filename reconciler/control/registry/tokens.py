"""Enrolment tokens: for one agent or one pool of one tenant, until a time, so many uses; the secret is returned once and kept as a hash."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from agent.protocol.errors import RefusedError
from reconciler.control.registry import schema, secrets_at_rest
from reconciler.control.registry.paging import Page, limited

_table = schema.tokens
_SHOWN = [column for column in _table.c if column.name != "secret_hash"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentToken:
    """A token without its secret; one of `agent` and `pool` is "". `reimage` lets a name that is enrolled enrol again."""

    id: str
    tenant: str
    agent: str
    pool: str
    uses: int
    uses_left: int
    reimage: bool
    created_at: datetime
    created_by: str
    expires_at: datetime
    used_at: datetime | None
    revoked_at: datetime | None


def create(
    connection: Connection,
    tenant: str,
    *,
    agent: str = "",
    pool: str = "",
    uses: int = 1,
    expires_at: datetime,
    by: str,
    now: datetime,
    reimage: bool = False,
) -> tuple[EnrolmentToken, str]:
    """Make a token; return it, and its secret, which is shown once and is nowhere else. One of `agent` and `pool` is given."""
    secret = secrets_at_rest.make()
    made = EnrolmentToken(
        id=secrets_at_rest.make_id(),
        tenant=tenant,
        agent=agent,
        pool=pool,
        uses=uses,
        uses_left=uses,
        reimage=reimage,
        created_at=now,
        created_by=by,
        expires_at=expires_at,
        used_at=None,
        revoked_at=None,
    )
    values = {name: getattr(made, name) for name in EnrolmentToken.__slots__}
    connection.execute(_table.insert().values(**values, secret_hash=secrets_at_rest.hashed(secret)))
    return made, secret


def check(connection: Connection, id_: str, secret: str, *, now: datetime, used_up: bool = False) -> EnrolmentToken:
    """Return the token if it may be used now, and use nothing of it; with `used_up` also one that has no use left.

    Raises:
        RefusedError: no such token, another secret (both in the same words and the same time), or revoked, expired or used up.
    """
    row = connection.execute(select(_table).where(_table.c.id == id_)).one_or_none()
    if not secrets_at_rest.matches(secret, row.secret_hash if row else None) or row is None:
        message = "this enrolment token is not known: it was mistyped, or forgotten long after its end; ask for a new one"
        raise RefusedError(message)
    _require_usable(row, now, used_up=used_up)
    return _token(row)


def use(connection: Connection, id_: str, secret: str, *, now: datetime) -> EnrolmentToken:
    """Use a token once, and return it as it is then; of two who use the last one at once, one succeeds.

    Do it in the transaction that enrols: where that is undone, so is this. Raises as `check`.
    """
    check(connection, id_, secret, now=now)
    statement = update(_table).where(_table.c.id == id_, _table.c.uses_left > 0, _table.c.expires_at > now, _table.c.revoked_at.is_(None))
    row = connection.execute(statement.values(uses_left=_table.c.uses_left - 1, used_at=now).returning(*_SHOWN)).one_or_none()
    if row is None:
        raise _used_up()
    return _token(row)


def listed(connection: Connection, tenant: str, *, after: str = "", limit: int = 100) -> Page[EnrolmentToken]:
    """Return a page of a tenant's tokens by id, used and expired ones too until they are pruned."""
    size = limited(limit)
    statement = select(*_SHOWN).where(_table.c.tenant == tenant, _table.c.id > after).order_by(_table.c.id).limit(size + 1)
    found = [_token(row) for row in connection.execute(statement)]
    return Page(items=tuple(found[:size]), next=found[size - 1].id if len(found) > size else "")


def revoke(connection: Connection, tenant: str, id_: str, *, now: datetime) -> bool:
    """Make a token useless; return whether the tenant has it and it was not revoked before."""
    statement = update(_table).where(_table.c.id == id_, _table.c.tenant == tenant, _table.c.revoked_at.is_(None))
    return connection.execute(statement.values(revoked_at=now)).rowcount > 0


def prune(connection: Connection, *, before: datetime, limit: int) -> int:
    """Forget tokens that expired before then, at most `limit`; return how many."""
    old = select(_table.c.id).where(_table.c.expires_at < before).order_by(_table.c.expires_at).limit(limit)
    return connection.execute(delete(_table).where(_table.c.id.in_(old))).rowcount


def _require_usable(row: Row[Any], now: datetime, *, used_up: bool) -> None:
    if row.revoked_at is not None:
        message = f"enrolment token {row.id} is revoked; ask for a new one"
        raise RefusedError(message)
    if row.expires_at <= now:
        message = f"enrolment token {row.id} expired; ask for a new one"
        raise RefusedError(message)
    if row.uses_left < 1 and not used_up:
        raise _used_up()


def _used_up() -> RefusedError:
    message = "this enrolment token is used up; ask for a new one, and find out who used it if it was not you"
    return RefusedError(message)


def _token(row: Row[Any]) -> EnrolmentToken:
    values = dict(row._mapping)  # noqa: SLF001 - documented; the underscore keeps names of columns apart
    values.pop("secret_hash", None)
    return EnrolmentToken(**values)
