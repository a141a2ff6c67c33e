"""A copy of the rule library in a fleet repository, so that an upgrade of ordain changes no verdict until somebody says so.

The copy is `rules/` of the library, tests and examples included, below `policies/library/`. Beside it stands a file that says
which version it is of and what each file's digest was: a file that somebody changed since is never overwritten unasked.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import PurePosixPath

from agent.protocol.codec import sha256
from reconciler.pipeline.policy.judge import Judge
from reconciler.pipeline.policy.library import VENDORED
from reconciler.pipeline.policy.metadata import Level
from reconciler.pipeline.tree import Entry, Tree, blob_id
from reconciler.resources import directory

RECORD = "vendored.json"
"""The file that says what was copied."""
FORMAT = 1
UNKNOWN = "unknown"
"""The version of a copy that does not say it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendored:
    """A copy as a repository has it: its version, and the files that are not as they were copied (also those gone or new)."""

    version: str
    files: Mapping[str, bytes]
    altered: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleChanges:
    """What another library does to rules: those added with their level, removed, rewritten, and levels from and to."""

    added: Mapping[str, Level]
    removed: tuple[str, ...]
    rewritten: tuple[str, ...]
    levels: Mapping[str, tuple[Level, Level]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlaid:
    """A snapshot in which everything below `prefix` is replaced by `files`, by their path below it."""

    base: Tree
    prefix: str
    files: Mapping[str, bytes]

    @property
    def entries(self) -> Mapping[str, Entry]:
        """All files, as `Tree.entries`."""
        kept = {path: entry for path, entry in self.base.entries.items() if not path.startswith(self.prefix)}
        new = {self.prefix + name: Entry(oid=blob_id(data), mode=0o100644, size=len(data)) for name, data in self.files.items()}
        return dict(sorted({**kept, **new}.items()))

    def read(self, path: str) -> bytes:
        """Return a file's bytes, as `Tree.read`."""
        if path.startswith(self.prefix):
            return self.files[path.removeprefix(self.prefix)]
        return self.base.read(path)


def own_version() -> str:
    """Return the version of the library that ordain brings."""
    return version("ordain")


def brought() -> dict[str, bytes]:
    """Return the files of a copy of the library that ordain brings, the record included, by path below `policies/library/`."""
    root = directory("policies")
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted((root / "rules").rglob("*")) if path.is_file()}
    record = {"format": FORMAT, "version": own_version(), "files": {name: sha256(data) for name, data in files.items()}}
    return {**files, RECORD: (json.dumps(record, indent=2, sort_keys=True) + "\n").encode()}


def prefix(policies: str) -> str:
    """Return what the paths of a copy begin with in a repository whose rules are under `policies`."""
    return f"{policies}/{VENDORED}/"


def vendored(tree: Tree, policies: str) -> Vendored | None:
    """Return the copy that a snapshot has, None if it has none."""
    start = prefix(policies)
    files = {path.removeprefix(start): tree.read(path) for path in tree.entries if path.startswith(start)}
    if not files:
        return None
    stated, digests = _record(files.get(RECORD, b""))
    there = {name: sha256(data) for name, data in files.items() if name != RECORD}
    altered = sorted(name for name in {*there, *digests} if there.get(name) != digests.get(name))
    return Vendored(version=stated, files=files, altered=tuple(altered))


def _record(data: bytes) -> tuple[str, Mapping[str, str]]:
    """Return version and digests of a record; of one that can't be read nothing, so every file counts as altered."""
    try:
        record = json.loads(data)
        return str(record["version"]), {str(name): str(digest) for name, digest in record["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return UNKNOWN, {}


def rule_changes(before: Judge, after: Judge, old: Mapping[str, bytes], new: Mapping[str, bytes]) -> RuleChanges:
    """Return how two judges differ that have the libraries `old` and `new`, at the levels that the repository gives them."""
    both = before.rules.keys() & after.rules.keys()
    levels = {name: (before.level(name, "", ""), after.level(name, "", "")) for name in sorted(both)}
    return RuleChanges(
        added={name: after.level(name, "", "") for name in sorted(after.rules.keys() - both)},
        removed=tuple(sorted(before.rules.keys() - both)),
        rewritten=tuple(sorted(_rewritten(old, new) & both)),
        levels={name: pair for name, pair in levels.items() if pair[0] != pair[1]},
    )


def _rewritten(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> set[str]:
    """Return the ids of rules whose file differs."""
    files = [PurePosixPath(name) for name in old.keys() & new.keys() if old[name] != new[name]]
    return {f"{file.parts[1]}/{file.parts[2]}" for file in files if file.suffix == ".rego" and not file.stem.endswith("_test")}
