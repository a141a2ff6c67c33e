"""The local store: keys can't lead out of it, and races have one winner."""

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.errors import InputError, MalformedError, RefusedError
from reconciler.publication.store import CONTROL_PREFIXES, LocalStore, Scoped, open_store, require_key


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/../b", "./a", "a/.", ".hidden", "a\0b", "a\nb", "a b", "ä", "x" * 901])
def test_keys_that_could_leave_the_store_are_refused(tmp_path: Path, key: str) -> None:
    store = LocalStore(tmp_path)
    with pytest.raises(MalformedError):
        store.get(key)
    with pytest.raises(MalformedError):
        store.create(key, b"")


@given(st.text(max_size=40))
def test_every_accepted_key_stays_below_the_root(key: str) -> None:
    try:
        require_key(key)
    except MalformedError:
        return
    root = Path("/root-of-the-store")
    assert (root / key).resolve().is_relative_to(root)
    assert (root / key).resolve() != root


def test_a_symbolic_link_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    store = LocalStore(tmp_path / "store")
    store.create("a/b", b"")
    (store.root / "a" / "directory").symlink_to(tmp_path / "outside")
    (store.root / "a" / "file").symlink_to(tmp_path / "outside" / "secret")
    for key in ("a/directory/secret", "a/file"):
        with pytest.raises(RefusedError):
            store.get(key)
        with pytest.raises(RefusedError):
            store.replace(key, b"", None)
    assert list(store.list("")) == ["a/b"]


def test_create_puts_only_what_is_absent(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    assert store.create("a/b", b"first")
    assert not store.create("a/b", b"second")
    assert store.get("a/b") == b"first"


def test_replace_needs_the_version_that_stands(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    assert not store.replace("a", b"new", "another")
    assert store.replace("a", b"one", None)
    assert not store.replace("a", b"two", None)
    found = store.get_versioned("a")
    assert found is not None
    assert store.replace("a", b"two", found[1])
    assert not store.replace("a", b"three", found[1])
    assert store.get("a") == b"two"


def test_of_many_writers_at_once_each_version_has_one(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
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


def test_listing_is_sorted_and_passes_over_temporary_files(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for key in ("b/1", "a/x/2", "a/1", "a-b/1", "a/x/1"):
        store.create(key, b"")
    (tmp_path / "a" / ".1.abc.tmp").write_bytes(b"")
    assert list(store.list("")) == ["a-b/1", "a/1", "a/x/1", "a/x/2", "b/1"]
    assert list(store.list("a/")) == ["a/1", "a/x/1", "a/x/2"]
    assert list(store.list("a/x/2")) == ["a/x/2"]
    assert list(store.list("", deep=False)) == ["a-b/", "a/", "b/"]
    assert list(store.list("a/", deep=False)) == ["a/1", "a/x/"]
    assert list(store.list("nothing/")) == []


def test_a_directory_is_no_object(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.create("a/b", b"")
    assert store.get("a") is None
    assert store.get("a/b/c") is None


def test_what_is_deleted_is_gone_and_may_be_deleted_again(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.create("a/b", b"")
    store.delete("a/b")
    store.delete("a/b")
    assert store.version("a/b") is None


def test_a_zone_writes_under_its_own_prefixes_only(tmp_path: Path) -> None:
    inner = LocalStore(tmp_path)
    inner.create("approved/x", b"theirs")
    store = Scoped(inner=inner, write=CONTROL_PREFIXES)
    assert store.get("approved/x") == b"theirs"
    assert store.create("public/x", b"ours")
    with pytest.raises(RefusedError, match="this zone writes under"):
        store.create("approved/y", b"")
    with pytest.raises(RefusedError):
        store.replace("trust/shop/1.root.json", b"", None)
    with pytest.raises(RefusedError):
        store.delete("approved/x")
    with pytest.raises(MalformedError):
        store.create("public/../approved/y", b"")


def test_a_store_is_named_by_a_path_or_a_file_url_and_nothing_else_yet(tmp_path: Path) -> None:
    assert open_store(str(tmp_path)) == LocalStore(tmp_path)
    assert open_store(f"file://{tmp_path}") == LocalStore(tmp_path)
    with pytest.raises(InputError, match="S3"):
        open_store("s3://bucket/prefix")
