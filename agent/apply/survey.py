"""Looking at the host for a plan: what a release means here, what stands at its paths, and what the owner allows."""

import os
import time
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.apply.plan import Plan, implied, leaving, make_plan, parents, require_consistent
from agent.apply.saved import Originals
from agent.host import Host, Observed
from agent.protocol.errors import RefusedError
from agent.protocol.state import State
from agent.providers import artifacts, files
from agent.providers.files import DIRECTORY_MODE
from agent.providers.item import Item
from agent.settings import Allow

SETTLED_NANOSECONDS = 100_000_000
"""A file changed more recently may change again within the same tick of its clock, and would look the same."""


@dataclass(slots=True, kw_only=True)
class Digests:
    """Content digests by path, reused as long as inode, size and times stay: so that a look at rest reads no file."""

    known: dict[str, tuple[tuple[int, ...], str]] = field(default_factory=dict)

    def fill(self, host: Host, path: str, seen: Observed) -> Observed:
        """Return `seen` with the digest of the file's content."""
        fingerprint, digest = self.known.get(path, ((), ""))
        if fingerprint != seen.fingerprint:
            settled = time.time_ns() - max(seen.fingerprint[-2:]) > SETTLED_NANOSECONDS
            digest = host.digest(path)
            if settled:
                self.known[path] = (seen.fingerprint, digest)
        return replace(seen, digest=digest)


def desired_items(state: State, *, host: Host, tenant: str, agent: str) -> dict[str, Item]:
    """Return what a state means on this host, by path.

    Raises:
        RefusedError: a part of it can't be had here; the message says which and why.
    """
    wanted = [files.desired(file, host=host, tenant=tenant, agent=agent) for file in state.files]
    wanted += [artifacts.desired(artifact, host=host) for artifact in state.artifacts]
    items = {item.path: item for item in wanted}
    if len(items) != len(wanted):
        message = "the release holds one path twice"
        raise RefusedError(message)
    require_consistent(wanted)
    return items


def replaced(items: Mapping[str, Item], *, host: Host, known: Container[str], elsewhere: frozenset[str]) -> frozenset[str]:
    """Return the paths at which a directory must stand, also in the place of a link.

    These are directories that items declare, and those that they need where an earlier release put something else. Any
    other link above an item is the host's own, or another fleet's (`elsewhere`), and is followed.
    """
    declared = {item.path for item in items.values() if item.kind == "directory"}
    found = set(declared)
    for path in implied(items.values()):
        if path in known and path not in elsewhere and host.observe(path, replacing=frozenset(found)).kind in ("file", "symlink"):
            found.add(path)
    return frozenset(found)


def observe(
    host: Host, paths: Iterable[str], digests: Digests, *, content: frozenset[str], replacing: frozenset[str] = frozenset()
) -> dict[str, Observed]:
    """Return what stands at each path, with the digest of those files whose path is in `content`."""
    seen = {}
    for path in paths:
        found = host.observe(path, replacing=replacing)
        seen[path] = digests.fill(host, path, found) if found.kind == "file" and path in content else found
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
    planned = {**items, **{path: _directory(path) for path in replacing - items.keys()}}
    paths = {*planned, *implied(planned.values())}
    seen = observe(host, paths, digests, content=frozenset(items), replacing=replacing) | observe(host, gone, digests, content=frozenset())
    plan = make_plan(planned, seen, known, gone, replacing=replacing)
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
