"""Secrets of webhooks that operators made: kept as they are, since a signature can only be checked by who has the secret itself.

So they are not hashed as tokens are. What one of them is good for is a hint to fetch, and nothing more.
"""

import msgspec
from sqlalchemy import Connection, delete, select

from reconciler.control.registry import schema, secrets_at_rest
from reconciler.control.registry.upserts import insert

_marks = schema.marks
_PREFIX = "hook/"
MOST = 64
"""Webhooks of an installation: each refused delivery is compared with all of its forge."""


class Hook(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook; `former` is the secret before a rotation, which counts until `former_until` (Unix seconds)."""

    id: str
    forge: str
    secret: str
    created_at: str
    created_by: str
    rotated_at: str = ""
    former: str = ""
    former_until: float = 0.0

    def secrets(self, now: float) -> list[bytes]:
        """Return the secrets that count now."""
        return [one.encode() for one in (self.secret, self.former if now < self.former_until else "") if one]


def listed(connection: Connection) -> list[Hook]:
    """Return all webhooks by forge and id."""
    rows = connection.execute(select(_marks.c.value).where(_marks.c.name.startswith(_PREFIX, autoescape=True))).scalars()
    return sorted((msgspec.json.decode(row, type=Hook) for row in rows), key=lambda one: (one.forge, one.id))


def get(connection: Connection, id_: str) -> Hook | None:
    """Return a webhook, None where there is none."""
    row = connection.execute(select(_marks.c.value).where(_marks.c.name == _PREFIX + id_)).scalar_one_or_none()
    return None if row is None else msgspec.json.decode(row, type=Hook)


def create(connection: Connection, forge: str, *, by: str, at: str) -> Hook:
    """Make a webhook with a new secret."""
    made = Hook(id=secrets_at_rest.make_id(), forge=forge, secret=secrets_at_rest.make(), created_at=at, created_by=by)
    _put(connection, made)
    return made


def rotate(connection: Connection, hook: Hook, *, at: str, former_until: float) -> Hook:
    """Give a webhook a new secret; the one that it had counts until then, so that nothing is lost while the forge is told."""
    changed = msgspec.structs.replace(hook, secret=secrets_at_rest.make(), rotated_at=at, former=hook.secret, former_until=former_until)
    _put(connection, changed)
    return changed


def remove(connection: Connection, id_: str) -> bool:
    """Forget a webhook; return whether there was one."""
    return connection.execute(delete(_marks).where(_marks.c.name == _PREFIX + id_)).rowcount > 0


def _put(connection: Connection, hook: Hook) -> None:
    value = msgspec.json.encode(hook).decode()
    statement = insert(connection, _marks).values(name=_PREFIX + hook.id, value=value)
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": value}))
