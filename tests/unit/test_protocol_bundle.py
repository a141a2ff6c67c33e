"""Bundles: their bytes, their digest, and what an agent refuses before it reads them."""

import gzip
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol import bundle, codec
from agent.protocol.errors import MalformedError
from agent.protocol.state import Artifact, ArtifactSource, File, Probe, State

states = st.builds(
    State,
    files=st.lists(st.builds(File, path=st.text(min_size=1), content=st.none() | st.text(), mode=st.none() | st.just("0644")), max_size=3),
    artifacts=st.lists(
        st.builds(
            Artifact,
            name=st.text(),
            path=st.text(),
            platforms=st.dictionaries(st.text(), st.builds(ArtifactSource, url=st.text(), sha256=st.text()), max_size=2),
        ),
        max_size=2,
    ),
    probes=st.lists(st.builds(Probe, name=st.text(), failures=st.integers(1, 9)), max_size=2),
    drift=st.sampled_from(["enforce", "report"]),
)
groups = st.builds(
    bundle.Group, base=states, modes=st.lists(st.builds(bundle.Mode, name=st.text(), at_most=st.just("4h"), state=states), max_size=2)
)
bundles = st.builds(bundle.Bundle, format=st.just(1), fleet=st.just("shop/web"), groups=st.dictionaries(st.text(), groups, max_size=3))
SMALL = bundle.encode(
    bundle.Bundle(format=1, fleet="shop/web", groups={"g": bundle.Group(base=State(files=[File(path="/x", content="x")]))})
)
DIGEST = codec.sha256(SMALL)


@given(bundles)
def test_what_is_packed_is_unpacked_to_the_same(made: bundle.Bundle) -> None:
    data = bundle.encode(made)
    assert bundle.unpack(bundle.pack(data), digest=codec.sha256(data)) == made


def test_packing_twice_gives_the_same_bytes_without_times_or_owners() -> None:
    assert bundle.pack(SMALL) == bundle.pack(SMALL)
    with tarfile.open(fileobj=io.BytesIO(bundle.pack(SMALL))) as archive:
        assert [(one.name, one.mtime, one.uid, one.uname) for one in archive] == [(".manifest", 0, 0, ""), ("data.json", 0, 0, "")]


@given(st.binary(max_size=300))
def test_hostile_bytes_raise_one_family_of_errors(data: bytes) -> None:
    for packed in (data, gzip.compress(data), bundle.pack(SMALL)[: len(data)]):
        with pytest.raises(MalformedError):
            bundle.unpack(packed, digest=DIGEST)


@given(st.integers(0), st.integers(0, 7))
def test_a_flipped_bit_in_the_archive_never_reads_as_something_else(position: int, bit: int) -> None:
    raw = bytearray(gzip.decompress(bundle.pack(SMALL)))
    raw[position % len(raw)] ^= 1 << bit
    try:
        found = bundle.unpack(gzip.compress(bytes(raw)), digest=DIGEST)
    except MalformedError:
        return
    assert bundle.encode(found) == SMALL


def packed(*entries: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:  # noqa: A002 - as tarfile calls it
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=format) as archive:
        for entry, data in entries:
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(raw.getvalue())


def manifest(revision: str = DIGEST) -> bytes:
    return codec.canonical({"revision": revision, "roots": ["ordain"]})


def test_other_entries_links_and_another_revision_are_refused() -> None:
    first, data = (tarfile.TarInfo(".manifest"), manifest()), (tarfile.TarInfo("data.json"), SMALL)
    assert bundle.unpack(packed(first, data), digest=DIGEST).fleet == "shop/web"
    link = tarfile.TarInfo("data.json")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/shadow"
    hostile = [
        packed(first),
        packed(data, first),
        packed(first, data, (tarfile.TarInfo("more"), b"x")),
        packed(first, (link, b"")),
        packed((tarfile.TarInfo(".manifest"), manifest("0" * 64)), data),
        packed((tarfile.TarInfo(".manifest"), b'{"revision":1}'), data),
        packed(first, data) + b"more",
        packed(first, data)[:-4],
    ]
    for one in hostile:
        with pytest.raises(MalformedError):
            bundle.unpack(one, digest=DIGEST)


def test_a_sparse_entry_that_claims_an_enormous_size_is_refused_unread() -> None:
    sparse = tarfile.TarInfo("data.json")
    sparse.pax_headers = {
        "GNU.sparse.size": str(1 << 50),
        "GNU.sparse.map": "0,1",
        "GNU.sparse.numblocks": "1",
        "GNU.sparse.name": "data.json",
    }
    with pytest.raises(MalformedError, match="nothing else"):
        bundle.unpack(packed((tarfile.TarInfo(".manifest"), manifest()), (sparse, b"x")), digest=DIGEST)


def test_a_decompression_bomb_is_stopped_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "UNPACKED_LIMIT", 1 << 20)
    with pytest.raises(MalformedError, match="when unpacked"):
        bundle.unpack(gzip.compress(bytes(2 << 20)), digest=DIGEST)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (bundle.Bundle(format=2, fleet="shop/web", groups={}), "upgrade ordain"),
        (bundle.Bundle(format=1, fleet="shop/web", groups={f"g{n}": bundle.Group(base=State()) for n in range(1001)}), "1001 groups"),
    ],
)
def test_an_unknown_format_and_too_many_groups_are_refused(made: bundle.Bundle, why: str) -> None:
    data = bundle.encode(made)
    with pytest.raises(MalformedError, match=why):
        bundle.decode(data, digest=codec.sha256(data))


def test_another_digest_is_refused_before_anything_is_read() -> None:
    with pytest.raises(MalformedError, match="another digest"):
        bundle.decode(b"not even JSON", digest=DIGEST)


def test_what_fits_is_what_hosts_can_unpack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "COMPRESSED_LIMIT", 200)
    assert bundle.fits(SMALL) == (len(bundle.pack(SMALL)) <= 200)
    monkeypatch.setattr(bundle, "DATA_LIMIT", len(SMALL) - 1)
    assert not bundle.fits(SMALL)


def test_a_bundle_is_named_by_its_fleet_and_digest() -> None:
    assert bundle.target("web", "ab") == "bundles/web-ab.tar.gz"
