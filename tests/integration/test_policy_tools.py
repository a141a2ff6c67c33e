"""What an author of rules works with: new, test, lint, try, debug and bench, on a repository as `ordain init` makes it."""

import json
import shutil
import time
from pathlib import Path
from threading import Thread

import pytest
from click.testing import CliRunner, Result

from agent.protocol.errors import InputError
from reconciler.cli import cli
from reconciler.cli.init import make
from reconciler.cli.watching import watched

pytestmark = pytest.mark.needs("opa", "git")

RULE = "policies/files/not-in-tmp/not-in-tmp.rego"
COMPONENT = """apiVersion: ordain.dev/v1
kind: Component
metadata: {name: scratch, tenant: example}
spec:
  files:
    - path: /tmp/a
      content: a
    - path: /etc/b
      content: b
"""


def ordain(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["policy", *map(str, arguments)])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new repository with one more rule of each scope, and a component that one rule finds."""
    root = tmp_path_factory.mktemp("tools") / "fleets"
    make(root, commit=True)
    for name, *options in (
        ("names/no-tmp", "--kind", "Component"),
        ("rollout/members", "--scope", "release"),
        ("change/few", "--scope", "change"),
        ("names/own", "--kind", "Fleet", "--tenant", "example"),
    ):
        assert ordain("new", name, root, *options).exit_code == 0
    (root / "tenants/example/components/scratch.yaml").write_text(COMPONENT)
    return root


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(made, tmp_path / "fleets"))


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_new_rules_of_each_scope_pass_their_tests_reach_every_line_and_leave_lint_silent(made: Path) -> None:
    done = ordain("test", made, "--minimum", "100")
    assert done.stdout == (
        "100.0 %  custom/change/few\n"
        "100.0 %  custom/files/not-in-tmp\n"
        "100.0 %  custom/names/no-tmp\n"
        "100.0 %  custom/rollout/members\n"
        "100.0 %  example/names/own\n"
        "5 rules, 10 Rego tests, 10 examples: all pass\n"
    )
    assert done.exit_code == 0
    linted = ordain("lint", made)
    assert (linted.stdout, linted.exit_code) == ("accepted: 5 rules, nothing found\n", 0)


def test_a_new_rule_about_any_kind_has_valid_examples_whatever_it_is_called(tmp_path: Path) -> None:
    make(tmp_path / "fleets", commit=False)
    for name, kind in (("found", "Fleet"), ("tested", "Agent"), ("paths", "AgentPool"), ("result", "Tenant")):
        assert ordain("new", f"names/{name}", tmp_path / "fleets", "--kind", kind).exit_code == 0
    done = ordain("test", tmp_path / "fleets", "--rule", "names/")
    assert done.stdout == "4 rules, 8 Rego tests, 8 examples: all pass\n"


def test_new_overwrites_nothing_wherever_the_rule_lies(copy: Path) -> None:
    before = (copy / "policies/names/no-tmp/no-tmp.rego").read_bytes()
    assert "there is a rule custom/names/no-tmp already" in str(ordain("new", "names/no-tmp", copy).exception)
    (copy / "policies/names").rename(copy / "policies/moved")
    assert "policies/moved/no-tmp/no-tmp.rego" in str(ordain("new", "custom/names/no-tmp", copy).exception)
    assert (copy / "policies/moved/no-tmp/no-tmp.rego").read_bytes() == before
    (copy / "policies/free/place").mkdir(parents=True)
    assert "nothing is overwritten" in str(ordain("new", "free/place", copy).exception)
    assert list((copy / "policies/free").rglob("*")) == [copy / "policies/free/place"]


def test_new_writes_no_rule_for_a_tenant_that_is_not_there(copy: Path) -> None:
    done = ordain("new", "names/own", copy, "--tenant", "exmaple")
    assert "--tenant exmaple: the repository has no such tenant; did you mean example?" in str(done.exception)
    assert not (copy / "policies/tenants/exmaple").exists()


def test_new_writes_nothing_through_a_symlink(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (copy / "policies/out").symlink_to(tmp_path / "elsewhere")
    assert "leads out of the repository" in str(ordain("new", "out/rule", copy).exception)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_failing_test_shows_what_was_expected_and_what_came(copy: Path) -> None:
    edit(copy / RULE.replace(".rego", "_test.rego"), 'found("/tmp/note.txt") == 1', 'found("/tmp/note.txt") == 2')
    done = ordain("test", copy, "--rule", "not-in-tmp", "--coverage")
    assert done.stdout == (
        "policies/files/not-in-tmp/not-in-tmp_test.rego:9: ordain.custom.files.not_in_tmp_test.test_a_file_under_tmp_is_found: "
        "it is not true\n"
        "    expected  2\n"
        "    actual    1\n"
        "1 rule, 2 Rego tests, 2 examples: 1 failed\n"
    )
    assert done.exit_code == 1


def test_lines_that_nothing_reaches_are_named_and_fail_under_a_bound(copy: Path) -> None:
    rule = copy / RULE
    rule.write_text(rule.read_text() + '\nunused(path) if {\n\tpath != "/"\n\tendswith(path, "x")\n}\n')
    done = ordain("test", copy, "--rule", "files/", "--minimum", "90")
    assert done.exit_code == 1
    assert " custom/files/not-in-tmp  policies/files/not-in-tmp/not-in-tmp.rego: missed 23-25\n" in done.stdout
    assert "is asked for; add a test or an example that does\n" in done.stdout
    report = json.loads(ordain("test", copy, "--rule", "files/", "--coverage", "--format", "json").stdout)
    assert [one["missed"] for one in report["coverage"]] == [[23, 24, 25]]


def test_a_rule_that_nobody_has_is_wrong_usage(made: Path) -> None:
    assert isinstance(ordain("test", made, "--rule", "nothing/like-it").exception, InputError)
    error = ordain("try", "not-in-tpm", made).exception
    assert "did you mean custom/files/not-in-tmp?" in str(error)
    assert isinstance(ordain("try", made).exception, InputError)


def test_a_syntax_error_is_shown_on_its_line_by_every_command(copy: Path) -> None:
    edit(copy / RULE, "message := sprintf", "message = = sprintf")
    shown = (
        "policies/files/not-in-tmp/not-in-tmp.rego:20:12 deny manifest/policy\n"
        "  unexpected eq token\n"
        '  20 | \\tmessage = = sprintf("%s does not survive a reboot", [file.path])\n'
        "                   ^\n"
    )
    for command in ("test", "lint"):
        done = ordain(command, copy)
        assert done.stdout.startswith(shown)
        assert done.exit_code == 1
    for done in (ordain("try", "files/not-in-tmp", copy), ordain("debug", "not-in-tmp", copy / "tenants/example/fleets/web.yaml")):
        assert done.stderr.startswith(shown)
        assert (done.stdout, done.exit_code) == ("", 1)


def test_lint_names_each_fault_with_its_place_and_a_remedy(copy: Path) -> None:
    rule = copy / "policies/names/no-tmp"
    (rule / "README.md").write_text("# another\n")
    (rule / "examples/pass-stand-in.yaml").unlink()
    edit(rule / "no-tmp.rego", "\tstartswith(", '  print("here")\n\tinput.object.spec.files[_].path != "/a"\n\tstartswith(')
    edit(rule / "no-tmp.rego", "#   remedy: choose a name that can stay\n", "")
    (rule / "no-tmp_test.rego").write_text("package ordain.custom.names.no_tmp_test\n\nnothing := 1\n")
    done = ordain("lint", copy, "--format", "json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)["verdicts"]
    assert [(one["file"].rpartition("/")[2], one["line"], one["column"], one["code"]) for one in found] == [
        ("README.md", 1, 1, "lint/page"),
        ("no-tmp.rego", 1, 1, "lint/example"),
        ("no-tmp.rego", 1, 1, "lint/metadata"),
        ("no-tmp.rego", 19, 1, "lint/format"),
        ("no-tmp.rego", 19, 3, "lint/print"),
        ("no-tmp.rego", 20, 2, "lint/unequal-in-loop"),
        ("no-tmp_test.rego", 1, 1, "lint/test"),
    ]
    assert all(one["remedy"] for one in found)


def test_lint_wants_one_shape_of_deny(copy: Path) -> None:
    edit(copy / RULE, "import data.ordain.result\n", "import data.ordain.result.at\n")
    edit(copy / RULE, "deny contains result.at(", "deny contains at(")
    done = ordain("lint", copy)
    assert "15:1 deny policy/lint\n  at is imported from its package\n" in done.stdout
    assert "17:1 deny policy/lint\n  it does not report by result.at(rego.metadata.chain(), …)" in done.stdout


def test_lint_speaks_the_formats_of_check(copy: Path) -> None:
    (copy / "policies/names/no-tmp/README.md").unlink()
    report = json.loads(ordain("lint", copy, "--format", "sarif").stdout)
    assert [one["ruleId"] for one in report["runs"][0]["results"]] == ["policy/lint"]
    assert ordain("lint", copy, "--format", "markdown").stdout.startswith("### ❌ ordain policy lint: refused\n\n5 rules, 1 deny")


def test_the_library_leaves_lint_silent() -> None:
    assert ordain("lint").stdout.endswith(" rules, nothing found\n")


def test_try_shows_what_a_rule_finds_even_when_it_is_off(copy: Path) -> None:
    edit(copy / "ordain.yaml", "custom/files/not-in-tmp: {level: deny}", 'custom/files/not-in-tmp: {level: "off"}')
    done = ordain("try", copy / RULE, copy)
    assert done.stdout == (
        "tenants/example/components/scratch.yaml:6:13 audit custom/files/not-in-tmp\n"
        "  /tmp/a does not survive a reboot\n"
        "  6 |     - path: /tmp/a\n"
        "                  ^\n"
        "  remedy: choose a path that survives a reboot\n"
        "\n"
        "custom/files/not-in-tmp finds 1 in 1 file, of 7 manifests. Its level is off: it is not asked.\n"
    )
    assert done.exit_code == 0


def test_try_names_the_level_of_today(copy: Path) -> None:
    staged = "custom/files/not-in-tmp: {stages: [{level: audit}, {level: deny, from: 9999-01-01}]}"
    edit(copy / "ordain.yaml", "custom/files/not-in-tmp: {level: deny}", staged)
    assert ordain("try", "not-in-tmp", copy).stdout.endswith("Its level is audit: findings are recorded.\n")


def test_try_asks_a_rule_that_is_not_committed_about_another_revision(made: Path) -> None:
    here, before = (json.loads(ordain("try", "no-tmp", made, "--format", "json", *more).stdout) for more in ((), ("--rev", "main")))
    assert (here["manifests"], before["manifests"]) == (7, 6)
    assert (here["revision"] is None, len(before["revision"])) == (True, 40)
    assert [(one["id"], one["level"], one["findings"]) for one in before["rules"]] == [("custom/names/no-tmp", "audit", [])]


def test_trying_all_rules_names_those_that_nothing_shows_to_fire(copy: Path) -> None:
    (copy / "policies/names/no-tmp/examples/fail-stand-in.yaml").unlink()
    done = ordain("try", "--all", copy)
    assert "     0  audit  custom/names/no-tmp  dead: no manifest and no example makes it fire\n" in done.stdout
    assert "     1  deny   custom/files/not-in-tmp\n" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("; 1 dead")


def test_debug_shows_each_line_with_its_values_and_where_it_stopped(made: Path) -> None:
    done = ordain("debug", "not-in-tmp", made / "tenants/example/components/scratch.yaml")
    files = '[{"path": "/tmp/a", "content": "a"}, {"path": "/etc/b", "content": "b"}]'
    assert done.stdout == (
        "custom/files/not-in-tmp on Component example/scratch: 1 finding\n"
        "  found: /tmp/a does not survive a reboot\n"
        "\n  deny, came to its end\n"
        "    18 | some i, file in input.object.spec.files\n"
        "         i = 0\n"
        '         file = {"content": "a", "path": "/tmp/a"}\n'
        f"         input.object.spec.files = {files}\n"
        '    19 | startswith(file.path, "/tmp/")\n'
        '         file.path = "/tmp/a"\n'
        '    20 | message := sprintf("%s does not survive a reboot", [file.path])\n'
        '         message = "/tmp/a does not survive a reboot"\n'
        "\n  deny, stopped\n"
        "    18 | some i, file in input.object.spec.files\n"
        "         i = 1\n"
        '         file = {"content": "b", "path": "/etc/b"}\n'
        f"         input.object.spec.files = {files}\n"
        '    19 | startswith(file.path, "/tmp/")   <- stopped here\n'
        '         file.path = "/etc/b"\n'
    )


def test_debug_takes_releases_changes_and_examples(made: Path) -> None:
    web = made / "tenants/example/fleets/web.yaml"
    assert "the release of Fleet example/web: no findings" in ordain("debug", "rollout/members", web).stdout
    assert "the change as a whole: no findings" in ordain("debug", "change/few", web).stdout
    report = json.loads(ordain("debug", "no-tmp", made / "policies/names/no-tmp/examples/fail-stand-in.yaml", "--format", "json").stdout)
    [subject] = report["subjects"]
    assert [one["message"] for one in subject["findings"]] == ["the name tmp-web begins with tmp-"]
    assert [(one["definition"], one["completed"]) for one in subject["passes"]] == [("deny", True)]


FILLED = """\
apiVersion: ordain.dev/v1
kind: Component
metadata: {name: sshd, tenant: example, labels: {owner: team-platform}}
spec:
  description: Who may log in
  parameters: {groups: {type: string, default: ops}}
  files:
    - {path: /etc/ssh/sshd_config.d/10.conf, mode: "0600", content: "AllowGroups ${parameters.groups}"}
    - {path: /etc/motd, content: "For ${parameters.groups}"}
"""


def test_rules_that_see_finished_texts_are_tried_and_debugged_on_them(copy: Path) -> None:
    (copy / "tenants/example/components/sshd.yaml").write_text(FILLED)
    web = copy / "tenants/example/fleets/web.yaml"
    edit(web, "  components:\n", '  components:\n    - {name: sshd, parameters: {groups: "ops\\nPermitRootLogin yes"}}\n')
    tried = ordain("try", "host-safety/sshd", copy)
    assert "sets permitrootlogin to yes, once ${parameters.groups} is filled in for example/web" in tried.stdout
    debugged = ordain("debug", "host-safety/sshd", web)
    first = debugged.stdout.partition("\n")[0]
    assert first == "host-safety/sshd on /etc/motd, /etc/ssh/sshd_config.d/10.conf as filled in for Fleet example/web: 2 findings"
    assert "  found: /etc/ssh/sshd_config.d/10.conf sets permitrootlogin to yes" in debugged.stdout
    assert 'keyword = "permitrootlogin"' in debugged.stdout
    asked = ordain("debug", "host-safety/sshd", copy / "tenants/example/agents/host-01.yaml").exception
    assert "each Fleet that fills labels or parameters into one" in str(asked)


def test_try_says_where_overrides_have_findings_at_another_level(copy: Path) -> None:
    override = 'spec:\n  overrides: [{paths: ["**/scratch.yaml"], rules: {custom/files/not-in-tmp: {level: audit}}}]\n'
    edit(copy / "ordain.yaml", "spec:\n", override)
    done = ordain("try", "not-in-tmp", copy)
    assert "Its level is deny: findings refuse. By overrides or stages in ordain.yaml these are otherwise: 1 at audit." in done.stdout


def test_a_kind_is_for_rules_about_objects_alone(copy: Path) -> None:
    done = ordain("new", "rollout/late", copy, "--scope", "release", "--kind", "Fleet")
    assert isinstance(done.exception, InputError)
    assert "--kind Fleet: a rule of scope release is about all kinds" in str(done.exception)
    assert not (copy / "policies/rollout/late").exists()


def test_debug_says_of_what_a_rule_is_asked_and_shows_no_secret(made: Path, tmp_path: Path) -> None:
    assert "it is asked about each Component" in str(ordain("debug", "not-in-tmp", made / "tenants/example/fleets/web.yaml").exception)
    secret = "AKIA" + "QYLPMN5HFIQR7XYA"
    (tmp_path / "key.yaml").write_text(COMPONENT.replace("content: a", f"content: {secret}"))
    done = ordain("debug", "secrets/cloud-key", tmp_path / "key.yaml")
    assert "secrets/cloud-key on Component example/scratch: 1 finding" in done.stdout
    assert secret not in done.stdout


def test_a_rule_that_fails_while_it_is_debugged_says_why(copy: Path) -> None:
    edit(copy / RULE, 'startswith(file.path, "/tmp/")', "to_number(file.path) > 1")
    done = ordain("debug", "not-in-tmp", copy / "tenants/example/components/scratch.yaml")
    assert "it failed: line 19: to_number: " in done.stdout
    assert done.exit_code == 3


def test_bench_ranks_rules_and_fails_over_budget(copy: Path) -> None:
    edit(copy / "ordain.yaml", "  format: 1\n", "  format: 1\n  budgets: {perObject: 1us, perRule: 100s}\n")
    done = ordain("bench", copy, "--format", "json")
    report = json.loads(done.stdout)
    assert done.exit_code == 1
    assert [one["budget"] for one in report["over"]] == ["perObject"]
    costs = [one["microseconds"] for one in report["rules"]]
    assert costs == sorted(costs, reverse=True)
    assert max(costs) > 1
    assert sum(one["share"] for one in report["rules"]) == pytest.approx(100, abs=3)
    assert report["perObject"].keys() >= {"Agent", "Component", "Fleet", "Tenant"}
    text = ordain("bench", copy, "--rule", "custom/")
    assert text.exit_code == 0
    assert "custom/files/not-in-tmp\n" in text.stdout


def test_a_budget_that_is_no_time_is_wrong_usage(copy: Path) -> None:
    edit(copy / "ordain.yaml", "  format: 1\n", "  format: 1\n  budgets: {perRule: soon}\n")
    assert "'soon' is no time" in str(ordain("bench", copy, "--rule", "custom/files").exception)


def test_watching_begins_at_once_and_goes_on_when_a_file_changes(tmp_path: Path) -> None:
    def write() -> None:
        time.sleep(0.2)
        (tmp_path / "a.rego").write_text("package a\n")

    rounds = watched(tmp_path)
    assert next(rounds) == 1
    Thread(target=write).start()
    assert next(rounds) == 2
