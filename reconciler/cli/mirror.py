"""`ordain mirror`: releases to a site on a stick, verified on both ends, and its reports home."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from agent.protocol import durable
from agent.protocol.errors import InputError, OrdainError, RefusedError
from reconciler import settings
from reconciler.cli.mirror_reports import reports_in, reports_out
from reconciler.cli.progress import Progress
from reconciler.mirror.copying import Copied
from reconciler.mirror.sources import StoreSource
from reconciler.mirror.stick import Outcome, bring, chosen, worst
from reconciler.publication.store import LocalStore
from reconciler.publication.trust import read_trust

ROOT_LIMIT = 512_000
"""Bytes of root metadata, as agents have it."""


@click.group()
def mirror() -> None:
    """Carry releases to a site without a network, keep a copy there that its hosts read, and bring their reports home.

    \b
    Example:
      ordain mirror export --state /var/lib/ordain --tenant shop /media/stick
      ordain mirror import /media/stick --tenant shop --state /var/lib/ordain-relay --root-metadata shop.root.json
      ordain mirror reports-out /media/stick --tenant shop --state /var/lib/ordain-relay
      ordain mirror reports-in /media/stick --tenant shop --state /var/lib/ordain --reason "site 7, November"
    """


mirror.add_command(reports_out)
mirror.add_command(reports_in)


def _shared(command: click.decorators.FC) -> click.decorators.FC:
    for option in reversed(
        (
            click.option("--tenant", required=True, help="Tenant whose releases are copied."),
            click.option("--fleet", "fleets", multiple=True, help="Only this fleet; may be given several times.  [default: all]"),
            click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True),
        )
    ):
        command = option(command)
    return command


@mirror.command(name="export")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@_shared
@click.option(
    "--state", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path), help="State directory of `ordain serve`."
)
@click.option("--settings", "file", type=click.Path(dir_okay=False, path_type=Path), help="Settings file (TOML).")
def export(directory: Path, tenant: str, fleets: tuple[str, ...], form: str, state: Path, file: Path | None) -> None:  # noqa: PLR0917 - click
    """Copy what stands published into DIRECTORY: metadata, bundles, members and stored artifacts, only what is new there.

    Exit code 1 if something is not as agents would take it, 3 if something could not be read or written.

    \b
    Examples:
      ordain mirror export /media/stick --tenant shop --state /var/lib/ordain
      ordain mirror export /media/stick --tenant shop --fleet web --state /var/lib/ordain
    """
    store = settings.load(file, state=state).open_store()
    trust = read_trust(store, tenant)
    if trust is None:
        message = f"{tenant}: there are no keys for such a tenant in this store; see `ordain status --state {state}`"
        raise InputError(message)
    with Progress() as progress:
        progress(f"copying releases of {tenant}")
        wanted = chosen(store, tenant, fleets)
        copies = bring(StoreSource(store), LocalStore(directory), tenant=tenant, fleets=wanted, root=trust.roots[0], now=datetime.now(UTC))
        outcomes = list(copies)
    _tell(tenant, outcomes, form)


@mirror.command(name="import")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@_shared
@click.option(
    "--state", required=True, type=click.Path(file_okay=False, path_type=Path), help="State directory of the site's `ordain relay`."
)
@click.option(
    "--root-metadata",
    "root",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The tenant's root metadata, brought by another way; needed the first time.",
)
def import_(directory: Path, tenant: str, fleets: tuple[str, ...], form: str, state: Path, root: Path | None) -> None:  # noqa: PLR0917 - click
    """Verify what DIRECTORY holds and copy what is newer into the site's store.

    What is not signed, older than the site has, or expired is refused, fleet by fleet; hosts never read half of a copy.

    \b
    Example:
      ordain mirror import /media/stick --tenant shop --state /var/lib/ordain-site --root-metadata shop.root.json
    """
    stick = LocalStore(directory)
    anchor = _anchor(state, tenant, root)
    with Progress() as progress:
        progress(f"verifying and copying releases of {tenant}")
        wanted = chosen(stick, tenant, fleets)
        now = datetime.now(UTC)
        outcomes = list(bring(StoreSource(stick), LocalStore(state / "store"), tenant=tenant, fleets=wanted, root=anchor, now=now))
    _tell(tenant, outcomes, form)


def _anchor(state: Path, tenant: str, given: Path | None) -> bytes:
    """Return the root metadata that the site trusts, kept from the first import on; raise `InputError` where there is none, or another."""
    kept = state / "trust" / f"{tenant}.root.json"
    known = kept.read_bytes() if kept.is_file() else None
    if given is None:
        if known is None:
            message = "--root-metadata: needed the first time; bring it by another way than the stick (`ordain up` keeps it in STATE/trust)"
            raise InputError(message)
        return known
    data = given.read_bytes()
    if len(data) > ROOT_LIMIT:
        message = f"--root-metadata {given}: {len(data)} bytes is no root metadata"
        raise InputError(message)
    if known is not None and known != data:
        message = f"--root-metadata {given}: this site trusts another one for {tenant} already, {kept}; remove that first if you mean it"
        raise RefusedError(message)
    durable.replace(kept, data)
    return data


def _tell(tenant: str, outcomes: Sequence[tuple[str, Outcome]], form: str) -> None:
    code = worst([outcome for _, outcome in outcomes])
    if form == "json":
        rows = [{"tenant": tenant, "fleet": fleet, **_plain(outcome)} for fleet, outcome in outcomes]
        click.echo(json.dumps({"fleets": rows}, indent=2, ensure_ascii=False))
    for fleet, outcome in outcomes if form == "text" else ():
        if isinstance(outcome, OrdainError):
            click.echo(f"{tenant}/{fleet}: not copied: {outcome}", err=True)
        elif outcome.changed:
            size = f"{outcome.files} files, {outcome.artifacts} artifacts, {outcome.bytes} bytes"
            click.echo(f"{tenant}/{fleet}: copied, version {outcome.after} (serial {outcome.serial}): {size}")
        else:
            click.echo(f"{tenant}/{fleet}: there already, version {outcome.after}")
    click.get_current_context().exit(code)


def _plain(outcome: Outcome) -> dict[str, object]:
    if isinstance(outcome, Copied):
        return {
            "copied": outcome.changed,
            "version": outcome.after,
            "before": outcome.before,
            "files": outcome.files,
            "artifacts": outcome.artifacts,
            "bytes": outcome.bytes,
            "error": None,
        }
    return {"copied": False, "error": str(outcome)}
