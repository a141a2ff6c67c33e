"""What `ordain check` remembers from one run to the next, in one directory: $ORDAIN_CACHE/check, else ~/.cache/ordain/check.

Blob ids of files, values of manifests, OPA's reports on Rego, what rules said of objects, lines of what is shown; and the whole
outcome of the last checks of a repository, for when nothing changed at all. `ordain check --no-cache` goes without.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from reconciler.cli.report.outcome import Outcome
from reconciler.cli.sources import Base
from reconciler.pipeline.remembered.files import KnownFiles
from reconciler.pipeline.remembered.identity import identity
from reconciler.pipeline.remembered.sealed import Sealed
from reconciler.pipeline.tree import Tree

OUTCOMES = 8
"""Outcomes kept of one repository: with and without a base, and the revisions between which people go back and forth."""
VERDICTS_LIMIT = 20_000
"""Verdicts of an outcome that is kept; a repository with more has other worries."""
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An outcome, and whether it may be believed later; where change rules read the time, what they saw and said (a digest).

    It holds from `at` on, up to `until` where that is not empty.
    """

    outcome: Outcome
    lasting: bool
    change: dict[str, Any] | None = None
    said: str = ""
    at: str = ""
    until: str = ""

    def holds(self, now: str) -> bool:
        """Return whether it may still be believed, as far as ends of waivers and dates of rules go."""
        return self.at <= now and (not self.until or now < self.until)


class Reports:
    """OPA's reports on Rego files that it found no fault with (see `policy.checking`)."""

    def __init__(self, sealed: Sealed) -> None:
        self._sealed = sealed

    def get(self, key: str) -> bytes | None:
        """Return a report."""
        return self._sealed.read(f"rego-{key}")

    def put(self, key: str, report: bytes) -> None:
        """Keep a report."""
        self._sealed.write(f"rego-{key}", report)


class Memory:
    """What is remembered of the fleet repository at `root`."""

    def __init__(self, directory: Path, root: Path) -> None:
        """Keep it in `directory`, which is made when there is something to keep."""
        self.sealed = Sealed(directory)
        self.reports = Reports(self.sealed)
        self.place = hashlib.sha256(str(root.resolve()).encode(errors="surrogateescape")).hexdigest()[:32]
        self.files = KnownFiles(self.sealed, f"files-{self.place}")
        self.told = "outcome worked out"

    def recall(self, key: str) -> Kept | None:
        """Return the outcome of an earlier check of the very same thing."""
        return self._outcomes().get(key)

    def keep(self, key: str, kept: Kept) -> None:
        """Keep an outcome, in place of the oldest; one that names a file whose name is no UTF-8 can't be written down."""
        verdicts = kept.outcome.verdicts
        if len(verdicts) <= VERDICTS_LIMIT and not any(_SURROGATE.search(one.file) for one in verdicts):
            earlier = {name: one for name, one in self._outcomes().items() if name != key}
            latest = dict(list(earlier.items())[-(OUTCOMES - 1) :]) | {key: kept}
            self.sealed.write(f"outcome-{self.place}", msgspec.msgpack.encode(latest))

    def _outcomes(self) -> dict[str, Kept]:
        return self.sealed.decoded(f"outcome-{self.place}", dict[str, Kept])


def request_key(tree: Tree, revision: str | None, base: Base | None, opa: Path, prefix: str) -> str:
    """Return a digest of all that an outcome depends on, but for the time."""
    status = opa.stat()
    commits = [dict(commit) for commit in base.commits] if base is not None else []
    started = [base.revision, content_of(base.tree), commits] if base is not None else None
    parts = [identity(), str(opa.resolve()), status.st_size, status.st_mtime_ns, prefix, revision, content_of(tree), started]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def content_of(tree: Tree) -> str:
    """Return a digest of a snapshot: the paths, modes and contents of all its files."""
    digest = hashlib.sha256()
    for path, entry in tree.entries.items():
        digest.update(f"{entry.mode:o} {entry.oid} {path}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()


def said_of(findings: Iterable[Mapping[str, str]]) -> str:
    """Return a digest of what change rules said, in whatever order."""
    return hashlib.sha256(json.dumps(sorted(json.dumps(one, sort_keys=True) for one in findings)).encode()).hexdigest()
