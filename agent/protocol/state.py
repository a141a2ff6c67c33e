"""Finished desired state: what lands on a host, after parameters, variants and labels are resolved.

Only `${agent.…}` and `${secret.…}` are left in texts for the agent to fill in. Fields that hold their default are
left out, so that a later format may add fields without changing the digests of today's bundles.
"""

from typing import Literal, dataclass_transform

import msgspec


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """The shape of every wire type: frozen, by keyword, strict, camelCase, defaults left out."""


class File(Struct):
    """A file, directory or symlink; `content_base64` is for a `source` that is not UTF-8."""

    path: str
    type: Literal["file", "directory", "symlink"] = "file"
    content: str | None = None
    content_base64: str | None = None
    target: str | None = None
    mode: str | None = None
    owner: str | None = None
    group: str | None = None
    check: list[str] = []
    absent: bool = False


class ArtifactSource(Struct):
    """Where an artifact comes from for one platform; `url` is https:, file: or `store:<name>`."""

    url: str
    sha256: str
    size: int | None = None


class Artifact(Struct):
    """A fetched file, by platform (`linux/amd64`, or `any` where one serves all); unpacked, it is a directory.

    `unpacked_size` is the most bytes that its files may have together; left out, 32 times those of the archive, at least
    64 MiB and at most 4 GiB.
    """

    name: str
    path: str
    platforms: dict[str, ArtifactSource]
    unpack: Literal["tar.gz", "tar.zst", "zip"] | None = None
    unpacked_size: int | None = None
    mode: str | None = None
    owner: str | None = None
    group: str | None = None


class Probe(Struct):
    """A check of health after a switch: one of `http`, `tcp`, `command` and `file`."""

    name: str
    http: str | None = None
    tcp: str | None = None
    command: list[str] = []
    file: str | None = None
    max_age: str | None = None
    every: str = "10s"
    timeout: str = "5s"
    failures: int = 3
    grace: str = "0s"


class State(Struct):
    """All that one host must hold for one fleet, each list sorted by path or name."""

    artifacts: list[Artifact] = []
    files: list[File] = []
    probes: list[Probe] = []
    drift: Literal["enforce", "report"] = "enforce"
