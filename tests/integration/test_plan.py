"""`ordain plan`: what a pull request would do, read from git and asked of a real OPA."""

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from reconciler.cli.plan import plan as command
from reconciler.cli.planned import FORMATS, render, words
from reconciler.cli.report.markdown import LIMIT
from reconciler.pipeline.plan.shape import Fleet, Item, Plan
from tests.acceptance_cases import REPOSITORY, agent, component, fleet
from tests.plan_cases import GOLDEN, KEPT, before, begin, branched, git, planned, write
from tests.signing_cases import REQUIRED, owner, with_ssh, within
from tests.source_cases import WorkingCopy

pytestmark = pytest.mark.needs("opa", "git")
ORDAIN = Path(sys.executable).parent / "ordain"
BACKUP = "tenants/shop/components/backup.yaml"
CONFIG = "tenants/shop/components/config.yaml"
WEB = "tenants/shop/fleets/web.yaml"
SECRET = "Authorization: Bearer abcdefghijklmnop"


@pytest.fixture(scope="module")
def opa() -> Path:
    from reconciler.opa.program import find_opa  # noqa: PLC0415 - only where OPA is there, see pytestmark

    return find_opa(None)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return branched(tmp_path_factory.mktemp("plan") / "fleets")


@pytest.fixture(scope="module")
def plan(root: Path, opa: Path) -> Plan:
    """The plan of the branch."""
    return planned(root, opa, head="topic")


def fleet_of(plan: Plan, name: str) -> Fleet:
    return next(one for one in plan.fleets if one.fleet == name)


def items(plan: Plan) -> dict[str, Item]:
    """Return all items of a plan by name."""
    return {item.name: item for one in plan.fleets for difference in one.differences for item in difference.items}


@pytest.mark.parametrize("form", sorted(KEPT))
def test_a_plan_reads_as_it_was_read_and_kept(plan: Plan, form: str) -> None:
    kept = (GOLDEN / KEPT[form]).read_text()
    assert click.unstyle(render(plan, form)) + "\n" == kept, (
        "read what it says now; `python -m tests.plan_cases` keeps it, if that is better"
    )


def test_what_goes_away_is_bold(plan: Plan) -> None:
    bold = [click.unstyle(line).strip() for line in render(plan, "text").split("\n") if "\x1b[31m\x1b[1m" in line]
    assert [line.split("  ")[0] for line in bold if "REMOVED" in line] == [
        "- Fleet shop/cache is REMOVED",
        "- file /etc/old.conf, REMOVED, 2 lines",
    ]
    assert "<b><code>Fleet shop/cache is REMOVED</code></b>" in render(plan, "markdown")
    assert '<span class="removed">Fleet shop/cache is REMOVED</span>' in render(plan, "html")


def test_only_what_the_branch_changes_is_planned_though_main_has_moved_on(plan: Plan, root: Path) -> None:
    assert plan.base == git(root, "merge-base", "main", "topic")
    assert {one.file for one in plan.objects.removed} == {"tenants/shop/fleets/cache.yaml"}


def test_a_host_that_moves_takes_paths_along_that_both_fleets_own(root: Path, opa: Path) -> None:
    files = before() | {
        "tenants/shop/fleets/db.yaml": fleet("db", "backup", role="cache"),
        "tenants/shop/fleets/cache.yaml": fleet("cache", "backup", role="db"),
    }
    swapped = planned(_with(root, files), opa, base="main~1")
    assert [(one.host, one.left, one.joined) for one in swapped.moves] == [
        ("cache-01", ("cache",), ("db",)),
        ("db-01", ("db",), ("cache",)),
    ]
    assert any("takes over /etc/backup.conf from fleet cache in place" in note for note in fleet_of(swapped, "shop/db").notes)


def _with(root: Path, files: dict[str, str]) -> Path:
    """Return a copy of the repository with these files in the working directory."""
    copy = root.parent / "copy"
    if not copy.exists():
        git(root, "clone", "--quiet", str(root), str(copy))
        git(copy, "branch", "--quiet", "main", "origin/main")
    git(copy, "checkout", "--quiet", "--detach", "main~1")
    git(copy, "clean", "--quiet", "-fd")
    for path in [path for path in copy.rglob("*.yaml") if ".git" not in path.parts]:
        path.unlink()
    write(copy, files)
    return copy


def test_who_weakens_the_rule_that_judges_him_is_refused_by_it(root: Path, opa: Path) -> None:
    loose = REPOSITORY + "  rules: {host-safety/world-writable: {level: audit}}\n"
    found = planned(
        _with(root, before() | {"ordain.yaml": loose, BACKUP: component("backup", "/etc/backup.conf", mode="0666")}), opa, base="main~1"
    )
    assert not found.accepted
    assert found.judge.changed
    assert found.judge.loosened == ("host-safety/world-writable is audit instead of deny",)
    assert [(one["rule"], one["action"], one["file"]) for one in found.judge.base_only] == [("host-safety/world-writable", "deny", BACKUP)]
    assert [(one["rule"], one["action"]) for one in found.judge.head_only] == [("host-safety/world-writable", "audit")]
    assert (
        render(found, "text")
        .split("\n")[0]
        .endswith("note: signatures are off: whoever may merge may also loosen the rules that judge a change\x1b[0m")
    )
    assert fleet_of(found, "shop/db").held
    assert items(found)["/etc/backup.conf"].lines, "what was written is shown, though it is refused"


@pytest.mark.needs("ssh-keygen")
def test_with_signatures_on_only_a_policy_owner_may_loosen_the_judge(tmp_path: Path, opa: Path) -> None:
    ana, bob = with_ssh("ana", tmp_path), with_ssh("bob", tmp_path)
    copy = WorkingCopy.make(tmp_path / "fleets")
    signers = {"signers/ana.yaml": owner(ana), "signers/bob.yaml": within(bob, "tenants/shop/**")}
    ana.commit(copy, "signatures on", {**before(), **signers, "ordain.yaml": REQUIRED})
    copy.git("branch", "accepted")
    loose: dict[str, str | None] = {"ordain.yaml": REQUIRED + "  rules: {host-safety/world-writable: {level: audit}}\n"}
    found = {}
    for person in (bob, ana):
        copy.git("checkout", "--quiet", "-B", "request", "accepted")
        person.commit(copy, "loosen", loose)
        found[person.name] = planned(copy.path, opa, base="accepted", head="request")
    assert found["ana"].accepted
    assert [one["rule"] for one in found["bob"].verdicts.new if one["blocking"]] == ["signatures/judge"]
    assert found["bob"].judge.loosened == found["ana"].judge.loosened == ("host-safety/world-writable is audit instead of deny",)
    assert found["ana"].signatures.on
    assert not render(found["ana"], "text").startswith("note")
    uncommitted = planned(copy.path, opa, base="accepted")
    assert uncommitted.signatures.sentence.startswith("files that are not committed yet are nobody's")


def test_what_can_not_be_read_is_not_deleted_and_what_does_not_compile_says_why(root: Path, opa: Path) -> None:
    files = before() | {WEB: "spec: [\n", BACKUP: component("backup", "/etc/backup.conf", "${parameters.x}")}
    found = planned(_with(root, files), opa, base="main~1")
    web, db = fleet_of(found, "shop/web"), fleet_of(found, "shop/db")
    assert (web.kind, web.members, web.leaving.count) == ("held", 6, 0)
    assert web.held.startswith(f"{WEB} is refused: not YAML")
    assert "${parameters.x} is not a parameter of this component" in db.uncompiled
    assert found.impact.agents == 0
    assert not found.objects.removed


def test_verdicts_are_new_gone_or_unchanged(root: Path, opa: Path) -> None:
    start = before() | {
        BACKUP: component("backup", "/etc/backup.conf").replace("labels: {owner: ops}", "labels: {}"),
        "tenants/shop/components/motd.yaml": component("motd", "/etc/motd").replace("labels: {owner: ops}", "labels: {}"),
    }
    place = begin(root.parent / "verdicts", start)
    changed = {
        BACKUP: component("backup", "/etc/backup.conf", "else").replace("labels: {owner: ops}", "labels: {}"),
        "tenants/shop/components/motd.yaml": component("motd", "/etc/motd"),
        WEB: before()[WEB].replace("labels: {owner: ops}", "labels: {}"),
    }
    write(place, changed)
    found = planned(place, opa).verdicts
    told = {
        kind: sorted((one["rule"], one["file"]) for one in getattr(found, kind) if one["rule"] == "hygiene/owner")
        for kind in ("new", "gone", "unchanged")
    }
    assert told == {
        "new": [("hygiene/owner", WEB)],
        "gone": [("hygiene/owner", "tenants/shop/components/motd.yaml")],
        "unchanged": [("hygiene/owner", BACKUP)],
    }


@pytest.fixture(scope="module")
def with_secrets(root: Path, opa: Path) -> Plan:
    """A plan in which one secret comes, in one file, and another stands beside what changes, in another."""
    stands = component("backup", "/etc/backup.conf", f"{SECRET} workers ${{parameters.n}}")
    stands = stands.replace("  files:", "  parameters: {n: {type: number, default: 1}}\n  files:")
    rules = REPOSITORY + "  rules: {secrets/token: {level: audit}}\n"
    place = begin(root.parent / "secrets", before() | {"ordain.yaml": rules, BACKUP: stands})
    config = before()[CONFIG].replace("host ${agent.name}", SECRET)
    write(place, {BACKUP: stands.replace("default: 1", "default: 2"), CONFIG: config})
    return planned(place, opa)


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_no_form_shows_a_secret_that_comes_or_stands_beside_a_change(with_secrets: Plan, form: str) -> None:
    assert {name: bool(item.withheld) for name, item in items(with_secrets).items()} == {"/etc/backup.conf": True, "/etc/web.conf": True}
    told = render(with_secrets, form)
    assert "abcdefghijklmnop" not in told
    assert "secrets/token found a secret in it" in told


def test_a_waiver_that_is_used_and_ends_soon_is_named(root: Path, opa: Path) -> None:
    waiver = (
        "apiVersion: ordain.dev/v1\nkind: Waiver\nmetadata: {name: open, tenant: shop}\nspec:\n"
        "  {rule: host-safety/world-writable, object: {kind: Component, name: backup}, at: 'files[/etc/backup.conf].mode',\n"
        "  value: '0666', reason: an old tool, owner: ana@example.com, expires: 2026-12-01}\n"
    )
    files = {BACKUP: component("backup", "/etc/backup.conf", mode="0666"), "tenants/shop/waivers/open.yaml": waiver}
    found = planned(_with(root, before() | files), opa, base="main~1")
    assert found.accepted
    assert [(one.name, one.used, one.expiring, one.days) for one in found.waivers] == [("open", True, True, 8)]
    assert "used here, ENDS in 8 days" in render(found, "text")
    assert found.waivers[0].granted == "no signature says by whom"
    line = (
        "excuses host-safety/world-writable on Component shop/backup until 2026-12-02T00:00:00Z, owner ana@example.com; no signature says"
    )
    for form in sorted(FORMATS):
        told = re.sub(r"<style>.*</style>", "", click.unstyle(render(found, form)), flags=re.DOTALL)
        assert form == "json" or f"shop/open {line}" in told[: len(told) // 2], form
        assert form == "json" or words.GRANTS in told, form
    assert "<code>+ Waiver shop/open</code> <code>tenants/shop/waivers/open.yaml</code>" in render(found, "markdown")


def test_a_change_of_everything_fits_a_comment_and_says_what_it_left_out(root: Path, opa: Path) -> None:
    long = "\\n".join(f"line {number}" for number in range(40))
    longest = "\\n".join(f"line {number}" for number in range(3000))
    files = dict(before())
    for number in range(110):
        files[f"tenants/shop/components/c{number}.yaml"] = component(f"c{number}", f"/etc/c{number}", longest if number == 0 else long)
        files[f"tenants/shop/agents/h{number}.yaml"] = agent(f"h{number}", role=f"r{number}")
        files[f"tenants/shop/fleets/f{number}.yaml"] = fleet(f"f{number}", f"c{number}", role=f"r{number}")
    found = planned(_with(root, files), opa, base="main~1")
    assert len(items(found)["/etc/c0"].lines) < 200
    assert items(found)["/etc/c0"].more > 2800
    assert found.more_fleets == 10
    told = render(found, "markdown")
    assert len(told) <= LIMIT
    assert "more fleets left out, since a comment holds no more" in told


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ORDAIN, "plan", *arguments], cwd=root, check=False, capture_output=True, text=True)


def test_exit_codes_tell_what_came_of_it(root: Path) -> None:
    told = run(root, "--base", "main", "--head", "topic", "--format", "json")
    assert (told.returncode, json.loads(told.stdout)["accepted"]) == (0, True), told.stderr
    assert "main has moved on: planned from " in told.stderr
    refused = _with(root, before() | {BACKUP: component("backup", "/etc/backup.conf", mode="0666")})
    done = CliRunner().invoke(command, [str(refused), "--base", "main~1", "--no-cache"])
    assert (done.exit_code, done.output.rstrip().split("\n")[-1].partition(":")[0]) == (1, "refused"), done.exception
    told = run(root, "--base", "nowhere")
    assert (told.returncode, told.stdout) == (2, "")
    assert "--base: " in told.stderr
