"""`ordain rollout`: how a release reaches the hosts of a fleet, and what an operator does about it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from agent.protocol.errors import InputError
from agent.protocol.identity import LABEL
from reconciler.cli.connection import FORMAT, reach, reaching
from reconciler.cli.lazy import LazyGroup
from reconciler.cli.tables import listed, table
from reconciler.printable import printable

COLUMNS = ("FLEET", "STATE", "WAVE", "CANDIDATE", "STABLE", "SINCE", "WHY")
WAVES = ("WAVE", "STATE", "WHO", "HOSTS", "HEALTHY", "SOAKING", "PENDING", "FAILED", "AWAY")
BACK = ("taken-back", "aborted", "rolled-back")
"""Events that say why a release was taken back."""
SHORT = 12
"""Digits of a digest or a commit on a terminal."""
COMMANDS = {
    "abort": "reconciler.cli.rollout_orders:abort",
    "approve": "reconciler.cli.rollout_orders:approve",
    "pause": "reconciler.cli.rollout_orders:pause",
    "resume": "reconciler.cli.rollout_orders:resume",
    "retry": "reconciler.cli.rollout_orders:retry",
    "rollback": "reconciler.cli.rollout_orders:rollback",
    "wait": "reconciler.cli.rollout_wait:wait",
}
"""Command → `module:attribute`, each imported only when it is asked for."""
FLEET = click.argument("name", metavar="TENANT/FLEET")


@click.group(cls=LazyGroup, lazy=COMMANDS)
def rollout() -> None:
    """How releases reach hosts, wave by wave: look, hold, let go on, take back.

    \b
    Examples:
      ordain rollout show shop/web --state /var/lib/ordain
      ordain rollout pause shop/web --reason "odd latency, INC-4711"
      ordain rollout rollback shop/web --reason "INC-4711"
    """


@rollout.command("list")
@click.option("--tenant", help="Of one tenant.")
@FORMAT
@reaching
def list_rollouts(tenant: str | None, form: str, state: Path | None, server: str | None) -> None:
    """List how the rollouts of all fleets stand.

    \b
    Example:
      ordain rollout list --state /var/lib/ordain
    """
    found = reach(state=state, server=server).ask("GET", "/api/v1/rollouts", query={"tenant": tenant} if tenant else None)
    if form == "json":
        return click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    rows = found["rollouts"]
    for line in table(COLUMNS, [_row(row) for row in rows]):
        click.echo(line)
    if not rows:
        click.echo("nothing was rolled out yet", err=True)
    return None


@rollout.command()
@FLEET
@FORMAT
@reaching
def show(name: str, form: str, state: Path | None, server: str | None) -> None:
    """Show where a rollout is, what it waits for and since when, what would move it, and who failed and why.

    \b
    Examples:
      ordain rollout show shop/web
      ordain rollout show shop/web --format json
    """
    found = reach(state=state, server=server).ask("GET", path_of(name))
    if form == "json":
        return click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    for line in lines(found):
        click.echo(line)
    return None


def path_of(name: str) -> str:
    """Return the path of a fleet's rollout; raise `InputError` if `name` is none of a fleet."""
    return f"/api/v1/rollouts/{fleet_of(name)}"


def fleet_of(name: str) -> str:
    """Return a fleet's name, `shop/web`; raise `InputError` if it is none."""
    parts = name.split("/")
    if len(parts) != 2 or not all(LABEL.fullmatch(part) for part in parts):  # noqa: PLR2004 - tenant and fleet
        message = f"{name!r} is not a fleet's name: write TENANT/FLEET"
        raise InputError(message)
    return name


def lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield a rollout in lines for people: what matters at night stands first."""
    yield f"{found['tenant']}/{found['fleet']}: {printable(headline(found))}"
    if why := still(found):
        yield printable(why)
    for hold in found["holds"]:
        soonest = f"; may change by itself at {hold['until']}" if hold["kind"] == "evidence" and hold["until"] else ""
        yield f"waits for: {printable(hold['why'])}{soonest}"
    why = reason_back(found) or ("" if found["holds"] else found["why"])
    if why:
        yield f"why: {printable(why)}"
    counted = found["budget"]
    if counted and not counted["measured"]:
        minutes = f"counts of {counted['minutes']} minutes, needs {counted['needs']}"
        yield f"holds nothing: budget not measured yet ({minutes})"
    for one in found["moves"]:
        yield f"moved by: {printable(one)}"
    yield ""
    yield from listed(_fields(found))
    yield from _block(table(WAVES, [_wave(one) for one in found["plan"]]))
    yield from _block(
        table(("FAILED HOST", "AT", "WHY"), [(one["agent"], one["at"], one["why"] or one["result"]) for one in found["failed"]])
    )
    late = [(one["agent"], one["lastSeen"], one["why"] or "it has not told of this release") for one in found["pending"]]
    yield from _block(table(("NOT THERE YET", "LAST SEEN", "WHY"), late))
    approvals = [(one["wave"], one["who"], one["at"], one["comment"]) for one in found["approvals"]]
    yield from _block(table(("APPROVED", "BY", "AT", "COMMENT"), approvals))
    modes = [(one["mode"], one["until"], mode_where(one), one["who"], one["reason"]) for one in found["modes"]]
    yield from _block(table(("MODE", "UNTIL", "WHERE", "BY", "REASON"), modes))
    yield from _block(table(("HAPPENED", "WHAT", "WHY"), [(one["at"], one["kind"], one["why"]) for one in found["events"]]))


def still(found: dict[str, Any]) -> str:
    """Return that nothing newer has a release, since the newest commit was refused, and why; "" where it was not."""
    git = found["inGit"]
    by = f" by commit {git['commit'][:SHORT]}" if git["commit"] else ""
    return f"{git['state']} since {git['since']}{by}, nothing newer is released: {git['why']}" if git["state"] != "ok" else ""


def reason_back(found: dict[str, Any]) -> str:
    """Return why the release was taken back that is not offered any more, "" where none was."""
    back = (one["why"] for one in found["events"] if one["kind"] in BACK)
    return str(next(back, "")) if found["phase"] == "stopped" else ""


def headline(found: dict[str, Any]) -> str:
    """Return where a rollout is, in a few words."""
    wave = f"wave {found['wave']} ({found['number']} of {found['waves']})" if found["wave"] else "no wave admitted yet"
    since = f" since {found['since']}" if found["since"] else ""
    began = f"{', resumed at' if found['resumed'] else ' since'} {found['waveSince']}"
    said = {
        "settled": f"{found['stable'][:SHORT] or 'nothing'} is stable for everybody",
        "waiting": f"rolling out {found['candidate'][:SHORT]}, {wave}, waiting{since}",
        "applying": f"rolling out {found['candidate'][:SHORT]}, {wave}{began}",
        "paused": f"PAUSED at {wave}{since}",
        "stopped": f"TAKEN BACK{since}: {found['refused'][:SHORT]} is not offered again, everybody gets {found['stable'][:SHORT]}",
    }
    return said[found["phase"]]


def _fields(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("stable", release(found["stable"], found["stableCommit"])),
        ("candidate", release(found["candidate"], found["commit"])),
        ("refused", release(found["refused"], found["refusedCommit"])),
        ("newest", release(found["newest"], found["newestCommit"])),
        ("attempt", str(found["attempt"]) if found["attempt"] > 1 else ""),
        ("back to", ", ".join(release(one["digest"], one["commit"]) for one in found["backTo"])),
    ]


def release(digest: str, commit: str) -> str:
    """Return a release and its commit, for people; "" for none."""
    return f"{digest[:SHORT]}{f' of commit {commit[:SHORT]}' if commit else ''}" if digest else ""


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    wave = f"{row['wave']} ({row['number']} of {row['waves']})" if row["wave"] else ""
    digests = (row["candidate"][:SHORT], row["stable"][:SHORT])
    return (f"{row['tenant']}/{row['fleet']}", row["phase"], wave, *digests, row["since"], row["why"] or still(row))


def _wave(one: dict[str, Any]) -> tuple[str, ...]:
    labels = ",".join(f"{name}={value}" for name, value in sorted(one["labels"].items()))
    counts = [str(one[name]) if one["state"] != "next" else "" for name in ("healthy", "soaking", "silent", "failed", "away")]
    return (one["name"], one["state"], " or ".join(filter(None, (labels, one["share"]))), str(one["hosts"]), *counts)


def mode_where(one: dict[str, Any]) -> str:
    """Return where a mode is on, and which other one counts more, and where that is."""
    where = "" if one["overruledEverywhere"] else " on the first wave"
    over = f", overruled by {one['overruledBy']}{where}" if one["overruledBy"] else ""
    return ("everywhere" if one["everywhere"] else "the first wave") + over


def _block(rows: Iterator[str]) -> Iterator[str]:
    """Yield a table with an empty line before it; nothing where it has no rows."""
    for number, line in enumerate(rows):
        if not number:
            yield ""
        yield line
