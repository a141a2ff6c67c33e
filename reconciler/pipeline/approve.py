"""Approve: what passes from the pipeline to the control zone, signed, under `approved/`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from securesystemslib.signer import Signer

from agent.protocol.membership import Member
from agent.protocol.rollout import Release
from reconciler.publication.controls import Controls
from reconciler.publication.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """What stands approved for a fleet: its desired release, the version of its releases role, and whether this call wrote it."""

    release: Release
    version: int
    changed: bool


def approve_release(
    store: Store,
    signer: Signer,
    *,
    tenant: str,
    fleet: str,
    data: bytes,
    digest: str,
    pools: Mapping[str, Member],
    agents: Mapping[str, Member],
    commit: str,
    decision: int,
    freshness_seconds: int,
    now: datetime,
) -> Approved:
    """Make a bundle and members the desired release of a fleet; write nothing where they already are.

    `fleet` is the fleet's own name, `data` the canonical `data.json` with this digest, `signer` the tenant's releases key.
    """
    raise NotImplementedError


def renew_releases(store: Store, signer: Signer, *, tenant: str, fleet: str, freshness_seconds: int, now: datetime) -> bool:
    """Sign a fleet's releases again when half of their life is over; return whether that was done."""
    raise NotImplementedError


def write_controls(store: Store, signer: Signer, controls: Controls, *, now: datetime) -> Controls:
    """Write a tenant's controls with the next sequence and a new expiry, unless nothing else would change and expiry is far.

    `sequence` and `expires` of what is passed in are ignored. Return what stands in the store afterwards.
    """
    raise NotImplementedError
