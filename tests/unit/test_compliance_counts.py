"""Counting who conforms: shares, worst states, and which commits a trend shows."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from reconciler.cli.compliant.charts import bar, trend
from reconciler.pipeline.backtest.history import Step
from reconciler.pipeline.compliance.census import worst
from reconciler.pipeline.compliance.shape import ORDER, Point, Share, State, share_of
from reconciler.pipeline.compliance.trend import chosen
from reconciler.pipeline.source.commits import CommitInfo
from reconciler.publication.times import stamp

STATES: st.SearchStrategy[list[State]] = st.lists(st.sampled_from(ORDER))


def step(hours: int) -> Step:
    time = stamp(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hours))
    info = CommitInfo(sha=f"{hours:040d}", author="a", email="a@x", time=time, subject="s", paths=(), parents=())
    return Step(info=info, parent=None, tree=None, before=None, brought=frozenset({info.sha}))


@given(STATES)
def test_only_where_all_conform_a_hundred_per_cent_do(states: list[State]) -> None:
    share = share_of(states)
    assert share.total == len(states)
    assert (share.percent == 100) == all(one == "conforms" for one in states)


def test_one_of_ten_thousand_that_does_not_conform_is_not_rounded_away() -> None:
    assert Share(conform=9_999, standing=1).percent == 99.9


@given(STATES)
def test_several_things_together_are_as_the_worst_of_them(states: list[State]) -> None:
    together = worst(states)
    assert all(ORDER.index(together) >= ORDER.index(one) for one in states)
    assert together in states or not states


@given(st.lists(st.integers(0, 5_000), min_size=1, max_size=60, unique=True), st.integers(2, 30))
def test_a_trend_has_as_many_points_as_were_asked_for_at_most_in_order_from_the_oldest_to_the_newest(hours: list[int], points: int) -> None:
    steps = [step(hour) for hour in sorted(hours)]
    found = chosen(steps, points)
    assert len(found) <= points
    assert found == [one for one in steps if one in found]
    assert (found[0], found[-1]) == (steps[0], steps[-1])


def test_charts_say_in_words_what_they_show_and_escape_names() -> None:
    drawn = bar('a"<b>', Share(conform=3, waived=1))
    assert 'aria-label="a&quot;&lt;b&gt;: 3 of 4 conform, 1 waived, 0 standing"' in drawn
    assert "<b>" not in drawn
    points = [Point(time=f"2026-01-0{day}T00:00:00Z", commit="c", objects=Share(conform=day), agents=Share(standing=day)) for day in (1, 2)]
    assert "manifests from 100 % to 100 %, agents from 0 % to 0 %" in trend(points)
    assert trend(points[:1]) == ""
