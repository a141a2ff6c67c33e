"""The pipeline's loop: git in, signed releases out. It listens to nobody; what it needs it fetches.

A round is: fetch, check the history, examine each step, release, and write the notes. Trouble in a round is said once, the
round is given up, and the next one starts over from the store: nothing in memory is trusted after an error.
"""

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random

from agent.protocol import durable
from agent.protocol.errors import OrdainError, RetryError, if_of_the_machine
from agent.protocol.faults import reached
from reconciler.pipeline import problem
from reconciler.pipeline.accepted import KnownWaiver
from reconciler.pipeline.compile.controls import HOW, unchanged
from reconciler.pipeline.decisions import read_record
from reconciler.pipeline.examine import examine, keep, summary
from reconciler.pipeline.hints import Hints
from reconciler.pipeline.manifests import is_judge, is_signers
from reconciler.pipeline.releasing import delist, keys_changed, mark_released, release, renew
from reconciler.pipeline.session import Parts, Session, explain, has_keys, resume
from reconciler.pipeline.signing import decision_keys
from reconciler.pipeline.source import clear_exception, descends, judge_steps, mirror_path, read_exception
from reconciler.pipeline.source.watch import Watcher, next_poll
from reconciler.publication.layout import REPOSITORY_LEASE
from reconciler.publication.leadership import Leadership, LedStore, StoreLeases
from reconciler.publication.lease import HeldError
from reconciler.publication.store import PIPELINE_PREFIXES
from reconciler.publication.times import stamp

_log = logging.getLogger(__name__)
PLACES = (
    "pipeline:after-lease",
    "pipeline:after-resume",
    "pipeline:after-fetch",
    "pipeline:after-examine",
    "pipeline:before-notes",
    "pipeline:after-notes",
)
"""Where a crash test may kill the pipeline here."""
STANDBY_LOOK = 1.0
"""Seconds between looks whether the copy that leads still does."""
LOOK_EVERY = 2.0
"""Seconds between looks for what is due, where no news comes: keys, instants, judgements to try again."""
RENEW_EVERY = timedelta(minutes=10)
"""Between looks at what is about to expire; lives are counted in days."""
RETRY_AFTER = timedelta(seconds=30)
"""Before files that could not be judged are judged again; twice as long each time."""
RETRY_AT_LEAST_EVERY = timedelta(minutes=10)
PATIENCE = 5.0
"""Seconds before a round that failed is begun again."""
PATIENCE_WITH_FAULTS = 30.0
"""Seconds before a round that failed by our own fault is begun again: it will likely fail the same way."""
JITTER = 0.1
"""Share by which polls are spread, so that many reconcilers don't ask at once."""
STOP_LATENCY = 0.1
"""Seconds until a wish to stop is seen while waiting for news."""


@dataclass(slots=True)
class Progress:
    """What the loop last did, for /readyz and metrics; read by another thread."""

    examined: str = ""
    source: str = ""
    problem: str = "starting"
    standby: str = ""
    """Who leads instead of this copy, as a sentence; empty while this one does."""
    rounds: int = 0
    decisions: int = 0
    refused_files: int = 0
    frozen_fleets: int = 0
    standing_verdicts: int = 0
    waivers: tuple[KnownWaiver, ...] = ()
    last_seconds: dict[str, float] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether the newest head is examined and nothing is wrong, or another copy sees to that and this one would take over."""
        return bool(self.standby) or (not self.problem and self.examined == self.source)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """How the loop waits: `poll` in seconds; `holder` names this reconciler in the lease, the same over restarts."""

    holder: str
    poll: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What lasts as long as the process: what it works with, and how it hears of news, of its end and of other copies."""

    parts: Parts
    settings: LoopSettings
    progress: Progress
    leader: Leadership
    stop: threading.Event
    news: threading.Event


def run(parts: Parts, settings: LoopSettings, stop: threading.Event, progress: Progress) -> None:
    """Reconcile until `stop` is set; a step that has begun is finished."""
    news = threading.Event()
    watcher = Watcher(parts.mirror.location, news.set)
    watched = watcher.start()
    _sweep(parts)
    leader = Leadership(leases=StoreLeases(store=parts.store, key=REPOSITORY_LEASE, holder=settings.holder, now=parts.now))
    parts = replace(parts, store=LedStore(inner=parts.store, write=PIPELINE_PREFIXES, leads=leader.require))
    running = _Run(parts=parts, settings=settings, progress=progress, leader=leader, stop=stop, news=news)
    try:
        while not stop.is_set():
            try:
                _hold(running)
            except HeldError as error:
                _stand_by(progress, error)
                _sleep(STANDBY_LOOK, stop, threading.Event())
            except Exception as error:  # noqa: BLE001 - one bad head must not take down what serves agents beside this loop
                _sleep(_give_up(error, parts, progress), stop, threading.Event())
    finally:
        parts.verifier.close()
        watcher.stop() if watched else None


def _sweep(parts: Parts) -> None:
    """Remove what a process that was killed here left half written."""
    durable.sweep(parts.state, deep=False)
    for prefix in PIPELINE_PREFIXES:
        parts.store.sweep(prefix)


def _give_up(error: Exception, parts: Parts, progress: Progress) -> float:
    """Say why a round was given up, once; return the seconds until the next."""
    known = if_of_the_machine(error, where=str(mirror_path(parts.state)))
    if not isinstance(known, OrdainError):
        _log.error("round given up by a fault of ordain; please report it", exc_info=error)
        _tell(parts, progress, f"a fault of ordain ({type(error).__name__}: {error}); the log has more")
        return PATIENCE_WITH_FAULTS
    if _tell(parts, progress, explain(known)):
        _log.warning("round given up: %s", explain(known))
    return PATIENCE


def _stand_by(progress: Progress, held: HeldError) -> None:
    """Say once that another copy leads: that is how it should be, and no problem."""
    if progress.standby != str(held):
        progress.standby = str(held)
        _log.info("standing by: %s", held)


def _hold(running: _Run) -> None:
    """Take the lease, go on from the accepted state, and run rounds until stopped or in trouble."""
    running.leader.take()
    running.progress.standby = ""
    try:
        reached("pipeline:after-lease")
        session = resume(running.parts)
        reached("pipeline:after-resume")
        _lead(running, session)
    finally:
        running.leader.give_back()


def _lead(running: _Run, session: Session) -> None:
    """Run rounds until stopped, in trouble, or no longer leading."""
    parts, settings, progress = running.parts, running.settings, running.progress
    random = Random()  # noqa: S311 - spreads polls, keeps no secret
    hints = Hints(parts.store)
    renewed = looked = datetime.min.replace(tzinfo=parts.now().tzinfo)
    try:
        _count(session, progress)
        _release_everything(parts, session)
        while not running.stop.is_set():
            now = parts.now()
            running.leader.require()
            if running.news.is_set() or now >= looked or _is_due(parts, session, progress):
                running.news.clear()
                reconcile(parts, session, progress)
                looked = now + timedelta(seconds=next_poll(_wait(parts, session, settings.poll), JITTER, random))
            if now - renewed >= RENEW_EVERY or keys_changed(parts, session):
                renew(parts, session)
                delist(parts, session)
                renewed = now
            _keys_that_came(parts, session)
            _sleep(LOOK_EVERY, running.stop, running.news, hints)
    finally:
        session.close()


def _wait(parts: Parts, session: Session, poll: float) -> float:
    """Return the seconds until the next look: a repository on this disk gives news once, so where that look failed the next comes soon."""
    return min(poll, PATIENCE) if session.problem and parts.mirror.location.path is not None else poll


def _is_due(parts: Parts, session: Session, progress: Progress) -> bool:
    """Return whether there is work without news: a judgement to try again, an instant, or a head that was let through on this host."""
    if _instant_came(parts, session) or (session.retry_at is not None and parts.now() >= session.retry_at):
        return True
    exception = read_exception(parts.state) if session.problem else None
    return exception is not None and exception.head == progress.source


def reconcile(parts: Parts, session: Session, progress: Progress) -> None:
    """One round, from fetching to notes. Stops early where there is no news, or the history may not be followed.

    Raises:
        OrdainError: the round was given up; the session must be made again.
    """
    progress.rounds += 1
    if session.state is not None and _instant_came(parts, session):  # before fetching, since a source that is away stops no clock
        _log.info("judged again: a waiver ended, or the day of a rule came", extra={"at": session.state.wake_at})
        _examine(parts, session, session.state.head, progress)
    head = _fetch(parts, session, progress)
    if head is None or not _may_follow(parts, session, head):
        _tell(parts, progress, session.problem)
        return
    for step in _steps(parts, session, head):
        _examine(parts, session, step, progress)
    _notes(parts, session)
    progress.examined = session.state.head if session.state else ""
    session.problem = ""
    _tell(parts, progress, session.problem)


def _instant_came(parts: Parts, session: Session) -> bool:
    """Return whether time alone brings a decision now."""
    return session.state is not None and bool(session.state.wake_at) and stamp(parts.now()) >= session.state.wake_at


def _count(session: Session, progress: Progress) -> None:
    """Keep what metrics tell of the accepted state, and say once of each waiver that breaks the glass that it does."""
    state = session.state
    if state is None:
        return
    said = {one.name for one in progress.waivers}
    for one in state.waivers:
        if one.incident and one.name not in said and one.until > state.examined_at:
            told = {"incident": one.incident, "until": one.until, "owner": one.owner, "why": one.reason, "object": one.object}
            _log.error("glass broken: %s excuses %s", one.name, one.rule, extra=told)
    progress.waivers = tuple(state.waivers)
    progress.refused_files, progress.frozen_fleets = len(state.held), len(state.fleets)
    progress.standing_verdicts = len(state.standing) + state.standing_left_out


def _tell(parts: Parts, progress: Progress, why: str) -> bool:
    """Keep what is wrong now for /readyz, and for `ordain status`, which has the state directory alone; return whether it is news."""
    news = progress.problem != why
    if news:
        progress.problem = why
        problem.keep(parts.state, why, parts.now())
    return news


def _fetch(parts: Parts, session: Session, progress: Progress) -> str | None:
    """Return the head, None while the repository is empty or can't be reached: what is accepted stays."""
    try:
        head = parts.mirror.fetch()
    except RetryError as error:
        if session.problem != explain(error):
            _log.warning("fetch failed: %s", explain(error))
        session.problem = explain(error)
        return None
    reached("pipeline:after-fetch")
    progress.source = head or ""
    if head is None:
        session.problem = "the fleet repository has no commit yet"
    return head


def _may_follow(parts: Parts, session: Session, head: str) -> bool:
    """Return whether a head descends from the examined one, or was let through by name on this host."""
    before = session.state
    if before is None or before.head == head or descends(parts.mirror.repository, before.head, head):
        return True
    exception = read_exception(parts.state)
    if exception is not None and exception.head == head:
        _log.warning("rewritten history accepted", extra={"head": head, "who": exception.who, "reason": exception.reason})
        return True
    why = (
        f"{head[:12]} does not descend from the examined {before.head[:12]}: history was rewritten, so nothing of it is taken. "
        f"If that is right, run on this host: ordain accept-history --state {parts.state} --head {head} --reason 'why it was rewritten'"
    )
    if session.problem != why:
        _log.error("%s", why)
    session.problem = why
    return False


def _steps(parts: Parts, session: Session, head: str) -> list[str]:
    """Return the heads to examine: the newest, but each change of the judge by itself; again the same one if a judgement failed."""
    before = session.state
    if before is not None and before.head == head:
        due = session.retry_at is not None and parts.now() >= session.retry_at
        return [head] if due else []
    layout = session.corpus.layout
    since = before.head if before else None
    return judge_steps(parts.mirror.repository, since, head, lambda path: is_judge(path, layout) or is_signers(path, layout))


def _examine(parts: Parts, session: Session, head: str, progress: Progress) -> None:
    """Examine one head, then bring what it changed to the control zone."""
    world, known, rules = session.corpus.world, session.state, _operator_rules(session)
    examined = examine(parts, session, head)
    reached("pipeline:after-examine")
    clear_exception(parts.state)
    _retry_later(parts, session)
    _log.info("examined", extra=summary(examined))
    for path, reason in examined.record.refused.items():
        if known is None or path not in known.held:
            _log.warning("refused", extra={"file": path, "why": reason})
    decision = examined.decision
    now = session.corpus.world
    tenants = {name for name in now.names if not unchanged(world, now, name)}
    tenants |= set(now.names) if _operator_rules(session) != rules else set()
    before, after = known.fleets if known else {}, session.state.fleets if session.state else {}
    tenants |= {name.partition("/")[0] for name in {*before, *after} if before.get(name) != after.get(name)}
    tenants &= set(now.names)
    later = {name for name in tenants if unchanged(world, now, name, HOW)}
    changed = release(parts, session, decision.releases, tenants, later=later)
    mark_released(parts, session)
    keep(parts, session)
    if known is not None and session.state is not None and known.judge != session.state.judge:
        delist(parts, session)
    progress.decisions += 1
    _count(session, progress)
    _log.info("released", extra={"fleets": ",".join(changed) or "none"})


def _operator_rules(session: Session) -> Mapping[str, str]:
    """Return the repository's own rules about operators: all controls name them."""
    return session.policies.judge.authz if session.policies is not None else {}


def _retry_later(parts: Parts, session: Session) -> None:
    """Plan to judge the same head again where something could not be judged, later each time."""
    if session.state is None or not session.state.unjudged:
        session.retry_at, session.retries = None, 0
        return
    session.retry_at = parts.now() + min(RETRY_AFTER * 2**session.retries, RETRY_AT_LEAST_EVERY)
    session.retries += 1


def _notes(parts: Parts, session: Session) -> None:
    """Bring decisions, and what operators did, to git's notes; a repository that can't be written holds up nothing."""
    if session.state is not None and parts.operations is not None:
        parts.operations.catch_up(session.state.head, session.corpus.world.names)
    if parts.notes is None or session.state is None:
        return
    reached("pipeline:before-notes")
    keys = decision_keys(parts.ring)
    parts.notes.catch_up(session.state.decision, lambda sequence: read_record(parts.store, keys, sequence))
    reached("pipeline:after-notes")


def _release_everything(parts: Parts, session: Session) -> None:
    """Catch up with the accepted state, whatever a crash or a restored backup left undone."""
    release(parts, session, set(session.released.compiled), set(session.corpus.world.names))
    mark_released(parts, session)


def _keys_that_came(parts: Parts, session: Session) -> None:
    """Release the fleets of tenants that were waiting for keys and have them now."""
    for tenant in sorted(session.waiting):
        if has_keys(parts, tenant):
            _log.info("keys are there", extra={"tenant": tenant})
            release(parts, session, {key for key in session.released.compiled if key[0] == tenant}, {tenant})


def _sleep(seconds: float, stop: threading.Event, news: threading.Event, hints: Hints | None = None) -> None:
    """Wait until there is news or a hint of some, it is time, or the end was asked for."""
    until = time.monotonic() + seconds
    while not stop.is_set() and (left := until - time.monotonic()) > 0:
        if hints is not None and hints.due():
            news.set()
        if news.wait(min(left, STOP_LATENCY)):
            return
