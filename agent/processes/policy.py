"""What to do when a process has ended: pure, from its rules, what is known of its starts, how it ended and the time.

Times are seconds of one monotonic clock, so a clock that jumps changes nothing.
"""

from dataclasses import dataclass
from typing import Literal

from agent.protocol import duration
from agent.protocol.state import Process

LONGEST_WAIT = 60.0
"""Seconds at which doubling ends: what is mended is noticed within a minute, and what stays broken costs one start a minute."""
CALM = 10
"""A process that ran this many times as long as its last wait is taken to be well again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """When a process is started again; `back_off` and `within` in seconds."""

    restart: Literal["always", "on-failure", "never"] = "always"
    back_off: float = 1.0
    starts: int = 5
    within: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What is known of a process since it was last asked for: its latest starts, oldest first, and its last wait in seconds."""

    starts: tuple[float, ...] = ()
    wait: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What comes next: `waiting` until `at`, or `ended`, or `looping`; and the history to go on with."""

    standing: Literal["waiting", "ended", "looping"]
    history: History
    at: float = 0.0


def rules_of(process: Process) -> Rules:
    """Return the rules of a process; raise `MalformedError` for what is no duration."""
    return Rules(
        restart=process.restart,
        back_off=float(duration.seconds(process.back_off)),
        starts=process.crash_loop.starts,
        within=float(duration.seconds(process.crash_loop.within)),
    )


def started(rules: Rules, history: History, now: float) -> History:
    """Return the history with a start at `now`: as many are kept as it takes to see a crash loop."""
    return History(starts=(*history.starts, now)[-rules.starts :], wait=history.wait)


def after_end(rules: Rules, history: History, *, code: int | None, now: float) -> Decision:
    """Return what comes next for a process that ended with `code`: negative for a signal, None where nobody knows.

    What nobody knows counts as a failure. Starts count whatever they ended with: a process that is always to run and
    keeps ending well is no better off.
    """
    if rules.restart == "never" or (rules.restart == "on-failure" and code == 0):
        return Decision(standing="ended", history=history)
    if sum(now - start < rules.within for start in history.starts) >= rules.starts:
        return Decision(standing="looping", history=history)
    wait = _next_wait(rules, history, now)
    return Decision(standing="waiting", history=History(starts=history.starts, wait=wait), at=now + wait)


def _next_wait(rules: Rules, history: History, now: float) -> float:
    ran = now - history.starts[-1] if history.starts else 0.0
    if not history.wait or ran >= CALM * history.wait:
        return rules.back_off
    return max(rules.back_off, min(LONGEST_WAIT, 2 * history.wait))
