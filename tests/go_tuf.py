"""go-tuf's example client: a TUF client by other people in another language, built once by Go into ordain's cache."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

VERSION = "2.4.2"
MODULE = f"github.com/theupdateframework/go-tuf/v2/examples/cli/tuf-client@v{VERSION}"
BUILD_SECONDS = 110
"""5 s with warm modules, 30 s without."""


def find() -> Path | None:
    """Return the client, built where it is not there yet; None without Go, or where building fails."""
    cache = Path(os.environ.get("ORDAIN_CACHE") or Path.home() / ".cache" / "ordain")
    place = cache / "go-tuf" / VERSION / "tuf-client"
    go = shutil.which("go")
    if go is None and not place.is_file():
        return None
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes, and go install writes in place
        if not place.is_file() and not _built(str(go), place.parent):
            return None
    return place


def _built(go: str, directory: Path) -> bool:
    environment = {**os.environ, "GOBIN": str(directory), "CGO_ENABLED": "0"}
    try:
        done = subprocess.run([go, "install", MODULE], env=environment, capture_output=True, timeout=BUILD_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
