"""Registries for tests: empty ones, made once and copied, and what tests put into them."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from agent.protocol.report import Batch, FleetReport, Receipt, SignedReceipt
from reconciler.control.registry.batches import Received
from reconciler.control.registry.certificates import Certificate
from reconciler.control.registry.heartbeats import Heartbeat
from reconciler.control.registry.registry import Registry
from reconciler.control.registry.statuses import Status
from tests.postgresql_server import Server

NOW = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@contextmanager
def empty(directory: Path, server: Server | None = None) -> Iterator[Registry]:
    """Give a registry with all tables and nothing in them: in a file of `directory`, or in a database of `server`'s."""
    url = empty_url(directory, server)
    registry = Registry.open(url)
    try:
        yield registry
    finally:
        registry.close()
        if server is not None:
            server.drop(url)


def empty_url(directory: Path, server: Server | None = None) -> str:
    """Return the URL of a new registry with all tables; each is a copy of one that was migrated once."""
    if server is not None:
        return server.url(server.database(template=_migrated_database(server)))
    (directory / "registry.db").write_bytes(_migrated_file())
    return f"sqlite:///{directory}/registry.db"


def certificate(
    agent: str = "web-01", *, number: int = 1, tenant: str = "shop", begins: datetime = NOW, life: timedelta = DAY
) -> Certificate:
    """Return a certificate's data, another one for each number."""
    return Certificate(
        fingerprint=sha256(f"{tenant}/{agent}/{number}".encode()).hexdigest(),
        tenant=tenant,
        agent=agent,
        serial=f"{number:032x}",
        issuer="ab" * 20,
        key=sha256(f"key {tenant}/{agent}/{number}".encode()).hexdigest(),
        not_before=begins,
        not_after=begins + life,
    )


def beat(agent: str = "web-01", *, sequence: int = 1, incarnation: int = 1, version: str = "1.0", at: datetime = NOW) -> Heartbeat:
    """Return a heartbeat of an agent of tenant shop."""
    return Heartbeat(tenant="shop", agent=agent, incarnation=incarnation, sequence=sequence, version=version, last_seen=at)


def status(agent: str = "web-01", *, sequence: int = 1, incarnation: int = 1, **said: Any) -> Status:
    """Return the status of fleet web on an agent of tenant shop; `said` are fields of the report."""
    report = FleetReport(**{"fleet": "web", "result": "applied", "digest": "d1", **said})
    return Status(
        tenant="shop",
        agent=agent,
        fleet=report.fleet,
        report=report,
        incarnation=incarnation,
        sequence=sequence,
        changed_at=NOW,
    )


def receipt(agent: str = "web-01", **said: Any) -> SignedReceipt:
    """Return a receipt of fleet web by an agent of tenant shop, with a signature that nobody verifies here."""
    plain = {"format": 1, "fleet": "shop/web", "agent": agent, "digest": "d1", "members": 1, "group": "g", "mode": None, "attempt": 1}
    rest = {"serial": 3, "generation": 2, "result": "applied", "why": "", "at": "2026-11-23T12:00:00Z"}
    return SignedReceipt(receipt=Receipt(**{**plain, **rest, **said}), certificate="c1", signature="c2ln")


def received(agent: str = "web-01", *, sequence: int = 1, incarnation: int = 1, at: datetime = NOW, **said: Any) -> Received:
    """Return a batch of an agent of tenant shop; `said` are fields of the batch."""
    batch = Batch(**{"format": 1, "sequence": sequence, "sent_at": "2026-11-23T12:00:00Z", "version": "1.0", **said})
    return Received(tenant="shop", agent=agent, incarnation=incarnation, batch=batch, received_at=at)


@cache
def _migrated_file() -> bytes:
    with tempfile.TemporaryDirectory(prefix="ordain-registry-") as directory:
        path = Path(directory) / "registry.db"
        _migrate(f"sqlite:///{path}")
        return path.read_bytes()


@cache
def _migrated_database(server: Server) -> str:
    name = server.database()
    _migrate(server.url(name))
    return name


def _migrate(url: str) -> None:
    registry = Registry.open(url)
    registry.migrate()
    registry.close()
