"""Registries for tests: empty ones, made once and copied, and what tests put into them."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path

from reconciler.control.registry.certificates import Certificate
from reconciler.control.registry.registry import Registry
from tests.postgresql_server import Server

NOW = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@contextmanager
def empty(directory: Path, server: Server | None = None) -> Iterator[Registry]:
    """Give a registry with all tables and nothing in them: in a file of `directory`, or in a database of `server`'s."""
    registry = Registry.open(empty_url(directory, server))
    try:
        yield registry
    finally:
        registry.close()


def empty_url(directory: Path, server: Server | None = None) -> str:
    """Return the URL of a new registry with all tables; each is a copy of one that was migrated once."""
    if server is not None:
        return server.url(server.database(template=_migrated_database(server)))
    shutil.copyfile(_migrated_file(), directory / "registry.db")
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


@cache
def _migrated_file() -> Path:
    path = Path(tempfile.mkdtemp(prefix="ordain-registry-")) / "registry.db"
    _migrate(f"sqlite:///{path}")
    return path


@cache
def _migrated_database(server: Server) -> str:
    name = server.database()
    _migrate(server.url(name))
    return name


def _migrate(url: str) -> None:
    registry = Registry.open(url)
    registry.migrate()
    registry.close()
