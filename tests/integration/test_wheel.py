"""The wheel as others get it: built without a network, installed into empty environments, its commands run."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASE = {
    "backports-zstd",
    "cffi",
    "click",
    "cronsim",
    "cryptography",
    "msgspec",
    "pyrage",
    "ordain",
    "pycparser",
    "securesystemslib",
    "tuf",
    "tzdata",
    "urllib3",
}
"""All that a host gets: what pyproject.toml names as dependencies, and what those need themselves."""

# One worker builds the wheel and makes the environments; pip may have to download.
pytestmark = [pytest.mark.xdist_group("wheel"), pytest.mark.timeout(400)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """A virtual environment that knows nothing of this checkout."""

    directory: Path

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_", "COVERAGE"))}
        command = [str(self.directory / "bin" / program), *arguments]
        return subprocess.run(command, cwd=self.directory, env=clean, check=False, capture_output=True, text=True)

    def packages(self) -> set[str]:
        listed = self.run("python", "-c", "import importlib.metadata as m; print(*(one.name for one in m.distributions()))")
        return {re.sub(r"[-_.]+", "-", name).lower() for name in listed.stdout.split()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    offline = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index")
    subprocess.run([sys.executable, "-m", "pip", "wheel", *offline, "--wheel-dir", str(directory), str(ROOT)], check=True)
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The versions of requirements.lock as constraints, so that a release elsewhere can't break this test."""
    pins = re.findall(r"^\S+==\S+", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE)
    constraints = tmp_path_factory.mktemp("locked") / "constraints.txt"
    constraints.write_text("\n".join(pins))
    return constraints


def _environment(directory: Path, what: str, constraints: Path) -> Environment:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory], check=True)
    flags = ("--quiet", "--disable-pip-version-check", "--no-compile", "--constraint", str(constraints))
    pip = [sys.executable, "-m", "pip", "--python", str(directory / "bin" / "python"), "install", *flags, what]
    installed = subprocess.run(pip, check=False, capture_output=True, text=True)
    assert installed.returncode == 0, installed.stderr
    return Environment(directory=directory)


@pytest.fixture(scope="module")
def host(wheel: Path, locked: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """What a host of a fleet installs: the base alone."""
    return _environment(tmp_path_factory.mktemp("host"), str(wheel), locked)


@pytest.fixture(scope="module")
def control_plane(wheel: Path, locked: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return _environment(tmp_path_factory.mktemp("control-plane"), f"{wheel}[reconciler]", locked)


def test_the_wheel_holds_two_packages_and_nothing_else_at_its_top(wheel: Path) -> None:
    names = ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {"agent", "reconciler", f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"}


@pytest.mark.needs("git")
@pytest.mark.parametrize("data", ["schemas", "policies"])
def test_the_wheel_carries_every_committed_file_of_its_data(wheel: Path, data: str) -> None:
    committed = subprocess.run(["git", "ls-files", "--", data], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    assert committed
    assert {f"reconciler/data/{name}" for name in committed} <= set(ZipFile(wheel).namelist())


def test_a_host_gets_no_package_of_the_control_plane(host: Environment) -> None:
    assert host.packages() == BASE


def test_a_host_can_run_the_agent(host: Environment) -> None:
    answer = host.run("ordain-agent", "--version")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert re.search(r"\d+\.\d+\.\d+", answer.stdout)


@pytest.mark.parametrize("arguments", [("check", "."), ("--help",), ()], ids=["a command", "help", "nothing"])
def test_a_host_that_asks_for_the_control_plane_is_told_what_to_install(host: Environment, arguments: tuple[str, ...]) -> None:
    answer = host.run("ordain", *arguments)
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert answer.stderr.startswith("error: ")
    assert "pip install 'ordain[reconciler]'" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_the_extra_brings_the_control_plane_beside_the_agent(control_plane: Environment) -> None:
    assert control_plane.packages() > BASE
    for program in ("ordain", "ordain-agent"):
        answer = control_plane.run(program, "--version")
        assert (answer.returncode, answer.stderr) == (0, "")


def test_the_extra_names_every_package_that_the_control_plane_imports(control_plane: Environment) -> None:
    listing = "import pkgutil, reconciler as r\nfor found in pkgutil.walk_packages(r.__path__, 'reconciler.'):\n  __import__(found.name)"
    answer = control_plane.run("python", "-c", listing)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_every_command_of_an_installed_ordain_can_be_loaded(control_plane: Environment) -> None:
    answer = control_plane.run("ordain", "--help")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert {"check", "init", "reconcile", "serve", "up"} <= set(answer.stdout.split())


def test_an_installed_ordain_reads_the_schemas_that_came_with_it(control_plane: Environment) -> None:
    answer = control_plane.run("ordain", "schema", "component")
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout) == json.loads((ROOT / "schemas" / "component.schema.json").read_text())


def test_an_installed_ordain_brings_the_steps_that_make_a_registry(control_plane: Environment) -> None:
    answer = control_plane.run("ordain", "registry", "upgrade", "--state", "state")
    assert answer.returncode == 0, answer.stderr
    assert control_plane.run("ordain", "registry", "status", "--state", "state").returncode == 0
