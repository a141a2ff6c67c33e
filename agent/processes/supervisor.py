"""The supervisor: keeps processes running on a host without systemd, and finds them again after its own end.

Whoever calls decides what is started and stopped, and in which order. A thread notices ends, and starts again what was
started before and is still wanted just so, as `policy` says. One lock guards what is known; it is not held while a process
takes its time to stop. A process that was adopted has another parent, so nobody is told how it ends: that counts as a failure.
"""

import os
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from agent.host import Host
from agent.logs import Log
from agent.processes import cgroups as groups
from agent.processes import kin, policy
from agent.processes.families import Families
from agent.processes.interface import Seen, Wanted
from agent.processes.output import Output, Rotation
from agent.processes.policy import History
from agent.processes.records import Record, Records, boot_id
from agent.processes.resolve import Launch
from agent.processes.spawn import Child, require_kernel, take
from agent.processes.standing import decided, history_of, said, seconds_to, seen_of
from agent.processes.starter import Starter
from agent.processes.usage import measure
from agent.processes.watch import Next, Watch
from agent.protocol import duration
from agent.protocol.errors import RefusedError, RetryError, disk_trouble
from agent.protocol.faults import reached
from agent.protocol.identity import require_label
from agent.protocol.state import Process

PLACES = ("processes:ended", "processes:stopping", "processes:stopped")
"""Where a crash test may kill the agent here."""


@dataclass(slots=True, kw_only=True)
class _Entry:
    """What is known of one process; without a child it doesn't run."""

    record: Record
    child: Child | None = None
    is_stopping: bool = False
    """Whether a caller is at it: the thread keeps off."""


class Supervisor:
    """Has the methods of `agent.processes.interface.Processes`, whose documentation says what they do.

    What ran when an earlier agent with this `directory` ended is watched from here on, and started again once `want` was called.
    """

    def __init__(
        self, directory: Path, *, host: Host, log: Log, cgroups: groups.Cgroups | None = None, rotation: Rotation | None = None
    ) -> None:
        self._log = log
        self._records = Records(directory / "records")
        self._rotation = rotation or Rotation()
        self._output = Output(directory / "output", self._rotation)
        self._families = Families(directory)
        self._starter = Starter(host=host, families=self._families, records=self._records, output=self._output, cgroups=cgroups)
        self._lock = threading.RLock()
        self._wanted: dict[str, Wanted] = {}
        self._is_told = False
        """Whether `want` was called."""
        self._entries: dict[str, _Entry] = {}
        self._rotated = time.monotonic()
        self._watch = Watch(self._attend, log)
        self._adopt()
        self._watch.start()

    def require(self, process: Process) -> tuple[str, ...]:
        """Return warnings about what can't be kept here; raise `RefusedError` if it can't be run here at all."""
        require_label(process.name, "process")
        require_kernel()
        return self._starter.resolve(process).notes

    def want(self, processes: Mapping[str, Wanted]) -> None:
        """Say which processes there should be; changes nothing that runs."""
        with self._lock:
            self._wanted, self._is_told = dict(processes), True
            for name, entry in list(self._entries.items()):
                if entry.child is None and name not in self._wanted:
                    self._forget(name)
            self._output.prune({*self._wanted, *self._entries})
        self._watch.wake()

    def start(self, name: str) -> None:
        """Start a wanted process, unless it runs; raise `RefusedError` if it can't be, `RetryError` if it will be tried again."""
        with self._lock:
            wanted = self._asked(name)
            self._notice_ends()
            entry = self._entries.get(name)
            if entry is None or entry.child is None:
                self._begin(wanted, self._starter.resolve(wanted.process), history=History())

    def stop(self, name: str) -> None:
        """End a process and all it started; raise `RetryError` if something of it can't be."""
        with self._lock:
            self._notice_ends()
            entry = self._entries.get(name)
            if entry is None:
                return
            entry.is_stopping = True
            self._keep(name, entry, msgspec.structs.replace(entry.record, stopping=True))
        reached("processes:stopping")
        try:
            self._bring_down(name, entry)
        finally:
            with self._lock:
                self._settle_stop(name, entry)

    def restart(self, name: str) -> None:
        """Stop and start a process, and forget how often it failed; one that can't be run here goes on as it was."""
        self._starter.resolve(self._asked(name).process)
        self.stop(name)
        self.start(name)

    def look(self) -> dict[str, Seen]:
        """Return how each process stands that is wanted or still there, by name."""
        with self._lock:
            self._notice_ends()
            records = {name: entry.record for name, entry in self._entries.items()}
            running = {name: entry.record for name, entry in self._entries.items() if entry.child is not None}
            never = set(self._wanted) - set(records)
        found = self._families.find_all(running) if running else {}
        used = {name: measure(alive, records[name].group) for name, alive in found.items()}
        known = {name: seen_of(record, used.get(name)) for name, record in records.items()}
        return known | {name: Seen(standing="stopped") for name in never}

    def tail(self, name: str) -> str:
        """Return the end of its output, at most 4 KiB."""
        return self._output.tail(require_label(name, "process"))

    def close(self, *, leave_running: bool = True) -> None:
        """End the watching; processes go on, unless they are to be stopped too."""
        if not leave_running:
            for name in list(self._entries):
                self.stop(name)
        self._watch.close()
        for entry in self._entries.values():
            if entry.child is not None:
                os.close(entry.child.descriptor)

    # Beginning

    def _asked(self, name: str) -> Wanted:
        wanted = self._wanted.get(name)
        if wanted is None:
            message = f"process/{name} is not wanted, so it can't be started"
            raise RefusedError(message)
        return wanted

    def _adopt(self) -> None:
        boot = boot_id()
        for name, record in self._records.read():
            if record is None:
                self._log.step("problem", process=name, why="its record is damaged; it is ended, and started again if it is wanted")
                self._families.end(name, None)
            if record is None or record.boot != boot:
                self._records.forget(name)
                continue
            child = None
            if record.pid is not None and record.began is not None:
                child = take(record.pid, record.began)
            self._entries[name] = _Entry(record=record, child=child)
            if child is None and record.standing == "running":  # it ended while no agent was there
                self._ended(name, self._entries[name])

    def _begin(self, wanted: Wanted, launch: Launch, *, history: History, restarts: int = 0, why: str = "") -> None:
        """Start a process; raise `RetryError` if that came to nothing, after its next try was settled."""
        process = wanted.process
        rules = policy.rules_of(process)
        history = policy.started(rules, history, time.monotonic())
        record = self._starter.record(wanted, launch, history=history, restarts=restarts, why=why)
        try:
            record, child = self._starter.begin(process, launch, record)
        except RetryError as error:
            decision = policy.after_end(rules, history, code=None, now=time.monotonic())
            self._keep(process.name, _Entry(record=record), decided(record, decision, str(error)))
            message = f"process/{process.name}: {error}"
            raise RetryError(message) from error
        self._entries[process.name] = _Entry(record=record, child=child)
        self._watch.wake()
        self._log.step("process", process=process.name, did="start", pid=child.pid, restarts=restarts or None)

    def _again(self, name: str, entry: _Entry) -> None:
        """Start a process again whose wait is over; one that is no longer wanted just so stays as it is."""
        record = entry.record
        if not self._is_wanted_so(name, record):
            self._keep(name, entry, msgspec.structs.replace(record, standing="stopped"))
            return
        wanted, history = self._wanted[name], history_of(record)
        try:
            launch = self._starter.resolve(wanted.process)
        except (RefusedError, OSError) as error:  # its user is gone, say: that may be mended as well
            decision = policy.after_end(policy.rules_of(record.process), history, code=None, now=time.monotonic())
            self._keep(name, entry, decided(record, decision, str(error)))
            return
        try:
            self._begin(wanted, launch, history=history, restarts=record.restarts + 1, why=record.why)
        except RetryError as error:
            self._log.step("problem", process=name, why=str(error))

    # Ends

    def _attend(self) -> Next:
        """Notice what has ended, start again what is due, rotate outputs; return what to wait for."""
        with self._lock:
            self._notice_ends()
            for name, entry in list(self._entries.items()):
                if self._is_waiting(entry) and seconds_to(entry.record) <= 0:
                    self._again(name, entry)
            entries = [entry for entry in self._entries.values() if not entry.is_stopping]
            times = [seconds_to(entry.record) for entry in entries if self._is_waiting(entry)]
            if self._entries:
                times.append(self._rotate())
            descriptors = [entry.child.descriptor for entry in entries if entry.child is not None]
            return Next(descriptors=descriptors, seconds=min(times, default=None))

    def _is_waiting(self, entry: _Entry) -> bool:
        return self._is_told and entry.record.standing == "waiting" and not entry.is_stopping

    def _notice_ends(self) -> None:
        for name, entry in list(self._entries.items()):
            if entry.child is not None and not entry.is_stopping and entry.child.wait(0):
                self._ended(name, entry)

    def _ended(self, name: str, entry: _Entry) -> None:
        """Clear up after a main process that has ended, and settle what comes next."""
        record, child = entry.record, entry.child
        ran_out = bool(record.group) and groups.ran_out_of_memory(Path(record.group))
        try:
            self._families.end(name, record)  # before it is reaped: until then its pid, and its session's number, are its own
        except RetryError as error:
            self._log.step("problem", process=name, why=str(error))
        code = child.reap() if child is not None else None
        entry.child = None
        reached("processes:ended")
        why = said(code, ran_out=ran_out, stopping=record.stopping)
        self._log.step("process", process=name, did="end", why=why)
        self._keep(name, entry, self._after_end(name, record, code, why))

    def _after_end(self, name: str, record: Record, code: int | None, why: str) -> Record:
        if record.stopping or not self._is_wanted_so(name, record):
            return msgspec.structs.replace(record, pid=None, began=None, stopping=False, standing="stopped", why=why)
        decision = policy.after_end(policy.rules_of(record.process), history_of(record), code=code, now=time.monotonic())
        return decided(record, decision, why)

    def _is_wanted_so(self, name: str, record: Record) -> bool:
        """Return whether a process is wanted as it was started; until we are told what is wanted, all of them are."""
        return not self._is_told or (name in self._wanted and self._wanted[name].digest == record.digest)

    def _bring_down(self, name: str, entry: _Entry) -> None:
        """Ask the main process to end, then the rest, and kill what is left when its time is up."""
        record, child = entry.record, entry.child
        if child is None:
            return
        number, seconds = signal.Signals[record.process.stop_signal], duration.seconds(record.process.stop_timeout)
        deadline = time.monotonic() + seconds
        self._families.find(name, record)  # so that those are remembered who are about to lose their parents
        child.send(number)
        child.send(signal.SIGCONT)
        child.wait(seconds)
        self._families.ask(name, record, number, deadline)
        self._families.end(name, record)
        child.wait(kin.KILL_SECONDS)
        reached("processes:stopped")

    def _settle_stop(self, name: str, entry: _Entry) -> None:
        entry.is_stopping = False
        if entry.child is None:
            self._keep(name, entry, msgspec.structs.replace(entry.record, standing="stopped", stopping=False))
        elif entry.child.wait(0):
            self._ended(name, entry)
        if entry.child is None and name not in self._wanted:
            self._forget(name)

    # What is kept

    def _keep(self, name: str, entry: _Entry, record: Record) -> None:
        """Keep how a process stands; where the disk takes nothing, in memory at least, and the next change is written again."""
        entry.record = record
        self._entries[name] = entry
        self._watch.wake()  # whoever noticed it: the thread may wait for something else
        try:
            self._records.put(name, record)
        except OSError as error:
            self._log.step("problem", process=name, why=str(disk_trouble(error)))

    def _forget(self, name: str) -> None:
        del self._entries[name]
        try:
            self._records.forget(name)
        except OSError as error:
            self._log.step("problem", process=name, why=str(disk_trouble(error)))

    def _rotate(self) -> float:
        """Rotate outputs that grew too large, now and then; return the seconds to the next time."""
        left = self._rotated + self._rotation.every - time.monotonic()
        if left > 0:
            return left
        self._rotated = time.monotonic()
        for name in self._entries:
            try:
                self._output.rotate(name)
            except OSError as error:
                self._log.step("problem", process=name, why=str(disk_trouble(error)))
        return self._rotation.every


def supervise(directory: Path, *, host: Host, log: Log) -> Supervisor:
    """Return the supervisor of an agent whose processes are known in `directory`; control groups only where it has a whole machine."""
    found = groups.find(directory) if host.is_whole_machine else None
    return Supervisor(directory, host=host, log=log, cgroups=found)
