"""Delisting: a release that was approved once and must not be returned to, since policy would deny it now or it was withdrawn.

A stolen control zone can point hosts at any release that is listed, so what nobody may run again should not stay listed. What a rollout
document names stays, and so does the desired release: to get rid of that one, release another.

What another judge approved than the present one is delisted by itself (docs/adr/0008): whether policy allows it now, nobody asked. Who
wants it back reverts the commit, which has it judged, and listed again under the same digest.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from securesystemslib.signer import Key, Signer

from agent.protocol.errors import InputError, RefusedError, RetryError
from reconciler.pipeline.listing import Standing, read_standing
from reconciler.publication import layout, metadata, releases
from reconciler.publication.published import read_published
from reconciler.publication.store import Store

PREFIX = 12
"""Characters of a digest that are enough to name it."""


def delist(store: Store, signer: Signer, *, tenant: str, fleet: str, digest: str, known: Sequence[Key], now: datetime) -> str:
    """Sign a fleet's releases without one bundle; return the bundle's whole digest. `digest` may be its first 12 characters or more.

    Raises:
        InputError: no such bundle, or several, are listed.
        RefusedError: it is the desired one, a rollout document names it, or what is published can't be read to know that.
        RetryError: somebody else approves at the same time.
    """
    standing = read_standing(store, known, tenant=tenant, fleet=fleet)
    name = releases.fleet_name(tenant, fleet)
    found = _found(standing, name, digest)
    if found == standing.bundles[-1].digest or found in _named(store, tenant, fleet):
        message = f"{name}: {found} is what hosts are to run now, or return to; release another one first, then ask again"
        raise RefusedError(message)
    _write_without(store, signer, standing, {found}, tenant=tenant, fleet=fleet, now=now)
    return found


def delist_outdated(
    store: Store,
    signer: Signer,
    *,
    tenant: str,
    fleet: str,
    judged_now: Callable[[int], bool],
    known: Sequence[Key],
    now: datetime,
) -> list[str]:
    """Sign a fleet's releases without what was approved otherwise than policy judges now; return the digests that are gone.

    `judged_now` says of a decision, by its number, whether the present judge made it. The desired bundle, and what a rollout document
    names, stay whoever approved them. Nothing is written where nothing goes.

    Raises:
        RefusedError: what is published can't be read to know what hosts run or return to.
        RetryError: somebody else approves at the same time.
    """
    standing = read_standing(store, known, tenant=tenant, fleet=fleet)
    outdated = {one.digest for one in standing.bundles[:-1] if one.digest and not judged_now(one.decision)}
    gone = outdated - _named(store, tenant, fleet) if outdated else set()
    if gone:
        _write_without(store, signer, standing, gone, tenant=tenant, fleet=fleet, now=now)
    return sorted(gone)


def _write_without(
    store: Store, signer: Signer, standing: Standing, gone: Collection[str], *, tenant: str, fleet: str, now: datetime
) -> None:
    kept = {path: file for path, file in standing.targets.items() if standing.approvals[path].digest not in gone}
    expires = standing.signed.expires if standing.signed else now
    role = metadata.role(releases.fleet_name(tenant, fleet), kept, version=standing.next_version, expires=expires)
    key = layout.approved(tenant, fleet, f"{role.version}.{releases.ROLE}.json")
    if not store.create(key, metadata.sign(role, [signer])):
        message = f"{key}: `ordain reconcile` wrote it just now; ask again"
        raise RetryError(message)


def _found(standing: Standing, name: str, digest: str) -> str:
    listed = [one.digest for one in standing.bundles if one.digest is not None]
    found = [one for one in listed if one.startswith(digest)] if len(digest) >= PREFIX else []
    if len(found) != 1:
        names = ", ".join(listed)
        message = f"{name}: {len(found)} listed bundles begin with {digest!r}; name {PREFIX} characters or more of one of these: {names}"
        raise InputError(message)
    return found[0]


def _named(store: Store, tenant: str, fleet: str) -> set[str]:
    published = read_published(store, tenant, fleet)
    document = published.document if published else None
    return {one.digest for one in (document.stable, document.candidate) if one} if document else set()
