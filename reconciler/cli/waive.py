"""`ordain waive`: a waiver for one finding, written as a manifest that is ready to commit."""

import json
import re
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import click

from agent.protocol import durable
from agent.protocol.errors import InputError, RefusedError
from reconciler.cli.judging import Bench, opened
from reconciler.cli.progress import Progress
from reconciler.cli.sources import base_of, head_of, place_of
from reconciler.cli.waiving import Wanted, check, chosen, manifest_of
from reconciler.manifest_edit import write
from reconciler.opa.program import find_opa
from reconciler.pipeline.acceptance.corpus import read_repository
from reconciler.pipeline.signatures.switch import is_required
from reconciler.pipeline.tree import Tree
from reconciler.pipeline.waivers.terms import BREAK_GLASS_HOURS, WAIVER_DAYS
from reconciler.pipeline.waivers.writing import Granted
from reconciler.printable import printable
from reconciler.publication.times import instant, stamp

_PLACE = re.compile(r"(?P<file>.+?):(?P<line>[0-9]+)(?::[0-9]+)?")
APPROVERS = 2
"""People who have to approve of breaking the glass: nobody does it alone."""
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


@click.command()
@click.argument("target", nargs=-1, required=True, metavar="FILE:LINE | RULE OBJECT")
@click.option("--reason", help="Why it is excused.")
@click.option("--owner", help="Who answers for it: an address or a team.")
@click.option("--until", metavar="DAY", help=f"Its last day (2027-01-31), at most {WAIVER_DAYS} days away; for an incident an instant.")
@click.option("--rule", default="", help="Which finding, where several stand on the line.")
@click.option(
    "--incident", default="", help=f"Break the glass for this incident: --until is an instant, at most {BREAK_GLASS_HOURS} hours away."
)
@click.option("--approved-by", multiple=True, metavar="SIGNER", help="Who approves of breaking the glass; name two, who both sign.")
@click.option(
    "--repo", default=".", show_default=True, type=click.Path(exists=True, file_okay=False, path_type=Path), help="Fleet repository."
)
@click.option("--base", help="Look at the change from this revision, as check does.")
@click.option("--dry-run", is_flag=True, help="Print the manifest, and write nothing.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--opa", type=click.Path(exists=True, dir_okay=False, path_type=Path), envvar="ORDAIN_OPA", help="OPA binary to use.")
def waive(  # noqa: PLR0917 - click passes options by name
    target: tuple[str, ...],
    reason: str | None,
    owner: str | None,
    until: str | None,
    rule: str,
    incident: str,
    approved_by: tuple[str, ...],
    repo: Path,
    base: str | None,
    form: str,
    opa: Path | None,
    *,
    dry_run: bool,
) -> None:
    """Write a waiver for one finding of `ordain check`, ready to commit.

    Name the finding by FILE:LINE, or by RULE and OBJECT. What is not said by option is asked for at a terminal. Where a waiver of
    this rule, object and place stands already, its value, reason, owner and end are changed in place, and its comments kept.

    Exit codes: 0 written, 1 refused (too long, a rule that can't be waived, or --incident with
    signatures off), 2 there is no such finding, 3 could not be judged.

    \b
    Examples:
      ordain waive tenants/shop/components/motd.yaml:8 --reason "old readers" --owner ana@example.com --until 2027-01-31
      ordain waive supply-chain/https-only shop/collector --reason "no TLS yet" --owner team-shop --until 2027-01-31
    """
    now = datetime.now(tz=UTC)
    wanted = _wanted(target, rule, repo)
    granted = Granted(
        reason=_asked("--reason", "Why is it excused", reason),
        owner=_asked("--owner", "Who answers for it", owner),
        until=_until(_asked("--until", "Until when", until), now, incident=incident),
        incident=incident,
        approved_by=approved_by,
    )
    if incident:
        _require_two(approved_by)
    place = place_of(repo)
    tree, revision = head_of(place, None)
    if incident:
        _require_signatures(tree)
    start = base_of(place, base, revision) if base else None
    with Progress() as said:
        said("judging, to see what there is to excuse")
        with opened(tree, start, bench=Bench(opa=find_opa(opa)), now=stamp(now), revision=None) as state:
            found = chosen(wanted, state, tree)
            file, text = manifest_of(found, granted, state, tree)
    check(file, text, found, layout=state.layout, now=stamp(now))
    if dry_run:
        click.echo(text.decode(), nl=False)
        return
    _put(repo / file, text)
    click.echo(json.dumps({"file": file, "until": granted.until, "rule": found.finding.rule}) if form == "json" else file)
    click.echo(f"{found.finding.rule} on {found.finding.object} is excused once this is accepted; commit {printable(file)}", err=True)


def _wanted(target: tuple[str, ...], rule: str, repo: Path) -> Wanted:
    """Return which finding is meant; raise `UsageError` where that can't be told."""
    words = " ".join(target).split(" ")
    place = _PLACE.fullmatch(target[0]) if len(target) == 1 else None
    if place is not None:
        return Wanted(file=_inside(place["file"], repo), line=int(place["line"]), rule=rule)
    if len(words) in (2, 3) and "/" in words[0]:
        return Wanted(rule=words[0], object=" ".join(words[1:]))
    message = "name a finding by FILE:LINE, or by RULE and OBJECT (shop/collector, or Component shop/collector)"
    raise click.UsageError(message)


def _require_signatures(tree: Tree) -> None:
    """Raise `RefusedError` where signatures are off: a waiver that breaks the glass never counts there."""
    if not is_required(read_repository(tree)):
        message = (
            "--incident: signatures are off, so nobody could tell who approved, and the waiver would never count; write one "
            "without --incident, which a review lets in, or turn signatures on in ordain.yaml (signatures: {required: true})"
        )
        raise RefusedError(message)


def _require_two(people: tuple[str, ...]) -> None:
    """Raise `UsageError` unless two people are to approve."""
    if len(set(people)) < APPROVERS:
        message = f"--approved-by is needed {APPROVERS} times with --incident: two people, who both sign a commit that touches the file"
        raise click.UsageError(message)


def _asked(option: str, question: str, given: str | None) -> str:
    """Return what an option says, or what a person answers; raise `UsageError` where nobody can be asked."""
    if given is not None and given.strip():
        return given.strip()
    if not sys.stdin.isatty():
        message = f"{option} is needed: {question.lower()}?"
        raise click.UsageError(message)
    answer: str = click.prompt(question, err=True)
    return answer.strip()


def _until(text: str, now: datetime, *, incident: str) -> str:
    """Return the end of a waiver as its manifest has it; raise `InputError` if it is no time, `RefusedError` if it is too far or past."""
    if incident:
        if not _INSTANT.fullmatch(text):
            message = f"--until {text}: with --incident write an instant in UTC, such as {stamp(now + timedelta(hours=4))}"
            raise InputError(message)
        latest, ends = stamp(now + timedelta(hours=BREAK_GLASS_HOURS)), text
        instant(text, what="--until")
    else:
        try:
            ends = date.fromisoformat(text).isoformat()
        except ValueError as error:
            message = f"--until {text}: write the last day, such as {(now + timedelta(days=30)).date()}"
            raise InputError(message) from error
        latest = (now + timedelta(days=WAIVER_DAYS)).date().isoformat()
    if not stamp(now)[: len(ends)] <= ends <= latest:
        message = f"--until {text}: it has to end by {latest}, and not in the past; what should hold for longer is a setting in ordain.yaml"
        raise RefusedError(message)
    return ends


def _inside(file: str, repo: Path) -> str:
    """Return a file's path in the fleet repository, whether it was given from there or from the working directory."""
    path, root = Path(file).resolve(), repo.resolve()
    return path.relative_to(root).as_posix() if path.exists() and path.is_relative_to(root) else Path(file).as_posix()


def _put(path: Path, text: bytes) -> None:
    if path.exists():
        write(path, text)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        durable.replace(path, text, mode=0o644)
