"""Looking at the host for a plan: what a release means here, what stands at its paths, and what the owner allows."""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.apply.plan import Plan, implied, leaving, make_plan, parents, require_consistent
from agent.apply.saved import Originals
from agent.archives import trees
from agent.fetching.cache import Cache
from agent.host import Host, Observed
from agent.owner.allow import Allow
from agent.protocol import codec
from agent.protocol.errors import RefusedError
from agent.protocol.state import HostFile, State
from agent.providers import artifacts, files
from agent.providers.files import DIRECTORY_MODE
from agent.providers.item import NOBODY, Coming, Item
from agent.secrets.filling import NOTHING, Filling

SETTLED_NANOSECONDS = 100_000_000
"""A file changed more recently may change again within the same tick of its clock, and would look the same."""


ANEW_SHARE = 0.001
"""Of a core, for contents that are read again though nothing says that they changed."""
ROUND_SECONDS = 3600.0
"""Between two rounds of that."""


@dataclass(slots=True, kw_only=True)
class Digests:
    """Content digests by path, reused as long as inode, size and times stay: so that a look at rest reads no file."""

    known: dict[str, tuple[tuple[int, ...], str]] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic
    _costs: dict[str, float] = field(default_factory=dict)
    """Path → seconds of processor time that it took to read last."""
    _turn: list[str] = field(default_factory=list)
    """What of this round is still to be read anew."""
    _round: float = 0.0
    _looked: float | None = None
    _credit: float = 0.0

    def read_anew(self) -> None:
        """Have a slice of what is known read again at the next look, however it looks: a disk may rot, and a clock be turned back.

        All of it once within an hour, or as often as a thousandth of a core allows.
        """
        now = self.clock()
        if self._looked is None:
            self._looked = self._round = now
        self._credit = min(self._credit + (now - self._looked) * ANEW_SHARE, max([1.0, *self._costs.values()]))
        self._looked = now
        if not self._turn and now - self._round >= ROUND_SECONDS:
            self._turn, self._round = sorted(self.known), now
        while self._turn and self._costs.get(self._turn[-1], 0.0) <= self._credit:
            path = self._turn.pop()
            self._credit -= self._costs.pop(path, 0.0)
            self.known.pop(path, None)

    def fill(self, host: Host, path: str, seen: Observed) -> Observed:
        """Return `seen` with the digest of the file's content."""
        return replace(seen, digest=self._digest(path, seen.fingerprint, max(seen.fingerprint[-2:]), lambda: host.digest(path)))

    def fill_tree(self, host: Host, path: str, seen: Observed, owner: trees.Owner) -> Observed:
        """Return the directory `seen` as a tree with the digest of its listing; everything in it should have this owner."""
        with host.directory(path) as descriptor:
            changing, latest = trees.fingerprint(descriptor)
            fingerprint = (changing, *(-1 if one is None else one for one in owner))
            digest = self._digest(path, fingerprint, latest, lambda: codec.sha256(trees.encoded(trees.listing(descriptor, owner))))
        return replace(seen, kind="tree", digest=digest)

    def _digest(self, path: str, fingerprint: tuple[int, ...], latest: int, read: Callable[[], str]) -> str:
        known, digest = self.known.get(path, ((), ""))
        if known != fingerprint:
            settled = time.time_ns() - latest > SETTLED_NANOSECONDS
            begun = time.thread_time()
            digest = read()
            if settled:
                self._costs[path] = time.thread_time() - begun
                self.known[path] = (fingerprint, digest)
        return digest


def desired_items(
    state: State, *, host: Host, cache: Cache, tenant: str, agent: str, coming: Coming = NOBODY, filling: Filling = NOTHING
) -> dict[str, Item]:
    """Return what a state means on this host, by path.

    Raises:
        RefusedError: a part of it can't be had here; the message says which and why.
    """
    wanted = [files.desired(file, host=host, tenant=tenant, agent=agent, coming=coming, filling=filling) for file in state.files]
    wanted += [artifacts.desired(artifact, host=host, tree_digest=cache.tree_digest, coming=coming) for artifact in state.artifacts]
    items = {item.path: item for item in wanted}
    if len(items) != len(wanted):
        message = "the release holds one path twice"
        raise RefusedError(message)
    require_consistent(wanted)
    return items


def replaced(items: Mapping[str, Item], *, host: Host, originals: Originals, elsewhere: frozenset[str]) -> frozenset[str]:
    """Return the paths at which a directory must stand, also in the place of a link; with a `/` at its end, of a tree.

    These are directories that items declare, and those that they need where an earlier release put something else. Any
    other link above an item is the host's own, or another fleet's (`elsewhere`), and is followed.
    """
    known, held = originals.read(), originals.trees()
    declared = {item.path for item in items.values() if item.kind == "directory"}
    found = set(declared)
    for path in implied(items.values()):
        if path not in known or path in elsewhere:
            continue
        if path in held or host.observe(path, replacing=frozenset(found)).kind in ("file", "symlink"):
            found.add(path)
    return frozenset(found | {f"{path}/" for path in found & held})


def observe(
    host: Host, items: Mapping[str, Item], paths: Iterable[str], digests: Digests, *, held: AbstractSet[str], replacing: frozenset[str]
) -> dict[str, Observed]:
    """Return what stands at each path, with the digest of what items are; `held` are paths at which ordain holds a tree."""
    seen = {}
    for path in paths:
        found = host.observe(path, replacing=replacing)
        item = items.get(path)
        if found.kind == "directory" and path in held:
            compared = item is not None and item.kind == "tree"
            found = digests.fill_tree(host, path, found, item.owner) if item and compared else replace(found, kind="tree")
        elif found.kind == "file" and item is not None:
            found = digests.fill(host, path, found)
        seen[path] = found
    return seen


def require_allowed(
    items: Mapping[str, Item], *, host: Host, allow: Allow, own: Iterable[Path], replacing: frozenset[str] = frozenset()
) -> None:
    """Check every path, as written and with links resolved, and every check's program, against the host's owner.

    `own` are the agent's files on the machine: no bundle may touch them, else it could give itself leave.

    Raises:
        RefusedError: naming the line of `agent.toml`.
    """
    places: dict[str, str] = {}
    for item in items.values():
        resolved = host.resolve(item.path, replacing=replacing)
        why = allow.refuse_path(item.provider, item.path) or allow.refuse_path(item.provider, resolved) or _own(host, resolved, own)
        if item.check:
            why = why or allow.refuse_command(item.check[0].removeprefix("{staged:").removesuffix("}"))
        if why is not None:
            raise RefusedError(why)
        if places.setdefault(resolved, item.path) != item.path:
            message = f"{item.path} and {places[resolved]} are the same place, {resolved}, on this host"
            raise RefusedError(message)


def require_blocks_allowed(blocks: Iterable[HostFile], *, host: Host, allow: Allow, own: Iterable[Path]) -> None:
    """Check the file of each block of lines likewise: a release may have laid the link that its path goes through.

    Raises:
        RefusedError: naming the line of `agent.toml`.
    """
    for block in blocks:
        resolved = host.resolve(block.path)
        why = allow.refuse_path("hostFiles", resolved) or _own(host, resolved, own)
        if why is not None:
            raise RefusedError(why)


def _own(host: Host, resolved: str, own: Iterable[Path]) -> str | None:
    outside = os.path.realpath(host.outside(resolved).parent) + "/" + resolved.rpartition("/")[2]
    for path in own:
        mine = os.path.realpath(path)
        if outside == mine or outside.startswith(mine + "/"):
            return f"{resolved} is the agent's own ({mine}); no bundle may touch it"
    return None


def plan_for(
    items: Mapping[str, Item],
    *,
    host: Host,
    originals: Originals,
    digests: Digests,
    claimed: Iterable[frozenset[str]],
    replacing: frozenset[str],
) -> Plan:
    """Return what it takes to bring the host to `items`; `claimed` are the claims of all fleets, this one's new ones included.

    Raises:
        RefusedError: something stands in the way that ordain must not remove.
    """
    known = originals.read()
    gone = leaving(known, claimed)
    needed = {path for path in replacing if not path.endswith("/")}
    planned = {**items, **{path: _directory(path) for path in needed - items.keys()}}
    paths = {*planned, *implied(planned.values())}
    held = originals.trees()
    seen = observe(host, items, paths, digests, held=held, replacing=replacing)
    seen |= observe(host, {}, gone, digests, held=held, replacing=frozenset())
    plan = make_plan(planned, seen, known, gone, replacing=replacing, held=held)
    _require_clear(host, plan, seen)
    return plan


def _directory(path: str) -> Item:
    """Return the directory that must take the place of what an earlier release put there."""
    return Item(path=path, provider="files", kind="directory", mode=DIRECTORY_MODE)


def _require_clear(host: Host, plan: Plan, seen: Mapping[str, Observed]) -> None:
    going = {action.path for action in plan.actions if action.kind == "remove"}
    for action in plan.actions:
        if action.kind != "remove" or action.item is None or seen[action.path].kind != "directory":
            continue
        inside = [name for name in host.entries(action.path) if f"{action.path}/{name}" not in going]
        if inside:
            message = f"{action.path} is a directory with {inside[0]} in it, which ordain does not manage; move it away"
            raise RefusedError(message)
    for path in {above for action in plan.actions if action.kind in ("put", "mkdir") for above in parents(action.path)}:
        found = seen.get(path)
        if found is not None and found.kind == "file" and path not in going:
            message = f"{path} is a file here, and the release needs a directory"
            raise RefusedError(message)
