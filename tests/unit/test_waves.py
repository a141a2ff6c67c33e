"""Who is in which wave: held to what a host decides by the rollout document, whatever the strategy and the members."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.errors import MalformedError
from agent.protocol.rollout import BOUND_ALL, Release, RolloutDocument, choose, slot
from agent.protocol.windows import Window
from reconciler.rollouts.strategy import WHOLE, Step, Strategy, share_of, strategy_of
from reconciler.rollouts.waves import Member, Timed, Wave, timed, waves
from reconciler.rollouts.windows import Freeze

CANDIDATE = "a" * 64
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)

LABELS = st.dictionaries(st.sampled_from(["canary", "region"]), st.sampled_from(["true", "eu", "us"]), max_size=2)
HOSTS = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=4), LABELS, max_size=60)
LIMITS = st.one_of(st.none(), st.integers(0, WHOLE))
STEPS = st.lists(
    st.builds(Step, name=st.just("wave"), limit=LIMITS, selector=st.one_of(st.none(), LABELS), soak=st.integers(0, 900)), max_size=6
)


def members(hosts: dict[str, dict[str, str]]) -> list[Member]:
    return [Member(name=name, labels=labels) for name, labels in hosts.items()]


def document(wave: Wave, attempt: int) -> RolloutDocument:
    """Return what hosts would read in a wave."""
    candidate, stable = Release(digest=CANDIDATE, members=2), Release(digest="b" * 64, members=1)
    selectors = [dict(selector) for selector in wave.selectors]
    return RolloutDocument(
        format=1,
        fleet="shop/web",
        serial=1,
        epoch=1,
        attempt=attempt,
        stable=stable,
        candidate=candidate,
        not_before="",
        selectors=selectors,
        bound=wave.bound,
    )


@given(HOSTS, STEPS, st.integers(1, 5))
def test_a_host_takes_the_candidate_in_the_wave_that_was_predicted_for_it(
    hosts: dict[str, dict[str, str]], steps: list[Step], attempt: int
) -> None:
    reached: set[str] = set()
    for wave in waves(Strategy(steps=tuple(steps)), members(hosts), candidate=CANDIDATE, attempt=attempt):
        reached |= wave.joining.keys()
        seen = document(wave, attempt)
        chosen = {name for name, labels in hosts.items() if choose(seen, agent=name, labels=labels) == seen.candidate}
        assert chosen == reached
        assert wave.reached == len(reached)


@given(HOSTS, STEPS)
def test_a_bound_is_the_smallest_that_reaches_its_limit_and_never_falls(hosts: dict[str, dict[str, str]], steps: list[Step]) -> None:
    before = 0
    for wave in waves(Strategy(steps=tuple(steps)), members(hosts), candidate=CANDIDATE):
        assert wave.bound >= before
        if wave.step.limit is not None and wave.step.limit < WHOLE:
            wanted = -(-wave.step.limit * len(hosts) // WHOLE)
            assert wave.reached >= wanted
            if wave.bound > before:
                selected = {name for name, labels in hosts.items() if any(one.items() <= labels.items() for one in wave.selectors)}
                fewer = {name for name in hosts if slot(CANDIDATE, 1, name) < wave.bound - 1}
                assert len(selected | fewer) < wanted
        before = wave.bound


@given(HOSTS, STEPS, st.integers(0, 500))
def test_every_host_is_in_exactly_one_wave_of_a_whole_strategy(hosts: dict[str, dict[str, str]], steps: list[Step], pool: int) -> None:
    everybody = [*members(hosts), Member(name="POOL", labels={}, count=pool, pool=True)]
    found = waves(Strategy(steps=(*steps, Step(name="all", limit=WHOLE))), everybody, candidate=CANDIDATE)
    assert found[-1].reached == len(hosts) + pool
    assert found[-1].bound == BOUND_ALL
    assert sum(wave.size for wave in found) == len(hosts) + pool


@given(HOSTS.filter(bool), STEPS, st.data())
def test_who_is_held_stays_and_lets_nobody_else_in(hosts: dict[str, dict[str, str]], steps: list[Step], data: st.DataObject) -> None:
    held = data.draw(st.sets(st.sampled_from(sorted(hosts))))
    strategy = Strategy(steps=tuple(steps))
    free, kept = (waves(strategy, members(hosts), candidate=CANDIDATE, held=names) for names in ((), held))
    assert [wave.bound for wave in free] == [wave.bound for wave in kept]
    assert [wave.joining.keys() - held for wave in free] == [wave.joining.keys() for wave in kept]


def test_the_default_strategy_begins_with_one_of_few_and_ends_with_all() -> None:
    strategy = strategy_of({})
    assert [(step.limit, step.soak) for step in strategy.steps] == [(5_000, 600), (50_000, 600), (100_000, 600)]
    found = waves(strategy, [Member(name=f"web-{number}", labels={}) for number in range(10)], candidate=CANDIDATE)
    assert [wave.size for wave in found] == [1, 4, 5]


def test_a_strategy_that_stops_short_ends_with_the_rest_at_once() -> None:
    strategy = strategy_of(
        {"waves": [{"name": "canary", "matchLabels": {"canary": "true"}, "soak": 60}, {"name": "early", "limit": "10%"}]}
    )
    assert [(step.name, step.implied) for step in strategy.steps] == [("canary", False), ("early", False), ("rest", True)]
    whole = strategy_of({"waves": [{"name": "everybody", "matchLabels": {}}]})
    assert [step.name for step in whole.steps] == ["everybody"]


@pytest.mark.parametrize(("text", "share"), [("0%", 0), ("99.5%", 99_500), ("0.001%", 1), ("100%", WHOLE), ("100.0%", WHOLE)])
def test_a_share_is_read_exactly(text: str, share: int) -> None:
    assert share_of(text) == share


@pytest.mark.parametrize("text", ["", "5", "101%", "-1%", "0.0001%", "five%", "NaN%", "Infinity%"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match="percentage"):
        share_of(text)


def starts(found: tuple[Timed, ...]) -> list[tuple[str, int, str]]:
    """Return each wave's name, minutes from now and reason."""
    return [(one.wave.step.name, int((one.start.at - NOW).total_seconds()) // 60, one.start.reason) for one in found]


def test_waves_wait_for_soak_windows_and_freezes() -> None:
    hosts = [Member(name=f"web-{number}", labels={"canary": "true"} if number == 0 else {}) for number in range(4)]
    steps = (
        Step(name="canary", selector={"canary": "true"}, soak=600),
        Step(name="nobody", selector={"canary": "never"}, soak=86_400),
        Step(name="half", limit=50_000, soak=7200),
        Step(name="all", limit=WHOLE),
    )
    strategy = Strategy(steps=steps, windows=(Window(cron="0 8 * * *", duration=5 * 3600),))
    found = timed(waves(strategy, hosts, candidate=CANDIDATE), strategy, after=NOW)
    assert starts(found) == [("canary", 0, ""), ("nobody", 10, "soak"), ("half", 10, "soak"), ("all", 20 * 60, "window")]
    freeze = Freeze(name="peak", start=NOW + timedelta(hours=20), until=NOW + timedelta(hours=22))
    found = timed(waves(strategy, hosts, candidate=CANDIDATE), strategy, after=NOW, freezes=[freeze])
    assert starts(found)[-1] == ("all", 22 * 60, "freeze peak")
