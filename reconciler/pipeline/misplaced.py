"""Files that look like manifests and are not read: in the wrong place, or with another ending than `.yaml` and `.yml`.

Whoever wrote one thinks that it counts, and nothing else would say that it doesn't. Sources (below `files/`), policies with their
examples, what begins with a dot, and texts for people are none.
"""

import re
from collections.abc import Iterable, Iterator

from reconciler.pipeline.finding import Finding, Place
from reconciler.pipeline.manifests import SOURCES_DIRECTORY, Layout, is_manifest
from reconciler.pipeline.reading import SIZE_LIMIT
from reconciler.pipeline.tree import Tree

SUFFIXES = (".yaml", ".yml", ".json")
FOR_PEOPLE = (".md", ".rst", ".adoc")
"""Endings of texts that may show a manifest."""
LOOKED_AT = 1024
"""Bytes in which a manifest has said what it is."""
_BEGINS = re.compile(rb"""^[ {]*["']?apiVersion["']?\s*:\s*["']?ordain\.dev/""", re.MULTILINE)


def misplaced(tree: Tree, paths: Iterable[str], layout: Layout) -> Iterator[Finding]:
    """Yield a warning for each of these paths that looks like a manifest and is not read as one."""
    for path in paths:
        if is_manifest(path, layout) or _is_other(path, layout):
            continue
        inside = path.startswith((layout.tenants + "/", layout.library + "/"))
        if (inside and path.lower().endswith(SUFFIXES)) or _says_so(tree, path):
            yield _finding(path, layout, inside=inside)


def _is_other(path: str, layout: Layout) -> bool:
    parts = path.split("/")
    return (
        path.startswith(layout.policies + "/")
        or SOURCES_DIRECTORY in parts[:-1]
        or any(part.startswith(".") for part in parts)
        or path.lower().endswith(FOR_PEOPLE)
    )


def _says_so(tree: Tree, path: str) -> bool:
    return tree.entries[path].size <= SIZE_LIMIT and _BEGINS.search(tree.read(path)[:LOOKED_AT]) is not None


def _finding(path: str, layout: Layout, *, inside: bool) -> Finding:
    where = f"it lies neither below {layout.tenants}/<tenant>/ nor below {layout.library}/"
    why = "manifests end in .yaml or .yml, in small letters" if inside else where
    name = re.sub(r"(?i)\.(?:yaml|yml|json)$", "", path.rpartition("/")[2])
    remedy = f"rename it to {name}.yaml" if inside else f"move it below {layout.tenants}/<tenant>/"
    rule = "manifest/misplaced-file"
    return Finding(
        action="warn",
        rule=rule,
        code=rule,
        message=f"this looks like a manifest and is not read: {why}",
        remedy=f"{remedy}; what is no manifest belongs below a directory named {SOURCES_DIRECTORY}",
        place=Place(file=path, line=1, column=1),
    )
