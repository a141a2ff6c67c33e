"""`ordain state`: what a host was meant to have at a time."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from agent.protocol.errors import InputError, RefusedError
from agent.protocol.state import File
from reconciler.cli import evidence as gathering
from reconciler.cli import receipts
from reconciler.cli.instants import as_instant
from reconciler.cli.progress import Progress
from reconciler.pipeline.trail.applied import Applied, told
from reconciler.pipeline.trail.decided import Decided
from reconciler.pipeline.trail.meant import Meant, digest_of, landed, meant
from reconciler.pipeline.trail.scratch import with_all
from reconciler.pipeline.trail.trees import Trees
from reconciler.pipeline.why.address import Host, parse_host
from reconciler.pipeline.why.landing import fleets_of
from reconciler.printable import printable
from reconciler.publication.times import stamp

SHORT = 12
"""Characters of a commit or digest on a terminal; JSON has all of them."""


@click.command()
@click.argument("host", metavar="TENANT/AGENT")
@click.option("--at", callback=as_instant, help="When: 2026-11-22T14:30:00Z, or 2026-11-22. [default: now]")
@click.option("--mode", default="", help="As while this mode was on; which was on when is not known here. [default: none]")
@click.option("--show", help="Print what this file held, and nothing else.")
@gathering.options
@receipts.option
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def state(host: str, *, at: str | None, mode: str, show: str | None, form: str, server: str | None, **where: Any) -> None:
    """Show what a host was meant to have at a time: its fleets, their releases, each file with its digest.

    It compiles what was accepted then. With the reconciler's store it goes by signed records and by what was published; without, by
    git notes, which leave out what hosts were offered when. Whether the host had it yet is told by its receipts, where a server is
    asked for them.

    Exit codes: 0 shown, 1 nothing is known of that time, or nothing can be told, 2 wrong usage, or no such host or path, 3 could
    not be read.

    \b
    Examples:
      ordain state shop/web-01 --at 2026-11-22T14:30:00Z --state /var/lib/ordain
      ordain state shop/web-01 --at 2026-11-22 --show /etc/motd
    """
    named, when = parse_host(host), at or stamp(datetime.now(UTC))
    with Progress() as said:
        said("compiling what was accepted then")
        found = _found(gathering.gather(**where), named, when, mode)
        look = receipts.looking(named, server=server, state=where["state"])
    if show is not None:
        click.echo(_content(found, named, show), nl=False)
    elif form == "json":
        fleets = [{**_plain(one, named), "applied": msgspec.to_builtins(look(one.fleet, one.digest, when))} for one in found]
        click.echo(json.dumps({"host": str(named), "at": when, "fleets": fleets}, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(line for one in found for line in _lines(one, named, look(one.fleet, one.digest, when))))


def _found(evidence: gathering.Evidence, host: Host, at: str, mode: str) -> list[Meant]:
    decisions = evidence.decisions()
    with with_all(evidence.place.git(), evidence.store) as repository:
        trees = Trees(repository=repository)
        found = list(meant(decisions, trees, evidence.store, host, at, mode=mode))
        if not found:
            _require_host(decisions, trees, host, at)
    if found:
        return found
    known = [one.at for one in decisions if f"{host.tenant}/" in "".join(fleet + " " for fleet in one.releases)]
    if not decisions:
        message = "no decision is known here; git fetch origin 'refs/notes/ordain/*:refs/notes/ordain/*', or give --state or --store"
    elif not known or min(known) > at:
        message = f"no release of tenant {host.tenant} is known from before {at}" + (f"; the first is of {min(known)}" if known else "")
    else:
        message = f"{host} was in no fleet at {at}, so ordain meant nothing to be on it"
    raise RefusedError(message)


def _require_host(decisions: Sequence[Decided], trees: Trees, host: Host, at: str) -> None:
    """Raise `InputError` for a host that git has neither now nor had at that time; nothing where a tree of then is not here."""
    problem: InputError | None = None
    for one in [*decisions[-1:], *[one for one in decisions if one.at <= at][-1:]]:
        try:
            fleets_of(trees.corpus(one.tree).world, host)
        except InputError as error:
            problem = problem or error
        except RefusedError:
            return
        else:
            return
    if problem is not None:
        raise problem


def _content(found: list[Meant], host: Host, path: str) -> bytes:
    for one in found:
        for file in one.state.files if one.state is not None else ():
            data = landed(file, host)
            if file.path == path and data is not None:
                return data
    problem = next((f"; fleet {one.fleet}: {one.problem}" for one in found if one.problem), "")
    message = f"{path} was no file of any fleet of {host} then{problem}; without --show all of them are listed"
    raise InputError(message)


def _lines(one: Meant, host: Host, known: Applied | None) -> Iterator[str]:
    yield click.style(f"{one.fleet}: bundle sha256:{one.digest}", bold=True)
    how = "signed record" if one.decision.record is not None else "git note, signed by nobody"
    yield f"  decision {one.decision.sequence} at {one.decision.at}, commit {one.decision.head[:SHORT]} ({how})"
    yield f"  published {'since ' + one.published if one.published else 'at a time that is not known here'}"
    if known is not None:
        yield f"  applied {printable(told(known, one.digest))}"
    if one.gone:
        yield "  the fleet was deleted before; what it left stays until another fleet owns it"
    if one.state is None:
        yield f"  can't be told: {printable(one.problem)}"
        return
    for file in one.state.files:
        what = "absent" if file.absent else _content_of(file, host) if file.type == "file" else file.type
        yield f"  {printable(file.path)}  {file.mode or '-'}  {file.owner or '-'}  {what}"
    for artifact in one.state.artifacts:
        digests = ", ".join(f"{platform} sha256:{source.sha256[:SHORT]}" for platform, source in sorted(artifact.platforms.items()))
        yield f"  {printable(artifact.path)}  artifact {artifact.name}  {digests}"
    for probe in one.state.probes:
        yield f"  probe {probe.name}"


def _content_of(file: File, host: Host) -> str:
    digest = digest_of(file, host)
    return f"sha256:{digest[:SHORT]}" if digest else "holds a secret, which only the host knows"


def _plain(one: Meant, host: Host) -> dict[str, Any]:
    found = one.state
    return {
        "fleet": one.fleet,
        "digest": one.digest,
        "decision": {
            "sequence": one.decision.sequence,
            "at": one.decision.at,
            "head": one.decision.head,
            "signed": one.decision.record is not None,
        },
        "published": one.published or None,
        "group": one.group or None,
        "gone": one.gone,
        "problem": one.problem or None,
        "files": [
            {
                "path": each.path,
                "type": each.type,
                "mode": each.mode,
                "owner": each.owner,
                "absent": each.absent,
                "sha256": digest_of(each, host) or None,
            }
            for each in (found.files if found else ())
        ],
        "artifacts": [
            {"name": each.name, "path": each.path, "sha256": {platform: source.sha256 for platform, source in each.platforms.items()}}
            for each in (found.artifacts if found else ())
        ],
        "probes": [each.name for each in (found.probes if found else ())],
    }
