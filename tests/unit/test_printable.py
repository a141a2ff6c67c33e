"""What authors of a fleet repository wrote, as it is shown: nothing of it passes for something else."""

import io
import logging

from hypothesis import given
from hypothesis import strategies as st

from agent.logs import Log
from reconciler.logs import JsonFormatter, TextFormatter
from reconciler.printable import EXCERPT, clipped, excerpt, printable


def test_control_characters_are_shown_as_escapes() -> None:
    assert printable("a\x1b[2Jb\nc\u202ed\udcff") == "a\\x1b[2Jb\\nc\\u202ed\\udcff"


def test_ordinary_text_stays_as_it_is() -> None:
    assert printable("Käse/日本.yaml") == "Käse/日本.yaml"


@given(st.text())
def test_what_is_shown_is_printable(text: str) -> None:
    assert printable(text).isprintable()


@given(st.text(), st.integers(min_value=1, max_value=200))
def test_a_cut_text_says_so_and_fits(text: str, limit: int) -> None:
    shown = clipped(text, limit)
    assert len(shown) <= limit
    assert shown == text or shown.endswith("…")


def test_a_long_line_is_cut_on_both_sides_of_its_column() -> None:
    line = "a" * 500 + "HERE" + "b" * 500
    shown, before = excerpt(line, 501)
    assert len(shown) == EXCERPT
    assert shown[before:].startswith("HERE")
    assert shown.startswith("…")
    assert shown.endswith("…")


def test_a_tab_before_the_column_moves_the_caret_as_far_as_it_is_shown() -> None:
    shown, before = excerpt("a:\t\tb", 5)
    assert shown == "a:\\t\\tb"
    assert shown[before] == "b"


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=400), st.integers(min_value=1, max_value=500))
def test_the_column_that_a_line_is_shown_for_is_in_what_is_shown(line: str, column: int) -> None:
    shown, before = excerpt(line, column)
    assert len(shown) <= EXCERPT
    assert before <= len(shown)
    if column <= len(line):
        assert shown[before] == line[column - 1]


def test_a_log_line_stays_one_line_whatever_is_logged() -> None:
    record = logging.makeLogRecord({"msg": "refused %s", "args": ("a\nb\x1b[2K",), "file": "c\nd", "levelname": "WARNING"})
    for formatter in (TextFormatter(), JsonFormatter()):
        assert formatter.format(record).isprintable()


def test_an_agents_log_line_stays_one_line_whatever_a_program_said() -> None:
    stream = io.StringIO()
    Log("text", stream).step("failed", why="a\x1b[2K", fleet="b\nc")
    assert stream.getvalue()[:-1].isprintable()
