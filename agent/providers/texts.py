"""Small files that providers keep: read within a bound, written whole beside the target and renamed over it.

All of it goes through `Host`: no symbolic link is followed at the end of a path, and none among its parents that can't be trusted.
"""

import errno

from agent.host import STAGED_PREFIX, Host, Observed
from agent.protocol.errors import RefusedError, RetryError

LIMIT = 1024 * 1024
"""Bytes of a file that is read whole: an /etc/hosts of 20,000 lines has half of it."""
MODE = 0o644
"""Of files that a provider makes: repositories, kernel settings. None holds a secret."""


def read(host: Host, path: str) -> tuple[bytes | None, Observed]:
    """Return the content of the file at `path`, None where there is none, and what stands there.

    Raises:
        RefusedError: a symlink, a directory or another thing stands there, or a file over `LIMIT`.
    """
    seen = host.observe(path)
    if seen.kind == "absent":
        return None, seen
    if seen.kind == "symlink":
        message = f"{path} is a symlink to {seen.target}, and a link is not followed: name the file that is meant"
        raise RefusedError(message)
    if seen.kind != "file":
        message = f"{path} is a directory or device, not a file"
        raise RefusedError(message)
    content = b""
    for chunk in host.read(path):
        content += chunk
        if len(content) > LIMIT:
            message = f"{path} has more than {LIMIT // 1024} KiB, too much for a file that is written anew with each change"
            raise RefusedError(message)
    return content, seen


def put(host: Host, path: str, content: bytes, *, like: Observed | None = None) -> None:
    """Put `content` at `path`, for keeps: whoever reads, and a disk after a crash, has all of the old or of the new.

    Mode, owner and SELinux context are those of `like`; a new file has mode 0644 and is the agent's own user's. Missing
    directories are made.

    Raises:
        RefusedError: no other file can take that place, such as where a container has a file mounted.
        RetryError: somebody changed the file since it was `like`.
        OSError: the disk is full, read-only, or says no in another way.
    """
    _make_parents(host, path)
    staged = beside(path)
    host.remove(staged)
    kept = like is not None and like.kind == "file"
    host.stage(
        staged,
        (content,),
        mode=like.mode if like and kept else MODE,
        owner=(like.uid, like.gid) if like and kept else (None, None),
        context=like.context if like else None,
    )
    try:
        if like is not None and host.observe(path).fingerprint != like.fingerprint:
            message = f"{path} was changed by somebody else at the same time; it is tried again"
            raise RetryError(message)
        host.rename(staged, path)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        message = f"{path} is a mount of its own (containers have such), so no other file can take its place"
        raise RefusedError(message) from error
    finally:
        host.remove(staged)
    host.sync(path)


def take_out(host: Host, path: str) -> None:
    """Remove the file at `path`, for keeps; none there is no error."""
    host.remove(path)
    host.sync(path)


def beside(path: str) -> str:
    """Return where the next content of `path` is staged: always at the same place, so that a crash leaves no second one."""
    directory, _, name = path.rpartition("/")
    return f"{directory}/{STAGED_PREFIX}{name}.next"


def _make_parents(host: Host, path: str) -> None:
    missing = []
    above = path.rpartition("/")[0]
    while above and host.observe(above).kind == "absent":
        missing.append(above)
        above = above.rpartition("/")[0]
    for directory in reversed(missing):
        host.make_directory(directory, mode=0o755, owner=(None, None))
        host.sync(directory)
