"""`ordain check` twice: what it remembers saves work, and never changes what it says."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance_cases import REPOSITORY, component, repository

pytestmark = pytest.mark.needs("opa", "git")
ORDAIN = Path(sys.executable).parent / "ordain"
MOTD = "tenants/shop/components/motd.yaml"
DATED = """\
# METADATA
# title: Nothing changes in the evening
# schemas:
#   - input: schema.input
# custom:
#   scope: {scope}
#   severity: deny
#   code: test/evening
package ordain.custom.test.evening

import data.ordain.result

deny contains result.at(rego.metadata.chain(), [], message) if {{
	input.change.now {comparison}
	message := "it is too late"
}}
"""


@dataclass(frozen=True, kw_only=True)
class Rig:
    """A fleet repository, a cache of its own, and an OPA that writes down each time it is started as a server."""

    root: Path
    cache: Path
    opa: Path
    starts: Path

    def write(self, files: dict[str, str]) -> None:
        for path, text in files.items():
            place = self.root / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)

    def check(self, *arguments: str) -> tuple[dict[str, Any], str]:
        environment = {**os.environ, "ORDAIN_CACHE": str(self.cache), "ORDAIN_OPA": str(self.opa)}
        command = [str(ORDAIN), "check", str(self.root), "--format", "json", "--verbose", *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
        assert done.returncode in (0, 1), done.stderr
        return json.loads(done.stdout), done.stderr

    @property
    def started(self) -> int:
        return len(self.starts.read_text().splitlines())

    def sealed(self, kind: str) -> list[Path]:
        return sorted((self.cache / "check").glob(f"{kind}-*.sealed"))


@pytest.fixture
def rig(tmp_path: Path, opa: Path) -> Rig:
    wrapper = tmp_path / "opa"
    starts = tmp_path / "starts"
    starts.touch()
    wrapper.write_text(f'#!/bin/sh\n[ "$1" = run ] && echo started >> {starts}\nexec {opa} "$@"\n')
    wrapper.chmod(0o755)
    made = Rig(root=tmp_path / "fleets", cache=tmp_path / "cache", opa=wrapper, starts=starts)
    made.write(repository() | {MOTD: component("motd", "/etc/motd", mode="0666")})
    subprocess.run(["git", "init", "--quiet", made.root], check=True)
    return made


def test_a_second_check_says_the_same_without_opa(rig: Rig) -> None:
    first, cold = rig.check()
    assert rig.started == 1
    assert "0 files known" in cold
    again, warm = rig.check()
    assert rig.started == 1
    assert "outcome known" in warm
    assert again == first
    assert {one["rule"] for one in again["verdicts"] if one["blocking"]} == {"host-safety/world-writable"}


def test_every_form_of_the_report_comes_from_the_same_outcome(rig: Rig) -> None:
    environment = {**os.environ, "ORDAIN_CACHE": str(rig.cache), "ORDAIN_OPA": str(rig.opa)}
    for form in ("text", "sarif"):
        command = [str(ORDAIN), "check", str(rig.root), "--format", form]
        said = [
            subprocess.run([*command, *more], check=False, capture_output=True, text=True, env=environment).stdout
            for more in ([], ["--no-cache"])
        ]
        assert said[0] == said[1]


def test_one_changed_file_is_read_and_judged_alone(rig: Rig) -> None:
    rig.check()
    rig.write({MOTD: component("motd", "/etc/motd", "hello again", mode="0644")})
    found, said = rig.check()
    assert found["accepted"]
    assert f"{len(repository()) - 1} files known, 1 read" in said
    assert ", 2 asked" in said  # the component, and the release of its fleet
    assert rig.check("--no-cache")[0] == found


def test_another_judge_asks_again(rig: Rig) -> None:
    assert not rig.check()[0]["accepted"]
    rig.write({"ordain.yaml": REPOSITORY + "  rules: {host-safety/world-writable: {level: audit}}\n"})
    found, said = rig.check()
    assert found["accepted"]
    assert "0 verdicts known" in said


def test_a_file_that_is_taken_away_is_missed(rig: Rig) -> None:
    rig.check()
    (rig.root / "tenants/shop/tenant.yaml").unlink()
    found, _ = rig.check()
    assert "manifest/missing-tenant" in {one["rule"] for one in found["verdicts"]}


@pytest.mark.parametrize(
    ("kind", "spoilt"),
    [("outcome", b""), ("manifests", b"\0" * 64), ("answers", b"ordain-cache-1\n"), ("rego", b"\0" * 64), ("places", b"ordain-cache-1\n")],
)
def test_a_spoilt_cache_is_noticed_dropped_and_worked_out_again(kind: str, spoilt: bytes, rig: Rig) -> None:
    first, _ = rig.check()
    for path in rig.sealed("outcome"):
        if kind != "outcome":
            path.unlink()
    [path] = rig.sealed(kind)
    data = path.read_bytes()
    path.write_bytes(spoilt and spoilt + data[len(spoilt) + 8 :])
    again, said = rig.check()
    assert again == first
    assert "1 broken entries dropped" in said


def test_a_forged_outcome_is_not_believed(rig: Rig) -> None:
    rig.check()
    [path] = rig.sealed("outcome")
    data = path.read_bytes()
    assert b"accepted\xc2" in data
    path.write_bytes(data.replace(b"accepted\xc2", b"accepted\xc3"))
    found, said = rig.check()
    assert not found["accepted"]
    assert "1 broken entries dropped" in said


def test_without_the_cache_nothing_is_read_or_written(rig: Rig) -> None:
    rig.check("--no-cache")
    assert not rig.cache.exists()


def test_a_rule_about_changes_that_reads_the_time_is_asked_each_time(rig: Rig) -> None:
    late = DATED.format(scope="change", comparison='< "2020"')
    rig.write({"policies/test/evening/evening.rego": late, MOTD: component("motd", "/etc/motd")})
    first, _ = rig.check()
    assert first["accepted"]
    assert rig.started == 1
    again, said = rig.check()
    assert again == first
    assert rig.started == 2
    assert "outcome known" in said


def test_an_outcome_that_a_dated_rule_no_longer_shares_is_worked_out_again(rig: Rig) -> None:
    rig.write(
        {
            "policies/test/evening/evening.rego": DATED.format(scope="change", comparison='>= "2026-11-23T18:00:00Z"'),
            MOTD: component("motd", "/etc/motd"),
        }
    )
    assert rig.check("--at", "2026-11-23T17:59:59Z")[0]["accepted"]
    found, said = rig.check("--at", "2026-11-23T18:00:00Z")
    assert not found["accepted"]
    assert "outcome worked out" in said


def test_an_object_rule_that_reads_the_time_is_asked_each_time(rig: Rig) -> None:
    rig.write(
        {"policies/test/evening/evening.rego": DATED.format(scope="object", comparison='< "2020"'), MOTD: component("motd", "/etc/motd")}
    )
    rig.check()
    _, said = rig.check()
    assert "outcome worked out" in said
    assert rig.started == 2


def test_what_could_not_be_judged_is_tried_again(rig: Rig) -> None:
    junk = (
        DATED.format(scope="object", comparison='!= ""').split("deny contains")[0]
        + 'deny contains {"odd": result.at(rego.metadata.chain(), [], "m")}\n'
    )
    rig.write({"policies/test/evening/evening.rego": junk})
    environment = {**os.environ, "ORDAIN_CACHE": str(rig.cache), "ORDAIN_OPA": str(rig.opa)}
    for started in (1, 2):
        done = subprocess.run([ORDAIN, "check", rig.root, "--verbose"], check=False, capture_output=True, text=True, env=environment)
        assert done.returncode == 3
        assert "outcome worked out" in done.stderr
        assert rig.started == started


def test_a_base_is_remembered_too(rig: Rig) -> None:
    subprocess.run(["git", "-C", rig.root, "add", "--all"], check=True)
    subprocess.run(["git", "-C", rig.root, "commit", "--quiet", "--message", "Begin"], check=True)
    rig.write({MOTD: component("motd", "/etc/motd", "hello again", mode="0666")})
    first, _ = rig.check("--base", "HEAD")
    again, said = rig.check("--base", "HEAD")
    assert again == first
    assert first["counts"]["standing"] == 1
    assert "outcome known" in said
    assert not rig.check()[0]["accepted"]
