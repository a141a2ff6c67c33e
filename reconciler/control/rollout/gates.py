"""What a rollout waits for before it goes forward. None of it stands in the way of going back.

A gate that gives no answer holds: it is never taken for a yes. The error budget alone holds nothing until half a span of it is counted:
who has just set objectives would be held by a history that can't be there yet.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from reconciler.publication.times import stamp
from reconciler.rollouts.strategy import Step, Strategy
from reconciler.rollouts.windows import Freeze, earliest

BURN_LIMIT = 2.0
"""How fast the error budget may burn: at twice the rate a month's budget is gone in two weeks, and nothing new should be risked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Why a rollout waits, in words; `kind` for machines, `until` when that may change by itself, None if nobody knows."""

    kind: str
    why: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """A freeze, by a manifest or by `ordain freeze`: what `Freeze` says of its time, and for people why and whose it is."""

    freeze: Freeze
    reason: str
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """A fleet that goes first (`after`), and what it still waits for, "" where it has this candidate's decision or a later one."""

    fleet: str
    missing: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a measurement says of the hosts that have the candidate: `bad` in words takes it back, `missing` in words holds it."""

    name: str
    bad: str = ""
    missing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Burn:
    """How fast the error budget burns, as a multiple of what it may; None where that can't be told."""

    hour: float | None = None
    six_hours: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """All that stands, or may stand, in the way of a fleet."""

    stops: Sequence[Stop] = ()
    before: Sequence[Before] = ()
    answers: Sequence[Answer] = ()
    burn: Burn = field(default_factory=Burn)
    held: Sequence[Hold] = ()
    """Reasons of other parts: a change of authority under way, say."""


def holds(gates: Gates, strategy: Strategy, *, now: datetime) -> Iterator[Hold]:
    """Yield what keeps a wave from starting at `now`, the longest first seen last; measurements are not among it: see `unanswered`.

    What a fleet says to be critical passes freezes and a spent error budget: a rule about manifests decides who may say so.
    """
    yield from gates.held
    yield from (Hold(kind="after", why=f"fleet {one.fleet} goes first: {one.missing}") for one in gates.before if one.missing)
    critical = strategy.is_critical(now)
    if not critical:
        yield from (_frozen(stop) for stop in gates.stops if stop.freeze.start <= now < stop.freeze.until)
    burning = _burning(gates.burn)
    if burning and not critical:
        yield Hold(kind="budget", why=burning)
    opens = earliest(strategy.windows, (), now)
    if opens.at > now:
        yield Hold(kind="window", why=f"outside its windows, the next opens at {opens.at:%Y-%m-%d %H:%M} UTC", until=opens.at)


def passed(gates: Gates, strategy: Strategy, *, now: datetime) -> str:
    """Return in words which freezes, and what spent budget, a critical release passes at `now`; "" where it passes none."""
    if strategy.critical is None or not strategy.is_critical(now):
        return ""
    names = [f"freeze {stop.freeze.name}" for stop in gates.stops if stop.freeze.start <= now < stop.freeze.until]
    names += ["a spent error budget"] if _burning(gates.burn) else []
    return f"passes {', '.join(names)}, critical until {stamp(strategy.critical.until)}: {strategy.critical.reason}" if names else ""


def unapproved(step: Step, approvers: Sequence[str]) -> Hold | None:
    """Return that a wave waits for people, None where enough have approved it."""
    missing = step.approvers - len(set(approvers))
    if missing <= 0:
        return None
    by = f"; approved by {', '.join(sorted(set(approvers)))}" if approvers else ""
    people = "a person" if missing == 1 else f"{missing} people"
    return Hold(kind="approval", why=f"wave {step.name} must be approved by {people}{' more' if approvers else ''}{by}")


def refusing(gates: Gates) -> str:
    """Return what measurements say against the candidate, "" for nothing."""
    return "; ".join(f"{one.name}: {one.bad}" for one in gates.answers if one.bad)


def unanswered(gates: Gates) -> Hold | None:
    """Return that a measurement gives no answer, None where all do."""
    missing = [f"{one.name}: {one.missing}" for one in gates.answers if one.missing and not one.bad]
    return Hold(kind="metrics", why="no answer from " + "; ".join(missing)) if missing else None


def _frozen(stop: Stop) -> Hold:
    freeze = stop.freeze
    why = f"freeze {freeze.name} until {freeze.until:%Y-%m-%d %H:%M} UTC ({stop.reason}; {stop.owner})"
    return Hold(kind="freeze", why=why, until=freeze.until)


def _burning(burn: Burn) -> str:
    rates = {"1 h": burn.hour, "6 h": burn.six_hours}
    over = [f"{rate:.1f} times its rate in {span}" for span, rate in rates.items() if rate is not None and rate > BURN_LIMIT]
    return f"the error budget burns at {' and '.join(over)}; above {BURN_LIMIT:g} times nothing new is tried" if over else ""
