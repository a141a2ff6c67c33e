"""One apply, as a list of steps. Until the journal is written it may fail freely: the host is untouched."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from agent.apply import journal as journal_of
from agent.apply import recover
from agent.apply.checks import run_checks
from agent.apply.generations import Generations, Meta
from agent.apply.journal import Journal, Step
from agent.apply.plan import Action, Plan
from agent.apply.saved import Originals
from agent.apply.stage import kept_path, stage, staged_path
from agent.apply.switch import keep_images, switch
from agent.disk import Disk
from agent.fetching.cache import Cache
from agent.host import Host
from agent.protocol import faults
from agent.protocol.errors import RetryError, disk_trouble
from agent.protocol.state import State
from agent.providers.item import Item

PLACES = (
    "agent:after-plan",
    "agent:after-stage",
    "agent:after-journal",
    "agent:before-commit",
    "agent:after-commit",
)
"""Where a crash test may kill the agent here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """What every transaction on this host works with."""

    host: Host
    disk: Disk
    originals: Originals
    cache: Cache
    stopping: Callable[[], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A fleet going to a generation. `state` is given where the generation is new, else it is one that is kept."""

    fleet: str
    meta: Meta
    items: Mapping[str, Item]
    plan: Plan
    state: State | None = None


def apply(work: Workspace, change: Change) -> None:
    """Bring the host to a generation, and make that the current one of its fleet.

    Raises:
        RefusedError: a check said no. The host is as before.
        RetryError, OSError: something could not be had or done now. The host is as before.
    """
    journal = _begin(work, change)
    try:
        staged = _stage(work, change, journal)
        run_checks(change.items, {change.plan.actions[number].path: path for number, path in staged.items()}, host=work.host)
        journal = _intend(work, change, journal)
        switch(work.host, change.plan.actions, journal.steps)
        faults.reached("agent:before-commit")
        Generations(work.disk.fleet(change.fleet)).commit(change.meta.generation, journal.transaction)
    except BaseException as error:
        _put_back(work, error)
        raise
    faults.reached("agent:after-commit")
    recover.finish(work.host, work.disk, journal)


def _put_back(work: Workspace, error: BaseException) -> None:
    """Undo what was begun; where even that can't be done now, say first what went wrong: the next poll tries again."""
    try:
        recover.recover(work.host, work.disk)
    except OSError as later:
        message = f"{error}; and what was begun can't be undone yet: {disk_trouble(later)}"
        raise RetryError(message) from error


def _begin(work: Workspace, change: Change) -> Journal:
    """Write down what will be staged, so that a crash leaves nothing behind."""
    transaction = secrets.token_hex(8)
    journal = Journal(
        format=journal_of.FORMAT,
        transaction=transaction,
        fleet=change.fleet,
        generation=change.meta.generation,
        fresh=change.state is not None,
        phase="staging",
        steps=[
            Step(
                path=action.path,
                kind=action.kind,
                staged=staged_path(work.host, action, transaction=transaction, number=number, replacing=change.plan.replacing),
                kept=kept_path(work.host, action, transaction=transaction, number=number),
            )
            for number, action in enumerate(change.plan.actions)
        ],
        adopted=list(change.plan.adopted),
        released=list(change.plan.released),
        unpacked=list(change.plan.unpacked),
        emptied=list(change.plan.emptied),
    )
    journal_of.write(work.disk.journal, journal)
    faults.reached("agent:after-plan")
    return journal


def _stage(work: Workspace, change: Change, journal: Journal) -> dict[int, str]:
    """Stage all that is new, and return action number → staged path."""
    staged = {number: step.staged for number, step in enumerate(journal.steps) if step.staged is not None}
    for number, path in staged.items():
        stage(
            work.host,
            change.plan.actions[number],
            path,
            replacing=change.plan.replacing,
            originals=work.originals,
            cache=work.cache,
            stopping=work.stopping,
        )
    faults.reached("agent:after-stage")
    return staged


def _intend(work: Workspace, change: Change, journal: Journal) -> Journal:
    """Keep what stands there, put the generation on disk, and write down that the switch begins."""
    replacing = change.plan.replacing
    kept = keep_images(work.host, change.plan.actions, work.disk.preimages, replacing=replacing)
    taken = {path: work.host.observe(path, replacing=replacing) for path in change.plan.adopted}
    moving = frozenset(action.path for action in change.plan.actions if action.kind in ("put", "remove"))
    work.originals.add(work.host, taken, moving=moving)
    work.originals.hold(change.plan.unpacked)
    Generations(work.disk.fleet(change.fleet)).record(change.meta, change.state)
    inodes = [_inode(work.host, action, step) for action, step in zip(change.plan.actions, journal.steps, strict=True)]
    steps = [
        msgspec.structs.replace(step, before=before, inode=inode) for step, before, inode in zip(journal.steps, kept, inodes, strict=True)
    ]
    journal = msgspec.structs.replace(journal, phase="switching", steps=steps)
    journal_of.write(work.disk.journal, journal)
    faults.reached("agent:after-journal")
    return journal


def _inode(host: Host, action: Action, step: Step) -> int:
    return host.observe(step.staged).inode if action.brings_tree and step.staged is not None else 0
