"""Examples that show what a rule finds: `examples/{pass,fail}-*.yaml` beside it, with each expected line marked.

A line that ends in `# deny` (or `# warn`, `# audit`: which is said elsewhere) has a finding, and every other line has
none. Examples of object rules are manifests, of which a second one of the same name is a change of the first; those of
release and change rules are what the rule sees as input or as change.
A first line `# parameters: {…}` sets parameters. Examples run through the real router, with that one rule on.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from agent.protocol.errors import MalformedError
from reconciler.pipeline.finding import Finding, ObjectName
from reconciler.pipeline.manifests import Document, Layout, locate, parse_file
from reconciler.pipeline.policy.answers import Subject
from reconciler.pipeline.policy.evaluate import ObjectItem, Policies
from reconciler.pipeline.policy.metadata import Rule
from reconciler.pipeline.tree import Tree
from reconciler.pipeline.validation import validate

_MARK = re.compile(r"#\s*(deny|warn|audit)\s*$")
_PARAMETERS = "# parameters:"
_EXAMPLE = re.compile(r"(pass|fail)-[a-z0-9-]+\.ya?ml")
EMPTY_CHANGE: Mapping[str, Any] = {
    "from": None,
    "to": None,
    "now": "2026-01-01T00:00:00Z",
    "commits": [],
    "objects": {"added": [], "changed": [], "removed": []},
    "impact": {"agents": 0, "total": 0, "by_label": {}, "total_by_label": {}},
    "judge": {"changed": False, "loosened": []},
}
"""What a rule sees of a change where an example does not say more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """A line of an example on which something else was found than it says; 0 where it is about the whole file."""

    line: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleResult:
    """One example of one rule, and where it was wrong."""

    rule: str
    file: str
    mismatches: tuple[Mismatch, ...]

    @property
    def passed(self) -> bool:
        """Whether the rule found what the example says, and nothing else."""
        return not self.mismatches


def run(tree: Tree, files: Mapping[str, str], policies: Policies) -> Iterator[ExampleResult]:
    """Run all examples of a tree; `files` names the file of each rule in it, by the rule's id."""
    directories: dict[PurePosixPath, list[str]] = {}
    for rule, file in files.items():
        directories.setdefault(PurePosixPath(file).parent, []).append(rule)
    for path in sorted(tree.entries):
        example = PurePosixPath(path)
        if example.parent.name != "examples" or example.parent.parent not in directories or example.suffix not in (".yaml", ".yml"):
            continue
        rules = directories[example.parent.parent]
        if len(rules) > 1:
            message = f"{len(rules)} rules are in {example.parent.parent}: give each its own directory, so that examples are of one"
            yield ExampleResult(rule="", file=path, mismatches=(Mismatch(line=0, message=message),))
        else:
            found = tuple(_mismatches(path, tree.read(path), policies.judge.rules[rules[0]], policies))
            yield ExampleResult(rule=rules[0], file=path, mismatches=found)


def _mismatches(path: str, data: bytes, rule: Rule, policies: Policies) -> Iterator[Mismatch]:
    name = PurePosixPath(path).name
    if not _EXAMPLE.fullmatch(name):
        yield Mismatch(line=0, message="an example is called pass-<what>.yaml or fail-<what>.yaml")
        return
    lines = data.decode(errors="replace").split("\n")
    expected = {number for number, line in enumerate(lines, start=1) if _MARK.search(line)}
    if name.startswith("fail-") != bool(expected):
        yield Mismatch(line=0, message="a fail- example marks at least one line `# deny`, and a pass- example none")
    parsed = parse_file(path, data)
    if parsed.findings:
        yield from (Mismatch(line=locate(data, each.place)[0], message=each.message) for each in parsed.findings)
        return
    found: dict[int, Finding] = {}
    for finding in ask(path, data, parsed.documents, rule, policies):
        found.setdefault(locate(data, finding.place)[0], finding)
    for line in sorted(expected - found.keys()):
        yield Mismatch(line=line, message="expected a finding, got none")
    for line in sorted(found.keys() - expected):
        yield Mismatch(line=line, message=f"expected nothing, got: {found[line].message}")
    for line in sorted(found.keys() & expected):
        if found[line].action == "error":
            yield Mismatch(line=line, message=f"expected a finding, got an error: {found[line].message}")
    if rule.scope == "object":
        wrong = [finding for document in parsed.documents for finding in validate(document, Layout())]
        yield from (Mismatch(line=locate(data, each.place)[0], message=f"no valid manifest: {each.message}") for each in wrong)


def ask(path: str, data: bytes, documents: tuple[Document, ...], rule: Rule, policies: Policies) -> list[Finding]:
    """Return what one rule finds in an example, with the parameters that the example's first line sets.

    Raises:
        MalformedError: that line is no mapping.
    """
    policies = policies.narrowed(rule.id, _parameters(path, data.decode(errors="replace").partition("\n")[0]))
    if rule.scope == "object":
        return policies.objects([*_versions(documents)], EMPTY_CHANGE)
    return [finding for document in documents for finding in _ask_other(document, rule, policies)]


def _versions(documents: tuple[Document, ...]) -> Iterator[ObjectItem]:
    """Yield manifests to judge; one of the same name further up in the example is what was accepted before."""
    accepted: dict[ObjectName | None, Document] = {}
    for document in documents:
        before = accepted.get(document.name)
        yield ObjectItem(document=document, old=before.value if before else None)
        accepted[document.name] = document


def _ask_other(document: Document, rule: Rule, policies: Policies) -> list[Finding]:
    """Ask about a release or a change as the example states it; findings are placed in the example itself."""
    stated = document.value
    if rule.scope == "change":
        subject = Subject(name=None, value=stated, place_of=lambda pointer: document.place(*pointer))
        return policies.about("change", subject, {}, {**EMPTY_CHANGE, **stated}, path=document.path)
    seen = {"fleet": {}, "release": {"groups": {}}, "members": [], "old": None, **stated}
    name = ObjectName(kind="Fleet", tenant=rule.tenant, name="example")
    subject = Subject(name=name, value=stated, place_of=lambda pointer: document.place(*pointer))
    return policies.about("release", subject, seen, EMPTY_CHANGE, path=document.path)


def _parameters(path: str, line: str) -> Mapping[str, Any]:
    """Return the parameters that an example's first line sets."""
    if not line.startswith(_PARAMETERS):
        return {}
    parsed = parse_file(path, line.removeprefix(_PARAMETERS).encode())
    if parsed.findings or len(parsed.documents) != 1:
        message = f"{path}:1: after `{_PARAMETERS}` comes a mapping, such as {{limit: 10%}}"
        raise MalformedError(message)
    return parsed.documents[0].value
