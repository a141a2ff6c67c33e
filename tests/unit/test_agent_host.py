"""No path leads out of the root, whatever stands above it."""

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.host import EscapeError, Host, require_path
from agent.protocol.errors import RefusedError

OWN = (None, None)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    inside = tmp_path / "root"
    (inside / "usr/bin").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    return inside


def write(host: Host, path: str) -> None:
    host.stage(path, [b"x"], mode=0o644, owner=OWN, context=None)


@pytest.mark.parametrize("target", ["../outside", "/", "../../..", "usr/../../outside", "/usr/bin", "usr/bin/../../../outside"])
def test_a_link_out_of_the_root_is_refused_by_name(root: Path, target: str) -> None:
    (root / "link").symlink_to(target)
    host = Host(root)
    for attempt in (host.observe, host.remove, host.digest, host.entries, host.sync, lambda path: write(host, path)):
        with pytest.raises(EscapeError, match="/link"):
            attempt("/link/x")
    assert list((root.parent / "outside").iterdir()) == []


def test_a_chain_of_links_out_of_the_root_is_refused(root: Path) -> None:
    (root / "a").symlink_to("usr/b")
    (root / "usr/b").symlink_to("../../outside")
    with pytest.raises(EscapeError):
        write(Host(root), "/a/x")


def test_links_that_stay_inside_are_followed(root: Path) -> None:
    (root / "bin").symlink_to("usr/bin")
    (root / "whole").symlink_to(root.resolve() / "usr")
    host = Host(root)
    assert host.resolve("/bin/tool") == "/usr/bin/tool"
    assert host.resolve("/whole/bin/tool") == "/usr/bin/tool"
    write(host, "/bin/tool")
    assert (root / "usr/bin/tool").read_bytes() == b"x"


def test_links_in_a_circle_end(root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    with pytest.raises(EscapeError, match="too many links"):
        Host(root).observe("/a/x")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes links of other users")
def test_a_link_that_another_user_made_is_not_trusted(root: Path) -> None:
    (root / "home").symlink_to("usr")
    os.chown(root / "home", 65534, 65534, follow_symlinks=False)
    with pytest.raises(EscapeError, match="user 65534"):
        write(Host(root), "/home/x")


def test_the_last_component_is_never_followed(root: Path) -> None:
    secret = root.parent / "outside/secret"
    secret.write_text("secret")
    (root / "link").symlink_to(secret)
    host = Host(root)
    assert host.observe("/link").kind == "symlink"
    with pytest.raises(OSError, match="symbolic links"):
        host.digest("/link")
    with pytest.raises(OSError, match="symbolic links"):
        host.set_attributes("/link", mode=0o777, owner=OWN)
    write(host, "/staged")
    host.rename("/staged", "/link")
    assert secret.read_text() == "secret"
    assert (root / "link").read_text() == "x"


def test_a_staged_file_is_not_written_through_a_link_that_waits_there(root: Path) -> None:
    secret = root.parent / "outside/secret"
    secret.write_text("secret")
    (root / ".ordain-1").symlink_to(secret)
    with pytest.raises(FileExistsError):
        write(Host(root), "/.ordain-1")
    assert secret.read_text() == "secret"


def test_a_place_that_a_directory_will_take_counts_as_missing(root: Path) -> None:
    (root / "link").symlink_to("../outside")
    with Host(root).locate("/link/x", replacing=frozenset({"/link"})) as place:
        assert (place.nearest, place.missing, place.name) == ("/", ("link",), "x")


@pytest.mark.parametrize("path", ["", "/", "relative", "/a//b", "/a/./b", "/a/../b", "/a/", "/a\0b", "//a"])
def test_paths_that_are_not_absolute_and_normal_are_refused(path: str) -> None:
    with pytest.raises(RefusedError):
        require_path(path)


LINKS = st.tuples(st.sampled_from(["a", "b"]), st.lists(st.sampled_from(["a", "b", "..", ".", "/", "outside"]), max_size=5).map("/".join))
BELOW = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))


@given(links=st.lists(LINKS, max_size=3), path=BELOW)
def test_nothing_is_ever_written_outside(tmp_path_factory: pytest.TempPathFactory, links: list[tuple[str, str]], path: str) -> None:
    base = tmp_path_factory.mktemp("base")
    (base / "root/a/a").mkdir(parents=True)
    (base / "outside").mkdir()
    for name, target in links:
        place = base / "root/a" / name
        if not place.is_symlink() and not place.exists():
            place.symlink_to(target or ".")
    with contextlib.suppress(RefusedError, OSError):
        write(Host(base / "root"), path)
    assert sorted(entry.name for entry in base.iterdir()) == ["outside", "root"]
    assert list((base / "outside").iterdir()) == []
