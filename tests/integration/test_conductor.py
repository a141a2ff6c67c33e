"""A rollout by what the registry knows, on either database: receipts move it, orders and freezes hold it, nothing is forgotten."""

import random
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from reconciler.control.conduct.conductor import Conductor
from reconciler.control.registry import agents, batches, events, heartbeats, inventory, stops
from reconciler.control.registry.inventory import Subject
from reconciler.control.registry.registry import Registry
from reconciler.publication.lease import LostError
from tests.conductor_cases import HOSTS, ROLLOUT, Site, make_site
from tests.registry_cases import receipt, received


@pytest.fixture
def site(tmp_path: Path, registry: Registry) -> Site:
    return make_site(tmp_path, registry)


def taking(site: Site) -> tuple[str | None, str | None, int]:
    return site.taking()


def test_where_no_host_is_enrolled_the_newest_release_is_stable_at_once(site: Site) -> None:
    second = site.approve("two")
    site.step()
    assert taking(site) == (second, None, 0)
    assert site.told() == ["stable", "stable"]


def test_a_release_goes_to_the_canary_and_then_to_all_by_their_receipts(site: Site) -> None:
    first, names = taking(site)[0], list(HOSTS)
    site.enrol(*names)
    second = site.approve("two")
    site.step()
    assert (taking(site), site.document and site.document.selectors) == ((first, second, 0), [{"canary": "true"}])
    site.say("web-1", "applied")
    site.step(timedelta(seconds=30))
    assert site.kept().progress.wave == 0
    site.now += timedelta(seconds=31)
    site.beat(*names)
    site.step()
    assert (site.kept().progress.wave, taking(site)) == (1, (first, second, 10_000))
    for name in names[1:]:
        site.say(name, "applied")
    site.now += timedelta(seconds=61)
    site.beat(*names)
    site.step()
    assert taking(site) == (second, None, 0)
    assert site.told() == ["stable", "candidate", "admitted", "proved", "admitted", "proved", "done"]


def test_a_canary_that_fails_takes_it_back_for_everybody_and_the_reason_is_kept(site: Site) -> None:
    first = taking(site)[0]
    site.enrol(*HOSTS)
    second = site.approve("two")
    site.step()
    site.say("web-1", "failed")
    site.step(timedelta(seconds=1))
    assert taking(site) == (first, None, 0)
    progress = site.kept().progress
    assert (progress.phase, progress.refused and progress.refused.digest) == ("stopped", second)
    assert second[:12] in progress.why
    site.step(timedelta(hours=1))
    assert taking(site) == (first, None, 0)
    third = site.approve("three")
    site.step()
    assert taking(site)[1] == third


def test_a_success_for_another_digest_or_attempt_counts_for_nothing(site: Site) -> None:
    site.enrol(*HOSTS)
    site.approve("two")
    site.step()
    assert site.document is not None
    for wrong in ({"digest": "f" * 64}, {"attempt": 2}):
        said = receipt("web-1", **{"digest": taking(site)[1], "attempt": 1, **wrong})
        site.sequence["web-1"] += 1
        with site.registry.begin() as connection:
            batches.write_batches(connection, [received("web-1", sequence=site.sequence["web-1"], at=site.now, receipts=[said])])
    site.now += timedelta(seconds=120)
    site.beat(*HOSTS)
    site.step()
    assert site.kept().progress.wave == 0


def test_what_newer_controls_let_through_waits_for_their_own_release(site: Site) -> None:
    site.enrol(*HOSTS)
    held = [{"name": "x", "limit": "100%", "approval": "required", "soak": 60}]
    site.rollout = {"waves": held}
    bad = site.approve("bad", decision=2)
    site.step()
    site.rollout, site.coming = ROLLOUT, 3  # a commit that needs no approval and mends it: its controls are there first
    site.step()
    assert taking(site)[1] is None
    assert [hold["kind"] for hold in site.kept().holds] == ["coming"]
    assert "is about to be approved" in site.kept().progress.why
    good = site.approve("good", decision=3)
    site.step()
    assert taking(site)[1] == good != bad


def test_going_back_waits_for_no_release_that_is_coming(site: Site) -> None:
    first = taking(site)[0]
    site.enrol(*HOSTS)
    site.approve("two", decision=2)
    site.step()
    site.coming = 3
    site.say("web-1", "failed")
    site.step()
    assert taking(site) == (first, None, 0)


def incident(site: Site, kind: str = "mode") -> None:
    """Switch the mode everywhere, or off again, and have it published."""
    site.order(kind=kind, mode="incident", **({"until": "2026-11-23T12:45:00Z", "all_at_once": True} if kind == "mode" else {}))
    site.step()
    site.step()


def test_a_wave_counts_receipts_in_the_mode_that_is_due(site: Site) -> None:
    site.enrol(*HOSTS)
    site.approve("two")
    site.step()
    site.say("web-1", "applied")
    site.step(timedelta(seconds=50))
    incident(site)
    site.now += timedelta(seconds=30)
    site.beat(*HOSTS)
    site.step()
    assert site.kept().progress.wave == 0  # it soaked in base, where it should not be any more
    site.say("web-1", "applied", mode="incident")
    site.now += timedelta(seconds=61)
    site.beat(*HOSTS)
    site.step()
    assert site.kept().progress.wave == 1


def test_a_host_that_heard_of_a_mode_and_does_not_follow_it_in_time_has_failed(site: Site) -> None:
    site.enrol(*HOSTS)
    site.approve("two")
    site.step()
    site.say("web-1", "applied")
    site.step(timedelta(seconds=50))
    incident(site)
    site.now += timedelta(minutes=14)
    site.beat("web-1")
    site.step()
    assert site.kept().progress.phase == "applying"
    site.step(timedelta(minutes=1, seconds=1))
    assert site.kept().progress.phase == "stopped"
    with site.registry.read() as connection:
        newest = events.listed(connection, events.Filter(tenant="shop", fleet="web")).items[0]
    assert "web-1 not in the mode that is on" in newest.text


def test_after_a_mode_what_was_said_in_base_counts_again(site: Site) -> None:
    site.enrol(*HOSTS)
    site.approve("two")
    site.step()
    site.say("web-1", "applied")
    incident(site)
    site.beat("web-1")
    incident(site, "base")
    site.now += timedelta(seconds=61)
    site.beat(*HOSTS)
    site.step()
    assert site.kept().progress.wave == 1


def test_a_mode_that_is_prolonged_goes_on_with_what_its_hosts_showed(site: Site) -> None:
    site.enrol(*HOSTS)
    site.order(kind="mode", mode="incident", until="2026-11-23T12:40:00Z", most=3600)
    site.step()
    site.step(timedelta(seconds=1))
    site.say("web-1", "applied", mode="incident")
    site.order(kind="mode", mode="incident", until="2026-11-23T13:00:00Z", most=3600)
    site.step(timedelta(seconds=1))
    site.now += timedelta(seconds=61)
    site.beat(*HOSTS)
    site.step()
    assert [(one.name, one.everywhere) for one in site.kept().progress.switches] == [("incident", True)]
    site.order(kind="mode", mode="incident", until="2026-11-23T13:01:00Z", most=3600)
    site.step()
    site.step(timedelta(minutes=20))
    assert [(one.name, one.everywhere) for one in site.kept().progress.switches] == [("incident", True)]
    assert "mode-taken-back" not in site.told()


def test_a_mode_that_another_overrules_is_judged_once_that_is_over(site: Site) -> None:
    site.enrol(*HOSTS)
    incident(site)
    site.order(kind="mode", mode="careful", until="2026-11-23T14:00:00Z")
    site.step()
    site.step(timedelta(minutes=20))
    assert site.told().count("mode-taken-back") == 0
    site.beat("web-1")
    site.step(timedelta(minutes=25, seconds=1))
    assert [one.name for one in site.kept().progress.switches] == ["careful"]
    site.beat("web-1")
    site.step(timedelta(minutes=16))
    site.step()
    assert site.told()[-1] == "mode-taken-back"


def test_a_mode_that_ends_by_itself_leaves_hosts_their_time_to_go_back(site: Site) -> None:
    site.enrol(*HOSTS)
    site.rollout = {"waves": [{"name": "canary", "matchLabels": {"canary": "true"}, "soak": 7200}]}
    incident(site)
    site.approve("two")
    site.step()
    site.say("web-1", "applied", mode="incident")
    site.step(timedelta(minutes=40))
    site.now += timedelta(minutes=5)
    site.beat("web-1")
    site.step()
    assert site.told()[-1] == "mode-ended"
    assert (site.kept().progress.phase, site.kept().progress.switches) == ("applying", [])
    site.step(timedelta(minutes=14))
    assert site.kept().progress.phase == "applying"
    site.step(timedelta(minutes=1, seconds=1))
    assert site.kept().progress.phase == "stopped"


def test_a_mode_that_the_candidate_does_not_have_changes_nothing_for_it(site: Site) -> None:
    site.enrol(*HOSTS)
    site.approve("two")
    site.step()
    site.say("web-1", "applied")
    site.order(kind="mode", mode="unheard-of", until="2026-11-23T13:00:00Z", all_at_once=True)
    site.step()
    site.now += timedelta(seconds=61)
    site.beat(*HOSTS)
    site.step()
    assert site.kept().progress.wave == 1


def test_an_enrolled_host_that_falls_silent_after_it_was_admitted_takes_it_back(site: Site) -> None:
    site.enrol(*HOSTS)
    site.approve("two")
    site.step()
    site.step(timedelta(minutes=16))
    assert site.kept().progress.phase == "stopped"


def test_hosts_that_never_enrolled_are_away(site: Site) -> None:
    site.enrol("web-2")
    site.approve("two")
    site.step()
    site.step(timedelta(hours=2))
    assert (site.kept().progress.phase, site.kept().progress.wave) == ("applying", 0)
    assert "none of the 1 hosts" in site.kept().holds[0]["why"]


def test_orders_are_followed_once(site: Site) -> None:
    site.enrol(*HOSTS)
    site.approve("two")
    site.step()
    site.order(kind="pause")
    conductor = Conductor(site.registry, site.zone.store)
    assert conductor.ordered("shop") == {"web"}
    site.step(conductor=conductor)
    assert (site.kept().progress.phase, conductor.ordered("shop")) == ("paused", set())
    site.order(kind="resume")
    site.step()
    site.step()
    assert site.told().count("resumed") == 1


def test_freezes_of_manifests_and_by_hand_hold_it_and_say_why(site: Site) -> None:
    site.enrol(*HOSTS)
    site.freezes = [
        {
            "name": "peak",
            "fleets": ["web"],
            "reason": "peak season",
            "owner": "ana@example.com",
            "from": "2026-11-23T00:00:00Z",
            "until": "2026-11-24T00:00:00Z",
        }
    ]
    with site.registry.begin() as connection:
        stops.add(connection, tenant="", fleets=[], reason="outage", who="ben", begins_at=site.now, until=site.now + timedelta(hours=1))
    site.approve("two")
    site.step()
    assert [hold["kind"] for hold in site.kept().holds] == ["freeze", "freeze"]
    assert "peak season" in site.kept().progress.why
    assert "outage" in site.kept().progress.why
    site.freezes = []
    site.beat(*HOSTS)
    site.step(timedelta(hours=1, seconds=1))
    assert site.kept().progress.wave == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_a_process_keeps_between_looks_makes_no_difference(site: Site, seed: int) -> None:
    site.rollout = {"waves": [{"name": "half", "limit": "50%", "soak": 30}, {"name": "all", "limit": "100%", "soak": 30}]}
    site.enrol(*HOSTS)
    site.approve("two")
    dice = random.Random(seed)
    site.step()
    for _ in range(25):
        host = dice.choice(list(HOSTS))
        if site.document is not None and site.document.candidate is not None and dice.random() < 0.5:
            site.say(host, dice.choice(["applied"] * 8 + ["failed"]))
        elif dice.random() < 0.8:
            site.beat(host)
        site.now += timedelta(seconds=dice.choice([5, 20]))  # longer than what was read rests
        kept = site.step().document
        while (after := site.step().document) != kept:  # one wave a step
            kept = after
        told = site.told()
        assert site.step(conductor=Conductor(site.registry, site.zone.store)).document == kept
        assert site.told() == told


def test_what_was_decided_and_not_published_is_decided_alike_again(site: Site) -> None:
    site.enrol(*HOSTS)
    site.approve("two")
    before = site.document
    first = site.step().document
    site.document = before  # the process died before it published
    again = site.step().document
    assert msgspec.structs.replace(again, not_before="") == msgspec.structs.replace(first, not_before="")
    assert site.told() == ["stable", "candidate", "admitted"]


def test_a_registry_that_was_lost_goes_on_from_what_is_published(site: Site) -> None:
    site.enrol(*HOSTS)
    second = site.approve("two")
    site.step()
    with site.registry.begin() as connection:
        connection.exec_driver_sql("DELETE FROM rollouts")
    site.step()
    progress = site.kept().progress
    assert (progress.candidate and progress.candidate.release.digest, progress.attempt) == (second, 1)
    assert (taking(site)[1:], progress.wave) == ((second, 0), 0), "nothing of it has proved itself to this registry"


def test_a_registry_that_was_restored_yields_to_what_is_published(site: Site) -> None:
    site.enrol(*HOSTS)
    with site.registry.read() as connection:
        old = connection.exec_driver_sql("SELECT progress FROM rollouts").scalar_one()
    site.approve("two")
    site.step()
    site.say("web-1", "failed")
    site.step(timedelta(seconds=1))
    stable = taking(site)[0]
    with site.registry.begin() as connection:
        connection.exec_driver_sql(f"UPDATE rollouts SET progress = '{old}'")
    site.step(timedelta(seconds=1))
    assert taking(site)[0] == stable


def test_a_leader_that_was_replaced_decides_nothing(site: Site) -> None:
    site.enrol(*HOSTS)
    site.approve("two")
    site.epoch = 5
    site.step()
    site.epoch = 4
    site.order(kind="pause")
    with pytest.raises(LostError):
        site.step()
    assert site.kept().progress.phase == "applying"


def test_hosts_of_pools_are_counted_once_they_enrolled(site: Site) -> None:
    with site.registry.begin() as connection:
        inventory.replace(connection, "shop", {"runners": Subject(kind="pool", fleets=["web"])}, sequence=2)
        agents.enrol(connection, "shop", "runners/a1", by="token:1", now=site.now)
        agents.set_presence(connection, [("shop", "runners/a1", "online")], now=site.now)
    site.beat("runners/a1")
    site.rollout = {"waves": [{"name": "all", "limit": "100%", "soak": 60}]}
    second = site.approve("two")
    site.step()
    site.say("runners/a1", "applied")
    site.now += timedelta(seconds=61)
    site.beat("runners/a1")
    site.step()
    assert taking(site)[0] == second
    with site.registry.read() as connection:
        assert heartbeats.get(connection, "shop", "runners/a1") is not None
