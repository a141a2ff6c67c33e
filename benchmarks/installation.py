"""A fleet repository with an `ordain up` beside it, as a process or as its two loops in this one; both work on one state directory."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import fleets
from reconciler import wiring
from reconciler.opa.program import find_opa
from reconciler.pipeline.loop import Progress
from reconciler.settings import PolicySettings, Settings, SourceSettings

BIN = Path(sys.executable).parent
PATIENCE = 600.0
"""Seconds for a first import: ten times what 10,000 manifests take."""
LOOK = 0.001
"""Seconds between looks at a file that should change."""
ANNOUNCED = b"local at "


@dataclass(frozen=True, slots=True)
class Installation:
    """Where it lies, and what a benchmark does to it."""

    directory: Path

    @property
    def repository(self) -> Path:
        """The fleet repository."""
        return self.directory / "fleets"

    @property
    def state(self) -> Path:
        """The state directory."""
        return self.directory / "state"

    @property
    def settings(self) -> Settings:
        """What `ordain up` would be started with."""
        source = SourceSettings(repository=str(self.repository))
        return Settings(state=self.state, source=source, policy=PolicySettings(opa=str(find_opa())))

    def metadata(self, tenant: str, fleet: str) -> Path:
        """Return the directory of a fleet's published metadata."""
        return self.state / "store" / "public" / tenant / fleet / "metadata"

    def timestamp(self, tenant: str, fleet: str) -> Path:
        """Return the file that moves when something is published."""
        return self.metadata(tenant, fleet) / "timestamp.json"

    def await_fleets(self, count: int) -> float:
        """Wait until so many fleets are published; return the seconds that took."""
        begin = time.perf_counter()
        public = self.state / "store" / "public"
        while len(list(public.glob("*/*/metadata/timestamp.json"))) < count:
            _patient(begin, f"{count} fleets published")
            time.sleep(0.05)
        return time.perf_counter() - begin

    def commit(self, files: Mapping[str, str], tenant: str, fleet: str) -> tuple[float, float]:
        """Commit files; return when git was done with that, and when the fleet's timestamp had moved (`time.perf_counter`)."""
        path = self.timestamp(tenant, fleet)
        before = path.stat().st_mtime_ns
        fleets.commit(self.repository, files)
        begin = time.perf_counter()
        while path.stat().st_mtime_ns == before:
            _patient(begin, f"{tenant}/{fleet} published again")
            time.sleep(LOOK)
        return begin, time.perf_counter()


def _patient(begin: float, what: str) -> None:
    if time.perf_counter() - begin > PATIENCE:
        message = f"{what}: not within {PATIENCE:.0f} s"
        raise TimeoutError(message)


@contextmanager
def process(made: Installation) -> Iterator[str]:
    """Run `ordain up`; yield the address that it listens on."""
    log = made.directory / "up.log"
    listening = ["--listen", "127.0.0.1:0", "--local", "127.0.0.1:0"]
    command: list[str | Path] = [BIN / "ordain", "up", "--repo", made.repository, "--state", made.state, *listening]
    with log.open("wb") as stream:
        running = subprocess.Popen(command, stderr=stream, env={**os.environ, "ORDAIN_OPA": made.settings.policy.opa})
    try:
        begin = time.perf_counter()
        while ANNOUNCED not in (said := log.read_bytes()):
            if running.poll() is not None:
                message = f"ordain up ended: {said.decode(errors='replace')[-500:]}"
                raise RuntimeError(message)
            _patient(begin, "ordain up listening")
            time.sleep(0.02)
        yield said.split(ANNOUNCED, 1)[1].split(b"\n", 1)[0].decode().strip()
    finally:
        running.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(30)
        running.kill()


@contextmanager
def loops(made: Installation) -> Iterator[None]:
    """Run the loops of `ordain up` as threads of this process, where they can be timed; yield once both are at rest."""
    stop, ready, progress = threading.Event(), threading.Event(), Progress()
    settings = made.settings
    running = [
        wiring.pipeline(settings, progress, make_keys=wiring.development(settings)),
        wiring.control(settings, ready=ready.set),
    ]
    threads = [threading.Thread(target=loop, args=(stop,), daemon=True) for loop in running]
    for thread in threads:
        thread.start()
    try:
        begin = time.perf_counter()
        while not (ready.is_set() and progress.ready):
            _patient(begin, "both loops at rest")
            time.sleep(0.02)
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
