"""What can't be switched back, as a whole: a plan of fixes in the order in which one rests on another, and carrying them out.

Repositories come before the packages that are in them, packages before the users that they make, groups before users (and
after them where they go), modules before the settings that they bring. What was changed is written down before and after each
fix, for keeps: a host that dies in between leaves an account that says what was begun.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from agent.commands import Commands
from agent.host import Host
from agent.protocol import faults
from agent.protocol.errors import OrdainError, RefusedError, RetryError, disk_trouble
from agent.protocol.state import State
from agent.providers import groups, host_files, modules, sysctls, users
from agent.providers.account import Account
from agent.providers.fix import Fix
from agent.providers.packages.install import PACKAGES, manager_of, package_fixes, repository_fixes
from agent.providers.packages.patience import LOCK_WAIT, Patience, Remembered

PLACES = ("agent:fix-begun", "agent:fix-carried-out")
"""Where a crash test may kill the agent here."""

ROOT_ONLY = (PACKAGES, groups.PROVIDER, users.PROVIDER)
"""What other users can't change, whatever they may write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a plan is made for: the host, whose it is, and how its programs are run."""

    host: Host
    run: Commands
    tenant: str
    agent: str
    stopping: Callable[[], bool]
    lock_wait: float = LOCK_WAIT
    """Seconds that another package manager's lock is waited for."""
    remembered: Remembered = field(default_factory=Remembered)
    """What its package manager said last: who keeps these surroundings from look to look asks it only when something changed."""


def plan(state: State, former: State | None, here: Surroundings, *, refresh: bool = True) -> list[Fix]:
    """Return what must be changed so that this host is as `state` says; `former` is what its fleet held before, None for nothing.

    Changes nothing of the host. With `refresh`, the package manager may fetch its lists anew to learn of a version, and tries
    what it would do; a look for drift or a preview leaves that out.

    Raises:
        RefusedError: something that this host can't hold, or must not: nothing has been touched.
        RetryError: it can't be said now (a lock, a package manager that doesn't answer, a disk).
    """
    try:
        found = _plan(state, former or State(), here, refresh=refresh)
    except OSError as error:
        raise disk_trouble(error) from error
    needy = [fix.resource for fix in found if fix.provider in ROOT_ONLY] if refresh and os.geteuid() != 0 else []
    if needy:
        message = f"{needy[0]}: only root changes {', '.join(ROOT_ONLY)}: run the agent as root, or leave them out"
        raise RefusedError(message)
    return found


def _plan(state: State, former: State, here: Surroundings, *, refresh: bool) -> list[Fix]:
    host, run = here.host, here.run
    found = _of_packages(state, former, here, refresh=refresh)
    coming = None if found else frozenset(group.name for group in state.groups if not group.absent)
    of_groups = groups.fixes([group for group in state.groups if not group.absent], host=host, run=run)
    of_users = users.fixes(state.users, former.users, host=host, run=run, coming=coming)
    gone = groups.fixes([group for group in state.groups if group.absent], host=host, run=run)
    of_modules = modules.fixes(state.modules, host=host, run=run)
    live = sysctls.LIVE if host.is_whole_machine else None
    of_kernel = sysctls.fixes(state.sysctls, host=host, live=live, modules_come=bool(of_modules))
    of_files = host_files.fixes(state.host_files, former.host_files, host=host, tenant=here.tenant, agent=here.agent)
    return [*found, *of_groups, *of_users, *gone, *of_modules, *of_kernel, *of_files]


def _of_packages(state: State, former: State, here: Surroundings, *, refresh: bool) -> list[Fix]:
    """Return the fixes of repositories and packages; a host whose release has neither needs no package manager."""
    if not any((state.repositories, state.packages, former.repositories, former.packages)):
        return []
    manager = manager_of(here.host, here.run, patience=Patience(stopping=here.stopping, seconds=here.lock_wait), remembered=here.remembered)
    found = repository_fixes(state.repositories, former.repositories, manager=manager, host=here.host)
    return found + package_fixes(
        state.packages,
        former.packages,
        manager=manager,
        remembered=here.remembered,
        sources_change=bool(found),
        refresh=refresh,
    )


def carry_out(fixes: Sequence[Fix], account: Account, *, stopping: Callable[[], bool]) -> None:
    """Carry fixes out one by one, each written into `account` before and after; the account of the apply before is forgotten.

    Raises:
        RefusedError, RetryError: the first that failed; its text says what was changed before it. The rest is not begun.
    """
    if not fixes:
        return
    account.open()
    for done, fix in enumerate(fixes):
        if stopping():
            message = f"the agent ends; {_changed(fixes[:done])}"
            raise RetryError(message)
        account.begin(fix)
        faults.reached("agent:fix-begun")
        _carry_out_one(fix, fixes[:done], account)
        faults.reached("agent:fix-carried-out")
        account.end()


def _carry_out_one(fix: Fix, before: Sequence[Fix], account: Account) -> None:
    try:
        fix.carry_out()
    except (OrdainError, OSError) as error:
        said = disk_trouble(error) if isinstance(error, OSError) else error
        account.end(str(said))
        message = f"{fix.resource}: {said}; {_changed(before)}"
        kind = RefusedError if isinstance(error, RefusedError) else RetryError
        raise kind(message) from error


def _changed(before: Sequence[Fix]) -> str:
    """Say what an apply that breaks off has changed so far."""
    names = ", ".join(fix.resource for fix in before)
    return f"changed before that, and not taken back: {names}" if names else "nothing else was changed"
