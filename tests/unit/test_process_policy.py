"""What comes after a process's end: a pure decision with a clock that the test holds."""

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.processes.policy import CALM, LONGEST_WAIT, Decision, History, Rules, after_end, rules_of, started
from agent.protocol.errors import MalformedError
from agent.protocol.state import CrashLoop, Process

CODES = st.one_of(st.none(), st.integers(-64, 255))
SPANS = st.lists(st.floats(0, 5000), min_size=1, max_size=60)


def _life(rules: Rules, spans: list[float], *, code: int | None = 1, begin: float = 1000.0) -> list[Decision]:
    """Return the decisions of a process that runs this long each time and is started as soon as it may be."""
    clock, history, decisions = begin, History(), []
    for span in spans:
        history = started(rules, history, clock)
        decision = after_end(rules, history, code=code, now=clock + span)
        decisions.append(decision)
        if decision.standing != "waiting":
            break
        clock, history = decision.at, decision.history
    return decisions


def test_the_wait_doubles_up_to_a_minute() -> None:
    rules = Rules(starts=1000)
    waits = [decision.history.wait for decision in _life(rules, [0.0] * 9)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_first_wait_over_a_minute_stays_as_it_was_asked_for() -> None:
    waits = [decision.history.wait for decision in _life(Rules(back_off=300, starts=1000), [0.0] * 3)]
    assert waits == [300, 300, 300]


def test_a_process_that_ran_ten_times_its_wait_begins_anew() -> None:
    rules = Rules(starts=1000)
    waits = [decision.history.wait for decision in _life(rules, [0.0, 0.0, 0.0, CALM * 4.0, 0.0])]
    assert waits == [1, 2, 4, 1, 2]


def test_five_starts_within_a_minute_are_a_crash_loop() -> None:
    standings = [decision.standing for decision in _life(Rules(), [0.0] * 20)]
    assert standings == ["waiting"] * 4 + ["looping"]


def test_starts_that_lie_further_apart_are_none() -> None:
    assert all(decision.standing == "waiting" for decision in _life(Rules(), [15.0] * 50))


def test_a_crash_loop_counts_ends_that_were_well_too() -> None:
    assert _life(Rules(), [0.0] * 20, code=0)[-1].standing == "looping"


@pytest.mark.parametrize(
    ("restart", "code", "standing"),
    [
        ("always", 0, "waiting"),
        ("always", 3, "waiting"),
        ("on-failure", 0, "ended"),
        ("on-failure", 3, "waiting"),
        ("on-failure", -9, "waiting"),
        ("on-failure", None, "waiting"),
        ("never", 0, "ended"),
        ("never", 3, "ended"),
        ("never", None, "ended"),
    ],
)
def test_the_restart_policy_decides_who_is_started_again(
    restart: Literal["always", "on-failure", "never"], code: int | None, standing: str
) -> None:
    rules = Rules(restart=restart)
    history = started(rules, History(), 5.0)
    assert after_end(rules, history, code=code, now=6.0).standing == standing


@given(SPANS, CODES, st.integers(1, 20), st.floats(1, 600), st.floats(1, 600))
def test_waits_stay_within_their_bounds_and_a_loop_is_always_seen(
    spans: list[float], code: int | None, starts: int, within: float, back_off: float
) -> None:
    rules = Rules(back_off=back_off, starts=starts, within=within)
    clock, history, begun = 0.0, History(), []
    for span in spans:
        begun.append(clock)
        history = started(rules, history, clock)
        now = clock + span
        decision = after_end(rules, history, code=code, now=now)
        assert (decision.standing == "looping") == (sum(now - start < within for start in begun) >= starts)
        assert len(history.starts) <= starts
        if decision.standing == "looping":
            return
        assert back_off <= decision.history.wait <= max(back_off, LONGEST_WAIT)
        assert decision.at == now + decision.history.wait
        clock, history = decision.at, decision.history


@given(SPANS, CODES, st.integers(-(10**6), 10**6))
def test_only_differences_of_time_count(spans: list[float], code: int | None, shift: int) -> None:
    whole = [float(round(span)) for span in spans]
    here = _life(Rules(), whole, code=code, begin=0.0)
    there = _life(Rules(), whole, code=code, begin=float(shift))
    assert [(one.standing, one.history.wait) for one in here] == [(one.standing, one.history.wait) for one in there]


def test_rules_come_from_the_release() -> None:
    process = Process(name="app", command=["/bin/true"], restart="on-failure", back_off="2m", crash_loop=CrashLoop(starts=3, within="1h"))
    assert rules_of(process) == Rules(restart="on-failure", back_off=120, starts=3, within=3600)
    with pytest.raises(MalformedError, match="is not a duration"):
        rules_of(Process(name="app", command=["/bin/true"], back_off="soon"))
