"""`ordain waive` as its user sees it: what it writes, what it asks for, and what it refuses."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agent.protocol.errors import OrdainError
from reconciler.cli import cli
from tests.acceptance_cases import component, repository
from tests.signing_cases import REQUIRED

pytestmark = pytest.mark.needs("opa")

MOTD = "tenants/shop/components/motd.yaml"
FILE = "tenants/shop/waivers/motd-world-writable.yaml"
RULE = "host-safety/world-writable"
TODAY = datetime.now(tz=UTC)
NEXT_WEEK, LATER = (str((TODAY + timedelta(days=days)).date()) for days in (7, 40))
SAID = ("--reason", "old readers: #12", "--owner", "ana@example.com")


@pytest.fixture
def fleets(tmp_path: Path) -> Path:
    for path, text in {**repository(), MOTD: component("motd", "/etc/motd", mode="0666")}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def run(fleets: Path, command: str, *arguments: str) -> Result:
    return CliRunner().invoke(cli, [command, *arguments, *(["--repo", str(fleets)] if command == "waive" else [str(fleets)])])


def refused(done: Result, words: str) -> int:
    """Return the exit code of a command that said these words."""
    error = done.exception
    assert words in (str(error) if isinstance(error, OrdainError) else done.stderr)
    return error.exit_code if isinstance(error, OrdainError) else done.exit_code


def test_a_waiver_is_written_for_a_line_and_then_the_check_passes(fleets: Path) -> None:
    done = run(fleets, "waive", f"{MOTD}:8", *SAID, "--until", NEXT_WEEK)
    assert (done.exit_code, done.stdout) == (0, f"{FILE}\n")
    assert (fleets / FILE).read_text() == (
        "apiVersion: ordain.dev/v1\nkind: Waiver\nmetadata: {name: motd-world-writable, tenant: shop}\nspec:\n"
        f"  rule: {RULE}\n  object: {{kind: Component, name: motd}}\n"
        '  at: "files[/etc/motd].mode"\n  value: "0666"\n  reason: "old readers: #12"\n  owner: "ana@example.com"\n'
        f"  expires: {NEXT_WEEK}\n"
    )
    checked = run(fleets, "check", "--no-cache", "--format", "json")
    assert checked.exit_code == 0
    [verdict] = [one for one in json.loads(checked.stdout)["verdicts"] if one["rule"] == RULE]
    assert verdict["waived"]["waiver"] == "shop/motd-world-writable"
    ended = run(fleets, "check", "--at", LATER, "--format", "json")
    assert ended.exit_code == 1
    assert "does not excuse this: it ended at" in ended.stdout


def test_a_waiver_that_stands_is_given_a_later_end_and_keeps_its_comments(fleets: Path) -> None:
    assert run(fleets, "waive", RULE, "shop/motd", *SAID, "--until", NEXT_WEEK).exit_code == 0
    before = "# asked for in #12\n" + (fleets / FILE).read_text().replace("owner:", "owner:  ")
    (fleets / FILE).write_text(before)
    assert run(fleets, "waive", RULE, "Component shop/motd", *SAID, "--until", LATER).exit_code == 0
    assert (fleets / FILE).read_text() == before.replace(NEXT_WEEK, f'"{LATER}"')


def test_each_line_of_a_text_gets_a_waiver_of_its_own(fleets: Path) -> None:
    text = component("motd", "/opt/a.sh").replace('"hello"', "|\n        curl https://a.example | sh\n        curl https://b.example | sh")
    (fleets / MOTD).write_text(text)
    for line in (10, 11):
        assert run(fleets, "waive", f"{MOTD}:{line}", *SAID, "--until", NEXT_WEEK).exit_code == 0
    written = [path.read_text() for path in sorted((fleets / FILE).parent.iterdir())]
    assert ['"curl https://a.example | sh"' in each for each in written].count(True) == 1
    assert len(written) == 2
    assert run(fleets, "check", "--no-cache").exit_code == 0


def test_one_for_an_incident_names_who_signs_it_and_ends_within_hours(fleets: Path) -> None:
    soon = (TODAY + timedelta(hours=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    glass = ("--incident", "INC-7", "--approved-by", "ana", "--approved-by", "ben")
    done = run(fleets, "waive", RULE, "shop/motd", *SAID, *glass, "--until", soon)
    assert refused(done, "signatures are off, so nobody could tell who approved") == 1
    assert not (fleets / FILE).exists()
    alone = run(fleets, "waive", RULE, "shop/motd", *SAID, *glass[:4], *glass[2:4], "--until", soon)
    assert refused(alone, "--approved-by is needed 2 times") == 2
    (fleets / "ordain.yaml").write_text(REQUIRED)
    done = run(fleets, "waive", RULE, "shop/motd", *SAID, *glass, "--until", soon, "--dry-run")
    assert done.exit_code == 0
    assert done.stdout.endswith(f"  breakGlass:\n    incident: INC-7\n    until: {soon}\n    approvedBy: [ana, ben]\n")
    assert not (fleets / FILE).exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((RULE, "shop/motd", *SAID, "--until", str((TODAY + timedelta(days=100)).date())), 1, "it has to end by"),
        ((RULE, "shop/motd", *SAID, "--until", "2020-01-01"), 1, "not in the past"),
        ((RULE, "shop/motd", *SAID, "--until", "soon"), 2, "write the last day, such as"),
        ((RULE, "shop/motd", *SAID, "--incident", "I", "--until", NEXT_WEEK), 2, "write an instant in UTC"),
        ((RULE, "shop/motd", "--owner", "o", "--until", NEXT_WEEK), 2, "--reason is needed"),
        (("motd", *SAID, "--until", NEXT_WEEK), 2, "FILE:LINE, or by RULE and OBJECT"),
    ],
)
def test_what_can_not_be_granted_is_refused_before_anything_is_judged(
    fleets: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    assert refused(run(fleets, "waive", *arguments), words) == code


def test_a_finding_that_is_not_there_is_answered_with_those_that_are(fleets: Path) -> None:
    done = run(fleets, "waive", f"{MOTD}:1", *SAID, "--until", NEXT_WEEK)
    assert refused(done, f"{MOTD}:8 {RULE} Component shop/motd") == 2


def test_a_rule_that_allows_no_waiver_gets_none(fleets: Path) -> None:
    key = "-----BEGIN PRIVATE KEY-----\\\\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\\\\n-----END PRIVATE KEY-----"
    (fleets / MOTD).write_text(component("motd", "/etc/motd", key.replace("\\\\n", "\\n")))
    done = run(fleets, "waive", "secrets/private-key", "shop/motd", *SAID, "--until", NEXT_WEEK)
    assert refused(done, "no waiver excuses it") == 1
