"""Users of the host. One that leaves the release stays as it is; only `absent` removes one, and its home is kept even then.

A new user has no password (it is locked), a home that is made unless it is one of the system's, and a group of its own name
where the release names none. What the release leaves out is not compared later. `groups` is compared as a whole where it names
any; where it no longer does, those that the release before named are taken away. The user with the number 0 is never touched.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from agent.commands import Commands
from agent.host import Host, require_path
from agent.protocol.errors import RefusedError
from agent.protocol.state import User
from agent.providers import accounts
from agent.providers.accounts import Account, Accounts
from agent.providers.fix import Fix

PROVIDER = "users"
NO_LOGIN = "/usr/sbin/nologin"
"""Shell of a new user of the system's where the release names none."""


def fixes(
    wanted: Sequence[User], former: Sequence[User], *, host: Host, run: Commands, coming: frozenset[str] | None = frozenset()
) -> list[Fix]:
    """Return what brings users to `wanted`; `former` are those of the release before.

    `coming` are the groups that are made first, None where packages are installed first, which may make any.

    Raises:
        RefusedError: a user that must not be touched, a number that is taken, a group that is not there, or one whose
            number would change, or that would be removed, while processes run as it.
    """
    if not wanted:
        return []
    found = accounts.look(host, _names(wanted))
    before = {user.name: frozenset(user.groups) for user in former}
    return list(_fixes(wanted, before, found, coming, host=host, run=run))


def differences(user: User, left: frozenset[str], found: Accounts) -> tuple[str, ...]:
    """Return in what a user differs from what is wanted; `left` are groups that the release before named. Pure."""
    account = found.users.get(user.name)
    if user.absent:
        return () if account is None else (f"user {user.name} is there, and should not be",)
    if account is None:
        return (f"user {user.name} is missing",)
    return tuple(f"user {user.name} has {what} {old or 'none'}, not {new or 'none'}" for what, old, new in _compared(user, left, found))


def require(user: User, found: Accounts, coming: frozenset[str] | None) -> None:
    """Raise `RefusedError` for a user that must not be, or become, what is wanted. Pure."""
    accounts.require_name(user.name, "user")
    account = found.users.get(user.name)
    if user.uid == 0 or user.name == "root" or (account is not None and account.uid == 0):
        message = f"user {user.name}: the user with the number 0 is the machine's own and is never changed"
        raise RefusedError(message)
    if user.absent:
        return
    taken = next((other.name for other in found.users.values() if other.uid == user.uid and other.name != user.name), None)
    if taken is not None:
        message = f"user {user.name}: the number {user.uid} belongs to user {taken}; give another, or none"
        raise RefusedError(message)
    for group in (*user.groups, *([user.group] if user.group else [])):
        accounts.require_name(group, f"user {user.name}: group")
        if coming is not None and group not in {*found.gids, *coming}:
            message = f"user {user.name}: there is no group {group}; add it to the component's groups"
            raise RefusedError(message)
    for path in filter(None, (user.home, user.shell)):
        require_path(path)
    if user.comment is not None and (":" in user.comment or not user.comment.isprintable()):
        message = f"user {user.name}: its comment has a colon or a character that can't be printed"
        raise RefusedError(message)


def _names(wanted: Sequence[User]) -> list[str]:
    """Return all users and groups that are named."""
    return [name for user in wanted for name in (user.name, user.group, *user.groups) if name]


def _compared(user: User, left: frozenset[str], found: Accounts) -> Iterator[tuple[str, str, str]]:
    """Yield (what, as it is, as it should be) of what differs in a user that is there."""
    account = found.users[user.name]
    pairs = (
        ("the number", str(account.uid), None if user.uid is None else str(user.uid)),
        ("the group", found.group_of(account), user.group),
        ("the home", account.home, user.home),
        ("the shell", account.shell, user.shell),
        ("the comment", account.comment, user.comment),
        ("the groups", ",".join(sorted(account.groups)), ",".join(sorted(_groups(user, left, account)))),
    )
    for what, old, new in pairs:
        if new is not None and new != old:
            yield what, old, new


def _groups(user: User, left: frozenset[str], account: Account) -> frozenset[str]:
    return frozenset(user.groups) - {user.group} if user.groups else account.groups - left


def _fixes(
    wanted: Sequence[User],
    before: Mapping[str, frozenset[str]],
    found: Accounts,
    coming: frozenset[str] | None,
    *,
    host: Host,
    run: Commands,
) -> Iterator[Fix]:
    for user in sorted(wanted, key=lambda one: not one.absent):  # those that go may have the numbers of those that come
        left = before.get(user.name, frozenset())
        why = differences(user, left, found)
        if not why:
            continue
        require(user, found, coming)
        _require_idle(user, found, host)
        yield Fix(provider=PROVIDER, resource=f"user/{user.name}", why=why, carry_out=_carry_out(user, left, host, run))


def _require_idle(user: User, found: Accounts, host: Host) -> None:
    account = found.users.get(user.name)
    if account is None or not (user.absent or user.uid not in (None, account.uid)):
        return
    process = accounts.running(host, uid=account.uid)
    if process:
        what = "removed" if user.absent else "given another number"
        message = f"user {user.name}: process {process} runs as it, so it is not {what}; stop that first, in a release of its own"
        raise RefusedError(message)


def _carry_out(user: User, left: frozenset[str], host: Host, run: Commands) -> Callable[[], None]:
    def carry_out() -> None:
        found = accounts.look(host, _names([user]))
        if not differences(user, left, found):
            return
        require(user, found, frozenset())
        _require_idle(user, found, host)
        account = found.users.get(user.name)
        if user.absent:
            accounts.change(host, run, "userdel", user.name)
        elif account is None:
            accounts.change(host, run, "useradd", *_new(user, found), user.name)
        else:
            accounts.change(host, run, "usermod", *_changed(user, left, found), user.name)

    return carry_out


def _new(user: User, found: Accounts) -> list[str]:
    """Return the options with which a user is made. Pure."""
    own = user.group or (user.name if user.name in found.gids else None)
    options = ["--gid", own] if own else ["--user-group"]
    shell = user.shell or (NO_LOGIN if user.system else None)
    options += ["--uid", str(user.uid)] if user.uid is not None else []
    options += ["--groups", ",".join(user.groups)] if user.groups else []
    options += ["--home-dir", user.home] if user.home else []
    options += ["--shell", shell] if shell else []
    options += ["--comment", user.comment] if user.comment else []
    return options + (["--system", "--no-create-home"] if user.system else ["--create-home"])


def _changed(user: User, left: frozenset[str], found: Accounts) -> list[str]:
    """Return the options with which a user is changed: what differs, and nothing else. Pure."""
    names = {
        "the number": "--uid",
        "the group": "--gid",
        "the home": "--home",
        "the shell": "--shell",
        "the comment": "--comment",
        "the groups": "--groups",
    }
    return [option for what, _, new in _compared(user, left, found) for option in (names[what], new)]
