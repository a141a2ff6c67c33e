"""A repository's own rules about operators: checked like all policies, part of the judge, and brought to serve by signed controls."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.protocol.errors import MalformedError, RefusedError, RetryError
from reconciler.control.authz.asking import Authz
from reconciler.opa.program import find_opa
from reconciler.pipeline.acceptance.appointment import loosened
from reconciler.pipeline.finding import Finding
from reconciler.pipeline.policy.judge import JudgeRefused
from reconciler.publication import controls as control_files
from reconciler.publication import layout, operator_rules
from reconciler.publication.store import open_store
from reconciler.publication.trust import read_trust
from tests.acceptance_cases import repository
from tests.e2e.installation import Installation, until
from tests.pipeline_cases import following
from tests.policy_cases import finds, judge, rego

pytestmark = pytest.mark.needs("opa", "git")
NIGHT = """\
package ordain.authz.custom.night

deny contains "nobody revokes at night" if {
	input.action == "agents.revoke"
	startswith(split(input.now, "T")[1], "03")
}
"""
PLACE = "policies/authz/night.rego"


@pytest.fixture(scope="module")
def opa() -> Path:
    return find_opa(None)


def refused(opa: Path, text: str, place: str = PLACE) -> Finding:
    with pytest.raises(JudgeRefused) as refusal:
        judge(opa, {place: text.encode()})
    assert {finding.place.file for finding in refusal.value.findings} == {place}
    return refusal.value.findings[0]


def test_they_are_part_of_the_judge_and_judge_no_manifest(opa: Path) -> None:
    without, with_it = judge(opa, {}), judge(opa, {PLACE: NIGHT.encode(), "policies/authz/night_test.rego": b"package x\n"})
    assert with_it.authz == {"night": NIGHT}
    assert with_it.rules.keys() == without.rules.keys()
    assert with_it.digest != without.digest
    assert loosened(with_it, without) == ("night, a rule about operators, is gone",)


@pytest.mark.parametrize(
    "package", ["ordain.authz.roles", "ordain.permit", "ordain.authz.custom", "ordain.custom.authz.night", "system.authz"]
)
def test_they_define_no_other_package_than_their_own(opa: Path, package: str) -> None:
    found = refused(opa, NIGHT.replace("ordain.authz.custom.night", package))
    assert (found.code, found.place.line) == ("policy/package", 1)
    assert "ordain.authz.custom.<name>" in found.remedy


def test_one_that_refuses_nothing_is_refused_itself(opa: Path) -> None:
    assert refused(opa, "package ordain.authz.custom.night\n\nallow := true\n").code == "policy/deny"


def test_they_have_no_network_and_no_other_rule_of_the_same_name(opa: Path) -> None:
    found = refused(opa, NIGHT.replace('input.action == "agents.revoke"', 'http.send({"url": "https://example.com", "method": "GET"})'))
    assert "http.send" in found.message
    with pytest.raises(JudgeRefused, match=r"a rule is one file"):
        judge(opa, {PLACE: NIGHT.encode(), "policies/authz/more/night.rego": NIGHT.encode()})


def test_rules_about_manifests_keep_to_their_own_directory(opa: Path) -> None:
    assert refused(opa, rego("ordain.custom.cost.size", finds()).decode(), "policies/authz/size.rego").code == "policy/package"


def test_a_commit_brings_them_to_serve_which_then_denies_more(tmp_path: Path, opa: Path) -> None:
    installation = Installation(tmp_path)
    first = installation.commit(repository())
    with following(installation) as loop:
        until("examined", lambda: loop.progress.examined == first and loop.progress.ready)
        store = open_store(str(installation.state / "store"))
        assert named(installation) == ""
        second = installation.commit({PLACE: NIGHT})
        until("examined", lambda: loop.progress.examined == second and loop.progress.ready)
    digest = named(installation)
    assert operator_rules.load(store, digest) == {"night": NIGHT}
    question = {
        "operator": {"names": ["operator:ana"], "groups": [], "scope": {"actions": [], "tenants": []}},
        "action": "agents.revoke",
        "tenant": "shop",
        "fleets": ["web"],
        "asked_by": "",
        "roles": [{"name": "a", "role": "operator", "subjects": ["operator:ana"], "fleets": [], "ended": False}],
        "admins": [],
    }
    night = datetime(2026, 11, 23, 3, 10, tzinfo=UTC)
    with Authz(opa, rules=lambda asked: operator_rules.load(store, asked), now=lambda: night) as authz:
        assert authz.ask("roles", question).allow
        denied = authz.ask("roles", question, rules=digest)
        assert (denied.allow, denied.why) == (False, "nobody revokes at night")


def named(installation: Installation) -> str:
    store = open_store(str(installation.state / "store"))
    trust = read_trust(store, "shop")
    data = store.get(layout.controls("shop"))
    assert trust is not None
    assert data is not None
    return control_files.read(data, trust.keys("releases"), tenant="shop").authz


def test_other_bytes_than_the_digest_says_and_missing_ones_are_refused(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    digest, data = operator_rules.pack({"night": NIGHT})
    with pytest.raises(RetryError):
        operator_rules.load(store, digest)
    store.create(layout.authz(digest), data.replace(b"03", b"04"))
    with pytest.raises(RefusedError):
        operator_rules.load(store, digest)
    with pytest.raises(MalformedError):
        operator_rules.load(store, "../x")
    assert operator_rules.load(store, "") == {}
    assert operator_rules.pack({}) == ("", b"")
