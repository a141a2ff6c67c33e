"""What waits to be told stays within its bound, and receipts are the last to go."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tuf.api.exceptions import DownloadHTTPError

from agent.disk import Disk
from agent.protocol import codec
from agent.protocol.errors import RetryError
from agent.protocol.report import Event, Receipt
from agent.reporting.spool import Spool, Waiting, fitted
from agent.watching.answered import Answered

BASE = "https://ordain.example.com/v1/repositories/shop/web/"


def receipt(number: int = 1, why: str = "") -> Receipt:
    return Receipt(
        format=1,
        fleet="shop/web",
        agent="web-01",
        digest=f"{number:064x}",
        members=1,
        group="all",
        mode=None,
        attempt=1,
        serial=number,
        generation=number,
        result="applied",
        why=why,
        at="2026-11-23T08:00:00Z",
    )


def event(number: int) -> Event:
    return Event(kind="drift", at="2026-11-23T08:00:00Z", fleet="web", path=f"/etc/{number}")


@given(receipts=st.integers(0, 30), events=st.integers(0, 60), limit=st.integers(0, 12_000))
def test_the_oldest_events_go_first_and_receipts_only_when_none_is_left(receipts: int, events: int, limit: int) -> None:
    waiting = Waiting(receipts=[receipt(n) for n in range(receipts)], events=[event(n) for n in range(events)])
    kept = fitted(waiting, limit)
    assert sum(len(codec.canonical(one)) + 1 for one in (*kept.receipts, *kept.events)) <= limit
    assert kept.events == waiting.events[events - len(kept.events) :]
    assert kept.receipts == waiting.receipts[receipts - len(kept.receipts) :]
    assert kept.dropped == receipts + events - len(kept.receipts) - len(kept.events)
    assert not (kept.events and len(kept.receipts) < receipts)


def test_what_happens_while_a_batch_is_under_way_waits_for_the_next(tmp_path: Path) -> None:
    disk = Disk(root=tmp_path)
    disk.joining.mkdir()
    spool = Spool(disk=disk)
    spool.record(receipt(1))
    spool.note("drift", path="/etc/1")
    taken = spool.take()
    spool.record(receipt(2))
    spool.note("drift", path="/etc/2")
    spool.settle(taken)
    left = spool.read()
    assert ([one.serial for one in left.receipts], [one.path for one in left.events]) == ([2], ["/etc/2"])
    assert left.last["shop/web"].serial == 2


def test_a_receipt_that_says_the_same_again_is_none_also_after_it_was_told(tmp_path: Path) -> None:
    spool = Spool(disk=Disk(root=tmp_path))
    spool.record(receipt())
    spool.settle(spool.take())
    spool.record(receipt())
    assert not spool.take()


def test_nothing_is_noted_where_there_is_nobody_to_tell(tmp_path: Path) -> None:
    spool = Spool(disk=Disk(root=tmp_path))
    spool.note("drift", path="/etc/1")
    assert not spool.take()


@given(has=st.integers(1, 50), newest=st.integers(1, 50))
def test_a_root_is_absent_only_where_that_follows_from_the_newest(has: int, newest: int) -> None:
    answered = Answered(base=BASE, files={"metadata/timestamp.json": "{}", f"metadata/{newest}.root.json": "new"})
    url = f"{BASE}metadata/{has + 1}.root.json"
    if newest <= has:
        with pytest.raises(DownloadHTTPError):
            answered.find(url, None)
    else:
        assert answered.find(url, None) == (b"new" if newest == has + 1 else None)


def test_of_a_part_that_was_too_large_all_is_fetched_but_the_timestamp() -> None:
    answered = Answered(base=BASE, files={"metadata/timestamp.json": "{}"})
    assert answered.find(f"{BASE}metadata/timestamp.json", b"old") == b"{}"
    assert answered.find(f"{BASE}metadata/2.root.json", None) is None
    assert answered.find(f"{BASE}metadata/2.snapshot.json", None) is None


def test_of_a_fleet_without_news_the_timestamp_stays_and_nothing_is_asked() -> None:
    answered = Answered(base=BASE)
    assert answered.find(f"{BASE}metadata/timestamp.json", b"old") == b"old"
    with pytest.raises(DownloadHTTPError):
        answered.find(f"{BASE}metadata/2.root.json", None)


def test_of_a_server_that_was_not_heard_nothing_is_asked_either() -> None:
    with pytest.raises(RetryError, match="no route"):
        Answered(base=BASE, away=RetryError("no route")).find(f"{BASE}metadata/timestamp.json", b"old")
