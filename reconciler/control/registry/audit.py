"""Who did what: a chain of entries for each tenant and one for the installation (""), each entry holding the hash of the one before.

So none can be changed, taken out or put between without all later ones showing it; `verify` looks. An entry is written in the
transaction of what it is about: neither is there without the other. Entries of one chain wait for each other; write them last.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select, update

from agent.protocol import codec
from agent.protocol.errors import RefusedError
from reconciler.control.registry import schema
from reconciler.control.registry.columns import microseconds
from reconciler.control.registry.narrowing import by_number
from reconciler.control.registry.paging import Page, limited
from reconciler.control.registry.upserts import insert

INSTALLATION = ""
"""The chain of what is of no tenant."""
ANCHOR = "audit.anchor"
START = "0" * 64
"""What the first entry of a chain holds as the hash before it."""
_SLICE = 1000
_table = schema.audit
_chains = schema.audit_chains


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that was done or refused.

    `who` is `operator:<name>`, `oidc:<issuer>#<subject>`, `agent:<tenant>/<agent>`, `token:<id>` or `system`; `action` a word such as
    `agents.revoke`; `target` what it was done to (`shop/web-01`); `outcome` is `done`, `refused`, or
    `ignored` of an order that there was nothing to do for; `detail` integers and strings only.
    """

    chain: str
    number: int
    at: datetime
    who: str
    action: str
    target: str
    outcome: str
    reason: str
    detail: Mapping[str, Any]
    previous: str
    hash: str


def append(
    connection: Connection,
    chain: str,
    *,
    who: str,
    action: str,
    target: str = "",
    outcome: str = "done",
    reason: str = "",
    detail: Mapping[str, Any] | None = None,
    at: datetime,
) -> Entry:
    """Write the next entry of a chain (a tenant, or `INSTALLATION`); safe however many write at once.

    In a transaction that writes to several chains, write in the order of their names, or two of them may wait for each other.
    """
    number, previous = _held(connection, chain)
    said = {"who": who, "action": action, "target": target, "outcome": outcome, "reason": reason}
    clean = {name: value.replace("\0", "\ufffd") for name, value in said.items()}
    values: dict[str, Any] = {**clean, "chain": chain, "number": number + 1, "at": at, "detail": dict(detail or {}), "previous": previous}
    entry = Entry(**values, hash=_hash(values))
    connection.execute(_table.insert().values(**values, hash=entry.hash))
    connection.execute(update(_chains).where(_chains.c.chain == chain).values(number=entry.number, hash=entry.hash))
    return entry


def hold(connection: Connection, chain: str) -> None:
    """Have others who write to a chain wait until this transaction, which will write to it, ends: what it counts stays so until then."""
    _held(connection, chain)


def listed(connection: Connection, chain: str, *, after: str = "", limit: int = 100, newest_first: bool = True) -> Page[Entry]:
    """Return a page of a chain's entries by number; `after` is the `next` of the page before (a number)."""
    size = limited(limit)
    statement = select(_table).where(_table.c.chain == chain)
    statement = by_number(statement, _table.c.number, after=after, limit=limit, newest_first=newest_first)
    found = [Entry(**row) for row in connection.execute(statement).mappings()]
    return Page(items=tuple(found[:size]), next=str(found[size - 1].number) if len(found) > size else "")


def last(connection: Connection, chain: str, *, action: str) -> Entry | None:
    """Return the newest entry of an action in a chain; None where there is none, or no more."""
    statement = select(_table).where(_table.c.chain == chain, _table.c.action == action).order_by(_table.c.number.desc()).limit(1)
    row = connection.execute(statement).mappings().one_or_none()
    return Entry(**row) if row else None


def heads(connection: Connection) -> dict[str, int]:
    """Return the number of each chain's last entry."""
    return {row.chain: row.number for row in connection.execute(select(_chains.c.chain, _chains.c.number))}


def chains(connection: Connection) -> list[str]:
    """Return the names of all chains, the installation's "" first."""
    return list(connection.execute(select(_chains.c.chain).order_by(_chains.c.chain)).scalars())


def verify(connection: Connection, chain: str) -> int:
    """Go through a chain from its first kept entry to its last; return how many entries there are.

    Raises:
        RefusedError: an entry was changed, or is missing, or the chain does not end where it should; the message names the entry.
    """
    row = connection.execute(select(_chains).where(_chains.c.chain == chain)).one_or_none()
    number, previous = (row.floor, row.floor_hash) if row else (0, START)
    begin = number
    for entry in _all(connection, chain):
        number += 1
        values = {name: getattr(entry, name) for name in Entry.__slots__ if name != "hash"}
        if (entry.number, entry.previous, entry.hash) != (number, previous, _hash(values)):
            raise _broken(chain, f"entry {number} is not what was written there")
        previous = entry.hash
    if row and (row.number, row.hash) != (number, previous):
        raise _broken(chain, f"it ends with entry {number} instead of {row.number}")
    return number - begin


def anchor(connection: Connection, *, at: datetime) -> Entry:
    """Write where every tenant's chain stands into the installation's: what is cut off a chain with its memory shows there."""
    heads = connection.execute(select(_chains.c.chain, _chains.c.number, _chains.c.hash).where(_chains.c.chain != INSTALLATION))
    detail = {row.chain: f"{row.number}:{row.hash}" for row in heads}
    return append(connection, INSTALLATION, who="system", action=ANCHOR, detail=detail, at=at)


def prune(connection: Connection, *, chain: str, before: datetime, limit: int) -> int:
    """Forget a chain's first entries, as far as they are of before then, at most `limit`; return how many.

    The chain remembers the hash of the last one, so that what is left can be verified.
    """
    statement = select(_table.c.number, _table.c.hash, _table.c.at).where(_table.c.chain == chain).order_by(_table.c.number).limit(limit)
    last = None
    for row in connection.execute(statement):
        if row.at >= before:
            break
        last = row
    if last is None:
        return 0
    connection.execute(update(_chains).where(_chains.c.chain == chain).values(floor=last.number, floor_hash=last.hash))
    return connection.execute(delete(_table).where(_table.c.chain == chain, _table.c.number <= last.number)).rowcount


def _all(connection: Connection, chain: str) -> Iterator[Entry]:
    after = ""
    while True:
        page = listed(connection, chain, after=after, limit=_SLICE, newest_first=False)
        yield from page.items
        if not page.next:
            return
        after = page.next


def _held(connection: Connection, chain: str) -> tuple[int, str]:
    """Return the number and hash of a chain's last entry; others who write to the chain wait from here on."""
    statement = select(_chains.c.number, _chains.c.hash).where(_chains.c.chain == chain).with_for_update()
    found = connection.execute(statement).one_or_none()
    if found is None:
        begun = insert(connection, _chains).values(chain=chain, number=0, hash=START, floor=0, floor_hash=START)
        connection.execute(begun.on_conflict_do_nothing())
        found = connection.execute(statement).one()
    return found[0], found[1]


def _hash(values: Mapping[str, Any]) -> str:
    return codec.sha256(codec.canonical({**values, "at": microseconds(values["at"])}))


def _broken(chain: str, what: str) -> RefusedError:
    message = f"the audit chain of {chain or 'the installation'} is broken: {what}; compare it with a backup and with the git notes"
    return RefusedError(message)
