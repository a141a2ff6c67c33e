"""What processes print, in files that are cut while they are written to."""

import itertools
import os
import threading
from pathlib import Path

from agent.processes.output import GONE_KEPT, TAIL, Output, Rotation


def _output(directory: Path, *, size: int = 1000, count: int = 3) -> Output:
    return Output(directory / "output", Rotation(size=size, count=count))


def _files(directory: Path) -> list[str]:
    """Return what all files hold, the oldest first."""
    return [path.read_text() for path in sorted((directory / "output").iterdir(), reverse=True)]


def test_output_is_appended_to_what_an_earlier_run_printed(tmp_path: Path) -> None:
    output = _output(tmp_path)
    for text in (b"first\n", b"second\n"):
        descriptor = output.open("app")
        os.write(descriptor, text)
        os.close(descriptor)
    assert _files(tmp_path) == ["first\nsecond\n"]
    assert output.place("app").stat().st_mode & 0o777 == 0o600


def test_output_that_grew_too_large_is_moved_aside_and_its_writer_goes_on_at_the_beginning(tmp_path: Path) -> None:
    output = _output(tmp_path, size=10)
    descriptor = output.open("app")
    os.write(descriptor, b"x" * 10)
    assert not output.rotate("app")
    os.write(descriptor, b"y")
    assert output.rotate("app")
    os.write(descriptor, b"new")
    os.close(descriptor)
    assert _files(tmp_path) == ["x" * 10 + "y", "new"]


def test_only_the_newest_outputs_are_kept(tmp_path: Path) -> None:
    output = _output(tmp_path, size=3, count=2)
    descriptor = output.open("app")
    for number in range(6):
        os.write(descriptor, f"run {number}".encode())
        assert output.rotate("app")
    os.close(descriptor)
    assert _files(tmp_path) == ["run 4", "run 5", ""]


def test_of_a_flood_between_two_looks_the_end_is_kept(tmp_path: Path) -> None:
    output = _output(tmp_path, size=100, count=2)
    descriptor = output.open("app")
    os.write(descriptor, b"".join(b"%04d\n" % number for number in range(1000)))
    os.close(descriptor)
    assert output.rotate("app")
    assert _files(tmp_path) == ["".join(f"{number:04}\n" for number in range(960, 1000)), ""]


def test_lines_are_lost_at_most_where_output_was_cut_and_never_torn_or_written_twice(tmp_path: Path) -> None:
    output = _output(tmp_path, size=20_000, count=200)
    descriptor, total, done = output.open("app"), 100_000, threading.Event()

    def write() -> None:
        for number in range(total):
            os.write(descriptor, b"%08d\n" % number)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    cuts = 0
    while not done.is_set():
        cuts += output.rotate("app")
    writer.join()
    cuts += output.rotate("app")
    os.write(descriptor, b"%08d\n" % total)
    os.close(descriptor)
    order = [tmp_path / f"output/app.log.{number}" for number in range(200, 0, -1)]
    lines = [line for path in (*order, output.place("app")) if path.exists() for line in path.read_text().splitlines()]
    numbers = [int(line) for line in lines]
    assert all(len(line) == 8 for line in lines)
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == total
    gaps = sum(after != before + 1 for before, after in itertools.pairwise(numbers)) + (numbers[0] != 0)
    assert 0 < cuts <= 200
    assert gaps <= cuts


def test_the_tail_is_whole_lines_and_bounded(tmp_path: Path) -> None:
    output = _output(tmp_path)
    assert output.tail("app") == ""
    descriptor = output.open("app")
    os.write(descriptor, b"".join(b"line %d\n" % number for number in range(10_000)))
    os.write(descriptor, "half a byte: \xff".encode("latin-1"))
    os.close(descriptor)
    tail = output.tail("app")
    assert TAIL - 20 < len(tail.encode()) <= TAIL + 2
    assert tail.splitlines()[0].startswith("line ")
    assert tail.splitlines()[-1] == "half a byte: \N{REPLACEMENT CHARACTER}"


def test_output_of_the_last_processes_that_left_is_kept(tmp_path: Path) -> None:
    output = _output(tmp_path)
    for number in range(GONE_KEPT + 2):
        for place in (output.place(f"old-{number}"), output.place(f"old-{number}").with_suffix(".log.1")):
            place.parent.mkdir(exist_ok=True)
            place.write_text("x")
            os.utime(place, (number, number))
    output.prune({"old-0"})
    assert {path.name.partition(".")[0] for path in (tmp_path / "output").iterdir()} == {
        "old-0",
        *(f"old-{number}" for number in range(2, GONE_KEPT + 2)),
    }
