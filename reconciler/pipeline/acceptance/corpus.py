"""A snapshot with its manifests read: what one decision starts from and the next one begins with."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice

from reconciler.pipeline.compile.world import World, build
from reconciler.pipeline.finding import Finding, ObjectName
from reconciler.pipeline.manifests import REPOSITORY_FILE, Document, Layout, ParsedFile, is_manifest, layout_of, parse_file
from reconciler.pipeline.tree import EMPTY, Tree
from reconciler.pipeline.validation import validate
from reconciler.pipeline.validation.structure import FINDINGS_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestFile:
    """A file that was read and validated; with a deny among its findings, its documents don't count."""

    parsed: ParsedFile
    findings: tuple[Finding, ...]

    @property
    def refused(self) -> bool:
        """Whether it can't be accepted, whatever else there is."""
        return any(finding.action == "deny" for finding in self.findings)

    @property
    def documents(self) -> tuple[Document, ...]:
        """What the file brings to the fleet repository."""
        return () if self.refused else self.parsed.documents


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """A snapshot, its manifest files by path, its documents by object, and the world that they make."""

    tree: Tree
    layout: Layout
    files: Mapping[str, ManifestFile]
    objects: Mapping[ObjectName, Document]
    world: World

    @property
    def repository(self) -> Document | None:
        """The document of `ordain.yaml`, None where there is none."""
        return repository_of(self.files.get(REPOSITORY_FILE))


def repository_of(file: ManifestFile | None) -> Document | None:
    """Return the Repository manifest of `ordain.yaml`, None where that is missing or refused."""
    documents = file.documents if file else ()
    return next((document for document in documents if document.kind == "Repository"), None)


Reader = Callable[[Tree, str, Layout], ManifestFile]
"""What reads and validates one manifest file of a snapshot: `read_file`, or what remembers its results."""


def read_file(tree: Tree, path: str, layout: Layout, *, oid: str = "") -> ManifestFile:
    """Read and validate one manifest file; `oid` is the id of its content, where that is known."""
    return read_content(path, tree.read(path), layout, oid=oid)


def read_content(path: str, data: bytes, layout: Layout, *, oid: str = "") -> ManifestFile:
    """Read and validate what a manifest file holds, as `read_file`."""
    parsed = parse_file(path, data, oid)
    found = list(islice((one for document in parsed.documents for one in validate(document, layout)), FINDINGS_LIMIT + 1))
    if len(found) > FINDINGS_LIMIT:
        found[FINDINGS_LIMIT:] = [_too_many(found[0])]
    return ManifestFile(parsed=parsed, findings=(*parsed.findings, *found))


def _too_many(first: Finding) -> Finding:
    """Return the refusal of a file with so many findings that the rest of it was not looked at."""
    code = "manifest/too-many-findings"
    message = f"more than {FINDINGS_LIMIT} findings in one file: the rest of it was not looked at"
    return replace(first, action="deny", rule=code, code=code, message=message, remedy="mend these first", meant="", needs=())


def read_repository(tree: Tree) -> Document | None:
    """Return the Repository manifest of a snapshot, None where `ordain.yaml` is missing or refused."""
    return repository_of(read_file(tree, REPOSITORY_FILE, Layout())) if REPOSITORY_FILE in tree.entries else None


def read_layout(tree: Tree) -> Layout:
    """Return the layout that a snapshot's own `ordain.yaml` states, the default where it states none."""
    return layout_of(read_repository(tree))


def load(tree: Tree, *, read: Reader = read_file) -> Corpus:
    """Read a whole snapshot that was accepted before: refused files in it are passed over."""
    layout = read_layout(tree)
    files = {path: read(tree, path, layout) for path in tree.entries if is_manifest(path, layout)}
    return assemble(tree, layout, files)


def assemble(tree: Tree, layout: Layout, files: Mapping[str, ManifestFile]) -> Corpus:
    """Make a corpus of files that are read already."""
    documents = [document for file in files.values() for document in file.documents]
    return Corpus(tree=tree, layout=layout, files=files, objects=by_name(documents), world=build(documents, layout))


def by_name(documents: Iterable[Document]) -> dict[ObjectName, Document]:
    """Index documents by object; of two with one name the first counts, and the duplicate is a finding elsewhere."""
    found: dict[ObjectName, Document] = {}
    for document in documents:
        if document.name is not None:
            found.setdefault(document.name, document)
    return found


EMPTY_CORPUS = Corpus(tree=EMPTY, layout=Layout(), files={}, objects={}, world=build((), Layout()))
"""What is accepted before the first commit."""
