"""What differs between the packages that are wanted and those that are installed. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from agent.protocol.errors import RefusedError
from agent.protocol.state import Package

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*(:[a-z0-9-]{1,20})?")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+:~^_-]*")
_LENGTH = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A package that is there; `versions` are all spellings of its version that a release may use, `shown` the fullest."""

    versions: frozenset[str]
    shown: str
    held: bool = False
    broken: str = ""
    """In what state an interrupted installation left it, empty where it is whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What has to be done; `install` also moves a package to another version. `why` has a sentence for each."""

    install: tuple[Package, ...] = ()
    remove: tuple[str, ...] = ()
    hold: tuple[str, ...] = ()
    """Those that are not held yet; one that is held and moves stays held."""
    release: tuple[str, ...] = ()
    """Those that are held no longer."""
    why: Mapping[str, str]

    @property
    def names(self) -> list[str]:
        """The packages that are installed, moved or removed, sorted."""
        return sorted({*(package.name for package in self.install), *self.remove})

    def sentences(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return why each of them changes."""
        return tuple(self.why[name] for name in names)


def compare(wanted: Sequence[Package], former: Sequence[Package], installed: Mapping[str, Installed]) -> Changes:
    """Return what brings the packages to `wanted`.

    A hold is set where the release says so, and let go where the release before did and this one does not: one that the
    host's owner set stays. A package that is half installed is installed again.
    """
    install, remove, hold, why = [], [], [], {}
    for package in wanted:
        there = installed.get(package.name)
        reason = _difference(package, there)
        if reason:
            why[package.name] = f"package {package.name} {reason}"
            remove += [package.name] if package.absent else []
            install += [] if package.absent else [package]
        if package.hold and not package.absent and not (there and there.held):
            hold.append(package.name)
            why.setdefault(package.name, f"package {package.name} is not held at its version")
    held_before = {package.name for package in former if package.hold} - {package.name for package in wanted if package.hold}
    release = [name for name in sorted(held_before) if name in installed and installed[name].held]
    for name in release:
        why.setdefault(name, f"package {name} is held at its version, and no longer should be")
    return Changes(install=tuple(install), remove=tuple(remove), hold=tuple(hold), release=tuple(release), why=why)


def _difference(package: Package, there: Installed | None) -> str:
    if package.absent:
        return f"is there at {there.shown}, and should not be" if there else ""
    if there is None:
        return f"is missing, {package.version} is wanted" if package.version else "is missing"
    if there.broken:
        return f"is {there.broken}"
    return f"is at {there.shown}, {package.version} is wanted" if package.version and package.version not in there.versions else ""


def require(wanted: Sequence[Package]) -> None:
    """Raise `RefusedError` for a name or version that a package manager could take for an option or a pattern."""
    seen: set[str] = set()
    for package in wanted:
        if len(package.name) > _LENGTH or not _NAME.fullmatch(package.name) or package.name.endswith("-"):
            message = f"package {package.name[:_LENGTH]!r} is no name of a package"
            raise RefusedError(message)
        if package.version is not None and (len(package.version) > _LENGTH or not _VERSION.fullmatch(package.version)):
            message = f"package {package.name}: {package.version[:_LENGTH]!r} is no version"
            raise RefusedError(message)
        if package.name in seen:
            message = f"package {package.name} is asked for twice"
            raise RefusedError(message)
        seen.add(package.name)


def unknown(install: Sequence[Package], known: Mapping[str, frozenset[str]]) -> list[Package]:
    """Return those of `install` that no repository has, in that version where one is asked for."""
    return [package for package in install if not _is_known(package, known.get(package.name, frozenset()))]


def _is_known(package: Package, versions: frozenset[str]) -> bool:
    return package.version in versions if package.version is not None else bool(versions)


def require_none_gone(gone: Sequence[Package]) -> None:
    """Raise `RefusedError` if there are any, naming them all."""
    if gone:
        names = ", ".join(f"{package.name} {package.version}" if package.version else package.name for package in gone)
        message = f"no repository of this host has {names}; give another version, or ifGone: keep where one is installed"
        raise RefusedError(message)


def split_gone(gone: Sequence[Package], installed: Mapping[str, Installed]) -> tuple[list[Package], list[Package]]:
    """Return (those whose installed version is kept, those that refuse the release)."""
    kept = [package for package in gone if package.if_gone == "keep" and package.name in installed and not installed[package.name].broken]
    return kept, [package for package in gone if package not in kept]


def without(changes: Changes, kept: Sequence[Package]) -> Changes:
    """Return `changes` without the installation of those of `kept`; what is to be held or let go stays."""
    return replace(changes, install=tuple(package for package in changes.install if package not in kept))
