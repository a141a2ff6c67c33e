"""Routes about rollouts: how they stand, and what people order about them; an order is kept with its audit, and whoever leads follows it.

GET  /api/v1/rollouts                                        of all fleets that may be seen
GET  /api/v1/rollouts/{tenant}/{fleet}                       one: its waves, what it waits for, what would move it, what happened
POST /api/v1/rollouts/{tenant}/{fleet}/{pause,resume,abort,rollback,retry,approve}
"""

from collections.abc import Iterator
from datetime import datetime

from aiohttp import web
from sqlalchemy import Connection

from agent.protocol.rollout import Release
from reconciler.control.api import rollout_shapes as shapes
from reconciler.control.api.admission import operator_of, seen_by
from reconciler.control.api.answers import answer
from reconciler.control.api.asked import BODY_LIMIT, TENANT, Query, words
from reconciler.control.api.desk import Desk, stamped
from reconciler.control.api.ordering import ordered, require_fleet, told
from reconciler.control.api.routes import OPERATOR, Handler, Route, label
from reconciler.control.conduct.turns import turns as turns_of
from reconciler.control.conduct.viewing import View, WaveSeen
from reconciler.control.refusal import Denied
from reconciler.control.registry import events, rollouts
from reconciler.control.rollout.budget import NEEDED
from reconciler.control.rollout.moving import would_move
from reconciler.control.rollout.orders import Kind, Order
from reconciler.control.rollout.progress import Progress
from reconciler.printable import printable
from reconciler.publication.controls import Controls
from reconciler.publication.store import Store
from reconciler.rollouts.strategy import WHOLE, Strategy, strategy_of

ASKED = ("agent",)
"""What may be asked of one rollout: the turns of a host, by its name, `<pool>/<id>` for one of a pool."""
BY_HAND: tuple[Kind, ...] = ("pause", "resume", "approve", "abort", "rollback", "retry")
"""Orders about releases; modes have routes of their own."""
REVISION = 7
"""Digits of a commit or a digest that tell it from others."""


class _Rollouts:
    """Handlers over a desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def listed(self, request: web.Request) -> web.Response:
        """Answer with how the rollouts stand that the asker may see, by tenant and fleet."""
        query, seen, known = Query(request, TENANT), seen_by(request), self._desk.known
        rows: list[shapes.RolloutRow] = []
        for tenant in known.tenants():
            controls = known.controls(tenant)
            if controls is None or query.one("tenant") not in ("", tenant):
                continue
            kept = await self._desk.registry.ask(rollouts.listed, tenant)
            rows += [row_of(one, controls) for one in kept if one.fleet in controls.fleets and seen.covers(tenant, [one.fleet])]
        return answer(shapes.RolloutList(rollouts=rows))

    async def shown(self, request: web.Request) -> web.Response:
        """Answer with all that is known of one, and with the turns of the host that is named."""
        agent = Query(request, ASKED).one("agent")
        tenant, fleet, desk = label(request, "tenant"), label(request, "fleet"), self._desk
        controls = require_fleet(desk, tenant, fleet)
        view = await desk.registry.ask(desk.viewer.view, controls, fleet, now=desk.now())
        if view is None:
            message = f"nothing was rolled out to {tenant}/{fleet} yet"
            raise Denied("unknown", message)
        told = await desk.registry.ask(_told, tenant, fleet)
        turns = await desk.registry.ask(_turns, desk.store, view, agent) if agent else []
        modes = list(modes_on(view.kept, controls, now=desk.now()))
        return answer(_shown(view, controls, told, turns, modes))

    def order(self, kind: Kind) -> Handler:
        """Return the handler that takes orders of a kind."""

        async def handle(request: web.Request) -> web.Response:
            asked = await self._desk.bodies.read(request, shapes.RolloutOrder)
            if asked.to and kind != "rollback":
                message = "`to` is of rollback alone"
                raise Denied("malformed", message)
            _require_meant(asked, kind)
            wanted = Order(
                id=0,
                kind=kind,
                who=operator_of(request).subject,
                reason=words(asked.reason, "a reason"),
                at=stamped(self._desk.now()),
                to=asked.to,
                digest=asked.digest.lower(),
                commit=asked.commit.lower(),
            )
            return answer(await ordered(self._desk, label(request, "tenant"), label(request, "fleet"), wanted, action=f"rollouts.{kind}"))

        handle.__doc__ = f"Take the order `{kind}` about a rollout."
        return handle


def _require_meant(asked: shapes.RolloutOrder, kind: Kind) -> None:
    """Raise `Denied` (malformed) where an order says which release it is about and may not, or by too few digits."""
    said = {name: value for name, value in (("digest", asked.digest), ("commit", asked.commit)) if value}
    if said and kind != "approve":
        message = f"`{next(iter(said))}` is of approve alone"
        raise Denied("malformed", message)
    for name, value in said.items():
        if len(value) < REVISION:
            message = f"{name} {printable(value)!r}: write {REVISION} digits of it or more"
            raise Denied("malformed", message)


def _told(connection: Connection, tenant: str, fleet: str) -> list[shapes.RolloutEvent]:
    return told(connection, events.Filter(tenant=tenant, fleet=fleet))


def _turns(connection: Connection, store: Store, view: View, agent: str) -> list[shapes.HostTurn]:
    found = turns_of(connection, store, view.kept, view.strategy, agent=agent)
    return [shapes.HostTurn(**{name: getattr(one, name) for name in shapes.HostTurn.__struct_fields__}) for one in found]


def row_of(kept: rollouts.Kept, controls: Controls) -> shapes.RolloutRow:
    """Return how a fleet's rollout stands."""
    return shapes.RolloutRow(**_fields(kept, strategy_of(controls.fleets[kept.fleet].rollout), controls))  # type: ignore[arg-type]


def in_git(controls: Controls, fleet: str) -> shapes.InGit:
    """Return whether a fleet stands still by what controls say, and why."""
    stands = controls.fleets[fleet]
    return shapes.InGit(state=stands.state, why=stands.why, since=stands.since, commit=stands.commit)


def _fields(kept: rollouts.Kept, strategy: Strategy, controls: Controls) -> dict[str, object]:
    progress, steps = kept.progress, strategy.steps
    candidate = progress.candidate
    admitted = candidate is not None and 0 <= progress.wave < len(steps)
    return {
        "tenant": kept.tenant,
        "fleet": kept.fleet,
        "phase": progress.phase,
        "stable": _digest(progress.stable),
        "stable_commit": progress.stable_commit,
        "candidate": _digest(candidate.release if candidate else None),
        "commit": candidate.commit if candidate else "",
        "refused": _digest(progress.refused),
        "refused_commit": progress.refused_commit if progress.refused else "",
        "attempt": progress.attempt,
        "wave": steps[progress.wave].name if admitted else "",
        "number": progress.wave + 1 if admitted else 0,
        "waves": len(steps),
        "total": progress.total,
        "since": progress.since,
        "wave_since": progress.admitted_at,
        "resumed": bool(progress.resumed_at),
        "why": progress.why,
        "holds": [shapes.Waiting(**one) for one in kept.holds],
        "in_git": in_git(controls, kept.fleet),
    }


def _digest(release: Release | None) -> str:
    return release.digest if release else ""


def _shown(
    view: View, controls: Controls, told: list[shapes.RolloutEvent], turns: list[shapes.HostTurn], modes: list[shapes.ModeOn]
) -> shapes.RolloutShown:
    kept, progress, counted = view.kept, view.kept.progress, view.budget
    name, waits, candidate = f"{kept.tenant}/{kept.fleet}", [one["kind"] for one in kept.holds], progress.candidate
    newer = candidate is not None and view.newest is not None and view.newest.digest != candidate.release.digest
    frozen = controls.fleets[kept.fleet].state != "ok"
    return shapes.RolloutShown(
        **_fields(kept, view.strategy, controls),  # type: ignore[arg-type]
        newest=_digest(view.newest),
        newest_commit=view.commit,
        plan=[_wave(one, number, progress) for number, one in enumerate(view.waves)],
        failed=[shapes.FailedHost(agent=one.agent, result=one.result, why=one.why, at=stamped(one.at)) for one in view.failed],
        pending=[shapes.PendingHost(agent=one.agent, last_seen=stamped(one.seen), why=one.why) for one in view.pending],
        moves=list(would_move(progress, waits, view.strategy, name=name, newer=newer, frozen=frozen)),
        approvals=[
            shapes.ApprovalRow(wave=one.wave, who=one.who, at=one.at, comment=one.comment)
            for one in progress.approvals
            if one.attempt == progress.attempt
        ],
        modes=modes,
        budget=shapes.BudgetCounted(minutes=counted.minutes, needs=NEEDED, measured=counted.measured) if counted else None,
        former=[one.digest for one in view.former],
        back_to=[shapes.FormerRelease(digest=one.digest, commit=progress.commits.get(one.digest, "")) for one in view.former],
        events=told,
        turns=turns,
    )


def modes_on(kept: rollouts.Kept, controls: Controls, *, now: datetime) -> Iterator[shapes.ModeOn]:
    """Yield the modes of a fleet that are on; of several on a host, the one that stands last in git counts."""
    fleet = controls.fleets.get(kept.fleet)
    rank = {mode.name: number for number, mode in enumerate(fleet.modes if fleet else ())}
    on = [one for one in kept.progress.switches if one.until > stamped(now)]
    for one in on:
        said = {"start": one.since, "until": one.until, "who": one.who, "reason": one.reason, "everywhere": one.everywhere}
        above = [other for other in on if rank.get(other.name, -1) > rank.get(one.name, -1)]
        over = max(above, key=lambda other: (other.everywhere, rank[other.name]), default=None)
        said |= {"overruled_by": over.name if over else "", "overruled_everywhere": over is not None and over.everywhere}
        yield shapes.ModeOn(tenant=kept.tenant, fleet=kept.fleet, mode=one.name, **said)  # type: ignore[arg-type]


def _wave(seen: WaveSeen, number: int, progress: Progress) -> shapes.WaveRow:
    step, shown = seen.wave.step, seen.shown
    return shapes.WaveRow(
        name=step.name,
        state="next" if not seen.admitted else "done" if number < progress.wave or progress.phase == "waiting" else "current",
        share="" if step.limit is None else f"{step.limit * 100 / WHOLE:g}%",
        labels=dict(step.selector or {}),
        soak=step.soak,
        approvers=step.approvers,
        hosts=seen.wave.size,
        healthy=shown.healthy,
        soaking=shown.soaking,
        silent=shown.pending,
        failed=shown.failed,
        away=shown.away,
    )


def routes(desk: Desk) -> list[Route]:
    """Return the routes about rollouts."""
    handlers, path, reading = _Rollouts(desk), "/api/v1/rollouts", f"{OPERATOR}fleets.read"
    one = f"{path}/{{tenant}}/{{fleet}}"
    found = [
        Route(method="GET", path=path, handler=handlers.listed, who=reading, gives=shapes.RolloutList, query=TENANT),
        Route(method="GET", path=one, handler=handlers.shown, who=reading, gives=shapes.RolloutShown, query=ASKED),
    ]
    for kind in BY_HAND:
        action = "rollouts.approve" if kind == "approve" else "rollouts.operate"
        found.append(
            Route(
                method="POST",
                path=f"{one}/{kind}",
                handler=handlers.order(kind),
                who=f"{OPERATOR}{action}",
                body=BODY_LIMIT,
                takes=shapes.RolloutOrder,
                gives=shapes.Ordered,
            )
        )
    return found
