"""What a component's source files hold is judged with it, and a finding there refuses the file that holds it."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from reconciler.opa.program import find_opa
from tests.acceptance_cases import Bench, repository

pytestmark = pytest.mark.needs("opa")

MOTD = "tenants/shop/components/motd.yaml"
SOURCE = "tenants/shop/components/files/motd.txt"
COMPONENT = """\
apiVersion: ordain.dev/v1
kind: Component
metadata: {name: motd, tenant: shop, labels: {owner: ops}}
spec:
  description: A component of the tests.
  files:
    - path: /etc/motd
      source: files/motd.txt
"""
KEY = "hello\n-----BEGIN RSA PRIVATE KEY-----\nnot a real one\n"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(opa=find_opa(None), cache=tmp_path, stack=stack)


def with_source(text: str) -> dict[str, str]:
    return repository() | {MOTD: COMPONENT, SOURCE: text}


def test_a_secret_in_a_source_file_refuses_that_file_though_the_manifest_did_not_change(bench: Bench) -> None:
    assert bench.decide(with_source("hello\n")).accepted
    decision = bench.decide(with_source(KEY))
    assert set(decision.refused) == {SOURCE}
    assert list(decision.frozen) == [("shop", "web")]
    [denied] = [one.finding for one in decision.judged if one.finding.action == "deny"]
    assert denied.rule == "secrets/private-key"
    assert (denied.place.file, denied.place.line) == (SOURCE, 2)


def test_a_manifest_that_takes_up_a_file_with_a_secret_is_refused(bench: Bench) -> None:
    assert bench.decide(repository() | {SOURCE: KEY}).accepted  # nothing uses it, so it reaches no host
    decision = bench.decide(with_source(KEY))
    assert MOTD in decision.refused
    assert list(decision.frozen) == [("shop", "web")]


def test_another_secret_in_a_file_that_had_one_is_not_standing(bench: Bench) -> None:
    lenient = repository()["ordain.yaml"] + "  rules: {secrets/private-key: {level: audit}}\n"
    assert bench.decide(with_source(KEY) | {"ordain.yaml": lenient}).accepted
    bench.decide(with_source(KEY))
    same = bench.decide(with_source(KEY + "more\n"))
    assert not same.refused, "the verdict stood before, at the same line with the same value"
    assert set(bench.decide(with_source(KEY.replace("RSA", "EC"))).refused) == {SOURCE}
