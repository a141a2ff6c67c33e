"""`ordain forge`: what a plan found, said where the pull request is."""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from agent.protocol.errors import InputError
from reconciler.cli.plan import exit_code, worked_out
from reconciler.cli.planned import reading, render
from reconciler.cli.planned.checks import checks
from reconciler.cli.reported import dry, said, said_as_json
from reconciler.forges import connect
from reconciler.forges.deliver import Report, deliver
from reconciler.forges.environment import Surroundings, surroundings
from reconciler.forges.patience import PATIENCE, Patience
from reconciler.forges.shape import Limits, Status
from reconciler.pipeline.plan.shape import Plan
from reconciler.pipeline.source.location import Credentials
from reconciler.printable import clipped

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,49}")
"""Begins each check; stands in the comment's marker."""
COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


@click.group()
def forge() -> None:
    """Tell a forge (GitHub, GitLab, Gitea, Forgejo) what was found.

    \b
    Example:
      ordain forge report
    """


@forge.command()
@click.argument("plan", required=False, type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option(
    "--path", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path), help="The fleet repository, if no PLAN."
)
@click.option("--base", help="Plan from here, if no PLAN; left out: where the pull request starts.")
@click.option("--head", help="Plan to here, if no PLAN; left out: the commit that gets the statuses.")
@click.option("--opa", type=click.Path(exists=True, dir_okay=False, path_type=Path), envvar="ORDAIN_OPA", help="OPA binary to use.")
@click.option("--forge", type=click.Choice(sorted(connect.KINDS)), help="Which forge; in CI it is known.")
@click.option("--api", help="Where its API is: https://HOST/PATH.")
@click.option("--repository", help="OWNER/NAME; GitLab: also the project's number.")
@click.option("--commit", help="The commit that gets the statuses, all of its id.")
@click.option(
    "--pull-request", type=click.IntRange(min=1), help="Number of the pull request with the comment; GitLab: of the merge request."
)
@click.option("--link", help="Where a status leads; in CI: to the job.")
@click.option("--token", help="Where the token is: env:NAME or file:PATH. Left out: env:GITHUB_TOKEN, GITLAB_TOKEN or GITEA_TOKEN.")
@click.option("--author", default="", help="Login of the token's own comments, where the forge doesn't tell (other GitHub apps).")
@click.option(
    "--name", default="ordain", show_default=True, help="Begins each status; one of its own for each fleet repository in one repository."
)
@click.option(
    "--patience", type=click.FloatRange(min=0), default=PATIENCE, show_default=True, help="Seconds for waiting and trying again, in all."
)
@click.option("--dry-run", is_flag=True, help="Print what would be posted; ask nobody.")
@click.option("--exit-code", "as_plan", is_flag=True, help="End as the plan does: 1 refused, 3 could not be judged.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def report(
    plan: Path | None,
    *,
    path: Path,
    base: str | None,
    head: str | None,
    opa: Path | None,
    author: str,
    name: str,
    patience: float,
    form: str,
    dry_run: bool,
    as_plan: bool,
    **named: Any,
) -> None:
    """Post what a plan found: three commit statuses, and one comment on the pull request that is kept up to date.

    PLAN is what `ordain plan --format json` printed (`-`: on stdin); left out, the plan is made here.
    Posting the same again writes nothing.

    Exit codes: 0 posted, whatever was found (--exit-code: as `ordain plan`), 1 the token may not, 2 wrong usage or token,
    3 try later.

    \b
    Examples:
      ordain forge report                                in a CI job: all else is known
      ordain forge report plan.json --dry-run            what would be posted
      ordain forge report plan.json --forge github --repository acme/fleets --commit 4f3c… --pull-request 7 --token file:token
    """
    about = _about(surroundings(os.environ), named)
    if not NAME.fullmatch(name):
        message = f"--name {name!r}: write lower-case letters, digits and ._-, at most 50"
        raise InputError(message)
    token = "" if dry_run else Credentials.parse(about.token).token()
    if plan is None:
        found = worked_out(path, base=base or about.base or None, head=head or about.commit, opa=opa)
    else:
        found = reading.read(_bytes(plan), what=str(plan))
    if found.head not in (about.commit, None):
        click.echo(f"note: the plan is of {found.head[:12]}, and reported on {about.commit[:12]}", err=True)
    limits = connect.KINDS[about.forge].limits
    wanted = report_of(found, about, name=name, limits=limits)
    if dry_run:
        click.echo(dry(wanted, about, form))
    else:
        trying = Patience(seconds=patience, told=lambda text: click.echo(f"note: {text}", err=True))
        there = connect.to(about, token=token, author=author, patience=trying)
        done = deliver(there, wanted, trying)
        click.echo(said_as_json(wanted, about, done) if form == "json" else said(wanted, about, done))
    sys.exit(exit_code(found) if as_plan else 0)


def _bytes(plan: Path) -> bytes:
    if str(plan) == "-":
        return sys.stdin.buffer.read(reading.PLAN_LIMIT + 1)
    with plan.open("rb") as stream:
        return stream.read(reading.PLAN_LIMIT + 1)


def _about(found: Surroundings, named: Mapping[str, Any]) -> Surroundings:
    """Return what the report is about: options first, then what the environment says, if that is about the same forge.

    Raises:
        InputError: something is said by neither.
    """
    kind = connect.KINDS.get(named["forge"] or found.forge)
    if kind is None:
        message = "this is no CI job of a forge that is known here: name --forge, --repository, --commit and --pull-request"
        raise InputError(message)
    if named["forge"] not in (None, found.forge):
        found = Surroundings(forge=named["forge"])
    about = replace(found, **{field: value for field, value in named.items() if value is not None})
    about = replace(about, api=about.api or kind.api, token=about.token or kind.token)
    missing = [f"--{field}" for field in ("api", "repository", "commit") if not getattr(about, field)]
    if missing:
        message = f"name {', '.join(missing)}: neither an option nor the environment of a CI job says so"
        raise InputError(message)
    if not COMMIT.fullmatch(about.commit):
        message = f"--commit {about.commit!r}: write all 40 digits of a commit's id, in lower case"
        raise InputError(message)
    kind.check(about.repository)
    return about


def report_of(plan: Plan, about: Surroundings, *, name: str, limits: Limits) -> Report:
    """Return what is to be posted of a plan, within what the forge takes."""
    statuses = tuple(
        Status(context=f"{name}/{one.name}", state=one.state, description=clipped(one.text, limits.description), link=about.link)
        for one in checks(plan)
    )
    marker = f"<!-- ordain forge report: {name} -->"
    body = render(plan, "markdown")
    if len(marker) + 1 + len(body) > limits.comment:
        body = "### ordain plan\n\nThe plan is longer than a comment may be: `ordain plan` shows all of it."
    return Report(commit=about.commit, statuses=statuses, pull_request=about.pull_request, marker=marker, body=body)
