"""`ordain keys`: each zone makes its own keys where they stay; only files of public keys travel."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import cast, get_args

import click

from agent.protocol import codec
from agent.protocol.errors import InputError, MalformedError
from agent.protocol.identity import require_label
from reconciler.cli.key_rotation import import_, renew, retire, rotate, sign, with_secrets
from reconciler.cli.key_status import status
from reconciler.control.authority import carried
from reconciler.control.authority.ceremony import DOMAIN, certify
from reconciler.publication import layout, travel
from reconciler.publication.ceremony import first_trust, found_trust, root_digest
from reconciler.publication.key_making import encrypt_keys, make_keys
from reconciler.publication.keys import KeyRing
from reconciler.publication.public_keys import FORMAT, PublicKeys, Zone, read_any_public
from reconciler.publication.secret_files import named
from reconciler.publication.store import Store, open_store

ZONES = get_args(Zone)


@click.group()
def keys() -> None:
    """Make, rotate and watch the keys of each zone.

    \b
    Example:
      ordain keys init --zone pipeline --tenant shop --keys DIR --out pipeline.json
    """


for command in (rotate, renew, sign, import_, retire, status):
    keys.add_command(command)


@keys.command()
@click.option("--zone", required=True, type=click.Choice(ZONES), help="Whose keys to make.")
@click.option("--tenant", "tenants", multiple=True, help="A tenant; give it several times for several.")
@click.option("--keys", "directory", required=True, type=click.Path(path_type=Path, file_okay=False), help="Where the zone's keys stay.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the public keys here, to be carried offline; with --import, what `ordain keys import` takes.",
)
@click.option(
    "--import",
    "imports",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="offline: public keys of the other zones; authority: of the control zone.",
)
@click.option(
    "--store",
    "store_url",
    help="offline, authority: the store that the trust of each tenant, or its certificate, goes to. Without it: --out.",
)
@click.option("--domain", default=DOMAIN, show_default=True, help="authority: the trust domain of the tenants' agents.")
@click.option("--next-generation", is_flag=True, help="authority: begin a new one beside the old, for keys that follow.")
@click.option("--next", "following", multiple=True, metavar="ROLE", help="Also make a key for this role to be rotated to.")
@click.option("--uri", "uris", multiple=True, metavar="ROLE=URI", help="A key that is elsewhere: shop/releases=hsm:2?label=ordain.")
@with_secrets
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def init(  # noqa: PLR0917 - click passes options by keyword
    zone: Zone,
    tenants: tuple[str, ...],
    directory: Path,
    out: Path | None,
    imports: tuple[Path, ...],
    store_url: str | None,
    domain: str,
    next_generation: bool,  # noqa: FBT001 - as above
    following: tuple[str, ...],
    uris: tuple[str, ...],
    passphrase_file: str,
    pin_file: str,
    form: str,
) -> None:
    """Make a zone's keys, offline the trust of each tenant, and in zone authority the certificates that hosts' ones come from.

    What exists stays as it is, so it may be run again for further tenants.

    \b
    Example, in the order of a key ceremony:
      ordain keys init --zone pipeline --tenant shop --keys DIR --out pipeline.json
      ordain keys init --zone control --tenant shop --keys DIR --out control.json
      ordain keys init --zone offline --tenant shop --keys DIR --import pipeline.json --import control.json --store STORE
      ordain keys init --zone authority --tenant shop --keys DIR --import control.json --store STORE --domain fleet.example.com
    """
    try:
        for tenant in tenants:
            require_label(tenant, "tenant")
    except MalformedError as error:
        raise InputError(str(error)) from error
    _require_usage(zone, tenants, imports, store_url, out)
    if out is not None:
        travel.require_free(out, _kind(zone, imports))
    secrets = named(passphrase_file=passphrase_file, pin_file=pin_file)
    made = make_keys(zone, directory, tenants, following=following, uris=_uris(uris), secrets=secrets)
    report: dict[str, object] = {"zone": zone, "keys": str(directory), "created": list(made.created)}
    if zone == "authority":
        report["certificates"] = certify(
            made.ring, tenants, imports, store_url=store_url, out=out, domain=domain, following=next_generation
        )
        report |= {"carried": str(out)} if out else {}
    elif imports:
        report["trust"] = _trust(made.ring, tenants, read_any_public(imports), store_url, out)
    else:
        travel.put(out, made.public) if out else None
        report["public"] = str(out or directory / "public.json")
    click.echo(json.dumps(report, indent=2, sort_keys=True) if form == "json" else _text(report))


@keys.command()
@click.option("--zone", required=True, type=click.Choice(ZONES), help="Whose keys these are.")
@click.option("--keys", "directory", required=True, type=click.Path(path_type=Path, file_okay=False), help="Where the zone's keys stay.")
@with_secrets
def encrypt(zone: Zone, directory: Path, passphrase_file: str, pin_file: str) -> None:
    """Encrypt the key files of a zone that are not, with a passphrase from a file.

    Afterwards name that file in the settings ([keys] passphrase_file), or make it a systemd credential.

    \b
    Example:
      ordain keys encrypt --zone control --keys DIR --passphrase-file /etc/ordain/passphrase
    """
    ring = KeyRing(zone=zone, directory=directory, secrets=named(passphrase_file=passphrase_file, pin_file=pin_file))
    click.echo(f"encrypted: {', '.join(encrypt_keys(ring)) or 'nothing, all keys were'}")


def _require_usage(zone: Zone, tenants: tuple[str, ...], imports: tuple[Path, ...], store_url: str | None, out: Path | None) -> None:
    """Raise `InputError` for options that don't go together, before anything is made."""
    message = ""
    if zone == "authority":
        given = list(read_any_public(imports))
        if bool(store_url) == bool(out) or not given:
            message = "--zone authority needs --store or --out, and --import once: the public keys of the control zone"
        elif given != ["control"]:
            message = f"--zone authority needs the public keys of the control zone alone; --import has those of {', '.join(given)}"
    elif zone != "offline" and (imports or store_url):
        message = "--import and --store belong to --zone offline"
    elif zone != "offline" and not tenants:
        message = "name at least one --tenant"
    elif tenants and zone == "offline" and not (store_url or (imports and out)):
        message = "--zone offline needs --store to sign the trust of a tenant into, or --out for what `ordain keys import` takes"
    elif (zone == "offline" and bool(tenants)) != bool(imports) or (imports and set(read_any_public(imports)) != {"pipeline", "control"}):
        message = "--zone offline needs --tenant, and --import twice: the public keys of the pipeline and of the control zone"
    if message:
        raise InputError(message)


def _kind(zone: Zone, imports: tuple[Path, ...]) -> bytes:
    """Return what --out will hold, without content: it is asked for before anything is made."""
    if zone == "authority":
        return carried.Shelf({}).carried()
    return travel.encode([]) if imports else codec.canonical(PublicKeys(format=FORMAT, zone=zone, keys={}))


def _uris(given: tuple[str, ...]) -> dict[str, str]:
    pairs = dict(one.partition("=")[::2] for one in given)
    if "" in pairs.values():
        message = "--uri takes ROLE=URI, say shop/releases=hsm:2?label=ordain"
        raise InputError(message)
    return pairs


def _trust(
    offline: KeyRing, tenants: tuple[str, ...], public: Mapping[Zone, PublicKeys], store_url: str | None, out: Path | None
) -> list[dict[str, object]]:
    """Sign the first trust of tenants into a store, or into a file that is carried to one."""
    pipeline, control = public["pipeline"], public["control"]
    if store_url is not None:
        return _found(open_store(store_url), offline, tenants, pipeline, control)
    changes = [first_trust(offline, tenant, pipeline=pipeline, control=control, now=datetime.now(UTC)) for tenant in tenants]
    travel.put(out or Path(), travel.encode(changes))
    return [
        {"tenant": one.tenant, "created": True, "root": f"{out}, for ordain keys import", "sha256": root_digest(one.new_root.encode())}
        for one in changes
    ]


def _found(store: Store, offline: KeyRing, tenants: tuple[str, ...], pipeline: PublicKeys, control: PublicKeys) -> list[dict[str, object]]:
    founded = []
    for tenant in tenants:
        created = found_trust(store, offline, tenant, pipeline=pipeline, control=control, now=datetime.now(UTC))
        root = layout.trust(tenant, "1.root.json")
        digest = root_digest(store.get(root) or b"")
        founded.append({"tenant": tenant, "created": created, "root": root, "sha256": digest})
    return founded


def _text(report: dict[str, object]) -> str:
    created = cast("list[str]", report["created"])
    lines = [f"{report['zone']} keys in {report['keys']}: " + (f"made {', '.join(created)}" if created else "all there already")]
    if "public" in report:
        lines.append(f"public keys, which may travel: {report['public']}")
    lines += [f"certified: {certificate}" for certificate in cast("list[str]", report.get("certificates", []))]
    if "carried" in report:
        lines.append(f"certificates, which may travel: {report['carried']}; next: ordain keys import, beside the store")
    for trust in cast("list[dict[str, object]]", report.get("trust", [])):
        state = "signed" if trust["created"] else "stands as it was"
        lines.append(f"trust of {trust['tenant']} {state}: {trust['root']}, which agents take as root metadata (SHA-256 {trust['sha256']})")
    return "\n".join(lines)
