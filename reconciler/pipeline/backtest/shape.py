"""What a replay found out, as it is counted and printed."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.pipeline.finding import Finding, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What a step brought by one judge: findings that refuse, how many more a waiver excused, files that can't be read (path, why).

    What could not be judged is among the findings, as an error.
    """

    findings: tuple[Finding, ...] = ()
    waived: int = 0
    unread: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One finding on the commit that brought it: with it the commit would have been refused.

    `author` is who wrote the file's change, `merged` the author of the step itself. `undone` is true where a later commit reverted
    this one or put the file back as it was before.
    """

    commit: str
    time: str
    subject: str
    author: str
    email: str
    verdict: Verdict
    undone: bool = False

    @property
    def path(self) -> str:
        """The file."""
        return self.verdict.file


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A file that could not be read, or does not fit today's schemas, in the version that a commit brought."""

    commit: str
    file: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """A commit that is known to have done harm: by which refusals it would have been caught; `step` is None outside the replay."""

    revision: str
    commit: str
    step: str | None
    by: tuple[Refusal, ...] = ()

    @property
    def caught(self) -> bool:
        """Whether anything in it would have been refused."""
        return bool(self.by)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one judge finds in all steps. `waived` counts what a waiver of that time excused, `troubles` is what could not be judged."""

    refusals: tuple[Refusal, ...] = ()
    unread: tuple[Unread, ...] = ()
    troubles: tuple[Refusal, ...] = ()
    waived: int = 0

    @property
    def commits(self) -> tuple[str, ...]:
        """The commits that would have been refused, oldest first."""
        return tuple(dict.fromkeys(one.commit for one in self.refusals))


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A replay as a whole. `steps` is how many commits were looked at, `asked` and `reused` versions of manifests.

    `no_longer` are findings of the judges of then that the one that is replayed does not have: only where a branch is.
    `left` says why steps were left out, empty where none were.
    """

    subject: str
    digest: str
    head: str
    since: str
    steps: int
    first: str
    last: str
    side: Side
    incidents: tuple[Incident, ...] = ()
    no_longer: tuple[Refusal, ...] | None = None
    same: int = 0
    asked: int = 0
    reused: int = 0
    poisoned: bool = False
    left: str = ""
    whole: bool = False

    @property
    def good(self) -> frozenset[str]:
        """The refused commits that were undone later, or are among the incidents."""
        undone = {one.commit for one in self.side.refusals if one.undone}
        return frozenset(undone | {one.step for one in self.incidents if one.caught and one.step is not None})

    @property
    def false_alarms(self) -> int:
        """How many refused commits nobody ever undid or called an incident."""
        return len(set(self.side.commits) - self.good)


def by_author(refusals: Iterable[Refusal]) -> list[tuple[str, int, int]]:
    """Return (author, findings, commits), those with most findings first."""
    found = list(refusals)
    counted = Counter(one.author for one in found)
    commits = Counter(author for author, _ in {(one.author, one.commit) for one in found})
    return [(name, number, commits[name]) for name, number in _ranked(counted)]


def by_path(refusals: Iterable[Refusal]) -> list[tuple[str, int]]:
    """Return (file, findings), those with most first."""
    return _ranked(Counter(one.path for one in refusals))


def by_object(refusals: Iterable[Refusal]) -> list[tuple[str, int]]:
    """Return (object, findings), those with most first."""
    return _ranked(Counter(str(one.verdict.object or one.path) for one in refusals))


def _ranked(counted: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))
