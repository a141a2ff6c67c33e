"""Blocks of lines in files that others write too: the rest stays byte for byte, and damaged marks are never guessed about."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.host import Host
from agent.protocol.errors import RefusedError
from agent.protocol.state import HostFile
from agent.providers import blocks, host_files, texts
from agent.providers.blocks import DamagedError

PIECES = (b"a", b"\n", b"\r\n", b"\r", b"\xff", b"# ", b"ordain:", b"ordain:other begin", b"# ordain:other end\n", b"# ordain:x begun\n")
around = st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join)
contents = st.lists(st.sampled_from(("10.0.0.1 db", "", "# note", "é", "ordain:", "a\rb")), max_size=4).map("\n".join)


@given(around, contents)
def test_a_block_that_is_put_in_and_taken_out_again_leaves_every_byte_as_it_was(text: bytes, content: str) -> None:
    put = blocks.with_block(text, name="x", comment="#", content=content)
    assert put.startswith(text)
    assert blocks.without_block(put, name="x") == text


@given(around, contents, contents)
def test_a_block_is_put_in_once_and_changed_where_it_stands(text: bytes, old: str, new: str) -> None:
    put = blocks.with_block(text, name="x", comment="#", content=old)
    followed = put + b"more\n" if put.endswith(b"\n") else put
    changed = blocks.with_block(followed, name="x", comment=";", content=new)
    assert blocks.with_block(changed, name="x", comment=";", content=new) == changed
    assert changed.startswith(text)
    assert blocks.without_block(changed, name="x") == blocks.without_block(followed, name="x")


@pytest.mark.parametrize(
    ("text", "result"),
    [
        (b"", b"# ordain:x begin\na\nb\n# ordain:x end\n"),
        (b"1\n", b"1\n# ordain:x begin\na\nb\n# ordain:x end\n"),
        (b"1", b"1\n# ordain:x begin\na\nb\n# ordain:x end"),
        (b"1\r\n2", b"1\r\n2\r\n# ordain:x begin\r\na\r\nb\r\n# ordain:x end"),
        (b"# ordain:x begin\nold\n# ordain:x end\n2\n", b"# ordain:x begin\na\nb\n# ordain:x end\n2\n"),
    ],
)
def test_lines_end_as_those_of_the_file_do(text: bytes, result: bytes) -> None:
    assert blocks.with_block(text, name="x", comment="#", content="a\r\nb\n") == result


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"1\n# ordain:x begin\n2\n", "begins at line 2 and has no end"),
        (b"1\n# ordain:x end\n", "ends at line 2 without a beginning"),
        (b"# ordain:x begin\n# ordain:x begin\n# ordain:x end\n", "begins at line 1, but line 2 is not its end"),
        (b"# ordain:x begin\n# ordain:y end\n# ordain:x end\n", "begins at line 1, but line 2 is not its end"),
        (b"# ordain:x begin\n# ordain:x end\n1\n; ordain:x begin\n; ordain:x end\n", "stands there twice, again at line 4"),
    ],
)
def test_damaged_marks_are_refused_with_their_line(text: bytes, why: str) -> None:
    with pytest.raises(DamagedError, match=why):
        blocks.with_block(text, name="x", comment="#", content="")
    with pytest.raises(DamagedError, match=why):
        blocks.without_block(text, name="x")


def test_content_that_would_read_as_a_mark_is_refused() -> None:
    with pytest.raises(RefusedError, match="is a mark of ordain's itself"):
        blocks.with_block(b"", name="x", comment="#", content="a\n// ordain:other end")


# In files


def applied(host: Host, wanted: list[HostFile], former: list[HostFile]) -> list[str]:
    """Carry fixes out, see that none is left, and return what they were."""
    fixes = host_files.fixes(wanted, former, host=host, tenant="shop", agent="web-01")
    for fix in fixes:
        fix.carry_out()
    assert host_files.fixes(wanted, former, host=host, tenant="shop", agent="web-01") == []
    return [why for fix in fixes for why in fix.why]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    (tmp_path / "etc").mkdir()
    return Host(tmp_path)


def block(content: str = "", *, name: str = "x", path: str = "/etc/hosts", absent: bool = False) -> HostFile:
    return HostFile(name=name, path=path, content=content, absent=absent)


entries = st.builds(
    HostFile,
    name=st.sampled_from(("x", "y")),
    path=st.sampled_from(("/etc/hosts", "/etc/environment")),
    content=contents,
    absent=st.booleans(),
)
lists = st.lists(entries, max_size=4, unique_by=lambda entry: (entry.path, entry.name))


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from(("hosts", "environment")), around), lists, lists)
def test_after_the_fixes_of_any_two_releases_there_are_none_and_other_lines_are_as_they_were(
    files: dict[str, bytes], first: list[HostFile], second: list[HostFile]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        host = Host(Path(directory))
        host.outside("/etc").mkdir()
        for name, content in files.items():
            host.outside(f"/etc/{name}").write_bytes(content)
        applied(host, first, [])
        applied(host, second, first)
        applied(host, [], second)
        for name, content in files.items():
            assert host.outside(f"/etc/{name}").read_bytes() == content


def test_a_block_comes_changes_and_goes_with_the_files_mode_kept(host: Host) -> None:
    hosts = host.outside("/etc/hosts")
    hosts.write_bytes(b"127.0.0.1 localhost")
    hosts.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(hosts, 12, 13)
    before = hosts.stat()
    first, second = [block("10.0.0.1 ${agent.name}"), block("b", name="y")], [block("10.0.0.2 db")]
    assert applied(host, first, []) == ["block x of /etc/hosts is not there", "block y of /etc/hosts is not there"]
    assert b"10.0.0.1 web-01\n" in hosts.read_bytes()
    assert applied(host, second, first) == ["block y of /etc/hosts stands there, and should not", "block x of /etc/hosts has other lines"]
    assert applied(host, [block(absent=True)], second) == ["block x of /etc/hosts stands there, and should not"]
    assert hosts.read_bytes() == b"127.0.0.1 localhost"
    after = hosts.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert sorted(path.name for path in hosts.parent.iterdir()) == ["hosts"]


def test_a_file_that_is_not_there_is_made_and_stays_when_its_block_goes(host: Host) -> None:
    wanted = [block("a", path="/etc/environment")]
    applied(host, wanted, [])
    applied(host, [], wanted)
    assert host.outside("/etc/environment").read_bytes() == b""
    assert applied(host, [block(path="/etc/none", absent=True)], []) == []


def test_a_link_a_directory_a_large_file_and_damaged_marks_are_refused_by_name(host: Host) -> None:
    host.outside("/etc/resolv.conf").symlink_to("../run/resolv.conf")
    host.outside("/etc/d").mkdir()
    host.outside("/etc/large").write_bytes(b"a" * (texts.LIMIT + 1))
    host.outside("/etc/damaged").write_bytes(b"1\n# ordain:x begin\n")
    expected = {
        "/etc/resolv.conf": "/etc/resolv.conf is a symlink to ../run/resolv.conf, and a link is not followed",
        "/etc/d": "/etc/d is a directory",
        "/etc/large": "/etc/large has more than 1024 KiB",
        "/etc/damaged": "/etc/damaged: block x begins at line 2 and has no end",
        "/none/hosts": "/none/hosts: its directory is not there",
    }
    for path, why in expected.items():
        with pytest.raises(RefusedError, match=why):
            host_files.fixes([block("a", path=path)], [], host=host, tenant="shop", agent="web-01")


def test_what_somebody_else_writes_at_the_same_time_is_not_lost(host: Host) -> None:
    hosts = host.outside("/etc/hosts")
    hosts.write_bytes(b"1\n")
    (fix,) = host_files.fixes([block("a")], [], host=host, tenant="shop", agent="web-01")
    hosts.write_bytes(b"1\n2\n")
    fix.carry_out()
    assert hosts.read_bytes() == b"1\n2\n# ordain:x begin\na\n# ordain:x end\n"
