"""Opening what is encrypted, and taking values out of texts. The files are by the real sops; what changes them is here."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.errors import RefusedError
from agent.protocol.state import SopsLeaf, SopsSource
from agent.secrets import memory
from agent.secrets.age import decrypt
from agent.secrets.keys import identities
from agent.secrets.sops import open_source
from agent.secrets.veil import Veil
from reconciler.pipeline.compile import sops

SEALED = Path(__file__).parents[1] / "vectors" / "secrets"
(KEY,) = [line for line in (SEALED / "age.key").read_text().splitlines() if line.startswith("AGE-SECRET-KEY-1")]


def opened(source: SopsSource) -> str:
    return open_source(source, lambda sealed: decrypt(sealed, [KEY])).decode(errors="replace")


def source(file: str = "app.sops.yaml", key: str = "db.password") -> SopsSource:
    return sops.parse((SEALED / file).read_bytes()).source(key)


def test_all_values_of_all_forms_are_opened_and_pass_the_check() -> None:
    yaml = {name: opened(source(key=name)) for name in ("db.port", "db.ratio", "db.big", "db.on", "db.hosts.0")}
    assert yaml == {"db.port": "5432", "db.ratio": "1", "db.big": "1000000000000000000000", "db.on": "True", "db.hosts.0": "a"}
    assert [opened(source(key=name)) for name in ("dotted.key", "multi", "db.hosts.2.x")] == ["v", "line1\nline2\n", "y"]
    assert [opened(source("app.sops.json", name)) for name in ("a.b.2", "c")] == ["1.5", "d"]
    assert opened(source("app.sops.env", "C")) == "line"
    assert len(open_source(source("bytes.sops.json", ""), lambda sealed: decrypt(sealed, [KEY]))) == 50


def test_a_check_over_encrypted_values_alone_is_one_too() -> None:
    found = source("encrypted-only.sops.yaml", "password")
    assert found.mac_only_encrypted
    assert opened(found) == "planted-only"
    assert (
        opened(msgspec.structs.replace(found, leaves=[*found.leaves, SopsLeaf(path=["plain_unencrypted"], value="more")])) == "planted-only"
    )


CHANGES: dict[str, Callable[[SopsSource], list[SopsLeaf]]] = {
    "two exchanged": lambda found: [found.leaves[1], found.leaves[0], *found.leaves[2:]],
    "one left out": lambda found: found.leaves[:-1],
    "one added": lambda found: [*found.leaves, SopsLeaf(path=["more"], value="plain")],
    "one in another's place": lambda found: [msgspec.structs.replace(found.leaves[0], path=["db", "port"]), *found.leaves[1:]],
    "one in plain": lambda found: [msgspec.structs.replace(found.leaves[0], value="planted"), *found.leaves[1:]],
    "a plain one changed": lambda found: [*found.leaves[:9], msgspec.structs.replace(found.leaves[9], value="2"), *found.leaves[10:]],
    "none": lambda _found: [],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_by_sops_that_somebody_changed_is_not_opened(change: str) -> None:
    found = source()
    with pytest.raises(RefusedError) as refused:
        opened(msgspec.structs.replace(found, leaves=CHANGES[change](found)))
    assert "hunter2" not in str(refused.value)


def test_a_check_of_another_time_or_another_file_is_none() -> None:
    found = source()
    for other in ({"last_modified": "2026-11-23T07:56:51Z"}, {"mac": source("app.sops.json", "c").mac}, {"mac": "plain"}, {"wanted": 99}):
        with pytest.raises(RefusedError):
            opened(msgspec.structs.replace(found, **other))


@given(text=st.text(max_size=200))
def test_whatever_stands_in_the_place_of_a_value_or_a_key_is_refused_in_our_words(text: str) -> None:
    found = source()
    for changed in (
        msgspec.structs.replace(found, leaves=[msgspec.structs.replace(found.leaves[0], value=text), *found.leaves[1:]]),
        msgspec.structs.replace(found, mac=text),
        msgspec.structs.replace(found, keys=[text]),
    ):
        with pytest.raises(RefusedError):
            opened(changed)


@given(data=st.binary(max_size=300))
def test_what_is_no_age_file_is_refused_in_our_words(data: bytes) -> None:
    with pytest.raises(RefusedError):
        decrypt(data, [KEY])


def test_an_age_file_is_opened_armoured_or_not_and_by_its_own_key_alone() -> None:
    identity = pyrage.x25519.Identity.generate()
    for armoured in (True, False):
        sealed = pyrage.encrypt(b"planted", [identity.to_public()], armored=armoured)
        assert decrypt(sealed, [KEY, str(identity)]) == b"planted"
        with pytest.raises(RefusedError, match="none of the 1 keys here opens it"):
            decrypt(sealed, [KEY])
    with pytest.raises(RefusedError, match="`ordain-agent secrets init`"):
        decrypt(sealed, [])


def test_keys_are_read_from_files_that_are_their_owners_alone(tmp_path: Path) -> None:
    place = tmp_path / "key"
    place.write_bytes((SEALED / "age.key").read_bytes())
    place.chmod(0o600)
    assert identities([tmp_path / "none", place]) == [KEY]
    place.chmod(0o640)
    with pytest.raises(RefusedError, match="not its owner's alone"):
        identities([place])
    place.chmod(0o600)
    place.write_text("AGE-PLUGIN-YUBIKEY-1…")
    with pytest.raises(RefusedError, match="holds no age identity"):
        identities([place])


def test_values_are_taken_out_of_texts_whole_and_by_line_the_longest_first() -> None:
    veil = Veil()
    veil.draw({"pem": "-----BEGIN-----\nabcdef\n-----END-----", "pw": "abcdefgh", "pin": "123"})
    assert veil("pw=abcdefgh; line abcdef; pin 123") == "pw=…secret pw…; line …secret pem…; pin 123"
    assert "abcdef" not in repr(veil)


@given(value=st.text(alphabet="abc", min_size=4, max_size=12), before=st.text(alphabet="abc", max_size=5))
def test_no_text_keeps_a_value(value: str, before: str) -> None:
    veil = Veil()
    veil.draw({"x": value})
    assert value not in veil(before + value + before)


def test_the_kind_of_the_file_system_below_a_path_is_that_of_its_nearest_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:5 / /run rw - tmpfs tmpfs rw\n3 2 8:2 / /run/a\\040b rw - xfs /dev/sdb rw\n"
    )
    monkeypatch.setattr(memory, "MOUNTS", mounts)
    kinds = {path: memory.kind_below(Path(path)) for path in ("/etc/app", "/run", "/run/app", "/run/a b/c", "/running")}
    assert kinds == {"/etc/app": "ext4", "/run": "tmpfs", "/run/app": "tmpfs", "/run/a b/c": "xfs", "/running": "ext4"}
    assert memory.warning("/run/app/key", Path("/run/app/key")) == ()
    [said] = memory.warning("/etc/app/key", Path("/etc/app/key"))
    assert "lies on a disk (ext4)" in said
