"""What was acknowledged is there afterwards, whatever happens to the database or to the process that writes."""

import queue
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent.protocol.errors import RetryError
from reconciler.control.registry import agents, receipts, wakeups
from reconciler.control.registry.batches import write_batches
from reconciler.control.registry.registry import Registry
from tests.postgresql_server import Server
from tests.registry_cases import NOW, empty, empty_url, receipt, received

PATIENCE = 120.0
WRITER = """
import itertools, sys
from reconciler.control.registry.batches import write_batches
from reconciler.control.registry.registry import Registry
from tests.registry_cases import receipt, received

registry = Registry.open(sys.argv[1])
for number in itertools.count(1):
    registry.write(write_batches, [received(sequence=number, receipts=[receipt(serial=number)])])
    print(number, flush=True)
"""


def _serials(registry: Registry) -> set[int]:
    found, after = set(), ""
    while True:
        page = registry.look(receipts.listed, receipts.Filter(tenant="shop"), after=after, limit=1000)
        found |= {one.signed.receipt.serial for one in page.items}
        after = page.next
        if not after:
            return found


def test_a_writer_that_is_killed_loses_nothing_that_it_was_told_is_kept(tmp_path: Path) -> None:
    url = empty_url(tmp_path)
    with subprocess.Popen([sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as writer:
        assert writer.stdout is not None
        told = [int(writer.stdout.readline()) for _ in range(25)]
        writer.kill()
        told += [int(line) for line in writer.stdout.read().splitlines() if line.strip().isdecimal()]
    registry = Registry.open(url)
    try:
        assert _serials(registry) >= set(told)
    finally:
        registry.close()


def test_sqlite_waits_for_the_disk_and_its_files_are_their_owners_alone(tmp_path: Path) -> None:
    with empty(tmp_path) as registry:
        with registry.begin() as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2  # FULL
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        fresh = Registry.open(f"sqlite:///{tmp_path}/new/registry.db")
        try:
            fresh.migrate()
            assert {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "new").iterdir()} == dict.fromkeys(
                ("registry.db", "registry.db-wal", "registry.db-shm"), 0o600
            )
        finally:
            fresh.close()


def test_a_file_that_is_no_registry_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "registry.db").write_text("not a database" * 100)
    registry = Registry.open(f"sqlite:///{tmp_path}/registry.db")
    try:
        with pytest.raises(RetryError, match="file is not a database"):
            registry.migrate()
    finally:
        registry.close()


def test_another_process_that_writes_for_long_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.control.registry.engines.BUSY_SECONDS", 0.2)
    with empty(tmp_path) as registry:
        other = sqlite3.connect(tmp_path / "registry.db", isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(RetryError, match="database is locked"):
                registry.write(agents.enrol, "shop", "web-01", by="x", now=NOW)
            other.execute("ROLLBACK")
            assert registry.write(agents.enrol, "shop", "web-01", by="x", now=NOW).agent == "web-01"
        finally:
            other.close()


@pytest.mark.needs("postgresql")
@pytest.mark.xdist_group("postgresql")
def test_a_postgresql_that_crashes_under_load_loses_nothing_that_was_kept(tmp_path: Path, postgresql: Server) -> None:
    stop = threading.Event()
    kept: queue.SimpleQueue[int] = queue.SimpleQueue()
    failures: queue.SimpleQueue[str] = queue.SimpleQueue()

    def write(worker: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            serial = worker * 1_000_000 + number
            try:
                registry.write(
                    write_batches, [received(f"web-{worker}", sequence=number, receipts=[receipt(f"web-{worker}", serial=serial)])]
                )
            except RetryError as error:
                failures.put(str(error))
                stop.wait(0.01)
            else:
                kept.put(serial)

    with empty(tmp_path, postgresql) as registry, ThreadPoolExecutor(3) as threads:
        work = [threads.submit(write, worker) for worker in range(3)]
        try:
            told = {kept.get(timeout=PATIENCE) for _ in range(20)}
            postgresql.stop(signal.SIGQUIT)
            assert failures.get(timeout=PATIENCE)
            postgresql.start()
            while not kept.empty():
                told.add(kept.get())
            told |= {kept.get(timeout=PATIENCE) for _ in range(20)}
        finally:
            stop.set()
        for one in work:
            one.result(timeout=PATIENCE)
        assert _serials(registry) >= told


@pytest.mark.needs("postgresql")
@pytest.mark.xdist_group("postgresql")
def test_listeners_hear_again_once_postgresql_is_back(tmp_path: Path, postgresql: Server) -> None:
    heard: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    with empty(tmp_path, postgresql) as registry, registry.listen(lambda *note: heard.put(note), poll=0.05):
        assert heard.get(timeout=PATIENCE) == ("", "")
        postgresql.stop(signal.SIGQUIT)
        assert heard.get(timeout=PATIENCE) == ("", "")  # look again: something may have been missed
        postgresql.start()
        told = ("", "")
        while told != (wakeups.AGENTS, "shop/web-01"):
            if heard.empty():
                registry.write(agents.enrol, "shop", "web-01", by="x", now=NOW)
            told = heard.get(timeout=PATIENCE)
