"""What systemd and Podman themselves think of staged unit files and containers, asked before anything switches.

Each tool reads a directory of copies, in which this release's files lie as they will, so a unit may refer to another one of the same
release and a drop-in is judged together with its unit. Only what is said of files that change counts: what the host has had before
is its owner's, and what exit statuses tell differs from version to version.
"""

import re
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.commands import Commands, MissingProgramError
from agent.host import Host
from agent.protocol.errors import RefusedError
from agent.providers.item import Item

UNITS = "/etc/systemd/system"
CONTAINERS = "/etc/containers/systemd"
GENERATORS = (
    "usr/lib/systemd/system-generators/podman-system-generator",
    "usr/libexec/podman/quadlet",
    "usr/lib/podman/quadlet",
)
"""Where distributions have Podman's generator, below the root."""
SECONDS = 60.0
ADVICE = ("not safe", "unsafe", "obsolete", "legacy", "deprecated", "is marked ", "IP firewall", "has been removed")
"""Words in what systemd merely advises: it takes the unit all the same, and as its author meant it."""
_UNIT = re.compile(r"[^/]+\.(service|socket|timer|path|mount|automount|swap|slice|target)")
"""What can be asked about: not drop-ins for all units of a kind, nor a file that only lies there."""
_NOISE = "Loading source unit file"
_NO_PROGRAM = "is not executable: No such file or directory"


class UnitError(RefusedError):
    """A unit or a container that systemd or Podman would not take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What is asked; `generator` is None where the host has no Podman that knows Quadlet files."""

    commands: Commands = field(default_factory=Commands)
    generator: Path | None = None


def find_generator(root: Path = Path("/")) -> Path | None:
    """Return Podman's generator, None if the host has none."""
    return next((root / place for place in GENERATORS if (root / place).is_file()), None)


def verify(items: Mapping[str, Item], staged: Mapping[str, str], *, host: Host, tools: Tools | None = None) -> None:
    """Ask about the unit files and containers among a release's items that change; `staged` is path → staged path.

    Nothing is asked below a root other than `/`, where nothing of it can run, nor of systemd where it isn't installed.

    Raises:
        UnitError: one of them is not taken, with what was said.
        RefusedError: there is a container, and no generator on this host to ask.
        RetryError: systemd or Podman did not answer.
    """
    if not host.is_whole_machine:
        return
    changing = [path for path in staged if path in items and items[path].kind == "file"]
    units = [path for path in changing if path.startswith(f"{UNITS}/")]
    containers = [path for path in changing if path.startswith(f"{CONTAINERS}/")]
    if units or containers:
        asked = tools or Tools(generator=find_generator())
        for paths, ask in ((units, _ask_systemd), (containers, _ask_podman)):
            if paths:
                with tempfile.TemporaryDirectory(prefix="ordain-units-") as made:
                    ask(paths, items, _Copies(directory=Path(made), host=host, staged=staged), asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copies:
    """A directory in which files lie by the names that they will have below another one."""

    directory: Path
    host: Host
    staged: Mapping[str, str]

    def add(self, top: str, items: Iterable[Item]) -> None:
        """Put a copy of each file that will lie below `top`."""
        for item in items:
            if item.path.startswith(f"{top}/") and item.kind == "file":
                place = self.directory / item.path.removeprefix(f"{top}/")
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(self._content(item))

    def add_from_host(self, top: str) -> None:
        """Put a copy of each file that lies in `top` now, unless there is one by its name."""
        if self.host.observe(top).kind == "directory":
            for name in self.host.entries(top):
                if self.host.observe(f"{top}/{name}").kind == "file" and not (self.directory / name).exists():
                    (self.directory / name).write_bytes(b"".join(self.host.read(f"{top}/{name}")))

    def _content(self, item: Item) -> bytes:
        return item.content if item.content is not None else b"".join(self.host.read(self.staged.get(item.path, item.path)))

    def told(self, top: str, said: str) -> list[str]:
        """Return the lines of what a tool said, with the paths that the files will have."""
        return [line.strip().replace(f"{self.directory}/", f"{top}/") for line in said.splitlines() if line.strip()]


def _ask_systemd(paths: Collection[str], items: Mapping[str, Item], copies: _Copies, tools: Tools) -> None:
    copies.add(UNITS, items.values())
    names = sorted(filter(_UNIT.fullmatch, {_unit_of(path) for path in paths}))
    if not names:
        return
    asked = [str(copies.directory / name) if (copies.directory / name).is_file() else name for name in names]
    try:
        ended = tools.commands.run(
            *("systemd-analyze", "verify", "--man=no", "--generators=no", "--", *asked),
            timeout=SECONDS,
            environment={"SYSTEMD_UNIT_PATH": f"{copies.directory}:", "SYSTEMD_LOG_LEVEL": "notice"},
            together=True,
        )
    except MissingProgramError:
        return
    about = [line for line in copies.told(UNITS, ended.output) if _is_about(line, paths, names)]
    refused = [line for line in about if not any(word in line for word in ADVICE) and not _comes_along(line, items)]
    if refused:
        message = f"systemd would not take this release's units as they are: {'; '.join(dict.fromkeys(refused))}"
        raise UnitError(message)


def _unit_of(path: str) -> str:
    """Return the unit of a unit file or of a drop-in."""
    return path.removeprefix(f"{UNITS}/").partition("/")[0].removesuffix(".d")


def _is_about(line: str, paths: Collection[str], names: Collection[str]) -> bool:
    return any(line.startswith(f"{path}:") for path in paths) or any(line.startswith((f"{name}:", f"Unit {name} ")) for name in names)


def _comes_along(line: str, items: Mapping[str, Item]) -> bool:
    """Whether what systemd misses is a program that comes with the release, and isn't in its place yet."""
    if _NO_PROGRAM not in line:
        return False
    program = line.partition("Command ")[2].partition(" ")[0]
    return any(program == path or program.startswith(f"{path}/") for path, item in items.items() if item.kind in ("file", "tree"))


def _ask_podman(paths: Collection[str], items: Mapping[str, Item], copies: _Copies, tools: Tools) -> None:
    if tools.generator is None:
        message = f"{min(paths)}: this host has no Podman that knows containers as units; install podman 5 or later, or take containers out"
        raise UnitError(message)
    copies.add(CONTAINERS, items.values())
    copies.add_from_host(CONTAINERS)
    ended = tools.commands.run(str(tools.generator), "-dryrun", timeout=SECONDS, environment={"QUADLET_UNIT_DIRS": str(copies.directory)})
    about = list(_refused(copies.told(CONTAINERS, ended.errors), paths))
    if about:
        message = f"Podman would not take this release's containers as they are: {'; '.join(about)}"
        raise UnitError(message)


def _refused(said: Iterable[str], paths: Collection[str]) -> Iterator[str]:
    """Yield what Podman's generator has against files that change, without the name that it gives itself."""
    names = [path.rpartition("/")[2] for path in paths]
    for line in said:
        text = line.partition("]: ")[2] or line
        if _NOISE not in text and any(f'"{name}"' in text or f"/{name}" in text for name in names):
            yield text
