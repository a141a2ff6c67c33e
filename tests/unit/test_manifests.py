"""YAML in, plain values out: one reading, whatever is installed, and a refusal with its place for all else."""

import sys
import time
from pathlib import Path
from types import ModuleType

import pygit2
import pytest
from hypothesis import HealthCheck, example, given, settings

from reconciler.pipeline import nodes, reading
from reconciler.pipeline.finding import ObjectName
from reconciler.pipeline.manifests import (
    DirectoryTree,
    Document,
    Layout,
    inspect_tree,
    is_manifest,
    layout_of,
    parse_file,
)
from reconciler.pipeline.nodes import ReadingRefused
from reconciler.pipeline.reading import read
from reconciler.pipeline.tree import Entry, MemoryTree, blob_id
from tests.yaml_texts import ODD_SCALARS, texts


def outcome(text: str, fast: ModuleType | None) -> tuple[str, str]:
    try:
        return "read", repr(read(text.encode(), fast=fast))
    except ReadingRefused as refusal:
        return refusal.code, f"{refusal} in {refusal.document} at {refusal.line}:{refusal.column}"


def test_yaml_rs_is_here_to_be_compared_with() -> None:
    assert reading.FAST is not None


@pytest.mark.no_cover
@settings(max_examples=400, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(texts())
@example("|\n---\nx\n---\n- y")
@example("a:\n  - [|b, 1]\n")
@example("--- 0\n--- 1")
@example("- a\n- b\n")
@example("# c\n---\n!=\n")
@example("{a: {b: >-\n  x\n  }}")
@example("{=: >}")
@example("{:0}")
@example("{true:$:,'#':[]}")
@example('"|x"')
@example("# c\n---\n# c\n---\na b: |\n 0E")
def test_both_parsers_read_a_text_to_the_same_value_or_refuse_it_alike(text: str) -> None:
    assert outcome(text, reading.FAST) == outcome(text, None)


@pytest.mark.parametrize("scalar", ODD_SCALARS)
def test_both_parsers_agree_on_odd_scalars(scalar: str) -> None:
    for around in ("a: %s\n", "a: [%s]\n", "a:\n- %s\n", "%s", "%s: a\n", "a: |\n  %s\n"):
        text = around.replace("%s", scalar)
        assert outcome(text, reading.FAST) == outcome(text, None), text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 2027-01-31", "2027-01-31"),
        ("a: 2026-11-26T00:00:00Z", "2026-11-26T00:00:00Z"),
        ("a: yes", "yes"),
        ("a: on", "on"),
        ("a: 12:30", "12:30"),
        ("a: 1_000", "1_000"),
        ("a: 012", 12),
        ("a: 0o17", 15),
        ("a: 0x1F", 31),
        ("a: 0b11", "0b11"),
        ("a: 1e3", 1000.0),
        ("a: .5", 0.5),
        ("a: ~", None),
        ("a:", None),
        ("a: TRUE", True),
        ("a: =", "="),
        ("a: |\n  x\n   y\n", "x\n y\n"),
        ("a: >-\n  x\n  y\n", "x y"),
        ('a: "\\u00e9"', "é"),
        ("b: &x {c: 1}\na: *x", {"c": 1}),
        ("a: b\r\nc: d\r\n", "b"),
    ],
)
def test_values_follow_the_core_schema_of_yaml_1_2(text: str, value: object) -> None:
    ((found,),) = ([document["a"] for document in read(text.encode())],)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "code", "line", "column"),
    [
        (b"a: 1\nb: 2\na: 3\n", "yaml/duplicate-key", 3, 1),
        (b"a:\n  b: {c: 1, c: 2}\n", "yaml/duplicate-key", 2, 13),
        (b"a: 1\nb: !!str 2\n", "yaml/tag", 2, 4),
        (b"a: !secret x\n", "yaml/tag", 1, 4),
        (b"x: &x {a: 1}\nb:\n  <<: *x\n", "yaml/merge-key", 3, 3),
        (b"a:\n  1: x\n", "yaml/key", 2, 3),
        (b"true: x\n", "yaml/key", 1, 1),
        (b"[a]: x\n", "yaml/key", 1, 1),
        (b"a: .nan\n", "yaml/number", 1, 4),
        (b"a: [1, -.inf]\n", "yaml/number", 1, 8),
        (b"a: 1e400\n", "yaml/number", 1, 4),
        (b"a: 9223372036854775808\n", "yaml/number", 1, 4),
        (b"a: " + b"9" * 5000, "yaml/number", 1, 4),
        (b"a: 0x" + b"f" * 5000, "yaml/number", 1, 4),
        (b"%YAML 1.1\n---\na: yes\n", "yaml/directive", 2, 1),
        (b"a: *x\n", "yaml/alias", 1, 4),
        (b"a: &x [*x]\n", "yaml/alias", 1, 8),
        (b"a: b: c\n", "yaml/syntax", 1, 5),
        (b"a: {b\n", "yaml/syntax", 1, 4),
        (b"a: 1\n---\nb: ]\n", "yaml/syntax", 3, 4),
        (b"\xef\xbb\xbfa: 1\n", "yaml/byte-order-mark", 1, 1),
        (b"a: 1\nb: x\x00y\n", "yaml/character", 2, 5),
        ("a: x\u2028y\n".encode(), "yaml/character", 1, 5),
        (b"a: 1\nb: \xff\n", "yaml/not-utf-8", 2, 4),
        (b'a: "\\ud800"\n', "yaml/surrogate", 1, 4),
        (b"a: " + b"[" * 65 + b"]" * 65, "yaml/depth", 1, 67),
        (b"a: 1\n---\n" * 100 + b"a: 1", "yaml/documents", 200, 1),
    ],
)
def test_a_text_that_readers_could_take_in_two_ways_is_refused_at_its_place(text: bytes, code: str, line: int, column: int) -> None:
    with pytest.raises(ReadingRefused) as refusal:
        read(text)
    assert (refusal.value.code, refusal.value.line, refusal.value.column) == (code, line, column)
    with pytest.raises(ReadingRefused) as again:
        read(text, fast=None)
    assert str(again.value) == str(refusal.value)


def test_limits_hold_exactly() -> None:
    assert read(b"a: " + b"[" * 63 + b"]" * 63) != []
    assert len(read(b"a: 1\n---\n" * 99 + b"a: 1")) == 100
    assert read(b"a: 9223372036854775807") == [{"a": 2**63 - 1}]
    padding = b"#" * (reading.SIZE_LIMIT - 5)
    assert read(b"a: 1\n" + padding) == [{"a": 1}]
    with pytest.raises(ReadingRefused, match="more than the 1048576"):
        read(b"a: 1\n" + padding + b"#")


def test_an_alias_bomb_is_refused_before_it_unfolds() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 12)]
    with pytest.raises(ReadingRefused) as refusal:
        read("\n".join(rows).encode())
    assert refusal.value.code == "yaml/nodes"


@pytest.mark.parametrize("piece", ["- ", "? ", "- ? ", ": ", "[", "{a: ", "[? ", "--- - ", "- - - a: "])
def test_nesting_without_end_is_refused_and_does_not_end_the_process(piece: str) -> None:
    with pytest.raises(ReadingRefused):
        read(piece.encode() * (500_000 // len(piece)))


def test_indentation_without_end_is_refused() -> None:
    with pytest.raises(ReadingRefused) as refusal:
        read("".join(" " * level + "- a:\n" for level in range(0, 1300, 2)).encode())
    assert refusal.value.code == "yaml/depth"


def test_more_values_than_a_file_may_have_are_refused() -> None:
    with pytest.raises(ReadingRefused) as refusal:
        read(b"a: [" + b"1," * nodes.NODES_LIMIT + b"]")
    assert refusal.value.code == "yaml/nodes"


def test_documents_are_numbered_as_they_stand_and_empty_ones_are_skipped() -> None:
    text = (
        b"---\n# nothing\n---\nkind: Tenant\nmetadata: {name: shop}\n---\n---\nkind: Agent\nmetadata: {name: web-01, tenant: shop}\n---\n"
    )
    documents = parse_file("tenants/shop/all.yaml", text, "ab" * 20).documents
    assert [(document.index, document.name) for document in documents] == [
        (1, ObjectName(kind="Tenant", tenant="", name="shop")),
        (3, ObjectName(kind="Agent", tenant="shop", name="web-01")),
    ]


def test_one_bad_document_refuses_the_whole_file() -> None:
    parsed = parse_file("tenants/shop/all.yaml", b"kind: Tenant\n---\n- a list\n---\nplain text\n")
    assert parsed.documents == ()
    assert [(finding.rule, finding.code, finding.place.document) for finding in parsed.findings] == [
        ("manifest/syntax", "yaml/not-a-mapping", 1),
        ("manifest/syntax", "yaml/not-a-mapping", 2),
    ]


@pytest.mark.parametrize("value", ["kind: A", "kind: 1\nmetadata: {name: a}", "kind: A\nmetadata: [name]", "kind: A\nmetadata: {name: 1}"])
def test_a_manifest_without_a_readable_name_is_still_a_document(value: str) -> None:
    (document,) = parse_file("tenants/shop/a.yaml", value.encode()).documents
    assert document.name is None
    assert document.spec == {}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("ordain.yaml", True),
        ("tenants/shop/web.yaml", True),
        ("tenants/shop/deep/er/web.yml", True),
        ("library/base.yaml", True),
        ("tenants/shop/files/config.yaml", False),
        ("tenants/shop/files/deep/config.yaml", False),
        ("tenants/shop/files.yaml", True),
        ("tenants/shop/web.json", False),
        ("policies/data.yaml", False),
        ("docs/web.yaml", False),
        ("deep/ordain.yaml", False),
        ("tenants.yaml", False),
    ],
)
def test_what_is_a_manifest_is_said_by_its_path(path: str, *, expected: bool) -> None:
    assert is_manifest(path) is expected


def repository(spec: dict[str, object]) -> Document:
    return Document(path="ordain.yaml", index=0, value={"spec": spec}, name=None)


def test_ordain_yaml_says_where_manifests_lie() -> None:
    layout = layout_of(repository({"tenants": "teams", "library": "shared/parts"}))
    assert layout == Layout(tenants="teams", library="shared/parts", policies="policies")
    assert is_manifest("shared/parts/a.yaml", layout)
    assert not is_manifest("tenants/a/b.yaml", layout)


@pytest.mark.parametrize("stated", ["", "..", "a/../b", "/tenants", "a//b", "./a", 5, None])
def test_a_directory_that_leads_elsewhere_is_passed_over(stated: object) -> None:
    assert layout_of(repository({"tenants": stated})) == Layout()


def entry(mode: int, size: int = 1) -> Entry:
    return Entry(oid="0" * 40, mode=mode, size=size)


class ListedTree(MemoryTree):
    """A snapshot whose listing says more than its bytes: modes and sizes that git can hold."""

    def __init__(self, entries: dict[str, Entry], files: dict[str, bytes] | None = None) -> None:
        super().__init__(files or {})
        object.__setattr__(self, "listed", entries)

    @property
    def entries(self) -> dict[str, Entry]:
        listed: dict[str, Entry] = object.__getattribute__(self, "listed")
        return listed


def rules_of(tree: MemoryTree) -> list[tuple[str, str]]:
    return [(finding.rule, finding.place.file) for finding in inspect_tree(tree)]


def test_what_leads_out_of_the_repository_is_refused_by_name() -> None:
    tree = ListedTree({"docs/link": entry(0o120000), "tenants/a": entry(0o160000), "tenants/\udcff.yaml": entry(0o100644)})
    assert rules_of(tree) == [
        ("manifest/symlink", "docs/link"),
        ("manifest/submodule", "tenants/a"),
        ("manifest/path", "tenants/\udcff.yaml"),
    ]


def test_names_that_differ_only_in_case_are_refused_with_both_places() -> None:
    tree = MemoryTree({"tenants/Shop/a.yaml": b"", "tenants/shop/b.yaml": b"", "README.md": b"", "Readme.md": b""})
    findings = inspect_tree(tree)
    assert [(finding.rule, sorted(finding.files)) for finding in findings] == [
        ("manifest/case-clash", ["README.md", "Readme.md"]),
        ("manifest/case-clash", ["tenants/Shop/a.yaml", "tenants/shop/b.yaml"]),
    ]


def test_a_large_file_is_refused_only_where_it_is_read() -> None:
    tree = ListedTree(
        {name: entry(0o100644, reading.SIZE_LIMIT + 1) for name in ("docs/picture.png", "tenants/a/files/big", "ordain.yaml")}
    )
    assert rules_of(tree) == [("manifest/size", "tenants/a/files/big"), ("manifest/size", "ordain.yaml")]


def test_an_lfs_pointer_is_refused() -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 12345\n"
    tree = MemoryTree({"library/files/tool": pointer, "docs/tool": pointer})
    assert rules_of(tree) == [("manifest/lfs-pointer", "library/files/tool")]
    assert inspect_tree(tree, only={"docs/tool"}) == []


def test_more_files_than_a_repository_may_have_are_one_finding() -> None:
    tree = ListedTree({f"tenants/a/{number}.yaml": entry(0o100644) for number in range(100_001)})
    assert rules_of(tree) == [("manifest/too-many-files", "ordain.yaml")]


def test_a_working_directory_is_listed_as_git_would(tmp_path: Path) -> None:
    root = tmp_path / "fleets"
    repository = pygit2.init_repository(str(root))
    (root / "tenants/a").mkdir(parents=True)
    (root / "tenants/a/b.yaml").write_text("kind: Agent\n")
    (root / "run").write_text("#!/bin/sh\n")
    (root / "run").chmod(0o755)
    (root / "link").symlink_to("/etc/passwd")
    (root / ".gitignore").write_text("*.log\nbuild/\nkept.log\n")
    (root / "a.log").touch()
    (root / "kept.log").touch()
    (root / "build").mkdir()
    (root / "build/out").touch()
    pygit2.init_repository(str(root / "nested"))
    repository.index.add("kept.log")
    repository.index.write()
    tree = DirectoryTree(root)
    assert {path: oct(entry.mode) for path, entry in tree.entries.items()} == {
        ".gitignore": "0o100644",
        "kept.log": "0o100644",
        "link": "0o120000",
        "nested": "0o160000",
        "run": "0o100755",
        "tenants/a/b.yaml": "0o100644",
    }
    assert tree.entries["tenants/a/b.yaml"].oid == blob_id(b"kind: Agent\n")
    assert tree.read("link") == b"/etc/passwd"
    for absent in ("nested", "a.log", "../fleets/run", "/etc/passwd", "tenants"):
        with pytest.raises(KeyError):
            tree.read(absent)


def test_a_directory_outside_git_is_listed_whole(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("x")
    (tmp_path / ".gitignore").write_text("*.log\n")
    assert set(DirectoryTree(tmp_path).entries) == {"a.log", ".gitignore"}


def test_a_directory_inside_a_repository_counts_from_itself(tmp_path: Path) -> None:
    pygit2.init_repository(str(tmp_path))
    (tmp_path / "examples/fleets").mkdir(parents=True)
    (tmp_path / ".gitignore").write_text("fleets/*.tmp\n")
    (tmp_path / "examples/fleets/ordain.yaml").write_text("x")
    (tmp_path / "examples/.gitignore").write_text("*.tmp\n")
    (tmp_path / "examples/fleets/a.tmp").write_text("x")
    assert set(DirectoryTree(tmp_path / "examples/fleets").entries) == {"ordain.yaml"}


@pytest.mark.parametrize(
    ("text", "line", "column", "remedy"),
    [
        ("a:\n\tb: 1\n", 2, 1, "no tabs"),
        ("a: [1, 2\n\nb: 3\n", 3, 2, "close the bracket of line 1"),
        ("a: 1\nb: {c: [1, 2]\n", 2, 4, "close the bracket that opens here"),
        ("a: 1\nb: 'x\nc: 2\n", 2, 4, "close the quote that opens here"),
        ("a:\n  b: 1\n c: 2\n", 3, 2, "indent the line"),
        ("a: b: c\n", 1, 5, "quote the text"),
        ("a: 1\nbare\nc: 2\n", 2, 1, "a colon and a space"),
        ("path: *.conf\n", 1, 7, '("*.conf")'),
        ("path: *\n", 1, 8, "quote the text"),
        ("owner: @ops\n", 1, 8, "quote the text"),
        ("%nonsense\n", 2, 1, "quotes are closed"),
    ],
)
def test_what_is_no_yaml_says_where_and_what_to_write(text: str, line: int, column: int, remedy: str) -> None:
    [finding] = parse_file("tenants/shop/a.yaml", text.encode()).findings
    assert (finding.place.line, finding.place.column) == (line, column)
    assert remedy in finding.remedy


def test_a_value_that_a_message_repeats_is_cut_with_a_sign_of_it() -> None:
    [finding] = parse_file("tenants/shop/a.yaml", b"x" * 500 + b"\n").findings
    assert "…" in finding.message
    assert len(finding.message) < 200


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("tenants/a\nb.yaml", "the path tenants/a\\nb.yaml has control characters"),
        ("docs/a\x1b[2K.md", "has control characters"),
        ("docs/a\x9b2K.md", "has control characters"),
        ("docs/a\u202egnp.md", "has control characters"),
        ("docs/a\udcff.md", "is not UTF-8"),
    ],
)
def test_a_path_that_could_forge_what_is_printed_is_refused_and_shown_escaped(path: str, why: str) -> None:
    [finding] = inspect_tree(MemoryTree({path: b""}))
    assert finding.rule == "manifest/path"
    assert why in finding.message
    assert finding.message.isprintable()


def test_a_path_in_another_script_passes() -> None:
    assert inspect_tree(MemoryTree({"docs/日本 é.md": b""})) == []


LONG = nodes.SLOW_LIMIT


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("b_c: 1\na: " + "-1" * LONG + "\n", ""),  # square time, once: forms that begin again at every sign
        ('a: "x' + "|#" * LONG + '"\nb: 1\n', ""),
        ("a: " + "9" * 4 * LONG + "\n", "yaml/number"),
        ("a: [" + "1, " * LONG + "1]", "yaml/nodes"),
        ("a: !<" + "x" * 4 * LONG + ">", "yaml/unusual"),
        ("a:\n" + "- &x 1\n" * 2 * nodes.SLOW_NODES_LIMIT, "yaml/unusual"),
        ("a: " + "[" * 4 * LONG, "yaml/depth"),
        ("a: 1\n" * 2 + "b: 1\n" * LONG, "yaml/syntax"),
        ("%YAML " + "1" * 5000 + ".1\n---\na: 1", "yaml/syntax"),
    ],
)
def test_a_large_text_is_read_or_refused_in_no_time(text: str, code: str) -> None:
    began = time.process_time()
    found = parse_file("tenants/a.yaml", text.encode()).findings
    assert [one.code for one in found] == ([code] if code else [])
    assert time.process_time() - began < (1 if sys.gettrace() is None else 4)  # counting covered lines costs as much again


def test_a_large_text_that_is_no_yaml_is_refused_at_its_line() -> None:
    text = "a: 1\n" + "# much\n" * LONG + "b: c: d\n"
    (found,) = parse_file("tenants/a.yaml", text.encode()).findings
    assert (found.code, found.place.line) == ("yaml/syntax", LONG + 2)


@pytest.mark.no_cover
def test_large_values_are_read_alike_with_and_without_yaml_rs() -> None:
    text = "a: 1\nlist:\n" + "- {b: x, c: 2}\n" * (nodes.SLOW_NODES_LIMIT // 2)
    assert read(text.encode(), fast=None) == read(text.encode())
