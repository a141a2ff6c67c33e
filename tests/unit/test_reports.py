"""The forms in which `ordain check` reports, each held to what its reader expects."""

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from reconciler.cli.report import FORMATS, Outcome, render
from reconciler.cli.report.markdown import LIMIT
from reconciler.pipeline.finding import Description, Finding, ObjectName, Place, Verdict, Waived
from reconciler.pipeline.manifests import verdict

SARIF = json.loads((Path(__file__).parents[1] / "vectors" / "sarif-2.1.0-subset.schema.json").read_bytes())
DENIED = Verdict(
    action="deny",
    rule="supply-chain/https-only",
    code="supply-chain/insecure-url",
    message="artifact a is fetched from http://x, which is not one of https",
    remedy="use the https:// address",
    file="tenants/shop/components/a b.yaml",
    line=8,
    column=12,
    pointer="/spec/artifacts/0/url",
    object=ObjectName(kind="Component", tenant="shop", name="a"),
    source_line="      url: http://x",
    fingerprint="f" * 64,
)
WARNED = replace(DENIED, action="warn", rule="hygiene/owner", code="hygiene/no-owner", message="nobody is named", line=4, remedy="")
STANDING = replace(DENIED, standing=True, line=20)
FAILED = replace(DENIED, action="error", code="policy/timeout", message="rule could not judge", line=0, column=0, object=None)
WAIVED = replace(
    DENIED,
    waived=Waived(
        waiver="shop/mirror", owner="ana@example.com", reason="no TLS yet", until="2027-02-01T00:00:00Z", file="tenants/shop/waivers/m.yaml"
    ),
)
NEARLY = replace(DENIED, notes=("waiver shop/mirror does not excuse this: it ended at 2026-11-01T00:00:00Z",))
RULE = Description(id=DENIED.rule, title="Artifacts come over HTTPS", description="Why it is so.", remedy="use https", scope="object")
OTHER = replace(RULE, id="hygiene/description", title="Things are described", level="warn")
OFF = replace(OTHER, id="reliability/soak", level="off")


def outcome(*verdicts: Verdict, base: str | None = None, **more: object) -> Outcome:
    rules = {one.id: one for one in (RULE, OTHER, OFF)}
    accepted = not any(one.blocking for one in verdicts)
    return replace(Outcome(verdicts=verdicts, manifests=6, accepted=accepted, revision="c" * 40, base=base, rules=rules), **more)  # type: ignore[arg-type]


def sarif(*verdicts: Verdict, base: str | None = None, **more: object) -> dict[str, object]:
    log = json.loads(render(outcome(*verdicts, base=base, **more), "sarif"))
    assert [error.message for error in Draft202012Validator(SARIF).iter_errors(log)] == []
    run: dict[str, object] = log["runs"][0]
    return run


@pytest.mark.parametrize("form", FORMATS)
def test_every_form_says_who_excuses_a_verdict_why_and_until_when(form: str) -> None:
    shown = render(outcome(WAIVED), form)
    assert outcome(WAIVED).accepted
    for said in ("no TLS yet", "ana@example.com", "2027-02-01T00:00:00Z"):
        assert said in shown


@pytest.mark.parametrize("form", FORMATS)
def test_every_form_says_why_a_waiver_does_not_fit(form: str) -> None:
    assert "it ended at 2026-11-01T00:00:00Z" in render(outcome(NEARLY), form)


def test_a_waived_verdict_is_counted_apart_and_suppressed_for_code_scanning() -> None:
    assert outcome(WAIVED, STANDING).total == "6 manifests, 1 waived, 1 standing"
    result = json.loads(json.dumps(sarif(WAIVED)))["results"][0]
    assert (result["level"], result["suppressions"][0]["status"]) == ("note", "accepted")


def test_every_form_says_what_came_of_it() -> None:
    for form in FORMATS:
        assert render(outcome(DENIED, WARNED), form) != render(outcome(WARNED), form)


@pytest.mark.parametrize("form", FORMATS)
def test_no_form_shows_a_line_that_may_hold_a_secret(form: str) -> None:
    finding = Finding(
        action="deny",
        rule="secrets/private-key",
        code="secrets/private-key",
        message="a private key stands in plain text",
        place=Place(file="a.yaml", pointer=("spec", "key")),
        value="sha256:1",
        sensitive=True,
    )
    one = verdict(finding, {"a.yaml": b"spec:\n  key: hunter2\n"}.__getitem__)
    assert one.line == 2
    assert "hunter2" not in render(outcome(one), form)


def test_sarif_describes_rules_and_places_results() -> None:
    run = sarif(DENIED, WARNED, prefix="fleets/")
    [first, second] = run["results"]  # type: ignore[misc]
    rules = run["tool"]["driver"]["rules"]  # type: ignore[index]
    assert rules[first["ruleIndex"]]["id"] == first["ruleId"] == DENIED.rule  # type: ignore[has-type]
    described = rules[first["ruleIndex"]]  # type: ignore[has-type]
    assert described["shortDescription"]["text"] == RULE.title
    assert "To mend it: use https" in described["help"]["text"]
    assert described["defaultConfiguration"] == {"level": "error", "enabled": True}
    physical = first["locations"][0]["physicalLocation"]  # type: ignore[has-type]
    assert physical["artifactLocation"]["uri"] == "fleets/tenants/shop/components/a%20b.yaml"
    assert physical["region"] == {"startLine": 8, "startColumn": 12}
    assert first["level"] == "error"  # type: ignore[has-type]
    assert second["level"] == "warning"  # type: ignore[has-type]
    assert "baselineState" not in first  # type: ignore[has-type]


@pytest.mark.parametrize("form", FORMATS)
def test_a_path_that_is_no_utf_8_can_be_reported(form: str) -> None:
    assert render(outcome(replace(DENIED, file="a\udcff.yaml")), form).encode()


def test_sarif_without_a_line_has_no_region_and_says_that_it_failed() -> None:
    run = sarif(FAILED)
    [result] = run["results"]  # type: ignore[misc]
    assert "region" not in result["locations"][0]["physicalLocation"]  # type: ignore[has-type]
    assert run["invocations"] == [{"executionSuccessful": False}]


def test_sarif_against_a_base_tells_standing_results_from_new_ones() -> None:
    [old, new] = sarif(STANDING, DENIED, base="b" * 40)["results"]  # type: ignore[misc]
    assert (old["baselineState"], old["level"]) == ("unchanged", "note")  # type: ignore[has-type]
    assert (new["baselineState"], new["level"]) == ("new", "error")  # type: ignore[has-type]
    [blocks] = sarif(replace(STANDING, blocks_standing=True), base="b" * 40)["results"]  # type: ignore[misc]
    assert blocks["level"] == "error"  # type: ignore[has-type]


def test_sarif_tells_of_a_loosened_judge() -> None:
    run = sarif(base="b" * 40, judge_changed=True, loosened=("hygiene/owner is off instead of warn",))
    notes = run["invocations"][0]["toolConfigurationNotifications"]  # type: ignore[index]
    assert [note["message"]["text"] for note in notes][1] == "loosened: hygiene/owner is off instead of warn"


def _shown(text: bytes, pointer: tuple[str | int, ...], value: str) -> Verdict:
    name = ObjectName(kind="Component", tenant="shop", name="a")
    place = Place(file="a.yaml", pointer=pointer)
    finding = Finding(action="deny", rule="r/r", code="r/r", message="m", place=place, object=name, value=value)
    return verdict(finding, lambda _: text)


def test_a_fingerprint_survives_moved_lines_and_list_items_and_nothing_else() -> None:
    one = b"spec:\n  artifacts:\n    - {name: a, url: http://x}\n"
    moved = b"# a comment\nspec:\n  artifacts:\n    - {name: new, url: https://y}\n    - {name: a, url: http://x}\n"
    first = _shown(one, ("spec", "artifacts", 0, "url"), '"http://x"')
    again = _shown(moved, ("spec", "artifacts", 1, "url"), '"http://x"')
    assert first.line != again.line
    assert first.fingerprint == again.fingerprint
    assert _shown(one, ("spec", "artifacts", 0, "url"), '"http://z"').fingerprint != first.fingerprint
    assert _shown(moved, ("spec", "artifacts", 0, "url"), '"http://x"').fingerprint != first.fingerprint


def test_junit_has_a_suite_for_each_rule_and_counts_what_refuses() -> None:
    root = ET.fromstring(render(outcome(DENIED, STANDING, FAILED, WARNED), "junit"))
    suites = {suite.attrib["name"]: suite for suite in root}
    assert suites.keys() == {DENIED.rule, WARNED.rule, OTHER.id}
    assert (root.attrib["tests"], root.attrib["failures"], root.attrib["errors"]) == ("5", "1", "1")
    for suite in root:
        assert suite.tag == "testsuite"
        assert int(suite.attrib["tests"]) == len(list(suite))
        assert {case.tag for case in suite} == {"testcase"}
        assert all({"classname", "name"} <= case.attrib.keys() for case in suite)
        assert {child.tag for case in suite for child in case} <= {"failure", "error", "system-out"}
    [failure] = suites[DENIED.rule].findall("testcase/failure")
    assert failure.attrib == {"message": DENIED.message, "type": DENIED.code}
    assert "remedy: use the https:// address" in (failure.text or "")
    assert [case.attrib["name"] for case in suites[OTHER.id]] == ["nothing found"]


@given(text=st.text(max_size=50))
def test_junit_is_xml_whatever_messages_hold(text: str) -> None:
    odd = replace(DENIED, message=text, remedy=text, file=text, code=text)
    root = ET.fromstring(render(outcome(odd), "junit").encode(errors="surrogatepass"))
    assert len(root) == 2


def test_github_commands_are_escaped_and_blocking_ones_come_first() -> None:
    odd = replace(DENIED, message="100%\nof a,b:c", file="a,b:c%.yaml", remedy="")
    first, second, third, last = render(outcome(WARNED, STANDING, odd), "github").splitlines()
    assert first == "::error file=a%2Cb%3Ac%25.yaml,line=8,col=12,title=supply-chain/https-only::100%25%0Aof a,b:c"
    assert second.startswith("::warning file=")
    assert third.startswith("::notice file=")
    assert "Standing since before: " in third
    assert last == "refused: 6 manifests, 1 deny, 1 warn, 1 standing"


@given(text=st.text(max_size=80))
def test_no_message_can_add_a_command_of_its_own_for_github(text: str) -> None:
    lines = re.split("\r\n|\r|\n", render(outcome(replace(DENIED, message=text, remedy=text, file=text)), "github"))
    assert len(lines) == 2


def test_markdown_fits_into_a_comment_and_counts_what_it_leaves_out() -> None:
    many = tuple(replace(DENIED, line=number, message="x" * 900) for number in range(1, 500))
    text = render(outcome(*many), "markdown")
    assert len(text) <= LIMIT
    shown = text.count("<details")
    assert 40 < shown < 499
    assert f"{499 - shown} more left out" in text
    assert "499 deny" in text


def test_markdown_shows_what_refuses_before_what_does_not() -> None:
    text = render(outcome(WARNED, STANDING, DENIED, base="b" * 40), "markdown")
    assert text.index("<b>deny</b> <code>") < text.index("<b>warn</b>") < text.index("<b>deny</b> (standing)")
    assert f"`{'c' * 12}` against `{'b' * 12}`" in text


@given(text=st.text(alphabet="`~<>&@[]()!*\n a", max_size=60))
def test_no_message_gets_out_of_its_block_in_markdown(text: str) -> None:
    rendered = render(outcome(replace(DENIED, message=text, source_line="", remedy="")), "markdown")
    [fence] = re.findall(r"^(`{3,})text$", rendered, re.MULTILINE)
    _, _, rest = rendered.partition(f"{fence}text\n")
    assert rest == f"{text}\n{fence}\n</details>\n"
    assert fence not in text


def test_json_has_the_same_fields_whatever_was_found() -> None:
    empty, full = (json.loads(render(one, "json")) for one in (outcome(), outcome(DENIED, STANDING, base="b" * 40)))
    assert empty.keys() == full.keys()
    assert full["counts"] == {"deny": 2, "error": 0, "warn": 0, "audit": 0, "standing": 1, "waived": 0}
    assert [one["blocking"] for one in full["verdicts"]] == [True, False]


def test_text_puts_a_caret_below_the_column() -> None:
    lines = re.sub("\x1b\\[[0-9;]*m", "", render(outcome(DENIED), "text")).splitlines()
    assert lines[0] == "tenants/shop/components/a b.yaml:8:12 deny supply-chain/https-only"
    assert lines[3].index("^") == lines[2].index("http://x")
    assert lines[-1] == "refused: 6 manifests, 1 deny"


def test_a_long_line_is_shown_around_its_column_with_the_caret_below_it() -> None:
    one = replace(DENIED, source_line="x" * 300 + "HERE" + "y" * 300, column=301)
    _, _, shown, caret, *_ = render(outcome(one), "text").splitlines()
    plain = re.sub("\x1b[^m]*m", "", shown), re.sub("\x1b[^m]*m", "", caret)
    assert len(plain[0]) < 140
    assert plain[0].endswith("…")
    assert plain[0][plain[1].index("^") :].startswith("HERE")


@pytest.mark.parametrize("form", ["text", "markdown", "github"])
def test_a_file_name_can_not_forge_a_line_of_a_report(form: str) -> None:
    one = replace(DENIED, file="tenants/x\x1b[2K\naccepted: nothing found\u202e.yaml", message="the path has \x1b[2K in it")
    shown = re.sub("\x1b\\[[0-9;]*m", "", render(outcome(one), form))
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert not any(line.startswith("accepted") for line in shown.splitlines())
