"""What holds for the registry itself, on SQLite and on PostgreSQL: transactions, audit, leases, operators, retention, news."""

import asyncio
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import exc

from agent.protocol.errors import InputError, RefusedError, RetryError
from agent.protocol.report import Event
from reconciler.control.registry import (
    agents,
    audit,
    certificates,
    events,
    leases,
    operators,
    pending,
    receipts,
    retention,
    tokens,
    wakeups,
)
from reconciler.control.registry.batches import write_batches
from reconciler.control.registry.registry import Registry
from reconciler.publication.lease import HeldError, LostError
from tests.registry_cases import DAY, HOUR, NOW, certificate, receipt, received

PATIENCE = 60.0


@contextmanager
def hearing(registry: Registry, *, poll: float = 0.1) -> Iterator["queue.SimpleQueue[tuple[str, str]]"]:
    """Give what is heard, from after the first look at everything."""
    heard: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    with registry.listen(lambda channel, payload: heard.put((channel, payload)), poll=poll):
        assert heard.get(timeout=PATIENCE) == ("", "")
        yield heard


def test_of_two_who_use_a_tokens_last_use_at_once_one_succeeds(registry: Registry) -> None:
    with registry.begin() as connection:
        made, secret = tokens.create(connection, "shop", agent="web-01", uses=3, expires_at=NOW + HOUR, by="x", now=NOW)

    def use(_: int) -> bool:
        try:
            registry.write(tokens.use, made.id, secret, now=NOW)
        except RefusedError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(use, range(8))) == [False] * 5 + [True] * 3


def test_who_reads_can_not_write(registry: Registry) -> None:
    with pytest.raises((RetryError, exc.DBAPIError), match=r"(?i)read.?only"), registry.read() as connection:
        audit.append(connection, "shop", who="x", action="y", at=NOW)


def test_a_transaction_that_raises_leaves_nothing_and_tells_nobody(registry: Registry) -> None:
    def half(connection: object) -> None:
        agents.enrol(connection, "shop", "web-01", by="x", now=NOW)  # type: ignore[arg-type]
        raise InputError("no")

    with hearing(registry) as heard:
        with pytest.raises(InputError):
            registry.write(half)
        registry.write(agents.enrol, "shop", "web-02", by="x", now=NOW)
        assert heard.get(timeout=PATIENCE) == (wakeups.AGENTS, "shop/web-02")
    assert registry.look(agents.get, "shop", "web-01") is None


def test_asyncio_code_runs_transactions_in_threads(registry: Registry) -> None:
    async def both() -> list[str]:
        await asyncio.gather(*(registry.run(agents.enrol, "shop", f"web-{number}", by="x", now=NOW) for number in range(6)))
        page = await registry.ask(agents.listed, agents.Filter(tenants=["shop"]))
        return [one.agent for one in page.items]

    assert asyncio.run(both()) == [f"web-{number}" for number in range(6)]


def test_news_are_heard_once_they_are_committed_also_by_another_process(registry: Registry) -> None:
    other = Registry.open(registry.shown)
    try:
        with hearing(registry) as here, hearing(other) as there:
            with registry.begin() as connection:
                certificates.record(connection, certificate(), how="enrolled", now=NOW)
                certificates.revoke(connection, certificate().fingerprint, why="stolen")
                assert here.empty()
            assert here.get(timeout=PATIENCE) == (wakeups.REVOCATIONS, "shop/web-01")
            # On SQLite another process hears that something happened, not what.
            assert there.get(timeout=PATIENCE) == (("", "") if registry.sqlite else (wakeups.REVOCATIONS, "shop/web-01"))
    finally:
        other.close()


def test_audit_entries_are_chained_however_many_write_at_once(registry: Registry) -> None:
    def write(number: int) -> None:
        registry.write(
            audit.append, "shop", who=f"operator:{number}\0", action="agents.revoke", target="shop/web-01", detail={"n": number}, at=NOW
        )

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(write, range(30)))
    registry.write(audit.append, audit.INSTALLATION, who="system", action="start", at=NOW)
    assert registry.look(audit.verify, "shop") == 30
    assert registry.look(audit.verify, audit.INSTALLATION) == 1
    assert registry.look(audit.verify, "nobody") == 0
    assert registry.look(audit.chains) == ["", "shop"]
    first = registry.look(audit.listed, "shop", limit=20)
    rest = registry.look(audit.listed, "shop", after=first.next)
    assert [one.number for one in first.items + rest.items] == list(range(30, 0, -1))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE audit SET who = 'nobody' WHERE number = 3", "entry 3 is not"),
        ("DELETE FROM audit WHERE number = 3", "entry 3 is not"),
        ("DELETE FROM audit WHERE number = 5", "ends with entry 4 instead of 5"),
        ("UPDATE audit SET number = 9 WHERE number = 5", "entry 5 is not"),
    ],
)
def test_an_audit_chain_shows_what_was_done_to_it(registry: Registry, change: str, said: str) -> None:
    for number in range(5):
        registry.write(audit.append, "shop", who="x", action="y", reason=str(number), at=NOW)
    with registry.begin() as connection:
        connection.exec_driver_sql(change)
    with pytest.raises(RefusedError, match=f"audit chain of shop is broken: .*{said}"):
        registry.look(audit.verify, "shop")


def test_a_chain_that_was_pruned_still_verifies_and_goes_on(registry: Registry) -> None:
    for number in range(6):
        registry.write(audit.append, "shop", who="x", action="y", at=NOW + number * HOUR)
    assert registry.write(audit.prune, chain="shop", before=NOW + 4 * HOUR, limit=3) == 3
    assert registry.write(audit.prune, chain="shop", before=NOW + 4 * HOUR, limit=3) == 1
    assert registry.write(audit.prune, chain="shop", before=NOW, limit=3) == 0
    assert registry.write(audit.append, "shop", who="x", action="y", at=NOW).number == 7
    assert registry.look(audit.verify, "shop") == 3


def test_an_anchor_says_where_each_tenants_chain_stands(registry: Registry) -> None:
    last = registry.write(audit.append, "shop", who="x", action="y", at=NOW)
    assert registry.write(audit.anchor, at=NOW).detail == {"shop": f"1:{last.hash}"}


def test_a_lease_has_one_holder_and_each_acquisition_a_greater_epoch(registry: Registry) -> None:
    long = timedelta(hours=1)
    first = registry.write(leases.acquire, "publish/shop", holder="a", ttl=long, floor=41)
    assert first.epoch == 42
    with pytest.raises(HeldError, match="held by a"):
        registry.write(leases.acquire, "publish/shop", holder="b", ttl=long)
    assert registry.write(leases.renew, first, ttl=long).expires_at > first.expires_at
    again = registry.write(leases.acquire, "publish/shop", holder="a", ttl=long)
    assert again.epoch == 43
    with pytest.raises(LostError):
        registry.write(leases.renew, first, ttl=long)
    registry.write(leases.release, again)
    registry.write(leases.release, again)
    assert registry.write(leases.acquire, "publish/shop", holder="b", ttl=timedelta()).epoch == 44
    assert registry.write(leases.acquire, "publish/shop", holder="c", ttl=long).epoch == 45
    assert registry.look(leases.get, "other") is None


def test_of_many_who_want_a_lease_at_once_one_gets_it(registry: Registry) -> None:
    start = threading.Barrier(6)

    def take(number: int) -> int:
        start.wait()
        try:
            return registry.write(leases.acquire, "x", holder=f"h{number}", ttl=HOUR).epoch
        except HeldError:
            return 0

    with ThreadPoolExecutor(6) as threads:
        assert sorted(threads.map(take, range(6))) == [0, 0, 0, 0, 0, 1]


def test_an_operators_token_counts_until_it_ends_or_they_are_disabled(registry: Registry) -> None:
    with registry.begin() as connection:
        operators.put(connection, "operator:ana", shown="Ana", groups=["group:i#b", "group:i#a"], by="operator:root", now=NOW)
        made, secret = operators.create_token(
            connection, "operator:ana", scope={"tenants": ["shop"]}, shown="ci", expires_at=NOW + DAY, by="operator:root", now=NOW
        )
        other, another = operators.create_token(connection, "operator:ana", kind="session", expires_at=NOW + HOUR, by="x", now=NOW)
    token, owner = registry.look(operators.find, made.id, secret, now=NOW)
    assert (token.scope, token.used_at, owner.groups) == ({"tenants": ["shop"]}, None, ("group:i#a", "group:i#b"))
    registry.write(operators.note_use, token, now=NOW)
    registry.write(operators.note_use, token, now=NOW + timedelta(seconds=1))
    used, _ = registry.look(operators.find, made.id, secret, now=NOW)
    assert used.used_at is not None
    registry.write(operators.note_use, used, now=NOW + timedelta(seconds=2))
    assert {one.id: one.used_at for one in registry.look(operators.tokens, subject="operator:ana").items}[made.id] == NOW + timedelta(
        seconds=1
    )
    for id_, said in ((made.id, another), ("0" * 16, secret)):
        with pytest.raises(RefusedError, match="no operator's token that is known"):
            registry.look(operators.find, id_, said, now=NOW)
    with pytest.raises(RefusedError, match="expired"):
        registry.look(operators.find, made.id, secret, now=NOW + DAY)
    assert registry.write(operators.revoke_token, other.id, now=NOW)
    assert not registry.write(operators.revoke_token, other.id, now=NOW)
    registry.write(operators.disable, "operator:ana", why="left", now=NOW)
    with pytest.raises(RefusedError, match="revoked"):
        registry.look(operators.find, made.id, secret, now=NOW)
    assert registry.write(operators.put, "operator:ana", shown="Ana", by="x", now=NOW).disabled_why == "left"
    with pytest.raises(InputError, match="no operator operator:bob"):
        registry.write(operators.disable, "operator:bob", why="", now=NOW)
    assert [one.subject for one in registry.look(operators.listed).items] == ["operator:ana"]


def test_a_pass_of_retention_forgets_each_kind_by_its_own_time(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    event = Event(kind="drift", at="x")
    with registry.begin() as connection:
        write_batches(connection, [received(f"web-{n}", receipts=[receipt(f"web-{n}")], events=[event]) for n in range(7)])
        tokens.create(connection, "shop", agent="a", expires_at=NOW, by="x", now=NOW)
        operators.create_token(connection, "operator:ana", expires_at=NOW, by="x", now=NOW)
        certificates.record(connection, certificate(), how="enrolled", now=NOW)
        audit.append(connection, "shop", who="x", action="y", at=NOW)
        audit.append(connection, audit.INSTALLATION, who="x", action="y", at=NOW)
        pending.note(connection, "shop", "z", why="", how="", address="", facts={}, now=NOW)
    monkeypatch.setattr(retention, "SLICE", 3)
    own = {"shop": retention.Own(events=timedelta(seconds=1))}
    keep = retention.Keep()
    assert retention.prune(registry, keep, own, now=NOW + DAY / 2).rows["events"] == 0  # a day at least
    first = retention.prune(registry, keep, own, now=NOW + 2 * DAY, slices=2)
    assert (first.rows["events"], first.rows["receipts"], first.left) == (6, 0, True)
    rest = retention.prune(registry, keep, own, now=NOW + 200 * DAY)
    assert rest.rows == {
        "certificates": 1,
        "tokens": 1,
        "operator_tokens": 1,
        "pending": 1,
        "orders": 0,
        "stops": 0,
        "audit": 0,
        "receipts": 0,
        "pool_hosts": 0,
        "events": 1,
    }
    last = retention.prune(registry, keep, own, now=NOW + 2000 * DAY)
    assert (last.rows["receipts"], last.rows["audit"], last.left) == (7, 2, False)
    assert registry.look(receipts.listed, receipts.Filter(tenant="shop")).items == ()
    assert registry.look(events.listed, events.Filter(tenant="shop")).items == ()
