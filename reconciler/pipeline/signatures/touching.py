"""What a commit touches by itself: all that differs from its parent, or from the merge of its parents as anyone would make it."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass

import pygit2
from pygit2.enums import ObjectType

from reconciler.pipeline.manifests import SOURCES_DIRECTORY, Document, Layout, is_manifest, parse_file
from reconciler.pipeline.source import CommitInfo
from reconciler.pipeline.source.directories import TREE, Node, changes_between, find_node, read_object, size_of, tree_of

PARENTS = 2
"""Of a merge that can be made again; one of more parents counts as a change of all that it differs in from the first."""
LINES_LIMIT = 1024 * 1024
"""Bytes of a file in which the first changed line is looked for; larger ones are refused anyway."""
REGULAR_FILES = (0o100644, 0o100755, 0o100664)


@dataclass(frozen=True, slots=True, kw_only=True)
class Touch:
    """A path that a commit touches: what stood there before (in each parent), and after; None where nothing does."""

    before: tuple[Node | None, ...]
    after: Node | None


class History:
    """Reads what commits hold; the same file of many commits is read once."""

    def __init__(self, repository: pygit2.Repository, layouts: Iterable[Layout], prefix: str = "") -> None:
        """`prefix` is where the fleet repository lies in the git repository; what lies beside it is nobody's business."""
        self._repository, self.layouts, self.prefix = repository, tuple(layouts), prefix
        self._read: dict[tuple[str, str], tuple[Document, ...] | None] = {}

    def node(self, revision: str, path: str) -> Node | None:
        """Return the file at a path of the fleet repository in a commit or tree, None where there is none."""
        node = find_node(self._repository, tree_of(self._repository, revision), self.prefix + path)
        return node if node is not None and node[0] != TREE else None

    def by_itself(self, commit: CommitInfo) -> dict[str, Touch]:
        """Return what a commit touches, without what a merge only brings together."""
        parents = commit.parents
        merged = self._merged(parents) if len(parents) == PARENTS else None
        if merged is None:
            return self.since(parents[0] if parents else None, commit.sha, parents)
        tree, conflicts = merged
        found = self.since(tree, commit.sha, parents)
        for path in conflicts:
            found[path] = self._touch(path, parents, self.node(commit.sha, path))
        return found

    def since(self, old: str | None, new: str, parents: Iterable[str] = ()) -> dict[str, Touch]:
        """Return what differs between two commits or trees; `parents` are asked what stood there before, else `old`."""
        before = tree_of(self._repository, old) if old is not None else None
        changes = changes_between(self._repository, before, tree_of(self._repository, new))
        inside = ((path.removeprefix(self.prefix), was, now) for path, was, now in changes if path.startswith(self.prefix))
        listed = tuple(parents)
        return {path: self._touch(path, listed, now) if len(listed) > 1 else Touch(before=(was,), after=now) for path, was, now in inside}

    def _touch(self, path: str, parents: Iterable[str], after: Node | None) -> Touch:
        return Touch(before=tuple(self.node(parent, path) for parent in parents), after=after)

    def _merged(self, parents: tuple[str, ...]) -> tuple[str, list[str]] | None:
        """Return the tree that merging two commits gives, and the paths that conflict; None where it can't be made again."""
        with contextlib.suppress(pygit2.GitError, KeyError, ValueError):
            index = self._repository.merge_commits(parents[0], parents[1])
            conflicts = {one.path for entry in index.conflicts or () for one in entry if one is not None}
            for path in conflicts:
                del index.conflicts[path]
            tree = str(index.write_tree(self._repository))
            return tree, sorted(path.removeprefix(self.prefix) for path in conflicts if path.startswith(self.prefix))
        return None

    def kinds(self, path: str, touch: Touch) -> frozenset[str] | None:
        """Return the kinds that a path holds or held; none for what is no manifest, and None where one can't be read."""
        if not any(is_manifest(path, layout) for layout in self.layouts):
            inside = any(path.startswith((f"{layout.tenants}/", f"{layout.library}/")) for layout in self.layouts)
            return frozenset({"Component"} if inside and SOURCES_DIRECTORY in path.split("/")[:-1] else ())
        found: set[str] = set()
        for node in (*touch.before, touch.after):
            documents = self.documents(path, node)
            if documents is None:
                return None
            found.update(document.kind for document in documents)
        return frozenset(found)

    def first_change(self, touch: Touch) -> int:
        """Return the first line in which a file differs from what stood there, from 1; 1 too where it can't be told."""
        texts = []
        for node in (touch.before[0] if touch.before else None, touch.after):
            if node is None or node[0] not in REGULAR_FILES or size_of(self._repository, *node) > LINES_LIMIT:
                return 1
            texts.append(read_object(self._repository, node[1], ObjectType.BLOB).splitlines())
        old, new = texts
        same = next((index for index, (was, now) in enumerate(zip(old, new, strict=False)) if was != now), min(len(old), len(new)))
        return max(1, min(same + 1, len(new)))

    def documents(self, path: str, node: Node | None) -> tuple[Document, ...] | None:
        """Return the documents of a version of a file, None where it can't be read."""
        if node is None:
            return ()
        mode, oid = node
        if mode not in REGULAR_FILES:
            return None
        if (path, oid) not in self._read:
            parsed = parse_file(path, read_object(self._repository, oid, ObjectType.BLOB), oid)
            self._read[path, oid] = None if parsed.findings else parsed.documents
        return self._read[path, oid]
