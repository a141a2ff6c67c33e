"""What a host says of itself: told from real files, kept once, and no reason to fail."""

from pathlib import Path

from agent.disk import Disk
from agent.host import Host
from agent.reporting import facts


def test_facts_are_those_of_this_machine() -> None:
    found = facts.gather(Host(Path("/")), ["processes"])
    assert found.memory > 1 << 20
    assert found.cpus >= 1
    assert found.platform.startswith("linux/")
    assert found.kernel
    assert found.capabilities == ["artifacts", "files", "processes"]
    assert any(disk.size for disk in found.disks)


def test_the_system_is_read_below_the_root_and_quotes_are_not_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text("# the system\nID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME='Debian 12'\nbroken\n")
    assert facts.gather(Host(tmp_path), []).os == facts.Os(id="debian", version="12", name="Debian 12")


def test_a_system_that_says_nothing_or_too_much_is_no_error(tmp_path: Path) -> None:
    assert facts.gather(Host(tmp_path), []).os == facts.Os()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_bytes(b"ID=" + b"x" * 1_000_000 + b"\nVERSION_ID=\xff\n")
    assert len(facts.gather(Host(tmp_path), []).os.id) == facts.TEXT_LIMIT


def test_facts_are_written_when_they_change_and_only_then(tmp_path: Path) -> None:
    disk = Disk(root=tmp_path / "state")
    disk.make()
    first = facts.gather(Host(tmp_path), [])
    assert (facts.note(disk, first), facts.note(disk, first)) == (True, False)
    assert facts.note(disk, facts.gather(Host(tmp_path), ["services"]))
    noted = facts.read(disk)
    assert noted is not None
    assert "services" in noted.facts.capabilities


def test_damaged_facts_are_taken_for_none_and_written_anew(tmp_path: Path) -> None:
    disk = Disk(root=tmp_path / "state")
    disk.make()
    disk.facts.write_bytes(b"{broken")
    assert facts.read(disk) is None
    assert facts.note(disk, facts.gather(Host(tmp_path), []))
