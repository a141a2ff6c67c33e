"""`ordain keys`: each zone makes its own keys where they stay; only files of public keys travel."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import click

from agent.protocol import durable
from agent.protocol.errors import InputError, MalformedError
from agent.protocol.identity import require_label
from reconciler.publication import layout
from reconciler.publication.ceremony import found_trust, root_digest
from reconciler.publication.key_making import Made, make_keys
from reconciler.publication.keys import KeyRing
from reconciler.publication.public_keys import PublicKeys, Zone, read_any_public
from reconciler.publication.store import Store, open_store


@click.group()
def keys() -> None:
    """Make the keys of each zone."""


@keys.command()
@click.option("--zone", required=True, type=click.Choice(["offline", "pipeline", "control"]), help="Whose keys to make.")
@click.option("--tenant", "tenants", multiple=True, help="A tenant; give it several times for several.")
@click.option("--keys", "directory", required=True, type=click.Path(path_type=Path, file_okay=False), help="Where the zone's keys stay.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the public keys here, to be carried offline.")
@click.option(
    "--import", "imports", multiple=True, type=click.Path(path_type=Path, exists=True), help="offline: public keys of the other zones."
)
@click.option("--store", "store_url", help="offline: the store that the trust of each tenant goes to.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def init(  # noqa: PLR0917 - click passes options by keyword
    zone: str, tenants: tuple[str, ...], directory: Path, out: Path | None, imports: tuple[Path, ...], store_url: str | None, form: str
) -> None:
    """Make a zone's keys, and offline the trust of each tenant.

    What exists stays as it is, so it may be run again for further tenants. The order of a key ceremony:

    \b
      ordain keys init --zone pipeline --tenant shop --keys DIR --out pipeline.json
      ordain keys init --zone control --tenant shop --keys DIR --out control.json
      ordain keys init --zone offline --tenant shop --keys DIR --import pipeline.json --import control.json --store STORE
    """
    try:
        for tenant in tenants:
            require_label(tenant, "tenant")
    except MalformedError as error:
        raise InputError(str(error)) from error
    if zone == "offline":
        report = _offline(directory, tenants, imports, store_url)
    else:
        report = _online(cast("Zone", zone), directory, tenants, out, used_offline=bool(imports or store_url))
    click.echo(json.dumps(report, indent=2, sort_keys=True) if form == "json" else _text(report))


def _online(zone: Zone, directory: Path, tenants: tuple[str, ...], out: Path | None, *, used_offline: bool) -> dict[str, object]:
    if used_offline:
        message = "--import and --store belong to --zone offline"
        raise InputError(message)
    if not tenants:
        message = "name at least one --tenant"
        raise InputError(message)
    made = make_keys(zone, directory, tenants)
    if out is not None:
        durable.replace(out, made.public)
    return _report(made) | {"public": str(out or directory / "public.json")}


def _offline(directory: Path, tenants: tuple[str, ...], imports: tuple[Path, ...], store_url: str | None) -> dict[str, object]:
    if tenants and store_url is None:
        message = "--zone offline needs --store to sign the trust of a tenant into"
        raise InputError(message)
    imported = read_any_public(imports)
    if tenants and set(imported) != {"pipeline", "control"}:
        message = "--zone offline needs --import twice: the public keys of the pipeline and of the control zone"
        raise InputError(message)
    made = make_keys("offline", directory)
    report: dict[str, object] = _report(made)
    if store_url is not None and tenants:
        report["trust"] = _found(open_store(store_url), made.ring, tenants, imported["pipeline"], imported["control"])
    return report


def _found(store: Store, offline: KeyRing, tenants: tuple[str, ...], pipeline: PublicKeys, control: PublicKeys) -> list[dict[str, object]]:
    founded = []
    for tenant in tenants:
        created = found_trust(store, offline, tenant, pipeline=pipeline, control=control, now=datetime.now(UTC))
        root = layout.trust(tenant, "1.root.json")
        digest = root_digest(store.get(root) or b"")
        founded.append({"tenant": tenant, "created": created, "root": root, "sha256": digest})
    return founded


def _report(made: Made) -> dict[str, object]:
    return {"zone": made.ring.zone, "keys": str(made.ring.directory), "created": list(made.created)}


def _text(report: dict[str, object]) -> str:
    created = cast("list[str]", report["created"])
    lines = [f"{report['zone']} keys in {report['keys']}: " + (f"made {', '.join(created)}" if created else "all there already")]
    if "public" in report:
        lines.append(f"public keys, to be carried to the offline zone: {report['public']}")
    for trust in cast("list[dict[str, object]]", report.get("trust", [])):
        state = "signed" if trust["created"] else "stands as it was"
        lines.append(f"trust of {trust['tenant']} {state}: {trust['root']}, which agents take as root metadata (SHA-256 {trust['sha256']})")
    return "\n".join(lines)
