"""`ordain agents`: which hosts there are, how they are, and what an operator does to one."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.protocol.errors import InputError
from agent.protocol.identity import LABEL
from reconciler.cli.connection import FORMAT, Query, reach, reaching
from reconciler.cli.instants import as_beginning
from reconciler.cli.lazy import LazyGroup
from reconciler.cli.tables import listed, table

if TYPE_CHECKING:
    from collections.abc import Sequence

COLUMNS = ("AGENT", "STATE", "PRESENCE", "FLEETS", "LAST SEEN", "RUNS", "VERSION")
SHORT = 12
"""Digits of a digest on a terminal."""


COMMANDS = {
    "decommission": "reconciler.cli.agents_changes:decommission",
    "labels": "reconciler.cli.agents_labels:labels",
    "pending": "reconciler.cli.agents_pending:pending",
    "quarantine": "reconciler.cli.agents_changes:quarantine",
    "release": "reconciler.cli.agents_changes:release",
    "revoke": "reconciler.cli.agents_changes:revoke",
}
"""Command → `module:attribute`, each imported only when it is asked for."""


@click.group(cls=LazyGroup, lazy=COMMANDS)
def agents() -> None:
    """Hosts that enrolled: list, show, hold and remove them.

    \b
    Examples:
      ordain agents list --state /var/lib/ordain --label region=eu
      ordain agents revoke shop/web-01 --reason "stolen"
    """


@agents.command("list")
@click.option("--tenant", help="Of one tenant.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="With this label in git; may be given often.")
@click.option("--fleet", help="In a fleet of this name.")
@click.option("--pool", help="Members of this pool.")
@click.option(
    "--in-state",
    "states",
    multiple=True,
    type=click.Choice(["enrolled", "quarantined", "revoked", "decommissioned"]),
    help="In this state; may be given often. Pools' decommissioned hosts are listed by it alone.",
)
@click.option("--presence", multiple=True, type=click.Choice(["online", "lost", "flapping"]), help="How it is heard.")
@click.option("--version", help="With this version of ordain-agent.")
@click.option("--name", help="Whose name begins so.")
@click.option("--seen-since", callback=as_beginning, default="", help="Heard within this time (15m), or since then (2027-01-15).")
@click.option("--not-seen-since", callback=as_beginning, default="", help="Not heard for so long, or since then.")
@click.option("--limit", type=click.IntRange(min=1), help="Show so many at most. [default: all]")
@FORMAT
@reaching
def list_agents(state: Path | None, server: str | None, form: str, limit: int | None, **asked: Any) -> None:
    """List agents, those that fit everything that is given.

    What stands under RUNS is the release of each fleet that the host said runs there, and what is odd about it.

    \b
    Examples:
      ordain agents list --state /var/lib/ordain
      ordain agents list --tenant shop --label region=eu --presence lost
      ordain agents list --not-seen-since 7d --format json
    """
    rows = reach(state=state, server=server).pages("/api/v1/agents", "agents", query=_query(asked), limit=limit + 1 if limit else 0)
    if limit and len(rows) > limit:
        rows = rows[:limit]
        click.echo(f"the first {limit:,}; there are more", err=True)
    if form == "json":
        return click.echo(json.dumps({"agents": rows}, indent=2, ensure_ascii=False))
    shown = [
        (
            _name(row),
            row["state"],
            row["presence"],
            ", ".join(row["fleets"]),
            row["lastSeen"] or "never",
            "; ".join(_running(one) for one in row["runs"]),
            row["version"],
        )
        for row in rows
    ]
    for line in table(COLUMNS, shown):
        click.echo(line)
    if not rows:
        click.echo("no agent fits", err=True)
    return None


def _running(one: dict[str, Any]) -> str:
    """Return what runs of a fleet, as `web 7217f0223243`, and behind it what is not as usual."""
    odd = [
        one["result"] if one["result"] != "applied" else "",
        f"mode {one['mode']}" if one["mode"] else "",
        f"drift {one['drift']}" if one["drift"] else "",
        "held" if one["held"] else "",
    ]
    said = ", ".join(filter(None, odd))
    return f"{one['fleet']} {one['digest'][:SHORT] or 'nothing yet'}{f' ({said})' if said else ''}"


def _query(asked: dict[str, Any]) -> Query:
    wanted: dict[str, str | Sequence[str]] = {
        "tenant": asked["tenant"],
        "label": asked["labels"],
        "fleet": asked["fleet"],
        "pool": asked["pool"],
        "state": asked["states"],
        "presence": asked["presence"],
        "version": asked["version"],
        "prefix": asked["name"],
        "seenSince": asked["seen_since"],
        "seenBefore": asked["not_seen_since"],
    }
    return {name: value for name, value in wanted.items() if value}


@agents.command()
@click.argument("name", metavar="TENANT/AGENT")
@FORMAT
@reaching
def show(name: str, state: Path | None, server: str | None, form: str) -> None:
    """Show all that is known of an agent; of a pool's, TENANT/POOL/ID.

    What stands under FACTS is what the host says of itself.

    \b
    Example:
      ordain agents show shop/web-01
    """
    found = reach(state=state, server=server).ask("GET", path_of(name))
    if form == "json":
        return click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    for line in (*listed(_fields(found)), *_standing(found), *_certificates(found), *_facts(found)):
        click.echo(line)
    return None


def _fields(found: dict[str, Any]) -> list[tuple[str, str]]:
    state = found["state"] + (f" by {found['stateBy']} at {found['stateAt']}" if found["state"] != "enrolled" else "")
    leave = {"keep": "told to keep what it manages", "remove": "told to remove what it manages, where its agent.toml allows that"}
    return [
        ("agent", _name(found)),
        ("state", state),
        ("reason", found["reason"] if found["state"] != "enrolled" else ""),
        ("leaving", leave.get(found["leave"], "")),
        ("presence", found["presence"]),
        ("last seen", found["lastSeen"] or "never"),
        ("version", found["version"]),
        ("enrolled", f"{found['enrolledAt']} by {found['enrolledBy']}, {_times(found['incarnation'])}"),
        ("lease until", found["leaseUntil"]),
        ("fleets", ", ".join(found["fleets"])),
        ("labels", ", ".join(f"{name}={value}" for name, value in sorted(found["labels"].items()))),
        ("in git", "" if found["knownToGit"] else "no: its manifest is gone"),
    ]


def _times(incarnation: int) -> str:
    return "once" if incarnation == 1 else f"{incarnation} times"


def _standing(found: dict[str, Any]) -> list[str]:
    rows = [
        (
            row["fleet"],
            row["result"],
            row["digest"][:SHORT],
            row["mode"],
            str(row["drift"] or ""),
            "held" if row["held"] else "",
            row["changedAt"],
            row["why"],
        )
        for row in found["standing"]
    ]
    return list(table(("FLEET", "RESULT", "DIGEST", "MODE", "DRIFT", "HELD", "TOLD AT", "WHY"), rows))


def _certificates(found: dict[str, Any]) -> list[str]:
    rows = [(row["fingerprint"][:SHORT], row["how"], row["notAfter"], row["revokedAt"]) for row in found["certificates"]]
    return list(table(("CERTIFICATE", "HOW", "UNTIL", "REVOKED"), rows))


def _facts(found: dict[str, Any]) -> list[str]:
    rows = [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in sorted(found["facts"].items())]
    return list(table(("FACTS", ""), rows))


def _name(row: dict[str, Any]) -> str:
    return f"{row['tenant']}/{row['agent']}"


def path_of(name: str) -> str:
    """Return the path of an agent by its name, `shop/web-01` or `shop/runners/7f3a`; raise `InputError` if it is none."""
    parts = name.split("/")
    if len(parts) not in (2, 3) or not all(LABEL.fullmatch(part) for part in parts):
        message = f"{name!r} is not an agent's name: write TENANT/AGENT, or TENANT/POOL/ID"
        raise InputError(message)
    return f"/api/v1/agents/{parts[0]}/{parts[1]}" + (f"/members/{parts[2]}" if len(parts) == 3 else "")  # noqa: PLR2004
