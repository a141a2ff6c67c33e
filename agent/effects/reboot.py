"""A reboot that a release asks for: when it is due, when it may be, and whether the host came back well.

What was asked of the machine is on disk before it is asked, with the boot in which that was: a boot of another name is the proof
that the host went down and came back, whatever happened in between. Until its probes held after that, the generation counts as
waiting, never as applied.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from agent.commands import Commands
from agent.disk import Disk, read_optional
from agent.effects.holding import Holding
from agent.effects.records import boot_id
from agent.host import Host
from agent.logs import Log, timestamp
from agent.protocol import codec, durable, duration
from agent.protocol.errors import OrdainError
from agent.protocol.faults import reached
from agent.protocol.state import Reboot, Struct

PLACES = ("agent:before-reboot", "agent:after-reboot")
"""Where a crash test may kill the agent here: around the command that reboots."""
REQUIRED = ("/run/reboot-required", "/var/run/reboot-required")
"""What Debian's packages leave where only a reboot brings them in."""
NEEDS_RESTARTING = "/usr/bin/needs-restarting"
"""What says so on hosts with dnf."""
ABOUT = "reboot: "
"""How every sentence about a reboot begins, so that a status that says one is known to be about no more than that."""
DOWN_SECONDS = 600
"""A host that was told to reboot and is still there after this does not reboot."""


class Asked(Struct):
    """The reboot of one fleet's generation: due since `since` (RFC 3339), asked of the machine at `at`, "" if not yet."""

    generation: int
    boot: str = ""
    """That in which it became due."""
    since: str = ""
    at: str = ""
    settled: bool = False
    """Whether it is over, or none was due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a reboot stands: nothing is due (None), it is waited for, or it failed."""

    result: Literal["waiting", "failed"] | None = None
    why: str = ""


DONE = Standing()


@dataclass(slots=True, kw_only=True)
class Rebooter:
    """Reboots this host for the fleets that ask; `command` reads the command from settings, so that it may change."""

    disk: Disk
    host: Host
    run: Commands
    log: Log
    command: Callable[[], Sequence[str]]
    refused: Callable[[], str | None]
    """Why the host's owner does not allow it, None if he does."""
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def attend(self, holding: Holding) -> Standing:
        """Take a fleet's reboot one step further, once all else of its generation runs; return how it stands.

        Raises:
            OSError: what is asked can't be written down; nothing was asked.
        """
        reboot = holding.state.reboot
        if reboot is None or holding.items is None:
            return DONE
        asked = read_optional(self._path(holding.fleet), Asked)
        if asked is None or asked.generation != holding.generation:
            if not self._is_due(reboot):
                return self._settle(holding)
            asked = Asked(generation=holding.generation, boot=boot_id(self.host.root), since=timestamp(self.now()))
            self._write(holding.fleet, asked)
        if asked.settled:
            return DONE
        if boot_id(self.host.root) != asked.boot:
            self.log.step("rebooted", fleet=holding.fleet)
            return self._settle(holding)
        return self._wait(holding, asked, reboot) if not asked.at else self._went_down(asked)

    def is_over(self, holding: Holding) -> bool:
        """Return whether no reboot of a fleet's generation is to come, or still under way."""
        asked = read_optional(self._path(holding.fleet), Asked)
        return holding.state.reboot is None or (asked is not None and asked.generation == holding.generation and asked.settled)

    def _is_due(self, reboot: Reboot) -> bool:
        return reboot.when == "always" or self._is_required()

    def _is_required(self) -> bool:
        """Return whether the system says that it must be rebooted."""
        if any(self.host.observe(path).kind != "absent" for path in REQUIRED):
            return True
        if self.host.observe(NEEDS_RESTARTING).kind == "absent":
            return False
        try:
            return self.run.run("needs-restarting", "-r").code == 1
        except OrdainError:
            return False

    def _wait(self, holding: Holding, asked: Asked, reboot: Reboot) -> Standing:
        """Reboot if a window is open, else say when it opens."""
        refused = self.refused()
        if refused is not None:
            return Standing(result="waiting", why=f"{ABOUT}due, and {refused}")
        opens = _opens(reboot, self.now())
        if opens > self.now():
            return Standing(result="waiting", why=f"{ABOUT}due; its window opens at {timestamp(opens)}")
        self._write(holding.fleet, msgspec.structs.replace(asked, at=timestamp(self.now())))
        self.log.step("reboot", fleet=holding.fleet, why=f"due since {asked.since}")
        reached("agent:before-reboot")
        try:
            ended = self.run.run(*self.command())
            failure = ended.failure if ended.code else ""
        except OrdainError as error:
            failure = str(error)
        reached("agent:after-reboot")
        if failure:
            self._write(holding.fleet, asked)
            return Standing(result="failed", why=f"{ABOUT}due, and can't be had: {failure}")
        return Standing(result="waiting", why=f"{ABOUT}the host goes down now")

    def _went_down(self, asked: Asked) -> Standing:
        """Say whether the host is about to go down, or was told to and does not."""
        seconds = (self.now() - _instant(asked.at)).total_seconds()
        if seconds < DOWN_SECONDS:
            return Standing(result="waiting", why=f"{ABOUT}the host goes down now")
        return Standing(result="failed", why=f"{ABOUT}the host was told to at {asked.at}, and is still in the same boot")

    def _settle(self, holding: Holding) -> Standing:
        self._write(holding.fleet, Asked(generation=holding.generation, settled=True))
        return DONE

    def _write(self, fleet: str, asked: Asked) -> None:
        durable.replace(self._path(fleet), codec.canonical(asked), mode=0o600)

    def _path(self, fleet: str) -> Path:
        return self.disk.fleet(fleet) / "reboot.json"


def _opens(reboot: Reboot, now: datetime) -> datetime:
    """Return when a reboot may be: now, or when its window opens next."""
    if reboot.within is None:
        return now
    from agent.protocol import windows  # noqa: PLC0415 - time zones cost two megabytes, which most hosts need not spend

    stated = {"cron": reboot.within.cron, "duration": duration.seconds(reboot.within.duration), "timeZone": reboot.within.time_zone}
    window = windows.window_of(stated)
    return now if windows.is_open(window, now) else windows.opening(window, now)


def _instant(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
