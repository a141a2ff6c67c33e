"""One commit of some files, as the person's own git makes it: with their name, their hooks, and their signature where they sign."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from agent.protocol.errors import InputError, RetryError
from reconciler.printable import printable

GIT_SECONDS = 120
"""A person may be asked for a passphrase or for a touch of their key."""


def require_git(repository: Path) -> None:
    """Raise `InputError` where there is no git repository to commit to, before anything is written."""
    if _git(repository, "rev-parse", "--is-inside-work-tree").returncode:
        message = f"{repository} is in no git repository, so nothing can be committed; leave the commit out, or run `git init` there"
        raise InputError(message)


def make(repository: Path, files: Sequence[str], message: str) -> str:
    """Commit just these files, whatever else is staged or changed; return the commit's id.

    Raises:
        RetryError: git refuses: nobody told it who you are, a hook says no, or your key can't be used. The files are written all the same.
    """
    listed = "\0".join(files).encode()
    for words in (("add",), ("commit", "--quiet", f"--message={message}", "--only")):
        done = _git(repository, *words, "--pathspec-from-file=-", "--pathspec-file-nul", paths=listed)
        if done.returncode:
            why = printable(" ".join(done.stderr.decode(errors="replace").split()))[:400]
            text = f"the files are written, and git can't commit them: {why}; mend that, then `git add` and `git commit` them"
            raise RetryError(text)
    return _git(repository, "rev-parse", "HEAD").stdout.decode().strip()


def _git(repository: Path, *words: str, paths: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = ["git", "--literal-pathspecs", "-C", str(repository), *words]
    try:
        return subprocess.run(command, input=paths, capture_output=True, timeout=GIT_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        message = f"git can't be run: {error}"
        raise RetryError(message) from error
