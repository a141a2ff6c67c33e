"""What every kind of store does: a directory, and a bucket on an S3 server by other people."""

import hashlib
import threading
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.protocol.errors import InputError, MalformedError, RetryError
from reconciler.publication.store import LocalStore, Store
from reconciler.publication.store.objects import PARTS, ObjectStore
from reconciler.publication.store.probe import require_conditional
from tests import s3_between, s3_server
from tests.conftest import part
from tests.s3_server import S3Server

MEGABYTE = b"0123456789abcdef" * 65_536
BOTH = pytest.mark.parametrize("kind", ["directory", pytest.param("bucket", marks=pytest.mark.needs("s3"))])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    program = part("s3")
    if program is None:
        pytest.skip("no S3 server")
    with s3_server.running(program, tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture
def bucket(request: pytest.FixtureRequest, server: S3Server) -> Store:
    name = hashlib.sha256(request.node.name.encode()).hexdigest()[:16]
    return server.open(f"{server.bucket(name)}/below/here")


@pytest.fixture
def store(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    found: Store = request.getfixturevalue("bucket") if kind == "bucket" else LocalStore(tmp_path)
    return found


@BOTH
def test_create_puts_only_what_is_absent(store: Store) -> None:
    assert store.create("a/b", b"first")
    assert not store.create("a/b", b"second")
    assert not store.create("a/b", b"first")
    assert store.get("a/b") == b"first"


@BOTH
def test_replace_needs_the_version_that_stands(store: Store) -> None:
    assert not store.replace("a", b"new", "another")
    assert store.replace("a", b"one", None)
    assert not store.replace("a", b"two", None)
    found = store.get_versioned("a")
    assert found is not None
    assert found == (b"one", store.version("a"))
    assert store.replace("a", b"two", found[1])
    assert not store.replace("a", b"three", found[1])
    assert store.get("a") == b"two"


@BOTH
def test_of_many_writers_at_once_each_version_has_one(store: Store) -> None:
    store.create("counter", b"0")
    writers, rounds = 4, 20

    def count() -> None:
        left = rounds
        while left:
            data, version = store.get_versioned("counter") or (b"", "")
            left -= store.replace("counter", str(int(data) + 1).encode(), version)

    threads = [threading.Thread(target=count) for _ in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.get("counter") == str(writers * rounds).encode()


@BOTH
def test_of_many_creators_at_once_one_is_told_that_it_was(store: Store) -> None:
    made = []

    def create(content: bytes) -> None:
        made.append((store.create("a/new", content), content))

    threads = [threading.Thread(target=create, args=(bytes([65 + number]),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [content for put, content in made if put] == [store.get("a/new")]


@BOTH
def test_listing_is_sorted_deep_or_not(store: Store) -> None:
    for key in ("b/1", "a/x/2", "a/1", "a-b/1", "a/x/1"):
        store.create(key, b"")
    assert list(store.list("")) == ["a-b/1", "a/1", "a/x/1", "a/x/2", "b/1"]
    assert list(store.list("a/")) == ["a/1", "a/x/1", "a/x/2"]
    assert list(store.list("a/x/2")) == ["a/x/2"]
    assert list(store.list("a")) == ["a-b/1", "a/1", "a/x/1", "a/x/2"]
    assert list(store.list("", deep=False)) == ["a-b/", "a/", "b/"]
    assert list(store.list("a/", deep=False)) == ["a/1", "a/x/"]
    assert list(store.list("nothing/")) == []


@BOTH
def test_entries_say_how_large_each_is_and_when_it_was_put_last(store: Store) -> None:
    began = datetime.now(UTC)
    for key, data in (("a/x/1", b"123"), ("a/1", b""), ("a-b/1", b"1"), ("b", b"12")):
        store.create(key, data)
    found = {entry.key: entry.size for entry in store.entries("a/")}
    assert (found, list(found)) == ({"a/1": 0, "a/x/1": 3}, ["a/1", "a/x/1"])
    assert [entry.key for entry in store.entries("a/x")] == ["a/x/1"]
    assert all(abs(entry.written - began) < timedelta(minutes=5) for entry in store.entries(""))
    assert list(store.entries("nothing/")) == []


@BOTH
def test_more_keys_than_one_answer_holds_are_all_listed(store: Store) -> None:
    keys = [f"a/{number:04}" for number in range(1100)]
    with store.together():
        for key in keys:
            store.create(key, b"")
    assert list(store.list("a/")) == keys
    assert list(store.list("a/", deep=False)) == keys


@BOTH
def test_a_directory_is_no_object(store: Store) -> None:
    store.create("a/b", b"")
    assert store.get("a") is None
    assert store.get("a/b/c") is None
    assert store.size("a") is None or isinstance(store, LocalStore)


@BOTH
def test_what_is_deleted_is_gone_and_may_be_deleted_again(store: Store) -> None:
    store.create("a/b", b"")
    store.delete("a/b")
    store.delete("a/b")
    assert store.version("a/b") is None


@BOTH
def test_a_part_of_an_object_is_read_without_the_rest(store: Store) -> None:
    store.create("a", b"0123456789")
    store.create("empty", b"")
    assert store.size("a") == 10
    assert store.read_range("a", 2, 3) == b"234"
    assert store.read_range("a", 8, 100) == b"89"
    assert store.read_range("a", 10, 1) == b""
    assert store.read_range("empty", 0, 5) == b""
    assert store.read_range("absent", 0, 5) is None
    assert store.size("absent") is None


@BOTH
def test_a_large_object_passes_through_little_memory(store: Store) -> None:
    tracemalloc.start()
    try:
        assert store.create_from("approved/_artifacts/large", (bytes(MEGABYTE) for _ in range(80)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40 * len(MEGABYTE)
    assert store.size("approved/_artifacts/large") == 80 * len(MEGABYTE)
    assert store.read_range("approved/_artifacts/large", 79 * len(MEGABYTE), len(MEGABYTE)) == MEGABYTE
    assert not store.create_from("approved/_artifacts/large", (b"other",))
    assert list(store.list("approved/")) == ["approved/_artifacts/large"]


@BOTH
@pytest.mark.parametrize("before", [0, 1, 20])
def test_an_error_on_the_way_leaves_nothing(store: Store, before: int) -> None:
    def broken() -> Iterator[bytes]:
        for _ in range(before):
            yield MEGABYTE
        message = "the build changed"
        raise RetryError(message)

    with pytest.raises(RetryError, match="the build changed"):
        store.create_from("approved/x", broken())
    assert store.size("approved/x") is None
    assert list(store.list("")) == []


@BOTH
def test_of_two_that_bring_the_same_large_object_one_puts_it(store: Store) -> None:
    def overtaken() -> Iterator[bytes]:
        yield from (MEGABYTE for _ in range(10))
        assert store.create("approved/x", b"faster")

    assert not store.create_from("approved/x", overtaken())
    assert store.get("approved/x") == b"faster"


@BOTH
def test_keys_outside_the_grammar_are_refused_before_anything_is_asked(store: Store) -> None:
    for ask in (store.get, store.version, store.size, store.delete):
        with pytest.raises(MalformedError):
            ask("../a")
    with pytest.raises(MalformedError):
        store.create("a/../b", b"")
    with pytest.raises(MalformedError):
        list(store.list("../"))


@BOTH
def test_conditions_are_kept_and_the_trial_leaves_nothing(store: Store) -> None:
    require_conditional(store, "approved/")
    assert list(store.list("")) == []


@pytest.mark.needs("s3")
def test_what_is_no_key_in_a_bucket_is_passed_over(bucket: ObjectStore, server: S3Server) -> None:
    bucket.create("a/b", b"")
    place = server.directory / "data" / bucket.url.removeprefix("s3://") / "a"
    (place / "with space").write_bytes(b"")
    (place / ".hidden").write_bytes(b"")
    assert list(bucket.list("")) == list(bucket.list("a/", deep=False)) == ["a/b"]


@pytest.mark.needs("s3")
def test_two_stores_in_one_bucket_do_not_see_each_other(bucket: ObjectStore, server: S3Server) -> None:
    other = server.open(bucket.url.replace("/here", "/there"))
    bucket.create("a/b", b"")
    assert list(other.list("")) == []
    assert other.get("a/b") is None


@pytest.mark.needs("s3")
def test_what_never_got_its_name_is_swept_once_it_is_old(bucket: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    import obstore  # noqa: PLC0415 - only to put what a killed writer leaves

    obstore.put(bucket.client, f"approved/{PARTS}/left", b"x")
    bucket.create("approved/kept", b"")
    bucket.sweep("approved/")
    assert [meta["path"] for meta in obstore.list(bucket.client, f"approved/{PARTS}").collect()] == [f"approved/{PARTS}/left"]
    monkeypatch.setattr("reconciler.publication.store.objects.ABANDONED", timedelta(days=-30))
    bucket.sweep("approved/")
    assert obstore.list(bucket.client, f"approved/{PARTS}").collect() == []
    assert list(bucket.list("")) == ["approved/kept"]


@pytest.mark.needs("s3")
def test_a_missing_bucket_does_not_look_like_an_empty_store(server: S3Server) -> None:
    store = server.open("s3://not-there")
    for ask in (store.get, store.version, store.size, lambda key: list(store.list(key)), lambda key: store.create(key, b"")):
        with pytest.raises(RetryError, match="no such bucket: make it"):
            ask("a")


@pytest.mark.needs("s3")
def test_wrong_credentials_are_said_and_not_shown(server: S3Server) -> None:
    bucket = server.bucket("wrong-credentials")
    store = server.open(bucket, "ordain-tests", "a-wrong-secret")
    with pytest.raises(RetryError, match="refuses these credentials") as refused:
        require_conditional(store, "approved/")
    assert "a-wrong-secret" not in str(refused.value)


@pytest.mark.needs("s3")
def test_a_server_that_is_away_is_trouble_that_passes(tmp_path: Path) -> None:
    program = part("s3")
    assert program is not None
    with s3_server.running(program, tmp_path) as server:
        store = server.open(server.bucket("bucket"))
        assert store.create("a", b"1")
        server.stop()
        with pytest.raises(RetryError, match=r"s3://bucket/a: .*it is tried again"):
            store.get("a")
        with pytest.raises(RetryError, match="it is tried again"):
            store.create("b", b"")
        server.start()
        assert store.get("a") == b"1"


@pytest.mark.needs("s3")
def test_a_server_that_ignores_conditions_is_refused(bucket: ObjectStore, server: S3Server) -> None:
    with s3_between.between(server) as way:
        way.careless = True
        with pytest.raises(InputError, match=r"does not keep to conditions \(what stands there was created again\)"):
            require_conditional(way.open(bucket.url), "approved/")
    assert list(bucket.list("")) == []


@pytest.mark.needs("s3")
def test_a_put_whose_answer_was_lost_counts_as_made(bucket: ObjectStore, server: S3Server) -> None:
    with s3_between.between(server) as way:
        store = way.open(bucket.url)
        way.lost = 1
        assert store.create("a", b"1")
        version = store.version("a")
        way.lost = 1
        assert store.replace("a", b"2", version)
        assert not store.replace("a", b"3", version)
    assert bucket.get("a") == b"2"


@pytest.mark.needs("s3")
def test_a_busy_server_is_asked_again_and_not_for_ever(bucket: ObjectStore, server: S3Server) -> None:
    with s3_between.between(server) as way:
        store = way.open(bucket.url)
        way.busy = 2
        assert store.create("a", b"1")
        way.busy = 2
        assert store.get("a") == b"1"
        way.busy = 1000
        with pytest.raises(RetryError, match="SlowDown: Reduce your request rate; it is tried again"):
            store.create("b", b"1")
    assert bucket.get("b") is None
