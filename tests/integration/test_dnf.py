"""Packages by the real dnf and rpm, on a root of their own; slow, since each dnf takes half a second: `pytest -m slow`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.commands import ENVIRONMENT
from agent.protocol.errors import RefusedError, RetryError
from agent.protocol.state import Package, Repository, State
from tests import dnf_cases
from tests.apt_cases import A, B, C, Machine, make_key
from tests.dnf_cases import Origin

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs("dnf", "gpg"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root installs packages"),
]


class DnfMachine(Machine):
    """The same machine with dnf's database."""

    @classmethod
    def make(cls, root: Path) -> "DnfMachine":
        """Return a new one."""
        dnf_cases.make_root(root)
        return cls(root, ENVIRONMENT)

    def installed(self) -> dict[str, str]:
        """Return what rpm says."""
        argv = ["rpm", f"--root={self.root}", "-qa", "--qf", "%{NAME} %{VERSION}\n"]
        said = subprocess.run(argv, check=True, capture_output=True, text=True, env=dict(ENVIRONMENT)).stdout
        return {name: version for name, version in (line.split() for line in said.splitlines()) if name != "gpg-pubkey"}

    def locks(self) -> list[str]:
        """Return what is held."""
        path = self.root / "etc/dnf/plugins/versionlock.list"
        return [line for line in path.read_text().splitlines() if line and not line.startswith("#")] if path.exists() else []


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Origin:
    return dnf_cases.origin(tmp_path_factory.mktemp("origin"))


@pytest.fixture
def machine(tmp_path: Path) -> DnfMachine:
    return DnfMachine.make(tmp_path / "root")


def packages(origin: Origin, *wanted: Package) -> State:
    return State(repositories=[origin.repository()], packages=list(wanted))


def test_a_release_brings_repository_and_packages_moves_them_both_ways_and_holds_them(ours: Origin, machine: DnfMachine) -> None:
    state = packages(ours, Package(name=A, version="1.0"))
    assert machine.apply(state) == ["done: repository/ours", f"done: package/{A}"]
    assert machine.installed() == {A: "1.0"}
    assert machine.plan(state) == []
    machine.apply(packages(ours, Package(name=A, version="2.0-1", hold=True)))
    assert machine.installed() == {A: "2.0"}
    assert machine.locks() == [f"{A}-0:2.0-1.*"]
    machine.apply(packages(ours, Package(name=A, version="0:1.0-1", hold=True)))
    assert machine.installed() == {A: "1.0"}
    assert machine.locks() == [f"{A}-0:1.0-1.*"]
    machine.apply(State())
    assert machine.locks() == []
    assert list((machine.root / "etc/yum.repos.d").iterdir()) == []


def test_no_other_package_is_removed_to_install_or_to_remove_one(ours: Origin, machine: DnfMachine) -> None:
    machine.apply(packages(ours, Package(name=C)))
    assert machine.installed() == {A: "2.0", C: "1.0"}
    with pytest.raises(RefusedError, match=rf"(?s){A} can't be removed without others.*{C}"):
        machine.apply(packages(ours, Package(name=A, absent=True)))
    with pytest.raises(RefusedError, match=r"(?s)can't be brought to what the release says.*conflicts with"):
        machine.apply(packages(ours, Package(name=B)))
    machine.apply(packages(ours, Package(name=A, absent=True), Package(name=B), Package(name=C, absent=True)))
    assert machine.installed() == {B: "1.0"}


def test_a_version_that_is_gone_refuses_or_keeps_what_is_there(ours: Origin, machine: DnfMachine) -> None:
    machine.apply(packages(ours, Package(name=A, version="1.0")))
    with pytest.raises(RefusedError, match=f"no repository of this host has {A} 9.0"):
        machine.plan(packages(ours, Package(name=A, version="9.0")))
    assert machine.plan(packages(ours, Package(name=A, version="9.0", if_gone="keep"))) == []


def test_packages_of_another_key_are_not_installed(ours: Origin, machine: DnfMachine, tmp_path: Path) -> None:
    other = Origin(path=ours.path, key=make_key(tmp_path / "gnupg"), home=tmp_path / "gnupg")
    with pytest.raises(RetryError, match=r"(?s)package/ordain-test-a: dnf ended with 1.*changed before that"):
        machine.apply(packages(other, Package(name=A)))
    assert machine.installed() == {}


def test_a_repository_that_is_not_there_changes_nothing(machine: DnfMachine, tmp_path: Path, ours: Origin) -> None:
    nowhere = Repository(name="ours", manager="dnf", url=f"file://{tmp_path}/none", key=ours.key)
    with pytest.raises(RetryError, match="repository/ours: dnf ended with 1"):
        machine.apply(State(repositories=[nowhere], packages=[Package(name=A)]))
    assert list((machine.root / "etc/yum.repos.d").iterdir()) == []


@pytest.mark.parametrize("lock", ["var/cache/dnf/metadata_lock.pid", "var/lib/dnf/rpmdb_lock.pid"])
def test_a_lock_of_dnf_is_waited_for_and_whoever_holds_it_is_named(ours: Origin, machine: DnfMachine, lock: str) -> None:
    machine.apply(packages(ours, Package(name=A, version="1.0")))
    with subprocess.Popen(["sleep", "600"]) as process:
        (machine.root / lock).write_text(str(process.pid))
        try:
            with pytest.raises(RetryError, match=rf"(?s)changed by somebody else.*locked by {process.pid}.*is: sleep"):
                machine.apply(packages(ours, Package(name=A, version="2.0")))
        finally:
            process.kill()
    assert machine.installed() == {A: "1.0"}


def test_a_lock_of_rpm_is_waited_for(ours: Origin, machine: DnfMachine) -> None:
    machine.apply(packages(ours, Package(name=A, version="1.0")))
    hold = "import fcntl,sys,time; f=open(sys.argv[1],'a'); fcntl.lockf(f, fcntl.LOCK_EX); print('held', flush=True); time.sleep(600)"
    lock = next(machine.root.rglob(".rpm.lock"))
    with subprocess.Popen([sys.executable, "-c", hold, str(lock)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            with pytest.raises(RetryError, match="changed by somebody else for more than 0 s"):
                machine.apply(packages(ours, Package(name=A, version="2.0")))
        finally:
            process.kill()
    assert machine.installed() == {A: "1.0"}
