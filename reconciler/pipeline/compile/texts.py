"""The texts of a component in which references are filled in, and those in which a reference is a mistake.

References work in contents, commands, environments, units, probes' targets and values of the kernel's settings. They do not
work in names, paths, owners, images, addresses and digests, so that what policy judged is what a host gets: one that stands
there is an error rather than a literal.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

from agent.protocol import rendering
from agent.protocol.errors import MalformedError
from reconciler.pipeline import attestations
from reconciler.pipeline.compile import manifest
from reconciler.pipeline.compile.findings import across, did_you_mean, named
from reconciler.pipeline.compile.parameters import declared
from reconciler.pipeline.finding import Finding, Place, Pointer
from reconciler.pipeline.manifests import Document
from reconciler.pipeline.tree import Tree

TEXT_FIELDS: Mapping[str, tuple[str, ...]] = {
    "files": ("content", "check"),
    "probes": ("http", "tcp", "command", "file"),
    "processes": ("command", "environment"),
    "services": ("unit", "dropIns", "timer"),
    "containers": ("command", "environment"),
    "hostFiles": ("content",),
    "actions": ("run",),
    "secrets": ("vault",),
}
"""In which fields of which lists of a component references are filled in."""
TEXT_SOURCES = ("files", "services")
"""Lists whose sources are such texts, too."""
PLAIN_SECTIONS = (
    "artifacts",
    "processes",
    "services",
    "containers",
    "packageRepositories",
    "packages",
    "groups",
    "users",
    "hostFiles",
    "actions",
    "secrets",
)
"""Lists in which none is but in those fields."""
FINDINGS_LIMIT = 20
"""Findings of one sort about one text: each is placed by a look through the text, and a megabyte may hold 100,000."""
PLAIN_FIELDS = ("path", "target", "owner", "group", "mode")
"""Fields of files in which none is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One text. `source` is the path in the tree that it was read from, None where it stands in the manifest."""

    document: Document
    pointer: Pointer
    text: str
    source: str | None = None

    @property
    def used(self) -> tuple[tuple[str, str, int], ...]:
        """The references in it: (namespace, name, offset)."""
        return _references(self.text) if rendering.OPENING in self.text else ()

    def place(self, offset: int) -> Place:
        """Return the place of a character of it, in the source where it comes from one."""
        if self.source is None:
            return Place(file=self.document.path, document=self.document.index, pointer=self.pointer, offset=offset)
        before = self.text[:offset]
        return Place(file=self.source, line=before.count("\n") + 1, column=offset - (before.rfind("\n") + 1) + 1)


@lru_cache(maxsize=1024)
def _references(text: str) -> tuple[tuple[str, str, int], ...]:
    """Return the references in a text, which is asked about for each fleet that has it."""
    return tuple(rendering.references(text))


def literal_texts(component: Document) -> Iterator[Text]:
    """Yield the texts that stand in a component's manifest: contents, commands and probes' targets."""
    for field, names in TEXT_FIELDS.items():
        for index, item in manifest.items(component, field):
            for name in names:
                if name in item:
                    found = _strings(component, ("spec", field, index, name), item[name])
                    yield from found if name != "dropIns" else (text for text in found if text.pointer[-1] == "content")
    settings = manifest.mapping(manifest.mapping(component.spec.get("kernelSettings")).get("sysctl"))
    yield from _strings(component, ("spec", "kernelSettings", "sysctl"), settings)


def source_of(component: Document, pointer: Pointer, path: str, data: bytes) -> Text | None:
    """Return a source's text, None where it is not UTF-8: such a file is carried as it is."""
    try:
        return Text(document=component, pointer=pointer, text=data.decode(), source=path)
    except UnicodeDecodeError:
        return None


def texts_of(component: Document, tree: Tree) -> Iterator[Text]:
    """Yield all texts of a component in which references work, sources that are there among them."""
    yield from literal_texts(component)
    for pointer, source in manifest.sourced(component):
        path = manifest.source_path(component, source) if pointer[1] in TEXT_SOURCES else None
        data = read_source(tree, path) if path is not None else None
        if path is not None and data is not None:
            text = source_of(component, pointer, path, data)
            if text is not None:
                yield text


def read_source(tree: Tree, path: str) -> bytes | None:
    """Return the bytes of a source, None where the tree has no such file."""
    try:
        return tree.read(path)
    except KeyError:
        return None


def plain_texts(component: Document) -> Iterator[Text]:
    """Yield what may have a reference where none works: paths, owners, addresses, digests, what is fetched from where."""
    for index, item in manifest.items(component, "files"):
        for name in PLAIN_FIELDS:
            if name in item:
                yield from _strings(component, ("spec", "files", index, name), item[name], having=rendering.OPENING)
    for section in PLAIN_SECTIONS:
        for index, item in manifest.items(component, section):
            plain = {name: value for name, value in item.items() if name not in TEXT_FIELDS.get(section, ())}
            yield from _strings(component, ("spec", section, index), plain, having=rendering.OPENING)


def _strings(document: Document, pointer: Pointer, value: Any, *, having: str = "") -> Iterator[Text]:
    if isinstance(value, str):
        if having in value:
            yield Text(document=document, pointer=pointer, text=value)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _strings(document, (*pointer, index), item, having=having)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _strings(document, (*pointer, key), item, having=having)


def check_texts(component: Document, texts: Iterable[Text]) -> Iterator[Finding]:
    """Yield what is wrong with the references of a component's `texts`, whoever uses it; those to labels need the fleet."""
    known = declared(component)
    for text in texts:
        wrong = (
            finding for space, name, offset in text.used for finding in _check_reference(component, text.place(offset), space, name, known)
        )
        yield from islice(wrong, FINDINGS_LIMIT)
        for written, offset in islice(rendering.near_misses(text.text), FINDINGS_LIMIT) if "${" in text.text else ():
            remedy = "references are ${agent.…}, ${labels.…}, ${parameters.…} and ${secret.…}, without spaces; $${…} is the literal"
            message = f"{written} is no reference and reaches the host as plain text"
            yield across("near-miss", component, (), message, remedy=remedy, place=text.place(offset), action="warn")
    for text in plain_texts(component):
        for space, name, offset in text.used:
            message = f"${{{space}.{name}}} stands where references are not filled in"
            remedy = (
                "references work in contents, commands, units and probes; what else differs between hosts goes into a component of its own"
            )
            yield across("reference-place", component, (), message, remedy=remedy, place=text.place(offset))


def _check_reference(component: Document, place: Place, space: str, name: str, known: Mapping[str, Any]) -> Iterator[Finding]:
    if space == "parameters" and name not in known:
        message = f"${{parameters.{name}}} is not a parameter of this component; {did_you_mean(name, known)}"
        remedy = f"declare it under spec.parameters in {component.path}, or write $${{parameters.{name}}} for the literal text"
        yield across("unresolved-reference", component, (), message, remedy=remedy, place=place)
    elif space == "agent" and name not in rendering.AGENT_FIELDS:
        message = f"${{agent.{name}}} is unknown; {did_you_mean(name, rendering.AGENT_FIELDS)}"
        remedy = f"an agent has {named(rendering.AGENT_FIELDS, limit=9)}"
        yield across("unresolved-reference", component, (), message, remedy=remedy, place=place)


def check_sources(component: Document, tree: Tree) -> Iterator[Finding]:
    """Yield the sources that are not in the tree, or lie where none may."""
    for pointer, source in manifest.sourced(component):
        yield from _missing(component, tree, pointer, source)


def check_provenance(component: Document, tree: Tree) -> Iterator[Finding]:
    """Yield provenance that is not there, can't be read, or is about another file than the artifact."""
    for index, item in manifest.items(component, "artifacts"):
        source = manifest.text(manifest.mapping(item.get("provenance")).get("source"))
        pointer = ("spec", "artifacts", index, "provenance", "source")
        yield from _missing(component, tree, pointer, source)
        path = manifest.source_path(component, source) if source else None
        data = read_source(tree, path) if path is not None else None
        if data is None:
            continue
        try:
            statements = attestations.read(data.decode(errors="replace"))
        except MalformedError as error:
            yield across("provenance", component, pointer, f"{source}: {error}", remedy="keep what cosign or the builder wrote, unchanged")
            continue
        about = {subject for one in statements for subject in one.subjects}
        for platform, digest in attestations.digests(item).items():
            if digest not in about:
                message = f"no statement in {source} is about {digest[:12]}…{f' ({platform})' if platform else ''}"
                yield across("provenance", component, pointer, message, remedy="fetch the provenance of this very build, or correct sha256")


def _missing(component: Document, tree: Tree, pointer: Pointer, source: str) -> Iterator[Finding]:
    path = manifest.source_path(component, source)
    if source and path is None:
        message = f"source {source} is not under a directory `files` beside this manifest"
        yield across("missing-source", component, pointer, message, remedy="move it to files/ beside this manifest and name it so")
    elif source and path is not None and read_source(tree, path) is None:
        message = f"source {source} is not in the repository: there is no {path}"
        also = (Place(file=path),)
        yield across("missing-source", component, pointer, message, remedy=f"add {path}, or name a file that exists", also=also)
