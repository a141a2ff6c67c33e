"""Manifests written into working copies by commands: real git, real files, nothing overwritten."""

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agent.protocol.errors import InputError, RetryError
from reconciler.cli import cli
from reconciler.cli.init import make
from reconciler.inventory.labels import set_labels
from reconciler.inventory.writing import Pending, write_pending

pytestmark = pytest.mark.needs("git")
AGENTS = "tenants/example/agents"
LIST = "web[01:02].example.com region=eu\nhost-01\n[web]\nweb[01:02].example.com\n"


@pytest.fixture
def fleets(tmp_path: Path) -> Path:
    root = tmp_path / "fleets"
    make(root, commit=True)
    git(root, "config", "user.name", "Ana")
    git(root, "config", "user.email", "ana@example.com")
    (tmp_path / "hosts").write_text(LIST)
    return root


def git(root: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True, text=True).stdout


def run(fleets: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, [*words, "--repo", str(fleets)], catch_exceptions=True)


def imported(fleets: Path, *words: str) -> Result:
    return run(fleets, "import", str(fleets.parent / "hosts"), "--tenant", "example", *words)


def test_an_inventory_becomes_one_commit_of_new_manifests_and_nothing_else(fleets: Path) -> None:
    (fleets / "README.md").write_text("mine, and not ready\n")
    git(fleets, "add", "README.md")
    done = imported(fleets, "--labels", "region", "--group-label", "role=web", "--commit", "--format", "json")
    assert done.exit_code == 0
    said = json.loads(done.stdout)
    assert said["files"] == [f"{AGENTS}/web01-example-com.yaml", f"{AGENTS}/web02-example-com.yaml"]
    assert [(one["host"], one["leftOut"]) for one in said["notes"]][-1] == ("host-01", True)
    assert git(fleets, "show", "--name-only", "--format=%H", "HEAD").split() == [said["commit"], *said["files"]]
    assert git(fleets, "status", "--porcelain") == "M  README.md\n"
    assert "labels: {region: eu, role: web}" in (fleets / said["files"][0]).read_text()


def test_a_dry_run_writes_nothing_and_a_second_run_neither(fleets: Path) -> None:
    assert "2 hosts would be written, 1 left out" in imported(fleets, "--dry-run").stderr
    assert git(fleets, "status", "--porcelain") == ""
    assert "2 hosts written" in imported(fleets).stderr
    before = {path: path.read_bytes() for path in (fleets / AGENTS).iterdir()}
    again = imported(fleets, "--commit")
    assert (again.exit_code, again.stdout) == (0, "")
    assert {path: path.read_bytes() for path in (fleets / AGENTS).iterdir()} == before


def test_a_tenant_that_is_not_there_and_a_link_that_leads_out_are_refused(fleets: Path) -> None:
    (fleets.parent / "hosts").write_text("new\n")
    assert isinstance(run(fleets, "import", str(fleets.parent / "hosts"), "--tenant", "exampel").exception, InputError)
    outside = fleets.parent / "outside"
    outside.mkdir()
    make(fleets.parent / "other", commit=False)
    (fleets.parent / "other" / AGENTS / "host-01.yaml").unlink()
    (fleets.parent / "other" / AGENTS).rmdir()
    (fleets.parent / "other" / AGENTS).symlink_to(outside)
    linked = run(fleets.parent / "other", "import", str(fleets.parent / "hosts"), "--tenant", "example")
    assert isinstance(linked.exception, InputError)
    assert list(outside.iterdir()) == []


def test_a_directory_that_is_no_fleet_repository_is_refused_before_it_is_walked_through(fleets: Path) -> None:
    for typed in (
        run(fleets.parent, "agents", "labels", "example/host-01"),
        run(fleets.parent, "import", str(fleets.parent / "hosts"), "--tenant", "example"),
    ):
        assert isinstance(typed.exception, InputError), typed.output
        assert "it has no ordain.yaml, so it is not the root of a fleet repository" in str(typed.exception)
    with pytest.raises(InputError, match=r"it has no ordain\.yaml"):
        write_pending(fleets.parent, [Pending(tenant="example", agent="web-09")])


def test_a_label_that_was_typed_wrong_is_no_label_of_all_hosts(fleets: Path) -> None:
    typed = imported(fleets, "--label", "env=a b")
    assert isinstance(typed.exception, InputError)
    assert "label env can't be set: 'a b' is no value of a label" in str(typed.exception)
    assert "write TENANT/AGENT" in run(fleets, "agents", "labels", "host-01").output


def test_a_commit_that_git_refuses_is_said_and_the_files_stay(fleets: Path) -> None:
    hook = fleets / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'not on a Friday' >&2\nexit 1\n")
    hook.chmod(0o755)
    refused = imported(fleets, "--commit")
    assert isinstance(refused.exception, RetryError)
    assert "not on a Friday" in str(refused.exception)
    assert (fleets / AGENTS / "web01-example-com.yaml").exists()


def test_hosts_that_asked_to_join_become_one_commit_and_claim_no_label_unasked(fleets: Path) -> None:
    facts = {"os": {"id": "debian"}, "platform": "linux/amd64", "disks": [1]}
    entries = [Pending(tenant="example", agent=name, facts=facts) for name in ("edge-1", "edge-2", "host-01")]
    done = write_pending(fleets, [*entries, Pending(tenant="other", agent="x")], labels={"os": "os.id", "disks": "disks"})
    assert done.files == (f"{AGENTS}/edge-1.yaml", f"{AGENTS}/edge-2.yaml")
    assert {one.name for one in done.notes if one.left_out} == {"host-01", "x"}
    assert "it says nothing of disks, so it gets no label disks" in {one.what for one in done.notes if one.name == "edge-1"}
    assert git(fleets, "log", "-1", "--format=%H %s") == f"{done.commit} 2 hosts that asked to join\n"
    assert "labels: {os: debian}" in (fleets / done.files[0]).read_text()
    assert "labels" not in (fleets / write_pending(fleets, [Pending(tenant="example", agent="e", facts=facts)]).files[0]).read_text()


def test_who_came_by_a_platforms_word_may_come_by_it_again(fleets: Path) -> None:
    platform = '{issuer: "https://ci.example.com", audience: ordain, claims: {sub: ["acme/one"]}}'
    spec = f"spec: {{enrolment: {{platforms: [{platform}]}}}}"
    (fleets / AGENTS / "one.yaml").write_text(f"apiVersion: ordain.dev/v1\nkind: Agent\nmetadata: {{name: one, tenant: example}}\n{spec}\n")
    hows = {"two": "https://ci.example.com#acme/two", "three": "https://other.example.com#x", "four": "https://ci.example.com#acme/*"}
    entries = [Pending(tenant="example", agent=name, how=f"platform:{how}") for name, how in hows.items()]
    write_pending(fleets, [*entries, Pending(tenant="example", agent="five", how="token:t1")], commit=False)
    asked = '    platforms:\n      - issuer: "https://ci.example.com"\n        audience: "ordain"\n        claims: {sub: ["acme/two"]}\n'
    written = {name: (fleets / AGENTS / f"{name}.yaml").read_text() for name in (*hows, "five")}
    assert written.pop("two").endswith(f"spec:\n  enrolment:\n{asked}")
    assert all(text.endswith("spec: {}\n") for text in written.values()), "an issuer that nobody named, what would fit others, a token"


def test_labels_change_in_the_manifest_with_comments_kept(fleets: Path) -> None:
    path = fleets / AGENTS / "host-01.yaml"
    path.write_text(
        path.read_text().replace('labels: {role: web, region: eu, canary: "true"}', "labels:\n    role: web # why\n    region: eu")
    )
    done = run(fleets, "agents", "labels", "example/host-01", "rack=r7", "region-", "role=db")
    assert (done.exit_code, done.stdout) == (0, "rack=r7\nrole=db\n")
    assert '  labels:\n    role: db # why\n    rack: "r7"\nspec:' in path.read_text()
    assert run(fleets, "agents", "labels", "example/host-01", "role=db").stderr == "example/host-01: its labels are so already\n"


@pytest.mark.parametrize(
    "change", [("example", "host-1", {"a": "b"}), ("example", "host-01", {"a b": "c"}), ("example", "host-01", {"a": "b c"})]
)
def test_labels_that_can_not_be_are_refused(fleets: Path, change: tuple[str, str, dict[str, str | None]]) -> None:
    before = (fleets / AGENTS / "host-01.yaml").read_bytes()
    with pytest.raises(InputError):
        set_labels(fleets, *change)
    assert (fleets / AGENTS / "host-01.yaml").read_bytes() == before
