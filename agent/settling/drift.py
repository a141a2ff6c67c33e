"""Drift: managed paths that are no longer as the current generation says. Enforced, or only reported.

Looked for at each poll, at the cost of a stat for each path: content is read again only where inode, size or times
changed. Fleets that let this host go are left alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from agent.apply.generations import Meta
from agent.apply.plan import Action, Plan
from agent.apply.transaction import Change, Workspace, apply
from agent.archives import trees
from agent.logs import timestamp
from agent.protocol.errors import InputError, RefusedError, RetryError
from agent.protocol.state import State
from agent.providers.item import Item
from agent.reporting.status import Drift, FleetStatus
from agent.settling.settle import Settler
from agent.settling.table import Table

SHOWN = 10
"""Names within one unpacked artifact that a status lists: enough to see what happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """One fleet's drift: what would put it right, and what is known of the fleet."""

    fleet: str
    meta: Meta
    items: Mapping[str, Item]
    plan: Plan
    state: State


def watch(settler: Settler, table: Table) -> None:
    """Compare every fleet's managed paths with its current generation; repair or report what differs."""
    for fleet in sorted(set(table.current) - table.left):
        meta = settler.generations(fleet).current()
        if meta is None or settler.work.stopping() or settler.marks.is_waiting(f"drift of {fleet}"):
            continue
        state = table.current[fleet]
        try:
            prepared = settler.prepare(fleet, state, table)
            _attend(settler, _Seen(fleet=fleet, meta=meta, items=prepared.items, plan=prepared.plan, state=state))
            settler.converger.attend(fleet, prepared.state, held=settler.generations(fleet).hold() is not None)
        except (RefusedError, InputError, RetryError, OSError) as error:
            settler.marks.wait(f"drift of {fleet}")
            settler.log.step("drift", fleet=fleet, why=f"can't be put right: {error}")
        except Exception as error:  # noqa: BLE001 - not even a fault of ours in one fleet may hold up the others
            settler.marks.wait(f"drift of {fleet}")
            settler.fault(fleet, error)


def _attend(settler: Settler, seen: _Seen) -> None:
    drifts = _note(settler, seen)
    if seen.plan.empty or (drifts and seen.state.drift == "report"):
        return
    apply(settler.work, Change(fleet=seen.fleet, meta=seen.meta, items=seen.items, plan=seen.plan))
    settler.marks.settle(f"drift of {seen.fleet}")
    _write(settler, seen.fleet, [])
    settler.log.step("repaired", fleet=seen.fleet, paths=len(seen.plan.actions))


def _note(settler: Settler, seen: _Seen) -> list[Drift]:
    """Write down what differs now, with the time since when it has, and return it."""
    status = settler.book.read(seen.fleet)
    known = {drift.path: drift for drift in status.drift} if status else {}
    drifts = [_drift(settler.work, action, known.get(action.path)) for action in seen.plan.actions if action.item is not None]
    for drift in drifts:
        if drift.path not in known:
            settler.log.step("drift", fleet=seen.fleet, path=drift.path, differs=",".join(drift.differs), policy=seen.state.drift)
    _write(settler, seen.fleet, drifts)
    return drifts


def _write(settler: Settler, fleet: str, drifts: list[Drift]) -> None:
    status = settler.book.read(fleet) or FleetStatus(result="applied", why="", since=timestamp())
    running = [one for one in status.drift if not one.path.startswith("/")]  # what effects say of processes and services
    settler.book.write(fleet, msgspec.structs.replace(status, drift=[*drifts, *running]))


def _drift(work: Workspace, action: Action, known: Drift | None) -> Drift:
    item, host = action.item, work.host
    now = host.observe(action.path)
    actual = host.digest(action.path) if now.kind == "file" and "content" in action.why else f"{now.kind} {now.mode:04o}"
    expected = "" if item is None else (item.digest or "") if "content" in action.why else f"{item.kind} {item.mode:04o}"
    since = known.since if known is not None else timestamp()
    inside = _inside(work, item) if item is not None and item.kind == "tree" and now.kind == "directory" else []
    return Drift(path=action.path, differs=list(action.why), expected=expected, actual=actual, since=since, inside=inside)


def _inside(work: Workspace, item: Item) -> list[str]:
    """Return the first names within an unpacked artifact that differ; none where what it unpacks to isn't known here."""
    expected = work.cache.listing(item.source, item.unpack) if item.source is not None and item.unpack is not None else []
    if not expected:
        return []
    with work.host.directory(item.path) as descriptor:
        return trees.differing(expected, trees.listing(descriptor, item.owner))[:SHOWN]
