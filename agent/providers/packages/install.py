"""Fixes of repositories and packages, whichever package manager the host has.

A repository is tried before it is made known, so one that can't be reached or is signed by another key changes nothing. One
that leaves the release is taken out, for its key would go on to be trusted; packages that leave stay, without their hold.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.commands import Commands
from agent.host import Host
from agent.protocol.errors import RefusedError, RetryError
from agent.protocol.state import Package, Repository
from agent.providers import texts
from agent.providers.fix import Fix
from agent.providers.packages import compare, sources
from agent.providers.packages.apt import STATUS, Apt
from agent.providers.packages.compare import Changes
from agent.providers.packages.dnf import Dnf
from agent.providers.packages.patience import Manager, Patience, Remembered, differing

REPOSITORIES = "packageRepositories"
PACKAGES = "packages"


def manager_of(host: Host, run: Commands, *, patience: Patience, remembered: Remembered) -> Manager:
    """Return the host's package manager, by the database that is there; raise `RefusedError` if it has none that is known."""
    if _has_apt(host):
        return Apt(host=host, run=run, patience=patience, remembered=remembered)
    if _has_dnf(host):
        return Dnf(host=host, run=run, patience=patience, remembered=remembered)
    message = "this host has neither apt nor dnf: the release's packages and package repositories can't be had here"
    raise RefusedError(message)


def has_manager(host: Host) -> bool:
    """Return whether a host has a package manager that is known."""
    return _has_apt(host) or _has_dnf(host)


def _has_apt(host: Host) -> bool:
    return host.observe(STATUS).kind == "file"


def _has_dnf(host: Host) -> bool:
    return any(host.observe(path).kind != "absent" for path in ("/etc/dnf", "/etc/yum.repos.d", "/usr/bin/dnf"))


def repository_fixes(wanted: Sequence[Repository], former: Sequence[Repository], *, manager: Manager, host: Host) -> list[Fix]:
    """Return what makes repositories known; those of the other package manager are passed over, those that left are taken out."""
    mine = [repository for repository in wanted if repository.manager == manager.name]
    for repository in mine:
        sources.require(repository)
    names = {repository.name for repository in mine}
    gone = [repository for repository in former if repository.manager == manager.name and repository.name not in names]
    removals = [_taken_out(repository, manager, host) for repository in gone]
    changed = [(repository, differing(manager.repository_files(repository), host)) for repository in mine]
    return [fix for fix in removals if fix] + [_known(repository, why, manager, host) for repository, why in changed if why]


def _taken_out(repository: Repository, manager: Manager, host: Host) -> Fix | None:
    there = [path for path in manager.repository_files(repository) if host.observe(path).kind != "absent"]

    def carry_out() -> None:
        for path in reversed(there):  # the source before its key: one without it would be refused by the package manager
            texts.take_out(host, path)

    why = f"package repository {repository.name} is no longer in the release"
    resource = f"repository/{repository.name}"
    return Fix(provider=REPOSITORIES, resource=resource, why=(why,), carry_out=carry_out) if there else None


def _known(repository: Repository, why: Sequence[str], manager: Manager, host: Host) -> Fix:
    def carry_out() -> None:
        manager.try_repository(repository)
        for path, content in manager.repository_files(repository).items():
            texts.put(host, path, content)
        manager.repository_changed()

    return Fix(provider=REPOSITORIES, resource=f"repository/{repository.name}", why=tuple(why), carry_out=carry_out)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What a release says of packages."""

    wanted: Sequence[Package]
    former: Sequence[Package]
    manager: Manager
    remembered: Remembered

    def look(self) -> Changes:
        return compare.compare(self.wanted, self.former, self.manager.installed())

    def possible(self, changes: Changes, *, refresh: bool) -> Changes:
        """Leave out what stays as it is since no repository has its version any more; raise `RefusedError` if anything else is gone."""
        gone = self._unknown(changes)
        if gone and refresh and self.remembered.is_time_to_refresh():
            self.manager.refresh()
            gone = self._unknown(changes)
        kept, refused = compare.split_gone(gone, self.manager.installed() if gone else {})
        compare.require_none_gone(refused)
        return compare.without(changes, kept)

    def shown(self, changes: Changes) -> Changes:
        """Leave out what stays as it is, as far as that is known without asking a repository: for a look that refuses nothing."""
        kept, _ = compare.split_gone(self._unknown(changes), self.manager.installed() if changes.install else {})
        return compare.without(changes, kept)

    def _unknown(self, changes: Changes) -> list[Package]:
        names = [package.name for package in changes.install]
        return compare.unknown(changes.install, self.manager.known(names)) if names else []


def package_fixes(
    wanted: Sequence[Package], former: Sequence[Package], *, manager: Manager, remembered: Remembered, sources_change: bool, refresh: bool
) -> list[Fix]:
    """Return what brings packages to `wanted`: first the repair of what an interrupted run left, then all changes in one.

    Where `sources_change`, what a new repository brings is not known yet, so versions are looked for when it is carried out.
    Without `refresh`, what is not known counts as to be installed.

    Raises:
        RefusedError: a version that is gone, a package whose change would remove others, a hold that this host can't do.
        RetryError: the package manager can't be asked now.
    """
    compare.require(wanted)
    asked = _Asked(wanted=wanted, former=former, manager=manager, remembered=remembered)
    changes = asked.look()
    if any(package.hold for package in wanted):
        manager.require_holds()
    trouble = manager.trouble() if wanted else ""
    if not refresh:
        changes = asked.shown(changes)
    elif not sources_change:
        changes = asked.possible(changes, refresh=True)
        if not trouble:
            manager.rehearse(changes)
    return [*_repair(trouble, manager), *_changed(asked, changes)]


def _repair(trouble: str, manager: Manager) -> list[Fix]:
    why = (f"an installation was interrupted: {trouble}",)
    return [Fix(provider=PACKAGES, resource="packages", why=why, carry_out=manager.repair)] if trouble else []


def _changed(asked: _Asked, changes: Changes) -> list[Fix]:
    names = sorted({*changes.names, *changes.hold, *changes.release})
    if not names:
        return []
    resource = ", ".join(f"package/{name}" for name in names)
    return [Fix(provider=PACKAGES, resource=resource, why=changes.sentences(names), carry_out=_carry_out(asked))]


def _carry_out(asked: _Asked) -> Callable[[], None]:
    def carry_out() -> None:
        asked.manager.change(asked.possible(asked.look(), refresh=True))
        left = asked.possible(asked.look(), refresh=False)
        if left.names:
            message = f"the package manager ended well, but {'; '.join(left.sentences(left.names))}"
            raise RetryError(message)

    return carry_out
