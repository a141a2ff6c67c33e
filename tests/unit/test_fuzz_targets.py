"""What `make fuzz` looks for, a little of it in every run: nothing that strangers write raises anything but a refusal."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.apply import journal
from agent.protocol.errors import MalformedError
from tests.fuzz import seeds
from tests.fuzz.targets import SECONDS, TARGETS, WIRE, timed

PATIENT = 3 * SECONDS
BROKE = [(target, name) for target in TARGETS for name in seeds.regressions(target)]
EDITS = st.lists(st.tuples(st.integers(0, 2**16), st.binary(max_size=12), st.integers(0, 12)), max_size=6)


@pytest.mark.parametrize("target", TARGETS)
def test_honest_inputs_pass(target: str) -> None:
    for data in seeds.seeds(target):
        timed(TARGETS[target], data, seconds=PATIENT)


@pytest.mark.parametrize(("target", "name"), BROKE)
def test_what_broke_a_reader_once_is_refused(target: str, name: str) -> None:
    timed(TARGETS[target], seeds.regressions(target)[name], seconds=PATIENT)


def test_each_wire_document_has_an_honest_seed_that_is_read() -> None:
    names = list(WIRE)
    by_name = {names[data[0]]: data[1:] for data in seeds.seeds("wire")}
    for name in names:
        if name not in ("anything", "packed-bundle", "envelope"):  # those need a digest or keys
            assert WIRE[name](by_name[name]) is not None


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(number=st.integers(0, 99), edits=EDITS, raw=st.none() | st.binary(max_size=300))
def test_no_bytes_break(target: str, number: int, edits: list[tuple[int, bytes, int]], raw: bytes | None) -> None:
    known = seeds.seeds(target)
    data = raw if raw is not None else known[number % len(known)]
    for place, inserted, removed in edits:
        at = place % (len(data) + 1)
        data = data[:at] + inserted + data[at + removed :]
    timed(TARGETS[target], data, seconds=PATIENT)


def test_an_input_that_takes_too_long_is_a_failure() -> None:
    def busy(data: bytes) -> None:
        until = time.process_time() + len(data)
        while time.process_time() < until:
            pass

    with pytest.raises(AssertionError, match="for 1 bytes"):
        timed(busy, b"x", seconds=0.5)


def test_without_atheris_the_targets_are_fuzzed_by_mutation(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz.unguided", "references", "0.5", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "runs in" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_journal_never_names_a_directory_outside_the_agents_own(tmp_path: Path) -> None:
    file = tmp_path / "journal.json"
    file.write_bytes(seeds.regressions("journal")["fleet-that-climbs"])
    with pytest.raises(MalformedError, match="no name of a fleet"):
        journal.read(file)
