"""Libraries that are built here and preloaded into processes under test."""

import os
import subprocess
from pathlib import Path


def build(source: str, directory: Path) -> Path:
    """Compile one of the C files beside this one."""
    library = directory / f"{source}.so"
    command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(Path(__file__).with_name(f"{source}.c")), "-ldl", "-lpthread"]
    subprocess.run(command, check=True, capture_output=True)
    return library


def environment(library: Path, **settings: str | Path) -> dict[str, str]:
    """Return what a process is started with to have a library preloaded."""
    return {**os.environ, "LD_PRELOAD": str(library), **{name: str(value) for name, value in settings.items()}}
