"""Where the demo takes place: a temporary directory, real commands shown as they are typed, and processes that end with it."""

import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TextIO

SECONDS = 400.0
"""For the whole demo: it ends by itself, also where something hangs."""
PATIENCE = 90.0
"""Seconds to wait for any one thing: many times what it takes, for machines that do other things too."""
STOP_SECONDS = 5.0
TAIL = 25
"""Lines of a log that are shown when something did not happen."""
BIN = Path(sys.executable).parent
PLAIN_GIT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_PAGER": "cat",
    "GIT_AUTHOR_NAME": "Ana Example",
    "GIT_AUTHOR_EMAIL": "ana@example.com",
    "GIT_COMMITTER_NAME": "Ana Example",
    "GIT_COMMITTER_EMAIL": "ana@example.com",
}
"""Git without the settings of this machine: no signing keys, hooks or pagers of whoever tries the demo."""


class FailedError(Exception):
    """Something that the demo shows did not hold."""


class Stage:
    """One run of the demo. `begin` before anything else; `end` stops what runs and removes the directory."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="ordain-demo-"))
        self.environment = {**os.environ, **PLAIN_GIT, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}", "COLUMNS": "150"}
        self._deadline = time.monotonic() + SECONDS
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._logs: dict[str, Path] = {}
        self._chapters = 0
        self._bold = sys.stdout.isatty()

    # Telling

    def chapter(self, title: str) -> None:
        """Begin the next part of the story."""
        self._chapters += 1
        text = f"{self._chapters}. {title}"
        print(f"\n\033[1m{text}\033[0m\n" if self._bold else f"\n{text}\n{'-' * len(text)}\n", flush=True)

    def say(self, text: str) -> None:
        """Tell what happens, or what to look at."""
        print(text, flush=True)

    # Doing

    def run(self, command: str, *, ends: int = 0, shown: bool = True, first: int | None = None, into: str = "") -> str:
        """Run a command in the demo's directory, show it with what it prints (its `first` lines), and return its stdout.

        What it prints goes `into` a file instead, which only its owner may read, where one is named.

        Raises:
            FailedError: it ended with another code than `ends`, or did not end.
        """
        if shown:
            print(f"  $ {command}{f' > {into}' if into else ''}", flush=True)
        left = max(self._deadline - time.monotonic(), 1.0)
        try:
            done = subprocess.run(
                shlex.split(command), cwd=self.directory, env=self.environment, capture_output=True, text=True, timeout=left, check=False
            )
        except subprocess.TimeoutExpired as error:
            self.fail(f"$ {command}\ndid not end within {left:.0f} s ({error})")
        if done.returncode != ends:
            self.fail(f"$ {command}\nended with {done.returncode} instead of {ends}\n{done.stdout}{done.stderr}")
        if into:
            file = self.directory / into
            file.touch(mode=0o600)
            file.write_text(done.stdout)
        elif shown:
            self._show(done.stdout, first)
        return done.stdout

    def read(self, command: str) -> Any:
        """Run a command that prints JSON, without showing it, and return that."""
        return json.loads(self.run(command, shown=False))

    def start(self, name: str, command: str) -> None:
        """Start a process that goes on, and show how; it logs to logs/<name>.log."""
        print(f"  $ {command} &", flush=True)
        log = self._logs[name] = self.directory / "logs" / f"{name}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("ab") as stream:
            # In a session of its own, so that Ctrl-C reaches the demo alone, which then ends all in order.
            self._running[name] = subprocess.Popen(
                shlex.split(command),
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )

    def log(self, name: str) -> str:
        """Return what a process has said so far."""
        return self._logs[name].read_text(errors="replace")

    def until(self, what: str, holds: Callable[[], bool], *, process: str, pause: float = 0.02) -> float:
        """Wait until something holds, and return the seconds that took.

        Raises:
            FailedError: it does not hold in time, or `process`, whose log may tell why, has died.
        """
        began = time.monotonic()
        end = min(began + PATIENCE, self._deadline)
        while not holds():
            died = self._running[process].poll()
            if died is not None:
                self.fail(f"{process} died with exit code {died} before this held: {what}", process)
            if time.monotonic() > end:
                self.fail(f"this did not hold within {time.monotonic() - began:.0f} s: {what}", process)
            time.sleep(pause)
        return time.monotonic() - began

    def fail(self, what: str, process: str | None = None) -> NoReturn:
        """Give up, with the end of a process's log."""
        tail = self.log(process).splitlines()[-TAIL:] if process else []
        raise FailedError("\n".join([what, *([f"the end of {process}'s log:", *tail] if tail else [])]))

    # Ending

    def running(self) -> dict[str, int]:
        """Return what still runs, by name: process ids."""
        return {name: process.pid for name, process in self._running.items() if process.poll() is None}

    def end(self, left: Callable[[], None] = lambda: None) -> None:
        """Stop all processes, those that won't by force, then what they `left`, and remove the directory."""
        alive = [process for process in self._running.values() if process.poll() is None]
        for process in alive:
            process.terminate()
        until = time.monotonic() + STOP_SECONDS
        for process in alive:
            try:
                process.wait(max(until - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        left()
        shutil.rmtree(self.directory, ignore_errors=True)

    @staticmethod
    def _show(text: str, first: int | None, stream: TextIO = sys.stdout) -> None:
        lines = text.rstrip("\n").splitlines()
        kept = lines if first is None or len(lines) <= first else [*lines[:first], f"… {len(lines) - first} more lines"]
        print("".join(f"    {line}".rstrip() + "\n" for line in kept), file=stream, flush=True)


def digest(root: Path) -> str:
    """Return the SHA-256 of all that is below a directory: names, kinds, modes, times and contents."""
    total = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        info = path.lstat()
        total.update(f"{path.relative_to(root)} {info.st_mode:o} {info.st_mtime_ns} ".encode())
        if path.is_symlink():
            total.update(os.readlink(path).encode())  # noqa: PTH115 - bytes of the link itself
        elif path.is_file():
            total.update(path.read_bytes())
    return total.hexdigest()


def stop_on_signals() -> None:
    """Let SIGTERM end the demo as Ctrl-C does: in order."""

    def interrupt(number: int, frame: object) -> NoReturn:
        del number, frame
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
