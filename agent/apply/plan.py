"""What an apply would change, decided purely: wanted items and what was seen go in, ordered actions come out.

A fleet claims the paths that its state declares and the directories above them. What ordain manages and no fleet claims
any more is let go: what stood there before ordain came is put back, and where nothing stood, nothing stays. A path that
another fleet's release holds is left for it in place. Directories go only when they are empty, and only if ordain made them.

Order: what goes, deepest first; then directories, shallowest first; then all else.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from agent.apply.saved import Saved
from agent.host import Observed
from agent.protocol.errors import RefusedError
from agent.protocol.state import State
from agent.providers.files import DIRECTORY_MODE
from agent.providers.item import Item, differences


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One change at one path. `put` brings `item`, or `original` where what stood there before ordain comes back."""

    path: str
    kind: Literal["mkdir", "put", "attributes", "remove"]
    why: tuple[str, ...]
    item: Item | None = None
    original: Saved | None = None
    cleared: bool = False
    """Whether an action before this one removes what stands at the path."""
    aside: bool = False
    """Whether a tree stands at the path: it is put aside as a whole, and removed once all has happened."""

    @property
    def brings_tree(self) -> bool:
        """Whether it puts an unpacked artifact there."""
        return self.kind == "put" and self.item is not None and self.item.kind == "tree"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Actions in the order in which they switch; `adopted` are paths taken over, `released` paths let go.

    `replacing` are the places that directories hold, or take from links and trees. `unpacked` are the paths at which ordain
    holds a tree from now on, `emptied` those at which it no longer does.
    """

    actions: tuple[Action, ...]
    adopted: tuple[str, ...]
    released: tuple[str, ...]
    replacing: frozenset[str]
    unpacked: tuple[str, ...] = ()
    emptied: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing changes, on the host or in what ordain knows of it."""
        return not (self.actions or self.adopted or self.released or self.unpacked or self.emptied)


def parents(path: str) -> list[str]:
    """Return the directories above a path, nearest the root first, without the root."""
    parts = path.split("/")[1:-1]
    return ["/" + "/".join(parts[: count + 1]) for count in range(len(parts))]


def declared(state: State) -> frozenset[str]:
    """Return the paths that a state declares."""
    return frozenset([*(file.path for file in state.files), *(artifact.path for artifact in state.artifacts)])


def trees_of(state: State) -> frozenset[str]:
    """Return the paths of a state's unpacked artifacts: what lies below is theirs."""
    return frozenset(artifact.path for artifact in state.artifacts if artifact.unpack is not None)


def within(paths: Iterable[str], trees: frozenset[str]) -> frozenset[str]:
    """Return those of `paths` that lie below one of `trees`."""
    return frozenset(path for path in paths if not trees.isdisjoint(parents(path))) if trees else frozenset()


def claims(state: State) -> frozenset[str]:
    """Return the paths that a state declares and the directories above those that it wants to be there."""
    present = [file.path for file in state.files if not file.absent] + [artifact.path for artifact in state.artifacts]
    return declared(state).union(*(parents(path) for path in present)) if present else declared(state)


def require_consistent(items: Iterable[Item]) -> None:
    """Raise `RefusedError` if an item would lie below something that the same release makes no directory."""
    kinds = {item.path: item.kind for item in items}
    for item in items:
        for above in parents(item.path):
            if item.kind != "absent" and kinds.get(above, "directory") != "directory":
                shown = "an unpacked artifact, whole as it is" if kinds[above] == "tree" else kinds[above]
                message = f"{item.path} lies below {above}, which the same release makes {shown}"
                raise RefusedError(message)


def leaving(originals: Mapping[str, Saved], claimed: Iterable[frozenset[str]]) -> list[str]:
    """Return the managed paths that no fleet claims any more."""
    kept = frozenset().union(*claimed)
    return sorted(path for path in originals if path not in kept)


def implied(items: Iterable[Item]) -> list[str]:
    """Return the directories that items need above them and that no item declares."""
    listed = list(items)
    names = {item.path for item in listed}
    needed = {above for item in listed if item.kind != "absent" for above in parents(item.path)}
    return sorted(needed - names)


def make_plan(
    items: Mapping[str, Item],
    seen: Mapping[str, Observed],
    originals: Mapping[str, Saved],
    gone: Iterable[str],
    *,
    replacing: frozenset[str] = frozenset(),
    held: frozenset[str] = frozenset(),
) -> Plan:
    """Return what to do. `seen` has every item, every implied directory and every path that goes; `held` are trees of now.

    Raises:
        RefusedError: something stands in the way that ordain must not remove.
    """
    going = list(gone)
    removals = [action for path in going for action in _let_go(path, seen[path], originals[path])]
    changes = [action for item in items.values() for action in _change(item, seen[item.path])]
    made = [Action(path=path, kind="mkdir", why=("needed",)) for path in implied(items.values()) if seen[path].kind == "absent"]
    adopted = [path for path in [*items, *(action.path for action in made)] if path not in originals]
    trees = {path for path, item in items.items() if item.kind == "tree"}
    return Plan(
        actions=tuple(_ordered([*removals, *changes, *made])),
        adopted=tuple(sorted(adopted)),
        released=tuple(going),
        replacing=replacing,
        unpacked=tuple(sorted(trees - held)),
        emptied=tuple(sorted((held - trees) & items.keys())),
    )


def _let_go(path: str, seen: Observed, original: Saved) -> list[Action]:
    why = ("leaves the release",)
    if seen.kind == "tree":
        back: Literal["mkdir", "put"] = "mkdir" if original.kind == "directory" else "put"
        comes_back = [Action(path=path, kind=back, why=(*why, "what was here before comes back"), original=original, cleared=True)]
        return [Action(path=path, kind="remove", why=why, aside=True), *(comes_back if original.kind != "absent" else [])]
    if original.kind == "directory":
        if seen.kind != "directory":
            return []
        same = (seen.mode, seen.uid, seen.gid) == (original.mode, original.uid, original.gid)
        return [] if same else [Action(path=path, kind="attributes", why=why, original=original)]
    if original.kind == "absent":
        return [] if seen.kind in ("absent", "other") else [Action(path=path, kind="remove", why=why)]
    if seen.kind in ("directory", "other") or seen.parent_missing:
        return []
    return [Action(path=path, kind="put", why=(*why, "what was here before comes back"), original=original)]


def _change(item: Item, seen: Observed) -> list[Action]:
    why = differences(item, seen)
    if not why:
        return []
    if seen.kind == "other":
        message = f"{item.path} is a device, pipe or socket here, which ordain does not replace; move it away"
        raise RefusedError(message)
    if item.kind == "absent":
        return [Action(path=item.path, kind="remove", why=why, item=item)]
    kind: Literal["mkdir", "put"] = "mkdir" if item.kind == "directory" else "put"
    if why == ("type",):
        crossing = not {"directory", "tree"}.isdisjoint({seen.kind, item.kind})
        clear = [Action(path=item.path, kind="remove", why=why, item=item, aside=seen.kind == "tree")] if crossing else []
        return [*clear, Action(path=item.path, kind=kind, why=why, item=item, cleared=crossing)]
    if why == ("missing",) or not {"mode", "owner"}.issuperset(why) or item.kind == "symlink":
        return [Action(path=item.path, kind=kind, why=why, item=item, aside=seen.kind == "tree")]
    return [Action(path=item.path, kind="attributes", why=why, item=item)]


def _ordered(actions: Iterable[Action]) -> list[Action]:
    def place(action: Action) -> tuple[int, int, str]:
        depth = action.path.count("/")
        if action.kind == "remove":
            return 0, -depth, action.path
        return (1, depth, action.path) if action.kind == "mkdir" else (2, depth, action.path)

    return sorted(actions, key=place)


def attributes(action: Action) -> tuple[int, tuple[int | None, int | None]]:
    """Return mode and owner that an action gives."""
    if action.item is not None:
        return action.item.mode, action.item.owner
    if action.original is not None:
        return action.original.mode, (action.original.uid, action.original.gid)
    return DIRECTORY_MODE, (None, None)
