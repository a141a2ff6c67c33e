"""A relay: what it answers and to whom, what it keeps and for how long, and what whoever stole one could do with it."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from agent.protocol import codec, report
from agent.protocol.enrolment import RenewalRequest
from agent.protocol.report import Acknowledged, FleetReport, SignedBatch
from agent.protocol.rollout import Release, RolloutDocument
from reconciler.control.authority import certificates
from reconciler.control.authority.listening import load_chain
from reconciler.control.identity.agents import Asker
from reconciler.control.refusal import Denied
from reconciler.control.registry import events, receipts
from reconciler.publication import controls, layout
from reconciler.relay import forwarding, shown
from reconciler.relay.relaying import Relay
from tests.authority_cases import certify_next
from tests.publication_cases import bundle_of
from tests.relay_cases import ADDRESS, AGENTS, WATCH, AtRelay, Uplink, free_port, lapsed_host, relaying, uplink, write_identity
from tests.talk_cases import Host, RefusedAnswerError, batch, receipt, site, until
from tests.thief_cases import Thief
from tests.zone_cases import csr


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An uplink that has one release of fleet web, and the identity of the relay's host."""

    up: Uplink
    directory: Path
    identity: Path
    port: int

    def host(self, agent: str = "web-01", tenant: str = "shop") -> Host:
        """Return an enrolled host."""
        return self.up.enrol(agent, tenant=tenant)

    @asynccontextmanager
    async def relay(self, *, spool: int = 2**20) -> AsyncIterator[tuple[Relay, int]]:
        """Run the relay on its one state directory."""
        async with relaying(self.directory / "relay", self.identity, self.port, spool=spool) as found:
            yield found

    @asynccontextmanager
    async def whole(self) -> AsyncIterator[tuple[Relay, int]]:
        """Run both, and wait until the release is copied."""
        async with self.up.up(self.port), self.relay() as (relay, port):
            await until(lambda: relay.carried.version("web") > 0)
            yield relay, port

    def receipts(self) -> list[int]:
        """Return the serials of the receipts that the uplink keeps."""
        with self.up.registry.read() as connection:
            return [one.signed.receipt.serial for one in receipts.listed(connection, receipts.Filter(tenant="shop")).items]


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    monkeypatch.setattr(shown, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(forwarding, "FIRST_SECONDS", 0.05)
    with site(tmp_path) as made:
        up = uplink(made)
        made.zones["shop"].approve("one")
        made.zones["shop"].publish()
        identity = write_identity(tmp_path / "identity", made.enrol("site-01"), made)
        yield Case(up=up, directory=tmp_path, identity=identity, port=free_port())


def carried(host: Host, number: int, *, by: Host | None = None, **said: object) -> bytes:
    """Return a batch that a host signed, or for which it shows its certificate and another one signed."""
    data = codec.canonical(batch(number, **said))
    signature = (by or host).signature(report.batch_message(data))
    return codec.canonical(SignedBatch(format=1, certificate=host.chain, batch=base64.b64encode(data).decode(), signature=signature))


def test_hosts_of_its_fleets_read_and_others_learn_nothing(case: Case) -> None:
    mine, other, stranger = case.host("web-01"), case.host("db-01"), case.host("lab-01", "lab")
    timestamp = "/v1/repositories/shop/web/metadata/timestamp.json"

    async def scenario() -> None:
        async with case.whole() as (relay, port):
            async with AtRelay(mine, port) as client:
                told = await client.watch()
                assert (told.carried, told.fleets, list(told.parts)) == (True, ["web"], ["web"])
                stored = relay.store.get(layout.metadata("shop", "web", "timestamp.json"))
                assert await client.get(timestamp) == (200, stored)
                assert await client.get("/v1/agents/shop/web-01/fleets") == (200, b'{"fleets":["web"]}')
                assert (await client.get("/v1/agents/shop/web-02/fleets"))[0] == 404
                assert await client.status("/v1/certificates", b"{}") == (401, "unauthenticated")
            async with AtRelay(other, port) as client:
                assert (await client.get(timestamp))[0] == 404
                assert await client.status("/v1/watch", WATCH) == (404, "unknown")
            async with AtRelay(stranger, port) as client:
                assert (await client.get(timestamp))[0] == 401
                assert await client.status("/v1/reports", carried(stranger, 1)) == (401, "unauthenticated")
            nobody = ssl.create_default_context(cadata=case.up.keeper.authority())
            async with (
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=nobody)) as session,
                session.get(f"https://{ADDRESS}:{port}{timestamp}") as answered,
            ):
                assert answered.status == 401

    asyncio.run(scenario())


def test_news_reach_hosts_that_wait_at_the_relay(case: Case) -> None:
    host = case.host()

    async def scenario() -> None:
        async with case.whole() as (_, port), AtRelay(host, port) as client:
            known = await client.watch()
            waiting = asyncio.create_task(client.watch(wait=55, versions={"web": 1}, fleets=known.fleets))
            case.up.zones["shop"].approve("two")
            case.up.zones["shop"].publish()
            assert list((await waiting).parts) == ["web"]

    asyncio.run(scenario())


def test_reports_wait_for_the_uplink_over_a_restart_and_are_kept_once(case: Case) -> None:
    hosts = [case.host("web-01"), case.host("web-02")]

    async def scenario() -> None:
        async with case.whole():
            pass
        async with case.relay() as (relay, port):
            assert relay.carried.version("web") > 0  # from its own copy, with nobody to ask
            for host in hosts:
                async with AtRelay(host, port) as client:
                    said = {number: host.signed(receipt(host.agent, serial=number, digest=f"{number:064x}")) for number in (1, 2)}
                    for number in (1, 2, 2):  # the second one's answer was lost
                        answered = await client.post("/v1/reports", carried(host, number, receipts=[said[number]]))
                        told = codec.decode(answered, Acknowledged, what="")
                        assert told.sequence == number
                    assert await client.status("/v1/certificates/lapsed", b"{}") == (503, "unavailable")
            assert relay.spool.size > 0
        assert case.receipts() == []
        async with case.up.up(case.port), case.relay() as (relay, _):
            await until(lambda: relay.spool.size == 0)
            assert relay.forwarding.counts == {"kept": 6}
        assert sorted(case.receipts()) == [1, 1, 2, 2]
        with case.up.registry.read() as connection:
            assert not events.listed(connection, events.Filter(tenant="shop", kind="reports-missing")).items

    asyncio.run(scenario())


def test_only_what_a_host_signed_itself_is_kept_for_it(case: Case) -> None:
    mine, other = case.host("web-01"), case.host("web-02")

    async def scenario() -> None:
        async with case.whole() as (relay, port), AtRelay(mine, port) as client:
            assert await client.status("/v1/reports", codec.canonical(batch(1))) == (503, "unavailable")
            assert await client.status("/v1/reports", carried(mine, 1, by=other)) == (403, "refused")
            assert await client.status("/v1/reports", carried(other, 1)) == (403, "refused")
            assert await client.status("/v1/reports", carried(case.host("lab-01", "lab"), 1)) == (401, "unauthenticated")
            assert (relay.spool.count, relay.forwarding.counts) == (0, {})

    asyncio.run(scenario())


def test_a_spool_that_is_full_pushes_back(case: Case) -> None:
    host = case.host()

    async def scenario() -> None:
        async with case.whole():
            pass
        one = carried(host, 1, statuses=[FleetReport(fleet="web", result="applied")])
        async with case.relay(spool=int(len(one) * 1.5)) as (_, port), AtRelay(host, port) as client:
            first = codec.decode(await client.post("/v1/reports", one), Acknowledged, what="")
            assert (first.sequence, first.brief, first.every) == (1, True, 600)
            await client.post("/v1/reports", carried(host, 2))
            with pytest.raises(RefusedAnswerError) as refused:
                await client.post("/v1/reports", carried(host, 3))
            assert (refused.value.status, refused.value.headers["Retry-After"]) == (503, "60")

    asyncio.run(scenario())


def test_what_the_uplink_says_to_a_host_it_hears_at_the_next_occasion(case: Case) -> None:
    host = case.host()

    async def scenario() -> None:
        async with case.whole() as (relay, port), AtRelay(host, port) as client:
            await client.post("/v1/reports", carried(host, 7))  # six before it never came: the uplink asks for everything
            await until(lambda: relay.forwarding.counts["kept"] == 1)
            assert (await client.watch(wait=55, versions={"web": 1}, fleets=["web"])).report
            await client.post("/v1/reports", carried(host, 3))  # the host lost count
            await until(lambda: relay.forwarding.counts["kept"] == 2)
            told = codec.decode(await client.post("/v1/reports", carried(host, 4)), Acknowledged, what="")
            assert told.sequence == 7

    asyncio.run(scenario())


def test_a_relay_that_lost_its_manifest_keeps_what_it_has_and_brings_it_later(case: Case) -> None:
    host = case.host()

    async def scenario() -> None:
        async with case.whole() as (relay, port), AtRelay(host, port) as client:
            case.up.write_controls(agents={**AGENTS, "site-01": controls.Agent()})
            await until(lambda: not case.up.known.carried("shop", "site-01"))
            await client.post("/v1/reports", carried(host, 1, receipts=[host.signed(receipt())]))
            await until(lambda: "404" in relay.forwarding.why)
            await until(lambda: relay.carried.version("web") == 0)
            case.up.write_controls(agents=AGENTS)
            await until(lambda: relay.spool.size == 0 and relay.carried.version("web") == 1)
            assert case.receipts() == [1]

    asyncio.run(scenario())


def test_hosts_whose_certificate_ran_out_while_nobody_could_renew_it_are_still_answered(case: Case) -> None:
    lapsed = lapsed_host(case.up, "web-01", ended=timedelta(days=1))
    long_gone = lapsed_host(case.up, "web-02", ended=shown.GRACE + timedelta(days=1))

    async def scenario() -> None:
        async with case.whole() as (_, port):
            async with AtRelay(lapsed, port) as client:
                assert (await client.watch()).fleets == ["web"]
            async with AtRelay(long_gone, port) as client:
                assert await client.status("/v1/watch", WATCH) == (401, "unauthenticated")

    asyncio.run(scenario())


def test_the_agents_renewal_is_followed(case: Case) -> None:
    async def scenario() -> None:
        async with case.whole() as (relay, _):
            write_identity(case.identity, case.up.enrol("site-01"), case.up, number=2)
            await until(lambda: relay.uplink.identity.number == "2")
            before = relay.carried.version("web")
            case.up.zones["shop"].approve("two")
            case.up.zones["shop"].publish()
            await until(lambda: relay.carried.version("web") > before)

    asyncio.run(scenario())


def test_another_authority_is_heard_of_before_hosts_come_by_it(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    for pause in ("AGAIN", "AUTHORITY_EVERY"):
        monkeypatch.setattr(shown, pause, 0.05)

    async def scenario() -> None:
        async with case.whole() as (relay, _):
            before = relay.shown.roots()
            certify_next(case.directory / "keys", case.up.zones["shop"].store)
            case.up.keeper.look()
            assert case.up.keeper.authority() != before
            await until(lambda: relay.shown.roots() == case.up.keeper.authority())

    asyncio.run(scenario())


def test_names_are_asked_for_anew_at_each_start(case: Case) -> None:
    kept = case.directory / "relay" / "shown.json"

    async def scenario() -> None:
        async with case.whole():
            before = kept.read_bytes()
        async with case.whole():
            await until(lambda: kept.read_bytes() != before)

    asyncio.run(scenario())


@pytest.mark.parametrize(("after", "renewed"), [(shown.RENEW_AFTER, False), (timedelta(seconds=0.5), True)])
def test_what_hosts_see_is_renewed_once_it_is_old_and_not_before(
    case: Case, monkeypatch: pytest.MonkeyPatch, after: timedelta, *, renewed: bool
) -> None:
    monkeypatch.setattr(shown, "AGAIN", 0.05)
    monkeypatch.setattr(shown, "RENEW_AFTER", after)
    kept = case.directory / "relay" / "shown.json"

    async def scenario() -> None:
        async with case.whole():
            before = kept.read_bytes()
            await asyncio.sleep(2.0)
            assert (kept.read_bytes() != before) is renewed

    asyncio.run(scenario())


def test_a_copy_that_was_damaged_on_the_disk_is_not_served(case: Case) -> None:
    host = case.host()

    async def scenario() -> None:
        async with case.whole() as (relay, _):
            (bundle,) = relay.store.list("public/shop/web/targets/members/")
        (case.directory / "relay" / "store" / bundle).write_bytes(b"{}")
        async with case.up.up(case.port), case.relay() as (relay, port), AtRelay(host, port) as client:
            await until(lambda: "is damaged" in "".join(one.why for one in relay.copies.failures.values()))
            assert await client.status("/v1/watch", WATCH) == (503, "unavailable")

    asyncio.run(scenario())


def test_what_a_thief_of_the_servers_keys_makes_up_is_not_served(case: Case) -> None:
    zone, evil = case.up.zones["shop"], bundle_of("evil")[1]
    release = Release(digest=evil, members=1)
    document = RolloutDocument(
        format=1, fleet="shop/web", serial=2, epoch=1, attempt=1, stable=release, candidate=None, not_before="2026-01-01T00:00:00Z"
    )

    async def scenario() -> None:
        async with case.whole() as (relay, _):
            key = layout.metadata("shop", "web", "timestamp.json")
            kept = relay.store.get(key)
            Thief(zone=zone).publish(document, number=2)
            await until(lambda: relay.copies.counts["failed"] > 0)
            assert relay.store.get(key) == kept

    asyncio.run(scenario())


def test_no_relay_gets_a_name_that_is_the_servers_or_another_ones(case: Case) -> None:
    others = controls.Agent(relay=["bench"], relay_names=["relay.lab.example.com"], fleets=["bench"])
    case.up.write_controls("lab", agents={"lab-01": others})
    host = case.up.enrol("site-01")
    name, ends = certificates.agent_name(host.certificate), host.certificate.not_valid_after_utc
    asker, asked = (
        Asker(name=name, fingerprint=host.fingerprint, not_before=ends - timedelta(days=1), not_after=ends),
        RenewalRequest(format=1, request=csr(host.key)),
    )
    for taken in ("127.0.0.1", "localhost", "serve.example.com", "relay.lab.example.com", ""):
        case.up.write_controls(agents={"site-01": controls.Agent(relay=["web"], relay_names=[taken] if taken else [])})
        case.up.known.look()
        with pytest.raises(Denied, match=taken or "is no relay"):
            asyncio.run(case.up.relays().issue(asker, asked))


def test_what_a_relay_shows_to_hosts_opens_nothing_at_the_server(case: Case) -> None:
    async def scenario() -> None:
        async with case.whole() as (relay, _):
            context = ssl.create_default_context(cadata=case.up.keeper.authority())
            said = json.loads((case.directory / "relay" / "shown.json").read_bytes())
            load_chain(context, (said["issued"]["certificate"] + said["key"]).encode())
            connector = aiohttp.TCPConnector(ssl=context)
            async with aiohttp.ClientSession(f"https://127.0.0.1:{case.port}", connector=connector) as session:
                with pytest.raises(aiohttp.ClientError):  # a server's certificate proves no client
                    await session.post("/v1/watch", data=WATCH)
            assert relay.shown.ends is not None

    asyncio.run(scenario())
