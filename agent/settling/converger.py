"""What only goes forward on this host: packages, users, kernel settings, lines in shared files.

Before a release's transaction they are brought to what it says; a failure there leaves the old generation running and an
account of what was changed. At rest they are looked at now and then: asking a package manager costs more than a poll may.
A rollback by hand does not take them back, so while one holds a fleet they are looked at and left as they are.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from agent.disk import Disk
from agent.logs import Log, timestamp
from agent.protocol.state import State
from agent.providers import converge
from agent.providers.account import Account
from agent.providers.converge import Surroundings
from agent.providers.fix import Fix
from agent.providers.item import NOBODY, Coming
from agent.reporting.status import Drift

LOOK_SECONDS = 300.0
"""Between two looks at a fleet's packages, users and settings: at a fifth of a second each that is under a tenth of a percent of a core."""
PARTS = ("repositories", "packages", "groups", "users", "modules", "sysctls", "host_files")
"""The lists of a state that this is about."""


@dataclass(slots=True, kw_only=True)
class Converger:
    """Plans and carries out fixes; lives as long as the agent, for when it looked last and what it saw."""

    disk: Disk
    here: Surroundings
    log: Log
    clock: Callable[[], float] = time.monotonic
    looked: dict[str, float] = field(default_factory=dict)
    drifts: dict[str, tuple[Drift, ...]] = field(default_factory=dict)
    """Fleet → what was not as it should be at the last look and is left so."""

    def account(self, fleet: str) -> Account:
        """Return the account of what the last apply of a fleet changed."""
        return Account(self.disk.account(fleet))

    def fixes(self, state: State, former: State, *, refresh: bool = True) -> list[Fix]:
        """Return what must change so that this host is as `state` says; raises as `converge.plan`."""
        return converge.plan(state, former, self.here, refresh=refresh) if _has_any(state, former) else []

    def carry_out(self, fleet: str, fixes: Sequence[Fix]) -> None:
        """Carry fixes out, each written down before and after; raises as `converge.carry_out`."""
        for fix in fixes:
            self.log.step("fix", fleet=fleet, resource=fix.resource, why="; ".join(fix.why))
        converge.carry_out(fixes, self.account(fleet), stopping=self.here.stopping)
        self.drifts.pop(fleet, None)

    def attend(self, fleet: str, state: State, *, held: bool) -> None:
        """Look whether what only goes forward is still as it should be, if it is time to; put it right or remember it as drift.

        Raises:
            RefusedError, RetryError: it can't be looked at, or put right, now.
        """
        if not _has_any(state) or self.clock() - self.looked.get(fleet, -LOOK_SECONDS) < LOOK_SECONDS:
            return
        self.looked[fleet] = self.clock()
        fixes = self.fixes(state, state, refresh=False)
        if fixes and state.drift == "enforce" and not held:
            self.carry_out(fleet, fixes)
            fixes = []
        since: Mapping[str, str] = {drift.path: drift.since for drift in self.drifts.get(fleet, ())}
        self.drifts[fleet] = tuple(_drift(fix, since.get(fix.resource) or timestamp()) for fix in fixes)


def coming_with(fixes: Sequence[Fix], state: State) -> Coming:
    """Return who is unknown here and will be there after the fixes: users and groups that they make, or that packages do."""
    if not fixes:
        return NOBODY
    users = frozenset(user.name for user in state.users if not user.absent)
    groups = frozenset(group.name for group in state.groups if not group.absent) | users  # a user brings a group of its name
    return Coming(users=users, groups=groups, anybody=any(fix.provider == "packages" for fix in fixes))


def _has_any(*states: State) -> bool:
    return any(getattr(state, part) for state in states for part in PARTS)


def _drift(fix: Fix, since: str) -> Drift:
    return Drift(path=fix.resource, differs=list(fix.why), expected="as the release says", actual="; ".join(fix.why), since=since)
