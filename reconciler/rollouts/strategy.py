"""A fleet's strategy as the controls hold it, and the one that counts where a fleet states none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from agent.protocol.errors import MalformedError
from agent.protocol.windows import Window, window_of
from reconciler.publication.times import instant
from reconciler.rollouts.measured import Metric, Regressions, metric_of, regressions_of

SOAK = 600
"""Seconds for which probes must hold where a wave doesn't say."""
WHOLE = 100_000
"""A limit of 100 %: limits are thousandths of a per cent, since manifests give three decimals, so that no share is ever rounded."""
DEFAULT_LIMITS = (("first", "5%"), ("half", "50%"), ("all", "100%"))
IMPLIED = "rest"
"""The step that ends a strategy which stops short of everybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One wave as it is stated: `limit` in thousandths of a per cent of all members (None: only those selected), `soak` in seconds.

    `approvers` is how many people must approve it before it starts.
    `selector` is None where the wave selects nobody by labels; an empty one selects everybody. `implied` is the rest of a
    strategy that stops short: when its last wave is done, the candidate becomes stable for everybody at once.
    """

    name: str
    limit: int | None = None
    selector: Mapping[str, str] | None = None
    soak: int = SOAK
    approvers: int = 0
    implied: bool = False

    @property
    def approval(self) -> bool:
        """Whether people must approve it before it starts."""
        return self.approvers > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """When a wave has succeeded: shares in thousandths of a per cent, `timeout` in seconds.

    `threshold` is of the hosts that showed something, `quorum` of those that are connected.
    """

    threshold: int = 95_000
    quorum: int = 80_000
    timeout: int = 900
    pause: bool = False
    """Whether a failure pauses the rollout where it is, for a person to look at, instead of taking it back."""
    metrics: tuple[Metric, ...] = ()
    regressions: Regressions = field(default_factory=Regressions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable:
    """How many hosts may be applying at once for each value of `label`, "" for all together: `count`, or a share of them.

    `share` is in thousandths of a per cent of the hosts with that value, rounded down, at least one host.
    """

    label: str = ""
    count: int | None = None
    share: int | None = None

    def most(self, hosts: int) -> int:
        """Return how many of so many hosts may be applying at once."""
        if self.count is not None:
            return self.count
        return max(1, hosts * (self.share or 0) // WHOLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Critical:
    """That releases are too urgent for freezes, until before `until`."""

    reason: str
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """How a fleet's releases go out: the steps, when they may go forward (no window: always), and what success is.

    `after` are fleets of the tenant that go first.
    """

    steps: tuple[Step, ...]
    windows: tuple[Window, ...] = ()
    health: Health = field(default_factory=Health)
    after: tuple[str, ...] = ()
    unavailable: Unavailable | None = None
    critical: Critical | None = None

    def is_critical(self, now: datetime) -> bool:
        """Return whether its releases are too urgent for freezes at `now`."""
        return self.critical is not None and now < self.critical.until


def strategy_of(rollout: Mapping[str, Any]) -> Strategy:
    """Read `rollout` of a fleet's controls; an empty one is the default: 5 % (at least one), 50 %, 100 %, 10 minutes of soak each.

    Raises:
        MalformedError: not as `schemas/fleet.schema.json` has it.
    """
    steps = tuple(_step(wave) for wave in rollout.get("waves") or _default())
    if not any(step.limit == WHOLE or step.selector == {} for step in steps):
        at_once = "maxUnavailable" not in rollout  # where hosts go a few at a time, the rest does too
        steps = (*steps, Step(name=IMPLIED, limit=WHOLE, soak=0, implied=at_once))
    windows = tuple(window_of(window) for window in rollout.get("windows") or ())
    return Strategy(
        steps=steps,
        windows=windows,
        health=_health(rollout.get("health") or {}),
        after=tuple(str(name) for name in rollout.get("after") or ()),
        unavailable=_unavailable(rollout["maxUnavailable"]) if "maxUnavailable" in rollout else None,
        critical=_critical(rollout["critical"]) if "critical" in rollout else None,
    )


def share_of(text: str) -> int:
    """Return thousandths of a per cent: `99.5%` is 99,500.

    Raises:
        MalformedError: not a percentage from 0 % to 100 % with at most three decimals.
    """
    try:
        share = Decimal(text.removesuffix("%")) * 1000 if text.endswith("%") else Decimal(-1)
    except InvalidOperation:
        share = Decimal(-1)
    if not share.is_finite() or not 0 <= share <= WHOLE or share != int(share):
        message = f"{text[:40]!r} is not a percentage: write 0% to 100%, with at most three decimals"
        raise MalformedError(message)
    return int(share)


def _default() -> Sequence[Mapping[str, Any]]:
    return [{"name": name, "limit": limit} for name, limit in DEFAULT_LIMITS]


def _step(wave: Mapping[str, Any]) -> Step:
    limit, soak = wave.get("limit"), wave.get("soak", SOAK)
    if not isinstance(soak, int) or soak < 0:
        message = f"wave {wave.get('name')!r}: a soak is whole seconds, not {soak!r}"
        raise MalformedError(message)
    return Step(
        name=str(wave.get("name", "")),
        limit=None if limit is None else share_of(str(limit)),
        selector=wave.get("matchLabels"),
        soak=soak,
        approvers=int(wave.get("approvers", 1)) if wave.get("approval") == "required" else 0,
    )


def _health(stated: Mapping[str, Any]) -> Health:
    health = Health()
    timeout = stated.get("reportTimeout", health.timeout)
    if not isinstance(timeout, int) or timeout <= 0:
        message = f"health: a reportTimeout is whole seconds above zero, not {timeout!r}"
        raise MalformedError(message)
    return Health(
        threshold=share_of(str(stated["successThreshold"])) if "successThreshold" in stated else health.threshold,
        quorum=share_of(str(stated["quorum"])) if "quorum" in stated else health.quorum,
        timeout=timeout,
        pause=stated.get("onFailure") == "pause",
        metrics=tuple(metric_of(one) for one in stated.get("metrics") or ()),
        regressions=regressions_of(stated.get("regressions") or {}),
    )


def _unavailable(stated: Mapping[str, Any]) -> Unavailable:
    count, share = stated.get("count"), stated.get("share")
    if (count is None) == (share is None) or (count is not None and (not isinstance(count, int) or count < 1)):
        message = "maxUnavailable: write count, at least one host, or share"
        raise MalformedError(message)
    return Unavailable(label=str(stated.get("label", "")), count=count, share=None if share is None else share_of(str(share)))


def _critical(stated: Mapping[str, Any]) -> Critical:
    return Critical(reason=str(stated.get("reason", "")), until=instant(str(stated.get("until", "")), what="critical"))
