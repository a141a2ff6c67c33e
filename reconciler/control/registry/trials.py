"""Who was given a certificate of an authority that is being tried, and who came back with it: marks, as long as the trial lasts."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, func, select

from reconciler.control.registry import schema
from reconciler.control.registry.columns import from_microseconds, microseconds
from reconciler.control.registry.upserts import insert

_marks = schema.marks
_USED = "used"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many hosts were given one, how many came back with it, and how many did not though they should have by now.

    `first` is when the first of those was given it, None where all came back.
    """

    issued: int = 0
    used: int = 0
    overdue: int = 0
    first: datetime | None = None


def issued(connection: Connection, generation: int, host: str, *, now: datetime) -> None:
    """Note that a host (`shop/web-01`) was given a certificate; one that came back with an earlier one of it stays so."""
    value = f"{microseconds(now):020d}"
    connection.execute(insert(connection, _marks).values(name=_name(generation, host), value=value).on_conflict_do_nothing())


def used(connection: Connection, generation: int, host: str) -> None:
    """Note that a host came back with it."""
    statement = insert(connection, _marks).values(name=_name(generation, host), value=_USED)
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": _USED}))


def tally(connection: Connection, generation: int, *, before: datetime) -> Tally:
    """Count; who was given one before then should have come back."""
    of = _marks.c.name.startswith(_name(generation, ""), autoescape=True)
    count = select(func.count()).select_from(_marks).where(of)
    late = count.where(_marks.c.value != _USED, _marks.c.value < f"{microseconds(before):020d}")
    found = [connection.execute(one).scalar_one() for one in (count, count.where(_marks.c.value == _USED), late)]
    oldest = connection.execute(select(func.min(_marks.c.value)).where(of, _marks.c.value != _USED)).scalar_one() if found[2] else None
    first = from_microseconds(int(oldest)) if oldest is not None else None
    return Tally(issued=found[0], used=found[1], overdue=found[2], first=first)


def forget(connection: Connection, generation: int) -> None:
    """Forget a trial."""
    connection.execute(delete(_marks).where(_marks.c.name.startswith(_name(generation, ""), autoescape=True)))


def _name(generation: int, host: str) -> str:
    return f"trial/{generation}/{host}"
