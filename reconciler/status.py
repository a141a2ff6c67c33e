"""How everything stands, read from the store alone, each file verified: what `ordain status` prints.

Works whether or not a process runs, so that it still answers when one doesn't. How a rollout stands is what `serve` wrote down last, in
words: that alone is not signed.
"""

from datetime import UTC, datetime
from typing import Any

from agent.protocol.errors import OrdainError
from agent.protocol.rollout import Release, RolloutDocument
from reconciler.control import records
from reconciler.pipeline import accepted
from reconciler.pipeline.problem import Problem
from reconciler.pipeline.waivers import ends_within
from reconciler.publication import controls, layout, releases
from reconciler.publication.keys import KeyRing
from reconciler.publication.published import read_published
from reconciler.publication.store import Store
from reconciler.publication.times import stamp
from reconciler.publication.trust import Trust, read_trust

SHORT = 12
"""Characters of a digest in a sentence."""


def gather(
    store: Store, ring: KeyRing, *, source: str | None, problem: Problem | None = None, now: datetime | None = None
) -> dict[str, Any]:
    """Return the status; `source` is the head that was last fetched, None where that isn't known here, `problem` what the pipeline left.

    `ready` means: the newest head is examined, no tenant waits for keys, and of every fleet that is not frozen the newest release is
    published: to everybody, or as far as its rollout got. One that is under way, paused or was taken back is no trouble of publication.
    A fleet's `commit` is that of its desired release: of the bundle or of the members, whichever was approved last.
    Where the repository key is elsewhere (beside `serve`, say) the accepted state can't be verified, so `pipeline` is false and
    `ready` speaks of publication alone: where no tenant is known either, all has yet to begin.
    """
    here = ring.has("repository")
    state = _accepted(store, ring) if here else None
    tenants = [_tenant(store, name, state) for name in _tenants(store, state)]
    fleets = [fleet for tenant in tenants for fleet in tenant.pop("fleets")]
    examined = (not here and bool(tenants)) or (state is not None and source in (None, state.head) and state.released == state.decision)
    settled = all(fleet["frozen"] or fleet["state"] != "publishing" for fleet in fleets) and all(tenant["controls"] for tenant in tenants)
    held = state.held if state else {}
    return {
        "ready": examined and settled and all(tenant["keys"] for tenant in tenants),
        "pipeline": here,
        "head": state.head if state else None,
        "source": source,
        "problem": {"why": problem.why, "since": problem.since} if problem else None,
        "decision": state.decision if state else None,
        "examinedAt": state.examined_at if state else None,
        "judge": state.judge if state else None,
        "refused": [{"file": path, "commit": one.commit, "why": one.reason} for path, one in held.items()],
        "standing": _standing(state),
        "standingLeftOut": state.standing_left_out if state else 0,
        "waivers": [_waiver(one, stamp(now or datetime.now(tz=UTC))) for one in state.waivers] if state else [],
        "tenants": tenants,
        "fleets": fleets,
    }


def _standing(state: accepted.AcceptedState | None) -> list[dict[str, Any]]:
    listed = state.standing if state else []
    return [
        {
            "rule": one.rule,
            "object": one.object,
            "file": one.file,
            "at": one.place,
            "message": one.message,
            "since": one.since,
            "blocks": one.blocks,
        }
        for one in listed
    ]


def _waiver(one: accepted.KnownWaiver, now: str) -> dict[str, Any]:
    return {
        "name": one.name,
        "rule": one.rule,
        "object": one.object,
        "owner": one.owner,
        "reason": one.reason,
        "until": one.until,
        "file": one.file,
        "incident": one.incident or None,
        "counts": now < one.until,
        "endsWithinDays": ends_within(one.until, now),
        "unused": one.unused,
    }


def _accepted(store: Store, ring: KeyRing) -> accepted.AcceptedState | None:
    stored = accepted.read(store, *ring.publics("repository"))
    return stored.state if stored else None


def _tenants(store: Store, state: accepted.AcceptedState | None) -> list[str]:
    waiting = {name.partition("/")[0] for name in (state.fleets if state else {})}
    known = state.tenants if state else []
    return sorted({*known, *layout.children(store, "approved/"), *layout.children(store, "trust/"), *waiting})


def _tenant(store: Store, tenant: str, state: accepted.AcceptedState | None) -> dict[str, Any]:
    standing: dict[str, Any] = {"name": tenant, "keys": False, "controls": False, "development": False, "why": "", "fleets": []}
    try:
        trust = read_trust(store, tenant)
        if trust is None:
            return standing | {"why": "waiting for keys: run the key ceremony (`ordain keys init --zone offline`)"}
        data = store.get(layout.controls(tenant))
        known = controls.read(data, trust.keys("releases"), tenant=tenant) if data else None
    except OrdainError as error:
        return standing | {"why": str(error)}
    fleets = {name: (one.state, one.why, one.since) for name, one in (known.fleets if known else {}).items()}
    for name, one in (state.fleets if state else {}).items():
        owner, _, fleet = name.partition("/")
        if owner == tenant:
            fleets[fleet] = (one.state, one.why, one.since)
    found = [_fleet(store, trust, name, standing=fleets[name]) for name in sorted(fleets)]
    why = "" if known else "waiting for its first controls from `ordain reconcile`"
    return standing | {"keys": True, "controls": known is not None, "why": why, "development": trust.development, "fleets": found}


def _fleet(store: Store, trust: Trust, name: str, *, standing: tuple[str, str, str]) -> dict[str, Any]:
    state, why, since = standing
    fleet: dict[str, Any] = {
        "tenant": trust.tenant,
        "name": name,
        "commit": None,
        "digest": None,
        "members": None,
        "serial": None,
        "published": False,
        "state": "publishing" if state == "ok" else "frozen",
        "rollout": None,
        "frozen": state != "ok",
        "why": why,
        "since": since or None,
    }
    try:
        approved = releases.read_newest(store, trust, name)
        published = read_published(store, trust.tenant, name)
    except OrdainError as error:
        return fleet | {"why": why or str(error)}
    desired = approved.desired if approved else None
    if approved is not None and desired is not None:
        fleet |= {"commit": approved.commit, "digest": desired.digest, "members": desired.members}
    if published is not None:
        fleet |= {"serial": published.document.serial, "published": published.document.stable == desired}
        fleet |= _rollout(store, trust.tenant, name, published.document, desired)
        if state != "ok":
            fleet["state"] = "frozen"
    return fleet


def _rollout(store: Store, tenant: str, name: str, document: RolloutDocument, desired: Release | None) -> dict[str, Any]:
    """Return how the newest release stands: `rolling out`, `paused` or `stopped` only where serve wrote down that it took it up."""
    recorded = records.read_status(store, tenant, name)
    known = recorded.rollout if recorded else None
    about = known is not None and desired is not None and (known.digest, known.members) == (desired.digest, desired.members)
    if document.stable == desired or known is None or not about:
        under_way = desired is not None and document.candidate == desired
        return {"state": "published" if document.stable == desired else "rolling out" if under_way else "publishing"}
    said = {"phase": known.phase, "wave": known.wave or None, "number": known.number, "waves": known.waves, "since": known.since}
    ahead = document.candidate is not None and document.candidate != desired
    why = f"{document.candidate.digest[:SHORT]} is on its way before it: {known.why}" if document.candidate and ahead else known.why
    return {
        "state": known.state if known.state != "published" else "publishing",
        "rollout": said | {"waits": known.waits, "why": why},
    }
