"""The only caller of systemctl and journalctl.

Commands are lists, wait no longer than they are told to, and what they say is bounded. An error holds what systemd said, the
unit's last lines, and what to do.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.commands import ENVIRONMENT, Commands, Ended, MissingProgramError
from agent.protocol.errors import RetryError

SHOW_SECONDS = 30.0
"""Room for a manager that is busy starting a hundred units; it answers within milliseconds otherwise."""
JOB_SECONDS = 960.0
"""Room for a unit's own time to start or stop: 90 s unless it says otherwise, 15 minutes for a container that fetches its image."""
LINES = 10
"""Lines of a unit's journal in an error: the end, where programs say what was wrong."""
SHOWN = 1500
"""Characters of those."""
SPEAKING = {**ENVIRONMENT, "TZ": "UTC", "LC_ALL": "C.UTF-8", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0", "SYSTEMD_LOG_LEVEL": "notice"}
"""What systemd's programs see: English, no colours, no pager, times in UTC."""
UNITS = "run/systemd/system"
"""Is there where systemd runs the host, sd_booted(3), and holds units until the next boot."""


_BEFORE_IT_RAN = {
    "200/CHDIR": "Its working directory is not there. ",
    "203/EXEC": "Its program is not there, or can't be executed. ",
    "217/USER": "Its user is not there. ",
    "226/NAMESPACE": "One of its read-only or private paths is not there, or the kernel gives it no mounts of its own. ",
}
"""What systemd's own exit statuses mean, systemd.exec(5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Systemd:
    """The service manager of the host whose root is `root`."""

    root: Path = Path("/")
    commands: Commands = field(default_factory=lambda: Commands(environment=SPEAKING))

    @property
    def until_boot(self) -> Path:
        """The directory of units that are gone at the next boot."""
        return self.root / UNITS

    def available(self) -> bool:
        """Return whether systemd runs this host and its programs are there."""
        if not self.until_boot.is_dir():
            return False
        try:
            return self.commands.run("systemctl", "--version", timeout=SHOW_SECONDS).code == 0
        except (MissingProgramError, RetryError):
            return False

    def version(self) -> int:
        """Return systemd's version, such as 252; 0 where it doesn't say."""
        said = self.commands.output("systemctl", "--version", timeout=SHOW_SECONDS).split()
        return int(said[1]) if len(said) > 1 and said[1].isdecimal() else 0

    def show(self, units: Sequence[str], properties: Iterable[str]) -> str:
        """Return what `systemctl show` prints for these units, or for those that a pattern such as `ordain-*.service` matches.

        Raises:
            RetryError: systemd doesn't answer, or knows a name to be none of a unit.
        """
        ended = self.commands.run("systemctl", "show", f"--property={','.join(properties)}", "--", *units, timeout=SHOW_SECONDS)
        if ended.code != 0:
            message = f"systemd can't be asked for units: {ended.failure}"
            raise RetryError(message)
        return ended.output

    def act(self, verb: str, unit: str, *options: str) -> None:
        """Run `systemctl <verb> <unit>` and wait for its end.

        Raises:
            RetryError: with systemd's words, the unit's last lines and what to do.
        """
        try:
            ended = self.commands.run("systemctl", verb, *options, "--", unit, timeout=JOB_SECONDS)
        except RetryError as error:
            message = f"systemd can't {verb} {unit}: {error}; see `systemctl status {unit}`"
            raise RetryError(message) from error
        self._require(ended, f"{verb} {unit}", unit)

    def daemon_reload(self) -> None:
        """Have the manager read all unit files anew; raises `RetryError`."""
        ended = self.commands.run("systemctl", "daemon-reload", timeout=JOB_SECONDS)
        if ended.code != 0:
            message = f"systemd can't read its unit files anew: {ended.failure}; see `journalctl -b _PID=1 -n 20`"
            raise RetryError(message)

    def last_lines(self, unit: str) -> str:
        """Return the end of what a unit said in the journal, and systemd of it; empty where that can't be read: for messages."""
        return self._journal(f"--unit={unit}", LINES)[-SHOWN:]

    def output(self, unit: str, lines: int) -> str:
        """Return the end of what a unit's own processes said in the journal; empty where that can't be read."""
        return self._journal(f"_SYSTEMD_UNIT={unit}", lines)

    def _journal(self, match: str, lines: int) -> str:
        argv = ("journalctl", "--quiet", "--no-pager", "--boot", "--output=cat", f"--lines={lines}", match)
        try:
            ended = self.commands.run(*argv, timeout=SHOW_SECONDS)
        except (MissingProgramError, RetryError):
            return ""
        return ended.output.strip() if ended.code == 0 else ""

    def _require(self, ended: Ended, what: str, unit: str) -> None:
        if ended.code == 0:
            return
        lines = self.last_lines(unit)
        quoted = f"; its last lines:\n{lines}" if lines else ""
        message = f"systemd can't {what}: {_words(ended)}{quoted}\n{_hint(ended.said, lines, unit)}"
        raise RetryError(message)


def _words(ended: Ended) -> str:
    """Return what systemctl said, less its own advice: ours comes after the unit's last lines."""
    said = " ".join(line for line in ended.said.splitlines() if not line.startswith("See "))
    return said.rstrip(".") or f"it ended with {ended.code}"


def _hint(said: str, lines: str, unit: str) -> str:
    """Return what to do about what systemctl said, and the unit's last lines, in which anybody may say anything."""
    if "not found" in said or "not be found" in said:
        return f"Give {unit} a unit file (`unit` or `source`), install the package that brings it, or correct its name."
    if " masked" in said:
        return f"Somebody masked {unit}: `systemctl unmask {unit}`, or say `masked: true` in its manifest."
    if "already exists" in said:
        return f"{unit} has a unit file of its own in /etc/systemd/system: take that or `masked` out of its manifest."
    if "too quickly" in said or "start-limit" in said:
        return f"It ended too often within too short: mend what it says above, then `systemctl reset-failed {unit}`, or release a change."
    found = next((text for code, text in _BEFORE_IT_RAN.items() if f"status={code}" in lines), "")
    return f"{found}See `systemctl status {unit}`."
