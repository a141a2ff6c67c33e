"""Archives that come from strangers: what is unpacked, what is refused, and that nothing else ever happens."""

import contextlib
import io
import os
import struct
import tarfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.archives import entries
from agent.archives.entries import BYTES_LIMIT, ArchiveError, Form
from agent.archives.trees import Builder
from agent.archives.unpack import unpack
from agent.protocol.errors import RetryError
from tests.archive_cases import FORMS, checksummed, member, packed, release, tar, tree, zipped
from tests.fuzz.targets import Sink

NOBODY = (None, None)
TARS: tuple[Form, ...] = ("tar.gz", "tar.zst")
LINK, HARD, DIRECTORY = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE


def unpacked(data: bytes, form: Form, into: Path, *, limit: int = BYTES_LIMIT) -> dict[str, str]:
    """Unpack into a directory that is made for it, and return what is in it."""
    into.mkdir()
    descriptor = os.open(into, os.O_RDONLY | os.O_DIRECTORY)
    try:
        unpack(io.BytesIO(data), form, Builder(descriptor, NOBODY), limit=limit)
    finally:
        os.close(descriptor)
    return tree(into)


@pytest.mark.parametrize("form", FORMS)
def test_owners_and_modes_are_the_releases_and_not_the_archives(form: Form, tmp_path: Path) -> None:
    assert unpacked(release("one", form), form, tmp_path / "x") == {
        "bin": "0755 directory",
        "bin/tool": "0755 #!/bin/sh\necho one\n",
        "etc": "0755 directory",
        "etc/only-one": "0644 x",
        "etc/tool.conf": "0644 one",
        "tool": "-> bin/tool",
    }


@pytest.mark.parametrize("writer", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_long_names_are_read_as_every_writer_writes_them(writer: int, tmp_path: Path) -> None:
    name = "/".join(["d" * 40] * 5)
    target = ("d" * 40 + "/") * 2 + "x"
    archive = tar((member(name), b"deep"), member("link", LINK, target=target), form=writer)
    found = unpacked(packed(archive), "tar.gz", tmp_path / "x")
    assert found[name] == "0644 deep"
    assert found["link"] == f"-> {target}"


def test_a_name_beyond_ascii_arrives_as_it_was_written(tmp_path: Path) -> None:
    archive = tar((member("Grüße/日本" + "x" * 100), b"hello"))
    assert "Grüße/日本" + "x" * 100 in unpacked(packed(archive), "tar.gz", tmp_path / "x")
    assert unpacked(zipped({"Grüße": b"hello"}), "zip", tmp_path / "y") == {"Grüße": "0644 hello"}


def test_a_hard_link_is_a_second_name_of_the_file(tmp_path: Path) -> None:
    archive = tar((member("a"), b"content"), member("b/c", HARD, target="a"))
    unpacked(packed(archive), "tar.gz", tmp_path / "x")
    assert (tmp_path / "x/a").samefile(tmp_path / "x/b/c")


def test_links_may_go_up_and_through_others_as_long_as_they_stay_inside(tmp_path: Path) -> None:
    archive = tar(
        (member("a/b/file"), b"x"),
        member("a/up", LINK, target="../a/./b"),
        member("top", LINK, target="a/up/../../a/up/file"),
        member("loop-free", LINK, target="nothing-there"),
        member("self", LINK, target="."),
    )
    found = unpacked(packed(archive), "tar.gz", tmp_path / "x")
    assert found["top"] == "-> a/up/../../a/up/file"


def test_several_compressed_streams_are_one_as_parallel_compressors_write_them(tmp_path: Path) -> None:
    plain = tar((member("a"), b"x" * 3000))
    for form in TARS:
        data = packed(plain[:1000], form) + packed(plain[1000:], form)
        assert set(unpacked(data, form, tmp_path / form)) == {"a"}


def _pax(**records: str) -> tarfile.TarInfo:
    info = member("file")
    info.pax_headers = {name.replace("_", "."): value for name, value in records.items()}
    return info


REFUSED_TARS: dict[str, tuple[bytes, str]] = {
    "an absolute name": (tar((member("/etc/passwd"), b"x")), "absolute or not normal"),
    "a name that climbs": (tar((member("a/../../b"), b"x")), "absolute or not normal"),
    "an empty part": (tar((member("a//b"), b"x")), "absolute or not normal"),
    "control characters": (tar((member("a\nb"), b"x")), "control characters"),
    "not UTF-8": (tar((member("a\udcff"), b"x"), form=tarfile.GNU_FORMAT), "not UTF-8"),
    "a character device": (tar(member("x", tarfile.CHRTYPE)), "a device"),
    "a block device": (tar(member("x", tarfile.BLKTYPE)), "a device"),
    "a pipe": (tar(member("x", tarfile.FIFOTYPE)), "a pipe"),
    "a sparse file": (tar(member("x", tarfile.GNUTYPE_SPARSE)), "a sparse file"),
    "a pax sparse file": (tar(_pax(GNU_sparse_major="1")), "a sparse file"),
    "an unknown type": (tar(member("x", b"Z")), "unknown type"),
    "a link to an absolute path": (tar(member("x", LINK, target="/etc")), "absolute"),
    "a link to nowhere": (tar(member("x", LINK, target="")), "empty"),
    "a link that climbs": (tar(member("a/x", LINK, target="../../b")), "leads out"),
    "a link that climbs through another": (
        tar(member("a/b/c/up", LINK, target="../../.."), member("a/b/c/out", LINK, target="up/../x")),
        "leads out",
    ),
    "links in a circle": (tar(member("a", LINK, target="b"), member("b", LINK, target="a")), "too many others"),
    "a file below a link": (tar(member("a", LINK, target="b"), (member("a/x"), b"x")), "below 'a', which is a symlink"),
    "a file below a file": (tar((member("a"), b""), (member("a/x"), b"x")), "below 'a', which is a file"),
    "a link in the place of a directory": (tar((member("a/x"), b"x"), member("a", LINK, target="b")), "twice"),
    "a hard link to what is not there": (tar(member("x", HARD, target="later"), (member("later"), b"x")), "no file before it"),
    "a hard link that climbs": (tar(member("x", HARD, target="../etc/shadow")), "absolute or not normal"),
    "a hard link to a link": (tar(member("a", LINK, target="b"), member("x", HARD, target="a")), "no file before it"),
    "a name twice": (tar((member("a"), b"1"), (member("a"), b"2")), "twice"),
    "a directory twice": (tar(member("a", DIRECTORY), member("a/", DIRECTORY)), "twice"),
    "two names that differ in case": (tar((member("README"), b"1"), (member("readme"), b"2")), "where case does not count"),
    "two directories that differ in case": (tar((member("A/x"), b"1"), (member("a/y"), b"2")), "where case does not count"),
    "two spellings of one name": (tar((member("\u00e9"), b"1"), (member("e\u0301"), b"2")), "where case does not count"),
    "a part too long": (tar((member("a" * 256), b"x")), "longer than"),
    "too deep": (tar((member("d/" * 60 + "x"), b"x")), "deeper than"),
    "a name too long": (tar((member(("d" * 200 + "/") * 6 + "x"), b"x")), "longer than"),
    "a huge extended header": (tar(_pax(comment="x" * 20_000)), "an extended header of"),
    "something after its end": (tar((member("a"), b"x")) + tar((member("b"), b"x")), "something after its end"),
    "no end": (tar((member("a"), b"x"))[:1024], "ends in the middle"),
    "no tar": (b"\x7fELF" * 512, "not tar, or damaged"),
    "nothing": (b"", "ends in the middle"),
}


@pytest.mark.parametrize("name", REFUSED_TARS)
def test_a_tar_is_refused_with(name: str, tmp_path: Path) -> None:
    plain, why = REFUSED_TARS[name]
    with pytest.raises(ArchiveError, match=why):
        unpacked(packed(plain), "tar.gz", tmp_path / "x")
    assert [path for path in tmp_path.iterdir() if path.name != "x"] == []


def _edited(data: bytes, old: bytes, new: bytes) -> bytes:
    assert data.count(old) == 1, data.count(old)
    return data.replace(old, new)


def _in_central(data: bytes, offset: int, form: str, value: int) -> bytes:
    place = data.index(b"PK\1\2") + offset
    return data[:place] + struct.pack(form, value) + data[place + struct.calcsize(form) :]


ONE = zipped({"name": b"content"})
REFUSED_ZIPS: dict[str, tuple[bytes, str]] = {
    "an absolute name": (zipped({"/etc/passwd": b"x"}), "absolute or not normal"),
    "a name that climbs": (zipped({"../x": b"x"}), "absolute or not normal"),
    "a link that climbs": (zipped({}, links={"a": "../b"}), "leads out"),
    "a link of megabytes": (zipped({}, links={"a": "x" * 5000}), "leads to 5000 bytes"),
    "another name than before its content": (_in_central(zipped({"A": b"1", "b": b"2"}), 46, "<B", ord("b")), "another name there"),
    "two names that differ in case": (zipped({"A": b"1", "a": b"2"}), "where case does not count"),
    "a device": (_in_central(ONE, 38, "<L", 0o020666 << 16), "a device, pipe or socket"),
    "encryption": (_in_central(ONE, 8, "<H", 1), "encrypted"),
    "an unknown way of packing": (_in_central(ONE, 10, "<H", 12), "packed in a way that is not read"),
    "another size than it has": (_in_central(ONE, 24, "<L", 3), "size or checksum"),
    "another checksum than it has": (_in_central(ONE, 16, "<L", 3), "size or checksum"),
    "a content outside the file": (_in_central(ONE, 20, "<L", 70_000), "lies outside"),
    "zip64": (_in_central(ONE, 24, "<L", 0xFFFFFFFF), "lies outside"),
    "something before it": (b"#!/bin/sh\n" + ONE, "before its beginning"),
    "something after it": (ONE + b"x", "after its end"),
    "no end": (ONE[:-10], "its end is not where"),
    "nothing": (b"", "no zip file"),
    "damage": (_edited(ONE, zipped({"name": b"content"})[34:41], b"\xff" * 7), "damaged|cut short|size or checksum"),
}


@pytest.mark.parametrize("name", REFUSED_ZIPS)
def test_a_zip_is_refused_with(name: str, tmp_path: Path) -> None:
    data, why = REFUSED_ZIPS[name]
    with pytest.raises(ArchiveError, match=why):
        unpacked(data, "zip", tmp_path / "x")


@pytest.mark.parametrize("form", FORMS)
def test_a_bomb_ends_at_the_declared_size_whatever_its_headers_claim(form: Form, tmp_path: Path) -> None:
    zeros = bytes(4 * 1024 * 1024)
    data = zipped({"zeros": zeros}) if form == "zip" else packed(tar((member("zeros"), zeros)), form)
    assert len(data) < 50_000
    with pytest.raises(ArchiveError, match="state `unpackedSize`"):
        unpacked(data, form, tmp_path / "x", limit=len(zeros) - 1)
    assert set(unpacked(data, form, tmp_path / "y", limit=len(zeros))) == {"zeros"}


def test_a_zip_that_claims_less_than_it_inflates_to_is_stopped_there(tmp_path: Path) -> None:
    data = _in_central(zipped({"zeros": bytes(8 * 1024 * 1024)}), 24, "<L", 1000)
    with pytest.raises(ArchiveError, match="size or checksum"):
        unpacked(data, "zip", tmp_path / "x")
    assert (tmp_path / "x/zeros").stat().st_size <= 1000


def test_entries_are_counted_with_the_directories_that_they_imply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "ENTRIES_LIMIT", 6)
    assert len(unpacked(packed(tar((member("a/b/c"), b""), (member("d/e/f"), b""))), "tar.gz", tmp_path / "x")) == 6
    with pytest.raises(ArchiveError, match="more than 6 entries"):
        unpacked(packed(tar((member("a/b/c"), b""), (member("d/e/f/g"), b""))), "tar.gz", tmp_path / "y")


@pytest.mark.parametrize("form", FORMS)
def test_what_is_refused_for_its_last_entry_has_written_nothing(form: Form, tmp_path: Path) -> None:
    data = zipped({"a": b"x", "../b": b"x"}) if form == "zip" else packed(tar((member("a"), b"x"), (member("../b"), b"x")), form)
    with pytest.raises(ArchiveError, match="not normal"):
        unpacked(data, form, tmp_path / "x")
    assert not list((tmp_path / "x").iterdir())


@pytest.mark.parametrize("form", TARS)
@pytest.mark.parametrize("damage", ["cut", "flipped", "followed by junk"])
def test_a_stream_that_is_damaged_is_told_from_a_short_one(form: Form, damage: str, tmp_path: Path) -> None:
    data = packed(tar((member("a"), os.urandom(20_000))), form)
    flipped = data[:5000] + bytes([data[5000] ^ 1]) + data[5001:]
    spoilt = {"cut": data[:-3], "flipped": flipped, "followed by junk": data + b"junk"}[damage]
    with pytest.raises(ArchiveError):
        unpacked(spoilt, form, tmp_path / "x")


def test_a_zstd_window_larger_than_memory_should_be_is_refused(tmp_path: Path) -> None:
    from backports import zstd  # noqa: PLC0415

    level = {int(zstd.CompressionParameter.window_log): 30, int(zstd.CompressionParameter.enable_long_distance_matching): 1}
    compressor = zstd.ZstdCompressor(options=level)
    data = compressor.compress(tar((member("a"), b"x" * 10_000))) + compressor.flush()
    with pytest.raises(ArchiveError, match="damaged"):
        unpacked(data, "tar.zst", tmp_path / "x")


def test_unpacking_ends_when_the_agent_is_asked_to_stop(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    descriptor = os.open(tmp_path / "x", os.O_RDONLY)
    try:
        with pytest.raises(RetryError, match="stopped"):
            unpack(io.BytesIO(release("one", "zip")), "zip", Builder(descriptor, NOBODY), limit=BYTES_LIMIT, stopping=lambda: True)
    finally:
        os.close(descriptor)


SEEDS = {form: [release("one", form)] for form in FORMS}
PLAIN = tar(
    (member("dir/file", mode=0o755), b"content"),
    (_pax(path="dir/other"), b"more"),
    member("dir/link", LINK, target="file"),
    member("hard", HARD, target="dir/file"),
    (member("long" * 30), b""),
)


def _survives(data: bytes, form: Form) -> None:
    with contextlib.suppress(ArchiveError):
        unpack(io.BytesIO(data), form, Sink(), limit=1_000_000)


EDITS = st.lists(st.tuples(st.integers(0, 2**16), st.binary(max_size=12), st.integers(0, 12)), min_size=1, max_size=6)


def _mutated(data: bytes, edits: list[tuple[int, bytes, int]]) -> bytes:
    for place, inserted, removed in edits:
        at = place % (len(data) + 1)
        data = data[:at] + inserted + data[at + removed :]
    return data


@given(edits=EDITS)
@settings(max_examples=300)
def test_no_bytes_in_a_tar_raise_anything_but_its_own_error(edits: list[tuple[int, bytes, int]]) -> None:
    _survives(packed(_mutated(PLAIN, edits)), "tar.gz")
    _survives(packed(checksummed(_mutated(PLAIN, [(place, new, len(new)) for place, new, _ in edits]))), "tar.gz")


@given(form=st.sampled_from(FORMS), edits=EDITS)
@settings(max_examples=300)
def test_no_bytes_in_an_archive_raise_anything_but_its_own_error(form: Form, edits: list[tuple[int, bytes, int]]) -> None:
    _survives(_mutated(SEEDS[form][0], edits), form)


@given(data=st.binary(max_size=2000), form=st.sampled_from(FORMS))
def test_no_bytes_at_all_raise_anything_but_its_own_error(data: bytes, form: Form) -> None:
    _survives(data, form)
    _survives(zlib.compress(data, wbits=31), "tar.gz")
