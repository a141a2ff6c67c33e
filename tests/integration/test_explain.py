"""`ordain explain`: what a rule says, what it does here, and how to mend what it finds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("opa")
ORDAIN = Path(sys.executable).parent / "ordain"
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fleet-repo"
REPOSITORY = """\
apiVersion: ordain.dev/v1
kind: Repository
metadata: {name: acme}
spec:
  format: 1
  rules: {supply-chain/https-only: {level: audit, parameters: {schemes: [https]}}}
  overrides: [{paths: ["tenants/lab/**"], rules: {supply-chain/https-only: {level: warn}}}]
"""


def explain(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ORDAIN, "explain", *arguments], check=False, capture_output=True, text=True, cwd=cwd)


def test_a_rule_of_the_library_is_explained_with_its_examples(tmp_path: Path) -> None:
    done = explain("supply-chain/https-only", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("supply-chain/https-only: Artifacts come over HTTPS\n  level here: deny\n")
    assert "url: http://mirror.example.com/collector  # deny" in done.stdout
    assert "Passes (pass-https.yaml)" in done.stdout
    assert "spec: {rules: {supply-chain/https-only: {level: warn}}}" in done.stdout


def test_levels_and_parameters_are_those_of_the_repository_that_one_is_in(tmp_path: Path) -> None:
    (tmp_path / "ordain.yaml").write_text(REPOSITORY)
    found = json.loads(explain("supply-chain/https-only", "--format", "json", cwd=tmp_path).stdout)
    assert found["level"] == "audit"
    assert found["parameters"]["schemes"] == {"value": ["https"], "default": ["https", "store", "file"]}
    assert found["overrides"] == [{"paths": ["tenants/lab/**"], "level": "warn"}]
    assert {example["fails"] for example in found["examples"]} == {True, False}
    text = explain("supply-chain/https-only", tmp_path).stdout
    assert "level here: audit (and warn where an override of ordain.yaml says so)" in text
    assert 'schemes: ["https"]  (by itself ["https", "store", "file"])' in text


def test_a_repositorys_own_rule_is_explained_there_and_unknown_elsewhere(tmp_path: Path) -> None:
    assert explain("custom/residency/telemetry", EXAMPLE).stdout.startswith("custom/residency/telemetry: Telemetry stays in its region")
    assert explain("custom/residency/telemetry", tmp_path).returncode == 2


@pytest.mark.parametrize("rule", ["manifest/missing-parameter", "schema/fleet"])
def test_every_rule_that_is_no_policy_is_explained_without_opa(rule: str, tmp_path: Path) -> None:
    command = "import sys; from reconciler.cli import main; sys.argv = ['ordain', 'explain', sys.argv[1]]; main()"
    done = subprocess.run(
        [sys.executable, "-c", command, rule],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PATH": "", "ORDAIN_CACHE": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{rule}: ")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("suply-chain/https-only", "supply-chain/https-only"), ("https-only", "supply-chain/https-only"), ("schema/flet", "schema/fleet")],
)
def test_a_misspelt_rule_is_wrong_usage_with_a_hint(typed: str, meant: str, tmp_path: Path) -> None:
    done = explain(typed, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"did you mean {meant}?" in done.stderr


def test_a_repository_whose_judge_cannot_be_used_gets_the_librarys_word_and_a_warning(tmp_path: Path) -> None:
    (tmp_path / "ordain.yaml").write_text(REPOSITORY.replace("https-only", "htps-only"))
    done = explain("supply-chain/https-only", cwd=tmp_path)
    assert done.returncode == 0
    assert "there is no rule supply-chain/htps-only" in done.stderr


def test_a_field_of_a_kind_is_explained_with_those_in_it(tmp_path: Path) -> None:
    done = explain("Component.spec.processes", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("spec.processes: list of mappings, at most 100\n    Processes that the agent supervises")
    assert "spec.processes[].command (must be there): list of texts, 1 to 64\n" in done.stdout
    assert "spec.services" not in done.stdout
    found = json.loads(explain("Component.spec.services.dropIns.name", "--format", "json", cwd=tmp_path).stdout)
    assert [one["path"] for one in found["fields"]] == ["spec.services[].dropIns[].name"]
    assert explain("Fleet", cwd=tmp_path).stdout.startswith("Fleet: ")


def test_a_field_that_is_none_names_the_one_that_is_near(tmp_path: Path) -> None:
    done = explain("Component.spec.proceses", cwd=tmp_path)
    assert done.returncode == 2
    assert "Component has no field spec.proceses; did you mean Component.spec.processes?" in done.stderr


def test_a_field_is_found_as_findings_and_schemas_write_it(tmp_path: Path) -> None:
    wanted = explain("Component.spec.processes.limits.memory", cwd=tmp_path).stdout
    assert wanted.startswith("spec.processes[].limits.memory")
    for written in (
        "component.spec.processes.limits.memory",
        "Component.spec.processes[].limits.memory",
        "Component.spec.processes[3].limits.memory",
    ):
        assert explain(written, cwd=tmp_path).stdout == wanted
