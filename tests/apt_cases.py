"""Real apt and dpkg on a root of their own: harmless empty packages in a signed repository, and a host made of files.

The machine's own database is never touched: apt is told the root by `-o Dir=…`, dpkg by `--root`. A root has no shell, so
maintainers' scripts run outside it (`DPKG_FORCE`), as the tests alone do.
"""

import hashlib
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.commands import ENVIRONMENT, Commands
from agent.host import Host
from agent.protocol.state import Package, Repository, State
from agent.providers import converge
from agent.providers.account import Account
from agent.providers.converge import Surroundings
from agent.providers.packages.patience import Remembered

A, B, C = "ordain-test-a", "ordain-test-b", "ordain-test-c"
"""Packages: A in versions 1.0 and 2.0; B, which A conflicts with; C, which needs A."""
FORCE = {"DPKG_FORCE": "script-chrootless,downgrade,security-mac"}


@dataclass(frozen=True)
class Origin:
    """A repository of apt in a directory, and its key."""

    path: Path
    key: str
    home: Path

    def repository(self, name: str = "ours") -> Repository:
        """Return it as a release has it."""
        return Repository(name=name, manager="apt", url=f"file:{self.path}", key=self.key, suites=["./"])

    def publish(self) -> None:
        """Write its lists, and sign them."""
        packages = b"".join(_stanza(path) for path in sorted(self.path.glob("*.deb")))
        (self.path / "Packages").write_bytes(packages)
        release = f"Date: Mon, 23 Nov 2026 00:00:00 UTC\nSHA256:\n {hashlib.sha256(packages).hexdigest()} {len(packages)} Packages\n"
        (self.path / "Release").write_text(release)
        _gpg(self.home, "--yes", "--clearsign", "--output", str(self.path / "InRelease"), str(self.path / "Release"))


def _gpg(home: Path, *arguments: str) -> str:
    argv = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback", *arguments]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def _stanza(path: Path) -> bytes:
    content = path.read_bytes()
    control = subprocess.run(["dpkg-deb", "--field", path], check=True, capture_output=True).stdout
    return control + f"Filename: ./{path.name}\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n\n".encode()


def build(directory: Path, name: str, version: str, *, fields: str = "", scripts: Mapping[str, str] | None = None) -> None:
    """Build an empty package into `directory`."""
    tree = directory / f"{name}-{version}.tree"
    (tree / "DEBIAN").mkdir(parents=True)
    control = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Ana <ana@example.com>\nDescription: empty\n{fields}"
    (tree / "DEBIAN/control").write_text(control)
    for script, text in (scripts or {}).items():
        (tree / "DEBIAN" / script).write_text(text)
        (tree / "DEBIAN" / script).chmod(0o755)
    target = directory / f"{name}_{version}_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, target], check=True, capture_output=True)


def make_key(home: Path) -> str:
    """Make a key in `home`; return its public part, armoured."""
    home.mkdir(mode=0o700)
    _gpg(home, "--quick-generate-key", "packages@example.com", "ed25519", "sign", "never")
    return _gpg(home, "--armor", "--export")


def origin(directory: Path) -> Origin:
    """Return a repository that has A, B and C."""
    made = Origin(path=directory / "debs", key=make_key(directory / "gnupg"), home=directory / "gnupg")
    made.path.mkdir()
    build(made.path, A, "1.0")
    build(made.path, A, "2.0")
    build(made.path, B, "1.0", fields=f"Conflicts: {A}\n")
    build(made.path, C, "1.0", fields=f"Depends: {A}\n")
    made.publish()
    return made


@dataclass
class Machine:
    """A root with an empty database of packages, and what a fleet holds there."""

    root: Path
    environment: Mapping[str, str]
    former: State | None = None
    lock_wait: float = 0.0
    is_stopping: bool = False
    remembered: Remembered = field(default_factory=Remembered)

    @classmethod
    def make(cls, root: Path) -> "Machine":
        """Return a new one."""
        for name in ("etc/apt/apt.conf.d", "etc/apt/preferences.d", "etc/apt/sources.list.d", "etc/apt/trusted.gpg.d"):
            (root / name).mkdir(parents=True)
        for name in (
            "lib/dpkg/info",
            "lib/dpkg/updates",
            "lib/dpkg/triggers",
            "lib/apt/lists/partial",
            "cache/apt/archives/partial",
            "log/apt",
        ):
            (root / "var" / name).mkdir(parents=True)
        (root / "var/lib/dpkg/status").touch()
        (root / "apt.conf").write_text('APT::Sandbox::User "root";\n')
        return cls.again(root)

    @classmethod
    def again(cls, root: Path) -> "Machine":
        """Return the one that was made at `root`."""
        return cls(root, {**ENVIRONMENT, **FORCE, "APT_CONFIG": str(root / "apt.conf")})

    @property
    def here(self) -> Surroundings:
        """What plans are made for."""
        return Surroundings(
            host=Host(self.root),
            run=Commands(environment=self.environment),
            tenant="shop",
            agent="web-01",
            stopping=self.stopping,
            lock_wait=self.lock_wait,
            remembered=self.remembered,
        )

    def stopping(self) -> bool:
        """Say whether the agent ends."""
        return self.is_stopping

    @property
    def account(self) -> Account:
        """The written account."""
        return Account(self.root / "account.json")

    def plan(self, state: State, *, refresh: bool = True) -> list[str]:
        """Return what would be changed, as sentences."""
        return [why for fix in converge.plan(state, self.former, self.here, refresh=refresh) for why in fix.why]

    def apply(self, state: State) -> list[str]:
        """Bring the machine to `state`; return the account's lines."""
        fixes = converge.plan(state, self.former, self.here)
        converge.carry_out(fixes, self.account, stopping=self.stopping)
        self.former = state
        return [entry.line() for entry in self.account.read()] if fixes else []

    def installed(self) -> dict[str, str]:
        """Return what dpkg says: package → its version, marked where it is held or half done."""
        form = "${Package} ${Version} ${db:Status-Want} ${db:Status-Status}\n"
        said = subprocess.run(["dpkg-query", f"--root={self.root}", "-W", "-f", form], capture_output=True, text=True, check=False).stdout
        rows = [line.split() for line in said.splitlines()]
        marks = {"hold": " held", "install": ""}
        return {
            row[0]: row[1] + marks.get(row[2], f" {row[2]}") + ("" if row[3] == "installed" else f" {row[3]}")
            for row in rows
            if row[3] not in ("config-files", "not-installed")
        }


def packages(origin: Origin, *wanted: Package) -> State:
    """Return a state with the repository and these packages."""
    return State(repositories=[origin.repository()], packages=list(wanted))
