"""`ordain release`: which releases of a fleet are approved, and taking one off the list."""

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from agent.protocol.errors import InputError, MalformedError, RefusedError
from agent.protocol.identity import require_label
from reconciler import settings
from reconciler.pipeline.delist import delist as delist_release
from reconciler.pipeline.signing import releases_signing
from reconciler.publication.releases import read_newest
from reconciler.publication.store import PIPELINE_PREFIXES, Scoped
from reconciler.publication.trust import read_trust

SHORT = 12


@click.group()
def release() -> None:
    """Look at approved releases, or take one off the list.

    \b
    Example:
      ordain release list shop/web --state /var/lib/ordain
    """


def fleet_key(name: str) -> tuple[str, str]:
    """Return (tenant, fleet) of `TENANT/FLEET`; raise `InputError` for anything else."""
    tenant, slash, fleet = name.partition("/")
    if not slash or not fleet:
        message = f"{name[:80]!r} names no fleet: write TENANT/FLEET, such as shop/web"
        raise InputError(message)
    try:
        return require_label(tenant, "tenant"), require_label(fleet, "fleet")
    except MalformedError as error:
        message = f"{name!r}: write TENANT/FLEET ({error})"
        raise InputError(message) from error


@release.command("list")
@click.argument("name", metavar="TENANT/FLEET")
@click.option("--state", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path), help="State directory to look at.")
@click.option("--settings", "file", type=click.Path(dir_okay=False, path_type=Path), help="Settings file (TOML).")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def list_(name: str, state: Path, file: Path | None, form: str) -> None:
    """Show the bundles of a fleet that hosts may run, the desired one first.

    \b
    Example:
      ordain release list shop/web --state /var/lib/ordain
    """
    tenant, fleet = fleet_key(name)
    store = settings.load(file, state=state).open_store()
    trust = read_trust(store, tenant)
    found = read_newest(store, trust, fleet) if trust else None
    if found is None:
        message = f"{name}: nothing is approved for it in this store"
        raise RefusedError(message)
    approvals = sorted((one for one in found.approvals.values() if one.digest), key=lambda one: -one.sequence)
    listed = [{"digest": one.digest, "sequence": one.sequence, "commit": one.commit, "decision": one.decision} for one in approvals]
    if form == "json":
        click.echo(json.dumps({"fleet": name, "bundles": listed}, indent=2))
    else:
        click.echo("\n".join(f"{one['digest']}  commit {str(one['commit'])[:SHORT]}  decision {one['decision']}" for one in listed))


@release.command()
@click.argument("name", metavar="TENANT/FLEET")
@click.argument("digest")
@click.option(
    "--state", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path), help="The reconciler's state directory."
)
@click.option("--settings", "file", type=click.Path(dir_okay=False, path_type=Path), help="Settings file (TOML).")
def delist(name: str, digest: str, state: Path, file: Path | None) -> None:
    """Take a release off the list, so that no host can be pointed at it again.

    Run it where the releases key is. What hosts run now, or would return to, stays.

    \b
    Example:
      ordain release delist shop/web 3f1c0a9be2d4 --state /var/lib/ordain
    """
    tenant, fleet = fleet_key(name)
    loaded = settings.load(file, state=state)
    store = Scoped(inner=loaded.open_store(), write=PIPELINE_PREFIXES)
    signing = releases_signing(store, loaded.ring("pipeline"), tenant)
    gone = delist_release(store, signing.signer, tenant=tenant, fleet=fleet, digest=digest, known=signing.known, now=datetime.now(UTC))
    click.echo(f"{name}: {gone} is delisted")
