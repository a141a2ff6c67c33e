"""When a rollout may go forward, also on days on which clocks change."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.errors import MalformedError
from agent.protocol.windows import Window, is_open, window_of, zone_of
from reconciler.rollouts.windows import Freeze, Start, earliest

BERLIN = "Europe/Berlin"
INSTANTS = st.integers(0, 2 * 365 * 86_400).map(lambda seconds: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds))
WINDOWS = st.builds(
    Window,
    cron=st.sampled_from(["0 8 * * 1-5", "30 2 * * *", "0 0 1 * *", "*/20 * * * *", "0 22 * * 5", "15 3 29 2 *"]),
    duration=st.integers(60, 200_000),
    zone=st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kolkata"]),
)
FREEZES = st.builds(
    lambda name, start, hours: Freeze(name=name, start=start, until=start + timedelta(hours=hours)),
    st.sampled_from("ab"),
    INSTANTS,
    st.integers(1, 4000),
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@given(st.lists(WINDOWS, max_size=3), st.lists(FREEZES, max_size=3), INSTANTS)
def test_a_start_is_open_and_nothing_before_it_was(windows: list[Window], freezes: list[Freeze], after: datetime) -> None:
    start = earliest(windows, freezes, after)
    assert start.at >= after

    def allowed(moment: datetime) -> bool:
        frozen = any(freeze.start <= moment < freeze.until for freeze in freezes)
        return not frozen and (not windows or any(is_open(window, moment) for window in windows))

    assert allowed(start.at)
    between = [after + (start.at - after) * number / 7 for number in range(7)] if start.at > after else []
    assert not any(map(allowed, between))
    assert not start.reason or not allowed(start.at - timedelta(seconds=1))


@given(WINDOWS, INSTANTS)
def test_a_window_is_open_for_its_length_of_real_time(window: Window, after: datetime) -> None:
    start = earliest([window], [], after)
    if start.reason == "window":
        assert not is_open(window, start.at - timedelta(seconds=1))
        assert is_open(window, start.at)
        assert is_open(window, start.at + timedelta(seconds=window.duration - 1))


@pytest.mark.parametrize(
    ("after", "opens"),
    [
        ("2026-03-27T12:00:00+01:00", "2026-03-28T02:30:00+01:00"),
        ("2026-03-28T12:00:00+01:00", "2026-03-29T03:00:00+02:00"),  # 02:30 is skipped: clocks go from 02:00 to 03:00
        ("2026-10-24T12:00:00+02:00", "2026-10-25T02:30:00+02:00"),  # 02:30 comes twice: the first one counts
        ("2026-10-25T02:31:00+02:00", "2026-10-26T02:30:00+01:00"),
    ],
)
def test_openings_on_days_on_which_clocks_change(after: str, opens: str) -> None:
    nightly = Window(cron="30 2 * * *", duration=60, zone=BERLIN)
    assert earliest([nightly], [], at(after)) == Start(at=at(opens), reason="window")


def test_a_window_over_a_change_of_clocks_lasts_as_long_as_ever() -> None:
    night = Window(cron="0 22 * * *", duration=8 * 3600, zone=BERLIN)
    assert is_open(night, at("2026-10-25T04:59:00+01:00"))
    assert not is_open(night, at("2026-10-25T05:00:00+01:00"))
    assert is_open(night, at("2026-03-29T06:59:00+02:00"))
    assert not is_open(night, at("2026-03-29T07:00:00+02:00"))


def test_the_last_thing_that_is_waited_for_is_named() -> None:
    office = Window(cron="0 8 * * 1-5", duration=9 * 3600, zone=BERLIN)
    friday = at("2026-11-20T18:00:00+01:00")
    assert earliest([office], [], friday) == Start(at=at("2026-11-23T08:00:00+01:00"), reason="window")
    peak = Freeze(name="peak", start=at("2026-11-23T00:00:00Z"), until=at("2026-11-24T09:00:00Z"))
    assert earliest([office], [peak], friday) == Start(at=at("2026-11-24T09:00:00Z"), reason="freeze peak")


def test_a_window_that_never_opens_is_refused() -> None:
    with pytest.raises(MalformedError, match="never opens"):
        window_of({"cron": "0 8 30 2 *", "duration": 60})


@pytest.mark.parametrize("zone", ["Europe/Nowhere", "../../etc/passwd", "", "/etc/localtime", "Europe//Berlin"])
def test_what_is_no_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(OSError, match=r"time zone|No such|Is a directory|not find"):
        zone_of(zone)
    with pytest.raises(MalformedError, match="zone is not known"):
        window_of({"cron": "0 8 * * *", "duration": 60, "timeZone": zone})
