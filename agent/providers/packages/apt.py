"""Packages by apt and dpkg.

Every call is told how to behave, whatever this host's apt.conf says: never ask, keep changed configuration files, bring no
recommended packages, take no name for a pattern. Under a root, apt and dpkg of this machine work on the root's database.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from agent.commands import SECONDS, SHOWN, Commands, Ended
from agent.host import Host
from agent.protocol.errors import RefusedError, RetryError
from agent.protocol.state import Repository
from agent.providers import texts
from agent.providers.packages import sources
from agent.providers.packages.compare import Changes, Installed
from agent.providers.packages.patience import INSTALL_SECONDS, UPDATE_SECONDS, Patience, Remembered, require_empty

STATUS = "/var/lib/dpkg/status"
"""dpkg's database."""
_QUIET = {"DEBIAN_FRONTEND": "noninteractive", "APT_LISTCHANGES_FRONTEND": "none", "NEEDRESTART_SUSPEND": "1"}
"""Nothing may ask; and what restarts is the release's word, not a hook's."""
_BEHAVE = (
    *("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"),
    *("-o", "APT::Cmd::Pattern-Only=true", "-o", "APT::Install-Recommends=false", "-o", "APT::Get::AutomaticRemove=false"),
    *("-o", "APT::Color=0"),
)
_LOCKED = re.compile(r"Could not get lock|Unable to (acquire|lock)|lock was locked by another process|status database is locked")
_UNMET = re.compile(r"have unmet dependencies:\n((?: .*\n)+)")
_FORMAT = "${Package}\t${Architecture}\t${db:Status-Want}\t${db:Status-Eflag}\t${db:Status-Status}\t${Version}\n"
_WHOLE = ("installed", "triggers-pending", "triggers-awaited")
_GONE = ("not-installed", "config-files")
_STEP = re.compile(r"(?P<what>Inst|Remv|Purg) (?P<name>\S+)(?: \[(?P<old>[^]]+)\])?(?: \((?P<new>\S+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Apt:
    """apt on one host."""

    host: Host
    run: Commands
    patience: Patience
    remembered: Remembered
    name: Literal["apt"] = "apt"

    def installed(self) -> dict[str, Installed]:
        """Return what dpkg has, by name, and by name and architecture; see `Manager`."""
        return self.remembered.installed(self.host, (STATUS,), self._ask)

    def _ask(self) -> dict[str, Installed]:
        root = () if self.host.is_whole_machine else (f"--root={self.host.root}",)
        ended = self.run.run("dpkg-query", *root, "--show", f"--showformat={_FORMAT}")
        if ended.code not in (0, 1):  # 1: nothing is installed at all
            raise RetryError(ended.failure)
        return read_installed(ended.output)

    def known(self, names: Sequence[str]) -> dict[str, frozenset[str]]:
        """Return the versions that apt's lists have; see `Manager`."""
        said = self.run.output("apt-cache", *self._options(), "madison", "--", *names) if names else ""
        rows = [[field.strip() for field in line.split("|")] for line in said.splitlines()]
        bare = {name: name.partition(":")[0] for name in names}
        found = {name: frozenset(row[1] for row in rows if len(row) > 1 and row[0] in (name, bare[name])) for name in names}
        return {name: versions for name, versions in found.items() if versions}

    def refresh(self) -> None:
        """Fetch all lists; one repository that fails leaves what was known of it, so whoever needs a version looks again."""
        self._apt_get("update", seconds=UPDATE_SECONDS)

    def trouble(self) -> str:
        """Return which packages are half done, and whether dpkg itself was interrupted."""
        broken = [f"{name} is {there.broken}" for name, there in self.installed().items() if there.broken and ":" not in name]
        journal = "/var/lib/dpkg/updates"
        is_there = self.host.observe(journal).kind == "directory"
        interrupted = [name for name in (self.host.entries(journal) if is_there else []) if name.isdigit()]
        return ", ".join([*broken, *(["dpkg was interrupted"] if interrupted else [])])

    def repair(self) -> None:
        """Have dpkg finish what it began."""
        root = () if self.host.is_whole_machine else (f"--root={self.host.root}",)
        options = ("--force-confdef", "--force-confold")
        ended = self.patience.run(
            lambda: self.run.run("dpkg", *root, *options, "--configure", "--pending", timeout=INSTALL_SECONDS, environment=_QUIET),
            _is_locked,
        )
        if ended.code != 0:
            message = f"packages that were half installed can't be finished: {ended.failure}"
            raise RetryError(message)

    def require_holds(self) -> None:
        """Apt always can."""

    def rehearse(self, changes: Changes) -> None:
        """See `Manager`; held packages of others, and versions of others that would fall, are refused too."""
        if not changes.names:
            return
        ended = self._install(changes, "--simulate", seconds=SECONDS)
        if ended.code != 0:
            message = f"packages: {', '.join(changes.names)} can't be brought to what the release says: {ended.failure}{_unmet(ended)}"
            raise RefusedError(message)
        steps = [match for line in ended.output.splitlines() if (match := _STEP.match(line))]
        require_empty([step["name"] for step in steps if step["what"] != "Inst"], changes.remove)
        moved = [step for step in steps if step["what"] == "Inst" and step["old"] and not _is_asked(step["name"], changes)]
        installed = self.installed() if moved else {}
        require_empty(
            [step["name"] for step in moved if step["name"] in installed and installed[step["name"]].held],
            (),
            why="change the held package",
        )
        require_empty([step["name"] for step in moved if self._is_lower(step["new"], step["old"])], (), why="downgrade")

    def change(self, changes: Changes) -> None:
        """Rehearse, then do it in one run of apt, then see to holds: apt lets go of one that it moves."""
        self.rehearse(changes)
        installed = self.installed()
        moving = {package.name for package in changes.install if package.name in installed and installed[package.name].held}
        if changes.names:
            safety = () if changes.remove else ("--no-remove",)
            ended = self.patience.run(lambda: self._install(changes, *safety, seconds=INSTALL_SECONDS), _is_locked)
            if ended.code != 0:
                raise RetryError(ended.failure)
        self._mark("unhold", changes.release)
        self._mark("hold", sorted({*changes.hold, *moving} - set(changes.release)))

    def repository_files(self, repository: Repository) -> dict[str, bytes]:
        """Return its key and its source."""
        return sources.apt_files(repository, self.host)

    def try_repository(self, repository: Repository) -> None:
        """Have apt fetch and verify the lists of this repository alone, by a source that apt does not read otherwise."""
        files = sources.apt_files(repository, self.host, trial=True)
        try:
            for path, content in files.items():
                texts.put(self.host, path, content)
            source = next(path for path in files if path.endswith(".sources"))
            alone = ("-o", f"Dir::Etc::SourceList={self.host.outside(source)}", "-o", "Dir::Etc::SourceParts=/dev/null")
            self._apt_get(
                "update", *alone, "-o", "APT::Get::List-Cleanup=false", "-o", "APT::Update::Error-Mode=any", seconds=UPDATE_SECONDS
            )
        finally:
            for path in files:
                self.host.remove(path)

    def repository_changed(self) -> None:
        """Nothing: lists are named by address, so those of the trial are those of the repository."""

    def _install(self, changes: Changes, *options: str, seconds: float) -> Ended:
        """Run apt-get once for all changes; to give way to what comes, a package goes in the same run (`name-`)."""
        asked = [f"{package.name}={package.version}" if package.version else package.name for package in changes.install]
        gone = [f"{name}-" for name in changes.remove] if asked else list(changes.remove)
        lower = ("--allow-downgrades",) if self._has_lower(changes) else ()
        argv = ("install" if asked else "remove", "--yes", *options, *lower, "--allow-change-held-packages", "--", *asked, *gone)
        return self.run.run("apt-get", *self._options(), *_BEHAVE, *argv, timeout=seconds, environment=_QUIET)

    def _mark(self, verb: str, names: Sequence[str]) -> None:
        if names:
            self._must(lambda: self.run.run("apt-mark", *self._options(), verb, "--", *names))

    def _has_lower(self, changes: Changes) -> bool:
        """Return whether a version is asked for that is lower than what is installed."""
        exact = [package for package in changes.install if package.version]
        installed = self.installed() if exact else {}
        pairs = [(package.version, installed[package.name].shown) for package in exact if package.name in installed]
        return any(self._is_lower(new, old) for new, old in pairs if new)

    def _is_lower(self, new: str, old: str) -> bool:
        return self.run.run("dpkg", "--compare-versions", new, "lt", old).code == 0

    def _apt_get(self, *arguments: str, seconds: float) -> None:
        self._must(lambda: self.run.run("apt-get", *self._options(), *_BEHAVE, *arguments, timeout=seconds, environment=_QUIET))

    def _must(self, once: Callable[[], Ended]) -> None:
        ended = self.patience.run(once, _is_locked)
        if ended.code != 0:
            raise RetryError(ended.failure)

    def _options(self) -> tuple[str, ...]:
        """Return what has apt work in the root."""
        if self.host.is_whole_machine:
            return ()
        root = self.host.root
        return "-o", f"Dir={root}", "-o", f"Dir::State::status={root}{STATUS}", "-o", f"DPkg::Options::=--root={root}"


def read_installed(output: str) -> dict[str, Installed]:
    """Return what dpkg-query printed by name, and by name and architecture. Pure."""
    found: dict[str, Installed] = {}
    for line in output.splitlines():
        name, architecture, want, flag, status, version = line.split("\t")
        if status in _GONE:
            continue
        broken = "" if status in _WHOLE and flag == "ok" else status if flag == "ok" else f"{status}, {flag}"
        there = Installed(versions=frozenset({version}), shown=version, held=want == "hold", broken=broken)
        found.setdefault(name, there)
        found[f"{name}:{architecture}"] = there
    return found


def _is_locked(ended: Ended) -> bool:
    return ended.code != 0 and _LOCKED.search(ended.said) is not None


def _is_asked(name: str, changes: Changes) -> bool:
    return any(package.name in (name, name.partition(":")[0]) or package.name.partition(":")[0] == name for package in changes.install)


def _unmet(ended: Ended) -> str:
    """Return what apt says it lacks, which it prints beside its errors; empty where nothing."""
    match = _UNMET.search(ended.output)
    return f" ({' '.join(match[1].split())[:SHOWN]})" if match else ""
