"""What a host is, for people, plans and rules; never for templates, since what a host gets may not depend on what it says of itself.

Facts are what the host claims. They are looked at seldom, and written down when they change.
"""

import os
import platform
import socket
import struct
from collections.abc import Collection, Iterator
from fcntl import ioctl
from importlib.metadata import version
from pathlib import Path

from agent.disk import Disk, read_optional
from agent.host import Host
from agent.logs import timestamp
from agent.protocol import codec, durable
from agent.protocol.errors import MalformedError
from agent.protocol.state import Struct
from agent.providers.artifacts import this_platform

FORMAT = 1
TEXT_LIMIT = 256
"""Characters of one fact, and bytes of a file that holds one line of them times 64: a file of the host's is no reason to fail."""
MOST = 64
"""Disks and addresses that are told: a host with more of them has them from containers."""
SIOCGIFADDR = 0x8915  # netdevice(7)
MANAGERS = {"apt": "usr/bin/apt-get", "dnf": "usr/bin/dnf"}
REAL_FILE_SYSTEMS = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "vfat", "f2fs", "overlay", "jfs", "bcachefs"})


class FileSystem(Struct):
    """A file system: where it is mounted, and how many bytes it holds."""

    path: str
    kind: str
    size: int


class Os(Struct):
    """What os-release says, os-release(5)."""

    id: str = ""
    version: str = ""
    name: str = ""


class Facts(Struct):
    """`memory` in bytes, `virtualization` as systemd-detect-virt(1) names it, "none" on hardware, "" where that can't be told."""

    format: int
    agent: str
    os: Os
    platform: str
    kernel: str
    hostname: str
    cpus: int
    memory: int
    disks: list[FileSystem]
    addresses: dict[str, list[str]]
    package_manager: str
    systemd: bool
    virtualization: str
    capabilities: list[str]
    recipient: str = ""
    """Whom secrets for this host are encrypted to with age, empty if it has no key for that."""


class Noted(Struct):
    """Facts, and since when they have been so (RFC 3339)."""

    since: str
    facts: Facts


def gather(host: Host, capabilities: Collection[str], *, recipient: str = "") -> Facts:
    """Look at this host; what can't be told is empty. `capabilities` are the providers that this agent can carry out here."""
    return Facts(
        format=FORMAT,
        agent=version("ordain"),
        os=_os_release(host),
        platform=this_platform(),
        kernel=platform.release(),
        hostname=platform.node()[:TEXT_LIMIT],
        cpus=len(os.sched_getaffinity(0)),
        memory=_memory(),
        disks=list(_disks()),
        addresses=_addresses(),
        package_manager=next((name for name, path in MANAGERS.items() if host.outside(f"/{path}").exists()), ""),
        systemd=Path("/run/systemd/system").is_dir(),
        virtualization=_virtualization(),
        capabilities=sorted({"files", "artifacts", *capabilities}),
        recipient=recipient,
    )


def note(disk: Disk, facts: Facts) -> bool:
    """Keep facts if they are news; return whether they are."""
    known = read(disk)
    if known is not None and known.facts == facts:
        return False
    durable.replace(disk.facts, codec.canonical(Noted(since=timestamp(), facts=facts)), mode=0o600, lasting=False)
    return True


def read(disk: Disk) -> Noted | None:
    """Return the facts that were noted last, None if there are none, or those of another version."""
    try:
        return read_optional(disk.facts, Noted)
    except MalformedError:
        return None


def _first_lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as stream:
            return stream.read(TEXT_LIMIT * 64).decode(errors="replace").splitlines()
    except OSError:
        return []


def _os_release(host: Host) -> Os:
    places = (host.outside("/etc/os-release"), host.outside("/usr/lib/os-release"))
    lines = next((lines for place in places if (lines := _first_lines(place))), [])
    stated = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    told = {key: value.strip().strip("\"'")[:TEXT_LIMIT] for key, value in stated.items()}
    return Os(id=told.get("ID", ""), version=told.get("VERSION_ID", ""), name=told.get("PRETTY_NAME", ""))


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _disks() -> Iterator[FileSystem]:
    """Yield each file system once, where it was mounted first."""
    known = set[str]()
    for line in _first_lines(Path("/proc/self/mounts")):
        device, path, kind = [*line.split(" "), "", "", ""][:3]
        if kind not in REAL_FILE_SYSTEMS or device in known or len(known) >= MOST:
            continue
        try:
            seen = os.statvfs(path.encode().decode("unicode_escape"))
        except (OSError, UnicodeError):
            continue
        known.add(device)
        yield FileSystem(path=path[:TEXT_LIMIT], kind=kind, size=seen.f_frsize * seen.f_blocks)


def _addresses() -> dict[str, list[str]]:
    """Return addresses by interface, those of the loopback and of links left out."""
    found: dict[str, list[str]] = {}
    for _, name in socket.if_nameindex()[:MOST]:
        fourth = _fourth(name)
        if fourth and not fourth.startswith("127."):
            found.setdefault(name, []).append(fourth)
    for line in _first_lines(Path("/proc/net/if_inet6"))[:MOST]:
        address, _, _, scope, _, name = [*line.split(), *[""] * 6][:6]
        if scope == "00":  # global, if_inet6 of proc(5)
            found.setdefault(name, []).append(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(address)))
    return {name: sorted(addresses) for name, addresses in sorted(found.items())}


def _fourth(name: str) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            answer = ioctl(asked, SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
        except OSError:
            return ""
    return socket.inet_ntoa(answer[20:24])


def _virtualization() -> str:
    marks = {"/run/systemd/container": "", "/.dockerenv": "docker", "/run/.containerenv": "podman"}
    for mark, name in marks.items():
        if Path(mark).exists():
            return name or next(iter(_first_lines(Path(mark))), "container")[:TEXT_LIMIT]
    product = " ".join(_first_lines(Path("/sys/class/dmi/id/product_name")) + _first_lines(Path("/sys/class/dmi/id/sys_vendor"))).lower()
    names = {"kvm": "kvm", "qemu": "qemu", "vmware": "vmware", "virtualbox": "oracle", "amazon ec2": "amazon", "google": "google"}
    known = next((name for word, name in names.items() if word in product), "")
    flags = any(line.startswith("flags") and " hypervisor" in line for line in _first_lines(Path("/proc/cpuinfo")))
    return known or ("vm-other" if flags else "none" if product else "")
