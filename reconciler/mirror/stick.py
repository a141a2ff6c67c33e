"""Carrying releases to a site without a network: every fleet's copy in one directory, which is a store that hosts' servers can read.

The directory holds no secret and needs no trust: `bring` verifies it against the root metadata that the site got by another way.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from agent.protocol.errors import InputError, OrdainError, RefusedError
from reconciler.mirror.copying import Copied, copy_fleet
from reconciler.mirror.sources import Source
from reconciler.publication import layout
from reconciler.publication.store import Store

Outcome = Copied | OrdainError


def fleets_in(store: Store, tenant: str) -> list[str]:
    """Return the fleets of a tenant that stand published in a store."""
    return layout.children(store, f"public/{tenant}/")


def chosen(store: Store, tenant: str, wanted: Sequence[str]) -> list[str]:
    """Return which fleets to copy: those wanted, or all that there are; raise `InputError` for one that isn't there."""
    there = fleets_in(store, tenant)
    missing = sorted(set(wanted) - set(there))
    if missing or not there:
        named = ", ".join(missing) or "any fleet"
        message = f"{tenant} has nothing published of {named}; there {'are' if there else 'is'} {', '.join(there) or 'none'}"
        raise InputError(message)
    return sorted(set(wanted)) or there


def bring(source: Source, store: Store, *, tenant: str, fleets: Sequence[str], root: bytes, now: datetime) -> Iterator[tuple[str, Outcome]]:
    """Copy fleets one after the other; yield what came of each: one that can't be copied does not hold up the others."""
    for fleet in fleets:
        try:
            yield fleet, copy_fleet(source, store, tenant=tenant, fleet=fleet, root=root, now=now)
        except OrdainError as error:
            yield fleet, error


def worst(outcomes: Sequence[Outcome]) -> int:
    """Return the exit code of a run: 1 where something was refused, else 3 where something could not be done now, else 0."""
    errors = [one for one in outcomes if isinstance(one, OrdainError)]
    if any(isinstance(error, RefusedError) for error in errors):
        return RefusedError.exit_code
    return max((error.exit_code for error in errors), default=0)
