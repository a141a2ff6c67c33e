"""While the registry is away the log says so once and then seldom, so that what else happens can be found in it."""

import logging
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from reconciler.control.outage import SAID_AGAIN, Outage
from reconciler.control.zone import REFRESH_REST
from tests.process_cases import until
from tests.zone_cases import site

BEGUN, OVER = "who is revoked can't be read, what was known counts: ", "who is revoked can't be read, what was known counts"
STIRRED = "INSERT INTO marks (name, value) VALUES ('notified', '1') ON CONFLICT (name) DO UPDATE SET value = CAST(value AS INTEGER) + 1"


def test_standing_that_cant_be_read_is_said_once_and_when_it_is_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with site(tmp_path, None), closing(sqlite3.connect(tmp_path / "registry.db", isolation_level=None)) as other:

        def lines(word: str) -> list[str]:
            return [line for line in caplog.messages if word in line]

        other.execute("ALTER TABLE certificates RENAME TO elsewhere")
        other.execute(STIRRED)
        until(lambda: lines(BEGUN))
        time.sleep(10 * REFRESH_REST)
        assert len(lines(BEGUN)) == 1
        other.execute("ALTER TABLE elsewhere RENAME TO certificates")
        other.execute(STIRRED)
        until(lambda: lines("over after"))
        assert [line.endswith(OVER) for line in lines("over after")] == [True]


def test_an_outage_is_said_at_its_begin_each_minute_and_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    outage = Outage(logging.getLogger("test"), "the database is away", clock=lambda: now[0])
    outage.over()
    for second in range(int(2 * SAID_AGAIN)):
        now[0] = float(second)
        outage.failed(OSError("no\nroute"))
    outage.over()
    outage.over()
    outage.failed(OSError("no route"))
    away = "the database is away"
    assert caplog.messages == [f"{away}: no route", f"{away}: no route (for 60 s)", f"over after 119 s: {away}", f"{away}: no route"]
