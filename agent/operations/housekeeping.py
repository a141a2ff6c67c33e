"""Commands for whoever looks after a host: `facts`, `doctor` and `uninstall`."""

import json
import sys
from pathlib import Path
from typing import Any, Literal

import click
import msgspec

from agent.disk import Disk
from agent.logs import printable
from agent.protocol.errors import InputError

Form = Literal["text", "json"]
RUNNING = "an ordain-agent runs with this state directory; stop it first: systemctl disable --now ordain-agent"


def show_facts(state: Path, form: Form) -> None:
    """Print what this host is now, and since when it has been known as that."""
    from agent.host import Host  # noqa: PLC0415
    from agent.reporting import facts  # noqa: PLC0415 - see cli.run
    from agent.secrets.keys import HostKeys  # noqa: PLC0415

    disk = Disk(root=state)
    noted = facts.read(disk)
    root = Path(disk.read_identity().root) if disk.identity.exists() else Path("/")
    supported = set(noted.facts.capabilities) if noted else set[str]()
    told: dict[str, Any] = msgspec.to_builtins(facts.gather(Host(root), supported, recipient=HostKeys(directory=disk.secrets).recipient()))
    if form == "json":
        click.echo(json.dumps({"facts": told, "since": noted.since if noted else None}, indent=2))
        return
    for name, value in told.items():
        click.echo(f"{name}: {printable(_shown(value))}")


def _shown(value: Any) -> str:
    """Return a fact as one line of text."""
    if isinstance(value, dict):
        return "; ".join(f"{key} {_shown(one)}" for key, one in value.items())
    return ", ".join(map(_shown, value)) if isinstance(value, list) else str(value)


def show_health(state: Path, form: Form) -> None:
    """Print what was looked at on this host; end with 1 if something is bad."""
    from agent.cli import wired  # noqa: PLC0415 - see cli.run
    from agent.operations.doctor import examine  # noqa: PLC0415

    settler, _ = wired(state)
    found = examine(settler.work.disk, settler.effects.supported())
    if form == "json":
        listed = [{"name": one.name, "level": one.level, "says": one.says, "remedy": one.remedy} for one in found]
        click.echo(json.dumps({"findings": listed}, indent=2))
    else:
        colours = {"ok": "green", "warn": "yellow", "bad": "red"}
        for one in found:
            click.echo(f"{click.style(f'{one.level:4}', fg=colours[one.level])} {one.name}: {printable(one.says)}")
            if one.remedy:
                click.echo(f"     {one.remedy}")
    if any(one.level == "bad" for one in found):
        sys.exit(1)


def uninstall(state: Path, *, remove: bool, sure: bool) -> None:
    """Leave this host: with `remove` bring it to what it was before, else leave it as it is; then forget all about it.

    Raises:
        InputError: nobody said that they are sure, and nobody can be asked.
        RetryError: an agent runs.
        RefusedError: something could not be taken down; the state is kept, and the call can be repeated.
    """
    from agent.cli import wired  # noqa: PLC0415 - see cli.run
    from agent.logs import Log  # noqa: PLC0415
    from agent.loop import looking_after  # noqa: PLC0415
    from agent.operations.uninstall import forget, held, staying  # noqa: PLC0415
    from agent.operations.uninstall import remove as remove_all  # noqa: PLC0415

    settler, _ = wired(state)
    disk = settler.work.disk
    with disk.lock("run", wait=0, refused=RUNNING), disk.lock("step", wait=0, refused=RUNNING):
        goes = held(settler)
        for one in goes:
            click.echo(f"{'goes' if remove else 'stays'}: {printable(one)}")
        for one in staying(settler):
            click.echo(f"stays, since nothing takes it back: {printable(one)}")
        _require_sure(sure=sure, asked=f"Remove {len(goes)} things" if remove else "Leave them, and forget that they were managed")
        if remove:
            with looking_after(settler.effects, settler.work, Log()):
                for fleet in remove_all(settler):
                    click.echo(f"removed: fleet {fleet}")
        forget(settler)
    click.echo(f"{disk.root} is gone. What is left is the program: apt-get purge ordain-agent, dnf remove ordain-agent")


def _require_sure(*, sure: bool, asked: str) -> None:
    if sure:
        return
    if not sys.stdin.isatty():
        message = "nobody is here to be asked: add --yes once the list above is what you want"
        raise InputError(message)
    click.confirm(f"{asked}?", abort=True)
