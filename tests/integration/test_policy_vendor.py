"""A fleet repository's own copy of the rule library: made once, upgraded when somebody says so, never over changes by hand."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent.protocol.codec import sha256
from reconciler.pipeline.policy.vendoring import RECORD, brought, own_version
from tests.acceptance_cases import repository

pytestmark = pytest.mark.needs("opa")

SOAK = "rules/reliability/soak/soak.rego"
OWNER = "rules/hygiene/owner"


def ordain(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from reconciler.cli import main; main()", "policy", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def fleets(tmp_path: Path) -> Path:
    """A fleet repository whose components name no owner, with a copy of the library."""
    for path, text in repository().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text.replace("labels: {owner: ops}", "labels: {}"))
    assert ordain("vendor", tmp_path).returncode == 0
    return tmp_path


def library(fleets: Path) -> Path:
    return fleets / "policies" / "library"


def make_older(fleets: Path) -> None:
    """Make the copy one of an older ordain: without a rule, and with another level for one."""
    root = library(fleets)
    for path in (root / OWNER).rglob("*"):
        if path.is_file():
            path.unlink()
    (root / SOAK).write_text((root / SOAK).read_text().replace("severity: warn", "severity: audit"))
    there = {path.relative_to(root).as_posix(): sha256(path.read_bytes()) for path in root.rglob("*") if path.is_file()}
    record = {"format": 1, "version": "0.0.9", "files": {name: digest for name, digest in there.items() if name != RECORD}}
    (root / RECORD).write_text(json.dumps(record))


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_copy_is_the_library_and_judges(fleets: Path) -> None:
    assert files(library(fleets)) == brought()
    rows = json.loads(ordain("list", fleets, "--format", "json").stdout)
    assert {row["file"].startswith("policies/library/rules/") for row in rows} == {True}


def test_a_second_copy_is_not_made(fleets: Path) -> None:
    done = ordain("vendor", fleets)
    assert done.returncode == 2
    assert "ordain policy upgrade" in done.stderr


def test_a_copy_of_the_same_version_has_nothing_to_upgrade(fleets: Path) -> None:
    done = ordain("upgrade", fleets)
    assert done.returncode == 0
    assert "nothing to do" in done.stdout


def test_an_upgrade_shows_rules_and_verdicts_before_it_does_anything(fleets: Path) -> None:
    make_older(fleets)
    before = files(library(fleets))
    done = ordain("upgrade", fleets, "--format", "json")
    assert done.returncode == 0
    plan = json.loads(done.stdout)
    assert (plan["from"], plan["to"], plan["done"]) == ("0.0.9", own_version(), False)
    assert plan["rules"]["added"] == {"hygiene/owner": "warn"}
    assert plan["rules"]["levels"] == {"reliability/soak": {"from": "audit", "to": "warn"}}
    assert plan["rules"]["rewritten"] == ["reliability/soak"]
    assert {one["rule"] for one in plan["verdicts"]["new"]} == {"hygiene/owner"}
    assert len(plan["verdicts"]["new"]) == 6, "three components and three fleets"
    assert plan["verdicts"]["gone"] == []
    assert files(library(fleets)) == before


def test_an_upgrade_is_done_when_somebody_says_yes(fleets: Path) -> None:
    make_older(fleets)
    done = ordain("upgrade", fleets, "--yes")
    assert done.returncode == 0
    assert "added      hygiene/owner (warn)" in done.stdout
    assert files(library(fleets)) == brought()
    assert [path.name for path in (fleets / "policies").iterdir()] == ["library"]


def test_what_was_changed_by_hand_is_named_and_kept(fleets: Path) -> None:
    soak = library(fleets) / SOAK
    changed = soak.read_text().replace("minimum: 5m", "minimum: 1m")
    soak.write_text(changed)
    (library(fleets) / "rules" / "NOTES").write_text("ours")
    done = ordain("upgrade", fleets, "--yes")
    assert done.returncode == 1
    assert f"changed or deleted by hand: rules/NOTES, {SOAK}" in done.stderr
    assert soak.read_text() == changed
    assert ordain("upgrade", fleets, "--yes", "--force").returncode == 0
    assert files(library(fleets)) == brought()


def test_a_copy_that_does_not_say_what_it_is_of_counts_as_changed(fleets: Path) -> None:
    (library(fleets) / RECORD).write_text("{")
    done = ordain("upgrade", fleets)
    assert done.returncode == 1
    assert "rules of ordain unknown" in done.stdout


def test_without_a_copy_there_is_nothing_to_upgrade(tmp_path: Path) -> None:
    (tmp_path / "ordain.yaml").write_text(repository()["ordain.yaml"])
    done = ordain("upgrade", tmp_path)
    assert done.returncode == 2
    assert "ordain policy vendor" in done.stderr


def test_only_a_fleet_repository_gets_a_copy(tmp_path: Path) -> None:
    done = ordain("vendor", tmp_path)
    assert done.returncode == 2
    assert "is no fleet repository" in done.stderr
    assert list(tmp_path.iterdir()) == []
