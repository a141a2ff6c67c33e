"""A fleet repository in a working copy, read as it is on the disk; any other directory is refused before it is walked through."""

from pathlib import Path

from agent.protocol.errors import InputError
from reconciler.pipeline.acceptance.corpus import Corpus, load
from reconciler.pipeline.manifests import REPOSITORY_FILE
from reconciler.pipeline.snapshot import DirectoryTree


def corpus_of(repository: Path) -> Corpus:
    """Return what a fleet repository holds; raise `InputError` where the directory is none."""
    if not (repository / REPOSITORY_FILE).is_file():
        message = f"{repository}: it has no {REPOSITORY_FILE}, so it is not the root of a fleet repository; name that"
        raise InputError(message)
    return load(DirectoryTree(repository))
