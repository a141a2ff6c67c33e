"""Which of the locked distributions an agent needs, and putting those, and ordain itself, into a tree."""

import re
import subprocess
import sys
import tempfile
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.interpreter import BuildError

LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==[^\n]*(?:\n[ \t]+[^\n]*)*", re.MULTILINE)
"""One distribution of the lock file: its line, and the hashes that follow."""
PLATFORMS = {"amd64": "x86_64", "arm64": "aarch64"}
MANYLINUX = ("2014", "_2_17", "_2_28", "_2_34")


def needed(*extras: str) -> set[str]:
    """Return the canonical names of the distributions that ordain needs with these extras, ordain left out, as installed here."""
    waiting, found = [("ordain", frozenset(extras))], set[str]()
    while waiting:
        name, wanted = waiting.pop()
        for line in distribution(name).requires or ():
            requirement = Requirement(line)
            marker = requirement.marker
            if marker is not None and not any(marker.evaluate({"extra": extra}) for extra in (*wanted, "")):
                continue
            canonical = canonicalize_name(requirement.name)
            if canonical not in found:
                found.add(canonical)
                waiting.append((canonical, frozenset(requirement.extras)))
    return found


def locked(lock: Path, names: set[str]) -> str:
    """Return the part of the lock file that is about these distributions; raise `BuildError` if one is not in it."""
    blocks: dict[str, str] = {canonicalize_name(match[1]): match[0] for match in LOCKED.finditer(lock.read_text())}
    missing = sorted(names - blocks.keys())
    if missing:
        message = f"{lock} does not lock {', '.join(missing)}; run make lock"
        raise BuildError(message)
    return "\n".join(blocks[name] for name in sorted(names)) + "\n"


def install(root: Path, target: Path, *, python: str, architecture: str, wheels: Path | None) -> None:
    """Install the agent's distributions, by their hashes, and ordain itself into a site-packages directory.

    `wheels` is a directory to take them from where there is no network. For another architecture only wheels will do.
    """
    asked = locked(root / "requirements.lock", needed())
    with tempfile.TemporaryDirectory() as scratch:
        only = Path(scratch) / "agent.lock"
        only.write_text(asked)
        machine = PLATFORMS[architecture]
        platforms = [option for version in MANYLINUX for option in ("--platform", f"manylinux{version}_{machine}")]
        offline = ["--no-index", "--find-links", str(wheels)] if wheels is not None else []
        common = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-compile", "--target", str(target)]
        constrained = ["--python-version", python, "--only-binary", ":all:", *platforms]
        _pip([*common, *offline, *constrained, "--require-hashes", "--requirement", str(only)])
        _pip([*common, "--no-build-isolation", "--no-index", str(root)])


def download(root: Path, target: Path, *extras: str) -> None:
    """Fetch the wheels that ordain needs with these extras on a machine like this, and build ordain's own beside them."""
    with tempfile.TemporaryDirectory() as scratch:
        only = Path(scratch) / "some.lock"
        only.write_text(locked(root / "requirements.lock", needed(*extras)))
        quiet = ["--quiet", "--disable-pip-version-check", "--no-deps"]
        _pip(["--only-binary", ":all:", *quiet, "--require-hashes", "--requirement", str(only), "--dest", str(target)], "download")
        _pip([*quiet, "--no-build-isolation", "--no-index", "--wheel-dir", str(target), str(root)], "wheel")


def _pip(arguments: list[str], command: str = "install") -> None:
    done = subprocess.run([sys.executable, "-m", "pip", command, *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        message = f"pip {command} failed: {done.stderr.strip()[-2000:]}"
        raise BuildError(message)
