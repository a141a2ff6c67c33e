"""Operators: who they are, and the tokens and sessions by which they ask. What they may do is not here: roles in git say that.

A subject is `operator:<name>` for one who has tokens, `oidc:<issuer>#<subject>` for one who signed in. Secrets are kept as hashes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Row, delete, select, update

from agent.protocol.errors import InputError, RefusedError
from reconciler.control.registry import schema, secrets_at_rest
from reconciler.control.registry.paging import Page, limited
from reconciler.control.registry.upserts import insert
from reconciler.control.registry.wakeups import OPERATORS, notify

USED_STEP = timedelta(minutes=1)
"""How exactly the last use of a token is known: more would make each request a write."""
_people = schema.operators
_table = schema.operator_tokens
_SHOWN = [column for column in _table.c if column.name != "secret_hash"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One who may ask: `shown` is a name for people, `groups` those that the last sign-in brought (`group:<issuer>#<group>`)."""

    subject: str
    shown: str
    groups: tuple[str, ...]
    created_at: datetime
    created_by: str
    disabled_at: datetime | None
    disabled_why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorToken:
    """A token or a session without its secret; `scope` is any JSON of whoever makes it, {} for no narrowing; `shown` what it is for."""

    id: str
    subject: str
    kind: Literal["token", "session"]
    scope: Mapping[str, Any]
    shown: str
    created_at: datetime
    created_by: str
    expires_at: datetime
    used_at: datetime | None
    revoked_at: datetime | None


def put(connection: Connection, subject: str, *, shown: str, groups: Sequence[str] = (), by: str, now: datetime) -> Operator:
    """Write an operator: new, or what a later sign-in says of a known one; a disabled one stays disabled."""
    said = {"shown": shown, "groups": sorted(groups)}
    statement = insert(connection, _people).values(
        subject=subject, **said, created_at=now, created_by=by, disabled_at=None, disabled_why=""
    )
    connection.execute(statement.on_conflict_do_update(index_elements=["subject"], set_=said))
    notify(connection, OPERATORS, subject)
    found = get(connection, subject)
    if found is None:
        raise AssertionError
    return found


def get(connection: Connection, subject: str) -> Operator | None:
    """Return an operator, disabled or not; None where nobody is known by that subject."""
    row = connection.execute(select(_people).where(_people.c.subject == subject)).one_or_none()
    return _operator(row) if row else None


def listed(connection: Connection, *, after: str = "", limit: int = 100) -> Page[Operator]:
    """Return a page of operators by subject."""
    size = limited(limit)
    statement = select(_people).where(_people.c.subject > after).order_by(_people.c.subject).limit(size + 1)
    found = [_operator(row) for row in connection.execute(statement)]
    return Page(items=tuple(found[:size]), next=found[size - 1].subject if len(found) > size else "")


def disable(connection: Connection, subject: str, *, why: str, now: datetime) -> None:
    """Let an operator in no more, and revoke all that they ask by; raise `InputError` where there is none."""
    changed = connection.execute(update(_people).where(_people.c.subject == subject).values(disabled_at=now, disabled_why=why))
    if not changed.rowcount:
        message = f"there is no operator {subject}; `ordain operators list` shows them"
        raise InputError(message)
    connection.execute(update(_table).where(_table.c.subject == subject, _table.c.revoked_at.is_(None)).values(revoked_at=now))
    notify(connection, OPERATORS, subject)


def create_token(
    connection: Connection,
    subject: str,
    *,
    kind: Literal["token", "session"] = "token",
    scope: Mapping[str, Any] | None = None,
    shown: str = "",
    expires_at: datetime,
    by: str,
    now: datetime,
) -> tuple[OperatorToken, str]:
    """Make a token or a session for an operator that is known; return it, and its secret, which is nowhere else."""
    secret = secrets_at_rest.make()
    made = OperatorToken(
        id=secrets_at_rest.make_id(),
        subject=subject,
        kind=kind,
        scope=dict(scope or {}),
        shown=shown,
        created_at=now,
        created_by=by,
        expires_at=expires_at,
        used_at=None,
        revoked_at=None,
    )
    values = {name: getattr(made, name) for name in OperatorToken.__slots__}
    connection.execute(_table.insert().values(**values, secret_hash=secrets_at_rest.hashed(secret)))
    return made, secret


def find(connection: Connection, id_: str, secret: str, *, now: datetime) -> tuple[OperatorToken, Operator]:
    """Return the token and whose it is, if it counts now; only reads (`note_use` is for now and then).

    Raises:
        RefusedError: no such token or another secret (both in the same words), revoked, expired, or its operator is disabled.
    """
    row = connection.execute(select(_table).where(_table.c.id == id_)).one_or_none()
    owner = get(connection, row.subject) if row else None
    if not secrets_at_rest.matches(secret, row.secret_hash if row else None) or row is None or owner is None:
        message = "this is no operator's token that is known; sign in with `ordain login`"
        raise RefusedError(message)
    if row.revoked_at is not None or owner.disabled_at is not None:
        message = f"token {row.id} of {row.subject} is revoked; sign in again, or ask for another"
        raise RefusedError(message)
    if row.expires_at <= now:
        message = f"token {row.id} of {row.subject} expired; sign in again with `ordain login`"
        raise RefusedError(message)
    return _token(row), owner


def note_use(connection: Connection, token: OperatorToken, *, now: datetime) -> None:
    """Write that a token was used, where that was last written more than `USED_STEP` ago."""
    if token.used_at is None or now - token.used_at > USED_STEP:
        connection.execute(update(_table).where(_table.c.id == token.id).values(used_at=now))


def tokens(connection: Connection, *, subject: str = "", after: str = "", limit: int = 100) -> Page[OperatorToken]:
    """Return a page of tokens and sessions by id, of one operator or of all, expired ones too until they are pruned."""
    size = limited(limit)
    statement = select(*_SHOWN).where(_table.c.id > after).order_by(_table.c.id).limit(size + 1)
    found = [_token(row) for row in connection.execute(statement.where(_table.c.subject == subject) if subject else statement)]
    return Page(items=tuple(found[:size]), next=found[size - 1].id if len(found) > size else "")


def revoke_token(connection: Connection, id_: str, *, now: datetime) -> bool:
    """Make a token or a session useless; return whether there is one that was not revoked before."""
    changed = update(_table).where(_table.c.id == id_, _table.c.revoked_at.is_(None)).values(revoked_at=now).returning(_table.c.subject)
    subject = connection.execute(changed).scalar_one_or_none()
    if subject is not None:
        notify(connection, OPERATORS, subject)
    return subject is not None


def prune(connection: Connection, *, before: datetime, limit: int) -> int:
    """Forget tokens and sessions that expired before then, at most `limit`; return how many."""
    old = select(_table.c.id).where(_table.c.expires_at < before).order_by(_table.c.expires_at).limit(limit)
    return connection.execute(delete(_table).where(_table.c.id.in_(old))).rowcount


def _operator(row: Row[Any]) -> Operator:
    return Operator(**{**row._mapping, "groups": tuple(row.groups)})  # noqa: SLF001 - documented; the underscore keeps names of columns apart


def _token(row: Row[Any]) -> OperatorToken:
    return OperatorToken(**{name: getattr(row, name) for name in OperatorToken.__slots__})
