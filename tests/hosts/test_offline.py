"""The bundle for places without a network installs a control plane that runs, and one that somebody touched installs nothing."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from deploy import offline

pytestmark = [pytest.mark.slow, pytest.mark.needs("opa"), pytest.mark.timeout(900)]


def unpacked(tmp_path: Path) -> Path:
    with tarfile.open(offline.make(tmp_path, None)) as archive:
        archive.extractall(tmp_path, filter="data")
    return next(path for path in tmp_path.iterdir() if path.is_dir())


def install(bundle: Path, target: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PIP_NO_INDEX": "1", "PYTHON": sys.executable, "PIP_CONFIG_FILE": os.devnull}
    return subprocess.run(["sh", bundle / "install.sh", target], check=False, capture_output=True, text=True, env=environment)


def test_a_bundle_installs_a_control_plane_without_a_network_unless_it_was_touched(tmp_path: Path) -> None:
    bundle, target = unpacked(tmp_path), tmp_path / "target"
    done = install(bundle, target)
    assert done.returncode == 0, done.stderr
    fleet = tmp_path / "fleet"
    subprocess.run([target / "bin/ordain", "init", fleet], check=True, capture_output=True)
    environment = {**os.environ, "ORDAIN_OPA": str(target / "bin/opa")}
    check = subprocess.run([target / "bin/ordain", "check", fleet], check=False, capture_output=True, text=True, env=environment)
    assert check.returncode == 0, check.stdout + check.stderr
    assert (target / "share/man/man1/ordain-plan.1.gz").is_file()
    with (bundle / "opa").open("ab") as opa:
        opa.write(b"x")
    touched = install(bundle, tmp_path / "other")
    assert touched.returncode != 0
    assert not (tmp_path / "other").exists()
