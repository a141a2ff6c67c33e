"""Artifacts: files that are fetched by address and known by their SHA-256, or directories that such a file unpacks to.

A directory is the release's as a whole: what others put into it is drift, and goes when it is put right.
"""

import platform
from collections.abc import Callable

from agent.archives.entries import Form
from agent.host import Host
from agent.protocol.errors import RefusedError
from agent.protocol.state import Artifact, ArtifactSource
from agent.providers.item import NOBODY, Coming, Item, resolve_mode, resolve_owner

ARTIFACT_MODE = 0o755
"""Artifacts are programs as a rule."""
MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def this_platform() -> str:
    """Return this host's platform as manifests name it: `linux/amd64`."""
    machine = platform.machine()
    return f"{platform.system().lower()}/{MACHINES.get(machine, machine)}"


def desired(artifact: Artifact, *, host: Host, tree_digest: Callable[[ArtifactSource, Form], str | None], coming: Coming = NOBODY) -> Item:
    """Return what an artifact of a state means on this host; `tree_digest` knows what was unpacked here before.

    The mode of an unpacked one is that of the directory; what is in it has the modes that the archive's programs need.

    Raises:
        RefusedError: nothing for this platform, or an owner that can't be set.
    """
    here = this_platform()
    source = artifact.platforms.get(here) or artifact.platforms.get("any")
    if source is None:
        message = f"artifact {artifact.name}: there is none for {here}, only for {', '.join(sorted(artifact.platforms)) or 'nothing'}"
        raise RefusedError(message)
    uid, gid, warnings = resolve_owner(host, artifact.path, artifact.owner, artifact.group, coming)
    return Item(
        path=artifact.path,
        provider="artifacts",
        kind="file" if artifact.unpack is None else "tree",
        mode=resolve_mode(artifact.path, artifact.mode, ARTIFACT_MODE),
        uid=uid,
        gid=gid,
        source=source,
        unpack=artifact.unpack,
        limit=artifact.unpacked_size,
        digest=source.sha256 if artifact.unpack is None else tree_digest(source, artifact.unpack),
        warnings=warnings,
    )
