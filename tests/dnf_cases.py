"""Real dnf and rpm on a root of their own: harmless empty packages, signed, in a repository in a directory.

rpm's database lies in the root too (`--root`, `--installroot`); on Debian, rpm keeps it below the home that it is told.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from agent.protocol.state import Repository
from tests.apt_cases import A, B, C, make_key


@dataclass(frozen=True)
class Origin:
    """A repository of dnf in a directory, and its key."""

    path: Path
    key: str
    home: Path

    def repository(self, name: str = "ours") -> Repository:
        """Return it as a release has it."""
        return Repository(name=name, manager="dnf", url=f"file://{self.path}", key=self.key)

    def build(self, name: str, version: str, fields: str = "") -> None:
        """Build an empty package and sign it."""
        work = self.path.parent / "build"
        work.mkdir(exist_ok=True)
        spec = work / f"{name}.spec"
        spec.write_text(
            f"Name: {name}\nVersion: {version}\nRelease: 1\nSummary: empty\nLicense: none\nBuildArch: noarch\n{fields}\n"
            "%description\nempty\n%files\n"
        )
        places = ["--define", f"_topdir {work}", "--define", f"_rpmdir {self.path}"]
        subprocess.run(["rpmbuild", "-bb", "--quiet", *places, spec], check=True, capture_output=True)
        made = self.path / "noarch" / f"{name}-{version}-1.noarch.rpm"
        signing = ["--define", f"_gpg_path {self.home}", "--define", "_gpg_name packages@example.com", "--define", "__gpg /usr/bin/gpg"]
        subprocess.run(["rpmsign", *signing, "--addsign", made], check=True, capture_output=True)

    def publish(self) -> None:
        """Write its lists."""
        subprocess.run(["createrepo_c", "--quiet", self.path], check=True, capture_output=True)


def origin(directory: Path) -> Origin:
    """Return a repository that has A in two versions, B which A conflicts with, and C which needs A."""
    made = Origin(path=directory / "rpms", key=make_key(directory / "gnupg"), home=directory / "gnupg")
    made.path.mkdir()
    made.build(A, "1.0")
    made.build(A, "2.0")
    made.build(B, "1.0", f"Conflicts: {A}\n")
    made.build(C, "1.0", f"Requires: {A}\n")
    made.publish()
    return made


def make_root(root: Path) -> None:
    """Make a root that has dnf's settings, and those of its versionlock plugin, and nothing else."""
    (root / "etc/dnf/plugins").mkdir(parents=True)
    (root / "etc/yum.repos.d").mkdir()
    (root / "etc/dnf/dnf.conf").write_text("[main]\ngpgcheck=1\nreleasever=1\n")
    locks = root / "etc/dnf/plugins/versionlock.list"
    locks.touch()
    (root / "etc/dnf/plugins/versionlock.conf").write_text(f"[main]\nenabled=1\nlocklist={locks}\n")
    (root / "etc/dnf/plugins/local.conf").write_text("[main]\nenabled=0\n")
