"""What an auditor asks for besides: which exceptions are in force, and which commits nobody stands behind."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

import pygit2

from reconciler.pipeline.backtest.history import Step
from reconciler.pipeline.compliance.shape import Unsigned, WaiverRow
from reconciler.pipeline.signatures.rights import signed_by
from reconciler.pipeline.signatures.signers import SignerSet
from reconciler.pipeline.signatures.since import turned_on
from reconciler.pipeline.signatures.verifier import Verifier
from reconciler.pipeline.source.commits import commit_info
from reconciler.pipeline.waivers import Waiver

VERIFIED_LIMIT = 1_000
"""Commits whose signatures are verified, the newest: a program runs for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """The commits that nobody who counts has signed, newest first, and how many were left out.

    `older` are beyond the bound; `earlier` came in before signatures were turned on, by `since` (empty where that is not known).
    """

    unsigned: tuple[Unsigned, ...] = ()
    older: int = 0
    earlier: int = 0
    since: str = ""


def look(repository: pygit2.Repository, head: str, steps: Sequence[Step], known: SignerSet, *, now: datetime, prefix: str = "") -> Looked:
    """Look at who signed the commits that came with the steps, by the signers of today.

    Raises:
        RetryError: ssh-keygen or gpg is needed and can't be run.
        MalformedError: a commit is missing or damaged.
    """
    every = {sha for step in steps for sha in step.brought}
    begun = turned_on(repository, head, prefix)
    before = {str(one.id) for one in repository.walk(begun.commit)} & every if begun is not None else set()
    newest = sorted(every - before, key=lambda sha: (repository[sha].peel(pygit2.Commit).commit_time, sha), reverse=True)
    looked = newest[:VERIFIED_LIMIT]
    with closing(Verifier()) as verifier:
        answers = verifier.verify(repository, looked, known, now)
    found = []
    for sha in looked:
        commit = commit_info(repository, repository[sha].peel(pygit2.Commit))
        signed = signed_by(commit, answers[sha], known, now)
        if not signed.by:
            found.append(Unsigned(commit=sha, time=commit.time, author=commit.author, subject=commit.subject, why=signed.why or "unsigned"))
    since = begun.commit if begun is not None else ""
    return Looked(unsigned=tuple(found), older=len(newest) - len(looked), earlier=len(before), since=since)


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
