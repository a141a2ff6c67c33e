"""What a difference sets off on a host beside itself: what starts, stops, restarts, reloads or is run, once each for a release."""

from collections.abc import Iterator, Sequence
from typing import Any

from agent.protocol.state import Artifact, Process, Service, State
from reconciler.pipeline.plan.states import Pair


def effects(pair: Pair, before: State | None, after: State) -> tuple[str, ...]:
    """Return what a difference sets off, in words: `restarts process otelcol`; nothing where a host had nothing of the fleet before."""
    if pair.field == "processes":
        return ({"added": "starts it", "changed": "restarts it", "removed": "stops it"}[pair.change],)
    if pair.field == "services":
        return _of_service(pair.old, pair.new)
    if pair.field in ("files", "artifacts") and before is not None:
        return tuple(_of_path(pair, before, after))
    return ()


def _of_service(old: Service | None, new: Service | None) -> tuple[str, ...]:
    if new is None:
        return ("stops it",) if old is not None and old.comes_along else ()
    words = {"running": "starts it", "stopped": "stops it", None: ""}[new.state if old is None or old.state != new.state else None]
    boot = {True: "has it start at boot", False: "has it no more start at boot", None: ""}
    said = (words, boot[new.enabled if old is None or old.enabled != new.enabled else None])
    masked = ("masks it",) if new.masked and not (old and old.masked) else ("unmasks it",) if old and old.masked and not new.masked else ()
    return (*(one for one in said if one), *masked)


def _of_path(pair: Pair, before: State, after: State) -> Iterator[str]:
    """Yield what a changed path restarts, reloads and runs: of what was there before and is not changed itself, which says so."""
    below = isinstance(pair.new or pair.old, Artifact)
    for one in after.processes:
        if _names(one.restart_on, pair.name, below=below) and one in before.processes:
            yield f"restarts process {one.name}"
    for unit in after.services:
        if not _was_there(unit, before.services):
            continue
        if _names(unit.restart_on, pair.name, below=below):
            yield f"restarts service {unit.name}"
        elif _names(unit.reload_on, pair.name, below=below):
            yield f"reloads service {unit.name}"
    for action in after.actions:
        if _names(action.on, pair.name, below=below):
            yield f"runs action {action.name}"


def _was_there(one: Process | Service, others: Sequence[Any]) -> bool:
    return any(other.name == one.name for other in others)


def _names(paths: Sequence[str], path: str, *, below: bool) -> bool:
    """Return whether paths name one, or (of an archive) something in it."""
    return path in paths or (below and any(one.startswith(f"{path}/") for one in paths))
