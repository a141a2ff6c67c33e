"""Packages by the real apt and dpkg, on a root of their own; those marked slow are more of the same: `pytest -m slow`."""

import fcntl
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.protocol.errors import RefusedError, RetryError
from agent.protocol.state import Package, State
from tests.apt_cases import A, B, C, Machine, Origin, build, make_key, origin, packages

pytestmark = [
    pytest.mark.needs("apt", "gpg"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root installs packages"),
]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Origin:
    return origin(tmp_path_factory.mktemp("origin"))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine.make(tmp_path / "root")


def test_a_release_brings_repository_and_packages_and_a_second_apply_changes_nothing(ours: Origin, machine: Machine) -> None:
    state = packages(ours, Package(name=A, version="1.0"))
    assert machine.apply(state) == ["done: repository/ours", f"done: package/{A}"]
    assert machine.installed() == {A: "1.0"}
    assert machine.plan(state) == []
    assert machine.apply(packages(ours, Package(name=A, version="2.0", hold=True))) == [f"done: package/{A}"]
    assert machine.installed() == {A: "2.0 held"}


@pytest.mark.slow
def test_an_exact_lower_version_is_gone_back_to_even_when_it_was_held(ours: Origin, machine: Machine) -> None:
    machine.apply(packages(ours, Package(name=A, version="2.0", hold=True)))
    machine.apply(packages(ours, Package(name=A, version="1.0")))
    assert machine.installed() == {A: "1.0"}
    machine.apply(packages(ours, Package(name=A, version="1.0", hold=True)))
    machine.apply(packages(ours, Package(name=A, version="2.0", hold=True)))
    assert machine.installed() == {A: "2.0 held"}
    assert machine.plan(packages(ours, Package(name=A, hold=True))) == []


def test_a_package_that_leaves_stays_without_its_hold_and_a_repository_that_leaves_is_taken_out(ours: Origin, machine: Machine) -> None:
    machine.apply(packages(ours, Package(name=A, version="1.0", hold=True)))
    source = machine.root / "etc/apt/sources.list.d/ordain-ours.sources"
    assert source.is_file()
    machine.apply(State())
    assert machine.installed() == {A: "1.0"}
    assert not source.exists()
    assert list((machine.root / "etc/apt/keyrings").iterdir()) == []


def test_what_would_remove_a_package_that_nobody_gave_up_is_refused_and_named(ours: Origin, machine: Machine) -> None:
    machine.apply(packages(ours, Package(name=A, version="1.0")))
    with pytest.raises(RefusedError, match=f"would remove {A} too"):
        machine.apply(packages(ours, Package(name=B)))
    assert machine.installed() == {A: "1.0"}
    machine.apply(packages(ours, Package(name=B), Package(name=A, absent=True)))
    assert machine.installed() == {B: "1.0"}


@pytest.mark.slow
def test_a_package_that_another_one_needs_is_not_removed(ours: Origin, machine: Machine) -> None:
    machine.apply(packages(ours, Package(name=C)))
    assert machine.installed() == {A: "2.0", C: "1.0"}
    with pytest.raises(RefusedError, match=f"would remove {C} too"):
        machine.apply(packages(ours, Package(name=A, absent=True)))


def test_a_version_that_is_gone_refuses_before_anything_is_touched_or_keeps_what_is_there(ours: Origin, machine: Machine) -> None:
    machine.apply(packages(ours, Package(name=A, version="1.0")))
    with pytest.raises(RefusedError, match=f"no repository of this host has {A} 9.0; give another version"):
        machine.plan(packages(ours, Package(name=A, version="9.0"), Package(name=C)))
    assert machine.installed() == {A: "1.0"}
    kept = packages(ours, Package(name=A, version="9.0", if_gone="keep"))
    assert machine.plan(kept) == []
    assert machine.plan(kept, refresh=False) == []
    with pytest.raises(RefusedError, match=f"no repository of this host has {C} 9.0"):
        machine.plan(packages(ours, Package(name=C, version="9.0", if_gone="keep")))


def test_a_repository_signed_by_another_key_changes_nothing_and_leaves_no_file(ours: Origin, machine: Machine, tmp_path: Path) -> None:
    other = Origin(path=ours.path, key=make_key(tmp_path / "gnupg"), home=tmp_path / "gnupg")
    with pytest.raises(RetryError, match=r"repository/ours: .*(NO_PUBKEY|signatures couldn't be verified)"):
        machine.apply(packages(other, Package(name=A)))
    assert [entry.outcome for entry in machine.account.read()] == ["failed"]
    assert list((machine.root / "etc/apt/sources.list.d").iterdir()) == []
    assert list((machine.root / "etc/apt/keyrings").iterdir()) == []


def test_a_lock_that_another_process_holds_is_waited_for_and_then_named(ours: Origin, machine: Machine) -> None:
    machine.apply(packages(ours, Package(name=A, version="1.0")))
    machine.lock_wait = 0.2
    with (machine.root / "var/lib/dpkg/lock-frontend").open("r+") as lock:
        fcntl.fcntl(lock, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        with pytest.raises(RetryError, match=r"(?s)changed by somebody else for more than 0 s.*lock-frontend"):
            machine.apply(packages(ours, Package(name=A, version="2.0")))
    assert machine.installed() == {A: "1.0"}


def test_a_half_configured_package_is_finished_first(machine: Machine, tmp_path: Path) -> None:
    theirs = Origin(path=tmp_path / "debs", key=make_key(tmp_path / "gnupg"), home=tmp_path / "gnupg")
    theirs.path.mkdir()
    flag = tmp_path / "may-configure"
    build(theirs.path, "ordain-test-fails", "1.0", scripts={"postinst": f"#!/bin/sh\ntest -e {flag}\n"})
    build(theirs.path, A, "1.0")
    theirs.publish()
    with pytest.raises(RetryError, match=r"(?s)ordain-test-fails.*changed before that, and not taken back: repository/ours"):
        machine.apply(packages(theirs, Package(name="ordain-test-fails")))
    assert machine.installed() == {"ordain-test-fails": "1.0 half-configured"}
    assert [entry.line().partition(" (")[0] for entry in machine.account.read()] == [
        "done: repository/ours",
        "failed: package/ordain-test-fails",
    ]
    with pytest.raises(RetryError, match="half installed can't be finished"):
        machine.apply(packages(theirs, Package(name=A)))
    flag.touch()
    assert machine.apply(packages(theirs, Package(name=A))) == ["done: packages", f"done: package/{A}"]
    assert machine.installed() == {A: "1.0", "ordain-test-fails": "1.0"}


@pytest.mark.slow
def test_a_hold_of_the_hosts_owner_survives_and_a_held_package_is_not_dragged_along(machine: Machine, tmp_path: Path) -> None:
    theirs = Origin(path=tmp_path / "debs", key=make_key(tmp_path / "gnupg"), home=tmp_path / "gnupg")
    theirs.path.mkdir()
    build(theirs.path, A, "1.0")
    build(theirs.path, C, "1.0")
    theirs.publish()
    machine.apply(packages(theirs, Package(name=A, hold=True), Package(name=C)))
    machine.former = None
    assert machine.plan(packages(theirs, Package(name=A))) == []
    build(theirs.path, A, "2.0")
    build(theirs.path, C, "2.0", fields=f"Depends: {A} (>= 2.0)\n")
    theirs.publish()
    with pytest.raises(RefusedError, match=rf"held broken packages.* \({C} : Depends: {A} \(>= 2.0\)"):
        machine.apply(packages(theirs, Package(name=C, version="2.0")))
    machine.apply(packages(theirs, Package(name=A, version="2.0"), Package(name=C, version="2.0")))
    assert machine.installed() == {A: "2.0 held", C: "2.0"}


KILLED = """
import sys
from pathlib import Path
from agent.protocol.state import Package
from tests.apt_cases import Machine, Origin, packages
root, debs = Path(sys.argv[1]), Path(sys.argv[2])
theirs = Origin(path=debs, key=(debs / "key.asc").read_text(), home=debs)
Machine.again(root).apply(packages(theirs, Package(name="ordain-test-slow")))
"""


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["agent", "all"])
def test_a_kill_while_a_package_is_configured_is_written_down_and_mended_by_the_next_apply(
    machine: Machine, tmp_path: Path, whom: str
) -> None:
    theirs = Origin(path=tmp_path / "debs", key=make_key(tmp_path / "gnupg"), home=tmp_path / "gnupg")
    theirs.path.mkdir()
    begun, go_on = tmp_path / "begun", tmp_path / "go-on"
    script = f"#!/bin/sh\necho $$ > {begun}.new; mv {begun}.new {begun}\nwhile ! test -e {go_on}; do sleep 0.1; done\n"
    build(theirs.path, "ordain-test-slow", "1.0", scripts={"postinst": script})
    theirs.publish()
    (theirs.path / "key.asc").write_text(theirs.key)
    agent = subprocess.Popen([sys.executable, "-c", KILLED, str(machine.root), str(theirs.path)])
    wait_for(begun.exists)
    agent.kill()
    agent.wait()
    assert [entry.line() for entry in machine.account.read()] == ["done: repository/ours", "begun: package/ordain-test-slow"]
    group = os.getpgid(int(begun.read_text()))
    wanted = packages(theirs, Package(name="ordain-test-slow"))
    if whom == "all":  # as systemd does with a unit's whole control group, or a power cut
        os.killpg(group, signal.SIGKILL)
        go_on.touch()
    else:  # apt goes on by itself, and until it has ended its lock is in the way
        with pytest.raises(RetryError, match="packages are being changed by somebody else"):
            machine.apply(wanted)
        go_on.touch()
    machine.lock_wait = 60.0
    machine.apply(wanted)
    assert machine.installed() == {"ordain-test-slow": "1.0"}
    assert machine.plan(wanted) == []


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("name", ["-oDebug::NoLocking=1", "a*", "a b", "ordain-test-a-", "a/../b", "?installed", "ordain-test-a=1.0"])
def test_a_name_that_apt_could_take_for_an_option_or_a_pattern_is_refused(machine: Machine, name: str) -> None:
    with pytest.raises(RefusedError, match="is no name of a package"):
        machine.plan(State(packages=[Package(name=name)]))
    with pytest.raises(RefusedError, match="is no version"):
        machine.plan(State(packages=[Package(name=A, version="1.0 b")]))
