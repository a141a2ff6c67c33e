"""The agent's own directory: where each thing lies, who may write, and whose directory it is.

Two locks. `run.lock` is held by a long-running agent for as long as it lives, so that a second one is refused.
`step.lock` is held while anything changes, so that `rollback` and `recover` wait for a step to end, not for the agent.
Readers take neither: every file is replaced whole.
"""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from agent.protocol import codec, durable
from agent.protocol.errors import InputError, MalformedError, RetryError
from agent.protocol.identity import LABEL
from agent.protocol.state import Struct

T = TypeVar("T")

FORMAT = 1
LOCKS = Path("/proc/locks")
FLEETS_LIMIT = 64
"""Fleets of one host: far more than anyone runs, and a bound on what a lying server can make an agent poll."""


class Identity(Struct):
    """Whose directory this is, and how the agent that wrote it was run."""

    format: int
    tenant: str
    agent: str
    server: str
    root: str
    config: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """Paths of the state directory."""

    root: Path

    @property
    def identity(self) -> Path:
        """Whose directory this is."""
        return self.root / "agent.json"

    @property
    def bootstrap(self) -> Path:
        """The root metadata that the agent was last run with, for `plan`."""
        return self.root / "bootstrap.json"

    @property
    def contact(self) -> Path:
        """When the server last answered."""
        return self.root / "contact.json"

    @property
    def trouble(self) -> Path:
        """What is wrong on this host, whatever its fleets ask for."""
        return self.root / "trouble.json"

    @property
    def hint(self) -> Path:
        """The server's last answer to which fleets this agent is in."""
        return self.root / "hint.json"

    @property
    def journal(self) -> Path:
        """What is being changed right now."""
        return self.root / "journal.json"

    @property
    def preimages(self) -> Path:
        """What stood where the journal changes something."""
        return self.root / "preimages"

    @property
    def originals(self) -> Path:
        """What stood at managed paths before ordain came."""
        return self.root / "originals"

    @property
    def artifacts(self) -> Path:
        """Fetched artifacts by digest."""
        return self.root / "artifacts"

    @property
    def processes(self) -> Path:
        """Which processes run, and what they printed."""
        return self.root / "processes"

    @property
    def joining(self) -> Path:
        """Key and certificate of this host, where it is enrolled."""
        return self.root / "identity"

    @property
    def left(self) -> Path:
        """That this host was let go, and what became of what releases brought."""
        return self.root / "left.json"

    @property
    def spool(self) -> Path:
        """What is to be told, and the newest receipt of each fleet."""
        return self.root / "spool.json"

    @property
    def reported(self) -> Path:
        """The number of the last report."""
        return self.root / "reported.json"

    @property
    def secrets(self) -> Path:
        """This host's own keys for secrets."""
        return self.root / "secrets"

    @property
    def facts(self) -> Path:
        """What this host is."""
        return self.root / "facts.json"

    @property
    def services(self) -> Path:
        """What units of systemd are known to have read."""
        return self.root / "services.json"

    @property
    def fleets(self) -> Path:
        """A directory for each fleet."""
        return self.root / "fleets"

    def fleet(self, name: str) -> Path:
        """The directory of one fleet."""
        return self.fleets / name

    def account(self, fleet: str) -> Path:
        """What the last apply of a fleet changed that a rollback does not take back."""
        return self.fleet(fleet) / "account.json"

    def known_fleets(self) -> list[str]:
        """Return the fleets that were verified here at least once, sorted."""
        if not self.fleets.is_dir():
            return []
        return sorted(entry.name for entry in self.fleets.iterdir() if LABEL.fullmatch(entry.name) and (entry / "floors.json").is_file())

    def shown_fleets(self) -> list[str]:
        """Return the fleets that there is something to say of, verified or not, sorted."""
        if not self.fleets.is_dir():
            return []
        return sorted({*self.known_fleets(), *(entry.parent.name for entry in self.fleets.glob("*/status.json"))})

    def forget_unverified(self, followed: set[str]) -> None:
        """Forget fleets that were never verified and are no longer heard of: a lying server must not fill the disk."""
        made = {entry.name for entry in self.fleets.iterdir()} if self.fleets.is_dir() else set()
        for fleet in made - set(self.known_fleets()) - followed:
            shutil.rmtree(self.fleet(fleet), ignore_errors=True)

    def read_identity(self) -> Identity:
        """Return whose directory this is; raise `InputError` if no agent has run here."""
        try:
            return codec.decode(self.identity.read_bytes(), Identity, what=str(self.identity))
        except FileNotFoundError as error:
            message = f"{self.root}: no agent has run with this state directory; give --state, or run `ordain-agent run` first"
            raise InputError(message) from error
        except OSError as error:
            message = f"{self.identity}: {error.strerror}"
            raise InputError(message) from error

    def claim(self, identity: Identity, bootstrap: bytes) -> None:
        """Make this directory the agent's, or check that it already is; call it with a lock held.

        Raises:
            InputError: it belongs to another agent, whose floors and generations must not be mixed with ours.
        """
        if self.identity.exists():
            known = self.read_identity()
            if (known.tenant, known.agent, known.root) != (identity.tenant, identity.agent, identity.root):
                message = (
                    f"{self.root} belongs to agent {known.tenant}/{known.agent} with root {known.root}; "
                    f"give {identity.tenant}/{identity.agent} a --state of its own"
                )
                raise InputError(message)
        durable.replace(self.bootstrap, bootstrap, mode=0o600)
        durable.replace(self.identity, codec.canonical(identity), mode=0o600)

    @contextlib.contextmanager
    def lock(self, name: str, *, wait: float, refused: str) -> Iterator[None]:
        """Hold a lock of this directory; raise `RetryError` with `refused` if it stays taken for `wait` seconds."""
        self.make()
        descriptor = os.open(self.root / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _acquire(descriptor, time.monotonic() + wait, f"{self.root}: {refused}")
            yield
        finally:
            os.close(descriptor)

    def holder(self, name: str) -> int | None:
        """Return the pid of the process that holds a lock of this directory, as the kernel knows it; None if nobody does."""
        try:
            inode = (self.root / f"{name}.lock").stat().st_ino
            lines = LOCKS.read_text().splitlines()
        except OSError:
            return None
        held = (line.split() for line in lines if "->" not in line)
        pids = [int(fields[4]) for fields in held if fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == str(inode)]
        return next((pid for pid in pids if pid > 0), None)

    def make(self) -> None:
        """Create the directory, for its owner only: states may hold what others should not read."""
        try:
            durable.make_directory(self.root, mode=0o700)
        except OSError as error:
            message = f"--state {self.root}: {error.strerror}"
            raise InputError(message) from error


def _acquire(descriptor: int, deadline: float, refused: str) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                raise RetryError(refused) from error
            time.sleep(0.05)
        else:
            return


def read_optional(path: Path, kind: type[T]) -> T | None:
    """Return the document at `path`, None if there is none; raise `MalformedError` if it is damaged."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise MalformedError(message) from error
    return codec.decode(data, kind, what=str(path))
