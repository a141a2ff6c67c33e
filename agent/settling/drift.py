"""Drift: managed paths that are no longer as the current generation says. Enforced, or only reported.

Looked for at each poll, at the cost of a stat for each path: content is read again where inode, size or times changed, and a slice of
the rest (`Digests.read_anew`). What somebody changes again and again is put right less and less often. Fleets that let this host go are
left alone.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from agent.apply.generations import Meta
from agent.apply.plan import Action, Plan
from agent.apply.transaction import Change, Workspace, apply
from agent.archives import trees
from agent.logs import timestamp
from agent.protocol.errors import InputError, RefusedError, RetryError
from agent.protocol.report import Difference
from agent.protocol.state import State
from agent.providers.item import Item
from agent.reporting.status import Drift, FleetStatus
from agent.secrets.rotation import note_put, read_put
from agent.settling.repairs import without
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
    """Compare every fleet's managed paths with its current generation; repair or report what differs.

    Where a secret was rotated, what reads it is restarted or reloaded at once.
    """
    rotated = False
    settler.digests.read_anew()
    for fleet in sorted(set(table.current) - table.left):
        meta = settler.generations(fleet).current()
        if meta is None or settler.work.stopping() or settler.marks.is_waiting(f"drift of {fleet}"):
            continue
        state = table.current[fleet]
        try:
            prepared = settler.prepare(fleet, state, table)
            rotated |= _attend(settler, _Seen(fleet=fleet, meta=meta, items=prepared.items, plan=prepared.plan, state=state))
            settler.converger.attend(fleet, prepared.state, held=settler.generations(fleet).hold() is not None)
        except (RefusedError, InputError, RetryError, OSError) as error:
            settler.marks.wait(f"drift of {fleet}")
            settler.log.step("drift", fleet=fleet, why=f"can't be put right: {error}")
        except Exception as error:  # noqa: BLE001 - not even a fault of ours in one fleet may hold up the others
            settler.marks.wait(f"drift of {fleet}")
            settler.fault(fleet, error)
    if rotated:
        settler.bring_about(table)


def _attend(settler: Settler, seen: _Seen) -> bool:
    """Put right what differs, or note it; return whether a secret was rotated."""
    directory = settler.work.disk.fleet(seen.fleet)
    rotated = _rotated(settler, seen)
    drifts = _note(settler, seen, rotated)
    plan, contested = seen.plan, {one.path for one in drifts if one.contested}
    if drifts and seen.state.drift == "report":
        plan = _only(plan, lambda path: path in rotated)
    elif contested:
        plan = _only(plan, lambda path: path in rotated or without(frozenset(contested), path))
    if not plan.empty:
        apply(settler.work, Change(fleet=seen.fleet, meta=seen.meta, items=seen.items, plan=plan))
        settler.marks.settle(f"drift of {seen.fleet}")
        settler.repairs.note(seen.fleet, (one.path for one in plan.actions if one.path not in rotated))
    left = {one.path for one in seen.plan.actions} - {one.path for one in plan.actions}
    note_put(directory, seen.items, differing=left)
    if rotated:
        settler.log.step("rotated", fleet=seen.fleet, paths=len(rotated))
    if len(plan.actions) > len(rotated) or (not plan.empty and not rotated):
        _write(settler, seen.fleet, [one for one in drifts if one.path in left])
        settler.log.step("repaired", fleet=seen.fleet, paths=len(plan.actions) - len(rotated))
        settler.spool.note("repaired", fleet=seen.fleet, text=f"{len(plan.actions) - len(rotated)} paths")
    return bool(rotated)


def _rotated(settler: Settler, seen: _Seen) -> frozenset[str]:
    """Return the paths at which what ordain put is as it was, and a secret in it has another value by now: that is no drift."""
    host, put = settler.work.host, read_put(settler.work.disk.fleet(seen.fleet))
    changed = [one.path for one in seen.plan.actions if one.why == ("content",) and one.item is not None and one.item.sealed is not None]
    return frozenset(path for path in changed if path in put and put[path] == settler.secrets.keys.keyed(host.digest(path)))


def _note(settler: Settler, seen: _Seen, rotated: Collection[str]) -> list[Drift]:
    """Write down what differs now, with the time since when it has, and return it."""
    status = settler.book.read(seen.fleet)
    known = {drift.path: drift for drift in status.drift} if status else {}
    enforced = seen.state.drift == "enforce"
    actions = [action for action in seen.plan.actions if action.item is not None and action.path not in rotated]
    drifts = [_drift(settler, action, known.get(action.path)) for action in actions]
    if enforced:
        contested = settler.repairs.contested(seen.fleet, (one.path for one in drifts))
        drifts = [msgspec.structs.replace(one, contested=one.path in contested) for one in drifts]
    for drift in drifts:
        if drift.path not in known or (drift.contested and not known[drift.path].contested):
            _tell(settler, seen, drift)
    _write(settler, seen.fleet, drifts)
    return drifts


def _tell(settler: Settler, seen: _Seen, drift: Drift) -> None:
    """Say that a path drifted, or that it does so again and again and is left alone for a while."""
    kind = "contested" if drift.contested else "drift"
    settler.log.step(kind, fleet=seen.fleet, path=drift.path, differs=",".join(drift.differs), policy=seen.state.drift)
    text = "put right too often; left as it is for a while" if drift.contested else seen.state.drift
    differs = Difference(
        differs=drift.differs, expected=drift.expected, actual=drift.actual, since=drift.since, owner=drift.owner, changed=drift.changed
    )
    settler.spool.note(kind, fleet=seen.fleet, path=drift.path, text=text, drift=differs)


def _only(plan: Plan, wanted: Callable[[str], bool]) -> Plan:
    """Return what of a plan changes these paths."""
    return Plan(actions=tuple(one for one in plan.actions if wanted(one.path)), adopted=(), released=(), replacing=plan.replacing)


def _write(settler: Settler, fleet: str, drifts: list[Drift]) -> None:
    status = settler.book.read(fleet) or FleetStatus(result="applied", why="", since=timestamp())
    running = [one for one in status.drift if not one.path.startswith("/")]  # what effects say of processes and services
    settler.book.write(fleet, msgspec.structs.replace(status, drift=[*drifts, *running]))


def _drift(settler: Settler, action: Action, known: Drift | None) -> Drift:
    item, work, host = action.item, settler.work, settler.work.host
    now = host.observe(action.path)
    actual = host.digest(action.path) if now.kind == "file" and "content" in action.why else f"{now.kind} {now.mode:04o}"
    if item is not None and item.sealed is not None and "content" in action.why and now.kind == "file":
        actual = settler.secrets.keys.keyed(actual)
    expected = "" if item is None else (item.shown_digest or "") if "content" in action.why else f"{item.kind} {item.mode:04o}"
    since = known.since if known is not None else timestamp()
    inside = _inside(work, item) if item is not None and item.kind == "tree" and now.kind == "directory" else []
    changed = timestamp(datetime.fromtimestamp(now.modified / 1e9, UTC)) if now.kind != "absent" else ""
    return Drift(
        path=action.path,
        differs=list(action.why),
        expected=expected,
        actual=actual,
        since=since,
        inside=inside,
        owner=now.uid if now.kind != "absent" else None,
        changed=changed,
    )


def _inside(work: Workspace, item: Item) -> list[str]:
    """Return the first names within an unpacked artifact that differ; none where what it unpacks to isn't known here."""
    expected = work.cache.listing(item.source, item.unpack) if item.source is not None and item.unpack is not None else []
    if not expected:
        return []
    with work.host.directory(item.path) as descriptor:
        return trees.differing(expected, trees.listing(descriptor, item.owner))[:SHOWN]
