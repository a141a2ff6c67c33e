"""`ordain forge report` as a CI job runs it, and on plans and in surroundings that are not what they should be."""

import html
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agent.protocol.errors import InputError, MalformedError, RefusedError
from reconciler.cli.forge import forge as command
from reconciler.cli.forge import report_of
from reconciler.cli.planned import render
from reconciler.cli.planned.checks import checks
from reconciler.cli.planned.reading import read
from reconciler.forges.environment import Surroundings, surroundings
from reconciler.forges.github import GITHUB
from reconciler.forges.shape import Limits
from tests.forges.github import Account, GitHub
from tests.forges.gitlab import GitLab
from tests.forges.jobs import BASE, FORGES, HEAD, MERGE, TOKEN, event, of_github, pull_request
from tests.forges.standin import Fault, StandIn, serving
from tests.plan_cases import GOLDEN, branched, git

ORDAIN = Path(sys.executable).parent / "ordain"
PLAN = GOLDEN / "plan.json"
OURS = re.compile(r"GITHUB_|GITEA_|FORGEJO_|GITLAB_|CI_|CI$")


@pytest.fixture(autouse=True)
def _no_job_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if OURS.match(name)]:
        monkeypatch.delenv(name)


@dataclass
class Job:
    forge: StandIn
    speaker: GitHub | GitLab
    environment: dict[str, str]

    def run(self, *arguments: str | Path, **changed: str) -> Result:
        return CliRunner(env=self.environment | changed).invoke(command, ["report", *map(str, arguments)])


def job_of(kind: str, place: Path) -> Iterator[Job]:
    made, environment = FORGES[kind]
    speaker = made(tokens={TOKEN: Account(login="ordain")}, pulls={7: {"state": "open", "head": HEAD}})
    with serving(speaker) as forge:
        yield Job(forge=forge, speaker=speaker, environment=environment(forge.address, place))
    assert forge.wrong == []


@pytest.fixture(params=FORGES)
def job(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Job]:
    yield from job_of(request.param, tmp_path)


@pytest.fixture
def on_github(tmp_path: Path) -> Iterator[Job]:
    yield from job_of("github", tmp_path)


def changed(**fields: Any) -> bytes:
    return json.dumps(json.loads(PLAN.read_text()) | fields).encode()


def found(rule: str, *, message: str = "no", action: str = "deny", file: str = "tenants/shop/fleets/web.yaml") -> dict[str, Any]:
    where = {"file": file, "line": 3, "column": 1, "rule": rule, "message": message}
    return where | {"action": action, "blocking": action == "deny", "standing": False, "waived": None}


def verdicts(*new: dict[str, Any]) -> dict[str, Any]:
    return {"new": list(new), "gone": [], "unchanged": [], "more": 0}


def test_a_job_posts_to_the_head_of_the_pull_request_and_not_to_the_merge_that_it_runs_on(job: Job) -> None:
    done = job.run(PLAN)
    assert done.exit_code == 0, done.output
    assert set(job.speaker.shown(HEAD)) == {"ordain/schema", "ordain/policy", "ordain/plan"}
    assert job.speaker.shown(MERGE) == {}
    [(author, body)] = job.speaker.texts()
    assert author == "ordain"
    assert body.startswith("<!-- ordain forge report: ordain -->\n")
    kind = "merge" if isinstance(job.speaker, GitLab) else "pull"
    assert f"comment on {kind} request 7: created" in done.stdout


def test_the_same_job_again_posts_nothing_and_says_so_to_programs(job: Job) -> None:
    job.run(PLAN)
    before = job.forge.writes()
    done = job.run(PLAN, "--format", "json")
    assert job.forge.writes() == before
    said = json.loads(done.stdout)
    assert (said["commit"], said["pullRequest"]) == (HEAD, 7)
    assert {one["done"] for one in said["statuses"]} == {"unchanged"}
    assert {one["link"] for one in said["statuses"]} != {""}
    assert said["comment"]["done"] == "unchanged"


def test_a_dry_run_asks_nobody_and_needs_no_token(job: Job) -> None:
    done = job.run(PLAN, "--dry-run", "--token", "env:NOT_THERE")
    assert done.exit_code == 0, done.output
    assert "ordain/plan: success: 6 agents of 8 (75 %) in 4 fleets, 1 object removed" in done.stdout
    assert "### ✅ ordain plan: accepted" in done.stdout
    said = json.loads(job.run(PLAN, "--dry-run", "--format", "json").stdout)
    assert said["comment"]["body"].startswith("<!-- ordain forge report: ordain -->\n")
    assert job.forge.requests == []


def test_options_outdo_the_environment(on_github: Job) -> None:
    other = "d" * 40
    done = on_github.run(PLAN, "--commit", other, "--name", "eu", "--link", "https://ci.example.com/x", "--token", "env:MINE", MINE=TOKEN)
    assert done.exit_code == 0, done.output
    assert set(on_github.speaker.shown(other)) == {"eu/schema", "eu/policy", "eu/plan"}
    assert "left as it is: the pull request has moved on" in done.stdout


def test_two_fleet_repositories_in_one_have_a_comment_each(on_github: Job) -> None:
    on_github.run(PLAN, "--name", "eu")
    on_github.run(PLAN, "--name", "us")
    on_github.run(PLAN, "--name", "eu")
    assert len(on_github.speaker.texts()) == 2
    assert len(on_github.speaker.shown(HEAD)) == 6


def test_the_command_ends_with_codes_that_say_what_to_do(on_github: Job, tmp_path: Path) -> None:
    refused = tmp_path / "refused.json"
    refused.write_bytes(changed(accepted=False, verdicts=verdicts(found("hygiene/owner"))))
    assert on_github.run(refused).exit_code == 0
    assert on_github.run(refused, "--exit-code").exit_code == 1
    assert on_github.speaker.shown(HEAD)["ordain/policy"][0] == "failure"
    wrong = on_github.run(PLAN, GITHUB_API_URL="http://github.example.com")
    assert isinstance(wrong.exception, InputError)
    assert "https only" in str(wrong.exception)
    for expected, changes, said in (
        (2, {"GITHUB_TOKEN": "wrong-secret"}, "env:GITHUB_TOKEN is not accepted"),
        (3, {"GITHUB_API_URL": "http://127.0.0.1:9"}, "run it again after"),
    ):
        command = (ORDAIN, "forge", "report", PLAN, "--patience", "0")
        environment = os.environ | on_github.environment | changes
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, said in done.stderr, "secret" in done.stderr) == (expected, True, False), done.stderr


def test_a_job_that_is_killed_while_it_posts_is_finished_by_the_next(on_github: Job) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def kill() -> None:
        started[0].kill()

    on_github.forge.faults.append(Fault(about=on_github.speaker.paths["comment"], first=kill))
    started.append(subprocess.Popen([ORDAIN, "forge", "report", PLAN], env=os.environ | on_github.environment, stdout=subprocess.DEVNULL))
    assert started[0].wait(60) == -signal.SIGKILL
    assert len(on_github.forge.writes()) == 4
    done = on_github.run(PLAN)
    assert "comment on pull request 7: unchanged" in done.stdout
    assert len(on_github.forge.writes()) == 4


def test_a_job_of_a_fork_is_told_why_it_may_not_and_what_to_do(on_github: Job) -> None:
    on_github.speaker.tokens[TOKEN].writes = False
    done = on_github.run(PLAN)
    assert isinstance(done.exception, RefusedError)
    assert "docs/forges.md#forks" in str(done.exception)


def test_outside_a_job_everything_is_named_or_asked_for() -> None:
    nowhere = CliRunner().invoke(command, ["report", str(PLAN)])
    assert "name --forge" in str(nowhere.exception)
    half = CliRunner().invoke(command, ["report", str(PLAN), "--forge", "gitea"])
    assert "name --api, --repository, --commit" in str(half.exception)
    named = ["--forge", "github", "--repository", "acme/fleets", "--commit", HEAD, "--dry-run"]
    whole = CliRunner().invoke(command, ["report", str(PLAN), *named])
    assert whole.exit_code == 0
    assert whole.stdout.endswith("no pull request, so no comment\n")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--repository", "acme"),
        ("--repository", "../user"),
        ("--repository", "acme/.."),
        ("--commit", "main"),
        ("--commit", "A" * 40),
        ("--name", "a b"),
        ("--name", "--> x"),
        ("--token", "secret"),
    ],
)
def test_a_value_that_can_t_be_right_is_refused_before_anything_is_asked(on_github: Job, option: str, value: str) -> None:
    done = on_github.run(PLAN, option, value)
    assert isinstance(done.exception, InputError)
    assert on_github.forge.requests == []


@pytest.mark.needs("opa", "git")
def test_without_a_plan_the_change_since_the_base_of_the_pull_request_is_planned(on_github: Job, tmp_path: Path, opa: Path) -> None:
    root = branched(tmp_path / "fleets")
    base, head = git(root, "rev-parse", "main"), git(root, "rev-parse", "topic")
    on_github.speaker.pulls[7]["head"] = head
    on_github.environment["GITHUB_EVENT_PATH"] = event(tmp_path, pull_request(head, base))
    done = on_github.run("--path", root, "--opa", opa, ORDAIN_CACHE=str(tmp_path / "cache"))
    assert done.exit_code == 0, done.output
    assert on_github.speaker.shown(head)["ordain/plan"] == ("success", "6 agents of 8 (75 %) in 4 fleets, 1 object removed")
    before = on_github.forge.writes()
    on_github.run("--path", root, "--opa", opa, ORDAIN_CACHE=str(tmp_path / "cache"))
    assert on_github.forge.writes() == before


HOSTILE = "@everyone </code></li></ul><img src=x onerror=alert(1)> [x](https://evil.example.com) ``` \n\n/close\n\n# @team #1 ::error::"


def test_nothing_that_a_plan_quotes_pings_links_or_breaks_out(on_github: Job, tmp_path: Path) -> None:
    plan = json.loads(PLAN.read_text())
    web = plan["fleets"][0] | {"fleet": HOSTILE, "held": HOSTILE, "uncompiled": HOSTILE, "notes": [HOSTILE]}
    held = {"removed": [{"kind": HOSTILE, "tenant": HOSTILE, "name": HOSTILE, "file": HOSTILE}], "added": [], "changed": []}
    moved = [{"tenant": HOSTILE, "host": HOSTILE, "left": [HOSTILE], "joined": [HOSTILE]}]
    judge = plan["judge"] | {"changed": True, "loosened": [HOSTILE], "refused": [HOSTILE]}
    said = verdicts(found(HOSTILE, message=HOSTILE, file=HOSTILE))
    item = {"field": "files", "name": HOSTILE, "change": "changed", "lines": [f"+{HOSTILE}"], "withheld": HOSTILE}
    web["differences"] = [{"hosts": {"count": 1, "names": [HOSTILE], "more": 0}, "items": [item], "more": 0}]
    file = tmp_path / "plan.json"
    file.write_bytes(changed(fleets=[web], objects=held, moves=moved, judge=judge, verdicts=said, accepted=False))
    assert on_github.run(file).exit_code == 0
    [(_, body)] = on_github.speaker.texts()
    assert "@everyone" in html.unescape(body)
    outside = re.sub(r"^(`{3,})[a-z]*\n.*?^\1$|<code>[^<\n]*</code>", "", body, flags=re.DOTALL | re.MULTILINE)
    assert [word for word in ("@", "evil", "/close", "onerror", "<img", "# @", "::error") if word in outside] == []
    assert not any(line.startswith("/") for line in body.splitlines())
    assert all("@" not in description for _, description in on_github.speaker.shown(HEAD).values())


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"format": 2}, InputError),
        ({"at": "now @team"}, MalformedError),
        ({"head": "[x](https://evil.example.com)"}, MalformedError),
        ({"signatures": {"on": False, "sentence": "cc @team"}}, MalformedError),
        ({"verdicts": verdicts(found("a/b") | {"action": "<img>"})}, MalformedError),
        ({"verdicts": verdicts({"rule": "a/b"})}, MalformedError),
        ({"fleets": "all"}, MalformedError),
    ],
)
def test_a_plan_that_ordain_did_not_write_is_refused(fields: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        read(changed(**fields), what="plan.json")


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b"null"])
def test_what_is_no_plan_at_all_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError, match="ordain plan --format json"):
        read(data, what="plan.json")


def test_a_plan_that_is_read_shows_as_the_one_that_was_written() -> None:
    assert render(read(PLAN.read_bytes(), what="plan.json"), "markdown") + "\n" == (GOLDEN / "plan.md").read_text()


@pytest.mark.parametrize(
    ("fields", "states"),
    [
        ({}, "success success success"),
        ({"accepted": False, "verdicts": verdicts(found("schema/fleet"))}, "failure success success"),
        ({"accepted": False, "verdicts": verdicts(found("manifest/syntax"), found("hygiene/owner"))}, "failure failure success"),
        ({"accepted": False, "verdicts": verdicts(found("hygiene/owner", action="error")), "unjudged": True}, "success error success"),
        ({"accepted": False, "verdicts": verdicts()}, "success failure success"),
        ({"verdicts": verdicts(found("hygiene/owner", action="warn"))}, "success success success"),
    ],
)
def test_each_check_says_its_part_and_not_all_succeed_where_the_plan_is_refused(fields: dict[str, Any], states: str) -> None:
    plan = read(changed(**fields), what="plan.json")
    assert " ".join(one.state for one in checks(plan)) == states
    assert plan.accepted == (states == "success success success")


def test_a_fleet_that_would_not_compile_fails_the_check_of_hosts() -> None:
    fleets = json.loads(PLAN.read_text())["fleets"]
    plan = read(changed(fleets=[fleets[0] | {"uncompiled": "why"}, *fleets[1:]]), what="plan.json")
    assert checks(plan)[2].state == "failure"
    assert "1 fleet would not compile" in checks(plan)[2].text


def test_what_is_posted_fits_what_the_forge_takes() -> None:
    plan = read(PLAN.read_bytes(), what="plan.json")
    about = Surroundings(forge="github", repository="acme/fleets", commit=HEAD, pull_request=7)
    small = report_of(plan, about, name="ordain", limits=Limits(description=20, comment=150))
    assert [len(one.description) for one in small.statuses] == [20, 20, 20]
    assert len(f"{small.marker}\n{small.body}") <= 150
    assert "`ordain plan` shows all of it" in small.body
    assert report_of(plan, about, name="ordain", limits=GITHUB.limits).body == render(plan, "markdown")


def test_events_of_actions_name_head_and_base(tmp_path: Path) -> None:
    def about(said: Mapping[str, Any]) -> tuple[str, str, int | None]:
        found = surroundings(of_github("", tmp_path) | {"GITHUB_EVENT_PATH": event(tmp_path, said)})
        return found.commit, found.base, found.pull_request

    run = {"head_sha": HEAD, "pull_requests": [{"number": 9, "head": {"sha": MERGE}}, pull_request()["pull_request"]]}
    assert about(pull_request()) == (HEAD, BASE, 7)
    assert about({"workflow_run": run}) == (HEAD, BASE, 7)
    assert about({"workflow_run": {"head_sha": HEAD, "pull_requests": []}}) == (HEAD, "", None)
    assert about({"merge_group": {"head_sha": HEAD, "base_sha": BASE}}) == (HEAD, BASE, None)
    assert about({"before": BASE, "forced": False}) == (MERGE, BASE, None)
    assert about({"before": BASE, "forced": True}) == (MERGE, "", None)
    assert about({"before": "0" * 40}) == (MERGE, "", None)
    assert about({"pull_request": {"number": 7, "head": {"sha": "--upload-pack"}, "base": {"sha": "$(x)"}}}) == ("", "", 7)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"pull_request": 7}'])
def test_an_event_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "event.json"
    file.write_text(text)
    with pytest.raises(InputError, match="GITHUB_EVENT_PATH"):
        surroundings({"GITHUB_ACTIONS": "true", "GITHUB_EVENT_PATH": str(file)})
