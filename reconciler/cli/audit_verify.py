"""`ordain audit verify`: the proof, for an auditor who has a clone, a copy of the store and public keys, and no reason to trust anybody."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from agent.protocol.errors import InputError
from reconciler import settings
from reconciler.cli import evidence as gathering
from reconciler.cli.backtesting import state_name
from reconciler.cli.instants import as_instant
from reconciler.cli.progress import Progress
from reconciler.opa.program import cache_directory, find_opa
from reconciler.pipeline.manifests import Document
from reconciler.pipeline.proof.shape import Misfit, Report
from reconciler.pipeline.proof.verify import Proving, prove
from reconciler.pipeline.remembered.replays import Replays
from reconciler.pipeline.remembered.sealed import Sealed
from reconciler.pipeline.signatures.pinned import read_pinned
from reconciler.printable import clipped, printable

SHOWN = 300
"""Characters of what was expected and found on a terminal; JSON has all of it."""
FEW = 20
"""Things on a terminal that could not be proven; JSON has all of them."""
MISFIT, NOTHING_PROVEN = 1, 3


def _since(ctx: click.Context, param: click.Parameter, value: str | None) -> str:
    return value if value is not None and value.isdecimal() else as_instant(ctx, param, value) or ""


@click.command()
@click.option("--since", callback=_since, help="From this decision on: its number, or a time (2026-11-01). [default: all]")
@click.option("--no-replay", is_flag=True, help="Don't make decisions again: neither OPA nor ssh-keygen is needed.")
@click.option("--signers", default="", help="Signer manifests that the reconciler's settings pinned; --state knows them.")
@click.option("--opa", type=click.Path(exists=True, dir_okay=False, path_type=Path), envvar="ORDAIN_OPA", help="OPA binary to use.")
@gathering.options
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def verify(ctx: click.Context, /, *, since: str, no_replay: bool, signers: str, opa: Path | None, form: str, **where: Any) -> None:
    """Prove what was decided, from git, notes, the store and public keys alone. No server is asked, and nothing of it is written.

    Records are signed and chained; notes say what records say; each accepted tree is its commit's, but for refused files; it compiles
    to each approved digest; every decision, made again, comes to the same verdicts; what agents are offered is what was approved.
    Whatever does not fit is named: what, where, what was expected, what was found. Of a part of a store it proves that part, and says
    what could not be proven without the rest. A run that is stopped goes on where it was when the same is asked again.

    Exit codes: 0 all that is here is proven, 1 something does not fit, 2 wrong usage, 3 nothing could be proven.

    \b
    Examples:
      ordain audit verify --state /var/lib/ordain --repo fleets                         on the reconciler's host
      ordain audit verify --repo fleets --store copy-of-store --keys public.json        on an auditor's machine
      ordain audit verify --repo fleets --store copy --keys public.json --since 2026-11-01 --format json
    """
    with Progress() as said:
        evidence = gathering.gather(**where)
        if evidence.store is None:
            message = "there is nothing to prove it by: give --state, or --store with --keys"
            raise InputError(message)
        pinned = signers or (settings.load(where["file"], state=where["state"]).signatures.signers if where["state"] is not None else "")
        signed, found = read_pinned(pinned), None if no_replay else find_opa(opa)
        known = _known(found, signed) if found is not None else None
        given = Proving(
            repository=evidence.place.git(),
            store=evidence.store,
            decision_keys=evidence.decision_keys,
            release_keys=evidence.release_keys,
            opa=found,
            known=known,
            pinned=signed,
            since=since,
        )
        report = prove(given, said)
    if known is not None:
        known.forget()
        _went_on(known.reused)
    click.echo(json.dumps(_plain(report), indent=2, ensure_ascii=False) if form == "json" else "\n".join(_lines(report)))
    ctx.exit(MISFIT if report.misfits else 0 if report.proven else NOTHING_PROVEN)


def _known(opa: Path, pinned: Sequence[Document]) -> Replays[str]:
    """Return the decisions that a run which was stopped has made again: by this ordain, this OPA and these pinned signers."""
    stated = json.dumps([one.value for one in pinned], sort_keys=True, default=str)
    return Replays(Sealed(cache_directory(os.environ) / "proof"), state_name(opa, "proof", stated), dict[str, str])


def _went_on(count: int) -> None:
    if count:
        click.echo(f"note: {count:,} decision{'' if count == 1 else 's'} had been made again by a run that was stopped", err=True)


def _plain(report: Report) -> dict[str, Any]:
    return {
        "proven": dict(sorted(report.proven.items())),
        "misfits": msgspec.to_builtins(report.misfits),
        "unproven": msgspec.to_builtins(report.unproven),
    }


def _lines(report: Report) -> Iterator[str]:
    for (what, expected, found), places in _alike(report.misfits).items():
        also = f" and {len(places) - 1} more, to {printable(places[-1])}" if len(places) > 1 else ""
        yield click.style(f"DOES NOT FIT: {what}, {printable(places[0])}{also}", bold=True)
        yield f"  expected {_shown(expected)}"
        yield f"  found    {_shown(found)}"
    for left in report.unproven[:FEW]:
        yield f"not proven: {left.what}, {printable(left.where)}: {_shown(left.why)}"
    if len(report.unproven) > FEW:
        yield f"not proven: {len(report.unproven) - FEW} more (--format json has all of them)"
    counted = ", ".join(f"{count} {_plural(what, count)}" for what, count in sorted(report.proven.items())) or "nothing"
    yield f"proven: {counted}"
    count = len(report.misfits)
    yield f"{count} thing{'' if count == 1 else 's'} that do{'es' if count == 1 else ''} not fit" if count else "nothing that does not fit"


def _alike(misfits: Sequence[Misfit]) -> dict[tuple[str, str, str], list[str]]:
    """Return the places of misfits that read alike under what they say: one cause often shows at every decision."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for one in misfits:
        found.setdefault((one.what, one.expected, one.found), []).append(one.where)
    return found


def _plural(what: str, count: int) -> str:
    if count == 1 or what.endswith("s"):
        return what
    return what.removesuffix("y") + "ies" if what.endswith("y") else what + "s"


def _shown(text: str) -> str:
    return printable(clipped(text, SHOWN))
