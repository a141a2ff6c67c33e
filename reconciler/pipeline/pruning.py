"""What the pipeline prunes below `approved/`: bundles and members that no list names any more, and old lists.

What stays: all that is listed, what was within the rule's days, what the rollout document and `serve`'s record name, and with each file
that stands published the list that says it was approved, so that `ordain audit verify` finds nothing unexplained. Decisions and git
objects are the trail, and stay; so do artifacts, controls and rules about operators.
"""

from dataclasses import dataclass
from datetime import datetime

from agent.protocol import bundle, codec, rollout
from reconciler.pipeline.trail.released import published as rollout_documents
from reconciler.publication import layout
from reconciler.publication.pruning.carrying import Needs
from reconciler.publication.pruning.listed import Listed, files_of, listed_at, newest_list
from reconciler.publication.pruning.rule import Rule
from reconciler.publication.published import read_published
from reconciler.publication.releases import ROLE
from reconciler.publication.returns import named_by, recorded
from reconciler.publication.store import Entry, Store

LISTS = "lists of releases"
_KINDS = {"bundles": "bundles", "members": "members"}
_Wanted = set[tuple[str, str]]
"""Target paths, each with the SHA-256 of its bytes, or with "" where any will do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovedFleet:
    """One fleet's approved files, as `publication.pruning.carrying.Subject`."""

    store: Store
    tenant: str
    fleet: str
    rule: Rule
    absent: frozenset[str] = frozenset()
    """Published files that are about to go, by key: nothing needs to explain them any more."""

    @property
    def name(self) -> str:
        """`<tenant>/<fleet>`."""
        return f"{self.tenant}/{self.fleet}"

    @property
    def prefix(self) -> str:
        """Where they stand."""
        return layout.approved(self.tenant, self.fleet)

    def entries(self) -> list[Entry]:
        """Return all files, lists last: of a list that still stands, what it names may be gone."""
        return sorted(self.store.entries(self.prefix), key=lambda one: (self._kind(one.key) == LISTS, one.key))

    def stamp(self) -> object:
        """Return what changes with each list, rollout document and record."""
        stamped = (layout.metadata(self.tenant, self.fleet, "timestamp.json"), layout.record(self.tenant, self.fleet, "status.json"))
        return (newest_list(self.store, self.tenant, self.fleet), *(self.store.version(key) for key in stamped))

    def needs(self) -> Needs:
        """Return what is needed.

        Raises:
            MalformedError: what is approved or published can't be read.
        """
        written = {number: entry.written for entry in self.entries() if (number := self._number(entry.key))}
        if not written:
            return self._needs(frozenset(entry.key for entry in self.entries()))
        published = read_published(self.store, self.tenant, self.fleet)
        offered = {published.file(ROLE).version} if published else set()
        in_use = (self.rule.in_use(written, self.rule.since) | offered) & written.keys()
        paths = {path for version in in_use for path in listed_at(self.store, self.prefix, version)}
        for version in offered - in_use:  # what is approved was restored from a backup, and agents know of more
            paths |= listed_at(self.store, layout.metadata(self.tenant, self.fleet), version).keys()
        for release in named_by(published) | recorded(self.store, self.tenant, self.fleet):
            paths |= files_of(self.store, self.tenant, self.fleet, release)
        lists = in_use | self.rule.in_use(written, self.rule.trail)
        lists |= self._telling(lists, written)
        return self._needs(frozenset(self.prefix + name for name in (*paths, *(f"{version}.{ROLE}.json" for version in lists))))

    def _needs(self, keys: frozenset[str]) -> Needs:
        return Needs(keys=keys, kinds=self._kind, since=self.rule.since)

    def _telling(self, lists: set[int], written: dict[int, datetime]) -> set[int]:
        """Return the lists beside these without which something that stands published would be unexplained."""
        older = sorted(written.keys() - lists, reverse=True)
        left = self._published() if older else set()
        found: set[int] = set()
        for version in (*sorted(lists, reverse=True), *older):
            if not left:
                break
            told = _told(listed_at(self.store, self.prefix, version))
            if left & told:
                found.add(version)
                left -= told
        return found

    def _published(self) -> _Wanted:
        """Return what stands published: copies of targets, and the bundles that rollout documents name."""
        prefix = layout.targets(self.tenant, self.fleet)
        copies = (key.removeprefix(prefix).split("/", 1) for key in self.store.list(prefix) if key not in self.absent)
        found = {(f"{kind}/{name.partition('.')[2]}", name.partition(".")[0]) for kind, name in copies if kind in _KINDS}
        for one in rollout_documents(self.store, self.name):
            sha256 = codec.sha256(codec.canonical(one.document))
            if layout.target(self.tenant, self.fleet, rollout.target(self.fleet), sha256) not in self.absent:
                named = (one.document.stable, one.document.candidate)
                found |= {(bundle.target(self.fleet, release.digest), "") for release in named if release}
        return found

    def _kind(self, key: str) -> str:
        if self._number(key):
            return LISTS
        return _KINDS.get(key.removeprefix(self.prefix).partition("/")[0], "")

    def _number(self, key: str) -> int:
        """Return the version of a list, 0 of any other file."""
        version = layout.version_of(key.removeprefix(self.prefix))
        return version[1] if version and version[0] == ROLE else 0


def _told(listed: Listed) -> _Wanted:
    return {(path, said) for path, sha256 in listed.items() for said in (sha256, "")}
