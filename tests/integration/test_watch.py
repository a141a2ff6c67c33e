"""Agents wait for news over mutual TLS, and get it: bytes that are shared, fleets of their own, and an end where they may not wait."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.protocol import codec, watching
from agent.protocol.watching import WatchRequest
from reconciler.control.registry import agents as rows
from reconciler.publication.controls import Agent
from tests.talk_cases import Client, RefusedAnswerError, Site, site, until

PATIENCE = 60


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Site]:
    """A site whose tenant shop has the fleets web and db, with web-01 in both and web-02 in web."""
    with site(tmp_path) as made:
        made.write_controls(agents={"web-01": Agent(fleets=["web", "db"]), "web-02": Agent(fleets=["web"])})
        made.write_controls("lab", agents={"lab-01": Agent(fleets=["web"])})
        for tenant in ("shop", "lab"):
            made.zones[tenant].approve("one")
            made.zones[tenant].publish()
        yield made


def test_an_answer_holds_all_files_of_the_fleets_that_are_newer_as_they_stand_published(shop: Site) -> None:
    host, store = shop.enrol("web-01"), shop.zones["shop"].store

    async def scenario() -> None:
        async with shop.serving() as port, Client(host, port) as client:
            answer = await client.watch()
            assert answer.fleets == ["db", "web"]
            assert list(answer.parts) == ["web"]  # nothing of db is published
            for name, text in answer.parts["web"].items():
                assert store.get(f"public/shop/web/{name}") == text.encode()
            roles = sorted(name.split(".")[-2].rpartition("/")[2] for name in answer.parts["web"] if name.startswith("metadata/"))
            assert roles == ["releases", "rollouts", "root", "snapshot", "targets", "timestamp"]
            assert sum(name.startswith("targets/rollouts/") for name in answer.parts["web"]) == 1

    asyncio.run(scenario())


def test_who_waits_is_woken_by_a_publication_of_its_fleet_and_by_no_other(shop: Site) -> None:
    first, second = shop.enrol("web-01"), shop.enrol("web-02")

    async def scenario() -> None:
        async with shop.serving() as port, Client(first, port) as one, Client(second, port) as two:
            version = _version((await one.watch()).parts["web"])
            waiting = [
                asyncio.create_task(client.watch(wait=50, versions={"web": version}, fleets=fleets))
                for client, fleets in ((one, ["db", "web"]), (two, ["web"]))
            ]
            await until(lambda: shop.talk.waiting.waiting == 2)
            shop.zones["shop"].approve("db", fleet="db")
            shop.zones["shop"].publish(fleet="db")
            shop.talk.waiting.published("shop", "db")
            async with asyncio.timeout(PATIENCE):
                assert list((await waiting[0]).parts) == ["db"]
            assert shop.talk.waiting.waiting == 1
            shop.zones["shop"].approve("two")
            shop.zones["shop"].publish()
            async with asyncio.timeout(PATIENCE):  # nobody says so: as if another process had published, it is found by looking
                assert _version((await waiting[1]).parts["web"]) > version

    asyncio.run(scenario())


def test_all_are_told_before_any_is_heard_again(shop: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.control.watch.waiting.GROUP", 1)
    waiting, order = shop.talk.waiting, []

    async def agent(number: int, version: int) -> None:
        await waiting.wait(("shop", f"host-{number}"), {"web": version}, ["web"], PATIENCE)
        order.append("told")
        await waiting.all_told()
        order.append("heard")

    async def scenario() -> None:
        async with shop.serving() as port, Client(shop.enrol("web-01"), port) as client:
            version = _version((await client.watch()).parts["web"])
            agents = [asyncio.create_task(agent(number, version)) for number in range(5)]
            asking = asyncio.create_task(client.watch(wait=50, versions={"web": version}, fleets=["db", "web"]))
            await until(lambda: waiting.waiting == 6)
            shop.zones["shop"].approve("two")
            shop.zones["shop"].publish()
            waiting.published("shop", "web")
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*agents)
                assert _version((await asking).parts["web"]) > version
                assert (await client.watch(versions={"web": version + 1}, fleets=["db", "web"])).parts == {}  # on the same connection
            assert not waiting.telling

    asyncio.run(scenario())
    assert order == ["told"] * 5 + ["heard"] * 5


def test_an_agent_is_told_of_its_own_fleets_only_and_reads_no_others(shop: Site) -> None:
    host = shop.enrol("web-02")

    async def scenario() -> None:
        async with shop.serving() as port, Client(host, port) as client:
            assert (await client.watch(fleets=["db", "web"], versions={"db": 0})).fleets == ["web"]
            found = {}
            for path in ("shop/web", "shop/db", "lab/web"):
                async with client.session.get(f"/v1/repositories/{path}/metadata/timestamp.json") as response:
                    found[path] = response.status
            assert found == {"shop/web": 200, "shop/db": 404, "lab/web": 404}

    asyncio.run(scenario())


def test_other_fleets_in_controls_end_a_wait(shop: Site) -> None:
    host = shop.enrol("web-02")

    async def scenario() -> None:
        async with shop.serving() as port, Client(host, port) as client:
            version = _version((await client.watch()).parts["web"])
            waiting = asyncio.create_task(client.watch(wait=50, versions={"web": version}, fleets=["web"]))
            await until(lambda: shop.talk.waiting.waiting == 1)
            shop.write_controls(agents={"web-01": Agent(fleets=["web", "db"]), "web-02": Agent(fleets=["web", "db"])})
            async with asyncio.timeout(PATIENCE):
                assert (await waiting).fleets == ["db", "web"]

    asyncio.run(scenario())


def test_one_that_is_revoked_while_it_waits_is_refused_at_once(shop: Site) -> None:
    host = shop.enrol("web-02")

    async def scenario() -> None:
        async with shop.serving() as port, Client(host, port) as client:
            version = _version((await client.watch()).parts["web"])
            waiting = asyncio.create_task(client.watch(wait=50, versions={"web": version}, fleets=["web"]))
            await until(lambda: shop.talk.waiting.waiting == 1)
            began = time.monotonic()
            shop.standing.revoke(host.fingerprint)
            with pytest.raises(RefusedAnswerError) as refused:
                await waiting
            assert (refused.value.status, json.loads(refused.value.body)["code"]) == (403, "revoked")
            assert time.monotonic() - began < 40  # the wait would have lasted 49 s at least

    asyncio.run(scenario())


def test_one_that_is_decommissioned_is_told_what_to_do_with_what_it_manages(shop: Site) -> None:
    host = shop.enrol("web-02")

    async def scenario() -> None:
        async with shop.serving() as port, Client(host, port) as client:
            version = _version((await client.watch()).parts["web"])
            waiting = asyncio.create_task(client.watch(wait=50, versions={"web": version}, fleets=["web"]))
            await until(lambda: shop.talk.waiting.waiting == 1)
            with shop.registry.begin() as connection:
                rows.set_state(
                    connection,
                    "shop",
                    "web-02",
                    "decommissioned",
                    by="test",
                    reason="sold",
                    now=host.certificate.not_valid_before_utc,
                    leave="remove",
                )
            shop.standing.hold(("shop", "web-02"), "decommissioned")
            for answer in (await waiting, await client.watch()):
                assert answer.leave == watching.Leave(what="remove", reason="sold")
                assert not answer.fleets
                assert not answer.parts

    asyncio.run(scenario())


def test_a_second_request_of_an_agent_ends_the_first(shop: Site) -> None:
    host = shop.enrol("web-02")

    async def scenario() -> None:
        async with shop.serving() as port, Client(host, port) as old, Client(host, port) as new:
            version = _version((await old.watch()).parts["web"])
            first = asyncio.create_task(old.watch(wait=50, versions={"web": version}, fleets=["web"]))
            await until(lambda: shop.talk.waiting.waiting == 1)
            second = asyncio.create_task(new.watch(wait=50, versions={"web": version}, fleets=["web"]))
            async with asyncio.timeout(PATIENCE):
                assert not (await first).parts
            assert shop.talk.waiting.waiting == 1
            shop.talk.waiting.release()  # as a process does that stops
            async with asyncio.timeout(PATIENCE):
                assert not (await second).parts

    asyncio.run(scenario())


def test_who_goes_away_is_no_longer_waited_for(shop: Site) -> None:
    host = shop.enrol("web-02")

    async def scenario() -> None:
        async with shop.serving() as port:
            async with Client(host, port) as client:
                version = _version((await client.watch()).parts["web"])
                waiting = asyncio.create_task(client.watch(wait=50, versions={"web": version}, fleets=["web"]))
                await until(lambda: shop.talk.waiting.waiting == 1)
                waiting.cancel()
            await until(lambda: shop.talk.waiting.waiting == 0)

    asyncio.run(scenario())


def test_what_no_agent_sends_is_refused(shop: Site) -> None:
    host = shop.enrol("web-02")
    many = codec.canonical(WatchRequest(format=1, versions={f"f{number}": 1 for number in range(65)}))
    odd = {
        b"{": 400,
        b'{"format":1,"wait":5}\n': 400,
        b'{"format":1,"wait":61}': 400,
        b'{"format":1,"wait":-1}': 400,
        b'{"format":2}': 400,
        b'{"fleets":["../x"],"format":1}': 400,
        b'{"format":1,"more":1}': 400,
        many: 400,
        b"x" * 20_000: 413,
    }

    async def scenario() -> None:
        async with shop.serving() as port, Client(host, port) as client:
            for body, status in odd.items():
                with pytest.raises(RefusedAnswerError) as refused:
                    await client.post("/v1/watch", body)
                assert refused.value.status == status

    asyncio.run(scenario())


def _version(files: dict[str, str]) -> int:
    found: int = json.loads(files["metadata/timestamp.json"])["signed"]["version"]
    return found
