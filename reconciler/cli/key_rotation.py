"""`ordain keys rotate`, `renew`, `sign`, `import` and `retire`: how a tenant's keys change while its agents go on."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from agent.protocol.errors import InputError, RefusedError
from reconciler.control.authority import carried
from reconciler.control.authority.ceremony import certified_keys
from reconciler.pipeline import accepted
from reconciler.publication import envelope, layout, travel
from reconciler.publication.key_making import certifies, zone_roles
from reconciler.publication.key_making import retire as retire_key
from reconciler.publication.keys import OFFLINE_ROLES, REPOSITORY, KeyRing
from reconciler.publication.public_keys import NEXT, PublicKeys, Zone, read_any_public
from reconciler.publication.rotation import ROLES, following, keys_of, propose
from reconciler.publication.secret_files import named
from reconciler.publication.settling import unsettled
from reconciler.publication.store import Store, open_store
from reconciler.publication.travel import Change, Review
from reconciler.publication.trust import Trust, read_trust

Command = Callable[..., Any]
FILE = click.Path(path_type=Path, dir_okay=False)
DIRECTORY = click.Path(path_type=Path, file_okay=False)
SHOWN = 5
"""Fleets that a message names; their number says the rest."""


def with_secrets(command: Command) -> Command:
    """Add the options that name what unlocks keys."""
    for option in (
        click.option("--passphrase-file", default="", help="File with the passphrase of encrypted key files."),
        click.option("--pin-file", default="", help="File with the PIN of a PKCS#11 token."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("roles", nargs=-1, required=True, type=click.Choice(ROLES), metavar="ROLE...")
@click.option("--tenant", "tenants", multiple=True, help="A tenant; give it several times for several. [default: all in the store]")
@click.option("--store", "store_url", required=True, help="The store, or a copy of it.")
@click.option("--import", "imports", multiple=True, type=FILE, help="Public keys of the zones whose keys change.")
@click.option("--out", required=True, type=FILE, help="Write here what is to be signed offline.")
@click.option(
    "--at-once", is_flag=True, help="releases: drop the old key now, because it was stolen; until all is signed anew agents wait."
)
def rotate(
    roles: tuple[str, ...], tenants: tuple[str, ...], store_url: str, imports: tuple[Path, ...], out: Path, *, at_once: bool
) -> None:
    """Ask for other keys of some roles: write what is to be signed offline.

    ROLE is root, targets, releases, rollouts, snapshot or timestamp; name several to change them together. releases takes two turns: the
    first lists both keys, the second drops the old one, once every fleet is signed with the new one and published so.

    \b
    Example:
      ordain keys init --zone control --tenant shop --keys DIR --next timestamp --next snapshot --out control.json
      ordain keys rotate timestamp snapshot --tenant shop --store STORE --import control.json --out request.json
      ordain keys sign request.json --keys OFFLINE --out signed.json      where the offline keys are
      ordain keys import signed.json --store STORE
      ordain keys retire --zone control --tenant shop --keys DIR --store STORE
    """
    store, public, now = open_store(store_url), read_any_public(imports), datetime.now(UTC)
    changes = [_rotated(store, trust, roles, public, at_once=at_once, now=now) for trust in _trusts(store, tenants)]
    _write(out, changes, now)


@click.command()
@click.option("--tenant", "tenants", multiple=True, help="A tenant; give it several times for several. [default: all in the store]")
@click.option("--store", "store_url", required=True, help="The store, or a copy of it.")
@click.option("--out", required=True, type=FILE, help="Write here what is to be signed offline.")
def renew(tenants: tuple[str, ...], store_url: str, out: Path) -> None:
    """Ask for root and targets with the same keys and a new expiry: write what is to be signed offline.

    \b
    Example:
      ordain keys renew --store STORE --out request.json
    """
    store, now = open_store(store_url), datetime.now(UTC)
    _write(out, [travel.change_of(trust, propose(trust, {}, now=now)) for trust in _trusts(store, tenants)], now)


@click.command()
@click.argument("request", type=FILE)
@click.option("--keys", "directory", required=True, type=DIRECTORY, help="The offline keys, or some of them.")
@click.option("--out", required=True, type=FILE, help="Write here what is signed; it may be signed further elsewhere.")
@with_secrets
def sign(request: Path, directory: Path, out: Path, passphrase_file: str, pin_file: str) -> None:
    """Sign what `rotate` or `renew` asks for, with the offline keys that are here.

    It verifies the standing trust, shows what changes, and refuses anything beside keys and expiry. Needs no network and no store. Where
    the root keys lie in different places, take the file to one after the other.

    \b
    Example:
      ordain keys sign request.json --keys /media/safe/keys --out signed.json
    """
    now = datetime.now(UTC)
    ring = KeyRing(zone="offline", directory=directory, secrets=named(passphrase_file=passphrase_file, pin_file=pin_file))
    if not any(ring.has(role) for role in OFFLINE_ROLES):
        message = f"{directory}: no offline key here"
        raise InputError(message)
    changes = travel.read(request)
    for change in changes:
        travel.review(change, now=now)
    _write(out, [travel.sign(change, ring) for change in changes], now)


@click.command("import")
@click.argument("signed", type=FILE)
@click.option("--store", "store_url", required=True, help="The store that both zones use.")
def import_(signed: Path, store_url: str) -> None:
    """Take over what was signed offline: a trust, which has the new keys from here on, or certificates of the authority.

    `serve` and `reconcile` notice by themselves. May be repeated.

    \b
    Example:
      ordain keys import signed.json --store STORE
    """
    store, now = open_store(store_url), datetime.now(UTC)
    if _is_certified(signed):
        created = carried.accept(store, carried.read(signed))
        click.echo("\n".join(f"certified: {key}" for key in created) or "all certificates were there already")
        return
    changes = travel.read(signed)
    _require_signed([travel.review(change, now=now) for change in changes])
    for change in changes:
        state = "has its new trust" if travel.accept(store, change, now=now) else "had it already"
        root, targets = change.versions
        click.echo(f"{change.tenant} {state}: root {root}, targets {targets or 1}")


@click.command()
@click.option("--zone", required=True, type=click.Choice(["offline", "pipeline", "control"]), help="Whose keys these are.")
@click.option("--tenant", "tenants", multiple=True, help="A tenant; give it several times for several.")
@click.option("--keys", "directory", required=True, type=DIRECTORY, help="Where the zone's keys stay.")
@click.option("--store", "store_url", help="The store, which says what the trust names.")
@click.option("--signed", type=FILE, help="offline: what was signed here says it as well.")
@with_secrets
def retire(  # noqa: PLR0917 - click passes options by name
    zone: Zone, tenants: tuple[str, ...], directory: Path, store_url: str | None, signed: Path | None, passphrase_file: str, pin_file: str
) -> None:
    """Destroy the private keys that were rotated, and put the new ones in their place.

    A key that a trust still names stays. Public halves are kept in public.json, for an audit of what they signed.

    \b
    Example:
      ordain keys retire --zone pipeline --tenant shop --keys DIR --store STORE
    """
    if (store_url is None) == (signed is None):
        message = "give --store, or --signed, to say what the trust names"
        raise InputError(message)
    trusts = [travel.result(change, now=datetime.now(UTC)) for change in travel.read(signed)] if signed else []
    store = open_store(store_url) if store_url else None
    trusts += _trusts(store, ()) if store else []
    ring = KeyRing(zone=zone, directory=directory, secrets=named(passphrase_file=passphrase_file, pin_file=pin_file))
    due = [role for role in zone_roles(zone, tenants) if ring.has(role + NEXT) and not certifies(role)]
    gone = {role: retire_key(ring, role, _repository(store, ring) if role == REPOSITORY else listed_keys(trusts, role)) for role in due}
    gone |= {role: retire_key(ring, role, listed) for role, listed in (certified_keys(store, ring, tenants) if store else {}).items()}
    lines = [f"{role}: {keyid[:12]} retired" for role, keyid in gone.items() if keyid]
    click.echo("\n".join(lines) or "nothing to retire")


def _is_certified(path: Path) -> bool:
    """Return whether a file that travelled holds certificates; what can't be read is told by whoever reads it."""
    try:
        with path.open("rb") as file:
            return file.read(len(carried.BEGINS)) == carried.BEGINS
    except OSError:
        return False


def _repository(store: Store | None, ring: KeyRing) -> set[str]:
    """Return the id of the key that signed the accepted state: nobody names the repository key, but that must not be lost with it."""
    data = store.get(accepted.KEY) if store else None
    return {key.keyid for key in ring.publics(REPOSITORY) if data and envelope.is_signed_by(data, key, what=accepted.KEY)}


def listed_keys(trusts: Sequence[Trust], role: str) -> set[str]:
    """Return the ids of the keys that these trusts name for a role of a ring (`shop/timestamp`, `root-2`)."""
    tenant, _, name = role.rpartition("/")
    name = "root" if name.startswith("root-") else name
    concerned = [trust for trust in trusts if tenant in ("", trust.tenant)]
    return {key.keyid for trust in concerned for key in keys_of(trust.root, trust.targets)[name]}


def _trusts(store: Store, tenants: Sequence[str]) -> list[Trust]:
    found = [(tenant, read_trust(store, tenant)) for tenant in tenants or layout.children(store, "trust/")]
    missing = [tenant for tenant, trust in found if trust is None]
    if missing or not found:
        message = f"{', '.join(missing) or 'no tenant'} has a trust in this store; found it with `ordain keys init --zone offline`"
        raise InputError(message)
    return [trust for _, trust in found if trust is not None]


def _rotated(
    store: Store, trust: Trust, roles: Sequence[str], public: Mapping[Zone, PublicKeys], *, at_once: bool, now: datetime
) -> Change:
    settled = "releases" in roles and not at_once and _is_settled(store, trust, public)
    return travel.change_of(trust, propose(trust, following(trust, roles, public, settled=settled, at_once=at_once), now=now))


def _is_settled(store: Store, trust: Trust, public: Mapping[Zone, PublicKeys]) -> bool:
    """Return whether the old releases key can go; raise `RefusedError` where both are listed and it can't yet."""
    listed = trust.keys("releases")
    if "pipeline" not in public or len(listed) == 1:
        return False
    new = public["pipeline"].newest(f"{trust.tenant}/releases")
    waiting = unsettled(store, trust, new)
    if waiting:
        message = (
            f"{trust.tenant}: not signed with the new releases key yet, or not published so: {', '.join(waiting[:SHOWN])}"
            f"{f' and {len(waiting) - SHOWN} more' if len(waiting) > SHOWN else ''}. `ordain reconcile` and `ordain serve` do that within "
            "seconds: see whether they run (`ordain status`), then ask again"
        )
        raise RefusedError(message)
    return True


def _write(out: Path, changes: Sequence[Change], now: datetime) -> None:
    """Write the file, and say what it changes and what is missing."""
    reviews = [travel.review(change, now=now) for change in changes]
    data = travel.encode(changes)
    travel.put(out, data)
    for one in reviews:
        click.echo("\n  ".join([f"{one.tenant}:", *one.differences]))
        if one.missing:
            click.echo(f"  to be signed by {'; '.join(one.missing)}")
    done = not any(one.missing for one in reviews)
    click.echo(f"{out}: {'all signed; next: ordain keys import' if done else 'next: ordain keys sign, where the offline keys are'}")


def _require_signed(reviews: Sequence[Review]) -> None:
    for one in reviews:
        if one.missing:
            message = f"{one.tenant}: signatures are missing: {'; '.join(one.missing)}; nothing was taken over"
            raise RefusedError(message)
