"""The bundle for places without a network: every wheel of the control plane, OPA, and a script that installs both."""

import io
import platform
import tarfile
import tempfile
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from deploy import manpages, wheels
from deploy.packages import archive_at, epoch
from deploy.tree import HERE, ROOT
from reconciler.opa.program import find_opa


def make(target: Path, opa: Path | None) -> Path:
    """Write the bundle and return its path: `install.sh`, `wheels/`, `share/` with man pages and completions, `opa`, and SHA256SUMS.

    Raises:
        BuildError: a wheel can't be had.
        OrdainError: there is no OPA here.
    """
    name = f"ordain-{version('ordain')}-offline-{platform.machine()}"
    with tempfile.TemporaryDirectory() as scratch:
        house = Path(scratch)
        wheels.download(ROOT, house, "reconciler")
        files = {f"wheels/{path.name}": (path.read_bytes(), 0o644) for path in sorted(house.iterdir())}
        manpages.write(house / "share/man/man1", "ordain")
        manpages.write_completions(house / "share", "ordain")
        shared = (path for path in sorted((house / "share").rglob("*")) if path.is_file())
        files |= {path.relative_to(house).as_posix(): (path.read_bytes(), 0o644) for path in shared}
    files["opa"] = ((opa or find_opa(None)).read_bytes(), 0o755)
    files["install.sh"] = ((HERE / "offline" / "install.sh").read_bytes(), 0o755)
    sums = "".join(f"{sha256(data).hexdigest()}  {path}\n" for path, (data, _) in sorted(files.items()))
    files["SHA256SUMS"] = (sums.encode(), 0o644)
    path = target / f"{name}.tar.gz"
    with archive_at(path) as archive:
        for place, (data, mode) in sorted(files.items()):
            info = tarfile.TarInfo(f"{name}/{place}")
            info.size, info.mode, info.mtime = len(data), mode, epoch()
            archive.addfile(info, io.BytesIO(data))
    return path
