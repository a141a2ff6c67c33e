"""The example fleet repository: what readers copy must pass, and be what its README says."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from reconciler.pipeline.compile.compiler import compile_fleet
from reconciler.pipeline.compile.world import build
from reconciler.pipeline.manifests import DirectoryTree, Layout, is_manifest, parse_file
from reconciler.pipeline.validation import validate

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "fleet-repo"
ORDAIN = Path(sys.executable).parent / "ordain"


def manifests() -> list[Path]:
    tree = DirectoryTree(EXAMPLE)
    return [EXAMPLE / path for path in tree.entries if is_manifest(path, Layout())]


@pytest.mark.needs("opa")
def test_the_example_is_accepted_with_nothing_to_warn_about() -> None:
    done = subprocess.run([ORDAIN, "check", EXAMPLE, "--format", "json"], check=False, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert done.returncode == 0, found
    assert found["accepted"]
    assert {action: found["counts"][action] for action in ("deny", "warn", "error")} == {"deny": 0, "warn": 0, "error": 0}


@pytest.mark.needs("opa")
def test_its_own_rule_passes_its_tests_and_keeps_to_the_standard_of_rules() -> None:
    tested = subprocess.run([ORDAIN, "policy", "test", EXAMPLE, "--minimum", "100"], check=False, capture_output=True, text=True)
    assert (tested.returncode, "1 rule, 5 Rego tests, 2 examples: all pass" in tested.stdout) == (0, True), tested.stdout
    linted = subprocess.run([ORDAIN, "policy", "lint", EXAMPLE], check=False, capture_output=True, text=True)
    assert linted.stdout == "accepted: 1 rule, nothing found\n"


@pytest.mark.needs("opa")
def test_its_own_rule_refuses_telemetry_that_leaves_the_region(tmp_path: Path) -> None:
    copy = tmp_path / "fleets"
    subprocess.run(["cp", "-R", EXAMPLE, copy], check=True)
    fleet = copy / "tenants/shop/fleets/web.yaml"
    fleet.write_text(fleet.read_text().replace("otel.eu.example.com", "otel.us.example.com"))
    done = subprocess.run([ORDAIN, "check", copy, "--format", "json"], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    [denied] = [one for one in json.loads(done.stdout)["verdicts"] if one["action"] == "deny"]
    line = next(number for number, text in enumerate(fleet.read_text().splitlines(), 1) if "otel.us" in text)
    assert (denied["rule"], denied["file"], denied["line"]) == ("custom/residency/telemetry", "tenants/shop/fleets/web.yaml", line)


def test_it_holds_as_much_as_its_readme_says() -> None:
    kinds: dict[str, list[str]] = {}
    for path in manifests():
        document = YAML(typ="safe").load(path)
        kinds.setdefault(document["kind"], []).append(document["metadata"]["name"])
    assert {kind: len(names) for kind, names in kinds.items()} == {
        "Repository": 1,
        "Tenant": 2,
        "Agent": 8,
        "AgentPool": 1,
        "Component": 9,
        "Fleet": 6,
        "Role": 1,
    }
    readme = (EXAMPLE / "README.md").read_text()
    assert [name for kind in ("Component", "Fleet", "AgentPool") for name in kinds[kind] if name not in readme] == []


def test_every_manifest_names_the_schema_of_its_kind_for_editors() -> None:
    for path in manifests():
        line = re.match(r"# yaml-language-server: \$schema=(\S+)\n", path.read_text())
        assert line, path
        schema = (path.parent / line[1]).resolve()
        assert schema == EXAMPLE / ".ordain" / "schemas" / f"{YAML(typ='safe').load(path)['kind'].lower()}.schema.json"


def test_its_schemas_are_the_ones_that_judge() -> None:
    copies = {path.name: path.read_bytes() for path in (EXAMPLE / ".ordain" / "schemas").iterdir()}
    assert copies == {name: (ROOT / "schemas" / name).read_bytes() for name in copies}
    assert len(copies) == 9


def test_the_manifests_in_its_readme_are_valid() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (EXAMPLE / "README.md").read_text(), flags=re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        parsed = parse_file("tenants/shop/readme.yaml", block.encode())
        assert [finding.message for finding in parsed.findings] == []
        assert [finding.message for document in parsed.documents for finding in validate(document, Layout())] == []


def test_hosts_of_two_regions_get_their_own_endpoint() -> None:
    tree = DirectoryTree(EXAMPLE)
    documents = [
        document for path in tree.entries if is_manifest(path, Layout()) for document in parse_file(path, tree.read(path)).documents
    ]
    compiled = compile_fleet(build(documents, Layout()), tree, ("shop", "web"))
    endpoints = {
        name: next(file.content for file in compiled.bundle.groups[member.group].base.files if file.path == "/etc/otelcol/config.yaml")
        for name, member in compiled.agents.items()
    }
    assert sorted(endpoints) == ["web-01", "web-02", "web-03", "web-04"]
    assert all(f"otel.{region}.example.com" in (endpoints[name] or "") for name, region in (("web-01", "eu"), ("web-03", "us")))
    assert "${env:OTLP_TOKEN}" in (endpoints["web-01"] or "")
