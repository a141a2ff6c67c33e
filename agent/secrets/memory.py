"""Whether a path lies in memory: what is there goes when the power does."""

from pathlib import Path

IN_MEMORY = frozenset({"tmpfs", "ramfs"})
MOUNTS = Path("/proc/self/mountinfo")


def kind_below(path: Path) -> str:
    """Return the kind of the file system that holds a path, empty where that can't be told. proc_pid_mountinfo(5)."""
    found, longest = "", -1
    for line in _mounts():
        fields, _, rest = line.partition(" - ")
        words = fields.split(" ")
        place = words[4].encode().decode("unicode_escape") if len(words) > 4 else ""  # noqa: PLR2004 - the fifth field
        if place and len(place) >= longest and (path == Path(place) or Path(place) in path.parents):
            found, longest = rest.split(" ")[0], len(place)
    return found


def warning(path: str, outside: Path) -> tuple[str, ...]:
    """Return that a file with a secret lies on a disk, nothing where it lies in memory."""
    kind = kind_below(outside.parent)
    if not kind or kind in IN_MEMORY:
        return ()
    return (f"{path} holds a secret and lies on a disk ({kind}): below /run it would go when the power does",)


def _mounts() -> list[str]:
    try:
        return MOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        return []
