"""Rules that were written for conftest, of kinds that people have, run unchanged in `policies/conftest/`."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from reconciler.pipeline.manifests import Document, Layout, parse_file
from reconciler.pipeline.policy.evaluate import ObjectItem, Policies
from reconciler.pipeline.policy.examples import EMPTY_CHANGE
from reconciler.pipeline.policy.judge import Judge, JudgeRefused, load
from reconciler.pipeline.policy.testing import run_repository
from reconciler.pipeline.tree import MemoryTree

pytestmark = pytest.mark.needs("opa")

FLEETS = b"""package main

import rego.v1

# Texts and objects, several rules of one name, and a helper in a package of its own.
import data.lib.names

deny contains msg if {
	input.kind == "Fleet"
	not input.spec.description
	msg := sprintf("fleet %s says nothing", [names.of(input)])
}

deny contains {"msg": msg, "details": {"kind": input.kind}} if {
	input.kind == "Fleet"
	count(input.spec.components) > 2
	msg := "too many components"
}

warn_owner contains msg if {
	not input.metadata.labels.owner
	msg := sprintf("%s has no owner", [names.of(input)])
}
"""
NAMES = b"""package lib.names

import rego.v1

of(manifest) := sprintf("%s/%s", [manifest.metadata.tenant, manifest.metadata.name])
"""
OLD = b"""package main

violation[{"msg": msg}] {
  input.kind == "Component"
  file := input.spec.files[_]
  startswith(file.path, "/tmp/")
  msg := sprintf("%s does not last", [file.path])
}

deny_shell[msg] {
  unused := 1
  input.spec.files[_].path == "/bin/sh"
  msg = "no shells"
}

exception[rules] {
  input.metadata.name == "rescue"
  rules := ["shell"]
}
"""
OLD_TEST = b"""package main

test_tmp { violation[{"msg": "/tmp/x does not last"}] with input as {"kind": "Component", "spec": {"files": [{"path": "/tmp/x"}]}} }
"""
ALL = {
    "policies/conftest/fleets.rego": FLEETS,
    "policies/conftest/lib/names.rego": NAMES,
    "policies/conftest/old.rego": OLD,
    "policies/conftest/old_test.rego": OLD_TEST,
}
FLEET = (
    "apiVersion: ordain.dev/v1\nkind: Fleet\nmetadata: {name: web, tenant: shop}\nspec: {components: [{name: a}, {name: b}, {name: c}]}\n"
)


def component(name: str, path: str) -> str:
    return (
        f"apiVersion: ordain.dev/v1\nkind: Component\nmetadata: {{name: {name}, tenant: shop, labels: {{owner: ops}}}}\n"
        f"spec: {{files: [{{path: {path}, content: x}}]}}\n"
    )


MANIFESTS = FLEET + "---\n" + component("app", "/tmp/x") + "---\n" + component("base", "/bin/sh") + "---\n" + component("rescue", "/bin/sh")


def documents(text: str = MANIFESTS) -> list[Document]:
    return list(parse_file("tenants/shop/all.yaml", text.encode()).documents)


def judge(opa: Path, files: Mapping[str, bytes], rules: Mapping[str, object] | None = None) -> Judge:
    return load(MemoryTree(files), {"spec": {"rules": dict(rules or {})}}, Layout(), opa=opa)


def found(opa: Path, judged: Judge) -> set[tuple[str, str, str]]:
    """Return (rule, action, message) of what the conftest rules say of all manifests."""
    with Policies(judged, opa=opa) as policies:
        findings = policies.objects([ObjectItem(document=document) for document in documents()], EMPTY_CHANGE)
    return {(one.rule, one.action, one.message) for one in findings if one.rule.startswith("conftest/")}


def refusal(opa: Path, files: Mapping[str, bytes]) -> list[tuple[str, str, int | None]]:
    with pytest.raises(JudgeRefused) as caught:
        judge(opa, files)
    return [(one.code, one.place.file, one.place.line) for one in caught.value.findings]


def test_rules_of_conftest_find_what_conftest_finds(opa: Path) -> None:
    assert found(opa, judge(opa, ALL)) == {
        ("conftest/main", "deny", "fleet shop/web says nothing"),
        ("conftest/main", "deny", "too many components"),
        ("conftest/main/warn", "warn", "shop/web has no owner"),
        ("conftest/main", "deny", "/tmp/x does not last"),
        ("conftest/main", "deny", "no shells"),
    }


def test_a_finding_is_on_the_manifest_that_it_is_about(opa: Path) -> None:
    with Policies(judge(opa, {"policies/conftest/old.rego": OLD}), opa=opa) as policies:
        findings = policies.objects([ObjectItem(document=document) for document in documents()], EMPTY_CHANGE)
    [finding] = [one for one in findings if one.message == "/tmp/x does not last"]
    assert (finding.place.file, finding.place.document, str(finding.object)) == ("tenants/shop/all.yaml", 1, "Component shop/app")


def test_their_levels_are_set_as_those_of_other_rules(opa: Path) -> None:
    judged = judge(opa, ALL, {"conftest/main": {"level": "audit"}, "conftest/main/warn": {"level": "deny"}})
    assert judged.findings == ()
    assert {(rule, action) for rule, action, _ in found(opa, judged)} == {("conftest/main", "audit"), ("conftest/main/warn", "deny")}


def test_they_are_part_of_what_tells_judges_apart(opa: Path) -> None:
    assert judge(opa, ALL).digest != judge(opa, ALL | {"policies/conftest/old.rego": OLD.replace(b"/tmp/", b"/var/")}).digest
    assert judge(opa, {}).digest == judge(opa, {"policies/conftest/README.md": b"ours"}).digest


def test_what_is_no_rego_of_any_version_is_told_for_both(opa: Path) -> None:
    with pytest.raises(JudgeRefused, match=r"as v1, .*; as v0, ") as caught:
        judge(opa, {"policies/conftest/a.rego": b"package main\n\ndeny[msg {\n"})
    assert [(one.code, one.place.line) for one in caught.value.findings] == [("policy/syntax", 3)]


@pytest.mark.parametrize("package", [b"ordain.rules.hygiene.owner", b"system.authz", b"ordain.main"])
def test_packages_of_ordain_and_opa_are_not_theirs(opa: Path, package: bytes) -> None:
    rule = b'package %s\n\ndeny contains "x" if true\n' % package
    assert refusal(opa, {"policies/conftest/a.rego": rule}) == [("policy/package", "policies/conftest/a.rego", 1)]


def test_two_packages_with_one_id_are_refused(opa: Path) -> None:
    files = {f"policies/conftest/{name}.rego": f'package {name}\n\ndeny contains "x" if true\n'.encode() for name in ("a_b", "A_b")}
    assert [code for code, _, _ in refusal(opa, files)] == ["policy/package"]


def test_they_have_the_same_capabilities(opa: Path) -> None:
    rule = b'package main\n\ndeny contains "x" if http.send({"method": "GET", "url": "http://127.0.0.1"}).status_code == 200\n'
    assert refusal(opa, {"policies/conftest/a.rego": rule}) == [("policy/check", "policies/conftest/a.rego", 3)]


def test_an_error_in_one_is_an_error_and_no_pass(opa: Path) -> None:
    rule = b'package main\n\ndeny contains "x" if to_number(input.metadata.name) == 1\n'
    assert {(rule, action) for rule, action, _ in found(opa, judge(opa, {"policies/conftest/a.rego": rule}))} == {
        ("conftest/main", "error")
    }


def test_an_answer_without_a_message_is_an_error(opa: Path) -> None:
    rule = b'package main\n\ndeny contains {"message": "x"} if true\n'
    assert {(rule, action) for rule, action, _ in found(opa, judge(opa, {"policies/conftest/a.rego": rule}))} == {
        ("conftest/main", "error")
    }


def test_their_own_tests_run_too(opa: Path) -> None:
    report = run_repository(MemoryTree(ALL), Layout(), opa)
    assert [(test.file, test.name, test.passed) for test in report.tests] == [("policies/conftest/old_test.rego", "test_tmp", True)]
    broken = run_repository(MemoryTree(ALL | {"policies/conftest/old.rego": OLD.replace(b"/tmp/", b"/var/")}), Layout(), opa)
    assert [test.passed for test in broken.tests] == [False]


@pytest.mark.skipif("ORDAIN_CONFTEST" not in os.environ, reason="slow: name a conftest binary in ORDAIN_CONFTEST to compare with it")
def test_conftest_itself_says_the_same(opa: Path, tmp_path: Path) -> None:
    """Each file of rules by itself: conftest reads all of them as one version of Rego."""
    program = shutil.which(os.environ["ORDAIN_CONFTEST"])
    assert program
    (tmp_path / "all.yaml").write_text(MANIFESTS)
    for version, files in (("v1", {name: ALL[name] for name in list(ALL)[:2]}), ("v0", {"policies/conftest/old.rego": OLD})):
        rules = tmp_path / version
        for path, content in files.items():
            (rules / path).parent.mkdir(parents=True, exist_ok=True)
            (rules / path).write_bytes(content)
        command = [program, "test", "--rego-version", version, "--output", "json", "--policy", str(rules), str(tmp_path / "all.yaml")]
        results = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
        theirs = {("conftest/main", "deny", one["msg"]) for result in results for one in result.get("failures", ())}
        theirs |= {("conftest/main/warn", "warn", one["msg"]) for result in results for one in result.get("warnings", ())}
        assert found(opa, judge(opa, files)) == theirs
