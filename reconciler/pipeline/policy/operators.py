"""A repository's own rules about operators and enrolment (`policies/authz/`): checked here, signed with controls, asked by `serve`.

They never judge a manifest. `serve` asks them after ordain's own policy allowed something, so they can only deny more; what they
could do to widen that is refused here: another package than `ordain.authz.custom.<name>`, or one that refuses nothing.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.pipeline.finding import Finding, Place
from reconciler.pipeline.policy import checking, library
from reconciler.pipeline.policy.checking import Checked, Reports
from reconciler.pipeline.policy.library import Source, refused
from reconciler.publication import operator_rules

_REFUSES = re.compile(rb"^deny contains\b", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRules:
    """Rego by the last part of its package, and what is wrong with it."""

    rules: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def load(sources: Mapping[str, Source], opa: Path, *, reports: Reports | None = None) -> OperatorRules:
    """Check the rules beside ordain's own policies, as `serve` will load them; nothing is asked of OPA where there are none.

    Raises:
        RetryError: OPA can't be run.
    """
    if not sources:
        return OperatorRules()
    checked = checking.check({**library.built_in_authz(), **sources}, opa, reports=reports)
    findings = [*checked.findings]
    findings += [finding for one in sources.values() for finding in _faults(one)]
    rules = {} if findings else _by_name(checked)
    if len(operator_rules.pack(rules)[1]) > operator_rules.LIMIT:
        first = next(iter(sources.values()))
        message = f"the rules about operators are larger than {operator_rules.LIMIT} bytes together"
        findings.append(refused("policy/too-large", message, Place(file=first.place)))
    return OperatorRules(rules=rules, findings=tuple(findings))


def _by_name(checked: Checked) -> dict[str, str]:
    found = {package[-1]: sources[0] for package, sources in checked.packages.items() if sources[0].origin == "authz"}
    return {name: source.content.decode() for name, source in sorted(found.items())}


def _faults(source: Source) -> Iterator[Finding]:
    """Say what keeps a file from being a rule about operators: it would silently never refuse anything, or can't be sent as text."""
    place = Place(file=source.place, line=1, column=1)
    if not _REFUSES.search(source.content):
        remedy = 'write `deny contains "why it is refused" if { … }`; these rules can only deny more'
        yield refused("policy/deny", "it refuses nothing: it has no `deny contains …`", place, remedy)
    try:
        source.content.decode()
    except UnicodeDecodeError:
        yield refused("policy/syntax", "it is no text in UTF-8", place, "save it as UTF-8")
