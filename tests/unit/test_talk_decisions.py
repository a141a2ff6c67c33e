"""Rates, pace, groups and guards, without a network."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol import codec
from agent.protocol.errors import MalformedError, RetryError
from agent.protocol.report import Batch
from reconciler.control.intake import decoding
from reconciler.control.intake.groups import FULL, SHARE, Groups
from reconciler.control.intake.pace import every, is_lost, is_open, pace
from reconciler.control.known import reporting
from reconciler.control.limits import Rate, Rates
from reconciler.control.refusal import Denied
from reconciler.publication.controls import Agent, Controls, Pool, Reporting, Window

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)  # a Monday


@given(per_second=st.floats(0.1, 1000), burst=st.integers(1, 100), seconds=st.floats(1, 100))
def test_a_rate_lets_through_its_burst_and_then_so_many_a_second(per_second: float, burst: int, seconds: float) -> None:
    rates, rate = Rates(), Rate(per_second=per_second, burst=burst)
    assert [rates.wait("a", rate, 1000.0) for _ in range(burst)] == [0.0] * burst
    wait = rates.wait("a", rate, 1000.0)
    assert 0 < wait <= 1 / per_second + 1e-6
    assert rates.wait("b", rate, 1000.0) == 0.0
    assert rates.wait("a", rate, 1000.0 + wait + 1e-6) == 0.0
    later = 1000.0 + (burst + 1) / per_second + seconds
    assert rates.wait("a", rate, later) == 0.0


def test_whoever_is_on_time_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.control.limits.REMEMBERED", 10)
    rates, rate = Rates(), Rate(per_second=1, burst=1)
    assert rates.wait("busy", rate, 100.0) == 0.0
    for number in range(20):
        rates.wait(number, rate, 0.0)
    assert rates.wait("busy", rate, 100.0) > 0


def test_heartbeats_are_as_often_as_asked_unless_bytes_are_few_and_never_too_few_to_tell_who_is_lost() -> None:
    assert every(Reporting(every=60, lost_after=300)) == 60
    assert every(Reporting(every=60, lost_after=3000, bytes_per_day=1_000_000)) == 121
    assert every(Reporting(every=60, lost_after=300, bytes_per_day=1)) == 100
    assert every(Reporting(every=200, lost_after=300, bytes_per_day=1)) == 200


def test_how_to_report_is_said_by_an_agent_itself_or_its_pool_or_else_its_tenant() -> None:
    own, pools, tenants = (
        Reporting(every=seconds, bytes_per_day=seconds, windows=[Window(cron="0 8 * * *", duration=1)]) for seconds in (1, 2, 3)
    )
    agents, pool = {"web-01": Agent(reporting=own), "web-02": Agent()}, {"runners": Pool(reporting=pools), "others": Pool()}
    controls = Controls(tenant="shop", agents=agents, pools=pool, reporting=tenants)
    said = {name: reporting(controls, name).every for name in ("web-01", "web-02", "runners/7f3a", "others/7f3a", "gone")}
    assert said == {"web-01": 1, "web-02": 3, "runners/7f3a": 2, "others/7f3a": 3, "gone": 3}


def test_details_are_for_windows_and_for_half_of_the_days_bytes() -> None:
    office = Window(cron="0 8 * * 1-5", duration=9 * 3600, time_zone="Europe/Berlin")
    assert is_open([office], NOON)
    assert not is_open([office], NOON + timedelta(hours=6))
    assert is_open([], NOON)
    assert is_open([Window(cron="never", duration=1)], NOON)  # a window that can't be read closes nothing
    few = Reporting(bytes_per_day=1000)
    assert [pace(few, used=used, now=NOON).brief for used in (0, 499, 500)] == [False, False, True]
    assert not is_lost(Reporting(lost_after=300), NOON - timedelta(seconds=300), now=NOON)
    assert is_lost(Reporting(lost_after=300), NOON - timedelta(seconds=301), now=NOON)


@given(sequence=st.integers(1, 2**53 - 1), version=st.from_regex(r"[!-~]{0,20}", fullmatch=True))
def test_a_heartbeat_is_read_the_same_on_the_short_way(sequence: int, version: str) -> None:
    body = codec.canonical(Batch(format=1, sequence=sequence, sent_at="2026-11-23T12:00:00Z", version=version))
    assert decoding.decode_batch(body) == codec.decode(body, Batch, what="report")


@pytest.mark.parametrize(
    "sent", ["", "yesterday", "2026-11-23", "2026-11-23T12:00:00+01:00", "2026-13-23T12:00:00Z", "2026-11-23T12:00:00Z\n"]
)
@pytest.mark.parametrize("said", [{}, {"whole": True}])
def test_a_batch_says_when_it_was_sent(sent: str, said: dict[str, Any]) -> None:
    body = codec.canonical(Batch(format=1, sequence=1, sent_at=sent, version="1.0", **said))
    with pytest.raises(MalformedError, match="`sentAt` is an instant"):
        decoding.decode_batch(body)


def test_what_is_brought_together_is_kept_together_and_each_is_told_what_came_of_it() -> None:
    kept: list[list[int]] = []

    async def keep(items: Sequence[int]) -> Sequence[str]:
        kept.append(list(items))
        return [f"kept {item}" for item in items]

    async def scenario() -> list[str]:
        groups: Groups[int, str] = Groups(keep)
        running = asyncio.create_task(groups.run())
        found = await asyncio.gather(*(groups.put("shop", number, soon=False) for number in range(10)))
        running.cancel()
        assert (groups.kept, groups.commits, groups.queued) == (10, 1, 0)
        return found

    assert asyncio.run(scenario()) == [f"kept {number}" for number in range(10)]
    assert kept == [list(range(10))]


def test_tenants_take_turns_so_that_a_storm_waits_behind_itself() -> None:
    kept: list[list[str]] = []

    async def keep(items: Sequence[str]) -> Sequence[None]:
        kept.append(list(items))
        return [None] * len(items)

    async def scenario() -> None:
        groups: Groups[str, None] = Groups(keep)
        storm = [asyncio.create_task(groups.put("lab", "storm", soon=False)) for _ in range(3 * SHARE)]
        await asyncio.sleep(0)
        calm = asyncio.create_task(groups.put("shop", "calm", soon=False))
        await asyncio.sleep(0)
        assert groups.queued == 3 * SHARE + 1 > FULL
        running = asyncio.create_task(groups.run())
        await asyncio.gather(calm, *storm)
        running.cancel()

    asyncio.run(scenario())
    assert [group.count("calm") for group in kept] == [1, 0, 0]
    assert [len(group) for group in kept] == [SHARE + 1, SHARE, SHARE]


def test_one_that_can_not_be_kept_fails_alone_and_a_registry_that_is_away_fails_all() -> None:
    async def keep(items: Sequence[str]) -> Sequence[None]:
        if "away" in items:
            message = "the registry is away"
            raise RetryError(message)
        if "odd" in items:
            raise ZeroDivisionError
        return [None] * len(items)

    async def scenario(*items: str) -> list[bool]:
        groups: Groups[str, None] = Groups(keep)
        running = asyncio.create_task(groups.run())
        found = await asyncio.gather(*(groups.put("shop", item, soon=True) for item in items), return_exceptions=True)
        running.cancel()
        assert all(one is None or (isinstance(one, Denied) and one.code == "unavailable" and one.retry_after) for one in found)
        return [one is None for one in found]

    assert asyncio.run(scenario("good", "odd", "fine")) == [True, False, True]
    assert asyncio.run(scenario("good", "away")) == [False, False]


def test_a_queue_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.control.intake.groups.QUEUE", 3)

    async def keep(items: Sequence[int]) -> Sequence[None]:
        return [None] * len(items)

    async def scenario() -> None:
        groups: Groups[int, None] = Groups(keep)
        waiting = [asyncio.create_task(groups.put("shop", number, soon=False)) for number in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Denied, match="wait to be kept"):
            await groups.put("shop", 4, soon=False)
        running = asyncio.create_task(groups.run())
        await asyncio.gather(*waiting)
        running.cancel()

    asyncio.run(scenario())
