"""What the next apply would change, found out with the same verification and without changing anything.

Metadata and floors are copied first, and the copy is what the TUF client works on: an agent that runs meanwhile is not
disturbed. Bundles that are fetched stay in the cache, where only their digest counts.
"""

import shutil
import tempfile
from pathlib import Path

from agent.apply.generations import Generations
from agent.apply.plan import Action
from agent.disk import Disk
from agent.fetching.fetcher import Http
from agent.following.admission import Wanted
from agent.following.follow import Follower, UnknownAgentError, fleets_to_follow, hinted_fleets, left_behind
from agent.protocol.errors import OrdainError, RetryError
from agent.settings import Settings
from agent.settling.converger import coming_with
from agent.settling.settle import Settler
from agent.settling.table import Table

NO_CHANGE: dict[str, object] = {"fixes": [], "actions": [], "effects": []}


def preview(settler: Settler, http: Http) -> list[dict[str, object]]:
    """Return for each fleet what it asks of this host and what that would change, or why it would change nothing."""
    settings, disk = settler.settings, settler.work.disk
    hinted: list[str] | None = None
    unknown: UnknownAgentError | None = None
    try:
        hinted = hinted_fleets(settings, http, disk)
    except UnknownAgentError as error:
        unknown = error
    except RetryError:  # then the fleets that are known here are asked for, and each says what is wrong
        hinted = None
    fleets = fleets_to_follow(hinted, disk)
    if not fleets and unknown is not None:
        raise unknown
    if not fleets:
        message = f"{settings.server} does not say which fleets {settings.tenant}/{settings.name} is in, and none is known here"
        raise RetryError(message)
    wanted: dict[str, Wanted] = {}
    errors: dict[str, Exception | None] = {}
    for fleet in fleets:
        try:
            wanted[fleet] = _follow(fleet, settings, disk, http)
            errors[fleet] = None
        except OrdainError as error:
            errors[fleet] = error
    table = settler.table(wanted, left_behind(errors, hinted))
    return [_fleet(settler, fleet, wanted.get(fleet), errors[fleet], table) for fleet in fleets]


def _follow(fleet: str, settings: Settings, disk: Disk, http: Http) -> Wanted:
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "fleet"
        if disk.fleet(fleet).is_dir():
            shutil.copytree(disk.fleet(fleet), copy, symlinks=True, ignore=shutil.ignore_patterns("generations", "cache"))
        generations = Generations(disk.fleet(fleet))
        cache = disk.fleet(fleet) / "cache"
        return Follower(fleet, settings=settings, http=http, directory=copy, cache=cache, generations=generations).follow()


def _fleet(settler: Settler, fleet: str, wanted: Wanted | None, error: Exception | None, table: Table) -> dict[str, object]:
    if wanted is None:
        return {"fleet": fleet, "digest": None, "result": "nothing", "why": str(error), **NO_CHANGE}
    shown = {"fleet": fleet, "digest": wanted.release.digest, "members": wanted.release.members, "group": wanted.group}
    shown |= {"mode": wanted.mode, "attempt": wanted.attempt, "commit": wanted.commit}
    conflict = table.conflict(fleet, wanted.state)
    if conflict is not None:
        return {**shown, "result": "waiting", "why": conflict, **NO_CHANGE}
    try:
        fixes = settler.fixes(fleet, wanted.state, table, refresh=False)
        prepared = settler.prepare(fleet, wanted.state, table, coming_with(fixes, wanted.state))
        effects = settler.planned(fleet, prepared, table)
    except (OrdainError, OSError) as problem:
        return {**shown, "result": "refused", "why": str(problem), **NO_CHANGE}
    changes = {
        "fixes": [{"resource": fix.resource, "why": list(fix.why), "restoredByRollback": False} for fix in fixes],
        "actions": [_action(action) for action in prepared.plan.actions],
        "effects": [{"resource": effect.resource, "effect": effect.kind, "why": list(effect.why)} for effect in effects],
    }
    return {**shown, "result": "change" if any(changes.values()) else "unchanged", "why": "", **changes}


def _action(action: Action) -> dict[str, object]:
    names = {"mkdir": "create", "put": "replace", "attributes": "change", "remove": "remove"}
    kind = "create" if action.why == ("missing",) else names[action.kind]
    return {"path": action.path, "action": kind, "why": list(action.why)}
