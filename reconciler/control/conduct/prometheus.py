"""Asking Prometheus what a strategy's metrics say. A rollout never waits for it: threads ask, and a look takes what was answered last.

What comes back is bounded and read strictly; an answer that is late, empty, an error or no number is none, and so holds the wave.
"""

import math
import ssl
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import msgspec
import urllib3

from agent.protocol.errors import InputError, MalformedError, OrdainError, RetryError
from reconciler.control.rollout.gates import Answer
from reconciler.publication.secret_files import SecretFile
from reconciler.rollouts.measured import Metric

ASK_EVERY = timedelta(seconds=10)
"""Between two questions alike: Prometheus itself looks every 15 s or so."""
COUNTS_FOR = timedelta(seconds=30)
"""An answer that is older says nothing of now: three questions have failed since."""
TIMEOUT = 5.0
"""Seconds for one answer; Prometheus is told to give up by then, too."""
ANSWER_LIMIT = 1_048_576
SAMPLES_LIMIT = 1000
"""Samples of one answer: a query for a gate should answer with one, or one for each host or path."""
ASKING = 4
"""Threads that ask."""
KEPT = 1000
"""Answers that are kept, the newest."""
SAID = 200
"""Characters of what Prometheus says that are shown."""


class _Data(msgspec.Struct):
    result_type: str = msgspec.field(name="resultType", default="")
    result: Any = None


class _Reply(msgspec.Struct):
    """The answer to an instant query, as Prometheus's HTTP API has it; fields that it adds are passed over."""

    status: str
    data: _Data = msgspec.field(default_factory=_Data)
    error: str = ""


@dataclass(slots=True, kw_only=True)
class _Asked:
    """What is known of one question of one stage: `at` is when it was answered, `next` when it is asked again."""

    next: datetime
    answer: Answer | None = None
    at: datetime | None = None
    under_way: bool = False


def _trusting(authority: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authority)
    except OSError as error:
        message = f"[metrics] authority: {authority}: {error}; it should hold certificates (PEM) of authorities"
        raise InputError(message) from error


class Prometheus:
    """One Prometheus, or what speaks like it; `address` is as in `https://prometheus.example.com/prefix`."""

    def __init__(self, address: str, *, token: SecretFile | None = None, authority: str = "") -> None:
        """`token` is sent as a bearer's; `authority` is a file of certificates (PEM) to trust instead of the system's.

        Raises:
            InputError: not an address, or one to which a token would go unprotected; or there are no certificates in the file.
        """
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
            message = f"[metrics] prometheus: {address[:SAID]!r} is no address; write http://127.0.0.1:9090"
            raise InputError(message)
        if token is not None and parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
            message = f"[metrics] prometheus: {address[:SAID]!r} would be sent the token in the clear; use https"
            raise InputError(message)
        self._url = f"{address.rstrip('/')}/api/v1/query"
        self._token = token
        self._pool = urllib3.PoolManager(maxsize=ASKING, retries=False, ssl_context=_trusting(authority) if authority else None)
        self._threads = ThreadPoolExecutor(ASKING, thread_name_prefix="prometheus")
        self._asked: OrderedDict[tuple[str, str], _Asked] = OrderedDict()
        self._lock = threading.Lock()

    def answer(self, metric: Metric, stage: str, now: datetime, *, heard: Callable[[], None] = lambda: None) -> Answer:
        """Return what a metric says now, and see to it that it is asked again in time; never waits.

        `stage` tells apart what an earlier answer says nothing of: another wave, say. `heard` is called once there is an answer.
        """
        key = (stage, metric.query)
        with self._lock:
            asked = self._asked.setdefault(key, _Asked(next=now))
            self._asked.move_to_end(key)
            if len(self._asked) > KEPT:
                self._asked.popitem(last=False)
            if asked.next <= now and not asked.under_way:
                asked.under_way = True
                self._threads.submit(self._ask, metric, asked, now, heard)
            if asked.answer is None or asked.at is None or now - asked.at > COUNTS_FOR:
                return asked.answer if asked.answer and asked.answer.missing else Answer(name=metric.name, missing="it was just asked")
            return asked.answer

    def close(self) -> None:
        """Ask no more, and wait for what is under way."""
        self._threads.shutdown(cancel_futures=True)
        self._pool.clear()

    def _ask(self, metric: Metric, asked: _Asked, now: datetime, heard: Callable[[], None]) -> None:
        try:
            answer = judged(metric, self._samples(metric.query))
        except OrdainError as error:
            answer = Answer(name=metric.name, missing=str(error))
        with self._lock:
            asked.answer, asked.at, asked.under_way = answer, now, False
            asked.next = now + ASK_EVERY
        heard()

    def _samples(self, query: str) -> list[float]:
        headers = {"Authorization": f"Bearer {self._token.read().decode()}"} if self._token else {}
        fields = {"query": query, "timeout": f"{TIMEOUT:g}s"}
        try:
            reply = self._pool.request(
                "POST", self._url, fields=fields, encode_multipart=False, headers=headers,
                timeout=urllib3.Timeout(total=TIMEOUT), redirect=False, preload_content=False,
            )  # fmt: skip
            try:
                data = reply.read(ANSWER_LIMIT + 1)
            finally:
                reply.close()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            message = f"Prometheus does not answer: {str(error).rpartition(': ')[2][:SAID]}"
            raise RetryError(message) from error
        return samples(data, reply.status)


def samples(data: bytes, status: int) -> list[float]:
    """Return the values of an answer to an instant query.

    Raises:
        RetryError: Prometheus says no, whatever the reason.
        MalformedError: it is no such answer, too large, empty, or holds what is no number.
    """
    if len(data) > ANSWER_LIMIT:
        message = f"Prometheus answers with more than {ANSWER_LIMIT:,} bytes"
        raise MalformedError(message)
    try:
        reply = msgspec.json.decode(data, type=_Reply)
    except msgspec.MsgspecError as error:
        message = f"Prometheus answers with status {status}, and not as its API says"
        raise MalformedError(message) from error
    if reply.status != "success":
        message = f"Prometheus says: {reply.error[:SAID] or f'status {status}'}"
        raise RetryError(message)
    values = _values(reply.data)
    if not values or not all(math.isfinite(value) for value in values):
        message = "Prometheus knows of no sample" if not values else "Prometheus answers with what is no number"
        raise MalformedError(message)
    return values


def _values(data: _Data) -> list[float]:
    try:
        if data.result_type == "scalar":
            return [float(data.result[1])]
        if data.result_type == "vector" and len(data.result) <= SAMPLES_LIMIT:
            return [float(one["value"][1]) for one in data.result]
    except (TypeError, ValueError, KeyError, IndexError):
        pass
    what = f"{data.result_type or 'nothing'}" if data.result_type != "vector" else f"more than {SAMPLES_LIMIT} samples, or odd ones"
    message = f"Prometheus answers with {what[:SAID]}; a query of a gate answers with a few numbers for now"
    raise MalformedError(message)


def judged(metric: Metric, values: list[float]) -> Answer:
    """Return what the values of a metric say: the worst one is named."""
    least, most = min(values), max(values)
    if metric.most is not None and most > float(metric.most):
        return Answer(name=metric.name, bad=f"{most:g} is more than {metric.most}")
    if metric.least is not None and least < float(metric.least):
        return Answer(name=metric.name, bad=f"{least:g} is less than {metric.least}")
    return Answer(name=metric.name)


def unset(metrics: Iterable[Metric]) -> Iterator[Answer]:
    """Yield what metrics say where nobody can be asked."""
    return (Answer(name=one.name, missing="no Prometheus is named: set [metrics] prometheus of serve") for one in metrics)
