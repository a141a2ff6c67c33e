"""The gate that asks Prometheus: a real one, and one that misbehaves."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from reconciler.control.conduct.prometheus import ASK_EVERY, COUNTS_FOR, Prometheus
from reconciler.control.rollout.gates import Answer
from reconciler.publication.secret_files import SecretFile
from reconciler.rollouts.measured import Metric
from tests import prometheus_server
from tests.conftest import part

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DEADLINE = 60.0


def heard(asked: Prometheus, metric: Metric, now: datetime = NOW, stage: str = "one") -> Answer:
    """Ask, wait until there was an answer, and return what it says then."""
    answered = threading.Event()
    asked.answer(metric, stage, now, heard=answered.set)
    assert answered.wait(DEADLINE)
    return asked.answer(metric, stage, now)


@contextmanager
def asking(address: str, token: SecretFile | None = None) -> Iterator[Prometheus]:
    made = Prometheus(address, token=token)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.needs("prometheus")
def test_a_real_prometheus_answers_and_holds_where_it_knows_nothing(tmp_path: Path) -> None:
    program = part("prometheus")
    assert program is not None
    with prometheus_server.running(program, tmp_path) as address, asking(address) as prometheus:
        assert heard(prometheus, Metric(name="up", query="up", least=Decimal(1))) == Answer(name="up")
        assert heard(prometheus, Metric(name="many", query="count(up) * 5", most=Decimal(4))).bad == "5 is more than 4"
        assert heard(prometheus, Metric(name="one", query="vector(0.25) or up", most=Decimal(2))) == Answer(name="one")
        assert heard(prometheus, Metric(name="number", query="1 + 1", least=Decimal(3))).bad == "2 is less than 3"
        assert "no sample" in heard(prometheus, Metric(name="none", query="absent_metric", most=Decimal(1))).missing
        assert "parse error" in heard(prometheus, Metric(name="wrong", query="sum(", most=Decimal(1))).missing
        assert "answers with matrix" in heard(prometheus, Metric(name="range", query="up[1m]", most=Decimal(1))).missing
        assert "no number" in heard(prometheus, Metric(name="nan", query="0 / 0", most=Decimal(1))).missing


class Stub(BaseHTTPRequestHandler):
    """Answers by path; counts what it was asked, and keeps what it was told."""

    asked = 0
    authorization = ""
    elsewhere = 0

    def do_POST(self) -> None:
        """Answer one question."""
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).asked += 1
        type(self).authorization = self.headers.get("Authorization", "")
        if self.path.startswith("/moved"):
            self.send_response(307)
            self.send_header("Location", "/good/api/v1/query")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = b'{"status":"success","data":{"resultType":"scalar","result":[1,"7"]}}'
        body = b" " * 2_000_000 + body if self.path.startswith("/large") else body
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def stub() -> Iterator[str]:
    Stub.asked, Stub.authorization = 0, ""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


METRIC = Metric(name="m", query="q", most=Decimal(9))


def test_a_question_is_asked_once_in_a_while_and_again_for_another_wave(stub: str) -> None:
    with asking(f"{stub}/good") as prometheus:
        assert heard(prometheus, METRIC) == Answer(name="m")
        for seconds in range(9):
            assert prometheus.answer(METRIC, "one", NOW + timedelta(seconds=seconds)) == Answer(name="m")
        assert Stub.asked == 1
        assert prometheus.answer(METRIC, "two", NOW).missing == "it was just asked"
        assert heard(prometheus, METRIC, NOW + ASK_EVERY) == Answer(name="m")
        _until(lambda: Stub.asked == 3)


def test_an_answer_that_is_old_holds(stub: str) -> None:
    with asking(f"{stub}/good") as prometheus:
        assert heard(prometheus, METRIC) == Answer(name="m")
        assert prometheus.answer(METRIC, "one", NOW + COUNTS_FOR + timedelta(seconds=1)).missing


def test_redirects_are_not_followed_and_a_flood_is_cut_off(stub: str) -> None:
    with asking(f"{stub}/moved") as prometheus:
        assert "status 307" in heard(prometheus, METRIC).missing
    assert Stub.asked == 1
    with asking(f"{stub}/large") as prometheus:
        assert "bytes" in heard(prometheus, METRIC).missing


def test_nobody_at_the_address_is_no_answer(stub: str) -> None:
    with asking("http://127.0.0.1:1") as prometheus:
        assert "does not answer" in heard(prometheus, METRIC).missing
    assert stub


def test_the_token_is_sent_and_one_that_is_gone_holds(stub: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    with asking(f"{stub}/good", SecretFile(name=str(file))) as prometheus:
        assert heard(prometheus, METRIC) == Answer(name="m")
        assert Stub.authorization == "Bearer s3cret"
        file.unlink()
        gone = heard(prometheus, METRIC, NOW + ASK_EVERY)
        assert gone.missing
        assert "s3cret" not in gone.missing


def _until(holds: object) -> None:
    deadline = time.monotonic() + DEADLINE
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)
