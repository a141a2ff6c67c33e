"""`ordain why`: from a line on a host to the manifest line, the commit, and the decision that brought it there."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import click

from agent.protocol.errors import MalformedError
from reconciler.cli import evidence as gathering
from reconciler.cli import receipts
from reconciler.cli.evidence import Evidence, Snapshot, snapshot
from reconciler.cli.progress import Progress
from reconciler.cli.reasons import Found, as_plain, lines
from reconciler.control.records import read_status
from reconciler.pipeline.source.directories import find_node
from reconciler.pipeline.trail.released import About, told
from reconciler.pipeline.why.address import Address, parse
from reconciler.pipeline.why.answer import Answer, Asking, answers, commits_of
from reconciler.pipeline.why.blame import Blamer
from reconciler.pipeline.why.signed import signers_by_commit
from reconciler.publication.store import Store


@click.command()
@click.argument("place", metavar="TENANT/AGENT:PATH[:LINE]")
@click.option("--mode", default="", help="As it is while this mode of the fleet is on. [default: none is]")
@click.option("--rev", help="As of this revision. [default: what was accepted last; without a store, HEAD]")
@gathering.options
@receipts.option
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def why(place: str, *, mode: str, rev: str | None, form: str, server: str | None, **where: Any) -> None:
    """Say why a file, a line of one, an artifact or a probe is on a host.

    The answer names the manifest line, the parameter or label that filled it, and for each who wrote it, in which commit, who signed,
    reviewed and merged that. It needs a clone and nothing else. With the reconciler's store it also tells the decision, its verdicts
    and waivers, and when the release was published; without, what git notes tell of it. With a server it tells since when the host
    has it, by its own receipts, and in which wave of its rollout that is.

    An agent of a pool is TENANT/POOL/ID; artifacts and probes may also be asked about by name.

    Exit codes: 0 answered, 1 a record in the store is not signed as it must be, 2 nothing of ordain's is there (the message says what
    is near), 3 could not be read.

    \b
    Examples:
      ordain why shop/web-01:/etc/otelcol/config.yaml:12                       which line, and who wrote it
      ordain why shop/web-01:/etc/otelcol/config.yaml:12 --mode incident       as it reads in a mode
      ordain why shop/runners/7f3a:buildkite-agent --state /var/lib/ordain     an artifact, and who let it through
    """
    address = parse(place)
    with Progress() as said:
        said("looking at manifests and their history")
        found = _found(gathering.gather(**where), address, mode=mode, rev=rev)
        look = receipts.looking(address.host, server=server, state=where["state"])
        turns = {
            one.fleet: receipts.turn(address.host, one.fleet, one.digest, server=server, state=where["state"]) for one in found.answers
        }
        now = receipts.here(address.host, server=server, state=where["state"])
        found = replace(found, applied={one.fleet: look(one.fleet, one.digest, "") for one in found.answers}, turns=turns, here=now)
    if form == "json":
        click.echo(json.dumps(as_plain(found), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(lines(found)))


def _found(evidence: Evidence, address: Address, *, mode: str, rev: str | None) -> Found:
    with snapshot(evidence, rev) as shot:
        blamer = Blamer(shot.place.git(), shot.head, prefix=shot.place.prefix)
        given, failed = answers(Asking(corpus=shot.corpus, blamer=blamer), address, mode=mode)
        return _with_trail(evidence, shot, given, failed)


def _with_trail(evidence: Evidence, shot: Snapshot, given: list[Answer], failed: tuple[tuple[str, str], ...]) -> Found:
    commits = [one.commit for one in commits_of(given).values()]
    decisions = evidence.decisions()
    seen = {one.sha: one.signer for each in decisions if each.record is not None for one in each.record.commits if one.signer}
    now = signers_by_commit(shot.place.git(), shot.corpus, commits, datetime.now(UTC))
    return Found(
        head=shot.head,
        answers=tuple(given),
        failed=failed,
        signers=now | {sha: (name, "") for sha, name in seen.items() if sha in now},
        told={one.fleet: told(decisions, evidence.store, one.fleet, one.digest, _about(shot, one)) for one in given},
        has_store=evidence.store is not None,
        waves={one.fleet: _wave(evidence.store, one) for one in given if evidence.store is not None},
    )


def _wave(store: Store, answer: Answer) -> str:
    """Return how far the rollout of an answer's release went."""
    tenant, _, fleet = answer.fleet.partition("/")
    recorded = read_status(store, tenant, fleet)
    rolled = recorded.rollout if recorded is not None else None
    return f"wave {rolled.wave} ({rolled.number} of {rolled.waves})" if rolled and rolled.wave and rolled.digest == answer.digest else ""


def _about(shot: Snapshot, answer: Answer) -> About:
    """Return which verdicts are about an answer; an older tree may be in neither the repository nor the store."""

    def blob(tree: str, file: str) -> str | None:
        try:
            found = find_node(shot.place.git(), tree, file)
        except MalformedError:
            return None
        return found[1] if found is not None else None

    return About(files=answer.files, objects=frozenset(answer.objects), blob=blob)
