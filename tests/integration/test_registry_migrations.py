"""Versions of the registry's tables: made whole, by one at a time, and never used by code that they no longer fit."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from agent.protocol.errors import RefusedError
from reconciler.control.registry import agents, audit, migrating, schema, tokens
from reconciler.control.registry.batches import write_batches
from reconciler.control.registry.registry import Registry
from tests.registry_cases import HOUR, NOW, receipt, received, status

EXPAND = '''
"""Who owns an agent."""

from alembic import op

revision = "0002"
down_revision = "0001"
OLDEST = "0001"


def upgrade() -> None:
    op.execute("ALTER TABLE agents ADD COLUMN owner TEXT NOT NULL DEFAULT ''")
'''
CONTRACT = '''
"""Presence is elsewhere since 0002."""

from alembic import op

revision = "0003"
down_revision = "0002"
OLDEST = "0002"


def upgrade() -> None:
    op.execute("ALTER TABLE agents DROP COLUMN presence")
'''


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=[pytest.mark.needs("postgresql"), pytest.mark.xdist_group("postgresql")])]
)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with nothing in it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/empty.db"
    server = request.getfixturevalue("postgresql")
    made: str = server.url(server.database())
    return made


@pytest.fixture
def later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of migrations that is this code's, to which later ones may be added."""
    directory = tmp_path / "migrations"
    shutil.copytree(migrating.SCRIPTS, directory, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(migrating, "SCRIPTS", directory)
    return directory


def _add(later: Path, number: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (later / "versions" / f"v{number}_later.py").write_text(text)
    monkeypatch.setattr(migrating, "HEAD", number)


def _use(registry: Registry, name: str) -> None:
    """Do something of everything."""
    with registry.begin() as connection:
        agents.enrol(connection, "shop", name, by="token:t", now=NOW)
        agents.set_presence(connection, [("shop", name, "online")], now=NOW)
        tokens.create(connection, "shop", agent=name, expires_at=NOW + HOUR, by="x", now=NOW)
        write_batches(connection, [received(name, receipts=[receipt(name)], statuses=[status().report], facts={})])
        audit.append(connection, "shop", who="x", action="y", at=NOW)
    assert registry.look(agents.get, "shop", name) is not None


def test_migrations_make_just_the_tables_that_the_code_has(registry: Registry) -> None:
    with registry.read() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": migrating.VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, schema.metadata) == []
        found = inspect(connection)
        for table in schema.metadata.sorted_tables:
            assert found.get_pk_constraint(table.name)["constrained_columns"] == [column.name for column in table.primary_key.columns]


def test_the_codes_version_is_the_last_migrations() -> None:
    scripts = ScriptDirectory(str(migrating.SCRIPTS))
    assert scripts.get_heads() == [migrating.HEAD]
    for step in scripts.walk_revisions():
        assert migrating.EMPTY < step.module.OLDEST <= step.revision


def test_of_those_who_start_at_once_one_makes_the_tables(url: str) -> None:
    opened = [Registry.open(url) for _ in range(4)]
    try:
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(Registry.migrate, opened))
        assert sorted(one.before for one in found) == [migrating.EMPTY, *[migrating.HEAD] * 3]
    finally:
        for one in opened:
            one.close()


def test_what_is_not_migrated_is_refused_and_left_as_it_is(url: str) -> None:
    registry = Registry.open(url)
    try:
        with pytest.raises(RefusedError, match="run `ordain registry upgrade`"):
            registry.look(migrating.require_usable)
        with registry.read() as connection:
            assert inspect(connection).get_table_names() == []
    finally:
        registry.close()


def test_the_version_before_goes_on_serving_on_tables_that_were_expanded(url: str, later: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = Registry.open(url), Registry.open(url)
    try:
        before.migrate()
        _use(before, "web-01")
        with monkeypatch.context() as newer:
            _add(later, "0002", EXPAND, newer)
            assert after.migrate() == migrating.Versions(before="0001", now="0002", code="0002", oldest="0001")
        _use(before, "web-02")
        assert before.migrate().now == "0002"
        assert before.look(migrating.require_usable).current
    finally:
        before.close()
        after.close()


def test_code_that_needs_what_was_taken_away_is_refused(url: str, later: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry.open(url)
    try:
        registry.migrate()
        with monkeypatch.context() as newer:
            _add(later, "0002", EXPAND, newer)
            _add(later, "0003", CONTRACT, newer)
            assert registry.migrate() == migrating.Versions(before="0001", now="0003", code="0003", oldest="0002")
        with monkeypatch.context() as middle:
            middle.setattr(migrating, "HEAD", "0002")
            assert registry.migrate().now == "0003"
        for asked in (registry.migrate, lambda: registry.look(migrating.require_usable)):
            with pytest.raises(
                RefusedError, match="of version 0003, which no longer works with code older than 0002; this ordain has 0001"
            ):
                asked()
    finally:
        registry.close()


def test_a_migration_that_fails_leaves_the_tables_as_they_were(url: str, later: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry.open(url)
    try:
        registry.migrate()
        with monkeypatch.context() as newer:
            _add(later, "0002", EXPAND + "    raise RuntimeError\n", newer)
            with pytest.raises(RuntimeError):
                registry.migrate()
        with registry.read() as connection:
            assert migrating.versions(connection).now == "0001"
            assert "owner" not in {column["name"] for column in inspect(connection).get_columns("agents")}
        _use(registry, "web-01")
    finally:
        registry.close()
