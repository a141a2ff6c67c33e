"""The rules that ordain brings: each has tests and examples, and all of them hold."""

import json
import subprocess
from functools import cache
from pathlib import Path

import pytest

from reconciler.opa.program import find_opa
from reconciler.pipeline.policy import capabilities
from reconciler.pipeline.policy.placement import LIBRARY_CATEGORY
from reconciler.pipeline.policy.testing import Report, run_library
from reconciler.resources import directory
from tests.policy_cases import judge

pytestmark = pytest.mark.needs("opa")

LIBRARY = directory("policies")
TESTS = (LIBRARY / "rules").glob("*/*/*_test.rego")
RULES = sorted(path.parent for path in TESTS if path.parent.parent.name != LIBRARY_CATEGORY)


@pytest.fixture(scope="module")
def opa() -> Path:
    return find_opa(None)


@cache
def report() -> Report:
    return run_library(find_opa(None))


def test_every_rego_test_passes() -> None:
    assert len(report().tests) > 150
    assert [(test.file, test.line, test.message) for test in report().tests if not test.passed] == []
    assert report().findings == ()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.parent.name}/{rule.name}")
def test_a_rule_finds_what_its_examples_mark_and_nothing_else(rule: Path) -> None:
    name = f"{rule.parent.name}/{rule.name}"
    mine = [example for example in report().examples if example.rule == name]
    assert {Path(example.file).name.partition("-")[0] for example in mine} == {"pass", "fail"}
    assert [(example.file, example.mismatches) for example in mine if not example.passed] == []


def test_each_rule_has_a_folder_that_mirrors_its_package(opa: Path) -> None:
    loaded = judge(opa)
    assert {f"{rule.parent.name}/{rule.name}" for rule in RULES} == loaded.rules.keys()
    assert len(loaded.rules) >= 30
    assert {rule.scope for rule in loaded.rules.values()} == {"object", "release", "change"}


def test_safety_and_security_deny_and_all_else_warns(opa: Path) -> None:
    for name, rule in judge(opa).rules.items():
        of_safety = name.startswith(("host-safety/", "secrets/", "supply-chain/", "tenancy/"))
        denies = of_safety or name in ("access/shared-issuer", "reliability/critical-release")
        assert rule.severity == ("deny" if denies else "warn"), name


def test_every_rule_says_why_and_what_to_do(opa: Path) -> None:
    for name, rule in judge(opa).rules.items():
        assert rule.title, name
        assert rule.description, name
        assert rule.remedy, name


def test_rego_is_formatted(opa: Path) -> None:
    done = subprocess.run([opa, "fmt", "--list", LIBRARY], capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_capabilities_are_those_of_the_pinned_opa_without_clock_network_and_randomness(opa: Path) -> None:
    current = capabilities.current(opa)
    written = (LIBRARY / "capabilities.json").read_text()
    assert json.loads(written) == capabilities.restricted(current)
    unsure = {each["name"] for each in current["builtins"] if each.get("nondeterministic")}
    assert unsure <= capabilities.REMOVED.keys()
    assert not unsure & {each["name"] for each in json.loads(written)["builtins"]}
    assert json.loads(written)["allow_net"] == []


def test_the_authorization_policy_compiles_strictly(opa: Path) -> None:
    subprocess.run([opa, "check", "--strict", LIBRARY / "system"], check=True)


def test_only_rules_that_read_the_change_are_asked_again_for_each(opa: Path) -> None:
    reading = {name for name, rule in judge(opa).rules.items() if rule.reads_change and rule.scope == "object"}
    assert reading == {"tenancy/waiver-granted-by"}  # who signed decides it, and that is known of a change alone
    assert all(rule.reads_change for rule in judge(opa).rules.values() if rule.scope == "change")


def test_the_rego_tests_reach_every_line(opa: Path) -> None:
    command = [str(opa), "test", "--coverage", "--format=json", "--ignore=*.yaml", "--ignore=*.json", str(LIBRARY)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    files = {path: file for path, file in json.loads(done.stdout)["files"].items() if "/system/" not in path}
    assert len(files) > 100
    assert {path: file["not_covered"] for path, file in files.items() if file.get("not_covered")} == {}
