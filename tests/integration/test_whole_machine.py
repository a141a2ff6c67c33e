"""Convergent fixes on the whole machine, `/`, with apt, dpkg, useradd and the kernel as they are there.

In a mount and network namespace of its own, where /etc, the database of packages and apt's directories are copies: what the
test changes is gone with it. Packages are empty, users have no home, so nothing is written anywhere else. Slow, since it
copies /etc.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.apt_cases import FORCE, Machine, origin

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs("apt", "gpg"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts and installs packages"),
]

ENTER = """set -e
for directory in /etc /var/lib/dpkg /var/lib/apt /var/cache/apt /var/log; do mount --bind "$1$directory" "$directory"; done
mount --bind /etc/hostname /etc/hostname
exec "$2" -c "$3" "$1" "$4"
"""
"""$1: the copies. $2 $3: Python and what it runs. $4: the repository."""
INSIDE = """
import sys
from pathlib import Path
import msgspec
from agent.commands import Commands
from agent.host import Host
from agent.protocol.errors import RefusedError
from agent.protocol.state import Group, HostFile, Package, Repository, State, Sysctl, User
from agent.providers.account import Account
from agent.providers.converge import Surroundings, carry_out, plan
copies, debs = Path(sys.argv[1]), Path(sys.argv[2])
here = Surroundings(host=Host(Path("/")), run=Commands(), tenant="shop", agent="web-01", stopping=lambda: False)
account = Account(copies / "account.json")
def apply(state, former):
    carry_out(plan(state, former, here), account, stopping=lambda: False)
    print(*(entry.line() for entry in account.read()), sep="; ")
    print("left:", len(plan(state, former, here)))
first = State(
    repositories=[Repository(name="ours", manager="apt", url=f"file:{debs}", key=(debs / "key.asc").read_text(), suites=["./"])],
    packages=[Package(name="ordain-test-a", version="1.0", hold=True)],
    groups=[Group(name="ordain-test", gid=64000)],
    users=[User(name="ordain-test", uid=64000, group="ordain-test", groups=["adm"], system=True, home="/nonexistent")],
    sysctls=[Sysctl(name="net.ipv4.ip_forward", value="1")],
    host_files=[HostFile(name="db", path="/etc/hosts", content="10.0.0.1 db")],
)
apply(first, None)
second = State(
    repositories=first.repositories,
    packages=[Package(name="ordain-test-a", absent=True)],
    groups=[Group(name="ordain-test", absent=True)],
    users=[User(name="ordain-test", absent=True)],
)
apply(second, first)
try:
    apply(State(host_files=[HostFile(name="x", path="/etc/hostname", content="a")]), None)
except RefusedError as error:
    print(error)
"""


def test_a_machine_is_brought_to_a_release_and_from_it_again(tmp_path: Path) -> None:
    ours = origin(tmp_path)
    (ours.path / "key.asc").write_text(ours.key)
    copies = tmp_path / "copies"
    shutil.copytree("/etc", copies / "etc", symlinks=True, ignore=shutil.ignore_patterns("apt"))
    Machine.make(copies)
    before = [Path(path).read_bytes() for path in ("/etc/passwd", "/etc/group", "/etc/hosts", "/var/lib/dpkg/status")]
    argv = ["unshare", "--mount", "--net", "sh", "-c", ENTER, "sh", str(copies), sys.executable, INSIDE, str(ours.path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, **FORCE})
    if "mount" in done.stderr.partition("\n")[0]:
        pytest.skip("no mount namespaces here")
    made = ["repository/ours", "package/ordain-test-a", "group/ordain-test", "user/ordain-test", "sysctl/net.ipv4.ip_forward"]
    gone = ["package/ordain-test-a", "user/ordain-test", "group/ordain-test"]
    block, mounted = "hostFile//etc/hosts#db", "hostFile//etc/hostname#x: /etc/hostname is a mount of its own (containers have such)"
    assert done.stdout.splitlines() == [
        "; ".join(f"done: {one}" for one in (*made, block)),
        "left: 0",
        "; ".join(f"done: {one}" for one in (*gone, block)),
        "left: 0",
        f"{mounted}, so no other file can take its place; nothing else was changed",
    ], done.stderr
    assert [Path(path).read_bytes() for path in ("/etc/passwd", "/etc/group", "/etc/hosts", "/var/lib/dpkg/status")] == before
