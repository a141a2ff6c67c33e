"""Packages by dnf and rpm.

dnf is asked without a word to erase others (`--allowerasing`), so it removes nothing to install something; what would be
replaced as obsolete is refused. Holds are those of the versionlock plugin. A version may be written as `1.2`, `1.2-3.el9` or
`1:1.2-3.el9`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agent.commands import SECONDS, Commands, Ended
from agent.host import Host
from agent.protocol.errors import RefusedError, RetryError
from agent.protocol.state import Repository
from agent.providers import texts
from agent.providers.packages import sources
from agent.providers.packages.compare import Changes, Installed
from agent.providers.packages.patience import INSTALL_SECONDS, UPDATE_SECONDS, Patience, Remembered, require_empty

_BEHAVE = ("--setopt=exit_on_lock=True", "--setopt=install_weak_deps=False", "--setopt=color=never", "--setopt=best=True")
_LOCKED = re.compile(r"Failed to obtain the transaction lock|already locked by|can't create transaction lock|lock on .* failed")
_EXIT_ON_LOCK = 200
"""How dnf ends where another one holds its lock, if it was told not to wait."""
_INSTALLED = "%{NAME}\t%{EPOCHNUM}\t%{VERSION}\t%{RELEASE}\t%{ARCH}\n"
_KNOWN = "%{name}|%{epoch}|%{version}|%{release}\n"
_REPLACING = re.compile(r"^\s+replacing\s+(\S+)\.[^.\s]+\s", re.MULTILINE)
_ABORTED = "Operation aborted"
"""What `--assumeno` ends with once it has shown what would be done."""
_LOCK_LINE = re.compile(r"(?P<name>[^!#\s]\S*)-(?:\d+:)?[^-\s]+-[^-\s]+")
DATABASES = tuple(
    f"{directory}/{name}"
    for directory in ("/var/lib/rpm", "/usr/lib/sysimage/rpm")
    for name in ("rpmdb.sqlite", "rpmdb.sqlite-wal", "Packages", "Packages.db")
)
"""Where rpm has its database, by its age and the system; a host has one or two of them."""
LOCKS = "/etc/dnf/plugins/versionlock.list"
"""Where the versionlock plugin notes what is held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dnf:
    """dnf on one host."""

    host: Host
    run: Commands
    patience: Patience
    remembered: Remembered
    name: Literal["dnf"] = "dnf"

    def installed(self) -> dict[str, Installed]:
        """Return what rpm has, by name, and by name and architecture; see `Manager`."""
        return self.remembered.installed(self.host, DATABASES, self._ask, beside=(LOCKS,))

    def _ask(self) -> dict[str, Installed]:
        content, _ = texts.read(self.host, LOCKS)
        held = frozenset(
            match["name"] for line in (content or b"").decode(errors="replace").splitlines() if (match := _LOCK_LINE.match(line))
        )
        return read_installed(self.run.output("rpm", *self._root("--root"), "--query", "--all", "--queryformat", _INSTALLED), held)

    def known(self, names: Sequence[str]) -> dict[str, frozenset[str]]:
        """Return the versions that repositories have; see `Manager`."""
        bare = {name: name.partition(":")[0] for name in names}
        asked = ("repoquery", "--quiet", "--available", "--queryformat", _KNOWN, "--", *bare.values())
        said = self._dnf("--disableplugin=versionlock", *asked, seconds=UPDATE_SECONDS).output if names else ""
        rows = [line.split("|") for line in said.splitlines() if line.count("|") == _KNOWN.count("|")]
        found = {
            name: frozenset(one for row in rows if row[0] == bare[name] for one in spellings(row[1], row[2], row[3])) for name in names
        }
        return {name: versions for name, versions in found.items() if versions}

    def refresh(self) -> None:
        """Fetch all lists anew."""
        self._dnf("makecache", "--refresh", seconds=UPDATE_SECONDS)

    def trouble(self) -> str:
        """Nothing: an rpm is installed or it is not."""
        return ""

    def repair(self) -> None:
        """Nothing."""

    def require_holds(self) -> None:
        """Raise `RefusedError` where the versionlock plugin is not installed."""
        ended = self.run.run("dnf", *self._options(), "versionlock", "--help")
        if ended.code != 0:
            message = "packages can't be held here: install dnf's versionlock plugin (python3-dnf-plugin-versionlock), or leave out hold"
            raise RefusedError(message)

    def rehearse(self, changes: Changes) -> None:
        """See `Manager`. Where packages go to make room, what comes is tried only once they are gone: dnf can't try both at once."""
        if changes.remove:
            ended = self.run.run("rpm", *self._root("--root"), "--erase", "--test", "--", *map(_spec, changes.remove))
            if ended.code != 0:
                names = ", ".join(changes.remove)
                message = f"packages: {names} can't be removed without others, which the release does not ask for: {ended.failure}"
                raise RefusedError(message)
        elif changes.install:
            self._rehearse_install(changes)

    def change(self, changes: Changes) -> None:
        """Rehearse, then let go holds, remove, install and hold."""
        self.rehearse(changes)
        installed = self.installed()
        moving = [package.name for package in changes.install if package.name in installed and installed[package.name].held]
        self._lock("delete", sorted({*changes.release, *moving}))
        if changes.remove:
            self._dnf("remove", "--assumeyes", "--setopt=clean_requirements_on_remove=False", "--", *map(_spec, changes.remove))
        if changes.install:
            if changes.remove:
                self._rehearse_install(changes)
            self._dnf("install", "--assumeyes", "--", *_asked(changes))
        self._lock("add", sorted({*changes.hold, *moving} - set(changes.release)))

    def repository_files(self, repository: Repository) -> dict[str, bytes]:
        """Return its key and its .repo file."""
        return sources.dnf_files(repository, self.host)

    def try_repository(self, repository: Repository) -> None:
        """Fetch the lists of this repository alone."""
        name = f"ordain-{repository.name}"
        alone = (f"--repofrompath={name},{repository.url}", f"--repo={name}", f"--setopt={name}.gpgcheck=0")
        self._dnf(*alone, "makecache", "--refresh", seconds=UPDATE_SECONDS)

    def repository_changed(self) -> None:
        """Nothing: lists are named by name and address, so those of the trial are those of the repository."""

    def _rehearse_install(self, changes: Changes) -> None:
        ended = self._try("--disableplugin=versionlock", "install", "--assumeno", "--", *_asked(changes), seconds=SECONDS * 5)
        if ended.code != 0 and _ABORTED not in ended.errors + ended.output:
            message = f"packages: {', '.join(changes.names)} can't be brought to what the release says: {ended.failure}"
            raise RefusedError(message)
        require_empty(_REPLACING.findall(ended.output), changes.remove)

    def _lock(self, verb: str, names: Sequence[str]) -> None:
        if names:
            self._dnf("versionlock", verb, "--", *names)

    def _dnf(self, *arguments: str, seconds: float = INSTALL_SECONDS) -> Ended:
        """Run dnf, which must succeed; raises `RetryError`."""
        ended = self._try(*arguments, seconds=seconds)
        if ended.code != 0:
            raise RetryError(ended.failure)
        return ended

    def _try(self, *arguments: str, seconds: float) -> Ended:
        argv = ("dnf", *self._options(), *_BEHAVE, *arguments)
        return self.patience.run(lambda: self.run.run(*argv, timeout=seconds), _is_locked)

    def _options(self) -> tuple[str, ...]:
        """Return what has dnf work in the root, by the root's plugins' settings."""
        plugins = () if self.host.is_whole_machine else (f"--setopt=pluginconfpath={self.host.root}/etc/dnf/plugins",)
        return *self._root("--installroot"), *plugins

    def _root(self, option: str) -> tuple[str, ...]:
        return () if self.host.is_whole_machine else (f"{option}={self.host.root}",)


def read_installed(output: str, held: frozenset[str]) -> dict[str, Installed]:
    """Return what rpm printed by name, and by name and architecture; of several versions of one, all count. Pure."""
    found: dict[str, Installed] = {}
    for line in output.splitlines():
        name, epoch, version, release, architecture = line.split("\t")
        for key in (name, f"{name}:{architecture}"):
            before = found[key].versions if key in found else frozenset()
            versions = before | spellings(epoch, version, release)
            found[key] = Installed(versions=versions, shown=f"{version}-{release}", held=name in held)
    return found


def spellings(epoch: str, version: str, release: str) -> frozenset[str]:
    """Return how a release may write a version. Pure."""
    plain = {version, f"{version}-{release}"}
    return frozenset(plain | {f"{epoch}:{one}" for one in plain})


def _spec(name: str, version: str | None = None) -> str:
    bare, _, architecture = name.partition(":")
    return bare + (f"-{version}" if version else "") + (f".{architecture}" if architecture else "")


def _asked(changes: Changes) -> list[str]:
    return [_spec(package.name, package.version) for package in changes.install]


def _is_locked(ended: Ended) -> bool:
    return ended.code == _EXIT_ON_LOCK or (ended.code != 0 and _LOCKED.search(ended.said) is not None)
