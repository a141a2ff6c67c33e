"""An OPA of our own: on loopback, behind a random token, held to a bound of memory, restarted when it dies, and gone when we are.

A thread of its own starts OPA and waits for its end, for as long as the server is open: the kernel ends OPA when
the thread that started it ends (see `launch`), so no thread that comes and goes may do it. Nothing that OPA was
started with stays on disk, so a killed process leaves no files behind.
"""

import contextlib
import hashlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from agent.protocol.errors import RetryError
from reconciler.opa import ports, resident
from reconciler.opa.client import Connection, GoneError, MemoryTakenError, TimedOutError, TroubleError
from reconciler.opa.program import COLLECT_AT
from reconciler.resources import directory

START_SECONDS = 15.0
"""It answers after about 100 ms; the rest is for a machine under heavy load."""
STOP_SECONDS = 5.0
ALIVE_SECONDS = 2.0
"""It says that it is ready within a millisecond, whatever rules are at work; one that does not is stopped, or thrashes."""
TICK = 0.005
FAILED_STARTS = 3
"""So many starts in a row without an answer: it will not come up, and starting it again is no use."""
MEMORY_LIMIT = 1024 * 1024 * 1024
"""Bytes of memory that OPA may hold: measured, judging 10,000 manifests at once takes 0.2 GB. Over it, it is ended, and another started."""
COLLECT_SHARE = 0.75
"""Part of that from which on Go's collector works harder (GOMEMLIMIT), so that garbage alone does not reach the bound."""
JUDGING = "ordain.main"
"""The router of rules about fleet repositories; `policies/system/authz.rego` lists it and the others that may be asked."""
OPTIONS = (
    "--authentication=token",
    "--authorization=basic",
    "--skip-version-check",
    "--log-level=error",
    "--shutdown-grace-period=1",
    "--bundle",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An OPA that answers: the how manieth start it is, its port and its process id."""

    generation: int
    port: int
    process: int


class OpaServer:
    """A managed OPA that serves one policy bundle. Use as a context manager; safe to ask from several threads."""

    def __init__(self, opa: Path, bundle: bytes, *, memory: int = MEMORY_LIMIT, router: str = JUDGING) -> None:
        """`memory` is how many bytes OPA may hold (watched on Linux alone, see `resident`); `router` the package that is asked."""
        self._opa = opa
        self._bundle = bundle
        self._memory = memory
        self._router = router
        self._outgrown = 0
        self._turn = threading.Lock()
        self._token = secrets.token_urlsafe(32)
        self._changed = threading.Condition()
        self._running: Running | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._ended = ""
        self._thread = threading.Thread(target=self._supervise, name="opa", daemon=True)
        self._local = threading.local()

    @property
    def running(self) -> Running | None:
        """The OPA that answers now, None while there is none."""
        return self._running

    def __enter__(self) -> Self:
        """Start OPA and wait until it answers; raise `RetryError` if it does not."""
        try:
            self._await()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def begin(self) -> None:
        """Start OPA, if nobody did, without waiting for it: the first question does, and raises what `__enter__` would."""
        with self._changed:
            if self._thread.ident is None:
                self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop OPA; it holds nothing that must be written, so it is not asked."""
        self._end("it was stopped")
        if self._thread.ident is not None:
            self._thread.join(STOP_SECONDS)
        held: tuple[int, Connection] | None = getattr(self._local, "held", None)
        if held is not None:
            held[1].close()

    def query(self, package: str, rule: str, question: object, *, seconds: float) -> Any:
        """Return the value of a rule, as `Connection.query`; where OPA died meanwhile, or answers nobody, ask its successor once.

        Raises:
            RetryError: OPA does not come up again.
            MemoryTakenError: it held too much memory over this question. From the first time on, questions are put one at a time,
                so that none is blamed for another.
            TroubleError: as `Connection.query`.
        """
        running = self._await()
        if not self._outgrown:
            with contextlib.suppress(MemoryTakenError):  # which of the questions under way took it is not known
                return self._ask(running, package, rule, question, seconds)
        with self._turn:
            return self._ask(self._await(), package, rule, question, seconds)

    def _ask(self, running: Running, package: str, rule: str, question: object, seconds: float) -> Any:
        try:
            return self._put(running, package, rule, question, seconds)
        except GoneError:
            pass
        except TimedOutError:
            if self._answers(running.port, ALIVE_SECONDS):
                raise
            self._replace(running)
        return self._put(self._await(after=running), package, rule, question, seconds)

    def _put(self, running: Running, package: str, rule: str, question: object, seconds: float) -> Any:
        try:
            return self._connection(running).query(package, rule, question, seconds=seconds)
        except GoneError as error:
            if self._outgrown != running.generation:
                raise
            message = f"OPA took more than {self._memory / 1024**2:g} MiB of memory, and was ended"
            raise MemoryTakenError(message) from error

    def _replace(self, running: Running) -> None:
        """End an OPA that answers nobody, so that another one is started, unless that is done already."""
        with self._changed:
            if self._running is running and self._child is not None:
                self._child.kill()

    def _connection(self, running: Running) -> Connection:
        """Return this thread's connection to an OPA."""
        held: tuple[int, Connection] | None = getattr(self._local, "held", None)
        if held is not None and held[0] == running.generation:
            return held[1]
        if held is not None:
            held[1].close()
        connection = Connection(port=running.port, token=self._token)
        self._local.held = (running.generation, connection)
        return connection

    def _await(self, after: Running | None = None) -> Running:
        """Return the OPA that answers, or wait for one; `after` is one that was found dead."""
        self.begin()
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._running not in (None, after), START_SECONDS)
            if self._running in (None, after):
                why = self._ended or "it starts too slowly"
                message = f"OPA ({self._opa}) does not answer: {why}; try again, or name another one in ORDAIN_OPA"
                raise RetryError(message)
            return self._running

    def _end(self, why: str) -> None:
        with self._changed:
            self._ended = self._ended or why
            if self._child is not None:
                self._child.kill()
            self._changed.notify_all()

    def _supervise(self) -> None:
        """Run one OPA after another until the server is stopped, or none comes up."""
        generation, failed, why = 0, 0, ""
        while not self._ended and failed < FAILED_STARTS:
            generation += 1
            try:
                why = self._run(generation)
            except OSError as error:
                why = f"it can't be started: {error}"
            failed = failed + 1 if why else 0
        self._end(why)

    def _run(self, generation: int) -> str:
        """Run one OPA until it ends; return why it never answered, or nothing if it did."""
        with tempfile.TemporaryDirectory(prefix="ordain-opa-", ignore_cleanup_errors=True) as name:
            chosen = ports.choose()
            child = self._start(Path(name), chosen)
            running = self._settled(child, generation, chosen)
            if running is None:
                child.kill()
                return f"{_last_line(Path(name) / 'log') or 'no reason given'} (status {child.wait()})"
        self._announce(running)
        if resident.wait_within(child, self._memory):
            self._outgrown = generation  # before it ends, so that whoever waits for its answer learns why there is none
            self._announce(None)
            child.kill()
        child.wait()
        self._announce(None)
        return ""

    def _start(self, runtime: Path, port: int) -> subprocess.Popen[bytes]:
        (runtime / "judge.tar.gz").write_bytes(self._bundle)
        _write_authorization(runtime / "authz", self._token)
        launcher = [sys.executable, "-I", "-S", str(Path(__file__).with_name("launch.py")), str(os.getpid())]
        command = [*launcher, str(self._opa), "run", "--server", f"--addr=127.0.0.1:{port}", *OPTIONS, "judge.tar.gz", "authz"]
        environment = {"PATH": os.defpath, "HOME": str(runtime), "GOGC": COLLECT_AT, "GOMEMLIMIT": f"{int(self._memory * COLLECT_SHARE)}B"}
        with self._changed, (runtime / "log").open("wb") as log:
            if self._ended:
                raise InterruptedError(self._ended)
            self._child = subprocess.Popen(command, cwd=runtime, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
            return self._child

    def _settled(self, child: subprocess.Popen[bytes], generation: int, chosen: int) -> Running | None:
        """Return the OPA once it answers, None if it ended first or takes too long."""
        limit = time.monotonic() + START_SECONDS
        while child.poll() is None and time.monotonic() < limit:
            port = ports.listening(child.pid, chosen)
            if port is not None and self._answers(port, START_SECONDS):
                return Running(generation=generation, port=port, process=child.pid)
            time.sleep(TICK)
        return None

    def _answers(self, port: int, seconds: float) -> bool:
        connection = Connection(port=port, token=self._token)
        try:
            return connection.query(self._router, "ready", {}, seconds=seconds) is True
        except TroubleError:
            return False
        finally:
            connection.close()

    def _announce(self, running: Running | None) -> None:
        with self._changed:
            self._running = running
            self._changed.notify_all()


def _write_authorization(target: Path, token: str) -> None:
    """Write the bundle that decides who may ask; only the token's digest is in it."""
    target.mkdir()
    (target / ".manifest").write_text(json.dumps({"roots": ["system"], "rego_version": 1}))
    (target / "authz.rego").write_bytes((directory("policies") / "system" / "authz.rego").read_bytes())
    digest = hashlib.sha256(token.encode()).hexdigest()
    (target / "data.json").write_text(json.dumps({"system": {"token_sha256": digest}}))


def _last_line(log: Path) -> str:
    return (log.read_text(errors="replace").strip().splitlines() or [""])[-1]
