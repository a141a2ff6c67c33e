"""The route about what became of a commit in a fleet: what a pipeline waits for.

GET /api/v1/rollouts/{tenant}/{fleet}/commits/{commit}     by 7 digits or more; also of a commit or a fleet that is not known yet
"""

from aiohttp import web

from reconciler.control.api import rollout_shapes as shapes
from reconciler.control.api.answers import answer
from reconciler.control.api.asked import meant
from reconciler.control.api.desk import Desk
from reconciler.control.api.ordering import require_controls
from reconciler.control.api.rollouts import REVISION, in_git, row_of
from reconciler.control.api.routes import OPERATOR, Route, label
from reconciler.control.refusal import Denied
from reconciler.control.registry import rollouts
from reconciler.control.rollout.progress import Fate
from reconciler.publication.controls import Controls


class _Commits:
    """The handler, over a desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def shown(self, request: web.Request) -> web.Response:
        """Answer with what became of a commit; with `unknown` where nothing of it is there yet."""
        tenant, fleet, commit = (label(request, part) for part in ("tenant", "fleet", "commit"))
        if len(commit) < REVISION:
            message = f"commit {commit}: write {REVISION} digits of it or more"
            raise Denied("malformed", message)
        controls = require_controls(self._desk, tenant)
        if fleet not in controls.fleets:
            return answer(_unknown(commit, await self._coming(controls, fleet, commit)))
        kept = await self._desk.registry.ask(rollouts.get, tenant, fleet)
        return answer(_became(kept, controls, fleet, commit))

    async def _coming(self, controls: Controls, fleet: str, commit: str) -> str:
        """Return in words that there is no such fleet yet; raise `Denied` (unknown) where its commit is known, and does not bring it."""
        near = meant(fleet, controls.fleets)
        none, hint = f"tenant {controls.tenant} has no fleet {fleet}", f"; did you mean {near}?" if near else ""
        kept = await self._desk.registry.ask(rollouts.listed, controls.tenant)
        known = (controls.head, *(fate.commit for one in kept for fate in one.progress.fates))
        if any(one.startswith(commit) for one in known):
            raise Denied("unknown", none + hint)
        return f"{none}, unless commit {commit[:12]} brings it, of which nothing is known here yet{hint}"


def _became(kept: rollouts.Kept | None, controls: Controls, fleet: str, commit: str) -> shapes.CommitShown:
    """Return what became of a commit: of its release, or that it was refused and so has none."""
    row, known = (row_of(kept, controls), kept.progress.fates) if kept is not None else (None, [])
    found = next((one for one in reversed(known) if one.commit.startswith(commit)), None)
    if found is not None:
        return _fate(found, row)
    git = in_git(controls, fleet)
    if git.state != "ok" and git.commit.startswith(commit):
        return shapes.CommitShown(commit=git.commit, outcome="refused", at=git.since, why=git.why, by="", digest="", rollout=row)
    return _unknown(commit, "" if row else f"nothing was rolled out to {controls.tenant}/{fleet} yet", row)


def _fate(one: Fate, row: shapes.RolloutRow | None) -> shapes.CommitShown:
    outcome = one.outcome or "going"
    return shapes.CommitShown(commit=one.commit, outcome=outcome, at=one.at, why=one.why, by=one.by, digest=one.release.digest, rollout=row)


def _unknown(commit: str, why: str, row: shapes.RolloutRow | None = None) -> shapes.CommitShown:
    return shapes.CommitShown(commit=commit, outcome="unknown", at="", why=why, by="", digest="", rollout=row)


def routes(desk: Desk) -> list[Route]:
    """Return the route about commits."""
    path = "/api/v1/rollouts/{tenant}/{fleet}/commits/{commit}"
    return [Route(method="GET", path=path, handler=_Commits(desk).shown, who=f"{OPERATOR}fleets.read", gives=shapes.CommitShown)]
