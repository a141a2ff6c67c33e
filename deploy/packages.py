"""Packages from what was built: Debian's, an RPM, and a tarball for everything else. Two builds of the same files are the same bytes."""

import gzip
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.interpreter import BuildError
from deploy.tree import HERE, Built

DEBIAN_SCRIPTS = ("postinst", "prerm", "postrm")
RPM_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
CONTROL = """\
Package: ordain-agent
Version: {version}
Architecture: {architecture}
Maintainer: The ordain authors <ordain@ordain.dev>
Installed-Size: {size}
Depends: libc6 (>= {glibc})
Section: admin
Priority: optional
Homepage: https://ordain.dev
Description: holds a host to its signed releases
 Fetches, verifies and applies the releases that ordain publishes for a
 fleet. It brings its own interpreter under /opt/ordain.
"""


def epoch() -> int:
    """Return the time that every file in a package has: SOURCE_DATE_EPOCH, else 2026-01-01."""
    return int(os.environ.get("SOURCE_DATE_EPOCH", "1767225600"))


def debian(built: Built, target: Path) -> Path:
    """Write the Debian package, as dpkg-deb(1) makes it, and return its path."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "root"
        shutil.copytree(built.root, root, symlinks=True)
        control = root / "DEBIAN"
        control.mkdir(mode=0o755)
        size = sum(path.lstat().st_size for path in built.root.rglob("*")) // 1024
        stated = CONTROL.format(version=built.version, architecture=built.architecture, size=size, glibc=built.glibc)
        (control / "control").write_text(stated)
        (control / "conffiles").write_text("/etc/ordain/agent.env\n")
        for name in DEBIAN_SCRIPTS:
            (control / name).write_text((HERE / "debian" / name).read_text().replace("@VERSION@", built.version))
            (control / name).chmod(0o755)
        path = target / f"ordain-agent_{built.version}_{built.architecture}.deb"
        _run(["dpkg-deb", "--root-owner-group", "-Zxz", "-z6", "--build", str(root), str(path)])
    return path


def rpm(built: Built, target: Path) -> Path:
    """Write the RPM, as rpmbuild(8) makes it, and return its path."""
    machine = RPM_MACHINES[built.architecture]
    with tempfile.TemporaryDirectory() as scratch:
        spec = Path(scratch) / "ordain-agent.spec"
        text = (HERE / "rpm" / "ordain-agent.spec").read_text()
        for name, value in {"VERSION": built.version, "GLIBC": built.glibc, "ROOT": str(built.root)}.items():
            text = text.replace(f"@{name}@", value)
        spec.write_text(text)
        defines = {
            "_topdir": scratch,
            "_rpmdir": f"{scratch}/out",
            "_buildhost": "localhost",
            "use_source_date_epoch_as_buildtime": "1",
            "clamp_mtime_to_source_date_epoch": "1",
            "_binary_payload": "w6.xzdio",
        }
        options = [part for name, value in defines.items() for part in ("--define", f"{name} {value}")]
        _run(["rpmbuild", "-bb", "--quiet", "--target", machine, *options, str(spec)])
        made = next(Path(scratch, "out").rglob("*.rpm"))
        return Path(shutil.move(made, target / made.name))


def tarball(built: Built, target: Path) -> Path:
    """Write the version's own directory as an archive: what an agent upgrades itself with, and what other systems unpack.

    It unpacks to the content of /opt/ordain/<version>, so that it can be an artifact with `unpack: tar.gz`.
    """
    path = target / f"ordain-agent-{built.version}-linux-{built.architecture}.tar.gz"
    _archive(path, built.tree)
    return path


def whole(built: Built, target: Path) -> Path:
    """Write all that the packages hold as an archive to be unpacked at /, for a system that has neither kind of package."""
    path = target / f"ordain-agent-{built.version}-linux-{built.architecture}-root.tar.gz"
    _archive(path, built.root)
    return path


def _archive(path: Path, root: Path) -> None:
    with archive_at(path) as archive:
        for found in sorted(root.rglob("*")):
            info = archive.gettarinfo(found, found.relative_to(root).as_posix())
            info.uid = info.gid = 0
            info.uname = info.gname = "root"
            info.mtime = epoch()
            info.mode = 0o755 if info.isdir() or info.issym() or info.mode & 0o100 else 0o644
            archive.addfile(info, io.BytesIO(found.read_bytes()) if info.isfile() else None)


@contextmanager
def archive_at(path: Path) -> Iterator[tarfile.TarFile]:
    """Open a compressed archive for writing; the same members give the same bytes whenever they are written."""
    with (
        path.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6) as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.GNU_FORMAT) as archive,
    ):
        yield archive


def _run(command: list[str]) -> None:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch())}
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    except FileNotFoundError as error:
        message = f"{command[0]} is not installed; Debian has it in {'dpkg' if command[0] == 'dpkg-deb' else 'rpm'}"
        raise BuildError(message) from error
    if done.returncode:
        message = f"{command[0]}: {(done.stderr or done.stdout).strip()[-2000:]}"
        raise BuildError(message)
