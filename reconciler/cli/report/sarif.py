"""For code scanning: SARIF 2.1.0 (https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html).

A result is known again by its fingerprint, which no moved line changes. One that merely stands is a note, since it
refuses nothing; against a base it is also said to be unchanged.
"""

import json
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

from reconciler.cli.report.outcome import Outcome
from reconciler.pipeline.finding import Description, Verdict, waived_json

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
FINGERPRINT = "ordain/v1"
"""What the fingerprint is made of may change one day, and then its name does."""
LEVELS = {"deny": "error", "error": "error", "warn": "warning", "audit": "note", "off": "none"}
ROOT = "SRCROOT"


def render(outcome: Outcome) -> str:
    """Return the report as a SARIF log with one run."""
    named = sorted({one.rule for one in outcome.verdicts} | outcome.rules.keys())
    numbers = {rule: number for number, rule in enumerate(named)}
    driver = {
        "name": "ordain",
        "version": version("ordain"),
        "rules": [_rule(rule, outcome.rules.get(rule)) for rule in named],
    }
    run: dict[str, Any] = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {ROOT: {"description": {"text": "The root of the git repository."}}},
        "invocations": [{"executionSuccessful": not outcome.unjudged}],
        "results": [_result(one, outcome, numbers) for one in outcome.verdicts],
        "properties": {"accepted": outcome.accepted, "revision": outcome.revision, "base": outcome.base},
    }
    notes = list(outcome.judge_notes())
    if notes:
        run["invocations"][0]["toolConfigurationNotifications"] = [{"level": "warning", "message": {"text": note}} for note in notes]
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False)


def _rule(name: str, described: Description | None) -> dict[str, Any]:
    if described is None:
        return {"id": name}
    remedy = f"\n\nTo mend it: {described.remedy}" if described.remedy else ""
    return {
        "id": name,
        "name": "".join(part.capitalize() for part in name.replace("/", "-").split("-")),
        "shortDescription": {"text": described.title},
        "fullDescription": {"text": described.description or described.title},
        "help": {"text": f"{described.description or described.title}{remedy}\n\n`ordain explain {name}` says more."},
        "defaultConfiguration": {"level": LEVELS[described.level], "enabled": described.level != "off"},
        "properties": {"scope": described.scope},
    }


def _result(one: Verdict, outcome: Outcome, numbers: dict[str, int]) -> dict[str, Any]:
    remedy = f" To mend it: {one.remedy}." if one.remedy else ""
    result: dict[str, Any] = {
        "ruleId": one.rule,
        "ruleIndex": numbers[one.rule],
        "level": LEVELS[one.action] if one.blocking or not one.mark else "note",
        "message": {"text": f"{one.message}.{remedy}"},
        "locations": [_location(one, outcome)],
        "partialFingerprints": {FINGERPRINT: one.fingerprint},
        "properties": {"action": one.action, "code": one.code, "pointer": one.pointer, "standing": one.standing, "notes": list(one.notes)},
    }
    if one.waived is not None:
        justification = f"{one.waived.reason} ({one.waived.owner}), until {one.waived.until}"
        result["suppressions"] = [
            {"kind": "external", "status": "accepted", "justification": justification, "properties": waived_json(one.waived)}
        ]
    if outcome.base is not None:
        result["baselineState"] = "unchanged" if one.standing else "new"
    return result


def _location(one: Verdict, outcome: Outcome) -> dict[str, Any]:
    physical: dict[str, Any] = {"artifactLocation": {"uri": quote(outcome.path(one), errors="surrogateescape"), "uriBaseId": ROOT}}
    if one.line:
        physical["region"] = {"startLine": one.line, "startColumn": one.column}
    location: dict[str, Any] = {"physicalLocation": physical}
    if one.object is not None:
        location["logicalLocations"] = [{"fullyQualifiedName": str(one.object), "kind": "object"}]
    return location
