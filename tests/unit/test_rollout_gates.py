"""Gates as values: who goes first, how fast an error budget burns, and windows and freezes where clocks change."""

from datetime import UTC, datetime, timedelta
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.rollout import Release
from reconciler.control.rollout.budget import EVERY, NEEDED, Sample, burn_of, counted, is_due, minutes
from reconciler.control.rollout.gates import Burn, Gates, Stop, holds
from reconciler.control.rollout.progress import Candidate, Progress
from reconciler.control.rollout.turns import still_missing
from reconciler.publication.releases import Approval
from reconciler.rollouts.strategy import strategy_of
from reconciler.rollouts.windows import Freeze

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


# Fleets that go first


def bundle(digest: str, sequence: int, decision: int) -> Approval:
    return Approval(sequence=sequence, commit="c", decision=decision, additive=False, digest=digest)


def members(number: int, sequence: int, decision: int) -> Approval:
    return Approval(sequence=sequence, commit="c", decision=decision, additive=False, members=number)


LISTED = [
    bundle("a", 1, 3),
    members(1, 1, 3),
    bundle("b", 2, 7),
    bundle("c", 3, 9),
    members(2, 3, 9),
    Approval(sequence=3, commit="c", decision=9, additive=False),
]


def standing(digest: str, number: int, **more: object) -> Progress:
    return Progress(stable=Release(digest=digest, members=number), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("digest", "number", "decision", "missing"),
    [
        ("a", 1, 3, ""),
        ("a", 1, 6, ""),
        ("a", 1, 7, "its rollout has not begun"),
        ("b", 1, 8, ""),
        ("b", 1, 9, "its rollout has not begun"),
        ("c", 1, 9, "its rollout has not begun"),
        ("c", 2, 9, ""),
        ("c", 2, 4, ""),
        ("gone", 2, 9, "its rollout has not begun"),
        ("a", 1, 1, ""),
    ],
)
def test_a_fleet_that_goes_first_must_have_all_that_was_decided_so_far(digest: str, number: int, decision: int, missing: str) -> None:
    assert still_missing(LISTED, standing(digest, number), decision) == missing


def test_why_it_has_not_is_said() -> None:
    late = Candidate(release=Release(digest="c", members=2), commit="c", decision=9, at="2026-11-23T12:00:00Z")
    assert still_missing(LISTED, None, 9) == "it has no stable release yet"
    assert still_missing(LISTED, standing("a", 1, candidate=late), 9) == "its rollout is under way"
    assert still_missing(LISTED, standing("a", 1, refused=late.release), 9) == "it took that release back"


# The error budget


def day(unwell: int, hosts: int = 100, *, minutes: int = 400) -> list[Sample]:
    samples: list[Sample] = []
    for minute in range(-minutes, 1, 5):
        samples = counted(samples, unwell=unwell, hosts=hosts, now=NOON + timedelta(minutes=minute))
    return samples


def test_a_budget_burns_at_one_where_as_much_is_unwell_as_may_be() -> None:
    burn = burn_of(day(1), 99_000, NOON)
    assert (burn.hour, burn.six_hours) == pytest.approx((1, 1))
    assert burn_of(day(5), 99_000, NOON).hour == pytest.approx(5)
    assert burn_of(day(0), 99_000, NOON) == Burn(hour=0, six_hours=0)


def test_an_objective_of_everybody_leaves_no_budget() -> None:
    assert burn_of(day(1), 100_000, NOON).hour == inf
    assert burn_of(day(0), 100_000, NOON).hour == 0


def test_a_span_of_which_little_was_counted_says_nothing() -> None:
    assert burn_of([], 99_000, NOON) == Burn()
    assert burn_of(day(5, minutes=20), 99_000, NOON) == Burn()
    burn = burn_of(day(5, minutes=60), 99_000, NOON)
    assert burn.hour == pytest.approx(5)
    assert burn.six_hours is None
    assert burn_of(day(0, 0), 99_000, NOON) == Burn()


@pytest.mark.parametrize("first", range(0, 80, 5))
def test_an_hour_is_measured_from_so_many_minutes_of_counts_on(first: int) -> None:
    samples = day(5, minutes=first)
    assert (minutes(samples, NOON) >= NEEDED) == (burn_of(samples, 99_000, NOON).hour is not None)
    assert minutes(samples, NOON) == min(first + 5, 60)
    assert minutes(day(0, 0, minutes=first), NOON) == 0


def test_what_was_hours_ago_burns_the_longer_span_alone() -> None:
    samples = day(10)
    for minute in range(5, 66, 5):
        samples = counted(samples, unwell=0, hosts=100, now=NOON + timedelta(minutes=minute))
    burn = burn_of(samples, 99_000, NOON + timedelta(minutes=65))
    assert burn.hour == 0
    assert burn.six_hours is not None
    assert 8 < burn.six_hours < 9


@given(st.lists(st.integers(0, 100_000), max_size=200))
def test_counts_are_bounded_and_each_time_is_counted_once(seconds: list[int]) -> None:
    samples: list[Sample] = []
    for second in sorted(seconds):
        now = NOON + timedelta(seconds=second)
        samples = counted(samples, unwell=1, hosts=2, now=now)
        assert not is_due(samples, now)
        assert is_due(samples, now + timedelta(seconds=EVERY))
    assert len(samples) <= 6 * 3600 // EVERY
    assert len({one[0] for one in samples}) == len(samples)


# Freezes and windows


def test_a_spent_budget_and_a_freeze_hold_and_what_is_critical_passes_both() -> None:
    freeze = Freeze(name="peak", start=NOON, until=NOON + timedelta(hours=1))
    gates = Gates(stops=[Stop(freeze=freeze, reason="peak season", owner="ana")], burn=Burn(hour=2.1, six_hours=0.5))
    plain = strategy_of({})
    assert [one.kind for one in holds(gates, plain, now=NOON)] == ["freeze", "budget"]
    assert [one.kind for one in holds(gates, plain, now=freeze.until)] == ["budget"]
    assert not list(holds(Gates(burn=Burn(hour=2.0)), plain, now=NOON))
    urgent = strategy_of({"critical": {"reason": "CVE-2026-1", "until": "2026-11-23T12:30:00Z"}})
    assert not list(holds(gates, urgent, now=NOON))
    assert [one.kind for one in holds(gates, urgent, now=NOON + timedelta(minutes=30))] == ["freeze", "budget"]


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-03-28T12:00:00+01:00", "2026-03-29T03:00:00+02:00"),  # 02:30 is skipped in the night in which clocks go forward
        ("2026-10-24T12:00:00+02:00", "2026-10-25T02:30:00+02:00"),  # it comes twice where they go back: the first one counts
        ("2026-10-25T03:31:00+01:00", "2026-10-26T02:30:00+01:00"),
    ],
)
def test_a_window_holds_until_it_opens_on_days_on_which_clocks_change(now: str, until: str) -> None:
    strategy = strategy_of({"windows": [{"cron": "30 2 * * *", "duration": 3600, "timeZone": "Europe/Berlin"}]})
    (hold,) = holds(Gates(), strategy, now=datetime.fromisoformat(now).astimezone(UTC))
    assert hold.until == datetime.fromisoformat(until)
    assert not list(holds(Gates(), strategy, now=hold.until))
    assert not list(holds(Gates(), strategy, now=hold.until + timedelta(seconds=3599)))
    assert list(holds(Gates(), strategy, now=hold.until + timedelta(seconds=3601)))
