"""`ordain policy`: which rules judge, whether they keep what their tests and examples promise, and which OPA is asked."""

import json
from pathlib import Path

import click

from reconciler.cli.lazy import LazyGroup
from reconciler.cli.policy_source import FORMAT, OPA, PATH, judge_of, place_of
from reconciler.opa.program import find_opa
from reconciler.pipeline.finding import becomes_json
from reconciler.pipeline.manifests import REPOSITORY_FILE

COMMANDS = {
    "backtest": "reconciler.cli.policy_backtest:backtest",
    "bench": "reconciler.cli.policy_bench:bench",
    "debug": "reconciler.cli.policy_debug:debug",
    "lint": "reconciler.cli.policy_lint:lint_rules",
    "new": "reconciler.cli.policy_new:new",
    "test": "reconciler.cli.policy_tests:run_tests",
    "try": "reconciler.cli.policy_try:try_rule",
    "upgrade": "reconciler.cli.vendor:upgrade",
    "vendor": "reconciler.cli.vendor:vendor",
}
"""Command → `module:attribute`, each imported only when it is asked for."""


@click.group(cls=LazyGroup, lazy=COMMANDS)
def policy() -> None:
    """Rules: write, test, try, measure and debug them, keep a copy of ordain's own, find the OPA that judges by them.

    \b
    Example:
      ordain policy new files/no-secrets fleets
      ordain policy test fleets
    """


@policy.command("opa")
def print_opa() -> None:
    """Print the path of the OPA that judges; download or build it first where there is none.

    It is downloaded where its SHA-256 is known: pinned by this version, or named in ORDAIN_OPA_SHA256. ORDAIN_OPA_URL
    names a mirror. Else Go builds it.

    \b
    Example:
      ordain policy opa
    """
    click.echo(find_opa())


@policy.command("list")
@PATH
@FORMAT
@OPA
def list_rules(path: Path | None, form: str, opa: Path | None) -> None:
    """List the rules that judge the fleet repository at PATH, with their levels; without PATH, ordain's own.

    Exit codes: 0 listed, 1 the repository's rules don't compile, 2 wrong usage, 3 OPA can't be run.

    \b
    Examples:
      ordain policy list                      the rules that ordain brings
      ordain policy list fleets               with the levels and parameters of a fleet repository
    """
    judge = judge_of(place_of(path), find_opa(opa))
    settings = {name: judge.setting(name, REPOSITORY_FILE, rule.tenant) for name, rule in judge.rules.items()}
    rows = [
        {
            "id": rule.id,
            "scope": rule.scope,
            "level": settings[rule.id].level,
            "becomes": becomes_json(settings[rule.id].becomes),
            "waivable": rule.waivable,
            "title": rule.title,
            "description": rule.description,
            "remedy": rule.remedy,
            "code": rule.code,
            "standing": settings[rule.id].standing,
            "kinds": sorted(rule.kinds),
            "parameters": dict(settings[rule.id].parameters),
            "file": rule.file,
        }
        for rule in judge.rules.values()
    ]
    if form == "json":
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for rule in judge.rules.values():
        later = f" ({settings[rule.id].becomes})" if settings[rule.id].becomes else ""
        click.echo(f"{rule.id:<32} {settings[rule.id].level:<6} {rule.scope:<8} {rule.title}{later}")
        for name, value in settings[rule.id].parameters.items():
            click.echo(f"  {name}: {json.dumps(value, ensure_ascii=False)}")
