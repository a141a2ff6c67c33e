"""Groups of the host. One that leaves the release stays; only `absent` removes one, and never one with the number 0."""

from collections.abc import Callable, Iterator, Sequence

from agent.commands import Commands
from agent.host import Host
from agent.protocol.errors import RefusedError
from agent.protocol.state import Group
from agent.providers import accounts
from agent.providers.accounts import Accounts
from agent.providers.fix import Fix

PROVIDER = "groups"


def fixes(wanted: Sequence[Group], *, host: Host, run: Commands) -> list[Fix]:
    """Return what brings groups to `wanted`, those to be removed at the end: their users go before.

    Raises:
        RefusedError: a group that must not be touched, a number that is taken, or one that runs processes.
    """
    if not wanted:
        return []
    found = accounts.look(host, [group.name for group in wanted])
    made = list(_fixes([group for group in wanted if not group.absent], found, host, run))
    return [*made, *_fixes([group for group in wanted if group.absent], found, host, run)]


def differences(group: Group, found: Accounts) -> tuple[str, ...]:
    """Return in what a group differs from what is wanted, empty if in nothing. Pure."""
    gid = found.gids.get(group.name)
    if group.absent:
        return () if gid is None else (f"group {group.name} is there, and should not be",)
    if gid is None:
        return (f"group {group.name} is missing",)
    return () if group.gid in (None, gid) else (f"group {group.name} has the number {gid}, not {group.gid}",)


def require(group: Group, found: Accounts) -> None:
    """Raise `RefusedError` for a group that must not be, or become, what is wanted. Pure."""
    accounts.require_name(group.name, "group")
    gid = found.gids.get(group.name)
    if 0 in (gid, group.gid):
        message = f"group {group.name}: the group with the number 0 is the machine's own and is never changed"
        raise RefusedError(message)
    taken = next((name for name, number in found.gids.items() if number == group.gid and name != group.name), None)
    if taken is not None and not group.absent:
        message = f"group {group.name}: the number {group.gid} belongs to group {taken}; give another, or none"
        raise RefusedError(message)


def _fixes(wanted: Sequence[Group], found: Accounts, host: Host, run: Commands) -> Iterator[Fix]:
    for group in wanted:
        why = differences(group, found)
        if not why:
            continue
        require(group, found)
        _require_unused(group, found, host)
        yield Fix(provider=PROVIDER, resource=f"group/{group.name}", why=why, carry_out=_carry_out(group, host, run))


def _require_unused(group: Group, found: Accounts, host: Host) -> None:
    gid = found.gids.get(group.name)
    if gid is None:
        return
    process = accounts.running(host, gid=gid)
    if process:
        message = f"group {group.name}: process {process} runs as it; stop that first, in a release of its own"
        raise RefusedError(message)


def _carry_out(group: Group, host: Host, run: Commands) -> Callable[[], None]:
    def carry_out() -> None:
        found = accounts.look(host, [group.name])
        if not differences(group, found):
            return  # a user took its own group with it, say
        require(group, found)
        number = () if group.gid is None else ("--gid", str(group.gid))
        if group.absent:
            accounts.change(host, run, "groupdel", group.name)
        elif group.name in found.gids:
            accounts.change(host, run, "groupmod", *number, group.name)
        else:
            accounts.change(host, run, "groupadd", *number, *(("--system",) if group.system else ()), group.name)

    return carry_out
