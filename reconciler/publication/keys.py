"""Key rings: which private keys a zone holds, where, and what of them may travel.

Each zone has keys of its own and never sees another's. They are referred to by securesystemslib URIs (file now; HSM, KMS and
Vault by settings alone), Ed25519 where ordain makes them. Only `public.json` ever leaves a zone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from securesystemslib.signer import Key, Signer

from reconciler.publication.store import Store

Zone = Literal["offline", "pipeline", "control"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRing:
    """The keys of one zone: files in `directory`, unless `uris` names another place for a role.

    Roles are `repository` (pipeline), `<tenant>/releases` (pipeline), `<tenant>/rollouts`, `<tenant>/snapshot`,
    `<tenant>/timestamp` (control), `root-1` … `root-3`, `targets` (offline).
    """

    zone: Zone
    directory: Path
    uris: Mapping[str, str] = field(default_factory=dict)

    def signer(self, role: str) -> Signer:
        """Return the signer of a role; raise `InputError` if the ring has no such key."""
        raise NotImplementedError

    def public(self, role: str) -> Key:
        """Return the public key of a role; raise `InputError` if the ring has no such key."""
        raise NotImplementedError


def make_pipeline_keys(directory: Path, tenants: tuple[str, ...]) -> KeyRing:
    """Make what is missing of the pipeline's keys, and `public.json`."""
    raise NotImplementedError


def make_control_keys(directory: Path, tenants: tuple[str, ...]) -> KeyRing:
    """Make what is missing of the control zone's keys, and `public.json`."""
    raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Rings:
    """The key rings of both online zones."""

    pipeline: KeyRing
    control: KeyRing


def development_keys(directory: Path, store: Store, tenant: str) -> Rings:
    """Make all keys and the trust of a tenant on one machine, marked as for development; do nothing where they exist."""
    raise NotImplementedError
