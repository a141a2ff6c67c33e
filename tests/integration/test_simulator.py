"""Hundreds of hosts in one process against a real `ordain up`, by the real protocol: `make test-simulator`. A few of them in each run."""

from pathlib import Path

import pytest

from tests.simulator.__main__ import rolled_out, settled
from tests.simulator.chances import Chances, fate_of
from tests.simulator.simulation import Plan, simulated

pytestmark = [pytest.mark.needs("opa", "git"), pytest.mark.timeout(1200)]


def test_a_host_has_the_same_fate_for_the_same_seed_and_shares_are_kept() -> None:
    chances = Chances(seed=7, failing=0.25, silent=0.1, clocks=0.5)
    fates = [fate_of(f"web-{number:05}", chances) for number in range(2000)]
    assert sum(one.fails for one in fates) == pytest.approx(500, abs=80)
    assert sum(one.silenced for one in fates) == pytest.approx(200, abs=60)
    assert sum(bool(one.clock) for one in fates) == pytest.approx(1000, abs=120)
    assert [one.clock for one in fates] == [fate_of(f"web-{number:05}", chances).clock for number in range(2000)]


def test_a_few_simulated_hosts_take_back_what_fails_everywhere(tmp_path: Path) -> None:
    plan, chances = Plan(hosts=8, waves=(("canary", 0.25), ("rest", 1.0))), Chances(failing=1.0, verified=0.5)
    with simulated(tmp_path, plan, chances) as made:
        found, _ = rolled_out(made)
        assert found["phase"] == "stopped"
        refused = str(found["refused"])
        assert len(made.population.tally.hosts(refused)) == plan.most("canary") == 2
        settled(made, found)
        assert made.population.tally.verified
        assert not [*made.out_of_bounds(refused), *made.population.troubles, *made.population.tally.unverified]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_hundreds_converge_though_some_fail_some_are_away_and_lines_are_lost(tmp_path: Path, seed: int) -> None:
    chances = Chances(seed=seed, failing=0.02, away=0.05, clocks=0.1, drops=1, latency=0.02, applying=0.05)
    with simulated(tmp_path, Plan(hosts=300, threshold=0.85), chances) as made:
        found, _ = rolled_out(made)
        assert (found["phase"], found["stable"] != made.first) == ("settled", True)
        assert settled(made, found) == sum(not host.fate.fails for host in made.population.hosts.values())
        waves = made.waves(str(found["stable"]))
        assert [one.name for one in waves] == ["canary", "half", "rest"]
        assert not [*made.out_of_bounds(str(found["stable"])), *made.population.troubles, *made.population.tally.unverified]


@pytest.mark.slow
@pytest.mark.parametrize(("failing", "silent"), [(0.3, 0.0), (0.0, 0.4)])
def test_what_hurts_more_than_may_be_is_taken_back_and_reaches_nobody_beyond_its_wave(
    tmp_path: Path, failing: float, silent: float
) -> None:
    chances = Chances(seed=3, failing=failing, silent=silent, away=0.05, clocks=0.1, drops=1, latency=0.02)
    plan = Plan(hosts=300, timeout=15)
    with simulated(tmp_path, plan, chances) as made:
        found, _ = rolled_out(made)
        assert found["phase"] == "stopped"
        refused = str(found["refused"])
        waves = made.waves(refused)
        assert len(made.population.tally.hosts(refused)) <= plan.most(waves[-1].name) < plan.hosts
        settled(made, found)
        assert not [*made.out_of_bounds(refused), *made.population.troubles, *made.population.tally.unverified]
