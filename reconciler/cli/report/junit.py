"""For test viewers (GitLab, Jenkins): a test suite for each rule, a test case for each verdict.

A rule that found nothing is one case that passed. What does not refuse anything (warnings, audit, what merely stands)
passes too, and says so in its output.
"""

import re
from collections.abc import Iterable
from xml.etree import ElementTree as ET

from reconciler.cli.report.outcome import Outcome
from reconciler.pipeline.finding import Verdict

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(outcome: Outcome) -> str:
    """Return the report as JUnit XML."""
    root = ET.Element("testsuites", name="ordain check")
    by_rule: dict[str, list[Verdict]] = {rule: [] for rule in sorted({*_asked(outcome), *(one.rule for one in outcome.verdicts)})}
    for one in outcome.verdicts:
        by_rule[one.rule].append(one)
    for rule, verdicts in by_rule.items():
        suite = ET.SubElement(root, "testsuite", _counted(rule, verdicts))
        for one in verdicts:
            _case(suite, one, outcome)
        if not verdicts:
            ET.SubElement(suite, "testcase", classname=rule, name="nothing found")
    root.attrib |= _sums(root)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode")


def _asked(outcome: Outcome) -> Iterable[str]:
    return (name for name, described in outcome.rules.items() if described.level != "off")


def _counted(rule: str, verdicts: list[Verdict]) -> dict[str, str]:
    failures = sum(one.blocking and one.action != "error" for one in verdicts)
    errors = sum(one.action == "error" for one in verdicts)
    return {"name": rule, "tests": str(max(1, len(verdicts))), "failures": str(failures), "errors": str(errors), "skipped": "0"}


def _sums(suites: Iterable[ET.Element]) -> dict[str, str]:
    listed = list(suites)
    return {name: str(sum(int(suite.attrib[name]) for suite in listed)) for name in ("tests", "failures", "errors")}


def _case(suite: ET.Element, one: Verdict, outcome: Outcome) -> None:
    where = f"{outcome.path(one)}:{one.line}:{one.column}"
    attributes = {"classname": one.rule, "name": f"{where} {one.object or ''}".rstrip(), "file": outcome.path(one), "line": str(one.line)}
    case = ET.SubElement(suite, "testcase", {key: _clean(value) for key, value in attributes.items()})
    body = _clean("\n".join([where, one.message, *one.asides, *([f"remedy: {one.remedy}"] if one.remedy else [])]))
    if one.blocking:
        kind = "error" if one.action == "error" else "failure"
        ET.SubElement(case, kind, message=_clean(one.message), type=_clean(one.code)).text = body
    else:
        ET.SubElement(case, "system-out").text = f"{one.action}{one.mark}\n{body}"


def _clean(text: str) -> str:
    """Return a text without the characters that XML can't hold, however they are written."""
    return _NOT_XML.sub("\ufffd", text)
