"""The rollout document: the same place and the same choice on both sides, for ever."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol import codec, rollout
from agent.protocol.errors import MalformedError
from agent.protocol.rollout import Held, ModeSwitch, Release, RolloutDocument

VECTORS = json.loads((Path(__file__).resolve().parents[1] / "vectors" / "rollout.json").read_bytes())
START, UNTIL = "2026-01-01T10:00:00Z", "2026-01-01T11:00:00Z"
STABLE, CANDIDATE = Release(digest="aa", members=1), Release(digest="bb", members=2)


def document(**fields: Any) -> RolloutDocument:
    start = RolloutDocument(
        format=1, fleet="shop/web", serial=1, epoch=1, attempt=1, stable=STABLE, candidate=CANDIDATE, not_before="2026-01-01T00:00:00Z"
    )
    return msgspec.structs.replace(start, **fields)


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["agent"])
def test_slots_and_choices_never_change(case: dict[str, Any]) -> None:
    read = rollout.decode(codec.canonical(VECTORS["document"]), fleet="shop/web")
    assert read.candidate is not None
    assert rollout.slot(read.candidate.digest, read.attempt, case["agent"]) == case["slot"]
    choice = rollout.choose(read, agent=case["agent"], labels=case["labels"])
    assert (choice.digest if choice else None) == case["choice"]


@given(st.text(max_size=70), st.integers(0, 100), st.text(max_size=70))
def test_a_slot_runs_from_0_to_9999(candidate: str, attempt: int, agent: str) -> None:
    assert 0 <= rollout.slot(candidate, attempt, agent) < rollout.BOUND_ALL


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.text(max_size=20))
def test_a_host_that_a_wave_admitted_stays_admitted_as_the_bound_rises(low: int, high: int, agent: str) -> None:
    low, high = sorted((low, high))
    if rollout.choose(document(bound=low), agent=agent, labels={}) == CANDIDATE:
        assert rollout.choose(document(bound=high), agent=agent, labels={}) == CANDIDATE


def test_a_bound_admits_about_its_share_and_another_attempt_others() -> None:
    names = [f"web-{number}" for number in range(2000)]
    admitted = [
        {name for name in names if rollout.choose(document(bound=1000, attempt=attempt), agent=name, labels={}) == CANDIDATE}
        for attempt in (1, 2)
    ]
    assert all(140 < len(one) < 260 for one in admitted)
    assert len(admitted[0] & admitted[1]) < 60


@given(st.text(max_size=20))
def test_bounds_of_none_and_all_admit_nobody_and_everybody(agent: str) -> None:
    assert rollout.choose(document(bound=0), agent=agent, labels={}) == STABLE
    assert rollout.choose(document(bound=rollout.BOUND_ALL), agent=agent, labels={}) == CANDIDATE


def test_the_held_stay_the_selected_go_first_and_without_a_candidate_all_are_stable() -> None:
    waves = document(selectors=[{"canary": "true"}], held=Held(names=["web-09"], selectors=[{"hold": "yes"}]))
    canary = {"canary": "true"}
    assert rollout.choose(waves, agent="web-01", labels=canary) == CANDIDATE
    assert rollout.choose(waves, agent="web-09", labels=canary) is None
    assert rollout.choose(waves, agent="web-01", labels={**canary, "hold": "yes"}) is None
    assert rollout.choose(document(candidate=None), agent="web-01", labels=canary) == STABLE
    assert rollout.choose(document(stable=None), agent="web-01", labels={}) is None


def test_an_empty_selector_matches_everybody_and_no_selector_nobody() -> None:
    assert rollout.matches({}, {})
    assert rollout.selected({}, [{}])
    assert not rollout.selected({"a": "b"}, [])
    assert not rollout.matches({"a": "b"}, {"a": "b", "c": "d"})


def test_of_several_modes_that_are_on_the_highest_counts_within_its_time() -> None:
    both = document(
        modes=[
            ModeSwitch(name="high", start=START, until=UNTIL),
            ModeSwitch(name="low", start=START, until=UNTIL),
            ModeSwitch(name="unknown", start=START, until=UNTIL),
        ]
    )

    def due(now: str) -> str | None:
        return rollout.mode_due(both, known=["low", "high"], now=now, agent="web-01", labels={})

    assert due("2026-01-01T10:00:00Z") == "high"
    assert due("2026-01-01T09:59:59Z") is None
    assert due("2026-01-01T11:00:00Z") is None
    assert rollout.mode_due(both, known=["low"], now="2026-01-01T10:30:00Z", agent="web-01", labels={}) == "low"


def test_a_mode_may_be_for_some_only() -> None:
    some = document(modes=[ModeSwitch(name="low", bound=0, selectors=[{"canary": "true"}], start=START, until=UNTIL)])
    found = [rollout.mode_due(some, known=["low"], now=START, agent="a", labels=labels) for labels in ({}, {"canary": "true"})]
    assert found == [None, "low"]


@pytest.mark.parametrize(
    "change", [{"format": 2}, {"fleet": "shop/db"}, {"bound": 10_001}, {"bound": -1}, {"held": Held(names=["x"] * 1001)}]
)
def test_another_fleets_document_and_nonsense_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedError, match="rollout document of shop/web"):
        rollout.decode(codec.canonical(document(**change)), fleet="shop/web")


@given(st.binary(max_size=200))
def test_hostile_bytes_raise_one_family_of_errors(data: bytes) -> None:
    with pytest.raises(MalformedError):
        rollout.decode(data, fleet="shop/web")


def test_a_document_is_read_as_it_was_written() -> None:
    made = document(selectors=[{"a": "b"}], bound=5, tasks=["restart"], modes=[ModeSwitch(name="m", start="x", until="y")])
    assert rollout.decode(codec.canonical(made), fleet="shop/web") == made
    assert rollout.target("web") == "rollouts/web.json"
