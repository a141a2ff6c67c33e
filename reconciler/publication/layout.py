"""Where things stand in the store: the one place that spells its keys.

Tenants and fleets are DNS labels, so names that begin with `_` never clash with them.
"""

import re

from agent.protocol.errors import MalformedError
from agent.protocol.identity import require_label
from reconciler.publication.store import Store

_DIGEST = re.compile(r"[0-9a-f]{64}")
_VERSIONED = re.compile(r"([1-9][0-9]{0,15})\.([a-z]+)\.json")
REPOSITORY_LEASE = "approved/_lease.json"
RESTORED = "restored"
"""`approved/<tenant>/<fleet>/<N>.restored.json`: an empty mark that `ordain restore` left. Releases go on above version N."""
CONTROL_LEASE = "records/_lease.json"
AUTHORITY_CHANGE = "records/_authority.json"
AUTHORITY = "trust/_authority/"
"""What the ceremony signed of the certificate authority: a directory for each generation of it."""


def trust(tenant: str, name: str = "") -> str:
    """Return the key of a file of the key ceremony (`1.root.json`), or the prefix of all of them."""
    return f"trust/{require_label(tenant, 'tenant')}/{name}"


def authority(generation: int, name: str = "") -> str:
    """Return the key of a certificate of a generation of the authority (`root.pem`), or the prefix of all of them."""
    return f"{AUTHORITY}{generation}/{name}"


def tenant_authority(generation: int, tenant: str) -> str:
    """Return the key of the certificate by which a tenant's agents are certified."""
    return authority(generation, f"tenants/{require_label(tenant, 'tenant')}.pem")


def controls(tenant: str) -> str:
    """Return the key of a tenant's controls."""
    return f"approved/{require_label(tenant, 'tenant')}/controls.json"


def authz(digest: str) -> str:
    """Return the key of a repository's own rules about operators and enrolment; `digest` is the SHA-256 that controls name.

    `reconcile` writes them before controls that name them (`Controls.authz`), and keeps what was named before. `serve` takes them from
    `publication.operator_rules.load`, which holds the bytes to the digest: so they are signed by way of the controls. They are loaded
    beside ordain's own authz policy, as packages `ordain.authz.custom.<name>`, and can only deny more: whoever asks OPA refuses where
    any `deny` of theirs has a member, whatever else was allowed.
    """
    if not _DIGEST.fullmatch(digest):
        message = f"{digest[:80]!r} is not the digest of rules about operators: 64 digits of a SHA-256"
        raise MalformedError(message)
    return f"approved/_authz/{digest}"


def approved(tenant: str, fleet: str, name: str = "") -> str:
    """Return the key of an approved file of a fleet (`3.releases.json`, a target's path), or their prefix."""
    return f"approved/{require_label(tenant, 'tenant')}/{require_label(fleet, 'fleet')}/{name}"


def artifact(tenant: str, sha256: str) -> str:
    """Return the key of a tenant's stored artifact; of one of the library, which all tenants may fetch, with an empty tenant."""
    owner = f"{require_label(tenant, 'tenant')}/" if tenant else ""
    return f"approved/{owner}_artifacts/{sha256}"


def metadata(tenant: str, fleet: str, name: str = "") -> str:
    """Return the key of a published metadata file, or their prefix."""
    return f"public/{require_label(tenant, 'tenant')}/{require_label(fleet, 'fleet')}/metadata/{name}"


def target(tenant: str, fleet: str, path: str, sha256: str) -> str:
    """Return the key of a published target under consistent snapshots: the hash stands before the last part of its path."""
    directory, _, name = path.rpartition("/")
    return f"{targets(tenant, fleet)}{directory}/{sha256}.{name}"


def targets(tenant: str, fleet: str) -> str:
    """Return the prefix of a fleet's published targets."""
    return f"public/{require_label(tenant, 'tenant')}/{require_label(fleet, 'fleet')}/targets/"


def record(tenant: str, fleet: str, name: str) -> str:
    """Return the key of something that `serve` recorded about a fleet."""
    return f"records/{require_label(tenant, 'tenant')}/{require_label(fleet, 'fleet')}/{name}"


def tenant_record(tenant: str) -> str:
    """Return the key of what `serve` recorded about a tenant."""
    return f"records/{require_label(tenant, 'tenant')}/_status.json"


def operations(tenant: str, series: int | None = None, part: int = 0) -> str:
    """Return the key of a part of what operators did in a tenant (`publication.operations`), or the prefix of all of them."""
    prefix = f"records/{require_label(tenant, 'tenant')}/_operations/"
    return prefix if series is None else f"{prefix}{series:04d}-{part:09d}.json"


def versions(store: Store, prefix: str, role: str) -> list[int]:
    """Return the versions of a role that stand at a prefix (`<prefix><N>.<role>.json`), rising."""
    return numbered(store, prefix).get(role, [])


def numbered(store: Store, prefix: str) -> dict[str, list[int]]:
    """Return the versions of every role that stand at a prefix, rising."""
    found: dict[str, list[int]] = {}
    for key in store.list(prefix, deep=False):
        version = version_of(key.removeprefix(prefix))
        if version:
            found.setdefault(version[0], []).append(version[1])
    return {role: sorted(numbers) for role, numbers in found.items()}


def version_of(name: str) -> tuple[str, int] | None:
    """Return the role and version that a file's name says (`3.releases.json`), None for any other name."""
    match = _VERSIONED.fullmatch(name)
    return (match[2], int(match[1])) if match else None


def children(store: Store, prefix: str) -> list[str]:
    """Return the names directly below a prefix that have something below them, those with `_` in front left out."""
    names = (key.removeprefix(prefix) for key in store.list(prefix, deep=False))
    return [name[:-1] for name in names if name.endswith("/") and not name.startswith("_")]
