"""Fleet repository files, read into documents; see `tree` for where the bytes come from.

A file is read whole or refused whole: the file is the unit of acceptance. What stands under a directory named
`files` is a source of some component and never a manifest, whatever it is called.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from reconciler.pipeline.finding import Finding, ObjectName, Place
from reconciler.pipeline.nodes import SHOWN, ReadingRefused
from reconciler.pipeline.positions import locate, pointer_text, verdict
from reconciler.pipeline.reading import read
from reconciler.pipeline.snapshot import DirectoryTree, inspect_names, inspect_tree
from reconciler.printable import clipped

__all__ = [
    "REPOSITORY_FILE",
    "SIGNERS_DIRECTORY",
    "SOURCES_DIRECTORY",
    "DirectoryTree",
    "Document",
    "Layout",
    "ParsedFile",
    "inspect_names",
    "inspect_tree",
    "is_judge",
    "is_manifest",
    "is_signers",
    "layout_of",
    "locate",
    "object_name",
    "parse_file",
    "pointer_text",
    "verdict",
]

REPOSITORY_FILE = "ordain.yaml"
"""The one manifest that stands at the root: it says where all others are."""
SOURCES_DIRECTORY = "files"
"""What lies under a directory of this name is content for hosts, so YAML there is not read."""
SIGNERS_DIRECTORY = "signers"
"""At the root it holds the signers of the whole repository, in a tenant's directory those of the tenant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Which directories hold what, relative to the root, without slashes at either end."""

    tenants: str = "tenants"
    library: str = "library"
    policies: str = "policies"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One YAML document: `index` counts from 0 within its file, empty documents included.

    `value` is a mapping of plain values (str, int, float, bool, None, list, dict with text keys); nobody changes it.
    `name` is None where kind or name can't be read; its tenant is empty where the manifest names none. `oid` is git's id
    of the file's content, where it is known.
    """

    path: str
    index: int
    value: dict[str, Any]
    name: ObjectName | None
    oid: str = field(default="", compare=False)

    @property
    def kind(self) -> str:
        """The kind as written, empty where it is missing or no text."""
        kind = self.value.get("kind")
        return kind if isinstance(kind, str) else ""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The metadata, empty where they are missing or no mapping."""
        return _mapping(self.value.get("metadata"))

    @property
    def labels(self) -> Mapping[str, Any]:
        """The labels, empty where they are missing or no mapping."""
        return _mapping(self.metadata.get("labels"))

    @property
    def spec(self) -> Mapping[str, Any]:
        """The spec, empty where it is missing or no mapping."""
        return _mapping(self.value.get("spec"))

    def place(self, *pointer: str | int) -> Place:
        """Return the place of a pointer into this document."""
        return Place(file=self.path, document=self.index, pointer=pointer)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedFile:
    """A file that was read, or refused: with findings there are no documents. `oid` is git's blob id."""

    path: str
    oid: str
    documents: tuple[Document, ...] = ()
    findings: tuple[Finding, ...] = ()


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def layout_of(document: Document | None) -> Layout:
    """Return the layout that `ordain.yaml` states; for what it leaves out, or states as nonsense, the default."""
    stated = document.spec if document is not None else {}
    default = Layout()
    return Layout(
        tenants=_directory(stated.get("tenants"), default.tenants),
        library=_directory(stated.get("library"), default.library),
        policies=_directory(stated.get("policies"), default.policies),
    )


def _directory(stated: object, default: str) -> str:
    parts = _text(stated).split("/")
    return default if not all(part not in ("", ".", "..") for part in parts) else "/".join(parts)


def is_manifest(path: str, layout: Layout | None = None) -> bool:
    """Return whether a path is read as manifests: `ordain.yaml`, and YAML under tenants, library and signers but for sources."""
    if path == REPOSITORY_FILE:
        return True
    if not path.endswith((".yaml", ".yml")):
        return False
    return path.startswith(_roots(layout or Layout())) and f"/{SOURCES_DIRECTORY}/" not in f"/{path}"


@cache
def _roots(layout: Layout) -> tuple[str, ...]:
    return f"{layout.tenants}/", f"{layout.library}/", f"{SIGNERS_DIRECTORY}/"


def is_judge(path: str, layout: Layout) -> bool:
    """Return whether a path is part of what decides for all: `ordain.yaml`, the policies, and the signers of the whole repository."""
    return path == REPOSITORY_FILE or path.startswith((layout.policies + "/", SIGNERS_DIRECTORY + "/"))


def is_signers(path: str, layout: Layout) -> bool:
    """Return whether a path lies where signers do: `signers/`, or `tenants/<tenant>/signers/`."""
    if path.startswith(SIGNERS_DIRECTORY + "/"):
        return True
    inside = path.removeprefix(layout.tenants + "/").split("/") if path.startswith(layout.tenants + "/") else []
    return len(inside) > 2 and inside[1] == SIGNERS_DIRECTORY  # noqa: PLR2004 - a tenant, the directory, and a file


def object_name(value: Mapping[str, Any]) -> ObjectName | None:
    """Return which object a manifest is, None where its kind or name is missing or no text."""
    metadata = _mapping(value.get("metadata"))
    kind, name = _text(value.get("kind")), _text(metadata.get("name"))
    return ObjectName(kind=kind, tenant=_text(metadata.get("tenant")), name=name) if kind and name else None


def parse_file(path: str, data: bytes, oid: str = "") -> ParsedFile:
    """Read a file into documents, or say in findings (rule `manifest/syntax`) why it can't be."""
    try:
        values = read(data)
    except ReadingRefused as refusal:
        place = Place(file=path, document=refusal.document, line=refusal.line, column=refusal.column)
        finding = _refused(refusal.code, str(refusal), refusal.remedy, place)
        return ParsedFile(path=path, oid=oid, findings=(finding,))
    findings = tuple(_not_a_mapping(path, values))
    if findings:
        return ParsedFile(path=path, oid=oid, findings=findings)
    documents = tuple(
        Document(path=path, index=index, value=value, name=object_name(value), oid=oid)
        for index, value in enumerate(values)
        if value is not None
    )
    return ParsedFile(path=path, oid=oid, documents=documents)


def _not_a_mapping(path: str, values: Iterable[object]) -> Iterable[Finding]:
    for index, value in enumerate(values):
        if value is not None and not isinstance(value, dict):
            message = f"a manifest is a mapping that begins with apiVersion and kind, and this is {_described(value)}"
            remedy = "put one manifest into each document; separate documents by a line `---`"
            yield _refused("yaml/not-a-mapping", message, remedy, Place(file=path, document=index))


def _described(value: object) -> str:
    return "a list" if isinstance(value, list) else f"the single value {clipped(repr(value), SHOWN)}"


def _refused(code: str, message: str, remedy: str, place: Place) -> Finding:
    return Finding(action="deny", rule="manifest/syntax", code=code, message=message, remedy=remedy, place=place)
