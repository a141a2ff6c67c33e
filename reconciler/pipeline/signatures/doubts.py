"""How far what nobody may have done reaches: from a bad commit along history, until a file is again what was accepted.

A later commit that is signed vouches for its own change and for nothing under it: who signs a new line of a file has not
looked at the others. So a doubt stays on a file, over merges and renames, until the file is as it was accepted, or a merge
takes it from a side without doubt.
"""

from collections.abc import Callable, Mapping, Sequence

from reconciler.pipeline.accepted import Doubt
from reconciler.pipeline.signatures.touching import Touch
from reconciler.pipeline.source import CommitInfo
from reconciler.pipeline.source.directories import Node

Doubts = Mapping[str, Doubt]
NodeAt = Callable[[str, str], Node | None]
"""What stands at (commit, path)."""


def spread(
    commits: Sequence[CommitInfo],
    bad: Mapping[str, Doubts],
    *,
    known: Doubts,
    touched: Mapping[str, Mapping[str, Touch]],
    node: NodeAt,
    accepted: Callable[[str], Node | None],
) -> Doubts:
    """Return the doubts at the last of these commits, which are in topological order, oldest first.

    `bad` are each commit's own, `known` those that were left by what was examined before, `touched` what each commit touches.
    """
    at: dict[str, Doubts] = {}

    def before(commit: str) -> Doubts:
        if commit not in at:  # examined before, or older still
            at[commit] = {path: doubt for path, doubt in known.items() if node(commit, path) != accepted(path)}
        return at[commit]

    for commit in commits:
        parents = [before(parent) for parent in commit.parents]
        own = {**_moved(touched.get(commit.sha, {}), parents, commit.parents, node), **bad.get(commit.sha, {})}
        found: dict[str, Doubt] = {}
        for path in {*own, *(path for one in parents for path in one)}:
            here = node(commit.sha, path)
            if here == accepted(path):
                continue
            if path in own:
                found[path] = own[path]
            elif not any(path not in one and node(sha, path) == here for sha, one in zip(commit.parents, parents, strict=True)):
                found[path] = next(one[path] for one in parents if path in one)
        at[commit.sha] = found
    return at[commits[-1].sha] if commits else known


def _moved(touched: Mapping[str, Touch], parents: Sequence[Doubts], shas: Sequence[str], node: NodeAt) -> dict[str, Doubt]:
    """Return the doubts of files that a commit makes of a doubtful one, by renaming or copying it."""
    held = {found: doubt for sha, one in zip(shas, parents, strict=True) for path, doubt in one.items() if (found := node(sha, path))}
    oids = {oid: doubt for (_, oid), doubt in held.items()}
    return {path: oids[touch.after[1]] for path, touch in touched.items() if touch.after is not None and touch.after[1] in oids}
