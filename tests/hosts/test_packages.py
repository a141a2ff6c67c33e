"""The agent's packages on a clean system: installed, run against a real control plane, upgraded by hand and by a release, removed."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from deploy import interpreter, packages, tree
from deploy.tree import Built
from tests.e2e.installation import Installation
from tests.hosts.clean_root import CleanRoot, clean_root

pytestmark = [pytest.mark.slow, pytest.mark.needs("debootstrap"), pytest.mark.timeout(1200)]
PATIENCE = 120.0
VERSION = "0.1.0"
NEXT, BROKEN = "0.1.1", "0.1.2"

FILES = {
    "ordain.yaml": "apiVersion: ordain.dev/v1\nkind: Repository\nmetadata: {name: hosts}\nspec: {format: 1, rules: {}}\n",
    "tenants/shop/tenant.yaml": "apiVersion: ordain.dev/v1\nkind: Tenant\nmetadata: {name: shop}\nspec: {description: A shop}\n",
    "tenants/shop/web-01.yaml": (
        "apiVersion: ordain.dev/v1\nkind: Agent\nmetadata: {name: web-01, tenant: shop, labels: {role: web}}\nspec: {}\n"
    ),
    "tenants/shop/web.yaml": (
        "apiVersion: ordain.dev/v1\nkind: Fleet\nmetadata: {name: web, tenant: shop}\n"
        "spec: {selector: {matchLabels: {role: web}}, components: [{name: base}]}\n"
    ),
}
BASE = """\
apiVersion: ordain.dev/v1
kind: Component
metadata: {{name: base, tenant: shop}}
spec:
  artifacts: {artifacts}
  files:
    - {{path: /etc/motd, content: "held by ordain\\n"}}
{more}"""
WANTED = '    - {{path: /opt/ordain/wanted, content: "{version}\\n"}}\n'


def component(*versions: tuple[str, str, str], wanted: str = "") -> dict[str, str]:
    """Return the component with versions of the agent: name, path of the archive within the host, SHA-256."""
    artifacts = [
        f"{{name: agent-{name.replace('.', '-')}, path: /opt/ordain/{name}, unpack: tar.gz, url: 'file://{path}', sha256: {digest}}}"
        for name, path, digest in versions
    ]
    more = WANTED.format(version=wanted) if wanted else ""
    return {"tenants/shop/base.yaml": BASE.format(artifacts=f"[{', '.join(artifacts)}]", more=more)}


def until(condition: Callable[[], object], say: Callable[[], str] = lambda: "") -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"it did not come about: {say()}"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return tree.build(tmp_path_factory.mktemp("built") / "root", interpreter.running(), wheelhouse=None)


def as_version(built: Built, target: Path, version: str, *, broken: bool = False) -> Built:
    """Return the same agent under another version's name, as a later build would be; a broken one ends at its start."""
    shutil.copytree(built.root, target, symlinks=True)
    made = Built(root=target, version=version, architecture=built.architecture, glibc=built.glibc)
    (target / tree.PREFIX / built.version).rename(made.tree)
    metadata = next(made.tree.glob("lib/python3*/site-packages/ordain-*.dist-info/METADATA"))
    metadata.write_text(metadata.read_text().replace(f"\nVersion: {built.version}\n", f"\nVersion: {version}\n"))
    if broken:
        (made.tree / "bin" / "ordain-agent").write_text("#!/bin/sh\nexit 1\n")
    return made


@pytest.fixture
def root(tmp_path: Path) -> Iterator[CleanRoot]:
    with clean_root(tmp_path / "machine") as made:
        yield made


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path / "control")
    made.git("config", "user.name", "Ana")
    made.git("config", "user.email", "ana@example.com")
    yield made
    made.down()


def install(root: CleanRoot, package: Path) -> None:
    shutil.copy(package, root.path / "root" / package.name)
    root.run("dpkg", "--install", f"/root/{package.name}")


def agent_arguments(root: CleanRoot, control: Installation) -> list[str]:
    shutil.copy(control.state / "trust" / "shop.root.json", root.path / "etc/ordain/root.json")
    identity = ["--tenant", "shop", "--name", "web-01"]
    return ["run", "--server", control.url, "--root-metadata", "/etc/ordain/root.json", *identity]


def held(root: CleanRoot) -> bool:
    return (root.path / "etc/motd").read_text() == "held by ordain\n"


def test_a_package_is_installed_runs_is_upgraded_downgraded_and_purged(
    root: CleanRoot, control: Installation, built: Built, tmp_path: Path
) -> None:
    first = packages.debian(built, tmp_path)
    second = packages.debian(as_version(built, tmp_path / "second", NEXT), tmp_path)
    assert root.run("which", "python3", check=False).returncode == 1, "the agent must bring its own interpreter"

    install(root, first)
    assert root.run("ordain-agent", "--version").stdout.strip() == f"ordain-agent, version {VERSION}"
    assert (root.path / "usr/share/man/man1/ordain-agent-run.1.gz").is_file()
    head = control.commit({**FILES, **component()})
    control.up()
    control.examined(head)
    root.run("ordain-agent", *agent_arguments(root, control), "--once")
    assert held(root)

    install(root, second)
    assert root.run("ordain-agent", "--version").stdout.strip() == f"ordain-agent, version {NEXT}"
    assert not (root.path / "opt/ordain" / VERSION).exists()
    root.run("ordain-agent", *agent_arguments(root, control), "--once")
    install(root, first)
    assert root.run("ordain-agent", "--version").stdout.strip() == f"ordain-agent, version {VERSION}"
    assert root.run("ordain-agent", "status").stdout.startswith("shop/web-01")

    (root.path / "etc/ordain/agent.env").write_text("ORDAIN_NAME=web-01\n")
    root.run("dpkg", "--remove", "ordain-agent")
    assert (root.path / "etc/ordain/agent.env").is_file(), "settings outlive a removal"
    assert (root.path / "var/lib/ordain-agent/agent.json").is_file()
    root.run("dpkg", "--purge", "ordain-agent")
    left = [place for place in ("opt/ordain", "var/lib/ordain-agent", "etc/ordain", "usr/bin/ordain-agent") if (root.path / place).exists()]
    assert left == []
    assert held(root), "what a host was held to stays until somebody says otherwise"


def test_a_release_upgrades_the_agent_and_one_that_crashes_at_its_start_is_taken_back(
    root: CleanRoot, control: Installation, built: Built, tmp_path: Path
) -> None:
    install(root, packages.debian(built, tmp_path))
    archives = root.path / "srv"
    good = packages.tarball(as_version(built, tmp_path / "good", NEXT), archives)
    bad = packages.tarball(as_version(built, tmp_path / "bad", BROKEN, broken=True), archives)
    digests = {path.name: sha256(path.read_bytes()).hexdigest() for path in (good, bad)}
    new, newer = ((name, f"/srv/{path.name}", digests[path.name]) for name, path in ((NEXT, good), (BROKEN, bad)))
    head = control.commit({**FILES, **component()})
    control.up()
    control.examined(head)
    manager = start_again_and_again(root, [*agent_arguments(root, control), "--poll", "1"], tmp_path / "agent.log")
    try:
        until(lambda: held(root))
        control.commit(component(new, wanted=NEXT), "Upgrade the agent")
        until(lambda: str((root.path / "opt/ordain/current").readlink()) == NEXT, (tmp_path / "agent.log").read_text)
        began = time.monotonic()
        control.commit(component(new, newer, wanted=BROKEN), "Upgrade it again")
        until((root.path / "var/lib/ordain-agent/upgrade/refused").exists, (tmp_path / "agent.log").read_text)
        assert time.monotonic() - began < PATIENCE / 2, "taken back within a minute"
        assert str((root.path / "opt/ordain/current").readlink()) == NEXT
        said = f"agent {BROKEN} was tried and taken back, it ended at its start; {NEXT} goes on"
        until(lambda: said in root.run("ordain-agent", "status").stdout, lambda: root.run("ordain-agent", "status").stdout)
    finally:
        os.killpg(manager.pid, signal.SIGKILL)
        manager.wait()


def start_again_and_again(root: CleanRoot, arguments: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start the launcher as the unit does, with Restart=always; a whole process group, to be ended by its number."""
    command = " ".join(["/opt/ordain/launcher", *arguments])
    with log.open("wb") as output:
        loop = ["/bin/sh", "-c", f"while :; do {command}; sleep 1; done"]
        return subprocess.Popen(root.command(*loop), stderr=output, start_new_session=True, env=root.environment())


def test_an_rpm_holds_what_the_debian_package_holds(built: Built, tmp_path: Path) -> None:
    made = packages.rpm(built, tmp_path)
    database = tmp_path / "machine"
    options = ["--root", str(database), "--nodeps", "--noscripts", "--ignorearch"]
    subprocess.run(["rpm", *options, "--install", str(made)], check=True, capture_output=True)
    laid = {
        path.relative_to(database) for path in database.rglob("*") if not path.is_dir() and "rpm" not in path.relative_to(database).parts
    }
    wanted = {path.relative_to(built.root) for path in built.root.rglob("*") if not path.is_dir()}
    assert wanted - laid == set()
    said = subprocess.run([database / "opt/ordain" / VERSION / "bin/ordain-agent", "--version"], check=True, capture_output=True, text=True)
    assert said.stdout.strip() == f"ordain-agent, version {VERSION}"


def test_two_builds_of_a_package_are_the_same_bytes(built: Built, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    assert packages.debian(built, tmp_path / "one").read_bytes() == packages.debian(built, tmp_path / "two").read_bytes()
    assert packages.tarball(built, tmp_path / "one").read_bytes() == packages.tarball(built, tmp_path / "two").read_bytes()
