"""What Prometheus answers, read strictly: whatever is no number for now is no answer."""

import json
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.errors import InputError, OrdainError
from reconciler.control.conduct.prometheus import ANSWER_LIMIT, Prometheus, judged, samples
from reconciler.publication.secret_files import SecretFile
from reconciler.rollouts.measured import Metric


def reply(kind: str, result: Any) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}, "warnings": []}).encode()


def test_scalars_and_vectors_are_read() -> None:
    assert samples(reply("scalar", [1.5, "0.25"]), 200) == [0.25]
    assert samples(reply("vector", [{"metric": {"job": "a"}, "value": [1.5, "1"]}, {"metric": {}, "value": [1.5, "2e3"]}]), 200) == [
        1,
        2000,
    ]


@pytest.mark.parametrize(
    ("data", "status", "said"),
    [
        (reply("vector", []), 200, "knows of no sample"),
        (reply("vector", [{"value": [1, "NaN"]}]), 200, "no number"),
        (reply("vector", [{"value": [1, "+Inf"]}]), 200, "no number"),
        (reply("vector", [{"value": [1, "1"]}] * 1001), 200, "more than 1000 samples"),
        (reply("vector", [{"metric": {}}]), 200, "odd ones"),
        (reply("vector", 5), 200, "odd ones"),
        (reply("matrix", []), 200, "answers with matrix"),
        (reply("scalar", [1]), 200, "answers with scalar"),
        (b'{"status":"error","errorType":"bad_data","error":"parse error"}', 400, "Prometheus says: parse error"),
        (b"<html>", 302, "status 302"),
        (b"", 200, "not as its API says"),
        (b'{"status": "success"}', 200, "nothing"),
        (b" " * (ANSWER_LIMIT + 1), 200, "bytes"),
    ],
)
def test_anything_else_is_no_answer(data: bytes, status: int, said: str) -> None:
    with pytest.raises(OrdainError, match=re.escape(said)):
        samples(data, status)


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.floats() | st.text(), st.lists, max_leaves=5).map(lambda one: json.dumps(one).encode())
)
def test_no_bytes_are_more_than_no_answer(data: bytes) -> None:
    for body in (data, b'{"status":"success","data":{"resultType":"vector","result":' + data + b"}}"):
        try:
            found = samples(body, 200)
        except OrdainError:
            continue
        assert found


def test_the_worst_sample_counts_and_a_limit_itself_is_good() -> None:
    metric = Metric(name="errors", query="x", most=Decimal("0.01"), least=Decimal(0))
    assert judged(metric, [0.01, 0.0]).bad == ""
    assert judged(metric, [0.0, 0.02]).bad == "0.02 is more than 0.01"
    assert judged(metric, [-1.0, 0.0]).bad == "-1 is less than 0"


@pytest.mark.parametrize("address", ["", "prometheus:9090", "ftp://a", "http://", "http://a:b@c", "http://a?query=x"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InputError, match="is no address"):
        Prometheus(address)


def test_a_token_does_not_go_over_the_network_in_the_clear() -> None:
    with pytest.raises(InputError, match="use https"):
        Prometheus("http://prometheus.example.com", token=SecretFile(name="/a"))
