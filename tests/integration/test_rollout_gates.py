"""Gates of a rollout by what the registry knows: fleets that go first, measurements of hosts and of Prometheus, the error budget."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.protocol.report import Usage, Used
from agent.protocol.rollout import Release
from reconciler import metrics
from reconciler.control.conduct.gates import REST_LEAST
from reconciler.control.known import KnownTenants
from reconciler.control.registry import agents, rollouts
from reconciler.control.registry.registry import Registry
from reconciler.control.rollout.progress import Progress
from reconciler.pipeline.approve import write_controls
from reconciler.publication.controls import Controls
from reconciler.publication.releases import read_newest
from reconciler.rollout_metrics import RolloutCollector
from tests import registry_cases
from tests.conductor_cases import HOSTS, ROLLOUT, Site, make_site


def enrolled(tmp_path: Path, registry: Registry) -> Site:
    made = make_site(tmp_path, registry)
    made.enrol(*HOSTS)
    return made


@pytest.fixture
def both(tmp_path: Path, registry: Registry) -> Site:
    """Return a site on either database."""
    return enrolled(tmp_path, registry)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with registry_cases.empty(tmp_path, None) as registry:
        yield enrolled(tmp_path, registry)


def holding(site: Site) -> list[tuple[str, str]]:
    return [(one["kind"], one["why"]) for one in site.kept().holds]


def usage(site: Site, cpu: int) -> Usage:
    assert site.document is not None
    assert site.document.candidate is not None
    before, after = (Used(cpu=value, memory=2**20, restarts=0, startup=1000) for value in (100, cpu))
    return Usage(digest=site.document.candidate.digest, attempt=site.document.attempt, seconds=60, before=before, after=after)


def test_a_fleet_waits_for_the_one_before_it_and_for_nothing_that_was_decided_later(site: Site) -> None:
    site.rollout = {**ROLLOUT, "after": ["staging"]}
    site.approve("staging one", decision=2, fleet="staging")
    second = site.approve("two", decision=3)
    site.step()
    assert holding(site) == [("after", "fleet staging goes first: it has no stable release yet")]
    releases = read_newest(site.zone.store, site.zone.trust, "staging")
    assert releases is not None
    stable = Progress(stable=releases.desired)
    with site.registry.begin() as connection:
        rollouts.put(connection, "shop", "staging", stable, holds=(), epoch=1, now=site.now)
    site.approve("staging two", decision=4, fleet="staging")
    site.step(timedelta(seconds=1))
    assert site.taking()[1] == second


def test_a_fleet_that_is_not_there_holds_and_says_so(site: Site) -> None:
    site.rollout = {**ROLLOUT, "after": ["nowhere"]}
    site.approve("two")
    site.step()
    assert holding(site) == [("after", "fleet nowhere goes first: there is no such fleet")]


def regressions(site: Site) -> None:
    site.rollout = {**ROLLOUT, "health": {"regressions": {"cpu": "50%"}}}
    site.approve("two")
    site.step()


def test_an_update_that_leaks_processor_time_is_taken_back(both: Site) -> None:
    regressions(both)
    both.say("web-1", "applied", usage=usage(both, 900))
    both.step(REST_LEAST)
    assert both.taking() == (both.first, None, 0)
    with both.registry.read() as connection:
        kept = rollouts.get(connection, "shop", "web")
    assert kept is not None
    assert kept.progress.phase == "stopped"


def test_one_that_measured_nothing_yet_holds_its_wave(site: Site) -> None:
    regressions(site)
    site.say("web-1", "applied")
    site.now += timedelta(seconds=61)
    site.beat(*HOSTS)
    site.step()
    assert site.kept().progress.wave == 0
    assert ("metrics", "no answer from regressions: 1 of 1 hosts have not measured it for long enough") in holding(site)
    site.say("web-1", "applied", usage=usage(site, 110))
    site.now += timedelta(seconds=61)
    site.beat(*HOSTS)
    site.step()
    assert site.kept().progress.wave == 1


def test_what_hosts_measured_of_another_release_counts_for_nothing(site: Site) -> None:
    regressions(site)
    other = msgspec.structs.replace(usage(site, 900), digest=Release(digest="e" * 64, members=1).digest)
    site.say("web-1", "applied", usage=other)
    site.step(REST_LEAST)
    assert site.kept().progress.phase == "applying"


def test_metrics_hold_where_no_prometheus_is_named(site: Site) -> None:
    site.rollout = {**ROLLOUT, "health": {"metrics": [{"name": "errors", "query": "x", "max": "1"}]}}
    site.approve("two")
    site.step()
    site.say("web-1", "applied")
    site.now += timedelta(seconds=61)
    site.beat(*HOSTS)
    site.step()
    assert site.kept().progress.wave == 0
    assert holding(site)[-1] == ("metrics", "no answer from errors: no Prometheus is named: set [metrics] prometheus of serve")


def burning(site: Site, **more: Any) -> None:
    site.objectives = {"healthy": "90%", "window": 2_592_000}
    site.say("web-2", "failed")
    with site.registry.begin() as connection:
        agents.set_presence(connection, [("shop", "web-3", "lost")], now=site.now)
    for _ in range(8):
        site.step(timedelta(minutes=5))
    site.rollout = {**ROLLOUT, **more}
    site.approve("two")
    site.step()


def test_a_fleet_that_burns_its_budget_gets_nothing_new(both: Site) -> None:
    burning(both)
    assert both.gatekeeper.burns["shop", "web"].hour == pytest.approx(5)
    assert holding(both) == [("budget", "the error budget burns at 5.0 times its rate in 1 h; above 2 times nothing new is tried")]
    assert both.kept().progress.wave == -1


def test_alerts_see_for_how_long_each_kind_of_thing_is_waited_for(site: Site) -> None:
    burning(site)
    site.freezes = [
        {"name": "peak", "fleets": ["web"], "from": "2026-01-01T00:00:00Z", "until": "2027-01-01T00:00:00Z", "reason": "", "owner": "ana"}
    ]
    site.step(timedelta(minutes=5))
    site.now += timedelta(minutes=1)
    known = KnownTenants(site.zone.store)
    write_controls(site.zone.store, site.zone.rings.pipeline.signer("shop/releases"), Controls(tenant="shop", fleets={}), now=site.now)
    known.look()
    numbers = metrics.exposition(RolloutCollector(site.registry, known, lambda: site.now))().decode()
    assert 'waiting_seconds{fleet="web",for="budget",tenant="shop"} 360.0' in numbers
    assert 'waiting_seconds{fleet="web",for="freeze",tenant="shop"} 60.0' in numbers


def test_what_is_critical_goes_all_the_same(site: Site) -> None:
    burning(site, critical={"reason": "CVE-2026-1", "until": "2026-11-24T00:00:00Z"})
    assert site.kept().progress.wave == 0


def test_a_fleet_without_an_objective_is_not_counted(site: Site) -> None:
    burning(site)
    assert site.kept().progress.budget
    site.objectives = {}
    site.step()
    assert (site.kept().progress.budget, site.gatekeeper.burns, site.kept().progress.wave) == ([], {}, 0)


def test_hosts_go_one_at_a_time_where_no_more_may_be_unavailable(both: Site) -> None:
    wave = {"name": "all", "limit": "100%", "soak": 60}
    both.rollout = {"waves": [wave], "maxUnavailable": {"count": 1}}
    second = both.approve("two")
    both.step()
    went: list[str] = []
    for waiting in (3, 2, 1, 0):
        assert both.document is not None
        assert both.document.candidate is not None
        assert (both.taking()[1], len(both.document.held.names), both.kept().progress.waiting) == (second, waiting, waiting)
        (next_one,) = set(HOSTS) - set(both.document.held.names) - set(went)
        went.append(next_one)
        both.say(next_one, "applied")
        both.beat(*HOSTS)
        both.step(timedelta(seconds=1))
    both.now += timedelta(seconds=61)
    both.beat(*HOSTS)
    both.step()
    assert both.taking() == (second, None, 0)
