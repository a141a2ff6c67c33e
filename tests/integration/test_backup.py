"""`ordain backup` and `ordain restore`: what goes into a backup comes out of it, numbers far above, or nothing does."""

import json
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agent.protocol.errors import InputError, MalformedError, OrdainError, RefusedError
from reconciler import process, wiring
from reconciler.backup import archive, numbers
from reconciler.backup.archive import Content, File, Manifest
from reconciler.cli import cli
from reconciler.control import records
from reconciler.control.records import RESTORED_JUMP, Floors, Status
from reconciler.control.registry import agents, audit, tokens
from reconciler.control.registry.registry import Registry
from reconciler.pipeline.approve import renew_releases
from reconciler.publication.store import LocalStore
from reconciler.publication.times import stamp
from reconciler.settings import Settings
from tests import s3_server
from tests.conftest import part
from tests.postgresql_server import Server
from tests.publication_cases import FRESHNESS, Zone, make_zone, now
from tests.registry_cases import empty_url


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An installation: its directory is its state, and the registry at `url` has an agent and an enrolment token."""

    directory: Path
    zone: Zone
    url: str

    def settings(self, url: str = "") -> Path:
        """Return a settings file that names a registry."""
        file = self.directory.parent / "settings.toml"
        file.write_text(f'[registry]\nurl = "{url or self.url}"\n')
        return file


def fill(url: str) -> None:
    registry = Registry.open(url)
    try:
        with registry.begin() as connection:
            agents.enrol(connection, "shop", "web-01", by="token:t", now=now())
            tokens.create(connection, "shop", agent="web-02", expires_at=now() + timedelta(hours=1), by="operator:ana", now=now())
            audit.append(connection, "shop", who="operator:ana", action="tokens.create", at=now())
    finally:
        registry.close()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    zone = make_zone(state)
    zone.write_controls()
    zone.approve("one")
    published = zone.publish()
    status = Status(format=records.FORMAT, tenant="shop", fleet="web", state="published", releases=1, floors=published.floors)
    records.write_status(zone.store, status)
    url = empty_url(state)
    fill(url)
    return Place(directory=state, zone=zone, url=url)


def typed(*words: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def done(*words: str | Path) -> Result:
    result = typed(*words)
    assert result.exception is None, result.exception
    return result


def refused(kind: type[OrdainError], *words: str | Path) -> str:
    error = typed(*words).exception
    assert isinstance(error, kind), error
    return str(error)


def files(directory: Path) -> dict[str, bytes]:
    return {str(one.relative_to(directory)): one.read_bytes() for one in sorted(directory.rglob("*")) if one.is_file()}


def test_a_directory_that_is_not_there_is_not_made_for_a_backup(place: Place, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    assert f"{disk / 'ordain'}: there is no such directory" in refused(
        InputError, "backup", "--state", place.directory, disk / "ordain" / "monday.tar.zst"
    )
    assert not disk.exists()


def test_what_is_backed_up_comes_back_and_numbers_go_on_far_above(place: Place, tmp_path: Path) -> None:
    backup, again = tmp_path / "backup.tar.zst", tmp_path / "again"
    made = json.loads(done("backup", "--state", place.directory, backup, "--format", "json").stdout)
    assert (made["store"], made["registry"]) == ("whole", True)
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert "is there already" in refused(InputError, "backup", "--state", place.directory, backup)
    place.zone.approve("two")
    seen = place.zone.publish()
    told = done("restore", backup, "--state", again)
    assert "not known here: which hosts" in told.stderr
    assert "enrolment tokens are ended (1)" in told.stderr
    assert files(again / "keys") == files(place.directory / "keys")
    assert all(stat.S_IMODE(one.stat().st_mode) == 0o600 for one in (again / "keys").rglob("*") if one.is_file())
    restored = make_zone(again)
    signer = restored.rings.pipeline.signer("shop/releases")
    assert renew_releases(restored.store, signer, tenant="shop", fleet="web", freshness_seconds=int(FRESHNESS.total_seconds()), now=now())
    status = records.read_status(restored.store, "shop", "web")
    assert status is not None
    after = restored.publish(recorded=status.floors)
    for name in ("timestamp", "snapshot", "rollouts", "serial"):
        assert getattr(after.floors, name) > getattr(seen.floors, name) + RESTORED_JUMP / 2, name
    assert status.floors.epoch > RESTORED_JUMP
    assert restored.approve("three").version > RESTORED_JUMP
    registry = Registry.open(f"sqlite:///{again}/registry.db", create=False)
    try:
        assert [one.agent for one in registry.look(agents.listed, agents.Filter()).items] == ["web-01"]
        assert all(one.revoked_at for one in registry.look(tokens.listed, "shop").items)
        entry = registry.look(audit.listed, "shop", limit=1).items[0]
        assert (entry.action, registry.look(audit.verify, "shop")) == ("registry.restored", 2)
    finally:
        registry.close()


def test_a_directory_that_holds_no_installation_is_refused_and_no_file_is_written(tmp_path: Path) -> None:
    (tmp_path / "fleets").mkdir()
    assert "there is no installation" in refused(InputError, "backup", "--state", tmp_path / "fleets", tmp_path / "backup.tar.zst")
    assert [one.name for one in tmp_path.iterdir()] == ["fleets"]
    assert not list((tmp_path / "fleets").iterdir())


def test_ordain_up_hands_out_the_roots_of_a_restored_store_again(place: Place, tmp_path: Path) -> None:
    backup, again = tmp_path / "backup.tar.zst", tmp_path / "again"
    done("backup", "--state", place.directory, backup)
    done("restore", backup, "--state", again)
    wiring.development(Settings(state=again))
    assert (again / "trust" / "shop.root.json").read_bytes() == place.zone.store.get("trust/shop/1.root.json")


def test_a_second_restore_of_one_backup_is_above_the_first(place: Place) -> None:
    store, made_at = place.zone.store, now() - timedelta(days=3)
    reached: list[int] = []
    for day in (1, 2):
        copy = LocalStore(place.directory.parent / f"copy-{day}")
        for key in store.list(""):
            copy.create(key, store.get(key) or b"")
        assert numbers.jump(copy, made_at=stamp(made_at), now=made_at + timedelta(days=day)) == ["shop/web"]
        status = records.read_status(copy, "shop", "web")
        assert status is not None
        reached.append(status.floors.serial)
    assert reached[1] - reached[0] == timedelta(days=1).total_seconds()


def test_a_store_that_holds_something_stays_as_it_is_beside_an_empty_disk(place: Place, tmp_path: Path) -> None:
    backup, again = tmp_path / "backup.tar.zst", tmp_path / "again"
    done("backup", "--state", place.directory, backup)
    place.zone.approve("two")
    store = LocalStore(again / "store")
    for key in place.zone.store.list(""):
        store.create(key, place.zone.store.get(key) or b"")
    before = files(again / "store")
    assert "left as it is" in done("restore", backup, "--state", again).stdout
    assert files(again / "store") == before


def test_nothing_is_restored_over_what_is_there_or_at_work_unless_it_may_go_aside(place: Place, tmp_path: Path) -> None:
    backup = tmp_path / "backup.tar.zst"
    done("backup", "--state", place.directory, backup)
    before = files(place.directory)
    assert "not empty (registry.db" in refused(RefusedError, "restore", backup, "--state", place.directory)
    with process.only_one(place.directory):
        assert "works on this state directory" in refused(RefusedError, "restore", backup, "--state", place.directory, "--aside")
    assert files(place.directory / "store") == {name[6:]: data for name, data in before.items() if name.startswith("store/")}
    told = json.loads(done("restore", backup, "--state", place.directory, "--aside", "--format", "json").stdout)
    assert files(Path(told["aside"]) / "store") == {name[6:]: data for name, data in before.items() if name.startswith("store/")}


def test_a_restore_that_was_stopped_is_begun_again_by_the_same_command(place: Place, tmp_path: Path) -> None:
    backup, again, other = tmp_path / "backup.tar.zst", tmp_path / "again", tmp_path / "other.db"
    done("backup", "--state", place.directory, backup)
    other.write_bytes(b"another registry")
    settings = place.settings(f"sqlite:///{other}")
    assert "there is a registry already" in refused(RefusedError, "restore", backup, "--state", again, "--settings", settings)
    assert not list((again / "keys").rglob("*.pem")), "keys come last: nothing can be signed before"
    other.unlink()
    done("restore", backup, "--state", again, "--settings", settings)
    assert files(again / "keys") == files(place.directory / "keys")
    assert not list(again.glob("restore-unfinished*"))


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def changed(data: bytes) -> bytes:
    return data[:-200] + bytes([data[-200] ^ 1]) + data[-199:]


def followed(data: bytes) -> bytes:
    return data + b"more"


def of_nothing(_data: bytes) -> bytes:
    return b""


def packed(*contents: Content, lie: bool = False) -> bytes:
    def manifest(found: dict[str, File]) -> Manifest:
        told = {} if lie else found
        return Manifest(format=1, made_at=stamp(now()), program="0", host="x", store="whole", registry="", files=told)

    return b"".join(archive.packed(contents, manifest))


def leading_out(_data: bytes) -> bytes:
    return packed(Content(path="keys/../../escaped", size=1, chunks=(b"x",)))


def unlisted(_data: bytes) -> bytes:
    return packed(Content(path="keys/a.pem", size=1, chunks=(b"x",)), lie=True)


@pytest.mark.parametrize("damage", [cut, changed, followed, of_nothing, leading_out, unlisted])
def test_a_file_that_is_no_whole_backup_is_refused_before_anything_is_written(
    place: Place, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    backup, again = tmp_path / "backup.tar.zst", tmp_path / "again"
    done("backup", "--state", place.directory, backup)
    backup.write_bytes(damage(backup.read_bytes()))
    refused(MalformedError, "restore", backup, "--state", again)
    assert set(files(tmp_path / "again")) == {"lock"}
    assert not (tmp_path / "escaped").exists()


@pytest.fixture
def on_postgresql(place: Place, postgresql: Server) -> Iterator[Place]:
    url = empty_url(place.directory, postgresql)
    fill(url)
    yield Place(directory=place.directory, zone=place.zone, url=url)
    postgresql.drop(url)


@pytest.mark.needs("postgresql")
@pytest.mark.xdist_group("postgresql")
def test_a_registry_on_postgresql_goes_into_the_file_and_into_an_empty_database(
    on_postgresql: Place, postgresql: Server, tmp_path: Path
) -> None:
    backup, again = tmp_path / "backup.tar.zst", tmp_path / "again"
    done("backup", "--state", on_postgresql.directory, "--settings", on_postgresql.settings(), backup)
    assert "holds something already" in refused(
        RefusedError, "restore", backup, "--state", again, "--settings", on_postgresql.settings(on_postgresql.url)
    )
    url = postgresql.url(postgresql.database())
    done("restore", backup, "--state", again, "--settings", on_postgresql.settings(url))
    registry = Registry.open(url)
    try:
        assert [one.agent for one in registry.look(agents.listed, agents.Filter()).items] == ["web-01"]
        assert registry.look(audit.verify, "shop") == 2
    finally:
        registry.close()
        postgresql.drop(url)


def test_floors_of_a_lost_store_still_count(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    floors = Floors(timestamp=7, snapshot=6, rollouts=5, serial=4, epoch=3)
    records.write_status(store, Status(format=records.FORMAT, tenant="shop", fleet="web", state="published", releases=9, floors=floors))
    numbers.jump(store, made_at=stamp(now()), now=now())
    assert list(store.list("approved/")) == [f"approved/shop/web/{9 + RESTORED_JUMP}.restored.json"]


@pytest.mark.needs("s3")
def test_beside_a_bucket_an_empty_disk_is_enough_and_a_lost_bucket_gets_its_trust_and_numbers_back(place: Place, tmp_path: Path) -> None:
    program = part("s3")
    assert program is not None
    backup = tmp_path / "backup.tar.zst"
    with s3_server.running(program, tmp_path / "s3") as server:

        def settings(bucket: str) -> Path:
            file = tmp_path / f"{bucket}.toml"
            place_of = f'url = "{server.bucket(bucket)}"\nendpoint = "{server.endpoint}"\nregion = "us-east-1"\n'
            file.write_text(f'[store]\n{place_of}credentials = "{server.credentials()}"\n')
            return file

        bucket = server.open(server.bucket("there"))
        for key in place.zone.store.list(""):
            bucket.create(key, place.zone.store.get(key) or b"")
        before = list(bucket.list(""))
        told = done("backup", "--state", place.directory, "--settings", settings("there"), backup).stdout
        assert "store: trust and records" in told
        assert "left as it is" in done("restore", backup, "--state", tmp_path / "again", "--settings", settings("there")).stdout
        assert list(bucket.list("")) == before
        done("restore", backup, "--state", tmp_path / "anew", "--settings", settings("lost"))
        anew = server.open(server.bucket("lost"))
        assert list(anew.list("trust/")) == [key for key in before if key.startswith("trust/")]
        mark = next(iter(anew.list("approved/shop/web/")))
        assert int(mark.removeprefix("approved/shop/web/").partition(".")[0]) > RESTORED_JUMP
