"""The file that travels to the offline keys and back: what is to be signed for each tenant, and what it is to follow.

    beside the store                 where the offline keys are              beside the store
    propose, from public keys  ──▶   review and sign, on several       ──▶   accept: verify as agents would,
    and the standing trust           machines one after the other            then write root and targets

Whoever signs believes nothing of the file: the standing trust is verified from the first root on, and what follows must be what this
program makes of the same keys. What is shown to the people is the difference in keys. All of it is public.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec
from securesystemslib.signer import Signer
from tuf.api.metadata import Metadata, Root, Targets

from agent.protocol import codec, durable
from agent.protocol.errors import InputError, RefusedError
from agent.protocol.state import Struct
from reconciler.publication import layout, metadata
from reconciler.publication.keys import OFFLINE_ROLES, KeyRing
from reconciler.publication.rotation import ROLES, Proposal, keys_of, made_again
from reconciler.publication.store import Store
from reconciler.publication.trust import Trust, verified_trust

FORMAT = 1
LIMIT = 256 * 1024 * 1024
"""Bytes of the file: 10,000 tenants with a dozen roots each take a quarter of it."""
CLOCKS_APART = timedelta(days=1)
"""How far the clocks of two machines may differ, one of which has no network."""
T = TypeVar("T", Root, Targets)


class Change(Struct):
    """One tenant's: the trust that stands (nothing before the first ceremony), and root or targets that are to follow it."""

    tenant: str
    roots: list[str] = []
    targets: str = ""
    targets_version: int = 0
    new_root: str = ""
    new_targets: str = ""

    @property
    def versions(self) -> tuple[int, int]:
        """Versions of root and targets when the change is made."""
        return len(self.roots) + bool(self.new_root), self.targets_version + bool(self.new_targets)


class Travel(Struct):
    """The file: changes of any number of tenants."""

    format: int
    changes: list[Change]


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """A change as people should see it: what is different (`timestamp: 4f2a… → 91bc…`), and which signatures are still missing."""

    tenant: str
    differences: tuple[str, ...]
    missing: tuple[str, ...]


def encode(changes: Sequence[Change]) -> bytes:
    """Return the file of these changes."""
    return codec.canonical(Travel(format=FORMAT, changes=list(changes)))


def require_free(out: Path, data: bytes) -> None:
    """Raise `InputError` unless nothing is there, or a file of the kind and zone of `data`, which may be empty of content."""
    if out.exists() and not (out.is_file() and _is_same_kind(out.read_bytes(), data)):
        message = f"{out}: something else is there; name another file, or move that one away"
        raise InputError(message)


def put(out: Path, data: bytes) -> None:
    """Write a file that travels, where nothing is, or over one of its kind and zone; raises as `require_free`."""
    require_free(out, data)
    durable.replace(out, data)


def _is_same_kind(before: bytes, after: bytes) -> bool:
    """Return whether two JSON objects have the same fields, but for those that may be left out, and the same zone; nothing is any kind."""
    try:
        old, new = msgspec.json.decode(before or after), msgspec.json.decode(after)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    if not isinstance(old, dict) or old.get("zone") != new.get("zone"):
        return False
    return bool(old) and (old.keys() <= new.keys() or new.keys() <= old.keys())


def read(path: Path) -> list[Change]:
    """Read the file; raise `InputError` if it can't be read, `MalformedError` if it is none."""
    try:
        data = path.read_bytes()
    except OSError as error:
        message = f"{path}: {error.strerror}; it is what `ordain keys rotate` or `ordain keys sign` wrote"
        raise InputError(message) from error
    found = codec.decode(data, Travel, what=str(path), limit=LIMIT)
    if found.format != FORMAT:
        message = f"{path}: format {found.format}, and this ordain knows {FORMAT}; use the same version on all machines"
        raise InputError(message)
    return found.changes


def change_of(trust: Trust, proposal: Proposal) -> Change:
    """Return the change that a proposal makes to a trust, unsigned as yet."""
    return Change(
        tenant=trust.tenant,
        roots=[data.decode() for data in trust.roots],
        targets=trust.targets_data.decode(),
        targets_version=trust.targets.version,
        new_root=Metadata(proposal.root).to_bytes().decode() if proposal.root else "",
        new_targets=Metadata(proposal.targets).to_bytes().decode() if proposal.targets else "",
    )


def first(tenant: str, root: bytes, targets: bytes) -> Change:
    """Return the change that founds a tenant's trust, signed already."""
    return Change(tenant=tenant, new_root=root.decode(), new_targets=targets.decode())


def review(change: Change, *, now: datetime) -> Review:
    """Return what a change does; raise `RefusedError` if it does more than change keys and expiry of a trust that holds."""
    root, targets = _document(change, Root), _document(change, Targets)
    trust = _standing(change)
    if trust is None:
        return Review(tenant=change.tenant, differences=("its first root and targets",), missing=())
    proposal = Proposal(root=root.signed if root else None, targets=targets.signed if targets else None)
    if (root is None and targets is None) or made_again(trust, proposal) != proposal:
        message = f"{change.tenant}: what is to be signed is not what rotating keys makes of the standing trust; nothing of it is signed"
        raise RefusedError(message)
    for document, life in ((root, metadata.ROOT_LIFE), (targets, metadata.TARGETS_LIFE)):
        if document and document.signed.expires > now + life + CLOCKS_APART:
            message = f"{change.tenant}: {document.signed.type} would be valid until {document.signed.expires:%Y-%m-%d}; is a clock wrong?"
            raise RefusedError(message)
    return Review(tenant=change.tenant, differences=_differences(trust, proposal), missing=_missing(trust, root, targets))


def sign(change: Change, ring: KeyRing) -> Change:
    """Return a change with the signatures of all keys of this ring that it needs; it must have been reviewed."""
    root, targets = _document(change, Root), _document(change, Targets)
    trust = _standing(change)
    if trust is None:
        return change
    signers = [signer for role in OFFLINE_ROLES if ring.has(role) for signer in ring.signers(role)]
    after = root.signed if root else trust.root
    return msgspec.structs.replace(
        change,
        new_root=_signed(root, signers, {*trust.root.roles[Root.type].keyids, *after.roles[Root.type].keyids}),
        new_targets=_signed(targets, signers, set(after.roles[Targets.type].keyids)),
    )


def result(change: Change, *, now: datetime) -> Trust:
    """Return the trust that a change leads to; raise `RefusedError` if it lacks signatures, or is over."""
    roots = [text.encode() for text in (*change.roots, change.new_root) if text]
    trust = verified_trust(change.tenant, roots, (change.new_targets or change.targets).encode(), change.versions[1])
    for signed in (trust.root, trust.targets):
        if signed.is_expired(now):
            message = f"{change.tenant}: {signed.type} expired on {signed.expires:%Y-%m-%d}; make the request anew"
            raise RefusedError(message)
    return trust


def accept(store: Store, change: Change, *, now: datetime) -> bool:
    """Put a signed change into the store; return whether that was needed. A crash on the way is mended by doing it again.

    Raises:
        RefusedError: signatures are missing, or it is over.
        InputError: the trust in the store is another than the one that the change follows.
    """
    trust = result(change, now=now)
    wanted = {layout.trust(change.tenant, f"{version}.root.json"): data for version, data in enumerate(trust.roots, start=1)}
    if change.targets:
        wanted[layout.trust(change.tenant, f"{change.targets_version}.targets.json")] = change.targets.encode()
    wanted[layout.trust(change.tenant, f"{trust.targets.version}.targets.json")] = trust.targets_data
    _require_base(store, change, wanted)
    created = [store.create(key, data) for key, data in wanted.items()]
    return any(created)


def _require_base(store: Store, change: Change, wanted: dict[str, bytes]) -> None:
    found = {key: store.get(key) for key in store.list(layout.trust(change.tenant))}
    versions = dict(zip(("root", "targets"), change.versions, strict=True))
    beyond = any(layout.versions(store, layout.trust(change.tenant), role)[-1:] > [last] for role, last in versions.items())
    other = any(key in found and found[key] != data for key, data in wanted.items())
    if (
        beyond
        or other
        or not {layout.trust(change.tenant, f"{version}.root.json") for version in range(1, len(change.roots) + 1)} <= set(found)
    ):
        message = (
            f"trust/{change.tenant}: it is not the trust that this was made for: it was changed since, or founded with other keys; "
            "make the request anew from this store"
        )
        raise InputError(message)


def _standing(change: Change) -> Trust | None:
    if not change.roots:
        return None
    return verified_trust(change.tenant, [text.encode() for text in change.roots], change.targets.encode(), change.targets_version)


def _document(change: Change, kind: type[T]) -> Metadata[T] | None:
    text = change.new_root if kind is Root else change.new_targets
    return metadata.load(text.encode(), kind, what=f"the new {kind.type} of {change.tenant}") if text else None


def _signed(document: Metadata[T] | None, signers: Sequence[Signer], keyids: set[str]) -> str:
    if document is None:
        return ""
    return metadata.add_signatures(document, [signer for signer in signers if signer.public_key.keyid in keyids]).decode()


def _differences(trust: Trust, proposal: Proposal) -> tuple[str, ...]:
    before, after = keys_of(trust.root, trust.targets), keys_of(proposal.root or trust.root, proposal.targets or trust.targets)
    lines = []
    for role in ROLES:
        old, new = ([key.keyid for key in held[role]] for held in (before, after))
        if old != new:
            gone, come = (", ".join(one[:12] for one in some if one not in others) or "-" for some, others in ((old, new), (new, old)))
            lines.append(f"{role}: {gone} → {come}")
    written = [one for one in (proposal.root, proposal.targets) if one]
    return (*lines, *(f"{one.type} {one.version}, valid until {one.expires:%Y-%m-%d}" for one in written))


def _missing(trust: Trust, root: Metadata[Root] | None, targets: Metadata[Targets] | None) -> tuple[str, ...]:
    lines = []
    if root:
        for what, delegator in (("root keys of before", trust.root), ("root keys", root.signed)):
            found = delegator.get_verification_result(Root.type, root.signed_bytes, root.signatures)
            if not found.verified:
                lines.append(f"root: {found.missing} more of the {what}")
    if targets:
        delegator = root.signed if root else trust.root
        if not delegator.get_verification_result(Targets.type, targets.signed_bytes, targets.signatures).verified:
            lines.append("targets: the targets key")
    return tuple(lines)
