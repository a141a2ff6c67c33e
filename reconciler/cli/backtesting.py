"""From a rule, or a branch, and a history to a replay: who judges which commit, and what is remembered of it."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import pygit2

from agent.protocol.codec import sha256
from agent.protocol.errors import InputError
from reconciler.opa.program import cache_directory
from reconciler.pipeline.acceptance import Judges, appoint
from reconciler.pipeline.acceptance.corpus import read_file, read_layout, repository_of
from reconciler.pipeline.backtest.asking import Asker, Found
from reconciler.pipeline.backtest.history import History, Step
from reconciler.pipeline.backtest.objects import replay
from reconciler.pipeline.backtest.reckoning import apart, incidents_of, side_of
from reconciler.pipeline.backtest.shape import Brought, Replay
from reconciler.pipeline.backtest.whole import Whole
from reconciler.pipeline.manifests import REPOSITORY_FILE, Layout
from reconciler.pipeline.policy.evaluate import Policies
from reconciler.pipeline.policy.judge import Judge, Rule
from reconciler.pipeline.remembered.identity import identity
from reconciler.pipeline.remembered.replays import Replays
from reconciler.pipeline.remembered.sealed import Sealed
from reconciler.pipeline.signatures.switch import is_required
from reconciler.pipeline.source.directories import EMPTY_TREE, find_node
from reconciler.pipeline.source.trees import CommitTree

SHALLOW = ": this is a shallow clone (`git fetch --unshallow` gets the rest)"
Steps = list[tuple[Step, tuple[Brought, ...]]]
"""Each step that was replayed, with what it brought by each judge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What replaying needs besides rules: git, an OPA, requests at a time, where state is kept, a bound in time, and who is told."""

    repository: pygit2.Repository
    prefix: str
    history: History
    opa: Path
    jobs: int
    sealed: Sealed
    seconds: float | None
    told: Callable[[str], None]

    def bounded(self) -> Callable[[int], bool]:
        """Return what is told how many steps are done, and says whether there is time for more."""
        end = time.monotonic() + self.seconds if self.seconds is not None else None

        def more(done: int) -> bool:
            self.told(f"{bar(done, len(self.history.steps))} {done:,} of {len(self.history.steps):,} commits")
            return end is None or time.monotonic() < end

        return more


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a replay is about: the rule or branch, the digest of its judge, since when, and which commits did harm."""

    subject: str
    digest: str
    since: str
    incidents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The steps that were replayed, and how many answers were new or known; `whole` says that steps were asked about, not versions.

    `left` says why steps were left out, empty where none were.
    """

    steps: Steps
    asked: int
    reused: int
    poisoned: bool
    whole: bool = False
    left: str = ""


def state_name(opa: Path, *parts: str) -> str:
    """Return the name under which answers are kept: another judge, OPA or version of ordain has another one."""
    status = opa.stat()
    content = " ".join([*parts, identity(), str(opa), str(status.st_size), str(status.st_mtime_ns)])
    return f"backtest-{sha256(content.encode())[:32]}"


def state_directory() -> Path:
    """Return where replays keep what they know."""
    return cache_directory(os.environ) / "backtest"


def of_rule(rule: Rule, judge: Judge, desk: Desk) -> Done:
    """Replay one rule as if it denied everywhere.

    Raises:
        InputError: the rule has nothing to go by.
        RetryError: OPA can't be run.
    """
    hearing = replace(judge, levels=judge.levels.hearing([rule.id], "deny"))
    if not hearing.levels.anywhere(rule.id):
        message = f"{rule.id} has nothing to go by until {' or '.join(rule.needs)} is set in ordain.yaml, so it would have refused nothing"
        raise InputError(message)
    name = state_name(desk.opa, judge.digest, rule.id)
    if rule.scope == "object" and not rule.reads_change:
        return _of_objects(rule, hearing, desk, name)
    with unstarted(hearing, desk.opa) as policies:
        return _whole(desk, name, lambda _: [Judges(before=policies)])


def of_branch(judge: Judge, desk: Desk, *, now: str) -> Done:
    """Replay the policies of a branch beside those that each commit was judged by: what each step brought by both, in this order.

    Raises:
        RetryError: OPA can't be run.
    """
    with unstarted(judge.on(now), desk.opa) as policies, _Benches(desk) as benches:
        name = state_name(desk.opa, judge.digest, judge.on(now).levels.phase, "branch")
        return _whole(desk, name, lambda step: [Judges(before=policies), benches.judges(step)])


def _of_objects(rule: Rule, judge: Judge, desk: Desk, name: str) -> Done:
    known: Replays[Found] = Replays(desk.sealed, name, dict[str, Found])
    more = desk.bounded()
    found: Steps = []
    with unstarted(judge, desk.opa) as policies, known.saved():
        asker = Asker(policies, known, rules=[rule.id], jobs=desk.jobs)
        for step, brought in replay(desk.repository, desk.history.steps, asker):
            found.append((step, (brought,)))
            if not more(len(found)):
                break
    return _done(found, known, desk)


def _whole(desk: Desk, name: str, deciders: Callable[[Step], Sequence[Judges]]) -> Done:
    known: Replays[tuple[Brought, ...]] = Replays(desk.sealed, name, dict[str, tuple[Brought, ...]])
    whole = Whole(desk.repository, deciders)
    more = desk.bounded()
    found: Steps = []
    with known.saved():
        for step in desk.history.steps:
            brought = known.get(step.info.sha)
            if brought is None:
                brought = whole.look(step)
                lasting = not any(one.action == "error" for each in brought for one in each.findings)
                known.put(step.info.sha, brought, lasting=lasting)
            found.append((step, brought))
            if not more(len(found)):
                break
    return replace(_done(found, known, desk), whole=True)


def _done(found: Steps, known: Replays[Found] | Replays[tuple[Brought, ...]], desk: Desk) -> Done:
    steps = desk.history.steps
    left = f"Time was up after {len(found):,} of {len(steps):,} commits; run it again to go on." if len(found) < len(steps) else ""
    return Done(steps=found, asked=known.asked, reused=known.reused, poisoned=known.poisoned, left=left)


@contextmanager
def unstarted(judge: Judge, opa: Path) -> Iterator[Policies]:
    """Yield policies whose OPA starts at the first question: where all is known, none is needed."""
    with ExitStack() as stack:
        policies = Policies(judge, opa=opa)
        stack.push(policies)
        yield policies


def replay_of(done: Done, desk: Desk, asked: Asked) -> Replay:
    """Return what was found out, with lines, authors and incidents.

    Raises:
        InputError: an incident names no commit.
    """
    first = [(step, brought[0]) for step, brought in done.steps]
    gone, same = None, 0
    if done.steps and len(done.steps[0][1]) > 1:
        first, second, same = apart((step, (brought[0], brought[1])) for step, brought in done.steps)
        gone = side_of(desk.repository, desk.history, second, prefix=desk.prefix).refusals
    side = side_of(desk.repository, desk.history, first, prefix=desk.prefix)
    steps = desk.history.steps
    cut = (
        f"Only the newest {len(steps):,} commits were looked at{SHALLOW if desk.repository.is_shallow else ''}." if desk.history.cut else ""
    )
    return Replay(
        subject=asked.subject,
        digest=asked.digest,
        head=steps[-1].info.sha,
        since=asked.since,
        steps=len(done.steps),
        first=steps[0].info.time,
        last=steps[len(done.steps) - 1].info.time,
        side=side,
        incidents=incidents_of(desk.repository, desk.history, side, asked.incidents),
        no_longer=gone,
        same=same,
        asked=done.asked,
        reused=done.reused,
        poisoned=done.poisoned,
        left=" ".join(each for each in (cut, done.left, _unverified(desk)) if each),
        whole=done.whole,
    )


def _unverified(desk: Desk) -> str:
    """Return in a sentence that signatures were not looked at, where they are on: what nobody may have signed was merged here."""
    newest = CommitTree(desk.repository, desk.history.steps[-1].tree or EMPTY_TREE)
    if REPOSITORY_FILE not in newest.entries or not is_required(repository_of(read_file(newest, REPOSITORY_FILE, Layout()))):
        return ""
    return "Signatures are not verified again: each commit counts as merged, and rules see no signer."


class _Benches:
    """The judges that each commit was judged by: those of its base, one OPA at a time, since a history has few of them in long runs."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._stack = ExitStack()
        self._key: tuple[object, ...] = ()
        self._policies: Policies | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def judges(self, step: Step) -> Judges:
        """Return the judge of a step's base at the step's time; nobody where there was none, or none that could judge."""
        tree = step.before or EMPTY_TREE
        snapshot = CommitTree(self._desk.repository, tree)
        key = self._of(tree, snapshot)
        if key != self._key:
            self._stack.close()
            judge = appoint(snapshot, opa=self._desk.opa).judge
            self._policies = self._stack.enter_context(unstarted(judge, self._desk.opa)) if judge is not None else None
            self._key = key
        return Judges(before=self._policies).on(step.info.time)

    def _of(self, tree: str, snapshot: CommitTree) -> tuple[object, ...]:
        """Return what the judge of a tree follows from."""
        layout = read_layout(snapshot)
        return tuple(find_node(self._desk.repository, tree, path) for path in (REPOSITORY_FILE, layout.policies))


def bar(done: int, all_of_them: int, width: int = 24) -> str:
    """Return how far something is as a bar of blocks."""
    filled = width * done // max(1, all_of_them)
    return "█" * filled + "░" * (width - filled)
