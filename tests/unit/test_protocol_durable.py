"""Files that must survive a crash: whole or not at all, and nothing left behind."""

import contextlib
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.protocol import durable


def left_behind(directory: Path) -> list[str]:
    return [path.name for path in directory.rglob("*.tmp")]


def killed_while_writing(path: Path) -> None:
    script = "import sys; from pathlib import Path; from agent.protocol import durable; durable.replace(Path(sys.argv[1]), b'new')"
    done = subprocess.run([sys.executable, "-c", script, str(path)], env={**os.environ, "ORDAIN_FAULT": "durable:before-name"}, check=False)
    assert done.returncode == -signal.SIGKILL


def test_a_file_is_put_with_its_directories_and_mode(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    durable.replace(path, b"one", mode=0o600)
    assert path.read_bytes() == b"one"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    durable.replace(path, b"two")
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert left_behind(tmp_path) == []


def test_create_never_replaces_and_says_whether_it_did(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert durable.create(path, b"one")
    assert not durable.create(path, b"two")
    assert path.read_bytes() == b"one"
    assert left_behind(tmp_path) == []


def test_names_put_together_are_fsynced_at_the_end_each_directory_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    synced: list[str] = []
    real = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "content")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    with durable.together():
        durable.create(tmp_path / "a" / "one", b"1")
        with durable.together():
            durable.replace(tmp_path / "a" / "two", b"2")
        durable.create(tmp_path / "b" / "three", b"3")
        assert [each for each in synced if each in "ab"] == []
        assert synced.count("content") == 3
    assert [each for each in synced if each in "ab"] == ["a", "b"]
    durable.create(tmp_path / "a" / "four", b"4")
    assert synced[-1] == "a"


def test_a_name_that_an_error_left_unsynced_is_fsynced_by_who_comes_upon_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "left"
    directory.mkdir()
    with contextlib.suppress(KeyError), durable.together():
        durable.create(directory / "one", b"1")
        raise KeyError
    synced: list[int] = []
    real = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    assert not durable.create(directory / "one", b"1")
    assert directory.stat().st_ino in synced


def test_a_name_that_this_process_fsynced_is_not_fsynced_again_unless_it_was_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    durable.create(tmp_path / "made" / "one", b"1")
    synced: list[int] = []
    real = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    assert not durable.create(tmp_path / "made" / "one", b"1")
    assert synced == []
    durable.remove(tmp_path / "made" / "one")
    (tmp_path / "made" / "one").write_bytes(b"by somebody else")
    synced.clear()
    assert not durable.create(tmp_path / "made" / "one", b"1")
    assert synced == [(tmp_path / "made").stat().st_ino]


def test_create_does_not_follow_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "file").symlink_to(tmp_path / "elsewhere")
    assert not durable.create(tmp_path / "file", b"one")
    assert not (tmp_path / "elsewhere").exists()


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        durable.replace(path, b"one")
    assert path.is_dir()
    assert left_behind(tmp_path) == []


def test_removing_is_for_keeps_and_may_be_done_again(tmp_path: Path) -> None:
    path = tmp_path / "file"
    durable.create(path, b"one")
    durable.remove(path)
    durable.remove(path)
    durable.remove(tmp_path / "no" / "such")
    assert not path.exists()


def test_a_name_at_the_file_systems_limit_can_be_written(tmp_path: Path) -> None:
    durable.replace(tmp_path / ("x" * 255), b"one")
    assert (tmp_path / ("x" * 255)).read_bytes() == b"one"


def test_readers_never_see_half_a_file_while_it_is_replaced_and_killed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    script = (
        "import sys, itertools; from pathlib import Path; from agent.protocol import durable\n"
        "for number in itertools.count(): durable.replace(Path(sys.argv[1]), str(number % 10).encode() * 100_000)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(path)]) as writer:
        while not path.exists():
            assert writer.poll() is None
        seen = [path.read_bytes() for _ in range(200)]
        os.kill(writer.pid, signal.SIGKILL)
    for data in [*seen, path.read_bytes()]:
        assert len(data) == 100_000
        assert len(set(data)) == 1


def test_what_a_killed_writer_left_is_swept_and_what_stands_stays(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    durable.replace(path, b"old")
    killed_while_writing(path)
    assert len(left_behind(tmp_path)) == 1
    assert durable.sweep(tmp_path, deep=False) == 0
    assert durable.sweep(tmp_path) == 1
    assert left_behind(tmp_path) == []
    assert path.read_bytes() == b"old"


def test_a_sweep_spares_what_is_being_written_and_what_only_looks_like_it(tmp_path: Path) -> None:
    foreign = [tmp_path / name for name in ("file.tmp", ".file.tmp", ".file.abc.tmp", "file.abcdefgh.tmp")]
    for place in foreign:
        place.write_text("somebody's")

    def chunks() -> Iterator[bytes]:
        yield b"half"
        assert durable.sweep(tmp_path) == 0
        yield b" and half"

    assert durable.create_from(tmp_path / "file", chunks())
    assert (tmp_path / "file").read_bytes() == b"half and half"
    assert all(place.exists() for place in foreign)


def test_a_sweep_that_never_ends_takes_nothing_from_a_writer(tmp_path: Path) -> None:
    script = "import sys; from pathlib import Path; from agent.protocol import durable\nwhile True: durable.sweep(Path(sys.argv[1]))"
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) as sweeper:
        try:
            for number in range(300):
                durable.replace(tmp_path / "file", str(number).encode(), lasting=False)
                assert (tmp_path / "file").read_bytes() == str(number).encode()
            assert sweeper.poll() is None
        finally:
            sweeper.kill()
