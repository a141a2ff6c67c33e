"""News that comes while a request is held, reports that get through whatever happens in between, and being let go."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from agent.disk import Disk
from agent.operations.leave import read_left
from agent.protocol import codec
from agent.protocol.enrolment import Refusal
from agent.protocol.report import Batch
from agent.protocol.watching import Leave
from agent.reporting.spool import Spool
from agent.settling.repairs import FREE
from tests.agent_cases import file_state
from tests.joining_cases import Joined, joined

PATIENCE = 60.0


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Joined]:
    """An enrolled host whose fleet has a first release."""
    with joined(tmp_path) as made:
        made.fleet().publish(file_state(a="1"), ["web-01"])
        made.join()
        yield made


@contextmanager
def running(host: Joined, poll: float = 30.0) -> Iterator[None]:
    """Run an agent in a thread until the block ends."""
    agent = host.agent(poll)
    agent._stop.on_signals = _nobody  # type: ignore[method-assign]  # noqa: SLF001 - signals are for main threads
    thread = threading.Thread(target=agent.run, kwargs={"once": False})
    thread.start()
    try:
        yield
    finally:
        host.stop.ask()
        thread.join(PATIENCE)
        host.log = host.said.getvalue()
        assert not thread.is_alive(), host.log


@contextmanager
def _nobody() -> Iterator[None]:
    yield


def until(holds: Callable[[], object], host: Joined) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, host.said.getvalue()
        time.sleep(0.01)


def asked(host: Joined, part: str) -> list[str]:
    return [path for path in host.server.asked(part) if "/repositories/" in path]


def test_a_release_comes_by_the_watch_and_only_what_it_lacks_is_fetched(host: Joined) -> None:
    with running(host):
        until(lambda: host.server.watched and host.server.watched[-1].wait > 0, host)
        assert host.text("/etc/app/a") == "1"
        host.server.requests.clear()
        host.fleet().publish(file_state(a="2"), ["web-01"])
        host.server.stir()
        until(lambda: host.text("/etc/app/a") == "2", host)
    assert asked(host, "/metadata/") == []
    assert [path.split("/targets/")[1].split("/")[0] for path in asked(host, "/targets/")] == ["bundles"]


def test_a_poll_without_news_asks_for_nothing_but_the_watch(host: Joined) -> None:
    host.poll()
    host.server.requests.clear()
    host.poll()
    assert asked(host, "/repositories/") == [path for path in asked(host, "/repositories/") if "/targets/" in path] == []


def test_what_a_watch_brings_is_verified_like_anything_else(host: Joined) -> None:
    host.poll()
    host.fleet().publish(file_state(a="2"), ["web-01"])
    name = f"{host.fleet().prefix}/metadata/{host.fleet().version}.snapshot.json"
    host.server.files[name] = host.server.files[name].replace(b'"version":1', b'"version":9')
    assert host.poll() == 1
    assert host.status()["result"] == "refused"
    assert host.text("/etc/app/a") == "1"


def test_roots_that_were_missed_are_fetched(host: Joined) -> None:
    host.poll()
    host.tenant.rotate()
    host.tenant.rotate()
    host.fleet().publish(file_state(a="2"), ["web-01"])
    assert host.poll() == 0, host.log
    assert host.text("/etc/app/a") == "2"


def test_a_server_without_a_watch_is_asked_as_ever(host: Joined) -> None:
    host.server.refusals["/v1/watch"] = 404, Refusal(code="unknown", error="there is no such thing")
    assert host.poll() == 0, host.log
    assert host.text("/etc/app/a") == "1"
    assert asked(host, "timestamp.json")


def test_a_host_in_no_fleet_is_told_so_by_status(host: Joined) -> None:
    host.server.hints["shop/web-01"] = []
    assert host.poll() == 0, host.log
    assert "in no fleet that released anything yet; if it should be in one, look at its labels in git" in host.ask("status").stdout


@pytest.mark.parametrize("code", ["revoked", "quarantined"])
def test_a_host_that_is_held_back_keeps_what_runs_and_says_so(host: Joined, code: str) -> None:
    host.poll()
    host.fleet().publish(file_state(a="2"), ["web-01"])
    host.server.refusals["/v1/watch"] = 403, Refusal(code=code, error="an operator said so")
    (host.root / "etc/app/a").write_text("changed by hand")
    assert host.poll() == 1
    assert host.text("/etc/app/a") == "1"
    assert any(code in problem for problem in host.answer("status")["problems"])
    told = host.ask("status").stdout
    assert "nothing new is started" in told
    assert "new things are started until" not in told


def test_a_host_hears_at_once_that_it_is_held_back_and_that_it_is_let_go(host: Joined) -> None:
    with running(host, poll=3600):
        until(lambda: host.server.watched and host.server.watched[-1].wait > 0, host)
        host.server.retry_after["/v1/watch"] = 1
        host.server.refusals["/v1/watch"] = 403, Refusal(code="quarantined", error="an operator said so")
        host.server.stir()
        until(lambda: "quarantined" in str(host.answer("status")["problems"]), host)
        del host.server.refusals["/v1/watch"]
        until(lambda: host.answer("status")["problems"] == [], host)


def test_an_overloaded_server_is_left_alone_for_as_long_as_it_asks_for(host: Joined) -> None:
    host.poll()
    host.server.refusals["/v1/watch"] = 429, Refusal(code="slow-down", error="too many")
    host.server.retry_after["/v1/watch"] = 3600
    before = len(host.server.asked("/v1/watch"))
    with running(host, poll=0.2):
        (host.root / "etc/app/a").write_text("changed by hand")
        until(lambda: host.text("/etc/app/a") == "1", host)
        time.sleep(0.5)
    assert len(host.server.asked("/v1/watch")) == before + 1


def test_asked_to_end_an_agent_does_not_wait_for_the_answer(host: Joined) -> None:
    with running(host):
        until(lambda: host.server.watched and host.server.watched[-1].wait > 0, host)
        began = time.monotonic()
    assert time.monotonic() - began < 20


# Reports


def test_receipts_statuses_and_facts_are_told_once(host: Joined) -> None:
    host.poll()
    (batch,) = host.server.batches
    assert batch.whole
    assert [one.receipt.result for one in batch.receipts] == ["applied"]
    assert [(one.fleet, one.result, one.generation) for one in batch.statuses] == [("web", "applied", 1)]
    assert batch.facts is not None
    assert Spool(disk=Disk(root=host.state)).read().receipts == []


def test_a_heartbeat_is_small(host: Joined) -> None:
    host.server.every = 1
    with running(host):
        until(lambda: len(host.server.batches) > 2, host)
    beat = host.server.batches[-1]
    assert beat == Batch(format=1, sequence=beat.sequence, sent_at=beat.sent_at, version=beat.version)
    assert len(codec.canonical(beat)) < 100


def test_a_report_whose_answer_got_lost_is_sent_again_and_kept_once(host: Joined, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.fetching.backoff.FIRST", 0.1)
    host.server.lose_answers = 2
    with running(host):
        until(lambda: host.server.lose_answers == 0 and not Spool(disk=Disk(root=host.state)).read().receipts, host)
    assert [batch.sequence for batch in host.server.batches] == sorted({batch.sequence for batch in host.server.batches})
    assert sum(len(batch.receipts) for batch in host.server.batches) == 1


@pytest.mark.parametrize("place", ["spool:after-record", "spool:before-settle"])
def test_no_receipt_is_lost_when_the_agent_is_killed(host: Joined, place: str) -> None:
    assert host.run(fault=place).returncode == -9
    assert host.poll() == 0, host.log
    assert {one.receipt.digest for batch in host.server.batches for one in batch.receipts} == {host.fleet().digest}


def test_a_server_that_knows_a_higher_number_is_told_all_anew_above_it(host: Joined) -> None:
    host.server.kept = 40
    host.poll()
    (batch,) = host.server.batches
    assert (batch.sequence, batch.whole, len(batch.receipts)) == (41, True, 1)


def test_outside_its_window_a_host_sends_heartbeats_only(host: Joined) -> None:
    host.server.brief = True
    host.poll()
    (batch,) = host.server.batches
    assert batch == Batch(format=1, sequence=1, sent_at=batch.sent_at, version=batch.version)
    host.server.brief = False
    host.poll()
    assert host.server.batches[-1].receipts


def test_drift_is_told_and_that_it_was_put_right(host: Joined) -> None:
    host.poll()
    (host.root / "etc/app/a").write_text("changed by hand")
    host.poll()
    events = [event for batch in host.server.batches for event in batch.events]
    assert [(event.kind, event.fleet, event.path) for event in events] == [("drift", "web", "/etc/app/a"), ("repaired", "web", "")]
    told = events[0].drift
    assert told is not None
    assert (told.differs, told.expected, told.owner) == (["content"], sha256(b"1").hexdigest(), os.geteuid())
    assert told.actual == sha256(b"changed by hand").hexdigest()
    assert told.since >= told.changed > ""


def test_an_editor_war_is_told_and_not_fought_for_ever(host: Joined) -> None:
    host.poll()
    agent = host.agent()
    for round_ in range(FREE + 2):
        (host.root / "etc/app/a").write_text(f"changed by hand {round_}")
        assert agent.poll() == 0
    assert host.text("/etc/app/a") == f"changed by hand {FREE + 1}"
    assert [(one["path"], one["contested"]) for one in host.status()["drift"]] == [("/etc/app/a", True)]
    assert host.status()["result"] == "applied"
    events = [event.kind for event in Spool(disk=Disk(root=host.state)).read().events]
    assert (events.count("repaired"), events.count("contested")) == (FREE, 1)
    assert "put right too often" in host.ask("status").stdout


def test_a_certificate_is_renewed_under_way_and_reports_go_on(tmp_path: Path) -> None:
    with joined(tmp_path) as host:
        host.fleet().publish(file_state(a="1"), ["web-01"])
        host.server.clock_apart = timedelta(hours=-20)  # more than half of its life is over
        host.server.every = 1
        host.join()
        host.server.clock_apart = timedelta()
        with running(host, poll=1.0):
            until(lambda: host.server.asked("/v1/certificates") and len(host.server.batches) > 2, host)
        assert "unrenewed" not in host.log


def test_whoever_was_refused_for_a_certificate_that_was_over_goes_on_at_once_with_the_next(tmp_path: Path) -> None:
    with joined(tmp_path) as host:
        host.server.over = {host.join().fingerprint}
        with running(host, poll=1.0):
            until(lambda: host.server.asked("/v1/certificates/lapsed") and host.server.watched, host)


# Being let go


def test_a_host_that_is_let_go_keeps_everything_and_its_agent_ends(host: Joined) -> None:
    host.poll()
    host.server.leave = Leave(what="keep", reason="sold")
    assert host.poll() == 0
    assert host.text("/etc/app/a") == "1"
    assert f"let go at {host.answer('status')['left']['at']}: sold" in host.ask("status").stdout
    left = read_left(Disk(root=host.state))
    assert left is not None
    assert (left.done, left.why) == ("kept", "sold")
    asked_before = len(host.server.requests)
    assert host.poll() == 0
    assert len(host.server.requests) == asked_before
    assert "ordain-agent enroll" in host.log


@pytest.mark.parametrize(("allowed", "files"), [(True, {}), (False, {"/etc/app/a": "1"})])
def test_what_releases_brought_is_removed_only_where_the_owner_allows_it(host: Joined, files: dict[str, str], *, allowed: bool) -> None:
    host.poll()
    host.config.parent.mkdir(parents=True, exist_ok=True)
    host.config.write_text(f"[leave]\nremove = {str(allowed).lower()}\n")
    host.server.leave = Leave(what="remove", reason="sold")
    assert host.poll() == 0, host.log
    assert host.files() == files
    left = read_left(Disk(root=host.state))
    assert left is not None
    assert left.done == ("removed" if allowed else "kept")


def test_whoever_enrols_again_is_managed_again(host: Joined) -> None:
    host.server.leave = Leave(what="keep", reason="sold")
    host.poll()
    host.server.leave = None
    host.server.tokens["2"], host.server.keys = host.server.tokens["1"], []
    assert host.enroll("--token", host.server.token("2")).returncode == 0
    assert host.poll() == 0, host.log
    assert host.text("/etc/app/a") == "1"
