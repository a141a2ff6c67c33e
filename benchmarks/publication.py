"""f. Publishing one changed fleet, by the number of fleets in its tenant: time to the moved timestamp, and bytes an agent downloads.

Releases are approved as the pipeline does, but without git and OPA, so that a tenant of thousands of fleets is there in a minute.
The control zone's loop runs as a thread of this process, and a TUF client reads from the store and counts.
"""

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

from agent.protocol import bundle, codec, rollout
from agent.protocol.membership import Member
from agent.protocol.state import File, State
from benchmarks.installation import Installation
from benchmarks.measuring import Sample, slope
from benchmarks.report import Report
from reconciler import wiring
from reconciler.pipeline.approve import approve_release, write_controls
from reconciler.publication import controls
from reconciler.publication.keys import KeyRing
from reconciler.publication.store import LocalStore

TENANT, FLEET = "shop", "fleet-00000"
SIZES, TIMES = (10, 1_000), 20
FULL_SIZES = (10, 1_000, 10_000)
GOAL = 0.1
LIFE = 24 * 3600
NOT_FOUND = 404
PATIENCE = 600.0


def measure(*, quick: bool, full: bool = False) -> Report:
    """Measure with 10 and 1,000 fleets, in full with 10,000 too, or with 2 and 8 where it has to be quick."""
    sizes, times = ((2, 8), 2) if quick else (FULL_SIZES if full else SIZES, TIMES)
    report = Report(name="publication", title="publishing one changed fleet, by the number of fleets in its tenant", quick=quick)
    found = {size: _published(size, times) for size in sizes}
    for number, (what, unit) in enumerate((("approved → published", "ms"), ("an agent downloads", "bytes"))):
        values = [found[size][number] for size in sizes]
        for size, sample in zip(sizes, values, strict=True):
            report.add(f"{size} fleets, {what}", sample, unit)
        steep = slope(sizes, [sample.median for sample in values])
        report.goal(f"slope of {what}", f"< {GOAL} (flat)", f"{steep:.3f}", reached=steep < GOAL)
    report.limits.append(
        "one repository a fleet: four signatures, eight files fsynced with their directories, and a TUF client that reads all of it back"
    )
    return report


def _published(size: int, times: int) -> tuple[Sample, Sample]:
    """Return milliseconds from approval to publication, and bytes that an agent of the fleet then downloads."""
    with tempfile.TemporaryDirectory(prefix="ordain-bench-") as name:
        made = Installation(Path(name))
        store, ring = _tenant(made)
        for number in range(size):
            _approve(store, ring, f"fleet-{number:05d}", revision=0)
        fleets = {f"fleet-{number:05d}": controls.Fleet(freshness=LIFE) for number in range(size)}
        write_controls(store, ring.signer(f"{TENANT}/releases"), controls.Controls(tenant=TENANT, fleets=fleets), now=_now())
        with _control(made):
            made.await_fleets(size)
            agent = _Agent(made)
            agent.poll()
            seconds, taken = [], []
            for number in range(times):
                seconds.append(_change(made, store, ring, number + 1))
                taken.append(float(agent.poll()))
                time.sleep(0.1)
    return Sample(tuple(one * 1000 for one in seconds)), Sample(tuple(taken))


def _now() -> datetime:
    return datetime.now(tz=UTC).replace(microsecond=0)


def _tenant(made: Installation) -> tuple[LocalStore, KeyRing]:
    settings = made.settings
    wiring.development(settings)([TENANT])
    return LocalStore(settings.state / "store"), KeyRing(zone="pipeline", directory=settings.keys_directory / "pipeline")


def _approve(store: LocalStore, ring: KeyRing, fleet: str, *, revision: int) -> None:
    text = "\n".join(f"setting-{line}: value {line} of revision {revision}" for line in range(200))
    state = State(files=[File(path=f"/etc/{fleet}.conf", content=text)])
    data = bundle.encode(bundle.Bundle(format=bundle.FORMAT, fleet=f"{TENANT}/{fleet}", groups={"g-all": bundle.Group(base=state)}))
    approve_release(
        store,
        ring.signer(f"{TENANT}/releases"),
        tenant=TENANT,
        fleet=fleet,
        data=data,
        digest=codec.sha256(data),
        pools={},
        agents={f"host-{number:02d}": Member(group="g-all", labels={"role": fleet}) for number in range(20)},
        commit=f"{revision:040d}",
        decision=revision + 1,
        freshness_seconds=LIFE,
        now=_now(),
    )


def _change(made: Installation, store: LocalStore, ring: KeyRing, revision: int) -> float:
    """Approve another release of one fleet; return the seconds until its timestamp has moved."""
    path = made.timestamp(TENANT, FLEET)
    before = path.stat().st_mtime_ns
    _approve(store, ring, FLEET, revision=revision)
    begin = time.perf_counter()
    while path.stat().st_mtime_ns == before:
        if time.perf_counter() - begin > PATIENCE:
            message = f"{TENANT}/{FLEET}: not published within {PATIENCE:.0f} s"
            raise TimeoutError(message)
        time.sleep(0.0005)
    return time.perf_counter() - begin


@contextmanager
def _control(made: Installation) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=wiring.control(made.settings, ready=lambda: None), args=(stop,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)


class _Counting(FetcherInterface):
    """Serves a TUF client from the published directory, and counts the bytes."""

    def __init__(self) -> None:
        self.taken = 0

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = Path(url.removeprefix("file:"))
        if not path.is_file():
            raise DownloadHTTPError(str(path), NOT_FOUND)
        data = path.read_bytes()
        self.taken += len(data)
        return iter((data,))


class _Agent:
    """What an agent does at each poll, as far as its downloads go: metadata, the rollout document, and what is new of the release."""

    def __init__(self, made: Installation) -> None:
        self._public = made.state / "store" / "public" / TENANT / FLEET
        self._kept = made.directory / "agent"
        (self._kept / "targets").mkdir(parents=True)
        self._root = (made.state / "trust" / f"{TENANT}.root.json").read_bytes()

    def poll(self) -> int:
        """Return the bytes that one poll takes."""
        counting = _Counting()
        bases = (f"file:{self._public}/metadata/", f"file:{self._public}/targets/")
        client = Updater(str(self._kept), bases[0], str(self._kept / "targets"), bases[1], fetcher=counting, bootstrap=self._root)
        client.refresh()
        path = rollout.target(FLEET)
        document = rollout.decode(self._target(client, path), fleet=f"{TENANT}/{FLEET}")
        stable = document.stable
        if stable is not None:
            self._target(client, bundle.target(FLEET, stable.digest))
            self._target(client, f"members/{stable.members}.json")
        return counting.taken

    def _target(self, client: Updater, path: str) -> bytes:
        listed = client.get_targetinfo(path)
        if listed is None:
            message = f"{path} is not listed"
            raise RuntimeError(message)
        return Path(client.find_cached_target(listed) or client.download_target(listed)).read_bytes()
