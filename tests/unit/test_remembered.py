"""What earlier checks leave on disk is believed only while its seal holds, and only for what it was made from."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.pipeline.acceptance.corpus import read_content, read_file
from reconciler.pipeline.finding import Place
from reconciler.pipeline.manifests import DirectoryTree, Layout, is_manifest
from reconciler.pipeline.policy.batches import Answer
from reconciler.pipeline.policy.evaluate import ObjectItem
from reconciler.pipeline.policy.metadata import Rule
from reconciler.pipeline.policy.recall import input_key, learn, object_key, told
from reconciler.pipeline.positions import find
from reconciler.pipeline.remembered.ahead import CHUNK, Ahead
from reconciler.pipeline.remembered.answers import KnownAnswers
from reconciler.pipeline.remembered.files import RACY, KnownFiles
from reconciler.pipeline.remembered.manifests import KnownManifests
from reconciler.pipeline.remembered.places import KnownPlaces
from reconciler.pipeline.remembered.sealed import KEY_FILE, MAGIC, SUFFIX, Sealed
from reconciler.pipeline.tree import MemoryTree, blob_id

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fleet-repo"
AGENT = b"apiVersion: ordain.dev/v1\nkind: Agent\nmetadata: {name: web-01, tenant: shop}\nspec: {}\n"


def sealed(directory: Path) -> Sealed:
    found = Sealed(directory / "cache")
    found.write("one", b"what is kept")
    return found


def file_of(directory: Path, name: str = "one") -> Path:
    return directory / "cache" / (name + SUFFIX)


def test_what_is_written_is_read_by_the_next_process(tmp_path: Path) -> None:
    sealed(tmp_path)
    assert Sealed(tmp_path / "cache").read("one") == b"what is kept"
    assert (tmp_path / "cache" / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700


@given(position=st.integers(min_value=0), bit=st.integers(min_value=0, max_value=7))
def test_one_changed_bit_is_noticed_wherever_it_is(position: int, bit: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("cache")
    sealed(directory)
    data = bytearray(file_of(directory).read_bytes())
    data[position % len(data)] ^= 1 << bit
    file_of(directory).write_bytes(data)
    again = Sealed(directory / "cache")
    assert (again.read("one"), again.dropped) == (None, 1)
    assert not file_of(directory).exists()


@given(length=st.integers(min_value=0, max_value=len(MAGIC) + 32 + len(b"what is kept") - 1))
def test_a_file_that_was_cut_short_is_noticed(length: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("cache")
    sealed(directory)
    file_of(directory).write_bytes(file_of(directory).read_bytes()[:length])
    again = Sealed(directory / "cache")
    assert (again.read("one"), again.dropped) == (None, 1)


def test_a_file_under_another_name_is_not_believed(tmp_path: Path) -> None:
    sealed(tmp_path)
    file_of(tmp_path).rename(file_of(tmp_path, "two"))
    assert Sealed(tmp_path / "cache").read("two") is None


def test_a_file_from_another_cache_is_not_believed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        sealed(tmp_path / name)
    shutil.copy(file_of(tmp_path / "a"), file_of(tmp_path / "b"))
    assert Sealed(tmp_path / "b" / "cache").read("one") is None


def _readable_key(cache: Path) -> None:
    (cache / KEY_FILE).chmod(0o644)


def _short_key(cache: Path) -> None:
    (cache / KEY_FILE).write_bytes(b"short")


def _linked_key(cache: Path) -> None:
    (cache / KEY_FILE).rename(cache / "elsewhere")
    (cache / KEY_FILE).symlink_to(cache / "elsewhere")


def _open_directory(cache: Path) -> None:
    cache.chmod(0o777)


@pytest.mark.parametrize("spoil", [_readable_key, _short_key, _linked_key, _open_directory])
def test_a_key_that_others_may_know_seals_nothing_and_is_replaced(spoil: Callable[[Path], None], tmp_path: Path) -> None:
    sealed(tmp_path)
    spoil(tmp_path / "cache")
    again = Sealed(tmp_path / "cache")
    assert again.read("one") is None
    again.write("one", b"anew")
    assert Sealed(tmp_path / "cache").read("one") == b"anew"
    assert (tmp_path / "cache" / KEY_FILE).lstat().st_mode & 0o777 == 0o600


def _as_symlink(path: Path, elsewhere: Path) -> None:
    path.symlink_to(elsewhere)


def _as_directory(path: Path, elsewhere: Path) -> None:
    del elsewhere
    path.mkdir()


def _as_pipe(path: Path, elsewhere: Path) -> None:
    del elsewhere
    os.mkfifo(path)


@pytest.mark.parametrize("make", [_as_symlink, _as_directory, _as_pipe])
def test_what_is_no_plain_file_is_not_read(make: Callable[[Path, Path], None], tmp_path: Path) -> None:
    sealed(tmp_path)
    path = file_of(tmp_path)
    path.rename(tmp_path / "elsewhere")
    make(path, tmp_path / "elsewhere")
    assert Sealed(tmp_path / "cache").read("one") is None


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = Sealed(tmp_path / "file" / "cache")
    store.write("one", b"what is kept")
    assert store.read("one") is None


def test_content_of_another_shape_is_dropped(tmp_path: Path) -> None:
    store = sealed(tmp_path)
    assert store.decoded("one", dict[str, int]) == {}
    assert store.dropped == 1
    assert not file_of(tmp_path).exists()


def test_what_nobody_used_for_a_month_goes(tmp_path: Path) -> None:
    store = sealed(tmp_path)
    store.write("two", b"newer")
    old = time.time() - 40 * 86400
    os.utime(file_of(tmp_path), (old, old))
    store.write("two", b"newest")
    assert (store.read("one"), store.read("two")) == (None, b"newest")


def _files(tmp_path: Path) -> KnownFiles:
    return KnownFiles(Sealed(tmp_path / "cache"), "files")


def _settled(path: Path, data: bytes) -> os.stat_result:
    """Write a file as if that had been a while ago; its ctime can't be set, so the clock of the memory is moved instead."""
    path.write_bytes(data)
    os.utime(path, ns=(1_000_000_000_000_000_000, 1_000_000_000_000_000_000))
    return path.lstat()


def test_an_unchanged_file_is_not_read_again_and_a_changed_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = _settled(tmp_path / "a", b"1")
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + 2 * RACY)
    first = _files(tmp_path)
    first.put("a", status, "f" * 40)
    first.save()
    again = _files(tmp_path)
    assert again.get("a", status) == "f" * 40
    assert again.get("b", status) is None
    assert again.get("a", _settled(tmp_path / "a", b"2")) is None


def test_a_file_that_was_just_written_is_read_again_since_it_may_change_within_the_same_tick(tmp_path: Path) -> None:
    first = _files(tmp_path)
    (tmp_path / "a").write_bytes(b"1")
    first.put("a", (tmp_path / "a").lstat(), "f" * 40)
    first.save()
    assert _files(tmp_path).get("a", (tmp_path / "a").lstat()) is None


def test_remembered_manifests_are_the_ones_that_were_read(tmp_path: Path) -> None:
    tree, layout = DirectoryTree(EXAMPLE), Layout()
    paths = [path for path in tree.entries if is_manifest(path, layout)]
    first = KnownManifests(Sealed(tmp_path / "cache"), "manifests")
    assert [first.read(tree, path, layout).documents for path in paths] == [read_file(tree, path, layout).documents for path in paths]
    first.save()
    again = KnownManifests(Sealed(tmp_path / "cache"), "manifests")
    for path in paths:
        known, read = again.read(tree, path, layout), read_file(tree, path, layout)
        assert (known.documents, known.findings) == (read.documents, read.findings)
    assert (again.reused, again.read_anew) == (len(paths), 0)


def test_a_manifest_with_findings_is_read_each_time(tmp_path: Path) -> None:
    tree = MemoryTree({"tenants/shop/a.yaml": AGENT.replace(b"spec: {}", b"spec: {colour: red}")})
    for _ in range(2):
        known = KnownManifests(Sealed(tmp_path / "cache"), "manifests")
        assert known.read(tree, "tenants/shop/a.yaml", Layout()).refused
        assert known.reused == 0
        known.save()


def test_a_file_that_is_saved_between_listing_and_reading_is_not_kept_under_its_old_id(tmp_path: Path) -> None:
    (tmp_path / "tenants").mkdir()
    (tmp_path / "tenants" / "a.yaml").write_bytes(AGENT)
    listed = DirectoryTree(tmp_path)
    old = listed.entries["tenants/a.yaml"]
    late = MemoryTree({"tenants/a.yaml": AGENT.replace(b"web-01", b"web-02")})
    known = KnownManifests(Sealed(tmp_path / "cache"), "manifests")
    assert late.entries["tenants/a.yaml"].oid != old.oid
    stale = _Stale(listed, late)
    [document] = known.read(stale, "tenants/a.yaml", Layout()).documents
    assert document.name is not None
    assert document.name.name == "web-02"
    known.save()
    again = KnownManifests(Sealed(tmp_path / "cache"), "manifests")
    [document] = again.read(listed, "tenants/a.yaml", Layout()).documents
    assert document.name is not None
    assert document.name.name == "web-01"


def test_what_several_processes_read_is_what_one_reads(tmp_path: Path) -> None:
    agents = {f"tenants/shop/{number:04}.yaml": AGENT.replace(b"web-01", b"web-%d" % number) for number in range(2 * CHUNK + 7)}
    odd = {"tenants/shop/0100.yaml": b"spec: [", "tenants/shop/0150.yaml": AGENT.replace(b"spec: {}", b"spec: {colour: red}")}
    tree, layout = MemoryTree(agents | odd), Layout()
    known = KnownManifests(Sealed(tmp_path / "cache"), "manifests")
    with known.ahead(tree, tree.entries, layout, processes=2):
        found = {path: known.read(tree, path, layout) for path in sorted(tree.entries)}
    alone = {path: read_content(path, tree.read(path), layout, oid=blob_id(tree.read(path))) for path in sorted(tree.entries)}
    assert found == alone
    assert (known.reused, known.read_anew) == (0, len(agents))
    known.save()
    again = KnownManifests(Sealed(tmp_path / "cache"), "manifests")
    assert {path: again.read(tree, path, layout) for path in sorted(tree.entries)} == alone
    assert (again.reused, again.read_anew) == (len(agents) - len(odd), len(odd))


def test_a_reading_process_that_dies_costs_time_and_no_finding(tmp_path: Path) -> None:
    tree, layout = MemoryTree({f"tenants/shop/{number:04}.yaml": AGENT for number in range(3 * CHUNK)}), Layout()
    here = os.getpid()

    def read(path: str) -> tuple[str, bytes]:
        if path.endswith("0150.yaml") and os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return path, b"\xc0"

    with Ahead(sorted(tree.entries), read, processes=2) as ahead:
        assert [len(entries) for entries in ahead] == [CHUNK]
    known = KnownManifests(Sealed(tmp_path / "cache"), "manifests")
    with known.ahead(tree, tree.entries, layout, processes=2) as ahead:
        for child in ahead.children:
            os.kill(child, signal.SIGKILL)
        assert [known.read(tree, path, layout).findings for path in sorted(tree.entries)] == [()] * 3 * CHUNK


def test_few_files_are_read_by_this_process_alone() -> None:
    with Ahead([f"{number}.yaml" for number in range(CHUNK)], lambda path: (path, b"")) as ahead:
        assert (ahead.children, list(ahead)) == ((), [])


def _item(oid: str = "f" * 40, **more: object) -> ObjectItem:
    [document] = read_file(MemoryTree({"tenants/a.yaml": AGENT}), "tenants/a.yaml", Layout(), oid=oid).documents
    return ObjectItem(document=document, **more)  # type: ignore[arg-type]


def test_answers_hold_for_the_same_manifest_its_old_version_and_sources_only(tmp_path: Path) -> None:
    found = {"r/r": [{"code": "", "path": [], "message": "found"}]}
    first = KnownAnswers(Sealed(tmp_path / "cache"), "answers")
    assert first.empty
    assert first.get(object_key(_item())) is None
    first.put(object_key(_item()), found)
    first.put(object_key(_item("0" * 40)), {})
    first.put(object_key(_item("")), found)
    assert first.get(object_key(_item("0" * 40))) == {}
    first.save()
    again = KnownAnswers(Sealed(tmp_path / "cache"), "answers")
    assert again.get(object_key(_item())) == found
    assert again.get(object_key(_item("0" * 40))) == {}
    others = [_item(old={}), _item(sources={"files/a": "b"}), _item("1" * 40), _item("")]
    assert [again.get(object_key(one)) for one in others] == [None] * 4


def test_who_asks_little_leaves_what_others_will_ask(tmp_path: Path) -> None:
    first = KnownAnswers(Sealed(tmp_path / "cache"), "answers")
    for number in range(100):
        assert first.get(f"all {number}") is None
        first.put(f"all {number}", {})
    first.save()
    few = KnownAnswers(Sealed(tmp_path / "cache"), "answers")
    assert few.get("one more") is None
    few.put("one more", {})
    few.save()
    again = KnownAnswers(Sealed(tmp_path / "cache"), "answers")
    assert [again.get(key) for key in ("one more", *(f"all {number}" for number in range(100)))] == [{}] * 101


def test_answers_about_releases_hold_for_the_same_input_and_rules_only() -> None:
    seen: dict[str, object] = {"release": {"groups": {"a": 1}}, "old": None}
    others = [{**seen, "release": {"groups": {"a": 1.0}}}, {**seen, "release": {"groups": {"a": True}}}, {**seen, "old": {}}]
    assert len({input_key(one, rules) for one in (seen, *others) for rules in ("r", "s")}) == 8
    assert input_key({"release": {"groups": {"a": 1}}, "old": None}, "r") == input_key(seen, "r")
    deep: list[object] = []
    for _ in range(sys.getrecursionlimit() * 10):
        deep = [deep]
    assert not input_key({"release": deep}, "r")


def _rule(name: str, *, reads_change: bool) -> Rule:
    return Rule(
        id=name,
        path=("rules", "r", name),
        scope="object",
        severity="deny",
        code="r/r",
        title="",
        description="",
        remedy="",
        file="",
        reads_change=reads_change,
    )


def test_what_rules_had_trouble_with_or_depends_on_the_change_is_not_learnt(tmp_path: Path) -> None:
    rules = {"still": _rule("still", reads_change=False), "moved": _rule("moved", reads_change=True)}
    answers = KnownAnswers(Sealed(tmp_path / "cache"), "answers")
    fresh = [
        Answer(number=0, rule="still", findings=[1]),
        Answer(number=0, rule="moved", findings=[2]),
        Answer(number=1, rule="still", trouble="no answer within 2 s", code="timeout"),
    ]
    keys = [object_key(_item("a" * 40)), object_key(_item("b" * 40))]
    learn(answers, keys, [answers.get(key) for key in keys], fresh, rules)
    known = [answers.get(key) for key in keys]
    assert known == [{"still": [1]}, None]
    assert told(known) == [Answer(number=0, rule="still", findings=[1])]


def test_remembered_places_are_the_ones_that_were_found(tmp_path: Path) -> None:
    places = [Place(file="a", pointer=("metadata", "name")), Place(file="a", pointer=("spec", "x"), at_key=True), Place(file="a", line=2)]
    first = KnownPlaces(Sealed(tmp_path / "cache"), "places")
    expected = [find(AGENT, place) for place in places]
    assert [first.find(AGENT, place) for place in places] == expected
    first.save()
    again = KnownPlaces(Sealed(tmp_path / "cache"), "places")
    assert [again.find(AGENT, place) for place in places] == expected
    assert again.find(b"# moved\n" + AGENT, places[0]).line == expected[0].line + 1


class _Stale:
    """Lists what one snapshot has, and reads what another has: a file that was saved in between."""

    def __init__(self, listed: DirectoryTree, read: MemoryTree) -> None:
        self.entries, self.read = listed.entries, read.read
