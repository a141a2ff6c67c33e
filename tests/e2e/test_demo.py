"""`make demo` is the first thing that a newcomer sees: it must hold what it claims, end by itself, and leave nothing behind."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEMO = [sys.executable, str(ROOT / "examples" / "demo.py")]
SECONDS = 450


def _left(directory: Path) -> list[str]:
    """Return what is left in the demo's temporary directory, and command lines of processes that name it."""
    return [*map(str, directory.iterdir()), *(line for line in _processes() if str(directory) in line)]


def _processes() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            yield path.read_bytes().replace(b"\0", b" ").decode(errors="replace")


@pytest.mark.needs("opa", "git")
def test_the_demo_holds_what_it_claims_and_leaves_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(DEMO, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert done.stdout.count("unchanged") == 3
    assert "library/sshd/sshd.yaml:18:13 deny host-safety/world-writable" in done.stdout
    assert done.stdout.count("LoginGraceTime 20` ") == 3
    assert "shop/web-01        enrolled" in done.stdout
    assert "Killed by hand on web-01" in done.stdout
    assert _left(tmp_path) == []


@pytest.mark.needs("opa", "git")
def test_a_demo_that_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    demo = subprocess.Popen(DEMO, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + SECONDS
    while not list(tmp_path.glob("*/logs/up.log")) and time.monotonic() < deadline:
        time.sleep(0.05)
    demo.send_signal(signal.SIGINT)
    output, errors = demo.communicate(timeout=SECONDS)
    assert demo.returncode == 130, output + errors
    assert _left(tmp_path) == []
