"""One process for a state directory, and what it leaves there."""

import tempfile
from pathlib import Path

import pytest

from agent.protocol.errors import RefusedError
from reconciler.process import only_one


def test_what_a_killed_process_left_in_the_way_goes_at_the_next_start_and_all_of_it_at_the_end(tmp_path: Path) -> None:
    left = tmp_path / "tmp" / "ordain-opa-left"
    left.mkdir(parents=True)
    (left / "judge.tar.gz").write_bytes(b"x")
    before = tempfile.gettempdir()
    with only_one(tmp_path):
        assert not left.exists()
        with tempfile.TemporaryDirectory() as made:
            assert Path(made).parent == tmp_path / "tmp"
    assert tempfile.gettempdir() == before
    assert not (tmp_path / "tmp").exists()


def test_a_second_process_is_refused_and_touches_nothing_of_the_first(tmp_path: Path) -> None:
    with only_one(tmp_path):
        made = Path(tempfile.mkdtemp())
        with pytest.raises(RefusedError, match="another process"), only_one(tmp_path):
            pass
        assert made.is_dir()
