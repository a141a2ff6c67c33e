"""Convergent fixes as a whole: their order, the written account, and a death by `kill -9` between any two of them."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from agent.commands import Commands
from agent.host import Host
from agent.protocol.errors import MalformedError, RefusedError, RetryError
from agent.protocol.state import Group, HostFile, Module, Package, State, Sysctl, User
from agent.providers.account import Account
from agent.providers.converge import Surroundings, carry_out, plan
from agent.providers.fix import Fix

STATE = State(
    modules=[Module(name="br_netfilter")],
    sysctls=[Sysctl(name="net.core.somaxconn", value="8192"), Sysctl(name="net.ipv4.tcp_rmem", value="4096\t131072  6291456")],
    host_files=[HostFile(name="db", path="/etc/hosts", content="10.0.0.1 db"), HostFile(name="x", path="/etc/environment", content="A=1")],
)
RESOURCES = [
    "module/br_netfilter",
    "sysctl/net.core.somaxconn",
    "sysctl/net.ipv4.tcp_rmem",
    "hostFile//etc/hosts#db",
    "hostFile//etc/environment#x",
]
APPLY = """
import sys
from pathlib import Path
from tests.integration.test_converge import STATE, here
from agent.providers.account import Account
from agent.providers.converge import carry_out, plan
root = Path(sys.argv[1])
carry_out(plan(STATE, None, here(root)), Account(root / "account.json"), stopping=lambda: False)
"""


def here(root: Path, *, stopping: bool = False) -> Surroundings:
    return Surroundings(host=Host(root), run=Commands(), tenant="shop", agent="web-01", stopping=lambda: stopping)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/etc/hosts").write_text("127.0.0.1 localhost\n")
    return tmp_path / "root"


def fix(name: str, done: list[str], error: Exception | None = None) -> Fix:
    def run() -> None:
        if error:
            raise error
        done.append(name)

    return Fix(provider="packages", resource=name, why=(f"{name} is missing",), carry_out=run)


def test_all_is_put_right_in_its_order_and_a_second_plan_is_empty(root: Path) -> None:
    fixes = plan(STATE, None, here(root))
    assert [one.resource for one in fixes] == RESOURCES
    account = Account(root / "account.json")
    carry_out(fixes, account, stopping=lambda: False)
    assert [entry.line() for entry in account.read()] == [f"done: {resource}" for resource in RESOURCES]
    assert plan(STATE, None, here(root)) == []
    assert "\nnet.ipv4.tcp_rmem = 4096 131072 6291456\n" in (root / "etc/sysctl.d/90-ordain.conf").read_text()
    assert (root / "etc/modules-load.d/90-ordain.conf").read_text().endswith("\nbr_netfilter\n")


def test_what_leaves_stays_but_for_blocks(root: Path) -> None:
    account = Account(root / "account.json")
    carry_out(plan(STATE, None, here(root)), account, stopping=lambda: False)
    carry_out(plan(State(), STATE, here(root)), account, stopping=lambda: False)
    assert [entry.resource for entry in account.read()] == RESOURCES[3:]
    assert (root / "etc/hosts").read_text() == "127.0.0.1 localhost\n"
    assert "net.core.somaxconn = 8192" in (root / "etc/sysctl.d/90-ordain.conf").read_text()


def test_a_failure_says_what_was_changed_and_begins_nothing_more(root: Path) -> None:
    done: list[str] = []
    account = Account(root / "account.json")
    fixes = [fix("package/a", done), fix("user/b", done, RefusedError("useradd said no")), fix("user/c", done)]
    with pytest.raises(RefusedError) as refused:
        carry_out(fixes, account, stopping=lambda: False)
    assert str(refused.value) == "user/b: useradd said no; changed before that, and not taken back: package/a"
    assert done == ["package/a"]
    assert [entry.line() for entry in account.read()] == ["done: package/a", "failed: user/b (useradd said no)"]
    with pytest.raises(RetryError, match=r"user/b: .*No space left on device.*; nothing else was changed"):
        carry_out([fix("user/b", done, OSError(28, "No space left on device"))], account, stopping=lambda: False)
    assert [entry.outcome for entry in account.read()] == ["failed"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_read_only_etc_is_said_in_the_account_and_mended_later(root: Path) -> None:
    script = 'mount --bind "$1/etc" "$1/etc" && mount -o remount,ro,bind "$1/etc" && exec "$2" -c "$3" "$1"'
    argv = ["unshare", "--mount", "sh", "-c", script, "sh", str(root), sys.executable, APPLY]
    refused = subprocess.run(argv, capture_output=True, text=True, check=False)
    if "carry_out" not in refused.stderr:
        pytest.skip("no mount namespaces here")
    assert "Read-only file system; see to the disk" in refused.stderr
    (entry,) = Account(root / "account.json").read()
    assert entry.outcome == "failed"
    assert "Read-only file system" in entry.said
    subprocess.run([sys.executable, "-c", APPLY, str(root)], check=True)
    assert plan(STATE, None, here(root)) == []


def test_an_agent_that_ends_begins_nothing_more(root: Path) -> None:
    done: list[str] = []
    with pytest.raises(RetryError, match="the agent ends; nothing else was changed"):
        carry_out([fix("package/a", done)], Account(root / "account.json"), stopping=lambda: True)
    assert done == []


def test_an_account_that_is_damaged_says_so(root: Path) -> None:
    (root / "account.json").write_text('{"entries": [')
    with pytest.raises(MalformedError, match=r"account\.json"):
        Account(root / "account.json").read()


@pytest.mark.parametrize("fault", ["agent:fix-carried-out@2", "agent:fix-begun@4", "durable:before-name@3"])
def test_a_kill_in_between_leaves_an_account_and_the_next_apply_goes_on(root: Path, fault: str) -> None:
    environment = {**os.environ, "ORDAIN_FAULT": fault}
    killed = subprocess.run([sys.executable, "-c", APPLY, str(root)], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    account = Account(root / "account.json")
    before = [entry.line() for entry in account.read()]
    if "fix" in fault:
        assert before[-1] == f"begun: {RESOURCES[len(before) - 1]}"
    assert all(line.startswith("done: ") for line in before[:-1])
    left = plan(STATE, None, here(root))
    carry_out(left, account, stopping=lambda: False)
    assert plan(STATE, None, here(root)) == []
    assert sorted(path.name for path in (root / "etc").iterdir()) == ["environment", "hosts", "modules-load.d", "sysctl.d"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_another_user_than_root_is_told_so_before_anything_is_touched(root: Path) -> None:
    (root / "etc/group").write_text("root:x:0:\n")
    script = APPLY.replace("STATE, None", "State(groups=[Group(name='web')]), None").replace("import STATE", "import State, Group")
    script = script.replace("root = Path", "import os; os.seteuid(65534); root = Path")
    with tempfile.TemporaryDirectory() as open_to_all:  # those of tests are root's alone
        Path(open_to_all).chmod(0o755)
        shutil.copytree(root, Path(open_to_all) / "root").chmod(0o755)
        command = [sys.executable, "-c", script, f"{open_to_all}/root"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "group/web: only root changes packages, groups, users: run the agent as root" in done.stderr


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (State(packages=[Package(name="nginx")]), "has neither apt nor dnf"),
        (State(modules=[Module(name="../evil")]), "a name has letters, digits"),
        (State(sysctls=[Sysctl(name="net/../../etc/passwd", value="1")]), "a name is as `sysctl -a` prints it"),
        (State(sysctls=[Sysctl(name="a.//.b", value="1")]), "a name is as `sysctl -a` prints it"),
        (State(sysctls=[Sysctl(name="net.a", value="1\nkernel.b = 2")]), "has a character that can't be printed"),
        (State(host_files=[HostFile(name="x", path="/none/hosts", content="a")]), "/none/hosts: its directory is not there"),
        (State(host_files=[HostFile(name="x", path="/etc/hosts", content="${labels.region}")]), "can't be filled in on a host"),
        (State(users=[User(name="root", shell="/bin/false")], groups=[Group(name="web")]), "is never changed"),
    ],
)
def test_what_a_host_cant_hold_is_refused_before_anything_is_touched(root: Path, state: State, why: str) -> None:
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    before = sorted(root.rglob("*"))
    with pytest.raises(RefusedError, match=why):
        plan(state, None, here(root))
    assert sorted(root.rglob("*")) == before
