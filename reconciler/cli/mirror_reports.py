"""`ordain mirror reports-out` and `reports-in`: what hosts of a site without a network reported, home on a stick."""

import json
from pathlib import Path

import click

from agent.protocol import durable
from agent.protocol.errors import InputError, RefusedError
from reconciler.cli.connection import FORMAT, REASON, reach, reaching
from reconciler.cli.progress import Progress
from reconciler.printable import printable
from reconciler.publication import layout
from reconciler.publication.store import LocalStore
from reconciler.relay import sticks

_STICK = click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
_TENANT = click.option("--tenant", required=True, help="Tenant of the site's hosts.")


@click.command(name="reports-out")
@_STICK
@_TENANT
@click.option(
    "--state", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path), help="State directory of `ordain relay`."
)
@click.option("--remove", is_flag=True, help="Remove from the relay what is on the stick now.")
@FORMAT
def reports_out(directory: Path, tenant: str, state: Path, form: str, *, remove: bool) -> None:
    """Copy the reports that wait in a relay into DIRECTORY, as their hosts signed them.

    Without --remove they wait on: a relay that reaches the server again brings them too, and they are kept once.

    \b
    Example:
      ordain mirror reports-out /media/stick --tenant shop --state /var/lib/ordain-relay
    """
    spool = state / "spool"
    if not spool.is_dir():
        message = f"{state}: no relay has run on this state directory"
        raise InputError(message)
    carried = layout.children(LocalStore(state / "store"), "public/")
    if carried and tenant not in carried:
        message = f"{state}: this relay carries for tenant {', '.join(carried)}, and not for {tenant}"
        raise InputError(message)
    count = new = 0
    with Progress() as progress:
        progress(f"copying reports of {tenant}")
        for path, batches, is_new in sticks.fill(spool, directory, tenant):
            count, new = count + batches, new + (batches if is_new else 0)
            if remove:
                durable.remove(path)
    if form == "json":
        click.echo(json.dumps({"tenant": tenant, "reports": count, "new": new, "removed": remove}))
        return
    click.echo(f"{tenant}: reports on the stick: {count}, new: {new}" + ("; removed from the relay" if remove and count else ""))


@click.command(name="reports-in")
@_STICK
@_TENANT
@reaching
@REASON
@FORMAT
def reports_in(directory: Path, tenant: str, state: Path | None, server: str | None, reason: str, form: str) -> None:  # noqa: PLR0917 - click
    """Bring the reports in DIRECTORY to the server, which verifies each by its host's signature; files stay on the stick.

    Exit code 1 if the server refused some of them; it names each and says why.

    \b
    Examples:
      ordain mirror reports-in /media/stick --tenant shop --state /var/lib/ordain --reason "site 7, November"
      ordain mirror reports-in /media/stick --tenant shop --server https://ordain.example.com:8420 --reason "site 7, November"
    """
    found = sticks.brought(directory, tenant)
    if not found:
        message = f"{sticks.place(directory, tenant)}: no reports; is it the right stick, and the right tenant?"
        raise InputError(message)
    where = reach(state=state, server=server)
    kept, dropped = 0, list[str]()
    with Progress() as progress:
        for path in found:
            progress(f"bringing {path.name}")
            for batches in sticks.requests(path):
                done = where.ask("POST", f"/api/v1/reports/{tenant}", body={"batches": batches, "reason": reason})
                kept += done["kept"]
                dropped += [f"{path.name}: {one}" for one in done["dropped"]]
    if form == "json":
        click.echo(json.dumps({"tenant": tenant, "kept": kept, "dropped": dropped}, ensure_ascii=False))
    else:
        click.echo(f"{tenant}: reports kept: {kept}, refused: {len(dropped)}")
    for one in dropped if form == "text" else ():
        click.echo(f"refused: {printable(one)}", err=True)
    if dropped:
        click.get_current_context().exit(RefusedError.exit_code)
