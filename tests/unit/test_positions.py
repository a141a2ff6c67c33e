"""Findings get the line that a person would point at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.pipeline.finding import Finding, Place, Pointer
from reconciler.pipeline.manifests import locate, parse_file, pointer_text, verdict

MANIFEST = """\
# a comment
kind: Component
spec:
  files:
    - path: /etc/a
      content: |
        first
          second ${label.x}

        third ${label.x}
    - {path: /etc/b, "odd key": "a\\tb ${label.y}"}
    - path: /etc/c
      content: >-
        folded
        x ${label.z} and
        y ${label.z}
    - path: /etc/d
      content: plain ${label.p} text
    - path: /etc/e
      content: |2
          indented ${label.q}
    - content: 'single ${label.r}'
---
kind: Fleet
spec: {}
"""


def at(*pointer: str | int, document: int = 0, at_key: bool = False, offset: int | None = None) -> Place:
    return Place(file="a.yaml", document=document, pointer=pointer, at_key=at_key, offset=offset)


@pytest.mark.parametrize(
    ("place", "line", "column"),
    [
        (at(), 2, 1),
        (at("kind"), 2, 7),
        (at("kind", at_key=True), 2, 1),
        (at("spec", "files", 0, "path"), 5, 13),
        (at("spec", "files", 0), 5, 7),
        (at("spec", "files", 0, "content"), 6, 16),
        (at("spec", "files", 1), 11, 7),
        (at("spec", "files", 1, "odd key", at_key=True), 11, 22),
        (at(document=1), 24, 1),
        (at("spec", document=1), 25, 7),
    ],
)
def test_a_pointer_has_the_line_and_column_of_its_value_or_key(place: Place, line: int, column: int) -> None:
    assert locate(MANIFEST.encode(), place) == (line, column, MANIFEST.splitlines()[line - 1])


@pytest.mark.parametrize(
    ("place", "line", "column"),
    [
        (at("spec", "files", 9, "mode"), 5, 5),
        (at("spec", "files", 0, "mode"), 5, 7),
        (at("spec", "files", 0, "mode", at_key=True), 5, 7),
        (at("spec", "files", "no", "list"), 5, 5),
        (at("spec", "wrong", "deep", document=1), 25, 7),
        (at("spec", document=7), 1, 1),
    ],
)
def test_a_place_that_does_not_exist_is_that_of_its_nearest_ancestor(place: Place, line: int, column: int) -> None:
    assert locate(MANIFEST.encode(), place)[:2] == (line, column)


@pytest.mark.parametrize(
    ("pointer", "snippet", "nth", "line", "column"),
    [
        (("spec", "files", 0, "content"), "${label.x}", 1, 8, 18),
        (("spec", "files", 0, "content"), "${label.x}", 2, 10, 15),
        (("spec", "files", 1, "odd key"), "${label.y}", 1, 11, 39),
        (("spec", "files", 2, "content"), "${label.z}", 1, 15, 11),
        (("spec", "files", 2, "content"), "${label.z}", 2, 16, 11),
        (("spec", "files", 3, "content"), "${label.p}", 1, 18, 22),
        (("spec", "files", 4, "content"), "${label.q}", 1, 21, 20),
        (("spec", "files", 5, "content"), "${label.r}", 1, 22, 24),
    ],
)
def test_an_offset_into_a_text_is_found_on_its_own_line(pointer: Pointer, snippet: str, nth: int, line: int, column: int) -> None:
    value = parse_file("tenants/a.yaml", MANIFEST.encode()).documents[0].value
    for part in pointer:
        value = value[part]  # type: ignore[index]
    offset = -1
    for _ in range(nth):
        offset = str(value).index(snippet, offset + 1)
    found = locate(MANIFEST.encode(), at(*pointer, offset=offset))
    assert found[:2] == (line, column)
    assert found[2][column - 1 :].startswith(snippet)


@given(st.lists(st.text("ab $é", max_size=8), min_size=1, max_size=5), st.integers(2, 6), st.sampled_from(["\n", "\r\n"]))
def test_every_letter_of_a_block_is_where_locate_says(rows: list[str], indent: int, end: str) -> None:
    rows = ["x", *(row.strip() for row in rows)]
    text = "a:" + end + "  b: |" + end + "".join((" " * (indent + 2) + row if row else "") + end for row in rows)
    (document,) = parse_file("tenants/a.yaml", text.encode()).documents
    value = document.value["a"]["b"]
    for offset, letter in enumerate(value):
        line, column, shown = locate(text.encode(), at("a", "b", offset=offset))
        assert letter == "\n" or shown[column - 1] == letter, (line, column)


@pytest.mark.parametrize(
    ("item", "row", "line", "column"),
    [
        (0, 0, 7, 9),
        (0, 1, 8, 9),
        (0, 2, 9, 1),
        (0, 3, 10, 9),
        (0, 9, 6, 16),
        (2, 0, 13, 16),
        (2, 1, 13, 16),
        (3, 0, 18, 16),
        (4, 0, 21, 9),
        (5, 0, 22, 16),
    ],
)
def test_a_line_of_a_block_is_exact_and_that_of_any_other_text_is_its_beginning(item: int, row: int, line: int, column: int) -> None:
    place = Place(file="a.yaml", pointer=("spec", "files", item, "content"), row=row)
    assert locate(MANIFEST.encode(), place)[:2] == (line, column)


@pytest.mark.parametrize("header", ["|", "|-", "|+", "|  # a comment", "&text |", "|2"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_block_begins_below_its_header_however_that_is_written(header: str, end: str) -> None:
    data = f"a: {header}\n  one\n\n  two\nb: x\n".replace("\n", end).encode()
    assert locate(data, Place(file="a.yaml", pointer=("a",), row=2)) == (4, 3, "  two")


def test_a_text_by_another_name_is_where_that_stands() -> None:
    data = b"a: &text |\n  one\n  two\nb: *text\nc: x\n"
    assert locate(data, Place(file="a.yaml", pointer=("b",), row=1))[:2] == (4, 4)


def test_a_place_that_states_its_line_keeps_it() -> None:
    assert locate(b"a\nb ]\n", Place(file="x.rego", line=2, column=3)) == (2, 3, "b ]")


@pytest.mark.parametrize("data", [b"", b"a: ]", b"\xff", b"package x\n", b"\x00"])
def test_a_file_that_cannot_be_read_has_its_first_line(data: bytes) -> None:
    assert locate(data, at("spec", "x"))[:2] == (1, 1)


def test_a_line_beyond_the_file_has_no_text() -> None:
    assert locate(b"a: 1\n", Place(file="a", line=9)) == (9, 1, "")


def test_pointers_are_written_as_rfc_6901_has_them() -> None:
    assert pointer_text(("spec", "platforms", "linux/amd64", 0, "a~b")) == "/spec/platforms/linux~1amd64/0/a~0b"
    assert pointer_text(()) == ""


def test_a_verdict_says_what_its_finding_says_and_where() -> None:
    place = at("spec", "files", 0, "path")
    finding = Finding(action="warn", rule="a/b", code="c", message="m", remedy="r", place=place)
    found = verdict(finding, {"a.yaml": MANIFEST.encode()}.__getitem__, standing=True)
    assert (found.line, found.column, found.pointer, found.source_line) == (5, 13, "/spec/files/0/path", "    - path: /etc/a")
    assert (found.action, found.rule, found.code, found.message, found.remedy, found.standing) == ("warn", "a/b", "c", "m", "r", True)


def test_a_line_that_may_hold_a_secret_is_not_repeated() -> None:
    finding = Finding(action="deny", rule="secrets/key", code="c", message="m", place=at("spec", "files", 0, "path"), sensitive=True)
    found = verdict(finding, {"a.yaml": MANIFEST.encode()}.__getitem__)
    assert (found.line, found.source_line) == (5, "")


def test_a_verdict_on_a_file_that_is_gone_is_at_its_beginning() -> None:
    finding = Finding(action="deny", rule="a/b", code="c", message="m", place=at("spec"))
    found = verdict(finding, dict[str, bytes]().__getitem__)
    assert (found.line, found.column, found.source_line) == (1, 1, "")


@pytest.mark.parametrize("text", [b"kind: Agent\nspec:\n", b"kind: Agent\nspec:\n\n\n", b"kind: Agent\nspec:   # nothing yet\n"])
def test_an_empty_value_is_where_its_key_stands(text: bytes) -> None:
    assert locate(text, Place(file="a.yaml", pointer=("spec",))) == (2, 1, text.splitlines()[1].decode())
