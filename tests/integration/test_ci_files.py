"""What people copy into their own CI works: every command of it that runs ordain, on the example repository."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from tests.conftest import part

pytestmark = pytest.mark.needs("opa", "git")
ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
SARIF = json.loads((ROOT / "tests" / "vectors" / "sarif-2.1.0-subset.schema.json").read_bytes())
FLEET = "tenants/shop/fleets/web.yaml"


def _yaml(path: str) -> Any:
    return YAML(typ="safe").load(ROOT / path)


def github() -> list[str]:
    [job] = _yaml("examples/ci/github-actions.yml")["jobs"].values()
    return [step["run"] for step in job["steps"] if "ordain check" in step.get("run", "")]


def gitlab() -> list[str]:
    return [line for line in _yaml("examples/ci/gitlab-ci.yml")["ordain"]["script"] if "ordain check" in line]


@pytest.fixture
def change(tmp_path: Path) -> Path:
    """The example repository, with a first commit, and a second one that sends telemetry out of its region."""
    root = tmp_path / "fleets"
    subprocess.run(["cp", "-R", ROOT / "examples" / "fleet-repo", root], check=True)
    subprocess.run(["git", "init", "--quiet", root], check=True)
    _commit(root)
    fleet = root / FLEET
    fleet.write_text(fleet.read_text().replace("otel.eu.example.com", "otel.us.example.com"))
    _commit(root)
    return root


def _commit(root: Path) -> None:
    subprocess.run(["git", "-C", root, "add", "--all"], check=True)
    subprocess.run(["git", "-C", root, "commit", "--quiet", "--message", "Change the fleet"], check=True)


def _run(command: str, root: Path, base: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "BASE": base,
        "GITHUB_STEP_SUMMARY": str(root.parent / "summary.md"),
        "ORDAIN_CACHE": str(root.parent / "cache"),
        "ORDAIN_OPA": str(part("opa")),
    }
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command], cwd=root, env=environment, check=False, capture_output=True, text=True
    )


def test_the_github_workflow_refuses_the_change_and_reports_it_everywhere(change: Path) -> None:
    judged, summed, uploaded = github()
    done = _run(judged, change, "HEAD^1")
    assert done.returncode == 1, done.stderr
    assert f"::error file={FLEET},line=" in done.stdout
    assert _run(summed, change, "HEAD^1").returncode == 0
    assert "custom/residency/telemetry" in (change.parent / "summary.md").read_text()
    assert _run(uploaded, change, "HEAD^1").returncode == 0
    log = json.loads((change / "ordain.sarif").read_text())
    assert [error.message for error in Draft202012Validator(SARIF).iter_errors(log)] == []
    assert "custom/residency/telemetry" in {one["ruleId"] for one in log["runs"][0]["results"]}


def test_the_gitlab_job_refuses_the_change_and_leaves_a_report(change: Path) -> None:
    reported, judged = gitlab()
    assert _run(reported, change, "HEAD~1").returncode == 0
    root = ET.parse(change / "ordain.xml").getroot()
    assert int(root.attrib["failures"]) >= 1
    assert _run(judged, change, "HEAD~1").returncode == 1


@pytest.mark.parametrize("commands", [github, gitlab])
def test_without_a_base_all_of_the_repository_is_judged(commands: Callable[[], list[str]], change: Path) -> None:
    subprocess.run(["git", "-C", change, "revert", "--no-edit", "HEAD"], check=True, capture_output=True)
    for command in commands():
        done = _run(command, change, "")
        assert done.returncode == 0, done.stdout + done.stderr


def test_what_a_step_uploads_is_what_an_earlier_one_wrote() -> None:
    [job] = _yaml("examples/ci/github-actions.yml")["jobs"].values()
    [uploaded] = [step["with"]["sarif_file"] for step in job["steps"] if "upload-sarif" in step.get("uses", "")]
    assert any(f"> {uploaded}" in command for command in github())
    report = _yaml("examples/ci/gitlab-ci.yml")["ordain"]["artifacts"]["reports"]["junit"]
    assert any(f"> {report}" in command for command in gitlab())


def _hooks() -> Iterator[dict[str, Any]]:
    yield from _yaml(".pre-commit-hooks.yaml")


def test_the_hook_is_one_that_pre_commit_takes(tmp_path: Path) -> None:
    environment = {**os.environ, "PRE_COMMIT_HOME": str(tmp_path)}
    done = subprocess.run(
        [BIN / "pre-commit", "validate-manifest", ROOT / ".pre-commit-hooks.yaml"],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_hook_judges_when_a_part_of_the_fleet_repository_changes(change: Path) -> None:
    [hook] = _hooks()
    assert hook["id"] == "ordain-check"
    listed = subprocess.run(["git", "-C", change, "ls-files"], check=True, capture_output=True, text=True).stdout.split()
    matched = {path for path in listed if re.search(hook["files"], path)}
    assert matched == {path for path in listed if path.startswith(("ordain.yaml", "tenants/", "library/", "policies/"))}
    assert _run(hook["entry"], change, "").returncode == 1
    assert _run(f"{hook['entry']} --base HEAD", change, "").returncode == 0
