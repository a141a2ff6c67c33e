"""What is wrong with one commit: who signed it, against what it touches. Pure, but for reading the files that it touches."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from reconciler.pipeline.accepted import Doubt
from reconciler.pipeline.manifests import Layout, is_judge, is_signers
from reconciler.pipeline.policy.levels import pattern
from reconciler.pipeline.signatures.signers import Principal, SignerSet, principal
from reconciler.pipeline.signatures.touching import History, Touch
from reconciler.pipeline.signatures.verifier import Answer
from reconciler.pipeline.source import CommitInfo

SHORT = 12
"""Characters of a commit in a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A commit and those whose key signed it (several, where a key stands in several manifests); nobody, and `why`."""

    commit: CommitInfo
    by: tuple[Principal, ...] = ()
    why: str = ""
    unsigned: bool = False

    @property
    def name(self) -> str:
        """The signer's name; of several that of the whole repository, else the first."""
        return min((one.tenant != "", one.name) for one in self.by)[1] if self.by else ""

    @property
    def shown(self) -> str:
        """The commit, as messages name it."""
        return f"commit {self.commit.sha[:SHORT]}"


def signed_by(commit: CommitInfo, answer: Answer, signers: SignerSet, now: datetime) -> Signed:
    """Return a commit with those who signed it, of a set of signers at a time."""
    by, ended = signers.of(answer.names, now)
    why = answer.why or (f"counts for nothing: {ended}" if ended else "is by a key that no signer states")
    return Signed(commit=commit, by=tuple(by), why="" if by else why, unsigned=answer.unsigned)


def judge(signed: Signed, path: str, touch: Touch, history: History) -> Doubt | None:
    """Return what is wrong with a commit's touching a path, None if its signer may."""
    if not signed.by:
        author = f" by {signed.commit.author}" if signed.commit.author else ""
        rule = "unsigned" if signed.unsigned else "unverified"
        return _doubt(signed, rule, f"{signed.shown}{author} changes it, and its signature {signed.why}")
    kinds = history.kinds(path, touch)
    able = [one for one in signed.by if one.may(path, kinds, history.layouts)]
    if not able:
        return _not_able(signed, path, kinds, history.layouts)
    if not any(is_signers(path, layout) for layout in history.layouts) or any(one.owner for one in able):
        return None
    return _escalation(signed, path, touch, history, able)


def _not_able(signed: Signed, path: str, kinds: frozenset[str] | None, layouts: Sequence[Layout]) -> Doubt:
    if any(is_judge(path, layout) for layout in layouts):
        what = f"{signed.shown} changes what judges, and {signed.name}, who signed it, is no policy owner"
        return _doubt(signed, "judge", what)
    held = "a file that can't be read" if kinds is None else " and ".join(sorted(kinds)) or "this file"
    return _doubt(signed, "not-allowed", f"{signed.shown} is signed by {signed.name}, who may not touch {held} here")


def _escalation(signed: Signed, path: str, touch: Touch, history: History, able: Iterable[Principal]) -> Doubt | None:
    """Return a doubt where a signer is made, changed or removed that may do more than whoever does so."""
    listed = (history.documents(path, node) or () for node in (*touch.before, touch.after))
    for document in (one for documents in listed for one in documents if one.kind == "Signer"):
        other = principal(document)
        if all(other.exceeds(one) for one in able):
            message = f"{signed.shown} is signed by {signed.name}, and concerns signer {other.name}, who may do more than {signed.name}"
            return _doubt(signed, "signer", message)
    return None


def _doubt(signed: Signed, rule: str, message: str) -> Doubt:
    return Doubt(rule=rule, message=message, commit=signed.commit.sha)


def lacks_second(signed: Signed, path: str, touch: Touch, history: History, merges: Sequence[Signed]) -> Doubt | None:
    """Return a doubt where nobody else who may touch a path has merged a commit that must be signed by two."""
    first = {one.name for one in signed.by}
    kinds = history.kinds(path, touch)
    for merge in merges:
        able = any(one.role == "person" and one.may(path, kinds, history.layouts) for one in merge.by)
        if able and first.isdisjoint(one.name for one in merge.by):
            return None
    message = f"{signed.shown} is signed by {signed.name} alone, and ordain.yaml wants two signers here"
    return _doubt(signed, "co-signer", message)


def matches(path: str, globs: Iterable[str]) -> bool:
    """Return whether a path is one of those."""
    return any(pattern(glob).fullmatch(path) for glob in globs)


def merged_by(commits: Sequence[Signed]) -> dict[str, list[Signed]]:
    """Return, for each commit of a range, the merges that brought it in: it is on another side of them than the first."""
    parents = {one.commit.sha: one.commit.parents for one in commits}
    found: dict[str, list[Signed]] = {}
    for merge in commits:
        if len(merge.commit.parents) > 1 and merge.by:
            first = _reach(merge.commit.parents[:1], parents)
            for sha in _reach(merge.commit.parents[1:], parents) - first:
                found.setdefault(sha, []).append(merge)
    return found


def _reach(start: Sequence[str], parents: dict[str, tuple[str, ...]]) -> set[str]:
    seen: set[str] = set()
    left = list(start)
    while left:
        sha = left.pop()
        if sha in parents and sha not in seen:
            seen.add(sha)
            left.extend(parents[sha])
    return seen
