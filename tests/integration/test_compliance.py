"""`ordain report compliance` on a history with known right answers; tests/backtest_cases.py draws it."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agent.protocol.errors import InputError
from reconciler.cli import cli
from tests.acceptance_cases import REPOSITORY, component, repository
from tests.backtest_cases import ISSUE, RULE, WAIVER, Told, told
from tests.compliance_cases import GOLDEN, KEPT, SINCE, compliance, steady
from tests.signing_cases import REQUIRED, owner, with_ssh
from tests.source_cases import WorkingCopy

pytestmark = pytest.mark.needs("opa", "git")
SOON = str((datetime.now(tz=UTC) + timedelta(days=20)).date())
VOID = frozenset({"meta", "br"})


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return told(tmp_path_factory.mktemp("history") / "fleets")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of this module's own, with the OPA of the machine."""
    from reconciler.opa.program import find_opa  # noqa: PLC0415 - before the cache is another

    opa, directory = find_opa(), tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORDAIN_OPA", str(opa))
        patch.setenv("ORDAIN_CACHE", str(directory))
        yield


@pytest.fixture(scope="module")
def found(history: Told, cache: None) -> dict[str, Any]:
    del cache
    made: dict[str, Any] = json.loads(compliance(history.root, *SINCE, "--format", "json").stdout)
    return made


def told_of(shares: dict[str, Any]) -> tuple[int, int, int]:
    return shares["conform"], shares["waived"], shares["standing"]


def test_an_agent_conforms_where_all_that_it_runs_does(found: dict[str, Any]) -> None:
    assert (told_of(found["objects"]), told_of(found["agents"])) == ((15, 0, 1), (4, 0, 1))
    fleets = {one["name"]: (told_of(one["objects"]), told_of(one["agents"])) for one in found["fleets"]}
    assert fleets == {"lab/lab": ((1, 0, 1), (0, 0, 1)), "shop/db": ((2, 0, 0), (1, 0, 0)), "shop/web": ((2, 0, 0), (3, 0, 0))}
    assert {one["name"]: told_of(one["agents"]) for one in found["tenants"]} == {"lab": (0, 0, 1), "shop": (4, 0, 0), "": (0, 0, 0)}
    assert [(one["name"], one["agents"]["percent"]) for one in found["labels"]] == [("role=box", 0), ("role=db", 100), ("role=web", 100)]


def test_a_rule_counts_only_the_objects_that_it_is_asked_about(found: dict[str, Any]) -> None:
    [rule] = [one for one in found["rules"] if one["id"] == RULE]
    assert (rule["level"], told_of(rule["objects"]), rule["findings"]) == ("deny", (3, 0, 1), 1)
    assert [one["id"] for one in found["rules"] if one["objects"]["standing"]] == [RULE]


def test_the_trend_shows_each_commit_by_the_rules_of_today_and_the_waivers_of_then(history: Told, found: dict[str, Any]) -> None:
    shas = {sha: name for name, sha in history.shas.items()}
    assert [(shas[one["commit"]], told_of(one["objects"]), told_of(one["agents"])) for one in found["trend"]] == [
        ("root", (14, 0, 0), (4, 0, 0)),
        ("bad", (13, 0, 1), (2, 0, 2)),
        ("more", (13, 0, 1), (2, 0, 2)),
        ("undo", (14, 0, 0), (4, 0, 0)),
        ("merged", (14, 0, 1), (4, 0, 1)),
        ("broken", (13, 0, 1), (4, 0, 1)),
        ("excused", (14, 1, 1), (3, 1, 1)),
        ("sourced", (14, 1, 1), (3, 1, 1)),
        ("last", (15, 1, 0), (4, 1, 0)),
    ]


def test_a_long_trend_is_thinned_evenly_and_keeps_its_ends(history: Told) -> None:
    made = json.loads(compliance(history.root, *SINCE, "--points", "3", "--format", "json").stdout)
    points = [one["commit"] for one in made["trend"]]
    assert (len(points), points[0], points[-1]) == (3, history.shas["root"], history.shas["last"])
    assert json.loads(compliance(history.root, *SINCE, "--points", "0", "--format", "json").stdout)["trend"] == []


def test_what_a_waiver_excuses_is_waived_and_the_waiver_is_listed_with_owner_reason_and_end(tmp_path: Path) -> None:
    files = {**repository(), ISSUE: component("issue", "/etc/issue", owner="lab", mode="0666")}
    copy = WorkingCopy.make(tmp_path / "fleets")
    copy.commit("all", {**files, "tenants/lab/waivers/issue.yaml": WAIVER.replace("2026-10-01", SOON)})
    made = json.loads(compliance(copy.path, "--points", "0", "--format", "json").stdout)
    assert (told_of(made["objects"]), told_of(made["agents"])) == ((13, 1, 0), (3, 1, 0))
    [waiver] = made["waivers"]
    assert (waiver["owner"], waiver["reason"], waiver["used"], waiver["until"][:10] > SOON) == (
        "ana@example.com",
        "old readers",
        True,
        True,
    )


@pytest.mark.needs("ssh-keygen")
def test_commits_that_no_signer_stands_behind_are_named_with_who_may_change_what(tmp_path: Path) -> None:
    ana = with_ssh("ana", tmp_path)
    copy = WorkingCopy.make(tmp_path / "fleets")
    ana.commit(copy, "signed", {**repository(), "ordain.yaml": REQUIRED, "signers/ana.yaml": owner(ana)})
    sha = copy.commit("=nobody's", {ISSUE: component("issue", "/etc/issue", "new", owner="lab")})
    made = json.loads(compliance(copy.path, "--points", "0", "--format", "json").stdout)
    assert (made["signatures"], [(one["commit"], one["subject"]) for one in made["unsigned"]]) == (True, [(sha, "=nobody's")])
    assert made["signers"] == [{"name": "ana", "role": "person", "may": "policy owner, may touch everything", "keys": 1}]
    rows = list(csv.DictReader(io.StringIO(compliance(copy.path, "--points", "0", "--format", "csv").stdout)))
    [row] = [row for row in rows if row["about"] == "unsigned"]
    assert (row["name"], row["detail"]) == (sha, "'=nobody's"), "a spreadsheet takes no subject for a formula"


@pytest.mark.needs("ssh-keygen")
def test_commits_from_before_signatures_were_turned_on_are_counted_and_held_against_nobody(tmp_path: Path) -> None:
    ana = with_ssh("ana", tmp_path)
    copy = WorkingCopy.make(tmp_path / "fleets")
    copy.commit("nobody has to sign yet", dict(repository()))
    on = ana.commit(copy, "from now on", {"ordain.yaml": REQUIRED, "signers/ana.yaml": owner(ana)})
    sha = copy.commit("nobody's", {ISSUE: component("issue", "/etc/issue", "new", owner="lab")})
    made = json.loads(compliance(copy.path, "--points", "0", "--format", "json").stdout)
    assert [one["commit"] for one in made["unsigned"]] == [sha]
    assert f"Commits that nobody had to sign, up to {on[:12]}, which turned signatures on: 2." in made["left"]


@pytest.mark.needs("ssh-keygen")
def test_signers_that_the_reconciler_pins_count_where_they_are_named(tmp_path: Path) -> None:
    ana, pinned = with_ssh("ana", tmp_path), tmp_path / "signers.yaml"
    pinned.write_text(owner(ana))
    copy = WorkingCopy.make(tmp_path / "fleets")
    ana.commit(copy, "signed", dict(repository()))
    sha = copy.commit("nobody's", {ISSUE: component("issue", "/etc/issue", "new", owner="lab")})
    made = json.loads(compliance(copy.path, "--points", "0", "--signers", pinned, "--format", "json").stdout)
    assert (made["signatures"], [one["commit"] for one in made["unsigned"]]) == (True, [sha])
    may = "policy owner, may touch everything; pinned by the reconciler's settings"
    assert made["signers"] == [{"name": "ana", "role": "person", "may": may, "keys": 1}]
    alone = json.loads(compliance(copy.path, "--points", "0", "--format", "json").stdout)
    assert (alone["signatures"], alone["unsigned"], alone["signers"]) == (False, [], [])


def test_a_label_that_no_agent_has_is_wrong_usage(history: Told) -> None:
    done = CliRunner().invoke(cli, ["report", "compliance", str(history.root), *SINCE, "--points", "0", "--label", "regoin"])
    assert isinstance(done.exception, InputError)
    assert "--label regoin: no agent has it; labels here are " in str(done.exception)


class Wellformed(HTMLParser):
    """Fails at an end that nothing began, and keeps what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def test_the_page_is_well_formed_fetches_nothing_and_says_its_charts_in_words(history: Told, tmp_path: Path) -> None:
    out = tmp_path / "compliance.html"
    assert compliance(history.root, *SINCE, "--format", "html", "--out", out).stdout == ""
    page = Wellformed()
    page.feed(out.read_text())
    page.close()
    assert page.open == []
    assert {tag for tag, _ in page.seen}.isdisjoint({"script", "img", "link", "iframe", "a"})
    charts = [attributes for tag, attributes in page.seen if tag == "svg"]
    assert all(one["role"] == "img" and one["aria-label"] for one in charts)
    assert any("manifests from 100 % to 93.8 %" in str(one["aria-label"]) for one in charts)


def test_names_out_of_the_repository_are_shown_and_never_act(tmp_path: Path) -> None:
    nasty = '"><script>alert(1)</script>'
    copy = WorkingCopy.make(tmp_path / "fleets")
    shown = component("issue", "/etc/issue", owner="lab", mode="0666").replace("/etc/issue", f"'/etc/{nasty}'")
    copy.commit("all", {**repository(), "ordain.yaml": REPOSITORY, ISSUE: shown})
    page = Wellformed()
    page.feed(compliance(copy.path, "--points", "0", "--format", "html").stdout)
    assert all(tag != "script" for tag, _ in page.seen)
    assert nasty in "".join(page.said)
    assert "<script" not in compliance(copy.path, "--points", "0", "--format", "markdown").stdout


@pytest.mark.parametrize("form", KEPT)
def test_the_report_reads_as_it_was_agreed_to(history: Told, form: str) -> None:
    assert steady(history.root, form) == (GOLDEN / KEPT[form]).read_text()
