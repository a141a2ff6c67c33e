"""What an auditor asks for besides: which exceptions are in force, and which commits nobody stands behind."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import datetime

import pygit2

from reconciler.pipeline.acceptance.corpus import Corpus
from reconciler.pipeline.backtest.history import Step
from reconciler.pipeline.compliance.shape import Unsigned, WaiverRow
from reconciler.pipeline.signatures.review import signers_of
from reconciler.pipeline.signatures.rights import signed_by
from reconciler.pipeline.signatures.verifier import Verifier
from reconciler.pipeline.source.commits import commit_info
from reconciler.pipeline.waivers import Waiver

VERIFIED_LIMIT = 1_000
"""Commits whose signatures are verified, the newest: a program runs for them."""


def unsigned(repository: pygit2.Repository, corpus: Corpus, steps: Sequence[Step], now: datetime) -> tuple[list[Unsigned], int]:
    """Return the commits that came with the steps and that no signer of today signed, newest first, and how many were not looked at.

    Raises:
        RetryError: ssh-keygen or gpg is needed and can't be run.
        MalformedError: a commit is missing or damaged.
    """
    every = {sha: step for step in steps for sha in step.brought}
    newest = sorted(every, key=lambda sha: (repository[sha].peel(pygit2.Commit).commit_time, sha), reverse=True)
    looked, known = newest[:VERIFIED_LIMIT], signers_of(corpus)
    with closing(Verifier()) as verifier:
        answers = verifier.verify(repository, looked, known, now)
    found = []
    for sha in looked:
        commit = commit_info(repository, repository[sha].peel(pygit2.Commit))
        signed = signed_by(commit, answers[sha], known, now)
        if not signed.by:
            found.append(Unsigned(commit=sha, time=commit.time, author=commit.author, subject=commit.subject, why=signed.why or "unsigned"))
    return found, len(newest) - len(looked)


def in_force(waivers: Iterable[Waiver], used: frozenset[str], now: str) -> tuple[WaiverRow, ...]:
    """Return the waivers that count now, the next to end first; `used` are the titles of those that excuse something."""
    counting = sorted((one for one in waivers if one.counts(now)), key=lambda one: (one.until, one.title))
    return tuple(
        WaiverRow(
            name=one.title,
            rule=one.rule,
            object=str(one.object),
            at=one.at or "all of it",
            owner=one.owner,
            reason=one.reason,
            until=one.until,
            file=one.place.file,
            used=one.title in used,
        )
        for one in counting
    )
