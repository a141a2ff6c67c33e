"""Which of the pipeline's keys signs, and which it still believes: the same one, except while a key is rotated.

A tenant's releases are signed with the key that its trust names, the following one where both are named. What stands signed with the
other is believed, and signed again by `renew`. The repository key is named by nobody, so its following key signs as soon as it is there.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from securesystemslib.signer import Key, Signer

from agent.protocol.errors import RefusedError
from reconciler.publication.keys import REPOSITORY, KeyRing
from reconciler.publication.store import Store
from reconciler.publication.trust import read_trust

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """A role's signer, and the keys that may have signed what stands, the signer's own first."""

    signer: Signer
    known: Sequence[Key]


def releases_signing(store: Store, ring: KeyRing, tenant: str) -> Signing:
    """Return what signs a tenant's releases and controls; its trust is read only where the ring has two keys to choose from.

    Where the trust names neither, or can't be read, the present key goes on: `serve` refuses what it may not sign, and one tenant's
    trouble must not hold up the others here. Raises `InputError` if the ring has no key, or can't use it.
    """
    signers = ring.signers(f"{tenant}/releases")
    listed = _listed(store, tenant) if len(signers) > 1 else ()
    return _signing(next((one for one in signers if one.public_key.keyid in listed), signers[-1]), signers)


def _listed(store: Store, tenant: str) -> list[str]:
    try:
        trust = read_trust(store, tenant)
        return [key.keyid for key in trust.keys("releases")] if trust else []
    except RefusedError as error:
        _log.warning("its present key goes on signing: %s", error, extra={"tenant": tenant})
        return []


def repository_signing(ring: KeyRing) -> Signing:
    """Return what signs accepted state and decisions."""
    signers = ring.signers(REPOSITORY)
    return _signing(signers[0], signers)


def decision_keys(ring: KeyRing) -> list[Key]:
    """Return the keys that may have signed a decision at any time: those of today, then those retired.

    A forger with a retired key gains nothing: accepted state names the last decision by its digest, and each names the one before.
    """
    return [*ring.publics(REPOSITORY), *ring.former(REPOSITORY)]


def _signing(signer: Signer, signers: Sequence[Signer]) -> Signing:
    return Signing(signer=signer, known=[signer.public_key, *(one.public_key for one in signers if one is not signer)])
