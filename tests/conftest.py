"""Shared by all tests: real parts, and an honest word about those that this machine lacks.

A test that uses a real part says so, `@pytest.mark.needs("opa")`, or asks for the part's fixture. Where the
part is missing the test is skipped and the end of the run names the part; under CI=true it fails instead,
so that nothing goes untested unseen.
"""

import importlib.util
import os
import shutil
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from agent.protocol.errors import OrdainError

if TYPE_CHECKING:
    from reconciler.control.registry.registry import Registry
    from tests import postgresql_server

settings.register_profile("ordain", deadline=None, print_blob=True)  # shared machines: a slow example is not a fault
settings.load_profile("ordain")

# A shell that runs the tests in the background has them ignore Ctrl-C, and what they start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

MISSING = "missing part"
"""Under this name a report carries the parts that its test went without, also from a worker of pytest-xdist."""


def _opa() -> Path | None:
    from reconciler.opa.program import find_opa  # noqa: PLC0415 - only tests that need OPA pay for it

    try:
        return find_opa(None)
    except OrdainError:
        return None


def _on_path(program: str) -> Path | None:
    found = shutil.which(program)
    return Path(found) if found else None


def _go_tuf() -> Path | None:
    from tests import go_tuf  # noqa: PLC0415 - only the test that needs it waits for a build

    return go_tuf.find()


def _s3() -> Path | None:
    from tests import s3_server  # noqa: PLC0415 - only tests of object stores wait for a build

    return s3_server.find()


def _prometheus() -> Path | None:
    from tests import prometheus_server  # noqa: PLC0415 - only the test that needs it looks

    return prometheus_server.find()


def _postgresql() -> Path | None:
    from tests import postgresql_server  # noqa: PLC0415 - only tests that need it look

    return postgresql_server.find()


def _softhsm() -> Path | None:
    """Return the PKCS#11 module of SoftHSM, which plays a hardware token, if Python can speak to it."""
    found = [Path(place) / "libsofthsm2.so" for place in ("/usr/lib/softhsm", "/usr/local/lib/softhsm", "/usr/lib64/softhsm")]
    speaks = importlib.util.find_spec("pkcs11") is not None and _on_path("softhsm2-util") is not None
    return next((path for path in found if path.is_file()), None) if speaks else None


def _mount() -> Path | None:
    from tests.faults import small_disks  # noqa: PLC0415 - only tests of full disks try

    return small_disks.possible()


def _netns() -> Path | None:
    from tests import namespaces  # noqa: PLC0415 - only the test of a host that is cut off tries

    return namespaces.possible()


def _sshd() -> Path | None:
    """Return sshd, which stands where only root's PATH leads on some systems; it must be started by its whole path."""
    places = [_on_path("sshd"), Path("/usr/sbin/sshd"), Path("/usr/local/sbin/sshd")]
    return next((place for place in places if place and place.is_file()), None)


def _nginx() -> Path | None:
    """Return nginx, which stands where only root's PATH leads on Debian."""
    places = [_on_path("nginx"), Path("/usr/sbin/nginx")]
    return next((place for place in places if place and place.is_file()), None)


def _systemd() -> Path | None:
    from tests import systemd_machine  # noqa: PLC0415 - only tests that need systemd wait for a boot

    return systemd_machine.possible()


def _quadlet() -> Path | None:
    from agent.services.verify import find_generator  # noqa: PLC0415 - only tests that need it look

    return find_generator()


def _cgroup(controller: str = "") -> Path | None:
    """Return where control groups can be made, those with this controller if one is named."""
    from agent.processes import cgroups  # noqa: PLC0415 - as above
    from tests.process_cases import own_group  # noqa: PLC0415

    made = own_group()
    if made is None:
        return None
    try:
        return made.parent if not controller or controller in cgroups.Cgroups(made).controllers else None
    finally:
        made.rmdir()


def _own_mounts() -> Path | None:
    from tests.process_cases import own_mounts  # noqa: PLC0415 - only tests of processes ask

    return Path("/proc/self/mounts") if own_mounts() else None


def _all_on_path(*programs: str) -> Path | None:
    found = [_on_path(program) for program in programs]
    return found[0] if all(found) else None


def _chromium() -> Path | None:
    return next(filter(None, map(_on_path, ("chromium", "chromium-browser", "google-chrome"))), None)


PARTS: dict[str, tuple[Callable[[], Path | None], str]] = {
    "apt": (lambda: _all_on_path("apt-get", "dpkg-deb"), "run the tests on Debian or Ubuntu"),
    "dnf": (
        lambda: _all_on_path("dnf", "rpmbuild", "createrepo_c"),
        "install dnf, rpm (with rpmbuild) and createrepo-c; Debian has them too",
    ),
    "cgroup": (_cgroup, "run the tests as root where cgroup v2 is mounted"),
    "cgroup-memory": (lambda: _cgroup("memory"), "run the tests as root where cgroup v2 has the memory controller"),
    "own-mounts": (_own_mounts, "run the tests as root, or where users may have namespaces of their own"),
    "debootstrap": (lambda: _on_path("debootstrap") if os.geteuid() == 0 else None, "install debootstrap, patchelf and rpm, and be root"),
    "cc": (lambda: _on_path("cc"), "install gcc or another C compiler"),
    "chromium": (_chromium, "install chromium, which only `make test-browser` starts"),
    "git": (lambda: _on_path("git"), "install git"),
    "gpg": (lambda: _on_path("gpg"), "install gnupg"),
    "ssh-keygen": (lambda: _on_path("ssh-keygen"), "install openssh-client"),
    "go-tuf": (_go_tuf, "install Go, which builds go-tuf's example client"),
    "mount": (_mount, "run `make test-faults` as root, or where users may have namespaces of their own"),
    "netns": (_netns, "install iproute2 and iptables, and run the tests as root where network namespaces can be made"),
    "openssl": (lambda: _on_path("openssl"), "install openssl"),
    "nginx": (_nginx, "install nginx-light or nginx (it is run by the tests alone, on loopback)"),
    "postgresql": (_postgresql, "make setup brings one"),
    "prometheus": (_prometheus, "run `make prometheus` on Debian or Ubuntu, or install prometheus"),
    "softhsm2": (_softhsm, "install softhsm2 (Debian and Ubuntu have it) and the extra: pip install -e '.[hsm]'"),
    "s3": (_s3, "install Go, which builds versitygw, an S3 server"),
    "quadlet": (_quadlet, "install podman 5 or later (Debian 13 has it, Debian 12 does not)"),
    "systemd": (_systemd, "install systemd-container and run the tests as root: they boot a systemd of their own by systemd-nspawn"),
    "systemd-analyze": (lambda: _on_path("systemd-analyze"), "install systemd"),
    "sshd": (_sshd, "install openssh-server (its sshd is run by the tests alone, on loopback)"),
    "opa": (_opa, "run make setup with Go installed, or put the pinned OPA on PATH"),
}
"""Part → how to find it, and what to do where it is missing."""
OPTIONAL = frozenset({"cgroup", "cgroup-memory", "netns", "nginx", "own-mounts", "prometheus", "quadlet", "systemd"})
"""Parts that some machines can't have whatever is installed: there their tests are skipped under CI=true too, and said to be."""


@cache
def part(name: str) -> Path | None:
    """Return where a real part is, or None."""
    return PARTS[name][0]()


def _require(item: pytest.Item, name: str) -> Path:
    found = part(name)
    if found is not None:
        return found
    reason = f"needs {name}, which is missing: {PARTS[name][1]}"
    if os.environ.get("CI") == "true" and name not in OPTIONAL:
        pytest.fail(reason, pytrace=False)
    item.user_properties.append((MISSING, name))
    pytest.skip(reason)


LONGEST_ID = 200
"""Characters of a value in a test's name: what is longer, or is made anew by each worker, stands there by the name of its parameter."""


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name long values by their parameter; else as pytest does."""
    return argname if isinstance(val, str | bytes) and len(val) > LONGEST_ID else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            _require(item, name)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Trace no test that is marked `no_cover` in a worker of pytest-xdist either.

    There pytest-cov 7 begins twice, and what it pauses for such a test has the one before it go on tracing.
    """
    if item.get_closest_marker("no_cover") and hasattr(item.config, "workerinput"):
        threading.settrace(None)
        sys.settrace(None)
    return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    missing = Counter(
        value for report in terminalreporter.stats.get("skipped", []) for name, value in report.user_properties if name == MISSING
    )
    for name, tests in sorted(missing.items()):
        line = f"NOT TESTED: {name} is missing, {tests} test(s) went without it. To test all: {PARTS[name][1]}."
        terminalreporter.write_line(line, yellow=True)


@pytest.fixture
def opa(request: pytest.FixtureRequest) -> Path:
    """The pinned OPA."""
    return _require(request.node, "opa")


@pytest.fixture(scope="session")
def postgresql() -> "Iterator[postgresql_server.Server]":
    """A PostgreSQL that runs as long as this process's tests; ask for the part too: `@pytest.mark.needs("postgresql")`."""
    from tests import postgresql_server  # noqa: PLC0415 - as above

    with postgresql_server.running() as server:
        yield server


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=[pytest.mark.needs("postgresql"), pytest.mark.xdist_group("postgresql")])]
)
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> "Iterator[Registry]":
    """An empty registry, on SQLite and then on PostgreSQL."""
    from tests import registry_cases  # noqa: PLC0415 - as above

    server = request.getfixturevalue("postgresql") if request.param == "postgresql" else None
    with registry_cases.empty(tmp_path, server) as made:
        yield made


@pytest.fixture(scope="session", autouse=True)
def _git_as_nobody() -> Iterator[None]:
    """Git reads no settings of this machine, and commits need no identity from it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        patch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
        patch.setenv("GIT_CONFIG_COUNT", "1")
        patch.setenv("GIT_CONFIG_KEY_0", "init.defaultBranch")
        patch.setenv("GIT_CONFIG_VALUE_0", "main")
        for role in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{role}_NAME", "Ana Example")
            patch.setenv(f"GIT_{role}_EMAIL", "ana@example.com")
        yield


@pytest.fixture(scope="session", autouse=True)
def _unhurried_disk() -> Iterator[None]:
    """Nobody waits for the disk in this process, nor in git: no test cuts the power, and waiting was a third of what some of them took.

    What is fsynced, and in which order, is held by those that note the calls (`faults.recording`); what tests start waits as ever.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)  # a descriptor that is none is still an error
        patch.setenv("GIT_TEST_FSYNC", "0")
        yield
