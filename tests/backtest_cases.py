"""A history with known right answers, made by git: who merged what when, and which rule would have refused it.

day 0  root      Ana   all of it
day 1  bad       Ben   motd is world-writable                         refused: it is new here
day 2  more      Ana   motd says something else, and stays as it is   not refused: it stood before
day 3  undo      Cy    "This reverts commit <bad>"; motd is well again
day 4  merged    Dee   merges a branch on which
                        ├─ Ben  makes backup world-writable           refused, and Ben wrote it
                        └─ Cy   adds an agent
day 5  broken    Ana   issue is no YAML                               can't be read
day 6  excused   Ana   issue is world-writable, with a waiver         waived
day 7  sourced   Ben   only a file beside guide changes               not refused by this rule
day 8  last      Cy    takes backup's mode back
"""

import os
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.acceptance_cases import agent, component, repository

RULE = "host-safety/world-writable"
BEGIN = datetime(2026, 9, 1, 12, tzinfo=UTC)
MOTD, BACKUP = "tenants/shop/components/motd.yaml", "tenants/shop/components/backup.yaml"
ISSUE, GUIDE = "tenants/lab/components/issue.yaml", "tenants/shop/components/guide.yaml"
WAIVER = f"""apiVersion: ordain.dev/v1
kind: Waiver
metadata: {{name: issue, tenant: lab}}
spec:
  rule: {RULE}
  object: {{kind: Component, name: issue}}
  at: files[/etc/issue].mode
  value: "0666"
  reason: old readers
  owner: ana@example.com
  expires: 2026-10-01
"""
_GUIDE = component("guide", "/etc/guide").replace('content: "hello"', "source: files/guide.txt")


@dataclass(frozen=True, slots=True)
class Told:
    """A repository and the shas of its commits by name."""

    root: Path
    shas: dict[str, str] = field(default_factory=dict)

    def git(self, *arguments: str, day: float = 0, who: str = "Ana") -> str:
        """Run git as somebody, at noon of a day."""
        when = (BEGIN + timedelta(days=day)).strftime("%Y-%m-%dT%H:%M:%S+0000")
        people = {f"GIT_{role}_{what}": f"{who}{at}" for role in ("AUTHOR", "COMMITTER") for what, at in (("NAME", ""), ("EMAIL", "@x"))}
        dates = {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        environment = {**os.environ, **people, **dates}
        return subprocess.run(
            ["git", *arguments], cwd=self.root, check=True, capture_output=True, text=True, env=environment
        ).stdout.strip()

    def commit(self, name: str, files: dict[str, str], *, day: float, who: str, message: str = "") -> str:
        """Write files, commit them and keep the sha under a name."""
        for path, text in files.items():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message or name, day=day, who=who)
        return self._keep(name)

    def merge(self, name: str, branch: str, *, day: float, who: str) -> str:
        """Merge a branch with a commit of its own."""
        self.git("merge", "--quiet", "--no-ff", "-m", name, branch, day=day, who=who)
        return self._keep(name)

    def _keep(self, name: str) -> str:
        self.shas[name] = self.git("rev-parse", "HEAD")
        return self.shas[name]


def told(root: Path) -> Told:
    """Make the history that is drawn above."""
    root.mkdir(parents=True)
    made = Told(root)
    made.git("init", "--quiet", "--initial-branch=main")
    files = {**repository(), GUIDE: _GUIDE, "tenants/shop/components/files/guide.txt": "one\n"}
    made.commit("root", files, day=0, who="Ana")
    bad = made.commit("bad", {MOTD: component("motd", "/etc/motd", mode="0666")}, day=1, who="Ben")
    made.commit("more", {MOTD: component("motd", "/etc/motd", "good day", mode="0666")}, day=2, who="Ana")
    well = {MOTD: component("motd", "/etc/motd", "good day")}
    made.commit("undo", well, day=3, who="Cy", message=f"Not for everybody\n\nThis reverts commit {bad}.")
    made.git("switch", "--quiet", "--create", "topic")
    made.commit("inner", {BACKUP: component("backup", "/etc/backup.conf", mode="0666")}, day=3.2, who="Ben")
    made.commit("agent", {"tenants/shop/agents/web-03.yaml": agent("web-03", role="web")}, day=3.4, who="Cy")
    made.git("switch", "--quiet", "main")
    made.merge("merged", "topic", day=4, who="Dee")
    made.commit("broken", {ISSUE: "kind: [\n"}, day=5, who="Ana")
    excused = {ISSUE: component("issue", "/etc/issue", owner="lab", mode="0666"), "tenants/lab/waivers/issue.yaml": WAIVER}
    made.commit("excused", excused, day=6, who="Ana")
    made.commit("sourced", {"tenants/shop/components/files/guide.txt": "two\n"}, day=7, who="Ben")
    made.commit("last", {BACKUP: component("backup", "/etc/backup.conf", mode="0640")}, day=8, who="Cy")
    return made
