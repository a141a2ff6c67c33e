"""Stores: keys can't lead out of them, and what names one. What all kinds do alike is in tests/integration/test_stores.py."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.errors import InputError, MalformedError, RefusedError
from reconciler.publication.store import CONTROL_PREFIXES, Access, LocalStore, Scoped, open_store, require_key


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


def test_temporary_files_are_no_keys(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.create("a/1", b"")
    (tmp_path / "a" / ".1.abc.tmp").write_bytes(b"")
    assert list(store.list("")) == ["a/1"]


def test_a_store_is_named_by_a_path_or_a_file_url(tmp_path: Path) -> None:
    assert open_store(str(tmp_path)) == LocalStore(tmp_path)
    assert open_store(f"file://{tmp_path}") == LocalStore(tmp_path)


@pytest.mark.parametrize(
    "url", ["s3://", "s3:///prefix", "s3://name:secret@bucket", "gs://bucket/../x", "az://c?sig=secret", "s3://b#f", "ftp://x", ""]
)
def test_a_url_that_is_no_store_is_refused_without_repeating_a_secret(url: str) -> None:
    with pytest.raises(InputError) as refused:
        open_store(url)
    assert "secret" not in str(refused.value)


def test_credentials_in_a_file_are_only_of_the_provider_that_the_url_names(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("# of the bucket\nAWS_ACCESS_KEY_ID=one\nAZURE_STORAGE_ACCOUNT_KEY=hidden\n")
    with pytest.raises(InputError, match="AZURE_STORAGE_ACCOUNT_KEY is not for s3://") as refused:
        open_store("s3://bucket", Access(credentials=str(file)))
    assert "hidden" not in str(refused.value)
    file.write_text("just-the-hidden-secret\n")
    with pytest.raises(InputError, match=r"credentials:1: .* as lines NAME=value") as refused:
        open_store("s3://bucket", Access(credentials=str(file)))
    assert "hidden" not in str(refused.value)


def test_a_store_in_a_bucket_does_not_show_its_credentials(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("AWS_ACCESS_KEY_ID=one\nAWS_SECRET_ACCESS_KEY='hidden'\n")
    shown = repr(open_store("s3://bucket/prefix", Access(credentials=str(file), region="eu-central-1")))
    assert "s3://bucket/prefix" in shown
    assert "hidden" not in shown


@pytest.mark.parametrize("url", ["gs://bucket/prefix", "az://container/prefix"])
def test_other_clouds_are_opened_by_the_variables_of_their_own(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_SKIP_SIGNATURE", "true")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_SKIP_SIGNATURE", "true")
    assert url in repr(open_store(url))
