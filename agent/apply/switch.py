"""The switch: from here on names change, one rename at a time, and each can be taken back.

`take_back` works from the journal alone, may be repeated after a crash in its midst, and ends with what stood there.
"""

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from agent.apply import saved as images
from agent.apply.journal import Step
from agent.apply.plan import Action, attributes
from agent.apply.saved import Saved
from agent.host import STAGED_PREFIX, EscapeError, Host
from agent.protocol import durable, faults

PLACES = ("agent:mid-switch", "agent:tree-aside", "agent:mid-restore")
"""Where a crash test may kill the agent here."""


def keep_images(host: Host, actions: Sequence[Action], directory: Path, *, replacing: frozenset[str]) -> list[Saved]:
    """Keep what stands at each action's path, fsynced, and return the images in the actions' order."""
    images.empty(directory)
    durable.make_directory(directory, mode=0o700)
    kept = [_keep(host, action, directory / str(number), replacing) for number, action in enumerate(actions)]
    durable.sync_directory(directory)
    return kept


def _keep(host: Host, action: Action, blob: Path, replacing: frozenset[str]) -> Saved:
    if action.cleared:
        return Saved(kind="absent")
    # what goes lies where the links of now lead, what comes lies below the directories to be
    seen = host.observe(action.path, replacing=frozenset() if action.item is None else replacing)
    if seen.kind != "file" or action.kind == "attributes":
        return images.describe(seen)
    images.keep_content(host, action.path, blob)
    return images.describe(seen, blob=blob.name)


def switch(host: Host, actions: Sequence[Action], steps: Sequence[Step]) -> None:
    """Carry the actions out in order, then fsync every directory that changed; raises `OSError` when one fails."""
    touched = []
    for number, (action, step) in enumerate(zip(actions, steps, strict=True)):
        if number:
            faults.reached("agent:mid-switch")
        if step.kept is not None:
            host.rename(action.path, step.kept)
            faults.reached("agent:tree-aside")
        _carry_out(host, action, step.staged)
        touched.append(action.path)
    sync_directories(host, touched)


def _carry_out(host: Host, action: Action, staged: str | None) -> None:
    mode, owner = attributes(action)
    if action.brings_tree and staged is not None:
        host.rename(staged, action.path)
    elif action.kind == "put" and staged is not None:
        host.rename(staged, action.path)
        host.remove(staged)  # renaming one name of a file over another of the same file does nothing
    elif action.kind == "mkdir":
        host.make_directory(action.path, mode=mode, owner=owner)
    elif action.kind == "attributes":
        host.set_attributes(action.path, mode=mode, owner=owner)
    else:
        _remove(host, action)


def _remove(host: Host, action: Action) -> None:
    if host.observe(action.path).kind != "directory":
        host.remove(action.path)
    elif not host.remove_directory(action.path) and action.item is not None:
        message = "it must go, and others have put something into it"
        raise OSError(message)


def take_back(host: Host, steps: Sequence[Step], blobs: Path, *, transaction: str) -> None:
    """Put back what stood there before, last change first."""
    for number in reversed(range(len(steps))):
        step = steps[number]
        faults.reached("agent:mid-restore")
        if step.kept is not None:
            _tree_back(host, step, step.kept)
        elif step.inode:
            _discard_tree(host, step)
        elif step.before is not None:
            beside = f"{step.path.rpartition('/')[0]}/{STAGED_PREFIX}{transaction}-{number}-back"
            images.put_back(host, step.path, step.before, blobs, beside=beside)
    remove_staged(host, steps)
    sync_directories(host, [step.path for step in steps])


def _tree_back(host: Host, step: Step, kept: str) -> None:
    """Put a tree back from where it was put aside; if it isn't there it never left, or is back already."""
    if host.observe(kept).kind == "absent":
        return
    _discard_tree(host, step)
    seen = host.observe(step.path)
    if seen.kind in ("file", "symlink", "other"):
        host.remove(step.path)
    elif seen.kind == "directory" and not host.remove_directory(step.path):
        return  # others have put something there meanwhile: it stays, and what was kept is fetched again when it is wanted
    host.rename(kept, step.path)


def _discard_tree(host: Host, step: Step) -> None:
    """Remove the tree that this transaction put at a step's path, and nothing else that stands there."""
    if step.inode and host.observe(step.path).inode == step.inode:
        host.discard(step.path)


def remove_staged(host: Host, steps: Iterable[Step]) -> None:
    """Remove what was staged or put aside and is still there."""
    for step in steps:
        for path in (step.staged, step.kept):
            if path is not None:
                host.discard(path)


def sync_directories(host: Host, paths: Iterable[str]) -> None:
    """Fsync each directory that holds one of the paths, once; one that became a link that leads away is no more."""
    for path in {path.rpartition("/")[0]: path for path in paths}.values():
        with contextlib.suppress(EscapeError):
            host.sync(path)
