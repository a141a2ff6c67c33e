"""The only caller of systemctl, systemd-run and journalctl.

Commands are lists, wait no longer than they are told to, and what they say is bounded. An error holds what systemd said, the
unit's last lines, and what to do.
"""

from collections.abc import Sequence


class Systemd:
    """The service manager of this host."""

    def available(self) -> bool:
        """Return whether systemd is this host's manager and answers."""
        raise NotImplementedError

    def show(self, units: Sequence[str], properties: Sequence[str]) -> str:
        """Return what `systemctl show` prints for these units."""
        raise NotImplementedError

    def act(self, verb: str, unit: str) -> None:
        """Run `systemctl <verb> <unit>` and wait for its end, with the unit's last lines in the error."""
        raise NotImplementedError

    def daemon_reload(self) -> None:
        """Have the manager read all unit files anew."""
        raise NotImplementedError
