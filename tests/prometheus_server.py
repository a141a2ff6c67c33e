"""A real Prometheus, for the gate that asks one: Debian's package, unpacked by `make prometheus` where it is not installed."""

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.opa import ports

START_SECONDS = 60.0


def find() -> Path | None:
    """Return the program; None where there is none."""
    cache = Path(os.environ.get("ORDAIN_CACHE") or Path.home() / ".cache" / "ordain")
    unpacked = cache / "prometheus" / "prometheus"
    found = shutil.which("prometheus")
    return Path(found) if found else unpacked if unpacked.is_file() else None


@contextmanager
def running(program: Path, directory: Path) -> Iterator[str]:
    """Run one that watches itself, twice a second, and give its address once it knows a sample."""
    (directory / "prometheus.yml").write_text(
        "global: {scrape_interval: 500ms, scrape_timeout: 500ms}\n"
        "scrape_configs: [{job_name: self, file_sd_configs: [{files: [targets.json], refresh_interval: 1s}]}]\n"
    )
    command = [str(program), "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:0"]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--log.level=warn"], stdout=log, stderr=log, cwd=directory)
    try:
        yield _started(process, directory)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def _started(process: subprocess.Popen[bytes], directory: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    port: int | None = None
    while process.poll() is None and time.monotonic() < deadline:
        port = port or ports.listening(process.pid, 0)
        targets = directory / "targets.json"
        if port and not targets.exists():
            targets.write_text(json.dumps([{"targets": [f"127.0.0.1:{port}"]}]))
        if port and _knows(f"http://127.0.0.1:{port}"):
            return f"http://127.0.0.1:{port}"
        time.sleep(0.05)
    message = f"Prometheus did not start: {(directory / 'log').read_text()[-2000:]}"
    raise RuntimeError(message)


def _knows(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/api/v1/query?query=up", timeout=5) as answer:
            return b'"value"' in answer.read()
    except (urllib.error.URLError, OSError):
        return False
