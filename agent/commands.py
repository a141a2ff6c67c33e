"""The one place that runs a program of the host: package managers, useradd, systemctl, a file's check.

Never a shell. A program sees a fixed environment and nothing of the agent's own, so that what it does and says does not depend
on how the agent was started; its output is in English and UTF-8. It gets a group of its own, is ended with all of it when its
time is up, and what it prints goes to files that have no name, so a daemon that it leaves behind can't hold us up.
"""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.protocol.errors import RefusedError, RetryError

SECONDS = 60.0
"""Room for a slow disk or a name that doesn't resolve; whoever runs something longer says so."""
OUTPUT_LIMIT = 16 * 1024 * 1024
"""Bytes that a program may print: a list of 100,000 packages has 6 MiB. More is a program gone wild."""
SHOWN = 2000
"""Characters of output in an error: the end, where programs say what was wrong."""
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/"}
"""All that a program sees."""
_TICK = 0.5
"""Seconds between two looks at how much a running program has printed."""


class MissingProgramError(RefusedError):
    """The host has no such program, or may not run it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a program ended and what it said."""

    argv: tuple[str, ...]
    code: int
    """Its exit status; negative is the signal that ended it."""
    output: str
    """All of its standard output (and of standard error, where `together`)."""
    errors: str
    """The end of its standard error."""

    @property
    def said(self) -> str:
        """The end of what it said, errors first: for messages."""
        return self.errors or self.output.strip()[-SHOWN:]

    @property
    def failure(self) -> str:
        """That and how it failed, for an error's text: `dpkg ended with 2: …`."""
        return f"{self.argv[0]} ended with {self.code}" + (f": {self.said}" if self.said else " and said nothing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """Runs programs; `environment` is all that they see."""

    environment: Mapping[str, str] = field(default_factory=lambda: ENVIRONMENT)

    def run(
        self,
        *argv: str,
        timeout: float = SECONDS,
        text: str = "",
        environment: Mapping[str, str] | None = None,
        together: bool = False,
        sweep: bool = False,
    ) -> Ended:
        """Run a program to its end, with `text` on its standard input and `environment` added to what it sees.

        `together` puts standard error into the output, in the order in which it was said. `sweep` ends what the program leaves
        running in its group.

        Raises:
            MissingProgramError: it can't be started.
            RetryError: it did not end within `timeout` seconds or printed too much, and was killed with all that it started.
        """
        with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            said.write(text.encode())
            said.seek(0)
            process = self._start(
                argv, (said.fileno(), output.fileno(), output.fileno() if together else errors.fileno()), environment or {}
            )
            finished = False
            try:
                code = _wait(process, argv[0], timeout, (output.fileno(), errors.fileno()))
                finished = True
            finally:
                if sweep or not finished:
                    _end(process)
            return Ended(
                argv=argv, code=code, output=_content(output.fileno()), errors=_content(errors.fileno(), SHOWN * 4).strip()[-SHOWN:]
            )

    def output(self, *argv: str, timeout: float = SECONDS, environment: Mapping[str, str] | None = None) -> str:
        """Run a program that must succeed and return its standard output; raises as `run`, and `RetryError` with what it said."""
        ended = self.run(*argv, timeout=timeout, environment=environment)
        if ended.code != 0:
            raise RetryError(ended.failure)
        return ended.output

    def _start(self, argv: tuple[str, ...], streams: tuple[int, int, int], added: Mapping[str, str]) -> subprocess.Popen[bytes]:
        given, output, errors = streams
        environment = {**self.environment, **added}
        try:
            return subprocess.Popen(argv, stdin=given, stdout=output, stderr=errors, env=environment, cwd="/", start_new_session=True)
        except OSError as error:
            message = f"{argv[0]} can't be run: {error.strerror}"
            raise MissingProgramError(message) from error


def _wait(process: subprocess.Popen[bytes], name: str, timeout: float, outputs: tuple[int, ...]) -> int:
    deadline = time.monotonic() + timeout
    while True:
        left = deadline - time.monotonic()
        try:
            return process.wait(max(0.0, min(_TICK, left)))
        except subprocess.TimeoutExpired as error:
            if left <= 0:
                message = f"{name} did not end within {timeout:.0f} s"
                raise RetryError(message) from error
            if any(os.fstat(output).st_size > OUTPUT_LIMIT for output in outputs):
                message = f"{name} printed more than {OUTPUT_LIMIT // 1024 // 1024} MiB"
                raise RetryError(message) from error


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program and all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def _content(descriptor: int, limit: int = OUTPUT_LIMIT) -> str:
    """Return the last `limit` bytes of a file as text."""
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, limit, max(0, size - limit)).decode(errors="replace")
