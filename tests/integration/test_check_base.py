"""`ordain check --base`: a change is judged as a reconcile would judge it that had accepted all of the base."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance_cases import REPOSITORY, component, repository

pytestmark = pytest.mark.needs("opa", "git")
ORDAIN = Path(sys.executable).parent / "ordain"
BACKUP = "tenants/shop/components/backup.yaml"
MOTD = "tenants/shop/components/motd.yaml"
RULE = """\
# METADATA
# title: Contents never shrink
# schemas:
#   - input: schema.input
# custom:
#   scope: object
#   severity: deny
#   code: test/shrunk
package ordain.custom.test.shrunk

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["metadata", "name"], message) if {
	count(input.object.spec.files[0].content) < count(input.old.spec.files[0].content)
	message := sprintf("it shrank, in %d commits by %s", [count(input.change.commits), input.change.commits[0].author])
}
"""


def write(root: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)


def commit(root: Path, files: dict[str, str]) -> None:
    write(root, files)
    subprocess.run(["git", "-C", root, "add", "--all"], check=True)
    subprocess.run(["git", "-C", root, "commit", "--quiet", "--message", "Change the fleet"], check=True)


def check(root: Path, *arguments: str, ended: int) -> dict[str, Any]:
    done = subprocess.run([ORDAIN, "check", root, "--format", "json", *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == ended, done.stderr + done.stdout
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def denied(found: dict[str, Any]) -> list[tuple[str, str, bool]]:
    return [(one["rule"], one["file"], one["standing"]) for one in found["verdicts"] if one["action"] == "deny"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository whose `backup` has a world-writable file ever since its first commit."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    files = repository() | {BACKUP: component("backup", "/etc/backup.conf", mode="0666"), "policies/test/shrunk/shrunk.rego": RULE}
    commit(tmp_path, files)
    return tmp_path


def test_what_the_base_has_already_is_not_asked_about(root: Path) -> None:
    commit(root, {MOTD: component("motd", "/etc/motd", "hello again")})
    assert denied(check(root, "--base", "HEAD~1", ended=0)) == []
    assert denied(check(root, ended=1)) == [("host-safety/world-writable", BACKUP, False)]


def test_a_verdict_that_stood_before_is_shown_and_refuses_nothing(root: Path) -> None:
    write(root, {BACKUP: component("backup", "/etc/backup.conf", "hello again", mode="0666")})
    found = check(root, "--base", "HEAD", ended=0)
    assert denied(found) == [("host-safety/world-writable", BACKUP, True)]
    assert found["counts"]["standing"] == 1
    text = subprocess.run([ORDAIN, "check", root, "--base", "HEAD"], check=True, capture_output=True, text=True).stdout
    assert "host-safety/world-writable (standing)" in text
    assert text.endswith("manifests, 1 standing\n")


def test_a_new_place_of_an_old_fault_is_refused(root: Path) -> None:
    write(root, {BACKUP: component("backup", "/etc/other.conf", mode="0666")})
    assert denied(check(root, "--base", "HEAD", ended=1)) == [("host-safety/world-writable", BACKUP, False)]


def test_rules_see_the_old_version_and_who_changed_it(root: Path) -> None:
    commit(root, {MOTD: component("motd", "/etc/motd", "hi")})
    found = check(root, "--base", "HEAD~1", "--rev", "HEAD", ended=1)
    assert [one["message"] for one in found["verdicts"] if one["rule"] == "custom/test/shrunk"] == [
        "it shrank, in 1 commits by Ana Example"
    ]
    assert len(found["base"]) == len(found["revision"]) == 40
    assert not found["judge"]["changed"]


def test_a_loosened_judge_is_told_and_the_old_one_still_judges(root: Path) -> None:
    loose = REPOSITORY + "  rules: {host-safety/world-writable: {level: audit}}\n"
    write(root, {"ordain.yaml": loose, MOTD: component("motd", "/etc/motd", mode="0666")})
    found = check(root, "--base", "HEAD", ended=1)
    assert found["judge"] == {"changed": True, "loosened": ["host-safety/world-writable is audit instead of deny"]}
    assert ("host-safety/world-writable", MOTD, False) in denied(found)
    text = subprocess.run([ORDAIN, "check", root, "--base", "HEAD"], check=False, capture_output=True, text=True).stdout
    assert "loosened: host-safety/world-writable is audit instead of deny" in text


def test_a_tightened_judge_shows_what_stands_and_blocks_nothing(root: Path) -> None:
    commit(
        root,
        {
            "ordain.yaml": REPOSITORY + "  rules: {hygiene/owner: {level: deny}}\n",
            MOTD: component("motd", "/etc/motd").replace("owner: ops", "a: b"),
        },
    )
    write(root, {"ordain.yaml": REPOSITORY + "  rules: {hygiene/owner: {level: deny, parameters: {label: team}}}\n"})
    found = check(root, "--base", "HEAD", ended=0)
    assert {(rule, standing) for rule, _, standing in denied(found)} == {("hygiene/owner", True), ("host-safety/world-writable", True)}


def test_a_base_without_a_fleet_repository_is_a_first_import(root: Path) -> None:
    inner = root / "fleets"
    write(inner, repository())
    found = check(inner, "--base", "HEAD", ended=0)
    assert found["accepted"]


def test_a_fleet_repository_in_a_directory_is_compared_with_its_own_past(root: Path) -> None:
    commit(root, {f"fleets/{path}": text for path, text in repository().items()})
    commit(root, {f"fleets/{MOTD}": component("motd", "/etc/motd", mode="0666")})
    assert denied(check(root / "fleets", "--base", "HEAD~1", "--rev", "HEAD", ended=1)) == [("host-safety/world-writable", MOTD, False)]
    done = subprocess.run([ORDAIN, "check", root / "fleets", "--format", "github"], check=False, capture_output=True, text=True)
    assert done.stdout.startswith(f"::error file=fleets/{MOTD},line=")


def test_a_base_that_is_not_there_is_wrong_usage(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    done = subprocess.run([ORDAIN, "check", root, "--base", "nowhere"], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "'nowhere' names no commit" in done.stderr
    plain = tmp_path_factory.mktemp("plain")
    done = subprocess.run([ORDAIN, "check", plain, "--base", "main"], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no git repository" in done.stderr


def test_a_base_beside_the_history_is_warned_about(root: Path) -> None:
    subprocess.run(["git", "-C", root, "checkout", "--quiet", "-b", "side"], check=True)
    commit(root, {MOTD: component("motd", "/etc/motd", "hello on the side")})
    subprocess.run(["git", "-C", root, "checkout", "--quiet", "main"], check=True)
    done = subprocess.run([ORDAIN, "check", root, "--base", "side"], check=False, capture_output=True, text=True)
    assert "side is not in the history of what is judged" in done.stderr
