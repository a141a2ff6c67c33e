"""Private keys at rest: encrypted files and what unlocks them, which nothing ever prints."""

import logging
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.protocol.errors import InputError
from reconciler import settings
from reconciler.cli.keys import keys
from reconciler.cli.run import serve
from reconciler.publication.key_making import encrypt_keys, make_keys
from reconciler.publication.keys import KeyRing
from reconciler.publication.secret_files import CREDENTIALS, KeySecrets, SecretFile, named

SECRET = "correct horse battery staple"


@pytest.fixture
def secrets(tmp_path: Path) -> KeySecrets:
    (tmp_path / "passphrase").write_text(f"{SECRET}\n")
    return named(passphrase_file=str(tmp_path / "passphrase"))


def ring(directory: Path, secrets: KeySecrets | None = None) -> KeyRing:
    return KeyRing(zone="control", directory=directory, secrets=secrets or KeySecrets())


def test_keys_made_with_a_passphrase_are_encrypted_and_sign(tmp_path: Path, secrets: KeySecrets) -> None:
    made = make_keys("control", tmp_path / "keys", ("shop",), secrets=secrets)
    for path in (tmp_path / "keys").rglob("*.pem"):
        assert path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    signature = made.ring.signer("shop/timestamp").sign(b"data")
    ring(tmp_path / "keys").public("shop/timestamp").verify_signature(signature, b"data")


def test_without_its_passphrase_a_key_says_which_setting_is_missing(tmp_path: Path, secrets: KeySecrets) -> None:
    make_keys("control", tmp_path / "keys", ("shop",), secrets=secrets)
    with pytest.raises(InputError, match=r"timestamp\.pem: it is encrypted.*passphrase_file"):
        ring(tmp_path / "keys").signer("shop/timestamp")
    (tmp_path / "passphrase").write_text("wrong")
    with pytest.raises(InputError, match="can't be used") as wrong:
        ring(tmp_path / "keys", secrets).signer("shop/timestamp")
    assert "wrong" not in str(wrong.value)


def test_a_passphrase_may_be_a_systemd_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    credential = named(passphrase_file="keys")
    with pytest.raises(InputError, match="LoadCredential"):
        make_keys("control", tmp_path / "keys", ("shop",), secrets=credential)
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "keys").write_text(SECRET)
    monkeypatch.setenv(CREDENTIALS, str(tmp_path / "credentials"))
    made = make_keys("control", tmp_path / "keys", ("shop",), secrets=credential).ring
    assert made.signer("shop/rollouts").public_key.keyid


@pytest.mark.parametrize("content", ["", "\n", "two\nlines\n", "x" * 5000])
def test_a_file_that_holds_no_passphrase_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "passphrase").write_text(content)
    with pytest.raises(InputError, match="one line") as refused:
        SecretFile(name=str(tmp_path / "passphrase")).read()
    assert "two" not in str(refused.value)


def test_keys_that_stand_are_encrypted_in_place_and_stay_the_same(tmp_path: Path, secrets: KeySecrets) -> None:
    before = make_keys("control", tmp_path / "keys", ("shop",)).public
    assert encrypt_keys(ring(tmp_path / "keys", secrets)) == (
        "authority/server",
        "shop/authority",
        "shop/rollouts",
        "shop/snapshot",
        "shop/timestamp",
    )
    assert encrypt_keys(ring(tmp_path / "keys", secrets)) == ()
    assert make_keys("control", tmp_path / "keys", ("shop",), secrets=secrets).public == before


def test_a_key_that_was_opened_is_read_again_when_its_file_changes(tmp_path: Path, secrets: KeySecrets) -> None:
    made = make_keys("control", tmp_path / "keys", ("shop",), secrets=secrets).ring
    first = made.signer("shop/timestamp")
    assert made.signer("shop/timestamp") is first
    make_keys("control", tmp_path / "other", ("shop",)).ring.path("shop/timestamp").replace(made.path("shop/timestamp"))
    assert made.signer("shop/timestamp").public_key != first.public_key


def test_what_unlocks_keys_is_never_printed(tmp_path: Path, caplog: pytest.LogCaptureFixture, secrets: KeySecrets) -> None:
    caplog.set_level(logging.DEBUG)
    passphrase = str(tmp_path / "passphrase")
    words = ["init", "--zone", "control", "--tenant", "shop", "--keys", str(tmp_path / "keys"), "--passphrase-file", passphrase]
    done = CliRunner().invoke(keys, words)
    assert done.exit_code == 0, done.exception
    made = ring(tmp_path / "keys", secrets)
    made.signer("shop/timestamp")
    for text in (done.output, caplog.text, repr(made), repr(secrets)):
        assert SECRET not in text
        assert "PRIVATE" not in text


def test_settings_name_what_unlocks_keys_and_where_else_keys_are(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[keys]\npassphrase_file = "keys"\npin_file = "/run/pin"\n[keys.uris]\n"shop/timestamp" = "hsm:2?label=ordain"\n')
    made = settings.load(file, state=tmp_path).ring("control")
    assert made.secrets == named(passphrase_file="keys", pin_file="/run/pin")
    assert made.has("shop/timestamp")
    assert not made.has("shop/snapshot")
    file.write_text("[keys.uris]\nx = 1\n")
    with pytest.raises(InputError, match="uris"):
        settings.load(file, state=tmp_path)


def test_a_file_of_the_working_directory_is_named_with_its_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(CREDENTIALS, raising=False)
    with pytest.raises(InputError, match="is not set"):
        SecretFile(name="pp").read()
    (tmp_path / "pp").write_text(SECRET)
    with pytest.raises(InputError, match=r"write \./pp for the file"):
        SecretFile(name="pp").read()
    assert SecretFile(name="./pp").read() == SECRET.encode()


def test_serve_ends_at_its_start_where_no_key_can_be_unlocked(tmp_path: Path, secrets: KeySecrets) -> None:
    make_keys("control", tmp_path / "keys/control", ("shop",), secrets=secrets)
    (tmp_path / "wrong").write_text("something else")
    state = tmp_path / "state"
    for line, words in (("", "it is encrypted"), (f'passphrase_file = "{tmp_path / "wrong"}"\n', "can't be used")):
        (tmp_path / "serve.toml").write_text(f'[keys]\ndirectory = "{tmp_path / "keys"}"\n{line}[listen]\ncontrol = "127.0.0.1:0"\n')
        error = CliRunner().invoke(serve, ["--state", str(state), "--settings", str(tmp_path / "serve.toml")]).exception
        assert isinstance(error, InputError)
        assert "no key there can be used" in str(error)
        assert words in str(error)
    make_keys("control", tmp_path / "lab", ("lab",))
    (tmp_path / "lab/lab").rename(tmp_path / "keys/control/lab")
    ring(tmp_path / "keys/control").require_unlocked()
    ring(tmp_path / "nothing").require_unlocked()
