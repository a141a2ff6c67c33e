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
from tests.forges.github import Account
from tests.forges.jobs import FORGES, TOKEN
from tests.forges.standin import serving

pytestmark = pytest.mark.needs("opa", "git")
ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
SARIF = json.loads((ROOT / "tests" / "vectors" / "sarif-2.1.0-subset.schema.json").read_bytes())
JOB = re.compile(r"GITHUB_|GITEA_|FORGEJO_|GITLAB_|CI_")
"""Variables of the job that runs the tests."""
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


def _run(command: str, root: Path, base: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **{name: value for name, value in os.environ.items() if not JOB.match(name)},
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "BASE": base,
        "GITHUB_STEP_SUMMARY": str(root.parent / "summary.md"),
        "ORDAIN_CACHE": str(root.parent / "cache"),
        "ORDAIN_OPA": str(part("opa")),
        **variables,
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


def reporting() -> dict[str, list[str]]:
    """The commands of each job that reports, from the first that looks at the pull request, by the forge that it is for."""
    [of_github] = _yaml("examples/ci/github-actions-report.yml")["jobs"].values()
    [of_gitea] = _yaml("examples/ci/gitea-actions.yml")["jobs"].values()
    found = {"github": of_github["steps"], "gitea": of_gitea["steps"]}
    commands = {
        forge: [step["run"] for step in steps if "run" in step and " install " not in step["run"]] for forge, steps in found.items()
    }
    return commands | {"gitlab": _yaml("examples/ci/gitlab-ci.yml")["ordain report"]["script"]}


@pytest.mark.parametrize("kind", FORGES)
def test_the_job_that_reports_posts_what_it_refuses_and_has_no_file_of_it(change: Path, kind: str) -> None:
    made, variables = FORGES[kind]
    head, base = (_revision(change, name) for name in ("HEAD", "HEAD~1"))
    clone = change if kind == "gitlab" else _without_the_pull_request(change)
    speaker = made(tokens={TOKEN: Account(login="ordain")}, pulls={7: {"state": "open", "head": head}})
    with serving(speaker) as forge:
        environment = variables(forge.address, change.parent, head, base) | {"RUNNER_TEMP": str(change.parent), "NUMBER": "7"}
        ended = [_run(command, clone, base, **environment).returncode for command in reporting()[kind]]
    assert ended == ([0] if kind == "gitlab" else [0, 1])
    assert forge.wrong == []
    assert speaker.shown(head)["ordain/policy"][0] == "failure"
    assert "custom/residency/telemetry" in speaker.texts()[0][1]
    if kind != "gitlab":
        assert _revision(clone, "HEAD") == base
        assert subprocess.run(["git", "-C", clone, "status", "--porcelain"], check=True, capture_output=True).stdout == b""


def _without_the_pull_request(change: Path) -> Path:
    """Return a clone as a job has it, of the base; the commits of the pull request are at the forge, under a ref."""
    origin, clone = change.parent / "origin.git", change.parent / "clone"
    subprocess.run(["git", "clone", "--quiet", "--bare", change, origin], check=True)
    subprocess.run(["git", "-C", origin, "update-ref", "refs/pull/7/head", "main"], check=True)
    subprocess.run(["git", "-C", origin, "update-ref", "refs/heads/main", "main~1"], check=True)
    subprocess.run(["git", "clone", "--quiet", "--no-local", origin, clone], check=True)
    return clone


def _revision(root: Path, name: str) -> str:
    return subprocess.run(["git", "-C", root, "rev-parse", name], check=True, capture_output=True, text=True).stdout.strip()


def test_the_action_reports_with_inputs_that_can_t_be_commands(change: Path) -> None:
    action = _yaml("action.yml")
    steps = {step["name"]: step for step in action["runs"]["steps"] if "run" in step}
    assert not any("${{" in step["run"] for step in steps.values())
    head, base = (_revision(change, name) for name in ("HEAD", "HEAD~1"))
    clone = _without_the_pull_request(change)
    inputs = {name: value["default"] for name, value in action["inputs"].items()} | {"token": TOKEN}
    speaker = FORGES["github"][0](tokens={TOKEN: Account(login="ordain")}, pulls={7: {"state": "open", "head": head}})
    with serving(speaker) as forge:
        job = FORGES["github"][1](forge.address, change.parent, head, base)
        assert _step(steps["Fetch the pull request"], inputs, clone, job) == 0
        assert _step(steps["Plan and report"], inputs | {"name": "$(exit 9)"}, clone, job) == 2
        assert _step(steps["Plan and report"], inputs, clone, job) == 1
    assert "ordain/plan" in speaker.shown(head)


def _step(step: dict[str, Any], inputs: dict[str, str], root: Path, job: dict[str, str]) -> int:
    """Run a step of the action with inputs; return its exit code."""
    known = {f"inputs.{name}": value for name, value in inputs.items()} | {"github.event.pull_request.number": "7"}
    given = {name: known[value.removeprefix("${{ ").removesuffix(" }}")] for name, value in step["env"].items()}
    return _run(step["run"], root, "", **(job | given)).returncode


@pytest.mark.parametrize("file", ["github-actions-report.yml", "gitea-actions.yml"])
def test_a_job_that_may_write_fetches_commits_and_checks_nothing_of_a_stranger_out(file: str) -> None:
    workflow = _yaml(f"examples/ci/{file}")
    assert list(workflow["on"]) == ["pull_request_target"]
    [job] = workflow["jobs"].values()
    [checkout] = [step for step in job["steps"] if "checkout" in step.get("uses", "")]
    assert checkout["with"] == {"fetch-depth": 0}
    fetched, reported = (step["run"].partition(" #")[0] for step in job["steps"][-2:])
    assert fetched == 'git fetch --quiet --no-tags --no-recurse-submodules origin "refs/pull/$NUMBER/head"'
    assert reported.endswith("ordain forge report --exit-code")
    assert not any("${{" in step.get("run", "") for step in job["steps"])
    assert not any(step.get("uses", "").startswith(("actions/cache@", "./")) for step in job["steps"])


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
