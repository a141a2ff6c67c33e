"""Real git repositories for tests, made by the git command, which knows nothing of the code under test."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

ENVIRONMENT = {
    "GIT_AUTHOR_NAME": "Ana",
    "GIT_AUTHOR_EMAIL": "ana@example.com",
    "GIT_COMMITTER_NAME": "Ana",
    "GIT_COMMITTER_EMAIL": "ana@example.com",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


@dataclass(frozen=True, slots=True)
class WorkingCopy:
    """A repository with a working tree on branch `main`."""

    path: Path

    @classmethod
    def make(cls, path: Path) -> "WorkingCopy":
        path.mkdir(parents=True)
        copy = cls(path)
        copy.git("init", "--quiet", "--initial-branch=main")
        return copy

    def git(self, *arguments: str, stdin: bytes | None = None) -> str:
        """Run git here and return what it prints."""
        done = subprocess.run(
            ["git", *arguments], cwd=self.path, check=True, capture_output=True, input=stdin, env={**os.environ, **ENVIRONMENT}
        )
        return done.stdout.decode(errors="surrogateescape").strip()

    def commit(
        self, message: str, files: dict[str, str | None] | None = None, *, date: str | None = None, options: tuple[str, ...] = ()
    ) -> str:
        """Write files (None removes one), commit with git's own `options`, and return the sha."""
        for name, text in (files or {}).items():
            file = self.path / name
            if text is None:
                file.unlink()
            else:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
        self.git("add", "--all")
        stamp = ("--date", date) if date else ()
        self.git(*options, "commit", "--quiet", "--allow-empty", "-m", message, *stamp)
        return self.git("rev-parse", "HEAD")

    def commits(self, count: int) -> list[str]:
        """Make so many commits on top of `main` at once, each with another file `a`, and return their shas; nothing is checked out."""
        begun = self.git("for-each-ref", "refs/heads/main")
        made = [
            f"commit refs/heads/main\ncommitter Ana <ana@example.com> {1_790_000_000 + number} +0000\ndata 0\n"
            + ("from refs/heads/main^0\n" if begun and number == 0 else "")
            + f"M 644 inline a\ndata {len(str(number))}\n{number}\n"
            for number in range(count)
        ]
        self.git("fast-import", "--quiet", stdin="".join(made).encode())
        return self.git("rev-list", "--reverse", f"--max-count={count}", "main").split()

    def object(self, kind: str, data: bytes) -> str:
        """Write an object as it is, however hostile, and return its id."""
        return self.git("hash-object", "-t", kind, "-w", "--literally", "--stdin", stdin=data)

    def commit_tree(self, tree: str, message: str = "made by hand") -> str:
        """Let `main` point to a new commit of a tree that no working copy could hold."""
        sha = self.git("commit-tree", tree, "-m", message)
        self.git("update-ref", "refs/heads/main", sha)
        return sha


def tree_record(mode: str, name: bytes, oid: str) -> bytes:
    """Return one record of a tree object."""
    return b"%s %s\0%s" % (mode.encode(), name, bytes.fromhex(oid))
