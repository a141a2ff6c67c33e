"""`ordain policy`, as a person or a build runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.cli import cli
from reconciler.opa.program import find_opa
from tests.policy_cases import finds, rego

pytestmark = pytest.mark.needs("opa")

ORDAIN_YAML = """apiVersion: ordain.dev/v1
kind: Repository
metadata: {name: acme}
spec:
  format: 1
  rules:
    hygiene/owner: {level: deny, parameters: {label: team}}
"""
RULE = "policies/names/short/short.rego"
TEST = b"""package ordain.custom.names.short_test

import data.ordain.custom.names.short

test_long_names_are_found if {
	count(short.deny) == 1 with input as {"object": {"metadata": {"name": "a-long-name"}}}
}
"""
FAILS = """apiVersion: ordain.dev/v1
kind: Tenant
metadata:
  name: a-long-name  # deny
spec: {}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    files = {
        "ordain.yaml": ORDAIN_YAML.encode(),
        RULE: rego("ordain.custom.names.short", finds("count(input.object.metadata.name) > 5")),
        "policies/names/short/short_test.rego": TEST,
        "policies/names/short/examples/fail-long.yaml": FAILS.encode(),
    }
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    return tmp_path


def ordain(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from reconciler.cli import main; main()", "policy", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_is_a_command_of_ordain() -> None:
    assert "policy" in cli.list_commands(cli.make_context("ordain", ["policy"], resilient_parsing=True))


def test_the_library_passes_its_own_tests() -> None:
    done = ordain("test")
    assert done.returncode == 0, done.stdout
    assert "all pass" in done.stdout


def test_a_repositorys_own_rules_are_tested(repository: Path) -> None:
    done = ordain("test", repository)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "1 rule, 1 Rego test, 1 example: all pass\n"


def test_whoever_asks_for_ordains_own_rules_in_a_fleet_repository_is_told_how_to_ask_for_those(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    assert "these are ordain's own rules; name this directory, `.`" in ordain("list").stderr
    assert not ordain("list", ".").stderr


def test_json_names_tests_and_examples(repository: Path) -> None:
    report = json.loads(ordain("test", repository, "--format", "json").stdout)
    assert report["passed"] is True
    assert report["rules"] == ["custom/names/short"]
    assert [(each["name"], each["passed"]) for each in report["tests"]] == [("test_long_names_are_found", True)]
    assert [(each["file"], each["passed"]) for each in report["examples"]] == [("policies/names/short/examples/fail-long.yaml", True)]


def test_a_line_that_is_wrongly_marked_is_named_on_both_sides(repository: Path) -> None:
    example = repository / "policies/names/short/examples/fail-long.yaml"
    example.write_text(FAILS.replace("  # deny", "").replace("spec: {}", "spec: {}  # deny"))
    done = ordain("test", repository)
    assert done.returncode == 1
    assert "policies/names/short/examples/fail-long.yaml:5: expected a finding, got none" in done.stdout
    assert "policies/names/short/examples/fail-long.yaml:4: expected nothing, got: found" in done.stdout


def test_an_example_that_is_no_valid_manifest_fails(repository: Path) -> None:
    (repository / "policies/names/short/examples/pass-odd.yaml").write_text(
        "apiVersion: ordain.dev/v1\nkind: Tenant\nmetadata: {name: a}\nspek: {}\n"
    )
    done = ordain("test", repository)
    assert done.returncode == 1
    assert "pass-odd.yaml:" in done.stdout
    assert "no valid manifest" in done.stdout


def test_a_failing_rego_test_is_named_with_its_line(repository: Path) -> None:
    (repository / "policies/names/short/short_test.rego").write_bytes(TEST.replace(b"== 1 with", b"== 2 with"))
    done = ordain("test", repository)
    assert done.returncode == 1
    assert "policies/names/short/short_test.rego:6: ordain.custom.names.short_test.test_long_names_are_found" in done.stdout
    assert "    expected  2\n    actual    1\n" in done.stdout


def test_tests_that_do_not_compile_are_faults(repository: Path) -> None:
    (repository / "policies/names/short/short_test.rego").write_bytes(b"package x_test\n\ntest_a if nothing(1)\n")
    done = ordain("test", repository)
    assert done.returncode == 1
    assert "undefined function nothing" in done.stdout


def test_rules_that_do_not_compile_are_faults_with_a_remedy(repository: Path) -> None:
    (repository / RULE).write_bytes(rego("ordain.custom.names.short", finds("input.objct == 1")))
    done = ordain("test", repository)
    assert done.returncode == 1
    assert f"{RULE}:14:2 deny manifest/policy" in done.stdout
    assert "undefined ref: input.objct" in done.stdout
    assert "  14 | \\tinput.objct == 1\n         ^\n" in done.stdout
    assert "remedy: known here: change," in done.stdout


def test_a_directory_that_is_no_fleet_repository_is_wrong_usage(tmp_path: Path) -> None:
    done = ordain("test", tmp_path)
    assert done.returncode == 2
    assert "is no fleet repository" in done.stderr
    assert done.stdout == ""


def test_list_tells_levels_as_the_repository_sets_them(repository: Path) -> None:
    rows = {row["id"]: row for row in json.loads(ordain("list", repository, "--format", "json").stdout)}
    assert rows["hygiene/owner"]["level"] == "deny"
    assert rows["hygiene/owner"]["parameters"] == {"label": "team"}
    assert rows["custom/names/short"]["file"] == RULE
    assert "custom/names/short" in ordain("list", repository).stdout


def test_opa_prints_its_path() -> None:
    assert ordain("opa").stdout == f"{find_opa(None)}\n"


def test_a_rule_without_test_and_example_is_said_to_have_none(repository: Path) -> None:
    for path in ("policies/names/short/short_test.rego", "policies/names/short/examples/fail-long.yaml"):
        (repository / path).unlink()
    done = ordain("test", repository)
    assert done.returncode == 0
    assert "custom/names/short: no test" in done.stdout
    assert json.loads(ordain("test", repository, "--format", "json").stdout)["untested"] == ["custom/names/short"]


def test_the_list_shows_parameters_as_they_are_here(repository: Path) -> None:
    lines = ordain("list", repository).stdout.splitlines()
    owner = next(number for number, line in enumerate(lines) if line.startswith("hygiene/owner "))
    assert '  label: "team"' in lines[owner : owner + 5]
