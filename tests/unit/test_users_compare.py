"""Users and groups as a release wants them against those that are there: what differs, and what is never touched."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.commands import Commands
from agent.host import Host
from agent.protocol.errors import RefusedError
from agent.protocol.state import Group, User
from agent.providers import groups, users
from agent.providers.accounts import Account, Accounts, look

ANN = Account(name="ann", uid=1000, gid=1000, comment="Ann", home="/home/ann", shell="/bin/sh", groups=frozenset({"docker", "sudo"}))
ROOT = Account(name="root", uid=0, gid=0, comment="root", home="/root", shell="/bin/sh")
FOUND = Accounts(users={"ann": ANN, "root": ROOT}, gids={"root": 0, "ann": 1000, "docker": 990, "sudo": 27})
NONE: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    ("user", "left", "why"),
    [
        (User(name="ann"), NONE, []),
        (User(name="ann", uid=1000, group="ann", home="/home/ann", shell="/bin/sh", comment="Ann", groups=["sudo", "docker"]), NONE, []),
        (User(name="ann", uid=1001), NONE, ["user ann has the number 1000, not 1001"]),
        (User(name="ann", group="docker"), NONE, ["user ann has the group ann, not docker"]),
        (User(name="ann", groups=["docker"]), NONE, ["user ann has the groups docker,sudo, not docker"]),
        (User(name="ann"), frozenset({"sudo"}), ["user ann has the groups docker,sudo, not docker"]),
        (User(name="ann", shell="/usr/sbin/nologin"), NONE, ["user ann has the shell /bin/sh, not /usr/sbin/nologin"]),
        (User(name="ann", absent=True), NONE, ["user ann is there, and should not be"]),
        (User(name="bob"), NONE, ["user bob is missing"]),
        (User(name="bob", absent=True), NONE, []),
    ],
)
def test_what_differs_in_a_user_is_said_and_what_a_release_leaves_out_is_not_compared(
    user: User, left: frozenset[str], why: list[str]
) -> None:
    assert list(users.differences(user, left, FOUND)) == why


@pytest.mark.parametrize(
    ("user", "why"),
    [
        (User(name="root"), "the machine's own and is never changed"),
        (User(name="root", absent=True), "the machine's own and is never changed"),
        (User(name="bob", uid=0), "the machine's own and is never changed"),
        (User(name="bob", uid=1000), "the number 1000 belongs to user ann"),
        (User(name="bob", group="web"), "there is no group web"),
        (User(name="bob", groups=["docker", "web"]), "there is no group web"),
        (User(name="bob", groups=["docker,sudo"]), "a name has a-z"),
        (User(name="-bob"), "a name has a-z"),
        (User(name="bob", comment="a:b"), "its comment has a colon"),
        (User(name="bob", home="/home/../etc"), "is not an absolute, normal path"),
        (User(name="bob", shell="sh"), "is not an absolute, normal path"),
    ],
)
def test_a_user_that_must_not_be_touched_or_made_is_refused(user: User, why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        users.require(user, FOUND, NONE)


def test_a_group_that_is_made_first_or_may_come_with_a_package_is_no_reason_to_refuse() -> None:
    users.require(User(name="bob", group="web"), FOUND, frozenset({"web"}))
    users.require(User(name="bob", group="web"), FOUND, None)


@pytest.mark.parametrize(
    ("group", "why"),
    [
        (Group(name="root", absent=True), "the machine's own and is never changed"),
        (Group(name="web", gid=0), "the machine's own and is never changed"),
        (Group(name="web", gid=27), "the number 27 belongs to group sudo"),
        (Group(name="--help"), "a name has a-z"),
    ],
)
def test_a_group_that_must_not_be_touched_or_made_is_refused(group: Group, why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        groups.require(group, FOUND)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts a process as somebody else")
def test_a_user_that_runs_processes_keeps_its_number_and_is_not_removed() -> None:
    """Asked of this machine, of a user that every system has; nothing is changed, since it is refused."""
    host, run = Host(Path("/")), Commands()
    someone = look(host).users["nobody"]
    process = subprocess.Popen(["sleep", "600"], user=someone.uid, group=someone.gid)
    try:
        with pytest.raises(RefusedError, match=r"process \d+ \(\w+\) runs as it, so it is not removed; stop that first"):
            users.fixes([User(name="nobody", absent=True)], [], host=host, run=run)
        with pytest.raises(RefusedError, match="it is not given another number"):
            users.fixes([User(name="nobody", uid=54321)], [], host=host, run=run)
        with pytest.raises(RefusedError, match="runs as it; stop that first"):
            groups.fixes([Group(name=look(host).group_of(someone), absent=True)], host=host, run=run)
    finally:
        process.kill()
        process.wait()


# On files of a root, by the real programs

real = pytest.mark.skipif(os.geteuid() != 0 or shutil.which("useradd") is None, reason="only root changes users, by useradd and its like")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nold:x:1500:1500::/home/old:/bin/sh\n")
    (tmp_path / "etc/group").write_text("root:x:0:\nold:x:1500:\nsudo:x:27:old\n")
    (tmp_path / "etc/shadow").touch(mode=0o600)
    (tmp_path / "etc/gshadow").touch(mode=0o600)
    (tmp_path / "home/old").mkdir(parents=True)
    return Host(tmp_path)


def applied(host: Host, wanted: list[User], former: list[User], *, groups_wanted: list[Group] | None = None) -> list[str]:
    """Carry fixes out in the order of an apply, see that none is left, and return what they were for."""
    run, asked = Commands(), groups_wanted or []
    coming = frozenset(group.name for group in asked if not group.absent)
    first = groups.fixes([group for group in asked if not group.absent], host=host, run=run)
    then = users.fixes(wanted, former, host=host, run=run, coming=coming)
    last = groups.fixes([group for group in asked if group.absent], host=host, run=run)
    for fix in (*first, *then, *last):
        fix.carry_out()
    assert groups.fixes(asked, host=host, run=run) == []
    assert users.fixes(wanted, former, host=host, run=run) == []
    return [fix.resource for fix in (*first, *then, *last)]


@real
def test_users_and_groups_are_made_changed_and_removed_and_homes_stay(host: Host) -> None:
    made = [User(name="web", uid=800, group="www", groups=["sudo"], home="/srv/web", system=True, comment="The shop")]
    assert applied(host, made, [], groups_wanted=[Group(name="www", gid=900, system=True)]) == ["group/www", "user/web"]
    web = look(host).users["web"]
    assert (web.uid, web.gid, web.home, web.shell, web.comment, *web.groups) == (800, 900, "/srv/web", users.NO_LOGIN, "The shop", "sudo")
    assert host.outside("/etc/shadow").read_text().startswith("web:!")
    changed = [User(name="web", uid=801, group="www", shell="/bin/sh")]
    assert applied(host, changed, made, groups_wanted=[Group(name="www", gid=901)]) == ["group/www", "user/web"]
    web = look(host).users["web"]
    assert (web.uid, web.gid, web.home, web.shell, web.groups) == (801, 901, "/srv/web", "/bin/sh", frozenset())
    gone = [User(name="old", absent=True), User(name="web", absent=True)]
    absent = [Group(name="old", absent=True), Group(name="www", absent=True)]
    assert applied(host, gone, [], groups_wanted=absent) == ["user/old", "user/web", "group/old", "group/www"]
    assert sorted(look(host).users) == ["root"]
    assert host.outside("/home/old").is_dir()


@real
def test_a_user_gets_a_home_and_a_group_of_its_own_and_one_that_leaves_the_release_stays(host: Host) -> None:
    made = [User(name="bob")]
    applied(host, made, [])
    found = look(host)
    assert found.group_of(found.users["bob"]) == "bob"
    assert host.outside("/home/bob").is_dir()
    assert applied(host, [], made) == []
    assert "bob" in look(host).users


def test_a_passwd_file_that_cant_be_read_is_refused_with_its_line(host: Host) -> None:
    host.outside("/etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nbob:x\n")
    with pytest.raises(RefusedError, match="/etc/passwd:2: not a line of 7 fields"):
        look(host)
