"""What agents report, as the registry keeps it, on SQLite and on PostgreSQL."""

import itertools
from datetime import timedelta

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings, strategies

from agent.protocol.errors import InputError, MalformedError
from agent.protocol.report import Event
from reconciler.control.registry import agents, events, facts, heartbeats, receipts, statuses
from reconciler.control.registry.batches import Received, own_fleet, write_batches
from reconciler.control.registry.registry import Registry
from tests.registry_cases import DAY, HOUR, NOW, beat, receipt, received, status

_NUMBERS = itertools.count(1)
"""So that each example has an agent of its own."""


def test_a_batch_that_is_sent_twice_is_kept_once(registry: Registry) -> None:
    whole = received(
        receipts=[receipt(), receipt(attempt=2)],
        events=[Event(kind="drift", at="2026-11-23T12:00:00Z", fleet="web", path="/etc/a"), Event(kind="problem", at="x", text="t")],
        statuses=[status().report],
        facts={"os": "debian"},
    )
    first = registry.write(write_batches, [whole])
    again = registry.write(write_batches, [whole, whole])
    assert (first.receipts, first.events, first.statuses) == (2, 2, 1)
    assert (again.receipts, again.events, again.statuses) == (0, 0, 0)
    with registry.read() as connection:
        assert len(receipts.listed(connection, receipts.Filter(tenant="shop")).items) == 2
        assert [one.key for one in events.listed(connection, events.Filter(tenant="shop"), newest_first=False).items] == ["1.1.0", "1.1.1"]


def test_a_receipt_that_was_signed_anew_after_a_restart_is_kept_once(registry: Registry) -> None:
    first, again = receipt(), msgspec.structs.replace(receipt(), signature="YW5vdGhlcg==", certificate="c2")
    assert registry.write(write_batches, [received(receipts=[first])]).receipts == 1
    assert registry.write(write_batches, [received(sequence=2, receipts=[again, again, receipt(generation=3)])]).receipts == 1
    with registry.read() as connection:
        kept = [one.signed for one in receipts.listed(connection, receipts.Filter(tenant="shop"), newest_first=False).items]
    assert kept == [first, receipt(generation=3)], "the first one stays"


@given(data=strategies.data(), told=strategies.lists(strategies.lists(strategies.sampled_from(["a", "b", "c"]), max_size=2), max_size=6))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_batches_that_come_again_whenever_and_grouped_however_leave_the_newest(
    registry: Registry, data: strategies.DataObject, told: list[list[str]]
) -> None:
    name = f"web-{next(_NUMBERS)}"
    batches: list[Received] = []
    newest: dict[str, str] = {}
    for number, fleets in enumerate(told, start=1):
        reports = [status(fleet=fleet, digest=f"d{number}").report for fleet in sorted(set(fleets))]
        newest |= {one.fleet: one.digest for one in reports}
        batches.append(received(name, sequence=number, statuses=reports, events=[Event(kind="drift", at="x")]))
    arriving: list[Received] = []
    for batch in batches:
        arriving += [batch, *data.draw(strategies.lists(strategies.sampled_from([*arriving, batch]), max_size=2))]
    while arriving:
        size = data.draw(strategies.integers(1, len(arriving)))
        registry.write(write_batches, arriving[:size])
        arriving = arriving[size:]
    with registry.read() as connection:
        assert {one.fleet: one.report.digest for one in statuses.of_agent(connection, "shop", name)} == newest
        assert len(events.listed(connection, events.Filter(tenant="shop", agent=name)).items) == len(batches)
        beat_kept = heartbeats.get(connection, "shop", name)
        assert (beat_kept.sequence if beat_kept else 0) == len(batches)


def test_the_same_numbers_of_another_incarnation_are_other_events(registry: Registry) -> None:
    event = Event(kind="drift", at="2026-11-23T12:00:00Z")
    one, other = received(events=[event]), received(incarnation=2, events=[event])
    assert registry.write(write_batches, [one, other]).events == 2


def test_batches_of_many_agents_go_in_one_transaction(registry: Registry) -> None:
    batches = [received(f"web-{number:03}", statuses=[status().report], receipts=[receipt(f"web-{number:03}")]) for number in range(300)]
    found = registry.write(write_batches, batches)
    assert (found.receipts, found.statuses) == (300, 300)
    with registry.begin() as connection:
        for number in range(300):
            agents.enrol(connection, "shop", f"web-{number:03}", by="token:t", now=NOW)
        assert statuses.counts(connection, "shop", "web") == [
            statuses.Count(digest="d1", result="applied", attempt=0, agents=300, drifted=0, held=0)
        ]
        for name, state in (("web-000", "revoked"), ("web-001", "decommissioned"), ("web-002", "quarantined")):
            agents.set_state(connection, "shop", name, state, by="operator:ana", reason="sold", now=NOW)  # type: ignore[arg-type]
        assert statuses.counts(connection, "shop", "web")[0].agents == 298, "of those that left only their last words are there"


def test_words_with_a_nul_do_not_fail_a_batch(registry: Registry) -> None:
    odd = received(
        version="1\0",
        events=[Event(kind="problem", at="2026\0", path="/a\0b", text="\0")],
        statuses=[status(why="a\0b", warnings=["\0"]).report],
        receipts=[receipt(why="\0")],
        facts={"a\0": "\0"},
        problems=["\0"],
    )
    assert registry.write(write_batches, [odd]).receipts == 1
    with registry.read() as connection:
        assert statuses.of_agent(connection, "shop", "web-01")[0].report.why == "a\0b"
        assert events.listed(connection, events.Filter(tenant="shop")).items[0].path == "/a\ufffdb"
        assert receipts.listed(connection, receipts.Filter(tenant="shop")).items[0].signed == receipt(why="\0")


def test_an_older_heartbeat_changes_nothing(registry: Registry) -> None:
    with registry.begin() as connection:
        heartbeats.keep(connection, [beat(sequence=5, at=NOW), beat(sequence=7, at=NOW + HOUR), beat("web-02", sequence=1)])
        heartbeats.keep(connection, [beat(sequence=6, at=NOW + DAY)])
        assert heartbeats.get(connection, "shop", "web-01") == beat(sequence=7, at=NOW + HOUR)
        heartbeats.keep(connection, [beat(sequence=1, incarnation=2, at=NOW + DAY)])
        assert heartbeats.get(connection, "shop", "web-01") == beat(sequence=1, incarnation=2, at=NOW + DAY)
        heartbeats.keep(connection, [beat(sequence=1, incarnation=2, at=NOW + 2 * DAY)])
        assert [one.agent for one in heartbeats.all_since(connection, NOW + HOUR)] == ["web-01"]
        assert heartbeats.versions(connection, "shop") == {"1.0": 2}


def test_a_status_is_written_when_it_says_something_new(registry: Registry) -> None:
    with registry.begin() as connection:
        agents.enrol(connection, "shop", "web-01", by="token:t", now=NOW)
        assert statuses.keep(connection, [status(sequence=1)]) == 1
        assert statuses.keep(connection, [status(sequence=2)]) == 0
        assert statuses.of_agent(connection, "shop", "web-01")[0].sequence == 1
        assert statuses.keep(connection, [status(sequence=3, result="failed", drift=2, held=True)]) == 1
        assert statuses.keep(connection, [status(sequence=2, digest="old")]) == 0
        (found,) = statuses.of_agent(connection, "shop", "web-01")
        assert (found.sequence, found.report.result, found.report.drift) == (3, "failed", 2)
        assert statuses.counts(connection, "shop", "web")[0] == statuses.Count(
            digest="d1", result="failed", attempt=0, agents=1, drifted=1, held=1
        )


def test_fleets_that_an_agent_left_go_and_a_whole_report_leaves_only_what_it_names(registry: Registry) -> None:
    both = [status().report, status(fleet="base").report]
    registry.write(write_batches, [received(sequence=1, statuses=both), received("web-02", sequence=1, statuses=both)])
    registry.write(write_batches, [received(sequence=2, gone=["web"]), received("web-02", sequence=1, gone=["web"])])
    with registry.begin() as connection:
        assert [one.fleet for one in statuses.of_agent(connection, "shop", "web-01")] == ["base"]
        assert [one.fleet for one in statuses.of_agent(connection, "shop", "web-02")] == ["base", "web"]
        write_batches(connection, [received("web-02", sequence=2, whole=True, statuses=[status().report])])
        assert [one.fleet for one in statuses.of_agent(connection, "shop", "web-02")] == ["web"]
        write_batches(connection, [received("web-02", sequence=3, whole=True)])
        assert statuses.of_agent(connection, "shop", "web-02") == []


def test_a_fleets_agents_are_given_in_pages_and_by_result(registry: Registry) -> None:
    with registry.begin() as connection:
        statuses.keep(connection, [status(f"web-{number}", result="failed" if number == 2 else "applied") for number in range(4)])
        first = statuses.of_fleet(connection, "shop", "web", limit=3)
        assert [one.agent for one in first.items] == ["web-0", "web-1", "web-2"]
        assert [one.agent for one in statuses.of_fleet(connection, "shop", "web", after=first.next).items] == ["web-3"]
        assert [one.agent for one in statuses.of_fleet(connection, "shop", "web", result="failed").items] == ["web-2"]
        assert statuses.of_fleet(connection, "lab", "web").items == ()


def test_receipts_are_asked_for_by_fleet_release_attempt_agent_result_and_time(registry: Registry) -> None:
    batches = [
        received("web-01", receipts=[receipt(), receipt(attempt=2, result="failed")]),
        received("web-02", receipts=[receipt("web-02", digest="d2")], at=NOW + HOUR),
        received("db-01", receipts=[receipt("db-01", fleet="shop/db", mode="incident")], at=NOW + DAY),
    ]
    registry.write(write_batches, batches)

    def found(**wanted: object) -> list[tuple[str, str, int]]:
        page = registry.look(receipts.listed, receipts.Filter(tenant="shop", **wanted), newest_first=False)  # type: ignore[arg-type]
        return [(one.agent, one.signed.receipt.digest, one.signed.receipt.attempt) for one in page.items]

    assert found(agent="web-01") == [("web-01", "d1", 1), ("web-01", "d1", 2)]
    assert found(fleet="web", digest="d1", attempt=2) == [("web-01", "d1", 2)]
    assert found(fleet="db") == [("db-01", "d1", 1)]
    assert found(result="failed") == [("web-01", "d1", 2)]
    assert found(since=NOW + HOUR, until=NOW + DAY) == [("web-02", "d2", 1)]
    assert registry.look(receipts.listed, receipts.Filter(tenant="lab")).items == ()


def test_pages_of_receipts_and_events_go_both_ways(registry: Registry) -> None:
    event = Event(kind="drift", at="2026-11-23T12:00:00Z", fleet="web")
    registry.write(write_batches, [received(receipts=[receipt(serial=n) for n in range(5)], events=[event] * 5)])
    for newest_first in (True, False):
        serials, after = [], ""
        while True:
            page = registry.look(receipts.listed, receipts.Filter(tenant="shop"), after=after, limit=2, newest_first=newest_first)
            serials += [one.signed.receipt.serial for one in page.items]
            after = page.next
            if not after:
                break
        assert serials == sorted(range(5), reverse=newest_first)
    first = registry.look(events.listed, events.Filter(tenant="shop", fleet="web", agent="web-01", kind="drift"), limit=3)
    rest = registry.look(events.listed, events.Filter(tenant="shop", since=NOW, until=NOW + HOUR), after=first.next)
    assert [one.key for one in first.items + rest.items] == [f"1.1.{index}" for index in (4, 3, 2, 1, 0)]
    with pytest.raises(InputError):
        registry.look(events.listed, events.Filter(tenant="shop"), after="x")


def test_the_servers_own_events_are_kept_once_by_their_key(registry: Registry) -> None:
    lost = events.Event(
        tenant="shop", agent="", key="rollout/web/3", kind="paused", at="x", received_at=NOW, fleet="web", digest="d1", attempt=3
    )
    assert registry.write(events.append, [lost]) == 1
    assert registry.write(events.append, [lost]) == 0
    assert registry.look(events.listed, events.Filter(tenant="shop", digest="d1", attempt=3)).items[0].kind == "paused"


def test_facts_and_problems_stay_until_something_else_is_said(registry: Registry) -> None:
    with registry.begin() as connection:
        write_batches(connection, [received(sequence=1, facts={"os": "debian", "cpus": 2})])
        write_batches(
            connection, [received(sequence=2, problems=["disk full"], at=NOW + HOUR), received(sequence=3, facts={"os": "alpine"})]
        )
        found = facts.of(connection, "shop", "web-01")
        assert found is not None
        assert (found.facts, found.problems) == ({"os": "alpine"}, ["disk full"])
        write_batches(connection, [received(sequence=4, problems=[])])
        found = facts.of(connection, "shop", "web-01")
        assert found is not None
        assert (found.facts, found.problems) == ({"os": "alpine"}, [])


def test_a_fleet_of_another_tenant_is_refused() -> None:
    assert own_fleet("shop", "shop/web") == "web"
    for odd in ("lab/web", "shop/", "web", ""):
        with pytest.raises(MalformedError, match="not one of tenant shop"):
            own_fleet("shop", odd)


def test_what_is_old_is_forgotten_in_slices(registry: Registry) -> None:
    event = Event(kind="drift", at="x")
    many = [received(f"web-{n}", events=[event], receipts=[receipt(f"web-{n}")], at=NOW + timedelta(hours=n)) for n in range(5)]
    registry.write(write_batches, many)
    with registry.begin() as connection:
        assert events.prune(connection, tenant="shop", before=NOW + 4 * HOUR, limit=3) == 3
        assert events.prune(connection, tenant="shop", before=NOW + 4 * HOUR, limit=3) == 1
        assert events.prune(connection, tenant="lab", before=NOW + DAY, limit=3) == 0
        assert receipts.prune(connection, tenant="shop", before=NOW + 2 * HOUR, limit=9) == 2
        assert [one.agent for one in events.listed(connection, events.Filter(tenant="shop")).items] == ["web-4"]
        assert len(receipts.listed(connection, receipts.Filter(tenant="shop")).items) == 3
