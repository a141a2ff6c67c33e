"""The agent's side of a launch: a waiting child, whose pid can be written down before its program begins."""

import contextlib
import marshal
import os
import select
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from agent.processes import kin
from agent.processes.resolve import Launch
from agent.protocol.errors import RefusedError, RetryError

SECONDS = 60.0
"""Room for a launch on a machine that is short of everything; a working directory on a disk that hangs takes longer."""
LAUNCH = str(Path(__file__).with_name("launch.py"))
_LINES = 16 * 1024
"""Bytes of notes that a launch may write: some dozen lines."""


@dataclass(slots=True, kw_only=True)
class Waiting:
    """A child that waits for the word to execute its program; dropped without it, it ends by itself."""

    pid: int
    began: int
    talk: socket.socket

    def go(self) -> tuple[str, ...]:
        """Let the program begin, and return the launch's notes when it has.

        Raises:
            RetryError: it could not be executed, and the child is gone.
        """
        lines = self._hear()
        failures = [line.removeprefix("fail ") for line in lines if line.startswith("fail ")]
        if failures:
            self.drop()
            raise RetryError(failures[0])
        self.talk.close()
        return tuple(line.removeprefix("note ") for line in lines)

    def drop(self) -> None:
        """End the child, whose program has not begun."""
        self.talk.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def _hear(self) -> list[str]:
        """Return all lines of the launch: its end of the socket closes when the program begins, or when it fails."""
        self.talk.settimeout(SECONDS)
        data = b""
        try:
            self.talk.send(b"g")
            while len(data) < _LINES and (more := self.talk.recv(_LINES)):
                data += more
        except TimeoutError:
            data += b"\nfail it could not be executed within a minute; is its working directory on a disk that hangs?"
        except OSError:
            data += b"\nfail it was killed before it began"
        return [line for line in data.decode(errors="replace").splitlines() if line]


def require_kernel() -> None:
    """Raise `RefusedError` where processes can't be held by descriptors, as all here relies on."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError) as error:
        message = f"this kernel ({os.uname().release}) can't watch processes by descriptors (pidfd_open, Linux 5.3): upgrade it"
        raise RefusedError(message) from error


def spawn(launch: Launch, *, output: int, group: str) -> Waiting:
    """Return a child that prepares itself to be this process, and then waits.

    `output` is a descriptor that it writes to, `group` its control group, empty if it has none. Raises `OSError`.
    """
    ours, theirs = socket.socketpair()
    plan = os.memfd_create("plan", os.MFD_CLOEXEC)
    try:
        os.write(plan, _written(launch, group))
        streams = [(os.POSIX_SPAWN_DUP2, descriptor, number) for number, descriptor in enumerate((plan, theirs.fileno(), output))]
        pid = os.posix_spawn(sys.executable, [sys.executable, "-I", "-S", LAUNCH], _environment(), file_actions=streams)
    except BaseException:
        ours.close()
        raise
    finally:
        os.close(plan)
        theirs.close()
    alive = kin.read(pid)  # ours to reap, so it is there, if only as a zombie
    return Waiting(pid=pid, began=alive.began if alive else 0, talk=ours)


def _environment() -> dict[str, str]:
    """Return what the launch's own interpreter needs: nothing, unless its libraries were told by a variable."""
    return {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}


def _written(launch: Launch, group: str) -> bytes:
    account = launch.account
    return marshal.dumps(
        {
            "command": list(launch.command),
            "environment": dict(launch.environment),
            "directory": launch.directory,
            "uid": account.uid,
            "gid": account.gid,
            "groups": None if account.groups is None else list(account.groups),
            "limits": list(launch.limits),
            "read_only": list(launch.read_only),
            "private": list(launch.private),
            "no_new_privileges": launch.no_new_privileges,
            "group": group,
        },
    )


@dataclass(slots=True, kw_only=True)
class Child:
    """A main process that runs, by a descriptor that no other process can come to have."""

    pid: int
    began: int
    descriptor: int

    def send(self, number: int) -> None:
        """Send it a signal; one that is gone gets none."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.descriptor, number)

    def wait(self, seconds: float) -> bool:
        """Return whether it has ended, after `seconds` at the latest."""
        poll = select.poll()
        poll.register(self.descriptor, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def reap(self) -> int | None:
        """Return how it ended: its exit code, or the signal's number negated; None if we are not its parent. Call it once."""
        code = None
        with contextlib.suppress(ChildProcessError):
            result = os.waitid(os.P_PIDFD, self.descriptor, os.WEXITED | os.WNOHANG)
            if result is not None:
                code = result.si_status if result.si_code == os.CLD_EXITED else -result.si_status
        os.close(self.descriptor)
        return code


def take(pid: int, began: int) -> Child | None:
    """Return the process with this pid and start time, None if it is gone, though another may have its pid now.

    A child of ours is not gone until it is reaped.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    alive = kin.read(pid)  # read after it was opened: so it is that very process, or it is gone
    if alive is None or alive.began != began or (alive.is_zombie and alive.parent != os.getpid()):
        os.close(descriptor)
        return None
    return Child(pid=pid, began=began, descriptor=descriptor)
