"""Rotating keys: which root and targets follow those that stand, as pure decisions; nothing here signs or writes.

What is proposed is made of the standing trust and of public keys alone, so whoever signs it can make it again and compare. Online roles
and the offline ones change at once. The releases key changes in two steps, because what it signed must go on being believed until
all of it is signed anew: first both keys are listed, then the new one alone.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from securesystemslib.signer import Key
from tuf.api.metadata import Root, Snapshot, Targets, Timestamp

from agent.protocol.errors import InputError
from reconciler.publication import metadata
from reconciler.publication.public_keys import PublicKeys, Zone
from reconciler.publication.trust import Trust

ROLES = ("root", "targets", "releases", "rollouts", "snapshot", "timestamp")
IN_ROOT = frozenset({Root.type, Targets.type, Snapshot.type, Timestamp.type})
ZONE_OF: Mapping[str, Zone] = {
    "root": "offline",
    "targets": "offline",
    "releases": "pipeline",
    "rollouts": "control",
    "snapshot": "control",
    "timestamp": "control",
}
"""Whose public keys a role's new key comes from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """The root and targets that are to follow; None for one that stays."""

    root: Root | None
    targets: Targets | None


def keys_of(root: Root, targets: Targets) -> dict[str, list[Key]]:
    """Return the keys that a trust lists, by role; those of one role in the order in which they are listed."""
    found = {name: [root.keys[keyid] for keyid in role.keyids] for name, role in root.roles.items()}
    delegations = targets.delegations
    if delegations and delegations.roles:
        found |= {name: [delegations.keys[keyid] for keyid in role.keyids] for name, role in delegations.roles.items()}
    return found


def following(
    trust: Trust, roles: Collection[str], public: Mapping[Zone, PublicKeys], *, settled: bool, at_once: bool
) -> dict[str, list[Key]]:
    """Return the keys that `roles` are to have.

    `settled` says that everything is signed with the new releases key, so that the old one can go; `at_once` drops it unasked, for
    one that was stolen.

    Raises:
        InputError: public keys are missing, or hold no other key than the trust lists.
    """
    standing = keys_of(trust.root, trust.targets)
    return {role: _keys(trust.tenant, role, standing[role], public, settled=settled, at_once=at_once) for role in roles}


def _keys(tenant: str, role: str, standing: Sequence[Key], public: Mapping[Zone, PublicKeys], *, settled: bool, at_once: bool) -> list[Key]:
    zone = ZONE_OF[role]
    if zone not in public:
        message = (
            f"rotating {role} needs the public keys of the {zone} zone: --import what `ordain keys init --zone {zone} --out` wrote there"
        )
        raise InputError(message)
    if role == Root.type:
        new = [public[zone].newest(f"root-{number}") for number in range(1, metadata.ROOT_KEYS + 1)]
    else:
        new = [public[zone].newest(role if zone == "offline" else f"{tenant}/{role}")]
    if role != "releases" or at_once:
        return _other(tenant, role, standing, new)
    if new[0] not in standing:
        return [new[0], *standing[:1]]
    return _other(tenant, role, standing, new if settled else list(standing))


def _other(tenant: str, role: str, standing: Sequence[Key], new: list[Key]) -> list[Key]:
    if {key.keyid for key in standing} == {key.keyid for key in new}:
        message = (
            f"{tenant}: {role} has this key already; make the one to rotate to with "
            f"`ordain keys init --zone {ZONE_OF[role]} --next {role}`, and import its public keys"
        )
        raise InputError(message)
    return new


def propose(trust: Trust, keys: Mapping[str, Sequence[Key]], *, now: datetime) -> Proposal:
    """Return what follows a trust with these keys in the place of those that the same roles have; without any, both are renewed."""
    wanted = keys_of(trust.root, trust.targets) | {role: list(held) for role, held in keys.items()}
    root = _root(trust, wanted, now=now, version=trust.root.version + 1)
    targets = _targets(trust, wanted, now=now, version=trust.targets.version + 1)
    renewed = not keys
    return Proposal(
        root=root if renewed or IN_ROOT & keys.keys() else None,
        targets=targets if renewed or keys.keys() - IN_ROOT or Targets.type in keys else None,
    )


def made_again(trust: Trust, proposal: Proposal) -> Proposal:
    """Return the proposal as this program makes it from the keys and times of `proposal`: all that does not follow from those is gone."""
    wanted = keys_of(proposal.root or trust.root, proposal.targets or trust.targets)
    root = proposal.root and _root(trust, wanted, now=proposal.root.expires - metadata.ROOT_LIFE, version=trust.root.version + 1)
    targets = proposal.targets and _targets(
        trust, wanted, now=proposal.targets.expires - metadata.TARGETS_LIFE, version=trust.targets.version + 1
    )
    return Proposal(root=root, targets=targets)


def _root(trust: Trust, wanted: Mapping[str, Sequence[Key]], *, now: datetime, version: int) -> Root:
    held = {role: wanted[role] for role in (Root.type, Targets.type, Snapshot.type, Timestamp.type)}
    return metadata.root(trust.tenant, held, now=now, development=trust.development, version=version)


def _targets(trust: Trust, wanted: Mapping[str, Sequence[Key]], *, now: datetime, version: int) -> Targets:
    releases, *also = wanted["releases"]
    return metadata.targets(trust.tenant, releases=releases, also_releases=also, rollouts=wanted["rollouts"][0], now=now, version=version)
