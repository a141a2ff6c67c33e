"""The `ordain-agent` command. Data on stdout, messages on stderr.

Exit codes: 0 done, 1 refused (not trusted, not allowed, or failed its check), 2 wrong usage, 3 could not be done now.
The TUF client and all that comes with it are imported only by commands that fetch.
"""

import json
import os
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import click
import msgspec

from agent.apply.generations import Generations
from agent.disk import Disk
from agent.logs import printable
from agent.operations import housekeeping
from agent.operations.membership import enroll, whoami, whois
from agent.operations.secret_keys import secrets
from agent.owner.allow import read_allow
from agent.protocol.errors import InputError, OrdainError
from agent.reporting.status import overview
from agent.settings import (
    DEFAULT_CONFIG,
    DEFAULT_POLL_SECONDS,
    DEFAULT_STATE,
)

Form = Literal["text", "json"]
POLL_RANGE = click.FloatRange(min=0.1, max=86_400)

state_option = click.option(
    "--state", type=click.Path(path_type=Path), default=DEFAULT_STATE, show_default=True, help="The agent's own directory."
)
format_option = click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print."
)
ROLLBACK_WAIT = 60.0
VERDICTS = {"unknown": "has not held yet", "holds": "holds", "failed": "fails"}
BUSY = "the agent is in the middle of a step; try again when it is done"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(version("ordain"), prog_name="ordain-agent")
def cli() -> None:
    """Hold this host to what signed releases say.

    \b
    Examples:
      ordain-agent enroll --server https://ordain.example.com:8420 --token …
      ordain-agent run                   hold this host to its releases
      ordain-agent run --once            one poll, then end
      ordain-agent status --format json  what runs here, and why
      ordain-agent rollback web          back to the generation before, until a newer release comes

    \b
    Exit codes: 0 done, 1 refused, 2 wrong usage, 3 could not be done now.
    """


@cli.command()
@click.option("--server", help="Without enrolment: where repositories are served, https://… or http://…")
@click.option("--root-metadata", type=click.Path(path_type=Path), help="Without enrolment: the tenant's root metadata.")
@click.option("--tenant", help="Without enrolment.")
@click.option("--name", help="Without enrolment: the agent's name, or <pool>/<id>.")
@click.option("--root", type=click.Path(path_type=Path), help="Work below this directory.  [default: as enrolled, else /]")
@click.option("--config", type=click.Path(path_type=Path), help=f"agent.toml  [default: as enrolled, else <root>{DEFAULT_CONFIG}]")
@click.option("--once", is_flag=True, help="Poll once, then end.")
@click.option("--poll", type=POLL_RANGE, default=DEFAULT_POLL_SECONDS, show_default=True, help="Seconds between polls, with jitter.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to log, on stderr.")
@state_option
def run(*, root: Path | None, config: Path | None, once: bool, poll: float, form: Form, state: Path, **given: Any) -> None:
    """Fetch, verify and apply releases, again and again; SIGTERM ends it after the step it is at.

    A host that is enrolled needs no options: who it is and where its server is, its identity says. One that is not says all four of
    --server, --root-metadata, --tenant and --name, and only reads signed files.

    \b
    Examples:
      ordain-agent run
      ordain-agent run --server http://127.0.0.1:8421 --root-metadata trust/shop.root.json \\
        --tenant shop --name web-01 --root ./host --state ./agent-state --once
    """
    from agent.at_rest import become  # noqa: PLC0415
    from agent.logs import Log  # noqa: PLC0415
    from agent.loop import Agent  # noqa: PLC0415
    from agent.operations.starting import settings_for  # noqa: PLC0415 - only commands that fetch pay for what they import
    from agent.stopping import Stop  # noqa: PLC0415

    settings, enrolled = settings_for(state.absolute(), root=root, config=config, poll=poll, **given)
    read_allow(settings.config)
    if not once:
        become(state=state.absolute(), form=form, poll=poll, root=root, config=config, **given)
    sys.exit(Agent(settings, Log(form), Stop(), enrolled).run(once=once))


@cli.command()
@state_option
@format_option
def status(state: Path, form: Form) -> None:
    """Show what runs here for each fleet, what came of the newest release, and drift.

    COMMIT is that of the release: of its bundle or of its members, whichever was approved last.

    \b
    Example:
      ordain-agent status --state /var/lib/ordain-agent
    """
    from agent.protocol.enrolment import HELD_BACK  # noqa: PLC0415 - see run
    from agent.reporting.running import running, table  # noqa: PLC0415

    disk = Disk(root=state)
    shown = overview(disk)
    known = whois(disk) if (disk.joining / "current").is_file() else {}
    shown |= {"certificate": known.get("certificate"), "left": known.get("left")}
    rows = running(disk, Path(str(shown["root"])))
    if form == "json":
        lists = {f"{kind}s" if kind == "service" else "processes": _built(rows, kind) for kind in ("process", "service")}
        _print(shown | lists)
        return
    for line in _head(shown):
        click.echo(line)
    held_back = any(problem.partition(":")[0] in HELD_BACK for problem in _texts(shown["problems"]))
    for fleet in _rows(shown["fleets"]):
        click.echo(f"{fleet['fleet']}: {fleet['result']}{': ' + printable(fleet['why']) if fleet['why'] else ''} (since {fleet['since']})")
        runs = f"generation {fleet['generation']}, bundle {str(fleet['digest'])[:12]}, commit {str(fleet['commit'])[:12]}"
        click.echo(
            f"  runs: {runs}, group {fleet['group']}, mode {fleet['mode'] or 'base'}" if fleet["generation"] else "  runs: nothing yet"
        )
        if fleet["held"]:
            click.echo("  held: stays at this generation until a newer release comes")
        if fleet["unheard"]:
            ends = f"; new things are started until {fleet['freshUntil']}" if fleet["freshUntil"] and not held_back else ""
            click.echo(f"  no news since {fleet['unheardSince']}: {printable(fleet['unheard'])}{ends}")
        for warning in fleet["warnings"]:
            click.echo(f"  warning: {printable(warning)}")
        for entry in fleet["account"]:
            said = printable(f" ({entry['said']})" if entry["said"] else "")
            click.echo(f"  changed, not restored by a rollback: {entry['outcome']} {entry['resource']}{said}, {entry['at']}")
        for line in _looks(fleet):
            click.echo(line)
    for line in table(rows):
        click.echo(line)


@cli.command()
@state_option
@format_option
def plan(state: Path, form: Form) -> None:
    """Show what the next apply would change, without changing anything.

    Uses the server and root metadata that the agent was last run with. Exit code 1 if a release would be refused.

    \b
    Example:
      ordain-agent plan --format json
    """
    from agent.operations.preview import preview  # noqa: PLC0415 - see run

    settler, http = wired(state)
    fleets = preview(settler, http)
    if form == "json":
        _print({"fleets": fleets})
    else:
        for fleet in fleets:
            click.echo(f"{fleet['fleet']}: {fleet['result']}{': ' + str(fleet['why']) if fleet['why'] else ''}")
            for fix in _rows(fleet["fixes"]):
                click.echo(f"  change   {fix['resource']} ({'; '.join(map(printable, fix['why']))}), not restored by a rollback")
            for action in _rows(fleet["actions"]):
                click.echo(f"  {action['action']:8} {action['path']} ({', '.join(action['why'])})")
            for effect in _rows(fleet["effects"]):
                click.echo(f"  {effect['effect']:8} {effect['resource']} ({', '.join(effect['why'])})")
    if any(fleet["result"] == "refused" for fleet in fleets):
        sys.exit(1)


@cli.command()
@state_option
@format_option
def generations(state: Path, form: Form) -> None:
    """List what was applied here and is kept for rollback, by fleet.

    \b
    Example:
      ordain-agent generations
    """
    disk = Disk(root=state)
    disk.read_identity()
    rows = [row for fleet in disk.known_fleets() for row in _generations(disk, fleet)]
    if form == "json":
        _print({"generations": rows})
        return
    for row in rows:
        mark = "*" if row["current"] else " "
        click.echo(f"{mark} {row['fleet']} {row['generation']} {row['appliedAt']} bundle {row['digest'][:12]} commit {row['commit'][:12]}")


@cli.command()
@click.argument("fleet")
@click.option("--to", type=click.IntRange(min=1), help="A generation's number.  [default: the one before]")
@state_option
@format_option
def rollback(fleet: str, to: int | None, state: Path, form: Form) -> None:
    """Go back to an older generation of FLEET and hold it there until a newer release than the present one comes.

    \b
    Example:
      ordain-agent rollback web --to 3
    """
    from agent.operations.rollback import came_about, look_after, roll_back  # noqa: PLC0415 - see run

    settler, _ = wired(state)
    with settler.work.disk.lock("step", wait=ROLLBACK_WAIT, refused=BUSY):
        meta = roll_back(settler, fleet, to)
    runs = came_about(settler, fleet, seconds=0 if look_after(settler) is None else ROLLBACK_WAIT)
    if form == "json":
        _print({"fleet": fleet, "generation": meta.generation, "digest": meta.digest, "commit": meta.commit, "runs": runs})
    else:
        click.echo(f"{fleet} is at generation {meta.generation}, bundle {meta.digest[:12]}")
    if not runs:
        click.echo("not all that it says runs yet; `ordain-agent status` tells why", err=True)


@cli.command()
@state_option
@format_option
def recover(state: Path, form: Form) -> None:
    """Settle what a crash or power loss interrupted; run it at boot before anything that reads managed files.

    \b
    Example:
      ordain-agent recover --state /var/lib/ordain-agent
    """
    from agent.apply.recover import recover as settle  # noqa: PLC0415 - see run
    from agent.host import Host  # noqa: PLC0415

    disk = Disk(root=state)
    if not disk.identity.exists():
        done = None
    else:
        with disk.lock("step", wait=ROLLBACK_WAIT, refused=BUSY):
            done = settle(Host(Path(disk.read_identity().root)), disk)
    if form == "json":
        _print({"recovered": done})
    else:
        click.echo(done or "nothing was interrupted")


@cli.command()
@state_option
@format_option
def facts(state: Path, form: Form) -> None:
    """Print what this host is: system, kernel, memory, disks, addresses, and what the agent can hold it to.

    \b
    Example:
      ordain-agent facts --format json
    """
    housekeeping.show_facts(state, form)


@cli.command()
@state_option
@format_option
def doctor(state: Path, form: Form) -> None:
    """Look at agent.toml, server, state, fleets, rights, disks and clock; change nothing. Exit code 1 if something is bad.

    \b
    Example:
      ordain-agent doctor
    """
    housekeeping.show_health(state, form)


@cli.command()
@click.option("--keep", "remove", flag_value=False, type=bool, default=None, help="Leave everything that releases brought as it is.")
@click.option("--remove", "remove", flag_value=True, type=bool, help="Take it away, and put back what was there before.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@state_option
def uninstall(*, remove: bool | None, yes: bool, state: Path) -> None:
    """Leave this host for good: --keep what is on it, or --remove it. The agent must not run.

    Packages, users and kernel settings stay either way: they are listed first.

    \b
    Example:
      systemctl disable --now ordain-agent
      ordain-agent uninstall --remove
    """
    if remove is None:
        message = "say --keep or --remove: what should become of what releases brought?"
        raise InputError(message)
    housekeeping.uninstall(state, remove=remove, sure=yes)


cli.add_command(secrets)
cli.add_command(enroll)
cli.add_command(whoami)


def _head(shown: dict[str, Any]) -> Iterator[str]:
    """Yield what is to be said of a host whatever its fleets ask for."""
    away = "" if shown["pid"] else "; no agent runs now"
    yield f"{shown['tenant']}/{shown['agent']} of {shown['server']}, last contact {shown['lastContact'] or 'never'}{away}"
    held = shown["certificate"]
    if held is not None:
        yield f"certificate until {held['until']}{', which is over' if held['lapsed'] else ''}"
    if shown["left"] is not None:
        yield f"let go at {shown['left']['at']}: {printable(shown['left']['why'])}"
    yield from (f"problem: {printable(problem)}" for problem in _texts(shown["problems"]))
    if not shown["fleets"] and shown["lastContact"] and shown["left"] is None:
        yield "in no fleet that released anything yet; if it should be in one, look at its labels in git"


def _looks(fleet: dict[str, Any]) -> Iterator[str]:
    """Yield how a fleet's probes stand, and what drifted."""
    for probe in _rows(fleet["probes"]):
        why = f" ({printable(probe['why'])})" if probe.get("why") else ""
        yield f"  probe: {probe['name']} {VERDICTS[probe['verdict']]}{why} since {probe['since']}"
    for drift in _rows(fleet["drift"]):
        left = ", put right too often and left for a while" if drift.get("contested") else ""
        whose = f", of user {drift['owner']}, written {drift['changed']}" if drift.get("changed") else ""
        yield f"  drift: {printable(drift['path'])} ({', '.join(drift['differs'])}) since {drift['since']}{whose}{left}"


def _built(rows: list[Any], kind: str) -> list[Any]:
    """Return what runs of one kind, as plain values."""
    return [msgspec.to_builtins(row) for row in rows if row.kind == kind]


def wired(state: Path) -> tuple[Any, Any]:
    """Return a settler and its HTTP client, as the agent was last run with this state directory."""
    from agent.fetching.fetcher import Http  # noqa: PLC0415 - see run
    from agent.joining.renew import tls_of  # noqa: PLC0415
    from agent.logs import Log  # noqa: PLC0415
    from agent.loop import make_settler, make_workspace  # noqa: PLC0415
    from agent.operations.starting import settings_as_before  # noqa: PLC0415
    from agent.stopping import Stop  # noqa: PLC0415

    settings, enrolled = settings_as_before(Disk(root=state.absolute()))
    http = Http(None if enrolled is None else tls_of(enrolled))
    work = make_workspace(settings, http, Stop())
    return make_settler(settings, work, Log()), http


def _generations(disk: Disk, fleet: str) -> list[dict[str, Any]]:
    known = Generations(disk.fleet(fleet))
    pointer = known.pointer()
    return [
        {
            "fleet": fleet,
            "generation": meta.generation,
            "current": pointer is not None and pointer.generation == meta.generation,
            "digest": meta.digest,
            "members": meta.members,
            "group": meta.group,
            "mode": meta.mode,
            "attempt": meta.attempt,
            "commit": meta.commit,
            "appliedAt": meta.applied_at,
        }
        for meta in map(known.meta, known.numbers())
    ]


def _rows(value: object) -> list[dict[str, Any]]:
    return value if isinstance(value, list) else []


def _texts(value: object) -> list[str]:
    return value if isinstance(value, list) else []


def _print(value: object) -> None:
    click.echo(json.dumps(value, indent=2))


def main() -> None:
    """Run the command line; errors of ordain's own families end it with a message and their exit code."""
    try:
        cli.main(standalone_mode=False, color=False if os.environ.get("NO_COLOR") else None)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.Abort:
        click.echo("stopped", err=True)
        sys.exit(130)
    except OrdainError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(3)
