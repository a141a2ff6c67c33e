"""Unpacked artifacts on a host: landed as a whole, compared as a whole, switched and taken back as a whole."""

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.archives.entries import BYTES_FREE
from agent.protocol import codec
from agent.protocol.state import Artifact, ArtifactSource, File, State
from tests import agent_cases, archive_cases
from tests.agent_cases import Rig

KILLED = -9
PLACES = [
    "agent:after-plan",
    "agent:after-stage",
    "agent:after-journal",
    "agent:tree-aside",
    "agent:mid-switch",
    "agent:mid-switch@2",
    "agent:before-commit",
    "agent:after-commit",
]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with agent_cases.rig(tmp_path) as made:
        yield made


def unpacked(rig: Rig, word: str, form: str = "tar.gz", **fields: object) -> Artifact:
    """Return an artifact of a release called `word` that unpacks to /opt/tool."""
    source = rig.directory / f"{word}.{form}"
    source.write_bytes(archive_cases.release(word, form))
    platforms = {"any": ArtifactSource(url=source.as_uri(), sha256=codec.sha256(source.read_bytes()))}
    return Artifact(**{"name": "tool", "path": "/opt/tool", "platforms": platforms, "unpack": form} | fields)  # type: ignore[arg-type]


def publish(rig: Rig, *parts: Artifact | File, fleet: str = "web", drift: str = "enforce") -> None:
    """Release files and artifacts to this host."""
    artifacts = [part for part in parts if isinstance(part, Artifact)]
    files = sorted((part for part in parts if isinstance(part, File)), key=lambda file: file.path)
    rig.fleet(fleet).publish(State(artifacts=artifacts, files=files, drift=drift), ["web-01"])  # type: ignore[arg-type]


def expected(word: str) -> dict[str, str]:
    return {
        "bin": "0755 directory",
        "bin/tool": f"0755 #!/bin/sh\necho {word}\n",
        "etc": "0755 directory",
        f"etc/only-{word}": "0644 x",
        "etc/tool.conf": f"0644 {word}",
        "tool": "-> bin/tool",
    }


def leftovers(rig: Rig) -> list[str]:
    return [path for path in rig.tree() if "/.ordain-" in path]


@pytest.mark.parametrize("form", archive_cases.FORMS)
def test_an_archive_lands_as_a_directory_and_the_next_takes_its_place_as_a_whole(rig: Rig, form: str) -> None:
    for word in ("one", "two"):
        publish(rig, unpacked(rig, word, form, mode="0750"))
        assert rig.poll() == 0, rig.log
        assert archive_cases.tree(rig.root / "opt/tool") == expected(word)
        assert (rig.root / "opt/tool").stat().st_mode & 0o7777 == 0o750
    assert leftovers(rig) == []
    publish(rig)
    assert rig.poll() == 0, rig.log
    assert rig.tree() == {}


def test_a_poll_without_news_leaves_the_directory_alone(rig: Rig) -> None:
    publish(rig, unpacked(rig, "one"))
    assert rig.poll() == 0
    before = (rig.root / "opt/tool").stat().st_ino
    assert rig.poll() == 0
    assert (rig.root / "opt/tool").stat().st_ino == before
    assert rig.status()["drift"] == []


def _spoil_content(top: Path) -> None:
    (top / "etc/tool.conf").write_text("changed by hand")


def _spoil_mode(top: Path) -> None:
    (top / "bin/tool").chmod(0o4755)


def _spoil_by_adding(top: Path) -> None:
    (top / "etc/added").write_text("not of the release")


def _spoil_by_removing(top: Path) -> None:
    (top / "bin/tool").unlink()


def _spoil_link(top: Path) -> None:
    (top / "tool").unlink()
    (top / "tool").symlink_to("/bin/sh")


@pytest.mark.parametrize(
    ("spoil", "inside"),
    [
        (_spoil_content, "etc/tool.conf"),
        (_spoil_mode, "bin/tool"),
        (_spoil_by_adding, "etc/added"),
        (_spoil_by_removing, "bin/tool"),
        (_spoil_link, "tool"),
    ],
    ids=["content", "mode", "added", "removed", "link"],
)
def test_what_changes_inside_is_drift_that_is_named_and_repaired(rig: Rig, spoil: object, inside: str) -> None:
    publish(rig, unpacked(rig, "one"), drift="report")
    assert rig.poll() == 0
    spoil(rig.root / "opt/tool")  # type: ignore[operator]
    assert rig.poll() == 0
    (drift,) = rig.status()["drift"]
    assert (drift["path"], drift["differs"], drift["inside"]) == ("/opt/tool", ["content"], [inside])
    publish(rig, unpacked(rig, "one"))
    assert rig.poll() == 0
    assert archive_cases.tree(rig.root / "opt/tool") == expected("one")
    assert leftovers(rig) == []


@pytest.mark.parametrize("place", PLACES)
def test_an_agent_killed_anywhere_leaves_the_old_directory_or_the_new_one(rig: Rig, place: str) -> None:
    publish(rig, unpacked(rig, "old"), File(path="/etc/app", content="old"))
    assert rig.poll() == 0
    old = rig.tree()
    publish(rig, unpacked(rig, "new", "zip"), File(path="/etc/app", content="new"), File(path="/etc/more", content="new"))
    assert rig.run(fault=place).returncode == KILLED
    assert rig.ask("recover").returncode == 0
    found = rig.tree()
    assert rig.run().returncode == 0
    assert archive_cases.tree(rig.root / "opt/tool") == expected("new")
    assert found == (rig.tree() if place == "agent:after-commit" else old)
    assert leftovers(rig) == []


def test_a_recovery_that_is_killed_again_and_again_still_ends_with_the_old_directory(rig: Rig) -> None:
    publish(rig, unpacked(rig, "old"), File(path="/etc/app", content="old"))
    assert rig.poll() == 0
    old = rig.tree()
    publish(rig, unpacked(rig, "new"), File(path="/etc/app", content="new"))
    assert rig.run(fault="agent:before-commit").returncode == KILLED
    for passed in (2, 1, 2):
        assert rig.run(fault=f"agent:mid-restore@{passed}").returncode == KILLED
    assert rig.ask("recover").returncode == 0
    assert rig.tree() == old


def test_a_first_directory_that_did_not_come_to_be_leaves_nothing(rig: Rig) -> None:
    before = rig.tree()
    publish(rig, unpacked(rig, "old"))
    assert rig.run(fault="agent:before-commit").returncode == KILLED
    assert rig.ask("recover").returncode == 0
    assert rig.tree() == before


def test_a_path_changes_between_file_directory_link_and_unpacked_artifact(rig: Rig) -> None:
    shapes: list[tuple[Artifact | File, ...]] = [
        (unpacked(rig, "one"),),
        (File(path="/opt/tool", content="a file"),),
        (unpacked(rig, "two"),),
        (File(path="/opt/tool", type="directory"), File(path="/opt/tool/etc", content="now a file")),
        (unpacked(rig, "one"),),
        (File(path="/opt/tool/etc/tool.conf", content="one"),),
        (unpacked(rig, "two"),),
        (File(path="/opt/tool", type="symlink", target="/elsewhere"),),
        (unpacked(rig, "one"), File(path="/opt/beside", content="x")),
    ]
    for parts in shapes:
        publish(rig, *parts)
        assert rig.poll() == 0, rig.log
        for part in parts:
            if isinstance(part, Artifact):
                word = "one" if "one" in part.platforms["any"].url else "two"
                assert archive_cases.tree(rig.root / "opt/tool") == expected(word)
    assert leftovers(rig) == []
    publish(rig)
    assert rig.poll() == 0
    assert rig.tree() == {}


def test_a_directory_that_ordain_does_not_manage_is_never_replaced(rig: Rig) -> None:
    (rig.root / "opt/tool").mkdir(parents=True)
    (rig.root / "opt/tool/theirs").write_text("precious")
    publish(rig, unpacked(rig, "one"))
    assert rig.poll() == 1
    assert "theirs in it, which ordain does not manage" in rig.status()["why"]
    assert rig.files() == {"/opt/tool/theirs": "precious"}


def test_what_stood_there_before_comes_back_when_the_artifact_leaves(rig: Rig) -> None:
    (rig.root / "opt").mkdir()
    (rig.root / "opt/tool").write_text("a script of old")
    publish(rig, unpacked(rig, "one"))
    assert rig.poll() == 0
    publish(rig)
    assert rig.poll() == 0
    assert rig.tree() == {"/opt": "directory", "/opt/tool": "a script of old"}


def test_nothing_of_a_release_may_lie_within_an_unpacked_artifact(rig: Rig) -> None:
    publish(rig, unpacked(rig, "one"), File(path="/opt/tool/etc/mine", content="x"))
    assert rig.poll() == 1
    assert "lies below /opt/tool, which the same release makes an unpacked artifact" in rig.status()["why"]


def test_another_fleet_waits_until_the_directory_in_which_it_wants_a_file_is_free(rig: Rig) -> None:
    publish(rig, unpacked(rig, "one"))
    assert rig.poll() == 0
    publish(rig, File(path="/opt/tool/etc/mine", content="x"), fleet="other")
    rig.poll()
    assert rig.status("other")["result"] == "waiting"
    assert archive_cases.tree(rig.root / "opt/tool") == expected("one")
    publish(rig)
    assert rig.poll() == 0, rig.log
    assert rig.files() == {"/opt/tool/etc/mine": "x"}


def test_a_directory_moves_from_one_fleet_to_another_in_place(rig: Rig) -> None:
    publish(rig, unpacked(rig, "one"))
    assert rig.poll() == 0
    before = (rig.root / "opt/tool").stat().st_ino
    publish(rig, unpacked(rig, "one"), fleet="other")
    publish(rig)
    assert rig.poll() == 0, rig.log
    assert (rig.root / "opt/tool").stat().st_ino == before
    publish(rig, unpacked(rig, "two"), fleet="other")
    assert rig.poll() == 0
    assert archive_cases.tree(rig.root / "opt/tool") == expected("two")


def test_a_rollback_by_hand_needs_nobody_else(rig: Rig) -> None:
    for word in ("one", "two"):
        publish(rig, unpacked(rig, word))
        assert rig.poll() == 0
        (rig.directory / f"{word}.tar.gz").unlink()
    assert rig.ask("rollback", "web").returncode == 0
    assert archive_cases.tree(rig.root / "opt/tool") == expected("one")


def test_a_check_runs_a_program_of_the_staged_directory(rig: Rig) -> None:
    check = ["{staged:/opt/tool/bin/tool}"]
    publish(rig, unpacked(rig, "one"), File(path="/etc/app", content="same", check=check))
    assert rig.poll() == 0, rig.log
    (rig.directory / "failing").mkdir()
    failing = archive_cases.member("bin/tool", mode=0o755), b"#!/bin/sh\necho from the new one; exit 3\n"
    source = rig.directory / "failing.tar.gz"
    source.write_bytes(archive_cases.packed(archive_cases.tar(failing)))
    platforms = {"any": ArtifactSource(url=source.as_uri(), sha256=codec.sha256(source.read_bytes()))}
    bad = Artifact(name="tool", path="/opt/tool", unpack="tar.gz", platforms=platforms)
    publish(rig, bad, File(path="/etc/app", content="same", check=check))
    assert rig.poll() == 1
    assert "ended with 3: from the new one" in rig.status()["why"]
    assert archive_cases.tree(rig.root / "opt/tool") == expected("one")


def test_an_archive_that_must_not_be_unpacked_fails_once_and_leaves_nothing(rig: Rig) -> None:
    source = rig.directory / "evil.tar.gz"
    source.write_bytes(archive_cases.packed(archive_cases.tar((archive_cases.member("../escaped"), b"x"))))
    platforms = {"any": ArtifactSource(url=source.as_uri(), sha256=codec.sha256(source.read_bytes()))}
    publish(rig, Artifact(name="tool", path="/opt/tool", unpack="tar.gz", platforms=platforms))
    for _ in range(2):
        assert rig.poll() == 1
        assert rig.status()["result"] == "failed"
        assert "is absolute or not normal" in rig.status()["why"]
    assert rig.tree() == {}


def test_a_release_with_more_than_it_declares_is_refused(rig: Rig) -> None:
    publish(rig, unpacked(rig, "one", unpacked_size=10))
    assert rig.poll() == 1
    assert "more than 10 bytes; state `unpackedSize`" in rig.status()["why"]


def zeros(rig: Rig, size: int, **fields: object) -> Artifact:
    """Return an artifact of one file of zeros that unpacks to /opt/tool."""
    source = rig.directory / "zeros.tar.gz"
    source.write_bytes(archive_cases.packed(archive_cases.tar((archive_cases.member("zeros"), bytes(size)))))
    platforms = {"any": ArtifactSource(url=source.as_uri(), sha256=codec.sha256(source.read_bytes()))}
    return Artifact(**{"name": "tool", "path": "/opt/tool", "platforms": platforms, "unpack": "tar.gz"} | fields)  # type: ignore[arg-type]


def test_an_archive_that_says_nothing_may_grow_as_programs_do_and_no_further(rig: Rig) -> None:
    publish(rig, zeros(rig, BYTES_FREE + 1))
    assert rig.poll() == 1
    assert f"more than {BYTES_FREE} bytes; state `unpackedSize`" in rig.status()["why"]
    assert rig.tree() == {}


def test_the_host_bounds_what_a_release_may_unpack_to_and_may_change_its_mind(rig: Rig) -> None:
    rig.config.parent.mkdir(parents=True, exist_ok=True)
    rig.config.write_text('[downloads]\nunpacked = "1KB"\n')
    publish(rig, zeros(rig, 2_000, unpacked_size=1_000_000))
    assert rig.poll() == 1
    assert "`downloads.unpacked` of agent.toml allows 1000 bytes" in rig.status()["why"]
    assert not (rig.root / "opt").exists()
    rig.config.unlink()
    assert rig.poll() == 0, rig.log


def test_a_directory_made_deep_by_others_is_removed_without_a_descriptor_for_each_level(rig: Rig) -> None:
    publish(rig, unpacked(rig, "one"))
    assert rig.poll() == 0
    with contextlib.chdir(rig.root / "opt/tool"):
        for _ in range(1500):  # a path as a whole would be too long
            Path("d").mkdir()
            os.chdir("d")
    assert rig.poll() == 0, rig.log
    assert archive_cases.tree(rig.root / "opt/tool") == expected("one")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
def test_everything_in_it_has_the_owner_that_the_release_says(rig: Rig) -> None:
    publish(rig, unpacked(rig, "one", owner="1234", group="4321"))
    assert rig.poll() == 0, rig.log
    owners = {(path.lstat().st_uid, path.lstat().st_gid) for path in [rig.root / "opt/tool", *(rig.root / "opt/tool").rglob("*")]}
    assert owners == {(1234, 4321)}
    os.chown(rig.root / "opt/tool/bin/tool", 0, 0)
    assert rig.poll() == 0
    assert (rig.root / "opt/tool/bin/tool").stat().st_uid == 1234


def test_a_listing_that_was_damaged_on_disk_is_mended_from_the_archive(rig: Rig) -> None:
    publish(rig, unpacked(rig, "one"))
    assert rig.poll() == 0
    (listing,) = (rig.state / "artifacts").glob("*.tree")
    good = listing.read_bytes()
    listing.write_bytes(good[:-10])
    assert rig.poll() == 0
    assert listing.read_bytes() == good
    assert io.BytesIO(good).readline().startswith(b"[")
