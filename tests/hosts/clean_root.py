"""A clean Debian under a directory, made once by debootstrap and copied for each test; commands run in it by chroot."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUITE = "bookworm"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ordain" / f"debootstrap-{SUITE}"


def base() -> Path:
    """Return the directory of a clean system, which is never changed; the first call takes about a minute."""
    if not (CACHE / "usr").is_dir():
        CACHE.parent.mkdir(parents=True, exist_ok=True)
        new = CACHE.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        subprocess.run(["debootstrap", "--variant=minbase", SUITE, str(new)], check=True, capture_output=True)
        new.rename(CACHE)
    return CACHE


@contextmanager
def clean_root(target: Path) -> Iterator["CleanRoot"]:
    """Yield a copy of the clean system with /proc and /dev of its own kernel; nothing of it is left mounted."""
    subprocess.run(["cp", "-a", "--reflink=auto", str(base()), str(target)], check=True)
    for kind, place in (("proc", "proc"), ("tmpfs", "run")):
        subprocess.run(["mount", "-t", kind, kind, str(target / place)], check=True)
    try:
        yield CleanRoot(target)
    finally:
        for place in ("proc", "run"):
            subprocess.run(["umount", "--lazy", str(target / place)], check=True)


class CleanRoot:
    """One copy of the system."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command as root of the system, and return what it said."""
        done = subprocess.run(self.command(*command), check=False, capture_output=True, text=True, env=self.environment())
        assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}"
        return done

    def command(self, *command: str) -> list[str]:
        """Return the command as it is run from outside."""
        return ["chroot", str(self.path), *command]

    @staticmethod
    def environment() -> dict[str, str]:
        """Return what the service manager would set, and nothing of this test's own."""
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"}
