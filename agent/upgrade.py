"""The agent's own version. It comes like all else, as an unpacked artifact and a file that names it; the launcher tries it.

A release lays the version down at `/opt/ordain/<version>` and writes its name to `/opt/ordain/wanted`. The agent sees
that this is not what runs, asks the launcher to try it, and ends. On trial, it says that it reached its server; if it doesn't
in time, the launcher goes on with the version before. So a version goes through waves and comes back by a rollback like anything
else. Without the launcher (a container, a checkout) nothing of this happens: whoever starts the agent chooses its version.
"""

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from agent.protocol import durable

WANTED = "wanted"
"""Beside the versions: where releases say which of them should run, as its name and a line break."""
LAUNCHER, TRIAL = "ORDAIN_LAUNCHER", "ORDAIN_TRIAL"
"""Set by the launcher: where versions lie, and which of them is on trial."""
AGAIN_SECONDS = 3600
"""Until a version that did not reach its server is tried again: the server may have been away, not the version at fault."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,63}", re.ASCII)
REFUSED_LIMIT = 64 * 1024
"""Bytes of the launcher's list that are read: its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrades:
    """What this agent and its launcher say to each other; `state` is the agent's own directory."""

    state: Path
    running: str
    """The version that runs."""
    base: Path | None
    """Where versions lie, None where no launcher started this agent."""
    trial: str
    """The version as which the launcher tried this agent when it started it, "" if it did not."""

    @property
    def directory(self) -> Path:
        """Where both write."""
        return self.state / "upgrade"

    @property
    def on_trial(self) -> bool:
        """Whether the launcher waits for a word of this version; it ends the trial by removing its mark."""
        return self.trial == self.running and (self.directory / "begun").exists()

    def wanted(self) -> str | None:
        """Return the version that releases ask for, None if they ask for none, or for this one, or there is no launcher."""
        if self.base is None:
            return None
        try:
            with (self.base / WANTED).open("rb") as stream:
                name = stream.read(100).decode(errors="replace").strip()
        except OSError:
            return None
        return name if NAME.fullmatch(name) and name != self.running else None

    def problem(self) -> str | None:
        """Return in a sentence why the version that releases ask for does not run, None if it does or is about to."""
        wanted = self.wanted()
        if wanted is None or self.base is None:
            return None
        if not os.access(self.base / wanted / "bin" / "ordain-agent", os.X_OK):
            return f"{self.base / WANTED} asks for agent {wanted}, which is not in {self.base}; {self.running} goes on"
        why = self._refused(wanted)
        said = {
            "ended": "it ended at its start",
            "unreached": "it did not reach its server",
            "interrupted": "the machine went down meanwhile",
        }
        return f"agent {wanted} was tried and taken back, {said.get(why, why)}; {self.running} goes on" if why else None

    def begin(self) -> str | None:
        """Ask the launcher to try the version that is wanted, if one is due; return it. The agent must end then."""
        wanted = None if self.on_trial else self.wanted()
        if wanted is None or self.problem() is not None:
            return None
        self.directory.mkdir(mode=0o700, exist_ok=True)
        durable.replace(self.directory / "version", wanted.encode(), mode=0o600)
        return wanted

    def confirm(self) -> bool:
        """Say that this version works, if it is on trial; return whether that is news."""
        done = self.directory / "confirmed"
        if not self.on_trial or done.exists():
            return False
        durable.replace(done, b"", mode=0o600)
        return True

    def _refused(self, wanted: str) -> str | None:
        """Return how the last trial of a version failed, None if it never did, or long enough ago."""
        try:
            with (self.directory / "refused").open("rb") as stream:
                stream.seek(max(0, stream.seek(0, os.SEEK_END) - REFUSED_LIMIT))
                lines = stream.read().decode(errors="replace").splitlines()
        except OSError:
            return None
        for line in reversed(lines):
            version, _, rest = line.partition(" ")
            why, _, at = rest.partition(" ")
            if version == wanted:
                lately = not at.isdecimal() or abs(time.time() - int(at)) < AGAIN_SECONDS
                return why if why == "ended" or lately else None
        return None


def upgrades(state: Path, running: str) -> Upgrades:
    """Return what the environment says of the launcher."""
    base = os.environ.get(LAUNCHER)
    return Upgrades(state=state, running=running, base=Path(base) if base else None, trial=os.environ.get(TRIAL, ""))
