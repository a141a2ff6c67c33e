"""Values set in manifests: only what was asked for changes, whatever a person wrote around it."""

import difflib
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.errors import InputError
from reconciler.manifest_edit import Edit, edited, write
from reconciler.pipeline.reading import read

MANIFEST = """\
# Why this file exists.
apiVersion: ordain.dev/v1
kind: Component   # odd   spacing
metadata: {name: first,   tenant: shop}
spec: {}
---
apiVersion: ordain.dev/v1
kind: Component
metadata:
    name: "second"
spec:
  artifacts:
    # the agent itself
    - name: tool      # a program
      path: '/opt/tool'
      url: 'https://example.com/old'  # the mirror in Berlin
      sha256: 0000000000000000000000000000000000000000000000000000000000000000

    - {name: other, path: /opt/other, platforms: {linux/amd64: {url: "https://example.com/o", sha256: abc}}}
    - name: bare
      path: /opt/bare
  files:
  - path: /etc/x
    content: |
      # not a comment
      key:   value

# The end.
"""
TOOL = ("spec", "artifacts", 0)


def changed_lines(edits: list[Edit], text: str = MANIFEST) -> list[str]:
    """Return the lines that edits change, as `-old` and `+new`."""
    new = edited(text.encode(), edits, path="x.yaml").decode()
    lines = difflib.ndiff(text.splitlines(keepends=True), new.splitlines(keepends=True))
    return [line[0] + line[2:].rstrip("\r\n") for line in lines if line[0] in "-+"]


def edit(*pointer: str | int, value: Any, document: int = 1, after: tuple[str, ...] = ()) -> Edit:
    return Edit(document=document, pointer=pointer, value=value, after=after)


def test_a_value_is_replaced_in_the_quotes_that_it_had_and_its_comment_stays() -> None:
    assert changed_lines([edit(*TOOL, "url", value="store:tool")]) == [
        "-      url: 'https://example.com/old'  # the mirror in Berlin",
        "+      url: 'store:tool'  # the mirror in Berlin",
    ]


def test_a_field_that_is_missing_comes_after_the_one_that_is_named() -> None:
    assert changed_lines([edit(*TOOL, "size", value=42, after=("sha256",)), edit(*TOOL, "unpack", value="tar.gz", after=("url",))]) == [
        "+      unpack: tar.gz",
        "+      size: 42",
    ]


def test_a_field_may_come_after_a_comment_and_at_the_end_of_the_mapping() -> None:
    assert changed_lines([edit(*TOOL, "mode", value="0755", after=("name",))]) == ['+      mode: "0755"']
    assert changed_lines([edit("spec", "artifacts", 2, "owner", value="app")]) == ["+      owner: app"]


def test_a_mapping_becomes_a_block_in_a_block() -> None:
    value = {"linux/amd64": {"url": "store:bare", "sha256": "ab", "size": 3}}
    assert changed_lines([edit("spec", "artifacts", 2, "platforms", value=value, after=("path",))]) == [
        "+      platforms:",
        '+        linux/amd64: {url: "store:bare", sha256: ab, size: 3}',
    ]


def test_a_flow_mapping_is_edited_in_its_line() -> None:
    platform = ("spec", "artifacts", 1, "platforms")
    edits = [
        edit(*platform, "linux/amd64", "sha256", value="1" * 64),
        edit(*platform, "linux/amd64", "size", value=7, after=("url",)),
        edit(*platform, "linux/arm64", value={"url": "store:other"}),
    ]
    (_, added) = changed_lines(edits)
    inside = f'linux/amd64: {{url: "https://example.com/o", size: 7, sha256: "{"1" * 64}"}}, linux/arm64: {{url: "store:other"}}'
    assert added == f"+    - {{name: other, path: /opt/other, platforms: {{{inside}}}}}"
    assert changed_lines([edit("spec", "x", value=1, document=0)]) == ["-spec: {}", "+spec: {x: 1}"]


def test_an_empty_value_is_filled_in() -> None:
    assert changed_lines([edit("a", value=1, document=0)], "a:\nb: 2\n") == ["-a:", "+a: 1"]


def test_line_ends_of_another_system_stay() -> None:
    text = "a: 1\r\nb: 2  # two\r\nc: 3\r\n"
    assert (
        edited(text.encode(), [edit("d", value=4, document=0, after=("b",))], path="x").decode()
        == "a: 1\r\nb: 2  # two\r\nd: 4\r\nc: 3\r\n"
    )


def test_a_file_without_a_last_line_end_is_no_trouble() -> None:
    assert edited(b"a: 1", [edit("b", value=2, document=0)], path="x") == b"a: 1\nb: 2"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a: &x 1\nb: *x\n", edit("a", value=2, document=0)),
        ("a: &x {k: 1}\nb: *x\n", edit("b", "k", value=2, document=0)),
        ("a: &x {k: 1}\nb: *x\n", edit("a", "k", value=2, document=0)),
        ("a: &x {k: 1}\nb: *x\n", edit("b", value=2, document=0)),
        ("a:\n  k: 1\n", edit("a", value=2, document=0)),
        ("a: 1\n", edit("b", "c", value=2, document=0)),
        ("a: 1\n", edit("a", value=2, document=3)),
        ("a: [1]\n", edit("a", 5, value=2, document=0)),
        ("a:\n  b:\n    c: |\n      x\n", edit("a", "z", value=2, document=0)),
    ],
    ids=["anchor", "through an alias", "within an anchor", "alias", "a block", "no parent", "no document", "no such item", "no line"],
)
def test_what_others_share_or_what_has_no_line_is_left_to_a_person(text: str, wanted: Edit) -> None:
    with pytest.raises(InputError, match="edit it by hand"):
        edited(text.encode(), [wanted], path="x.yaml")


def test_a_file_that_can_not_be_read_is_named_with_its_line() -> None:
    with pytest.raises(InputError, match=r"x\.yaml:2:"):
        edited(b"a: 1\n}", [edit("a", value=2, document=0)], path="x.yaml")


PRINTABLE = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Co", "Cn", "Zl", "Zp"], exclude_characters="\ufeff")
SCALARS = st.one_of(st.text(PRINTABLE, max_size=20), st.integers(-(2**63), 2**63 - 1), st.booleans())
NAMES = st.sampled_from(["url", "sha256", "size", "name", "fresh", "other"])


@given(index=st.sampled_from([0, 1, 2]), edits=st.lists(st.tuples(NAMES, SCALARS, st.lists(NAMES, max_size=2)), min_size=1, max_size=4))
def test_any_value_arrives_as_it_is_and_no_other_line_changes(index: int, edits: list[tuple[str, Any, list[str]]]) -> None:
    made = [edit("spec", "artifacts", index, name, value=value, after=tuple(after)) for name, value, after in edits]
    new = edited(MANIFEST.encode(), made, path="x.yaml")
    found = read(new)[1]["spec"]["artifacts"][index]
    assert {name: found[name] for name, _, _ in edits} == {name: value for name, value, _ in edits}
    first, last = {0: (13, 17), 1: (18, 19), 2: (19, 21)}[index]
    old_lines, new_lines = MANIFEST.splitlines(), new.decode().split("\n")[:-1]
    assert new_lines[:first] == old_lines[:first]
    assert new_lines[len(new_lines) - (len(old_lines) - last) :] == old_lines[last:]
    assert read(new)[0] == read(MANIFEST.encode())[0]


@pytest.mark.parametrize(
    ("text", "field", "left"),
    [
        ("m: {a: 1, b: 2, c: 3}\n", "a", "m: {b: 2, c: 3}\n"),
        ("m: {a: 1, b: 2, c: 3}\n", "b", "m: {a: 1, c: 3}\n"),
        ("m: {a: 1, b: 2}  # both\n", "b", "m: {a: 1}  # both\n"),
        ("m: {a: 1}\n", "a", "m: {}\n"),
        ("m:\n  a: 1  # one\n  b: 2  # two\nn: 3\n", "a", "m:\n  b: 2  # two\nn: 3\n"),
        ("m:\r\n  a: 1\r\n  b: 2\r\n", "b", "m:\r\n  a: 1\r\n"),
        ("m:\n  a: 1\n", "b", "m:\n  a: 1\n"),
    ],
)
def test_a_field_is_removed_and_nothing_beside_it(text: str, field: str, left: str) -> None:
    gone = Edit(document=0, pointer=("m", field), value=None, gone=True)
    assert edited(text.encode(), [gone], path="x.yaml").decode() == left


@pytest.mark.parametrize("text", ["m:\n  a: 1\n", "m:\n  a:\n    x: 1\n    y: 2\n  b: 2\n"])
def test_what_can_not_be_removed_safely_is_left_to_a_person(text: str) -> None:
    with pytest.raises(InputError, match=r"by hand: m\.a gone"):
        edited(text.encode(), [Edit(document=0, pointer=("m", "a"), value=None, gone=True)], path="x.yaml")


def test_a_file_is_replaced_whole_and_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("old")
    path.chmod(0o640)
    write(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]
