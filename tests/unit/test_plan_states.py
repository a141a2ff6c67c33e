"""What a plan says of two finished states: line by line, bounded, and whatever stands in a state."""

import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.bundle import Group, Mode
from agent.protocol.state import Artifact, ArtifactSource, File, Probe, State
from reconciler.pipeline.plan.noting import Noting
from reconciler.pipeline.plan.shape import Item
from reconciler.pipeline.plan.states import COMPARED_LIMIT, LINE_LIMIT, LINES_LIMIT, Pair, differing, shown

LINES = st.lists(st.sampled_from(["a", "b", "", "+", "-- x", "@@"]), max_size=8)


def file(content: str | None, **more: str) -> File:
    return File(path="/etc/motd", content=content, **more)  # type: ignore[arg-type]


def told(old: File | None, new: File | None) -> Item:
    return shown(Pair("files", "/etc/motd", old, new)).item


@given(LINES, LINES)
def test_the_lines_that_go_and_come_make_the_new_file_of_the_old_one(old: list[str], new: list[str]) -> None:
    found = told(file("\n".join(old)), file("\n".join(new)))
    before, after = (
        Counter(line for line in lines if line) for lines in (old, new)
    )  # whether a file ends its last line is told as an empty one
    gone, come = (Counter(line[1:] for line in found.lines if line[0] == sign) for sign in "-+")
    assert {line: count for line, count in (before - gone + come).items() if line} == after
    assert (found.removed, found.added) == (gone.total(), come.total())


def test_what_is_not_content_is_told_by_field() -> None:
    found = told(file("hello\n", mode="0644"), file("hello\n", mode="0600", owner="ops"))
    assert found.lines == ("-mode: 0644", "+mode: 0600", "+owner: ops")
    artifact = Artifact(name="x", path="/opt/x", platforms={"any": ArtifactSource(url="https://a/1", sha256="00")})
    other = Artifact(name="x", path="/opt/x", platforms={"any": ArtifactSource(url="https://a/2", sha256="00")})
    (pair,) = differing(State(artifacts=[artifact]), State(artifacts=[other]))
    assert shown(pair).item.lines == ("-platforms.any.url: https://a/1", "+platforms.any.url: https://a/2")


def test_everything_that_a_state_holds_is_compared() -> None:
    old = State(files=[file("a"), File(path="/gone")], probes=[Probe(name="ready", tcp="127.0.0.1:1")])
    new = State(files=[file("a")], probes=[Probe(name="ready", tcp="127.0.0.1:2")], drift="report")
    assert [(pair.field, pair.name, pair.change) for pair in differing(old, new)] == [
        ("files", "/gone", "removed"),
        ("probes", "ready", "changed"),
        ("state", "drift", "changed"),
    ]
    assert not list(differing(new, new))


def test_what_is_long_is_cut_and_counted() -> None:
    found = told(file("\n".join(map(str, range(1000)))), file("x" * 5000))
    assert (len(found.lines), found.removed, found.added) == (LINES_LIMIT, 1000, 1)
    assert found.more == 1002 - LINES_LIMIT
    assert max(map(len, told(file("a"), file("x" * 5000)).lines)) == LINE_LIMIT


def test_files_that_are_too_long_to_compare_cost_no_time() -> None:
    lines = [f"line {number % 7}" for number in range(COMPARED_LIMIT * 20)]
    begin = time.process_time()
    found = told(file("\n".join(lines)), file("\n".join([*reversed(lines), "one more"])))
    assert time.process_time() - begin < 2
    assert (found.added, found.removed) == (1, 0)
    assert "compared without their order" in found.lines[0]


def test_a_text_that_must_not_be_shown_is_blotted_out() -> None:
    found = shown(Pair("files", "/etc/motd", file("key hunter2\n"), file("key hunter3\n")), veiled=("hunter2", "hunter3")).item
    assert found.lines[1:] == ("-key …secret…", "+key …secret…")
    kept = shown(Pair("files", "/etc/motd", None, file("key hunter2\n")), withheld="a rule says so").item
    assert (kept.lines, kept.more, kept.added) == ((), 0, 1)


@pytest.mark.parametrize("binary", ["AAAA", "AAAAAAAA"])
def test_what_is_no_text_is_told_by_its_size(binary: str) -> None:
    found = told(None, File(path="/etc/motd", content_base64=binary))
    assert found.lines == ("@@ -0,0 +1 @@", f"+binary, {len(binary) * 3 // 4} bytes")


def test_the_same_lines_on_hosts_with_other_lines_around_them_are_one_difference() -> None:
    noting = Noting(withheld={})
    for number, region in enumerate(("eu", "us")):
        former, group = (Group(base=State(files=[file(f"region {region}\nworkers {count}\n")])) for count in (2, 4))
        noting.look(number, former, group)
    ((numbers, (item,)),) = noting.by_sets().items()
    assert numbers == {0, 1}
    assert not item.alike
    assert item.lines[1:] == (" region eu", "-workers 2", "+workers 4")


def test_a_mode_is_told_where_it_differs_in_another_way() -> None:
    def group(usual: str, incident: str) -> Group:
        return Group(base=State(files=[file(usual)]), modes=[Mode(name="incident", at_most="4h", state=State(files=[file(incident)]))])

    same, other = Noting(withheld={}), Noting(withheld={})
    same.look(0, group("a\n", "a\n"), group("b\n", "b\n"))
    other.look(0, group("a\n", "a\n"), group("b\n", "c\n"))
    assert [item.mode for items in same.by_sets().values() for item in items] == [""]
    assert sorted((item.mode, item.lines[-1]) for items in other.by_sets().values() for item in items) == [("", "+b"), ("incident", "+c")]
