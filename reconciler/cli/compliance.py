"""`ordain report compliance`: how much conforms to the rules, who may change what, and what is excused."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from agent.protocol.errors import InputError
from reconciler.cli import sources
from reconciler.cli.accounting import Wanted, report_of
from reconciler.cli.compliant import FORMATS, render
from reconciler.cli.instants import as_beginning, as_instant
from reconciler.cli.policy_source import OPA, UNJUDGED
from reconciler.cli.progress import Progress
from reconciler.opa.program import find_opa
from reconciler.pipeline.signatures.pinned import read_pinned
from reconciler.publication.times import instant

POINTS = 24
"""Commits of a trend unless said otherwise: one for each half week of a quarter, and as many as a small chart can show."""


@click.group()
def report() -> None:
    """Reports on a fleet repository as a whole, for people who don't work on it.

    \b
    Example:
      ordain report compliance fleets
    """


@report.command()
@click.argument("path", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--since", default="90d", show_default=True, callback=as_beginning, help="The period: 90d, or a day such as 2026-09-01.")
@click.option("--at", metavar="TIME", callback=as_instant, help="As on this day or at this instant: which waivers, keys and stages count.")
@click.option("--rev", default="HEAD", show_default=True, help="Report on this revision: the branch that is followed.")
@click.option("--label", "labels", multiple=True, metavar="KEY", help="Count agents by this label. [default: those with up to 20 values]")
@click.option("--signers", default="", metavar="FILE", help="Signer manifests that the reconciler's settings pin: they count beside git's.")
@click.option("--points", default=POINTS, show_default=True, type=click.IntRange(0, 200), help="Commits of the trend; 0 for none.")
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="text", show_default=True, help="How it is written.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file.")
@click.option("--jobs", type=click.IntRange(1, 64), default=min(2, os.cpu_count() or 1), show_default=True, help="Requests at a time.")
@OPA
def compliance(
    path: Path,
    *,
    since: str,
    at: str | None,
    rev: str,
    labels: tuple[str, ...],
    signers: str,
    points: int,
    form: str,
    out: Path | None,
    jobs: int,
    opa: Path | None,
) -> None:
    """Report which share of manifests and agents conforms to the rules: by rule, tenant, fleet and label, and over time.

    With waivers in force, who may change what, and the commits that no signer stands behind, it is what an auditor asks for, in one
    file. Only commits are looked at; files that are not committed are nobody's.

    Exit codes: 0 reported, whatever it says; 2 wrong usage, 3 something could not be judged.

    \b
    Examples:
      ordain report compliance fleets
      ordain report compliance fleets --since 365d --format html --out compliance.html
      ordain report compliance fleets --at 2026-12-31 --rev v2026.12 --since 2026-10-01      a quarter that is over
      ordain report compliance fleets --label region --format csv > compliance.csv
    """
    now = instant(at, what="--at") if at else datetime.now(tz=UTC).replace(microsecond=0)
    wanted = Wanted(since=since, rev=rev, labels=labels, points=points, now=now, jobs=jobs, pinned=read_pinned(signers))
    with Progress() as told:
        found = report_of(sources.place_of(path), wanted, opa=find_opa(opa), told=told)
    text = render(found, form)
    if out is None:
        click.echo(text)
    else:
        _write(out, text)
        click.echo(out, err=True)
    sys.exit(UNJUDGED if found.unjudged else 0)


def _write(out: Path, text: str) -> None:
    try:
        out.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        message = f"--out {out}: can't be written: {error.strerror}"
        raise InputError(message) from error
