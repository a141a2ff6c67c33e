"""The agent's own interpreter: a copy of a Python that needs nothing of the host but its C library.

Any CPython can be the source: a relocatable build, or the one that runs this. Shared libraries that it and its modules need
are copied beside it, and each file's search path is set relative to itself.
"""

import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

OF_THE_HOST = re.compile(r"(linux-vdso|ld-linux.*|libc|libm|libdl|libpthread|librt|libutil|libresolv|libnsl|libcrypt)\.so(\.\d+)*")
"""The C library and what belongs to it must be the host's own."""
LEFT_OUT = (
    "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "site-packages", "__pycache__", "pydoc_data", "venv",
)  # fmt: skip
"""Directories of the standard library that no agent uses."""
MODULES_LEFT_OUT = re.compile(r"(_tkinter|_test.*|_xx.*|xx.*|_curses.*|readline|_dbm|_gdbm|_ctypes_test)\..*so")
NEEDED = re.compile(r"\s(\S+) => (/\S+) \(0x", re.ASCII)
GLIBC = re.compile(r"GLIBC_(\d+)\.(\d+)")
ELF = b"\x7fELF"


class BuildError(RuntimeError):
    """A package can't be built: what is missing, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A Python to copy: its prefix, and its version as 3.11."""

    prefix: Path
    version: str


def running() -> Interpreter:
    """Return the interpreter that runs this, without the virtual environment around it."""
    return Interpreter(prefix=Path(sys.base_prefix), version=sysconfig.get_python_version())


def at(prefix: Path) -> Interpreter:
    """Return the interpreter of a prefix, as a relocatable build unpacks to; raise `BuildError` if there is none or more than one."""
    found = sorted(path.name.removeprefix("python") for path in (prefix / "lib").glob("python3.*") if (path / "os.py").is_file())
    if len(found) != 1:
        message = f"{prefix}: holds {len(found)} standard libraries, not one; give the directory that has bin/ and lib/ of one Python"
        raise BuildError(message)
    return Interpreter(prefix=prefix, version=found[0])


def copy(source: Interpreter, target: Path) -> None:
    """Copy an interpreter to `target` as bin/python3 and lib/, complete with the libraries that it needs.

    Raises:
        BuildError: it has no program, or needs a library that isn't here.
    """
    library = source.prefix / "lib" / f"python{source.version}"
    program = source.prefix / "bin" / f"python{source.version}"
    if not program.is_file():
        message = f"{program}: there is none"
        raise BuildError(message)
    (target / "bin").mkdir(parents=True)
    shutil.copy2(program.resolve(), target / "bin" / "python3")
    shutil.copytree(library, target / "lib" / library.name, ignore=_unneeded, symlinks=False)
    (target / "lib" / library.name / "site-packages").mkdir()
    for shared in (source.prefix / "lib").glob(f"libpython{source.version}*.so.*"):
        shutil.copy2(shared.resolve(), target / "lib" / shared.name)


def complete(tree: Path, *, runs_here: bool = True) -> None:
    """Bring along the shared libraries that files of a tree need, and let each be found from where it lies.

    With `runs_here` false (another architecture) the tree must be complete as it comes: a relocatable build and wheels are.
    """
    if not runs_here:
        return
    waiting = list(elf_files(tree))
    while waiting:
        for name, found in _needs(waiting.pop()):
            inside = tree / "lib" / name
            if not inside.exists() and not found.is_relative_to(tree):
                shutil.copy2(found.resolve(), inside)
                inside.chmod(0o644)
                waiting.append(inside)
    for path in elf_files(tree):
        if "site-packages" in path.parts:
            continue  # wheels carry their own
        _run(["strip", "--strip-unneeded", str(path)])
        _run(["patchelf", "--set-rpath", f"$ORIGIN/{_up(path, tree)}lib", str(path)])


def glibc_needed(tree: Path) -> str:
    """Return the newest version of the C library that any file of a tree asks for, as 2.17."""
    newest = (2, 17)
    for path in elf_files(tree):
        newest = max(
            [newest, *((int(found[1]), int(found[2])) for found in GLIBC.finditer(_run(["readelf", "--version-info", str(path)])))]
        )
    return f"{newest[0]}.{newest[1]}"


def elf_files(tree: Path) -> Iterator[Path]:
    """Yield the programs and libraries of a tree."""
    for path in sorted(tree.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as stream:
                if stream.read(len(ELF)) == ELF:
                    yield path


def _unneeded(directory: str, names: list[str]) -> set[str]:
    static = {name for name in names if name.startswith("config-") or name.endswith((".a", ".pyc")) or MODULES_LEFT_OUT.fullmatch(name)}
    return static | {name for name in names if name in LEFT_OUT and (Path(directory) / name).is_dir()}


def _needs(path: Path) -> Iterator[tuple[str, Path]]:
    said = _run(["ldd", str(path)])
    if "not found" in said:
        message = f"{path} needs a library that is not here: {said.strip()}"
        raise BuildError(message)
    for found in NEEDED.finditer(said):
        if not OF_THE_HOST.fullmatch(found[1]):
            yield found[1], Path(found[2])


def _up(path: Path, tree: Path) -> str:
    return "../" * (len(path.relative_to(tree).parts) - 1)


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        message = f"{command[0]} is not installed; Debian has it as a package of that name (binutils for readelf and strip)"
        raise BuildError(message) from error
    except subprocess.CalledProcessError as error:
        if command[0] == "ldd" and "not a dynamic executable" in error.stderr + error.stdout:
            return ""
        message = f"{' '.join(command)}: {error.stderr.strip() or error.returncode}"
        raise BuildError(message) from error
    return done.stdout
