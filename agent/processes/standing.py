"""How a process stands: between its record, what policy decided, and what callers and people are told."""

import signal
import time

import msgspec

from agent.processes.interface import Seen
from agent.processes.policy import Decision, History
from agent.processes.records import Record
from agent.processes.usage import Usage


def milliseconds(seconds: float) -> int:
    """Return seconds as records have them."""
    return round(seconds * 1000)


def history_of(record: Record) -> History:
    """Return what a record says of earlier starts, in seconds."""
    return History(starts=tuple(start / 1000 for start in record.starts), wait=record.wait / 1000)


def seconds_to(record: Record) -> float:
    """Return the seconds until a process that waits is to be started again."""
    return record.again / 1000 - time.monotonic()


def decided(record: Record, decision: Decision, why: str) -> Record:
    """Return a record of a process that doesn't run, as was decided."""
    return msgspec.structs.replace(
        record,
        pid=None,
        began=None,
        standing=decision.standing,
        starts=[milliseconds(start) for start in decision.history.starts],
        wait=milliseconds(decision.history.wait),
        again=milliseconds(decision.at),
        why=why,
    )


def said(code: int | None, *, ran_out: bool, stopping: bool) -> str:
    """Return in words how a process ended."""
    if ran_out:
        return "killed by the kernel, since it used more memory than its limit"
    if code is None and stopping:
        return "stopped by the agent, which was not its parent, so nobody knows how it ended"
    if code is None:
        return "ended while no agent was its parent, so nobody knows how"
    if code >= 0:
        return f"ended with exit code {code}"
    number = -code
    return f"ended by {signal.Signals(number).name}" if number in signal.valid_signals() else f"ended by signal {number}"


def seen_of(record: Record, used: Usage | None) -> Seen:
    """Return how a process stands, from its record and what it uses."""
    is_running = record.standing == "running"
    return Seen(
        standing=record.standing,
        digest=record.digest,
        pid=record.pid if is_running else None,
        since=record.since,
        restarts=record.restarts,
        cpu_seconds=used.cpu_seconds if used else None,
        rss_bytes=used.rss_bytes if used else None,
        why=record.why,
        notes=tuple(record.notes),
    )
