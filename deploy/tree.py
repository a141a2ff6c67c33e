"""One version of the agent as it lies under /opt/ordain, and what the package lays around it."""

import compileall
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from py_compile import PycInvalidationMode

from deploy import interpreter, manpages, wheels
from deploy.interpreter import BuildError, Interpreter

HERE = Path(__file__).parent
ROOT = HERE.parent
PREFIX = "opt/ordain"
DATA_OF_THE_CONTROL_PLANE = ("reconciler", "schemas", "policies")
"""What the wheel has beside the agent: a host has no use for it."""
_CHECKED = PycInvalidationMode.UNCHECKED_HASH
"""By hash, so that two builds of the same files are the same bytes; never looked at again, for a version never changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What packages are made of: `root` holds the files as they will lie on a host."""

    root: Path
    version: str
    architecture: str
    glibc: str

    @property
    def tree(self) -> Path:
        """The version's own directory, whole in itself: this is also what an agent upgrades itself with."""
        return self.root / PREFIX / self.version


def architecture_of(source: Interpreter) -> str:
    """Return the architecture of an interpreter as packages name it; raise `BuildError` for one that ordain isn't built for."""
    program = source.prefix / "bin" / f"python{source.version}"
    with program.resolve().open("rb") as stream:
        machine = int.from_bytes(stream.read(20)[18:20], "little")
    known = {62: "amd64", 183: "arm64"}  # e_machine, elf(5)
    if machine not in known:
        message = f"{program} is for machine {machine} of ELF; agents are packaged for {', '.join(known.values())}"
        raise BuildError(message)
    return known[machine]


def build(target: Path, source: Interpreter, *, wheelhouse: Path | None) -> Built:
    """Lay everything out under `target`, which must not exist yet.

    Raises:
        BuildError: a tool, a library or a distribution is missing.
    """
    release, architecture = version("ordain"), architecture_of(source)
    tree = target / PREFIX / release
    interpreter.copy(source, tree)
    site = tree / "lib" / f"python{source.version}" / "site-packages"
    wheels.install(ROOT, site, python=source.version, architecture=architecture, wheels=wheelhouse)
    thin(site)
    shutil.copy2(HERE / "agent" / "ordain-agent", tree / "bin" / "ordain-agent")
    interpreter.complete(tree, runs_here=architecture == architecture_of(interpreter.running()))
    if not compileall.compile_dir(tree / "lib", quiet=2, stripdir=str(target), invalidation_mode=_CHECKED, optimize=0):
        message = f"{tree}: some modules can't be compiled"
        raise BuildError(message)
    _around(target)
    return Built(root=target, version=release, architecture=architecture, glibc=interpreter.glibc_needed(tree))


def thin(site: Path) -> None:
    """Remove from a site-packages directory what an agent has no use for."""
    for name in DATA_OF_THE_CONTROL_PLANE:
        shutil.rmtree(site / name, ignore_errors=True)
    shutil.rmtree(site / "bin", ignore_errors=True)
    for tests in [*site.rglob("tests"), *site.rglob("__pycache__")]:
        shutil.rmtree(tests, ignore_errors=True)


def _around(target: Path) -> None:
    """Lay down what the package owns beside the version: launcher, units, settings, man pages and completions."""
    copies = {
        "agent/launcher": "opt/ordain/launcher",
        "agent/ordain-agent.service": "usr/lib/systemd/system/ordain-agent.service",
        "agent/ordain-agent-recover.service": "usr/lib/systemd/system/ordain-agent-recover.service",
        "agent/agent.env": "etc/ordain/agent.env",
        "../LICENSE": "usr/share/doc/ordain-agent/copyright",
    }
    for source, place in copies.items():
        (target / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(HERE / source, target / place)
        (target / place).chmod(0o755 if place.endswith("launcher") else 0o644)
    (target / "usr/bin").mkdir(parents=True)
    (target / "usr/bin/ordain-agent").symlink_to("/opt/ordain/current/bin/ordain-agent")
    manpages.write(target / "usr/share/man/man1", "ordain-agent")
    manpages.write_completions(target / "usr/share", "ordain-agent")


def try_it(built: Built) -> str:
    """Run the interpreter of a tree where it lies, and return what the agent says its version is; raise `BuildError` if it can't."""
    command = [str(built.tree / "bin" / "ordain-agent"), "--version"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}, cwd="/")
    if done.returncode:
        message = f"the agent that was built does not start: {done.stderr.strip()[-2000:]}"
        raise BuildError(message)
    return done.stdout.strip()
