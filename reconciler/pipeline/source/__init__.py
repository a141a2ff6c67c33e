"""Where the fleet repository comes from: a bare mirror, its commits and its trees.

Everything behind this door reads git objects as bytes. No hook, filter, attribute, submodule or
alternate of a repository is ever followed, and no file is checked out. What a repository holds is
hostile until later stages have judged it, so listings are bounded in number and depth.

News of it is in `watch`, which the loop alone imports: that takes a tenth of a check that finds nothing changed.
"""

from reconciler.pipeline.source.commits import CommitInfo, commits_between, descends, judge_steps
from reconciler.pipeline.source.directories import diff_trees, write_tree
from reconciler.pipeline.source.history import HistoryException, clear_exception, read_exception, write_exception
from reconciler.pipeline.source.location import Credentials, Location, locate
from reconciler.pipeline.source.mirror import Mirror, full_sha, mirror_path, open_repository, resolve
from reconciler.pipeline.source.ssh import SshAccess
from reconciler.pipeline.source.transfer import SourceLimits
from reconciler.pipeline.source.trees import CommitTree, PatchedTree

__all__ = [
    "CommitInfo",
    "CommitTree",
    "Credentials",
    "HistoryException",
    "Location",
    "Mirror",
    "PatchedTree",
    "SourceLimits",
    "SshAccess",
    "clear_exception",
    "commits_between",
    "descends",
    "diff_trees",
    "full_sha",
    "judge_steps",
    "locate",
    "mirror_path",
    "open_repository",
    "read_exception",
    "resolve",
    "write_exception",
    "write_tree",
]
