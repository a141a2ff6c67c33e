"""Agents report over mutual TLS: kept before it is acknowledged, once, by the right host; and the pace that they are told."""

import asyncio
import base64
import json
import queue
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from agent.protocol import codec, report
from agent.protocol.report import Acknowledged, Event, FleetReport, SignedBatch
from reconciler.control import limits
from reconciler.control.intake import presence
from reconciler.control.known import KnownTenants
from reconciler.control.registry import agents as rows
from reconciler.control.registry import audit, certificates, events, facts, heartbeats, receipts, statuses
from reconciler.control.registry.registry import Registry
from reconciler.publication.controls import Agent, Pool, Quotas, Reporting, Window
from reconciler.publication.store import LocalStore
from tests.registry_cases import NOW, beat
from tests.talk_cases import PATIENCE, Client, Host, RefusedAnswerError, Site, batch, receipt, site, until


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Site]:
    """A site whose tenant shop has web-01, web-02 and the relay site-01, all in the fleet web."""
    with site(tmp_path) as made:
        made.write_controls(
            agents={"web-01": Agent(fleets=["web"]), "web-02": Agent(fleets=["web"]), "site-01": Agent(fleets=["web"], relay=["web"])},
            pools={"runners": Pool(fleets=["web"], lease=60)},
        )
        made.write_controls("lab", agents={"lab-01": Agent(fleets=["web"])})
        yield made


def test_what_is_acknowledged_is_in_the_registry(shop: Site) -> None:
    host = shop.enrol("web-01")
    said = FleetReport(fleet="web", result="applied", digest="d" * 64)
    happened = Event(kind="drift", at="2026-11-23T12:00:00Z", fleet="web", path="/etc/motd")

    async def scenario() -> None:
        async with shop.serving() as port, Client(host, port) as client:
            answer = await client.report(
                1, whole=True, receipts=[host.signed(receipt())], statuses=[said], events=[happened], facts={"cores": 2}, problems=["hot"]
            )
            assert answer == Acknowledged(format=1, sequence=1, every=60)
            with shop.registry.read() as connection:
                assert [one.signed.receipt for one in receipts.listed(connection, receipts.Filter(tenant="shop")).items] == [receipt()]
                assert [one.report for one in statuses.of_agent(connection, "shop", "web-01")] == [said]
                assert [one.path for one in events.listed(connection, events.Filter(tenant="shop")).items] == ["/etc/motd"]
                found = facts.of(connection, "shop", "web-01")
                assert found is not None
                assert (found.facts, found.problems) == ({"cores": 2}, ["hot"])

    asyncio.run(scenario())


def test_whoever_waits_for_receipts_of_a_fleet_hears_that_some_came(shop: Site) -> None:
    host, heard = shop.enrol("web-01"), queue.SimpleQueue[tuple[str, str]]()

    async def scenario() -> None:
        async with shop.serving() as port, Client(host, port) as client:
            await client.report(1, receipts=[host.signed(receipt())])
            await client.report(2)

    with shop.registry.listen(lambda *note: heard.put(note)):
        asyncio.run(scenario())
        while (note := heard.get(timeout=PATIENCE)) != ("reports", "shop/web"):
            assert note[0] != "reports"


def test_a_batch_that_is_sent_again_is_acknowledged_and_kept_once(shop: Site) -> None:
    host = shop.enrol("web-01")

    async def scenario() -> None:
        async with shop.serving() as port, Client(host, port) as client:
            once = host.signed(receipt())
            for _ in range(3):
                assert (await client.report(1, receipts=[once])).sequence == 1
            assert _kept_receipts(shop) == 1
            assert shop.talk.intake.counts["again"] == 2

    asyncio.run(scenario())


def test_batches_that_never_came_are_noted_and_the_host_is_asked_to_tell_everything(shop: Site) -> None:
    host = shop.enrol("web-01")

    async def scenario() -> None:
        async with shop.serving() as port, Client(host, port) as client:
            assert not (await client.report(1)).report
            assert await client.report(5) == Acknowledged(format=1, sequence=5, every=60, report=True)
            assert not (await client.report(6, whole=True)).report
            with shop.registry.read() as connection:
                found = events.listed(connection, events.Filter(tenant="shop", kind="reports-missing")).items
            assert [one.text for one in found] == ["3 batches before this one never came"]

    asyncio.run(scenario())


def test_a_host_that_lost_count_is_told_where_to_go_on_and_its_receipts_are_kept(shop: Site) -> None:
    host = shop.enrol("web-01")

    async def scenario() -> None:
        async with shop.serving() as port, Client(host, port) as client:
            await client.report(7, whole=True, statuses=[FleetReport(fleet="web", result="applied", digest="new")])
            old = FleetReport(fleet="web", result="failed", digest="old")
            assert (await client.report(1, statuses=[old], receipts=[host.signed(receipt())])).sequence == 7
            with shop.registry.read() as connection:
                assert [one.report.digest for one in statuses.of_agent(connection, "shop", "web-01")] == ["new"]
            assert _kept_receipts(shop) == 1

    asyncio.run(scenario())


def test_one_that_enrolled_again_counts_from_one(shop: Site) -> None:
    async def scenario() -> None:
        async with shop.serving() as port:
            async with Client(shop.enrol("web-01"), port) as client:
                await client.report(9, whole=True)
            async with Client(shop.enrol("web-01"), port) as client:
                assert await client.report(1, whole=True) == Acknowledged(format=1, sequence=1, every=60)

    asyncio.run(scenario())


def test_a_registry_that_is_older_than_its_agents_asks_them_for_everything(shop: Site) -> None:
    host = shop.enrol("web-01")

    async def scenario() -> None:
        async with shop.serving() as port, Client(host, port) as client:
            assert (await client.watch(reported=40)).report
            assert not (await client.watch(reported=40)).report  # it was asked just now
            assert (await client.report(41, whole=True)).sequence == 41
            assert not (await client.watch(reported=41)).report

    asyncio.run(scenario())


def test_receipts_that_others_signed_or_that_are_of_others_are_dropped_and_noted(shop: Site) -> None:
    host, other, stranger = shop.enrol("web-01"), shop.enrol("web-02"), shop.enrol("lab-01", tenant="lab")
    good = host.signed(receipt())
    bad = [
        other.signed(receipt()),  # another's key, and its certificate
        msgspec.structs.replace(other.signed(receipt()), certificate=host.fingerprint),  # another's key, this one's certificate
        stranger.signed(receipt(fleet="lab/web", agent="lab-01")),
        host.signed(receipt(agent="web-02")),
        host.signed(receipt(fleet="lab/web")),
        msgspec.structs.replace(good, receipt=receipt(result="failed")),
        msgspec.structs.replace(good, certificate="0" * 64),
        msgspec.structs.replace(good, signature="not base64"),
    ]

    async def scenario() -> None:
        async with shop.serving() as port, Client(host, port) as client:
            assert (await client.report(1, receipts=[*bad, good])).sequence == 1
            with shop.registry.read() as connection:
                assert [one.signed for one in receipts.listed(connection, receipts.Filter(tenant="shop")).items] == [good]
                assert not receipts.listed(connection, receipts.Filter(tenant="lab")).items
                noted = events.listed(connection, events.Filter(tenant="shop", kind="receipts-dropped")).items
            assert noted[0].text.startswith("8 of 9: ")
            assert sum(shop.talk.intake.signatures.dropped.values()) == 8

    asyncio.run(scenario())


def test_a_receipt_counts_that_was_signed_with_a_key_that_was_renewed_since(shop: Site) -> None:
    before = shop.enrol("web-01")
    signed = before.signed(receipt())

    async def scenario() -> None:
        async with shop.serving() as port, Client(shop.renew(before), port) as client:
            await client.report(1, receipts=[signed])
            assert _kept_receipts(shop) == 1

    asyncio.run(scenario())


def test_a_relay_brings_what_others_signed_and_nobody_else_may(shop: Site) -> None:
    author, relay, other = shop.enrol("web-01"), shop.enrol("site-01"), shop.enrol("web-02")
    stranger = shop.enrol("lab-01", tenant="lab")
    data = codec.canonical(batch(1, receipts=[author.signed(receipt())], statuses=[FleetReport(fleet="web", result="applied")]))

    async def scenario() -> None:
        async with shop.serving() as port, Client(relay, port) as carrier, Client(other, port) as nobody:
            answer = codec.decode(await carrier.post("/v1/reports", _carried(author, data)), Acknowledged, what="answer")
            assert answer.sequence == 1
            with shop.registry.read() as connection:
                assert [one.agent for one in receipts.listed(connection, receipts.Filter(tenant="shop")).items] == ["web-01"]
                assert not statuses.of_agent(connection, "shop", "site-01")
            for client, body, answered in (
                (nobody, _carried(author, data), (404, "unknown")),
                (carrier, _carried(author, data, signature=other.signature(report.batch_message(data))), (403, "refused")),
                (carrier, _carried(stranger, data), (403, "refused")),
            ):
                with pytest.raises(RefusedAnswerError) as refused:
                    await client.post("/v1/reports", body)
                assert (refused.value.status, json.loads(refused.value.body)["code"]) == answered
            with shop.registry.begin() as connection:
                certificates.revoke(connection, author.fingerprint, why="stolen")
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(RefusedAnswerError):  # once the registry's listener has heard of it
                    await _for_ever(lambda: carrier.post("/v1/reports", _carried(author, data)))

    asyncio.run(scenario())


def test_what_no_agent_sends_is_refused_whole(shop: Site) -> None:
    host = shop.enrol("web-01")
    deep: object = 1
    for _ in range(10):
        deep = {"a": deep}
    odd = [
        b"{}",
        codec.canonical(batch(1)) + b" ",
        codec.canonical(batch(1)).replace(b'"sequence":1', b'"sequence":1,"sequence":1'),
        codec.canonical(batch(0)),
        codec.canonical(batch(2**60)),
        codec.canonical(batch(1, facts={"deep": deep})),
        codec.canonical(batch(1, statuses=[FleetReport(fleet="lab/web", result="applied")])),
        codec.canonical(batch(1, statuses=[FleetReport(fleet="web", result="applied", drift=2**40)])),
        codec.canonical(batch(1, statuses=[FleetReport(fleet="web", result="applied", group="a\0b")])),
        codec.canonical(batch(1, events=[Event(kind="drift", at="x")] * 501)),
        codec.canonical(msgspec.structs.replace(batch(1), format=2)),
    ]

    async def scenario() -> None:
        async with shop.serving() as port, Client(host, port) as client:
            for body in odd:
                with pytest.raises(RefusedAnswerError) as refused:
                    await client.post("/v1/reports", body)
                assert (refused.value.status, json.loads(refused.value.body)["code"]) == (400, "malformed"), body[:100]
            with pytest.raises(RefusedAnswerError) as refused:
                await client.post("/v1/reports", b"x" * 2_000_000)
            assert refused.value.status == 413
            with shop.registry.read() as connection:
                assert heartbeats.get(connection, "shop", "web-01") is None

    asyncio.run(scenario())


def test_a_registry_that_is_away_acknowledges_nothing(shop: Site) -> None:
    host = shop.enrol("web-01")

    async def scenario() -> None:
        async with shop.serving() as port, Client(host, port) as client:
            await client.report(1)
            with shop.registry.begin() as connection:
                connection.exec_driver_sql("ALTER TABLE receipts RENAME TO elsewhere")
            with pytest.raises(RefusedAnswerError) as refused:
                await client.report(2, receipts=[host.signed(receipt())])
            assert refused.value.status == 503
            assert int(refused.value.headers["Retry-After"]) > 0
            with shop.registry.begin() as connection:
                connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO receipts")
            assert (await client.report(2, receipts=[host.signed(receipt())])).sequence == 2
            assert _kept_receipts(shop) == 1

    asyncio.run(scenario())


def test_agents_are_told_how_often_and_when_to_be_brief(shop: Site) -> None:
    now = datetime.now(UTC)
    closed = Window(cron=f"0 {(now.hour + 6) % 24} * * *", duration=3600)
    shop.write_controls(
        agents={
            "web-01": Agent(fleets=["web"], reporting=Reporting(every=30, lost_after=300, windows=[closed])),
            "web-02": Agent(fleets=["web"], reporting=Reporting(every=20, lost_after=900, bytes_per_day=200_000)),
        }
    )
    first, second = shop.enrol("web-01"), shop.enrol("web-02")

    async def scenario() -> None:
        async with shop.serving() as port, Client(first, port) as one, Client(second, port) as two:
            assert await one.report(1) == Acknowledged(format=1, sequence=1, every=30, brief=True)
            assert (await one.watch()).brief
            answer = await two.report(1)
            assert (answer.every, answer.brief) == (
                300,
                False,
            )  # heartbeats take half of the bytes at most, and never fewer than three a loss
            assert (await two.report(2, facts={"long": "x" * 100_000})).brief

    asyncio.run(scenario())


def test_a_tenant_that_asks_more_often_than_its_quota_is_slowed_and_others_are_not(shop: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.control.api.pacing.HELD_SECONDS", 0.05)
    shop.write_controls(agents={"web-01": Agent(fleets=["web"])}, quotas=Quotas(report_rate=1))
    host, stranger = shop.enrol("web-01"), shop.enrol("lab-01", tenant="lab")

    async def scenario() -> None:
        async with shop.serving() as port, Client(host, port) as client, Client(stranger, port) as other:
            numbers = iter(range(1, 100))
            with pytest.raises(RefusedAnswerError) as refused:
                await _for_ever(lambda: client.report(next(numbers)))
            assert refused.value.status == 429
            assert int(refused.value.headers["Retry-After"]) >= 1
            assert json.loads(refused.value.body)["retryAfter"] >= 1
            assert (await other.report(1)).sequence == 1

    asyncio.run(scenario())


def test_a_storm_of_one_tenant_is_slowed_and_another_tenants_reports_are_kept_meanwhile(
    shop: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate = limits.Rate(per_second=1, burst=5)
    monkeypatch.setattr(limits, "TALK", rate)
    shop.write_controls("lab", agents={f"lab-0{number}": Agent(fleets=["web"]) for number in range(4)})
    stormy, calm = [shop.enrol(f"lab-0{number}", tenant="lab") for number in range(4)], shop.enrol("web-01")
    answered: Counter[int] = Counter()

    async def storm(host: Host, port: int) -> None:
        async with Client(host, port) as client:
            for number in range(1, 1000):
                try:
                    await client.report(number)
                    answered[200] += 1
                except RefusedAnswerError as error:
                    answered[error.status] += 1

    async def scenario() -> None:
        async with shop.serving() as port, Client(calm, port) as client:
            storms = [asyncio.create_task(storm(host, port)) for host in stormy]
            await until(lambda: answered[429] > 0)
            for number in range(1, 5):
                assert (await client.report(number, events=[Event(kind="problem", at="x")])).sequence == number
            for one in storms:
                one.cancel()
            await asyncio.gather(*storms, return_exceptions=True)

    began = time.monotonic()
    asyncio.run(scenario())
    assert set(answered) == {200, 429}
    allowed = 4 * (rate.burst + rate.per_second * (time.monotonic() - began + 1))
    assert answered[200] <= allowed
    assert answered[429] <= 4 * (time.monotonic() - began + 1)  # each is held for a second


def test_who_sends_half_a_request_is_cut_off_and_a_body_that_does_not_come_is_not_waited_for(
    shop: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.control.api.guard.HEADER_SECONDS", 0.2)
    monkeypatch.setattr("reconciler.control.api.bodies.BODY_SECONDS", 0.2)
    host = shop.enrol("web-01")

    async def scenario() -> None:
        async with shop.serving() as port:
            for sent in (b"", b"POST /v1/reports HTTP/1.1\r\nHost: x\r\n"):
                reader, writer = await _open(host, port)
                writer.write(sent)
                with pytest.raises((asyncio.IncompleteReadError, OSError)):
                    await reader.readexactly(1)
                writer.transport.abort()
            assert shop.talk.guards.cut["slow"] == 2
            reader, writer = await _open(host, port)
            writer.write(b"POST /v1/reports HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            assert (await reader.readline()).startswith(b"HTTP/1.1 503")
            writer.transport.abort()
            await until(lambda: shop.talk.guards.connections == 0)

    asyncio.run(scenario())


def test_who_is_silent_is_lost_and_back_and_flaps_each_told_once(shop: Site) -> None:
    shop.enrol("web-01")
    shop.known.look()
    now = datetime.now(UTC)

    def at(minutes: float, *, seen: bool = False) -> None:
        instant = now + timedelta(minutes=minutes)
        with shop.registry.begin() as connection:
            if seen:
                beat = heartbeats.Heartbeat(
                    tenant="shop", agent="web-01", incarnation=1, sequence=int(minutes * 10) + 1, version="1", last_seen=instant
                )
                heartbeats.keep(connection, [beat])
            for _ in range(2):  # another copy finds the same
                presence.sweep(connection, shop.known, now=instant)

    at(0, seen=True)
    for minutes in (6, 12, 18, 24):
        at(minutes)
        at(minutes + 0.1, seen=True)
    assert _presence(shop) == ("flapping", ["agent-lost", "agent-back"] * 3 + ["agent-flapping"])
    at(90, seen=True)
    assert _presence(shop)[0] == "online"


def test_members_of_pools_leave_when_their_lease_is_over(shop: Site) -> None:
    now = datetime.now(UTC)
    shop.enrol("runners/a", lease_until=now - timedelta(seconds=1))
    shop.enrol("runners/b", lease_until=now + timedelta(hours=1))
    with shop.registry.begin() as connection:
        assert presence.end_leases(connection, now=now) == 1
        found = {one.agent: one.state for one in rows.listed(connection, rows.Filter(tenants=["shop"])).items}
        (told,) = audit.listed(connection, "shop").items
    assert found == {"runners/a": "decommissioned", "runners/b": "enrolled"}
    assert (told.who, told.action, told.target, told.reason) == ("system", "agents.decommission", "shop/runners/a", "its lease is over")


def _presence(shop: Site) -> tuple[str, list[str]]:
    with shop.registry.read() as connection:
        found = rows.get(connection, "shop", "web-01")
        told = events.listed(connection, events.Filter(tenant="shop", agent="web-01"), newest_first=False).items
    assert found is not None
    return found.presence, [one.kind for one in told]


def _kept_receipts(shop: Site) -> int:
    with shop.registry.read() as connection:
        return len(receipts.listed(connection, receipts.Filter(tenant="shop")).items)


def _carried(author: Host, data: bytes, *, signature: str = "") -> bytes:
    signature = signature or author.signature(report.batch_message(data))
    return codec.canonical(SignedBatch(format=1, certificate=author.chain, batch=base64.b64encode(data).decode(), signature=signature))


async def _for_ever(ask: Callable[[], Awaitable[object]]) -> None:
    while True:
        await ask()


async def _open(host: Host, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, ssl=host.context, server_hostname="localhost")


def test_who_only_waits_is_seen_too_on_either_database(registry: Registry, tmp_path: Path) -> None:
    names = [("shop", f"web-0{number}") for number in range(3)]
    for tenant, agent in names[:2]:
        registry.write(rows.enrol, tenant, agent, by="token:test", now=NOW)
    registry.write(heartbeats.keep, [beat("web-00", sequence=4)])
    registry.write(heartbeats.touch, [(*name, NOW + timedelta(minutes=number)) for number, name in enumerate(names, start=-1)])
    registry.write(heartbeats.touch, [("shop", "web-00", NOW + timedelta(minutes=3))])
    found = {one.agent: (one.last_seen, one.sequence) for one in registry.look(rows.some, names)}
    assert found == {"web-00": (NOW + timedelta(minutes=3), 4), "web-01": (None, 0)}
    known = KnownTenants(LocalStore(tmp_path))
    assert registry.write(presence.sweep, known, now=NOW + timedelta(minutes=4)) == 1
    assert registry.write(presence.sweep, known, now=NOW + timedelta(minutes=30)) == 2
