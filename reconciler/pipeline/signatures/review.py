"""What the signatures of a range refuse: the way in for the loop, for `ordain check` and for `ordain plan`."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

import pygit2

from reconciler.pipeline.acceptance.corpus import Corpus
from reconciler.pipeline.accepted import Doubt
from reconciler.pipeline.compile.world import may_stand
from reconciler.pipeline.descriptions import SIGNATURES, remedy_of
from reconciler.pipeline.finding import Finding, Place
from reconciler.pipeline.manifests import Document, Layout
from reconciler.pipeline.signatures.doubts import Doubts, spread
from reconciler.pipeline.signatures.reviewed import Review, required
from reconciler.pipeline.signatures.rights import Signed, judge, lacks_second, matches, merged_by, signed_by
from reconciler.pipeline.signatures.signers import SignerSet, signer_set
from reconciler.pipeline.signatures.switch import co_signed
from reconciler.pipeline.signatures.touching import History, Touch
from reconciler.pipeline.signatures.verifier import Verifier
from reconciler.pipeline.source import CommitInfo, commits_between, descends
from reconciler.pipeline.source.directories import Node
from reconciler.pipeline.tree import Difference

__all__ = ["RANGE_LIMIT", "TOUCHED_LIMIT", "Review", "required", "review", "signers_of"]

RANGE_LIMIT = 2000
"""Commits of a range that are verified, at 5 to 25 ms each; with more, all that they touch is refused."""

TOUCHED_LIMIT = 200_000
"""Files that all commits of a range may touch together: each may have to be read, and a first import has half as many."""


def signers_of(base: Corpus, pinned: tuple[Document, ...] = ()) -> SignerSet:
    """Return the signers that judge changes of this accepted state: the pinned ones first, then those in git where they may stand."""
    return signer_set((*pinned, *(one for one in base.objects.values() if one.kind == "Signer" and may_stand(one, base.layout))))


def review(
    repository: pygit2.Repository,
    base: Corpus,
    head: str,
    *,
    since: str | None,
    changed: Difference,
    layout: Layout,
    now: datetime,
    known: Doubts | None = None,
    pinned: tuple[Document, ...] = (),
    prefix: str = "",
    verifier: Verifier | None = None,
    trial: bool = False,
) -> Review:
    """Verify every commit of `head` that `since` does not have, by the signers of `base` and the pinned ones.

    `changed` is the difference from the accepted tree to the head's, `layout` how the head is read, `now` the time of the
    decision, by which keys are valid or not: a commit can claim any time. `known` are the doubts that earlier ranges left,
    and `prefix` is where the fleet repository lies in the git repository (`fleets/`). Where nothing was accepted before,
    or history was rewritten, the head stands for all that differs, as one commit. With `trial` a merge at the head that nobody
    signed counts for what it changes itself, as if it were to be made again by somebody who signs.

    Raises:
        RetryError: ssh-keygen or gpg is needed and missing, or takes too long.
        MalformedError: an object is missing or damaged.
    """
    if not required(base, pinned):
        return Review(required=False)
    case = _Case(
        repository,
        base,
        History(repository, dict.fromkeys((base.layout, layout)), prefix),
        signers_of(base, pinned),
        now,
        head if trial else "",
    )
    with closing(Verifier()) as own:
        asked = verifier or own
        if base.repository is not None and since is not None and descends(repository, since, head):
            signed = case.signed(asked, commits_between(repository, since, head, limit=RANGE_LIMIT + 1))
            doubts = case.doubts(signed, known or {}, changed)
        else:
            signed = case.signed(asked, commits_between(repository, None, head, limit=1))
            doubts = case.as_one(signed[0], changed)
    left = {path: doubt for path, doubt in doubts.items() if path in changed.touched}
    names = {one.commit.sha: one.name for one in signed if one.by}
    return Review(
        required=True, signers=names, findings=tuple(case.findings(left, head)), doubts=left, trial=any(case.tries(one) for one in signed)
    )


@dataclass(frozen=True, slots=True)
class _Case:
    """What a review looks at: git, the accepted state, and the signers that judge at a time."""

    repository: pygit2.Repository
    base: Corpus
    history: History
    signers: SignerSet
    now: datetime
    trial: str
    """The head, where it may be a trial."""

    def tries(self, one: Signed) -> bool:
        """Return whether a commit is a merge that a forge made to try it."""
        return one.commit.sha == self.trial and len(one.commit.parents) > 1 and not one.by

    def signed(self, verifier: Verifier, commits: Sequence[CommitInfo]) -> list[Signed]:
        """Return commits with those who signed them; past the limit nothing is verified."""
        if len(commits) > RANGE_LIMIT:
            return [Signed(commit=one, why="was not looked at") for one in commits]
        answers = verifier.verify(self.repository, [one.sha for one in commits], self.signers, self.now)
        return [signed_by(one, answers[one.sha], self.signers, self.now) for one in commits]

    def doubts(self, signed: Sequence[Signed], known: Doubts, changed: Difference) -> Doubts:
        """Return the doubts about files at the end of a range."""
        commits = [one.commit for one in signed]
        if len(commits) > RANGE_LIMIT:
            return _too_many(commits[-1].sha, changed, f"more than {RANGE_LIMIT} commits")
        touched: dict[str, dict[str, Touch]] = {}
        for one in signed:
            touched[one.commit.sha] = self._touched(one)
            if sum(map(len, touched.values())) > TOUCHED_LIMIT:
                return _too_many(commits[-1].sha, changed, f"more than {TOUCHED_LIMIT} changed files")
        bad = {one.commit.sha: self._bad(one, touched[one.commit.sha]) for one in signed}
        for sha, more in self._alone(signed, touched, bad).items():
            bad[sha] |= more
        return spread(commits, bad, known=known, touched=touched, node=self.history.node, accepted=self._accepted)

    def as_one(self, head: Signed, changed: Difference) -> Doubts:
        """Return the doubts where a head stands for all that differs."""
        node = self.history.node
        touched = {path: Touch(before=(self._accepted(path),), after=node(head.commit.sha, path)) for path in changed.touched}
        return self._bad(head, touched)

    def _touched(self, one: Signed) -> dict[str, Touch]:
        """Return what a commit touches; a merge that nobody signed, all that it brings in."""
        commit = one.commit
        if len(commit.parents) > 1 and not one.by and not self.tries(one):
            return self.history.since(commit.parents[0], commit.sha, commit.parents)
        return self.history.by_itself(commit)

    def _bad(self, one: Signed, touched: Mapping[str, Touch]) -> dict[str, Doubt]:
        found = ((path, judge(one, path, touch, self.history)) for path, touch in touched.items())
        return {path: doubt for path, doubt in found if doubt is not None}

    def _alone(
        self, signed: Sequence[Signed], touched: Mapping[str, Mapping[str, Touch]], bad: Mapping[str, Mapping[str, Doubt]]
    ) -> dict[str, dict[str, Doubt]]:
        """Return the doubts about what two must sign and one did."""
        globs = co_signed(self.base.repository)
        if not globs:
            return {}
        merges, found = merged_by(signed), dict[str, dict[str, Doubt]]()
        for one in signed:
            sha = one.commit.sha
            for path in [path for path in touched[sha] if path not in bad[sha] and matches(path, globs)]:
                doubt = lacks_second(one, path, touched[sha][path], self.history, merges.get(sha, ()))
                if doubt is not None:
                    found.setdefault(sha, {})[path] = doubt
        return found

    def findings(self, doubts: Doubts, head: str) -> Iterable[Finding]:
        """Yield a finding for each doubtful file, at the first line that differs from what is accepted."""
        for path, doubt in sorted(doubts.items()):
            rule = SIGNATURES + doubt.rule
            line = self.history.first_change(Touch(before=(self._accepted(path),), after=self.history.node(head, path)))
            place = Place(file=path, line=line, column=1)
            yield Finding(action="deny", rule=rule, code=rule, message=doubt.message, remedy=remedy_of(rule), place=place)

    def _accepted(self, path: str) -> Node | None:
        entry = self.base.tree.entries.get(path)
        return (entry.mode, entry.oid) if entry is not None else None


def _too_many(head: str, changed: Difference, what: str) -> Doubts:
    message = f"{what} came at once, so none of them was verified"
    return dict.fromkeys(changed, Doubt(rule="too-many", message=message, commit=head))
