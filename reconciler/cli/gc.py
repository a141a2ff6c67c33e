"""`ordain gc`: what no host can ask for any more leaves the store, by rule; shown first, done with `--yes`."""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from agent.protocol.errors import RefusedError
from reconciler import settings
from reconciler.cli.progress import Progress
from reconciler.cli.tables import table
from reconciler.control.pruning import PublishedFleet
from reconciler.pipeline.pruning import ApprovedFleet
from reconciler.publication.pruning.carrying import Gone, Plan, carry_out, plan
from reconciler.publication.pruning.listed import fleets_below
from reconciler.publication.pruning.rule import Rule, rule_of
from reconciler.publication.store import CONTROL_PREFIXES, PIPELINE_PREFIXES, Scoped, Store

ZONES = {"control": (CONTROL_PREFIXES, "public/"), "pipeline": (PIPELINE_PREFIXES, "approved/")}
"""Zone → the prefixes that it writes, and that below which fleets are pruned; in the order in which each is looked at."""
REFUSED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fleet:
    """What would go of a fleet, and what went; `left` says why it was left alone."""

    name: str
    going: int
    staying: int
    kinds: Mapping[str, tuple[int, int]]
    files: tuple[str, ...] = ()
    gone: Gone = field(default_factory=Gone)
    left: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Zone:
    """What would go in one zone, and what went."""

    name: str
    fleets: tuple[_Fleet, ...]

    @property
    def kinds(self) -> list[tuple[str, int, int]]:
        """What would go, by what it is: files and bytes."""
        files, sizes = Counter[str](), Counter[str]()
        for one in self.fleets:
            for kind, (count, size) in one.kinds.items():
                files[kind] += count
                sizes[kind] += size
        return [(kind, files[kind], sizes[kind]) for kind in sorted(files)]

    @property
    def gone(self) -> Gone:
        """What went."""
        gone = [one.gone for one in self.fleets]
        return Gone(files=sum(one.files for one in gone), bytes=sum(one.bytes for one in gone), back=sum(one.back for one in gone))


@click.command()
@click.option("--state", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path), help="State directory of the zone.")
@click.option("--settings", "file", type=click.Path(dir_okay=False, path_type=Path), help="Settings file (TOML); [gc] has the rule.")
@click.option("--zone", "zones", type=click.Choice(list(ZONES)), multiple=True, help="Only this zone's prefixes; both unless said.")
@click.option("--newest", type=int, help="Versions that stay however old they are, instead of [gc] newest.")
@click.option("--days", type=float, help="Days for which what hosts fetch stays after it went out of use, instead of [gc] days.")
@click.option("--history", type=float, help="Days for which what people look back by stays, instead of [gc] history.")
@click.option("--yes", is_flag=True, help="Do it; without this it is only shown.")
@click.option("--verbose", is_flag=True, help="Name every file.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def gc(state: Path, file: Path | None, zones: tuple[str, ...], form: str, *, yes: bool, verbose: bool, **said: float | None) -> None:
    """Show what of the store no host can ask for any more; remove it with --yes.

    What hosts run, what they may go back to, roots, decisions and what operators did always stay. It runs beside the zones, which need
    not stop. Run it as the user of a zone, with its --zone, or as whoever runs `ordain up`.

    Exit codes: 0 shown or done, 1 fleets whose files can't be read were left alone, 2 wrong usage, 3 the store can't be reached.

    \b
    Examples:
      ordain gc --state /var/lib/ordain          what would go
      ordain gc --state /var/lib/ordain --yes    remove it
    """
    loaded = settings.load(file, state=state)
    asked = _rule(loaded.gc, **said)
    store = loaded.open_store()
    with Progress() as progress:
        found = _zones([one for one in ZONES if one in (zones or ZONES)], store, asked, progress, done=yes, verbose=verbose)
    if form == "json":
        click.echo(
            json.dumps({"done": yes, "zones": [_as_json(zone, done=yes, verbose=verbose) for zone in found]}, indent=2, ensure_ascii=False)
        )
    else:
        click.echo("\n".join(_as_text(found, done=yes)))
    left = [f"{one.name}: left alone ({zone.name}): {one.left}" for zone in found for one in zone.fleets if one.left]
    for line in left:
        click.echo(line, err=True)
    if not yes and any(zone.kinds for zone in found):
        click.echo("nothing was removed; the same with --yes does it", err=True)
    if left:
        sys.exit(REFUSED)


def _rule(known: settings.GcSettings, *, newest: float | None, days: float | None, history: float | None) -> Rule:
    """Return the rule: of the settings, but for what was said."""
    kept = known.days if days is None else days
    trail = history if history is not None else known.history if days is None else max(known.history, days)
    return rule_of(newest=int(known.newest if newest is None else newest), days=kept, history=trail, now=datetime.now(UTC))


def _zones(names: Sequence[str], store: Store, rule: Rule, progress: Progress, *, done: bool, verbose: bool) -> list[_Zone]:
    """Look at fleet after fleet, and prune each if that is to be done; one that can't be read holds up no other."""
    below = {name: fleets_below(store, ZONES[name][1]) for name in names}
    found: dict[str, list[_Fleet]] = {name: [] for name in names}
    for tenant, fleet in sorted(set().union(*below.values())):
        absent = frozenset[str]()
        for name in names:
            if (tenant, fleet) in below[name]:
                progress(f"{name}: looking at {tenant}/{fleet}")
                scoped = Scoped(inner=store, write=ZONES[name][0])
                if name == "control":
                    planned = plan(PublishedFleet(store=scoped, tenant=tenant, fleet=fleet, rule=rule))
                    absent = frozenset() if done else frozenset(entry.key for entry in planned.going)
                else:
                    planned = plan(ApprovedFleet(store=scoped, tenant=tenant, fleet=fleet, rule=rule, absent=absent))
                found[name].append(_pruned(scoped, planned, progress, done=done, verbose=verbose))
    return [_Zone(name=name, fleets=tuple(found[name])) for name in names]


def _pruned(store: Store, planned: Plan, progress: Progress, *, done: bool, verbose: bool) -> _Fleet:
    """Carry a plan out, if that is to be done; return what is to be said of it."""
    gone, left = Gone(), planned.left
    if done and planned.going:
        try:
            gone = carry_out(store, planned, progress)
        except RefusedError as error:
            left = " ".join(str(error).split())
    files = tuple(entry.key for entry in planned.going) if verbose else ()
    name, going = planned.subject.name, len(planned.going)
    return _Fleet(name=name, going=going, staying=planned.staying, kinds=planned.kinds, files=files, gone=gone, left=left)


def _as_text(found: Sequence[_Zone], *, done: bool) -> Iterator[str]:
    yield from (file for zone in found for one in zone.fleets for file in one.files)
    rows = [(zone.name, kind, f"{files:,}", f"{size:,}") for zone in found for kind, files, size in zone.kinds]
    yield from table(("ZONE", "WHAT", "FILES", "BYTES"), rows)
    for zone in found:
        files, fleets = sum(one.going for one in zone.fleets), sum(bool(one.going) for one in zone.fleets)
        staying, gone = sum(one.staying for one in zone.fleets), zone.gone
        would = f"{files:,} files of {fleets:,} fleets may go, {staying:,} files of {len(zone.fleets):,} fleets stay"
        went = f"; gone: {gone.files:,} files, {gone.bytes:,} bytes" if done else ""
        back = f"; {gone.back:,} were needed again meanwhile and are back" if gone.back else ""
        yield f"{zone.name}: {would}{went}{back}"


def _as_json(zone: _Zone, *, done: bool, verbose: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "zone": zone.name,
        "going": [{"what": kind, "files": files, "bytes": size} for kind, files, size in zone.kinds],
        "fleets": [
            {"fleet": one.name, "going": one.going, "staying": one.staying} | ({"files": list(one.files)} if verbose else {})
            for one in zone.fleets
        ],
        "left": [{"fleet": one.name, "why": one.left} for one in zone.fleets if one.left],
    }
    return shown | ({"gone": {"files": zone.gone.files, "bytes": zone.gone.bytes, "back": zone.gone.back}} if done else {})
