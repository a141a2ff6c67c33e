"""Labels of an agent or a pool, changed in its manifest in a working copy; comments and everything else stay as they are."""

from collections.abc import Mapping
from pathlib import Path

from agent.protocol.errors import InputError
from reconciler.inventory import commit as commits
from reconciler.inventory.hosts import Note, require_fitting
from reconciler.inventory.working_copy import corpus_of
from reconciler.inventory.writing import Written
from reconciler.manifest_edit import Edit, edited, write
from reconciler.pipeline.compile import manifest
from reconciler.pipeline.compile.findings import did_you_mean
from reconciler.pipeline.compile.index import MEMBER
from reconciler.pipeline.manifests import Document


def set_labels(repository: Path, tenant: str, agent: str, changes: Mapping[str, str | None], *, commit: bool = False) -> Written:
    """Set labels of an agent or a pool in its manifest, or remove those whose value is None; with `commit`, commit that file alone.

    Raises:
        InputError: no fleet repository, no such agent there, a label is none, or the manifest is written so that a person has to edit it.
        RetryError: git refuses the commit.
    """
    require_fitting({key: value or "" for key, value in changes.items()})
    document = _document(repository, tenant, agent)
    edits = list(_edits(document, changes))
    if not edits:
        return Written(files=(), notes=(Note(name=agent, what="its labels are so already"),))
    if commit:
        commits.require_git(repository)
    path = repository / document.path
    write(path, edited(path.read_bytes(), edits, path=document.path))
    said = ", ".join(f"{key}={value}" if value is not None else f"{key} gone" for key, value in changes.items())
    made = commits.make(repository, (document.path,), f"Labels of {tenant}/{agent}: {said}") if commit else ""
    return Written(files=(document.path,), commit=made)


def labels_of(repository: Path, tenant: str, agent: str) -> dict[str, str]:
    """Return the labels of an agent or a pool in a working copy; raise `InputError` where there is none."""
    return manifest.labels(_document(repository, tenant, agent))


def _document(repository: Path, tenant: str, agent: str) -> Document:
    corpus = corpus_of(repository)
    index = corpus.world.tenant(tenant)
    found = index.get(MEMBER, agent)
    if found is None:
        message = f"{repository}: tenant {tenant} has no agent or pool {agent}; {did_you_mean(agent, index.of(MEMBER))}"
        raise InputError(message)
    return found


def _edits(document: Document, changes: Mapping[str, str | None]) -> list[Edit]:
    """Return the edits that are needed; a mapping of labels that is not there yet is made by the first of them."""
    present = manifest.labels(document)
    there = "labels" in document.metadata and document.metadata["labels"] is not None
    setting = {key: value for key, value in changes.items() if value is not None and present.get(key) != value}
    edits = [_edit(document, ("metadata", "labels", key), gone=True) for key, value in changes.items() if value is None and key in present]
    if setting and not there:
        return [*edits, Edit(document=document.index, pointer=("metadata", "labels"), value=setting, after=("tenant", "name"))]
    return [*edits, *(Edit(document=document.index, pointer=("metadata", "labels", key), value=value) for key, value in setting.items())]


def _edit(document: Document, pointer: tuple[str, ...], *, gone: bool) -> Edit:
    return Edit(document=document.index, pointer=pointer, value=None, gone=gone)
