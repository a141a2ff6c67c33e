"""What is in force now, and who stands behind it: the last commit of each file, verified anew by the signers of today.

It changes nothing: what was published stays, whoever's key was stolen since. It says where to look.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

import pygit2

from reconciler.pipeline.acceptance.corpus import Corpus
from reconciler.pipeline.accepted import Doubt
from reconciler.pipeline.manifests import Document
from reconciler.pipeline.signatures.review import signers_of
from reconciler.pipeline.signatures.rights import Signed, judge, signed_by
from reconciler.pipeline.signatures.touching import History, Touch
from reconciler.pipeline.signatures.verifier import Verifier
from reconciler.pipeline.source import CommitInfo, commits_between

COMMITS_LIMIT = 10_000
"""Commits that are looked at, the newest: what is older is told to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """A commit whose versions of some files are those of today; `doubts` are those that it could not bring now."""

    commit: CommitInfo
    signer: str
    files: tuple[str, ...]
    doubts: dict[str, Doubt]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """All commits in force, the newest first, and the files that are older than what was looked at."""

    commits: tuple[InForce, ...]
    older: tuple[str, ...] = ()


def in_force(
    repository: pygit2.Repository,
    corpus: Corpus,
    head: str,
    *,
    now: datetime,
    since: str | None = None,
    pinned: tuple[Document, ...] = (),
    prefix: str = "",
) -> Standing:
    """Return who stands behind each file of a head whose snapshot is `corpus`, by its own signers.

    Files that no commit after `since` touched are nobody's to answer for: they are left out.

    Raises:
        RetryError: ssh-keygen or gpg is needed and can't be run.
        MalformedError: an object is missing or damaged.
    """
    history = History(repository, [corpus.layout], prefix)
    left = set(corpus.tree.entries)
    commits = commits_between(repository, since, head, limit=COMMITS_LIMIT, whole=True)
    last = list(_last(history, commits, left))
    signers = signers_of(corpus, pinned)
    with closing(Verifier()) as verifier:
        answers = verifier.verify(repository, [commit.sha for commit, _ in last], signers, now)
    found = [_in_force(signed_by(commit, answers[commit.sha], signers, now), touched, history) for commit, touched in last]
    return Standing(commits=tuple(found), older=tuple(sorted(left)) if since is None or len(commits) == COMMITS_LIMIT else ())


def _last(history: History, commits: list[CommitInfo], left: set[str]) -> Iterator[tuple[CommitInfo, dict[str, Touch]]]:
    """Yield each commit that was the last to touch some of the files in `left`, which are taken out."""
    for commit in reversed(commits):
        if not left:
            return
        if len(commit.parents) < 2 and left.isdisjoint(commit.paths) and not history.prefix:  # noqa: PLR2004 - no merge
            continue
        touched = {path: touch for path, touch in history.by_itself(commit).items() if path in left}
        if touched:
            left.difference_update(touched)
            yield commit, touched


def _in_force(signed: Signed, touched: dict[str, Touch], history: History) -> InForce:
    judged = {path: judge(signed, path, touch, history) for path, touch in sorted(touched.items())}
    doubts = {path: doubt for path, doubt in judged.items() if doubt is not None}
    return InForce(commit=signed.commit, signer=signed.name, files=tuple(judged), doubts=doubts)
