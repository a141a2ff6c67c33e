"""What the control zone prunes below `public/`: old metadata, old rollout documents, and copies of what is offered no more.

What stays: all roots, since an agent follows them one by one; what the timestamp leads to, and what it led to within the rule's days;
rollout documents for longer, since `ordain why` and `ordain state` look back by them; copies of all that the newest list names, and of
what hosts run or may go back to. `records/` holds the numbers to go on above and what operators did: nothing of it goes.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from tuf.api.metadata import Snapshot, Targets

from agent.protocol.errors import MalformedError
from reconciler.publication import layout, metadata
from reconciler.publication.pruning.carrying import Needs
from reconciler.publication.pruning.listed import files_of, listed_at, newest_list
from reconciler.publication.pruning.rule import Rule
from reconciler.publication.published import Published, read_published
from reconciler.publication.returns import named_by, recorded
from reconciler.publication.store import Entry, Store

METADATA, DOCUMENTS = "metadata", "rollout documents"
ROLES = ("snapshot", "rollouts", "releases", "targets")
"""What has versions that go, each before what it refers to; a root never goes, and there is one timestamp."""
_KINDS = {"rollouts": DOCUMENTS, "bundles": "bundles", "members": "members"}
_Versions = Mapping[str, Mapping[int, datetime]]
_Signed = TypeVar("_Signed", Snapshot, Targets)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFleet:
    """One fleet's repository, as `publication.pruning.carrying.Subject`."""

    store: Store
    tenant: str
    fleet: str
    rule: Rule

    @property
    def name(self) -> str:
        """`<tenant>/<fleet>`."""
        return f"{self.tenant}/{self.fleet}"

    def entries(self) -> list[Entry]:
        """Return all files: snapshots first, then the roles that they name, then targets."""
        return sorted(self.store.entries(f"public/{self.name}/"), key=lambda one: (self._rank(one.key), one.key))

    def stamp(self) -> object:
        """Return what changes with each publication, and with each list that is about to be published."""
        stamped = (self._metadata("timestamp.json"), layout.record(self.tenant, self.fleet, "status.json"))
        return (newest_list(self.store, self.tenant, self.fleet), *(self.store.version(key) for key in stamped))

    def needs(self) -> Needs:
        """Return what is needed.

        Raises:
            MalformedError: what is published can't be read.
        """
        entries = self.entries()
        published = read_published(self.store, self.tenant, self.fleet)
        if published is None:
            return self._needs(frozenset(entry.key for entry in entries))
        versions = self._versions(entries)
        kept = self._kept_versions(published, versions)
        keys = {self._metadata(f"{version}.{role}.json") for role in ROLES for version in kept[role]}
        keys |= self._documents(entries)
        for version in kept["rollouts"] & versions["rollouts"].keys():
            listed = self._read("rollouts", version, Targets).targets
            keys |= {layout.target(self.tenant, self.fleet, path, str(file.hashes.get("sha256"))) for path, file in listed.items()}
        keys |= self._copies(kept["releases"] & versions["releases"].keys())
        return self._needs(frozenset(keys | self._returned(entries, published)))

    def _needs(self, keys: frozenset[str]) -> Needs:
        return Needs(keys=keys, kinds=self._kind, since=self.rule.since)

    def _kept_versions(self, published: Published, versions: _Versions) -> dict[str, set[int]]:
        """Return the versions of each role that stay: in use, not published yet, or named by a snapshot that stays."""
        current = {role: published.file(role).version for role in ROLES[1:]} | {"snapshot": published.timestamp.snapshot_meta.version}
        kept = {
            role: {*self.rule.in_use(versions[role], self.rule.since), *(number for number in versions[role] if number >= current[role])}
            for role in ROLES
        }
        for version in kept["snapshot"]:
            for name, file in self._read("snapshot", version, Snapshot).meta.items():
                kept.setdefault(name.removesuffix(".json"), set()).add(file.version)
        return kept

    def _documents(self, entries: list[Entry]) -> set[str]:
        """Return the rollout documents that people look back by: each counted until the next one was written."""
        found = sorted((one.written, one.key) for one in entries if self._kind(one.key) == DOCUMENTS)
        kept = self.rule.in_use(dict(enumerate(written for written, _ in found)), self.rule.trail)
        return {found[number][1] for number in kept}

    def _copies(self, versions: set[int]) -> set[str]:
        """Return the copies of all that these versions of releases list, and the newest, which may not be published yet."""
        places = [(layout.metadata(self.tenant, self.fleet), version) for version in versions]
        newest = newest_list(self.store, self.tenant, self.fleet)
        places += [(layout.approved(self.tenant, self.fleet), newest)] if newest else []
        listed = (item for prefix, version in places for item in listed_at(self.store, prefix, version).items())
        return {layout.target(self.tenant, self.fleet, path, sha256) for path, sha256 in listed}

    def _returned(self, entries: list[Entry], published: Published) -> set[str]:
        """Return the copies of releases that hosts run or may go back to, whatever lists them."""
        prefix, wanted = layout.targets(self.tenant, self.fleet), set[str]()
        for release in named_by(published) | recorded(self.store, self.tenant, self.fleet):
            wanted |= files_of(self.store, self.tenant, self.fleet, release)
        found = set()
        for entry in entries:
            directory, _, name = entry.key.removeprefix(prefix).partition("/")
            if f"{directory}/{name.partition('.')[2]}" in wanted:
                found.add(entry.key)
        return found

    def _versions(self, entries: list[Entry]) -> _Versions:
        found: dict[str, dict[int, datetime]] = defaultdict(dict)
        for entry in entries:
            version = layout.version_of(entry.key.removeprefix(self._metadata("")))
            if version:
                found[version[0]][version[1]] = entry.written
        return found

    def _read(self, role: str, version: int, kind: type[_Signed]) -> _Signed:
        key = self._metadata(f"{version}.{role}.json")
        data = self.store.get(key)
        if data is None:
            message = f"{key}: missing, though what is kept refers to it"
            raise MalformedError(message)
        return metadata.load(data, kind, what=key).signed

    def _metadata(self, name: str) -> str:
        return layout.metadata(self.tenant, self.fleet, name)

    def _kind(self, key: str) -> str:
        """Return what a file is; "" for roots, the timestamp, and what is none of ours."""
        version = layout.version_of(key.removeprefix(self._metadata("")))
        if version:
            return METADATA if version[0] in ROLES else ""
        prefix = layout.targets(self.tenant, self.fleet)
        return _KINDS.get(key.removeprefix(prefix).partition("/")[0], "") if key.startswith(prefix) else ""

    def _rank(self, key: str) -> int:
        version = layout.version_of(key.removeprefix(self._metadata("")))
        return ROLES.index(version[0]) if version and version[0] in ROLES else len(ROLES)
