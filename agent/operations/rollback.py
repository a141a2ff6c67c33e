"""Going back to an older generation by hand. It holds the fleet until a newer release than the one gone back from comes."""

import os
import signal
import time

import msgspec

from agent.apply.generations import Hold, Meta
from agent.apply.recover import recover
from agent.apply.transaction import Change, apply
from agent.effects.records import read_done
from agent.following.admission import Wanted
from agent.logs import timestamp
from agent.loop import STEP_WAIT, looking_after
from agent.protocol.errors import InputError, RefusedError, RetryError
from agent.protocol.rollout import Release
from agent.reporting import receipts
from agent.reporting.status import FleetStatus
from agent.settling.settle import Settler

TICK = 0.1
"""Seconds between two looks at what a running agent has done."""


def roll_back(settler: Settler, fleet: str, to: int | None) -> Meta:
    """Bring the host to an older generation of a fleet, by the same transaction as any release, and return what it came from.

    Raises:
        InputError: the fleet is not here, or has no such generation.
        RefusedError: a check or `agent.toml` says no, or another fleet holds a path of that generation now.
        RetryError, OSError: it can't be done now. The host is as before.
    """
    recover(settler.work.host, settler.work.disk)
    generations = settler.generations(fleet)
    current = generations.current()
    if current is None:
        message = f"fleet {fleet} holds nothing here; `ordain-agent status` lists the fleets"
        raise InputError(message)
    target = generations.meta(_number(generations.numbers(), current.generation, to, fleet))
    state = generations.state(target.generation)
    table = settler.table({}, settler.book.unlisted())
    conflict = table.conflict(fleet, state)
    if conflict is not None:
        message = f"generation {target.generation} of {fleet}: {conflict}"
        raise RefusedError(message)
    prepared = settler.prepare(fleet, state, table)
    settler.effects.adopt(prepared.state, prepared.items, [action.path for action in prepared.plan.actions])
    apply(settler.work, Change(fleet=fleet, meta=target, items=prepared.items, plan=prepared.plan))
    _hold(settler, fleet, current)
    _note(settler, fleet, target, current)
    return target


def look_after(settler: Settler) -> int | None:
    """Have run what the generations of now say, and return None; or the pid of the agent that runs here and was told to.

    Call it without `step.lock`: an agent that runs is at its processes alone.
    """
    disk = settler.work.disk
    try:
        with disk.lock("run", wait=0, refused="the agent runs"), disk.lock("step", wait=STEP_WAIT, refused="another command is at work"):
            with looking_after(settler.effects, settler.work, settler.log):
                settler.bring_about(settler.table({}, settler.book.unlisted()))
            return None
    except RetryError:
        agent = disk.holder("run")
        if agent is None:
            raise
        os.kill(agent, signal.SIGHUP)
        return agent


def came_about(settler: Settler, fleet: str, *, seconds: float) -> bool:
    """Wait until all that a fleet's generation says runs, and return whether it does within so many seconds."""
    pointer = settler.generations(fleet).pointer()
    until = time.monotonic() + seconds
    while pointer is not None and read_done(settler.work.disk, fleet).transaction != pointer.transaction:
        if time.monotonic() > until:
            return False
        time.sleep(TICK)
    return True


def _number(numbers: list[int], current: int, to: int | None, fleet: str) -> int:
    if to is not None:
        return to
    older = [number for number in numbers if 0 < number < current]  # 0 is what was there before all releases
    if not older:
        message = f"fleet {fleet} has no generation before {current} here"
        raise InputError(message)
    return older[-1]


def _hold(settler: Settler, fleet: str, current: Meta) -> None:
    """Keep the newest release that this host knows away; one that is newer still lets the fleet go on."""
    generations = settler.generations(fleet)
    if generations.hold() is None:
        status = settler.book.read(fleet)
        digest, attempt = (status.digest, status.attempt) if status and status.digest else (current.digest, current.attempt)
        generations.set_hold(Hold(digest=digest, attempt=attempt, at=timestamp()))


def _note(settler: Settler, fleet: str, target: Meta, current: Meta) -> None:
    hold = settler.generations(fleet).hold()
    why = f"rolled back by hand at {hold.at}; stays until a newer release than {hold.digest[:12]} comes" if hold else ""
    known = settler.book.read(fleet) or FleetStatus(result="restored", why=why, since=timestamp(), digest=current.digest)
    settler.book.write(fleet, msgspec.structs.replace(known, result="restored", why=why, since=timestamp(), drift=[]))
    wanted = Wanted(
        fleet=fleet,
        release=Release(digest=target.digest, members=target.members),
        group=target.group,
        mode=target.mode,
        attempt=target.attempt,
        serial=target.serial,
        state=settler.generations(fleet).state(target.generation),
    )
    settings = settler.settings
    receipt = receipts.receipt_of(
        wanted, tenant=settings.tenant, agent=settings.name, generation=target.generation, result="restored", why=why
    )
    settler.spool.record(receipt)
