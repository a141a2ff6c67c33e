"""After a crash: all of the old generation or all of the new, whichever the commit says. May itself be interrupted."""

import contextlib

from agent.apply import journal as journal_of
from agent.apply.generations import Generations
from agent.apply.journal import Journal
from agent.apply.plan import parents
from agent.apply.saved import Originals, empty
from agent.apply.switch import remove_staged, take_back
from agent.disk import Disk
from agent.host import EscapeError, Host
from agent.protocol import durable, faults

PLACES = ("agent:before-close",)
"""Where a crash test may kill the agent here."""


def recover(host: Host, disk: Disk) -> str | None:
    """Settle a transaction that did not end, and return what was done, None if there was none.

    Raises:
        OSError: the host can't be put right now (a full or read-only disk); nothing else may be applied until it is.
    """
    journal = journal_of.read(disk.journal)
    if journal is None:
        return None
    pointer = Generations(disk.fleet(journal.fleet)).pointer()
    if pointer is not None and pointer.transaction == journal.transaction:
        durable.sync_directory(disk.fleet(journal.fleet))  # who committed may have died before that was for keeps
        finish(host, disk, journal)
        return f"finished generation {journal.generation} of {journal.fleet}, which was complete"
    abandon(host, disk, journal)
    return f"put back what stood there before generation {journal.generation} of {journal.fleet}, which was not complete"


def finish(host: Host, disk: Disk, journal: Journal) -> None:
    """Clean up after a transaction that has happened."""
    remove_staged(host, journal.steps)
    _remove_emptied(host, journal)
    originals = Originals(disk.originals)
    originals.hold((), release=journal.emptied)
    originals.drop(journal.released)
    Generations(disk.fleet(journal.fleet)).prune()
    _close(disk)


def _remove_emptied(host: Host, journal: Journal) -> None:
    """Remove directories that were let go and stayed only because a tree was put aside in them."""
    above = {directory for step in journal.steps if step.kept is not None for directory in parents(step.kept)}
    staying = {step.path for step in journal.steps if step.kind != "remove"}
    for path in sorted(above & {*journal.released} - staying, reverse=True):
        with contextlib.suppress(EscapeError):  # a link has taken the place of a directory above it
            if host.observe(path).kind == "directory":
                host.remove_directory(path)


def abandon(host: Host, disk: Disk, journal: Journal) -> None:
    """Undo a transaction that has not happened."""
    if journal.phase == "switching":
        take_back(host, journal.steps, disk.preimages, transaction=journal.transaction)
    else:
        remove_staged(host, journal.steps)
    originals = Originals(disk.originals)
    originals.hold((), release=journal.unpacked)
    originals.drop(journal.adopted)
    if journal.fresh:
        Generations(disk.fleet(journal.fleet)).discard(journal.generation)
    _close(disk)


def _close(disk: Disk) -> None:
    faults.reached("agent:before-close")
    durable.remove(disk.journal)
    empty(disk.preimages)
