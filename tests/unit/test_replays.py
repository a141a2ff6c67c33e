"""Rollouts replayed with dice: none advances above its failures, and none reaches more hosts than its waves may."""

import random
import sys

import pytest

from tests.simulator.replays import Outcome, replay

SAMPLE = range(16)
MANY = 1000


@pytest.mark.parametrize("seed", SAMPLE)
def test_no_wave_advances_above_its_failures_whatever_hosts_and_people_do(seed: int) -> None:
    one = replay(seed)
    assert one.far <= 1 or one.failing < 1


def test_a_release_that_fails_everywhere_stays_in_its_first_wave() -> None:
    hopeless = [one for one in (replay(seed) for seed in range(100, 112)) if one.failing == 1.0]
    assert {one.far for one in hopeless} == {1}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_thousand_rollouts_with_any_share_of_failures() -> None:
    base = random.randrange(10**6)
    sys.stdout.write(f"seeds {base} to {base + MANY - 1}\n")
    found = [replay(seed) for seed in range(base, base + MANY)]
    by_phase = {phase: sum(one.phase == phase for one in found) for phase in sorted({one.phase for one in found})}
    told = f"{sum(one.waves for one in found)} waves, {sum(one.back for one in found)} taken back; ended {by_phase}"
    sys.stdout.write(f"{MANY} rollouts, {told}\n")
    assert max(one.far for one in found if one.failing == 1.0) == 1
    _has_tried(found)


def _has_tried(found: list[Outcome]) -> None:
    """See that the dice brought about what matters."""
    assert sum(one.back for one in found) > MANY // 10
    assert sum(one.phase == "settled" for one in found) > MANY // 10
    assert sum(one.waves for one in found) > MANY
