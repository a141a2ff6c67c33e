"""`ordain registry`: status, upgrade, and the way from SQLite to PostgreSQL."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agent.protocol.errors import InputError, RefusedError, RetryError
from agent.protocol.report import Event
from reconciler import process
from reconciler.cli import cli
from reconciler.control.registry import agents, audit, copying, events, leases, receipts
from reconciler.control.registry.batches import write_batches
from reconciler.control.registry.registry import Registry
from tests.postgresql_server import Server
from tests.registry_cases import HOUR, NOW, empty, receipt, received, status


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["registry", *map(str, arguments)])


def _fill(registry: Registry) -> None:
    with registry.begin() as connection:
        for number in range(30):
            agents.enrol(connection, "shop", f"web-{number:02}", by="token:t", now=NOW)
        batches = [
            received(
                f"web-{n:02}", receipts=[receipt(f"web-{n:02}")], events=[Event(kind="drift", at="x")], statuses=[status().report], facts={}
            )
            for n in range(30)
        ]
        write_batches(connection, batches)
        for _ in range(5):
            audit.append(connection, "shop", who="operator:ana", action="agents.revoke", detail={"n": 1}, at=NOW)


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Registry]:
    with empty(tmp_path) as registry:
        _fill(registry)
        yield registry


def test_upgrade_makes_a_registry_that_only_its_owner_can_read_and_status_shows_it(tmp_path: Path) -> None:
    assert isinstance(_run("status", "--state", tmp_path / "state").exception, InputError)
    made = _run("upgrade", "--state", tmp_path / "state")
    assert "its tables were 0000 and now are of version" in made.stdout
    path = tmp_path / "state" / "registry.db"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert "its tables are already of version" in _run("upgrade", "--state", tmp_path / "state").stdout
    shown = _run("status", "--url", f"sqlite:///{path}", "--format", "json")
    assert shown.exit_code == 0
    assert json.loads(shown.stdout)["rows"]["agents"] == 0


@pytest.mark.needs("postgresql")
@pytest.mark.xdist_group("postgresql")
def test_a_registry_goes_from_sqlite_to_postgresql_whole(full: Registry, postgresql: Server) -> None:
    target = postgresql.url(postgresql.database())
    done = _run("migrate", "--from", full.shown, "--to", target)
    assert done.exception is None
    assert "receipts: 30 rows" in done.stdout
    new = Registry.open(target)
    try:
        assert new.look(agents.listed, agents.Filter()) == full.look(agents.listed, agents.Filter())
        assert new.look(receipts.listed, receipts.Filter(tenant="shop")) == full.look(receipts.listed, receipts.Filter(tenant="shop"))
        assert new.look(audit.verify, "shop") == 5
        new.write(write_batches, [received("web-00", sequence=2, events=[Event(kind="drift", at="x")])])
        assert new.look(events.listed, events.Filter(tenant="shop"), limit=1).items[0].id == 31
        new.write(audit.append, "shop", who="x", action="y", at=NOW)
        assert new.look(audit.verify, "shop") == 6
    finally:
        new.close()
    assert _run("status", "--url", target).exit_code == 0
    with pytest.raises(RefusedError, match=r"moved to postgresql://.*: set \[registry\] url"):
        full.migrate()


@pytest.mark.needs("postgresql")
@pytest.mark.xdist_group("postgresql")
def test_a_registry_goes_back_from_postgresql_to_sqlite(tmp_path: Path, postgresql: Server) -> None:
    with empty(tmp_path, postgresql) as source:
        _fill(source)
        with empty(tmp_path) as target:
            assert copying.copy(source, target, lambda _: None)["statuses"] == 30
            assert target.look(agents.listed, agents.Filter()) == source.look(agents.listed, agents.Filter())


def test_what_is_not_empty_in_use_moved_or_the_same_is_refused(full: Registry, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with empty(tmp_path / "other") as other:
        with pytest.raises(InputError, match="copied into another one"):
            copying.copy(full, full, lambda _: None)
        other.write(agents.enrol, "lab", "a", by="x", now=NOW)
        with pytest.raises(RefusedError, match=r"holds something already \(agents\)"):
            copying.copy(full, other, lambda _: None)
    (tmp_path / "third").mkdir()
    with empty(tmp_path / "third") as third:
        full.write(leases.acquire, leases.HOUSEKEEPING, holder="control@stopped", ttl=HOUR)  # whose turn it was; nobody is at work for it
        held = full.write(leases.acquire, "publish/shop", holder="control@a", ttl=HOUR)
        with pytest.raises(RefusedError, match="in use: control@a holds the lease publish/shop; stop"):
            copying.copy(full, third, lambda _: None)
        full.write(leases.release, held)
        copying.copy(full, third, lambda _: None)
        with pytest.raises(RefusedError, match="was moved to sqlite"):
            copying.copy(full, third, lambda _: None)


def test_a_state_directory_that_a_serve_works_on_is_not_copied_from(full: Registry, tmp_path: Path) -> None:
    with process.only_one(tmp_path):
        found = _run("migrate", "--from", full.shown, "--to", f"sqlite:///{tmp_path}/other.db")
    assert isinstance(found.exception, RefusedError)
    assert "works on this state directory; stop it" in str(found.exception)
    assert _run("migrate", "--from", full.shown, "--to", f"sqlite:///{tmp_path}/other.db").exit_code == 0


def test_a_copy_that_is_stopped_leaves_the_target_empty_and_the_source_usable(full: Registry, tmp_path: Path) -> None:
    def stop(text: str) -> None:
        if text.startswith("statuses"):
            raise KeyboardInterrupt

    (tmp_path / "other").mkdir()
    with empty(tmp_path / "other") as other:
        with pytest.raises(KeyboardInterrupt):
            copying.copy(full, other, stop)
        with other.read() as connection:
            assert copying.counts(connection)["agents"] == 0
        full.migrate()
        assert copying.copy(full, other, lambda _: None)["agents"] == 30


def test_a_copy_of_a_broken_audit_chain_is_refused(full: Registry, tmp_path: Path) -> None:
    with full.begin() as connection:
        connection.exec_driver_sql("UPDATE audit SET who = 'nobody' WHERE number = 2")
    (tmp_path / "other").mkdir()
    with empty(tmp_path / "other") as other, pytest.raises(RefusedError, match="audit chain of shop is broken"):
        copying.copy(full, other, lambda _: None)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "a registry's URL is sqlite:///"),
        ("mysql://h/d", "mysql://h/d: a registry's URL is"),
        ("sqlite://", "a registry's URL is"),
        ("postgresql://h", "a registry's URL is"),
        ("postgresql://u:geheim@h/d", "a password in a URL is seen by others"),
    ],
)
def test_a_url_that_is_none_is_refused_and_a_password_is_not_shown(url: str, said: str) -> None:
    found = _run("status", "--url", url).exception
    assert isinstance(found, InputError)
    assert said in str(found)
    assert "geheim" not in str(found)


def test_a_database_that_does_not_answer_is_a_matter_for_later(tmp_path: Path) -> None:
    found = _run("status", "--url", f"postgresql://ordain@/none?host={tmp_path}").exception
    assert isinstance(found, RetryError)
    assert str(found).startswith("registry postgresql://ordain@/none?host=")


def test_without_a_state_directory_or_a_url_the_command_asks_which() -> None:
    found = _run("status").exception
    assert isinstance(found, InputError)
    assert "which registry" in str(found)
