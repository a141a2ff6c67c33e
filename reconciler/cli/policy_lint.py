"""`ordain policy lint`: can others read, find and trust these rules?"""

import sys
from dataclasses import replace
from pathlib import Path

import click

from reconciler.cli.policy_source import OPA, PATH, REFUSED, Place, place_of
from reconciler.cli.report import FORMATS, Outcome, render
from reconciler.opa.program import find_opa
from reconciler.pipeline.finding import Description, Finding
from reconciler.pipeline.manifests import DirectoryTree
from reconciler.pipeline.policy.judge import JudgeRefused, load
from reconciler.pipeline.policy.library import BUILT_IN
from reconciler.pipeline.policy.linting import LINT, Linted, lint
from reconciler.pipeline.positions import verdict
from reconciler.resources import directory

ABOUT = Description(
    id=LINT,
    title="Rules can be read, found and trusted",
    description="A rule that compiles may still mislead: it has no example, no page, or a condition that means less than it seems to.",
    remedy="each finding says what to do",
)


@click.command("lint")
@PATH
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="text", show_default=True, help="How findings are printed.")
@OPA
def lint_rules(path: Path | None, form: str, opa: Path | None) -> None:
    """Look at the rules of the fleet repository at PATH beyond what a judge asks of them; without PATH, at ordain's own.

    First all that a judge refuses: `opa check --strict` with our capabilities, METADATA, packages in their places. Then `opa fmt`,
    what METADATA says, tests, examples both passing and failing, the page, and habits of Rego that mislead.

    Exit codes: 0 nothing found, 1 something found, 2 wrong usage, 3 OPA can't be run.

    \b
    Examples:
      ordain policy lint fleets                      a fleet repository's own rules
      ordain policy lint fleets --format sarif       for code scanning
    """
    place, found = place_of(path), find_opa(opa)
    try:
        result = _linted(place, found)
    except JudgeRefused as refusal:
        result = Linted(rules=0, findings=refusal.findings)
    outcome = Outcome(
        verdicts=tuple(verdict(one, place.read) for one in result.findings),
        accepted=not result.findings,
        rules={LINT: ABOUT},
        command="policy lint",
        looked_at=f"{result.rules} rule{'' if result.rules == 1 else 's'}",
    )
    click.echo(render(outcome, form))
    sys.exit(REFUSED if result.findings else 0)


def _linted(place: Place, opa: Path) -> Linted:
    judge = load(place.tree, place.repository.value if place.repository else None, place.layout, opa=opa)
    if place.path is not None:
        return lint(judge, place.tree, place.layout.policies, opa)
    result = lint(judge, DirectoryTree(directory("policies")), place.layout.policies, opa, prefix=BUILT_IN)
    return Linted(rules=result.rules, findings=tuple(_as_built_in(one) for one in result.findings))


def _as_built_in(one: Finding) -> Finding:
    """Return a finding on ordain's own file as it is named elsewhere."""
    return replace(one, place=replace(one.place, file=BUILT_IN + one.place.file))
