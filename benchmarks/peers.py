"""Tools that ordain is compared with, built once into ordain's cache by Go."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from reconciler.opa.program import cache_directory

CONFTEST = "github.com/open-policy-agent/conftest@latest"
BUILD_SECONDS = 900
"""A build takes 93 s on two cores that do nothing else."""


def conftest() -> Path | None:
    """Return a conftest: the one on PATH, the one that was built before, or one that is built now; None where Go is missing."""
    found = shutil.which("conftest")
    if found:
        return Path(found)
    target = cache_directory(os.environ) / "conftest" / "conftest"
    if target.is_file():
        return target
    go = shutil.which("go")
    if go is None:
        return None
    target.parent.mkdir(parents=True, exist_ok=True)
    print(f"building conftest into {target.parent}, once; this takes a minute or two", file=sys.stderr, flush=True)
    wanted = {**os.environ, "GOBIN": str(target.parent), "CGO_ENABLED": "0"}
    subprocess.run(
        [go, "install", "-trimpath", "-ldflags=-s -w", CONFTEST], env=wanted, check=True, capture_output=True, timeout=BUILD_SECONDS
    )
    return target


def version(program: Path) -> str:
    """Return what `conftest --version` says, on one line."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return ", ".join(line.strip() for line in said.splitlines() if line.strip())
