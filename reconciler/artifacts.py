"""Builds on their way into the store, and what their manifest must say of them.

A build lies under its digest in the directory of the tenant that may fetch it; one of a component of the library lies where all
tenants may. The store needs no signature for it: the digest stands in git, is judged there, and reaches hosts in a signed bundle.
"""

import hashlib
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.protocol.errors import InputError, RetryError
from reconciler.manifest_edit import Edit
from reconciler.pipeline.manifests import REPOSITORY_FILE, DirectoryTree, Document, is_manifest, layout_of, parse_file
from reconciler.publication import layout
from reconciler.publication.store import Store

CHUNK = 1024 * 1024
LIBRARY = "library/"
"""How a component of the library is named by those who use it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A file to be published; `name` is that of the artifact, empty where it was not said."""

    name: str
    file: Path
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A build in the store; `stored` is false if it was there before."""

    build: Build
    key: str
    stored: bool

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        build = self.build
        return {"file": str(build.file), "sha256": build.sha256, "size": build.size, "key": self.key, "stored": self.stored}


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """The documents in one file that may be meant, all of them components."""

    path: str
    documents: tuple[Document, ...]


def read_builds(files: Sequence[str]) -> list[Build]:
    """Return the builds that `[NAME=]FILE` texts name, hashed; raise `InputError` for one that can't be read, or is no build."""
    return [_build(text) for text in files]


def _build(text: str) -> Build:
    name, equals, path = text.partition("=")
    file = Path(path) if equals and not Path(text).is_file() else Path(text)
    total, size = hashlib.sha256(), 0
    try:
        _require_build(file)
        for chunk in _chunks(file):
            total.update(chunk)
            size += len(chunk)
    except OSError as error:
        message = f"{file}: {error.strerror}"
        raise InputError(message) from error
    return Build(name=name if file == Path(path) and equals else "", file=file, sha256=total.hexdigest(), size=size)


def _require_build(file: Path) -> None:
    found = file.stat()
    wrong = "not a regular file" if not stat.S_ISREG(found.st_mode) else "empty" if not found.st_size else ""
    if wrong:
        message = f"{file}: {wrong}; name the file that the build made"
        raise InputError(message)


def put(store: Store, build: Build, tenant: str) -> Published:
    """Put a build into the store unless it is there; an empty tenant stands for all of them.

    Raises:
        RetryError: the file changed since it was hashed, or the store can't be written.
    """
    key = layout.artifact(tenant, build.sha256)
    return Published(build=build, key=key, stored=store.create_from(key, _unchanged(build)))


def _unchanged(build: Build) -> Iterator[bytes]:
    total = hashlib.sha256()
    for chunk in _chunks(build.file):
        total.update(chunk)
        yield chunk
    if total.hexdigest() != build.sha256:
        message = f"{build.file}: changed while it was being published; run it again when the build is done"
        raise RetryError(message)


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            yield chunk


# The manifest


def find_component(repo: Path, wanted: str, tenant: str | None) -> Component:
    """Return the file in which a component is: by its path, as `library/NAME`, or by its name within a tenant.

    Raises:
        InputError: there is none, or more than one.
    """
    tree = DirectoryTree(repo)
    entries = tree.entries
    settings = parse_file(REPOSITORY_FILE, tree.read(REPOSITORY_FILE)).documents if REPOSITORY_FILE in entries else ()
    places = layout_of(settings[0] if settings else None)
    path = _within(repo, wanted)
    if path in entries:
        return _only([_components(tree, path)], wanted)
    name = wanted.removeprefix(LIBRARY)
    if wanted == name and tenant is None:
        message = f"--component {wanted}: no such file in {repo}; a name needs --tenant, or library/ before it"
        raise InputError(message)
    owner = "" if wanted != name else tenant
    files = (_components(tree, one) for one in entries if is_manifest(one, places))
    return _only([one for file in files if (one := _called(file, owner or "", name)).documents], wanted)


def _within(repo: Path, wanted: str) -> str:
    """Return the path of a file as the repository has it, whether it was given from there or from here."""
    if (repo / wanted).is_file() or not Path(wanted).resolve().is_relative_to(repo.resolve()):
        return wanted
    return str(Path(wanted).resolve().relative_to(repo.resolve()))


def _components(tree: DirectoryTree, path: str) -> Component:
    parsed = parse_file(path, tree.read(path))
    return Component(path=path, documents=tuple(one for one in parsed.documents if one.kind == "Component"))


def _called(file: Component, tenant: str, name: str) -> Component:
    named = (one for one in file.documents if one.name is not None and (one.name.tenant, one.name.name) == (tenant, name))
    return Component(path=file.path, documents=tuple(named))


def _only(found: list[Component], wanted: str) -> Component:
    if len(found) != 1 or not found[0].documents:
        places = f"several: {', '.join(one.path for one in found)}; give the file" if len(found) > 1 else "none that can be read"
        message = f"--component {wanted}: there are {places}" if len(found) > 1 else f"--component {wanted}: there is {places}"
        raise InputError(message)
    return found[0]


def plan_edits(component: Component, builds: Sequence[Build], platform: str | None) -> tuple[list[Edit], list[str]]:
    """Return what the manifest must say, and the tenant that each build belongs to, empty for the library.

    Raises:
        InputError: it isn't clear which artifact a build is, or which platform of it.
    """
    edits: list[Edit] = []
    owners: list[str] = []
    for build in builds:
        document, index, item = _artifact(component, build)
        edits += _edits(document, index, item, build, platform)
        owners.append(document.name.tenant if document.name is not None else "")
    return edits, owners


def _artifact(component: Component, build: Build) -> tuple[Document, int, dict[str, Any]]:
    listed = [(document, index, item) for document in component.documents for index, item in _artifacts(document)]
    called = build.name or next((name for name in _names_of(build.file) if any(item["name"] == name for *_, item in listed)), "")
    found = [one for one in listed if one[2]["name"] == called] if called else listed
    if len(found) == 1:
        return found[0]
    names = ", ".join(str(item["name"]) for *_, item in listed) or "none"
    message = f"{component.path}: which artifact is {build.file}? Say NAME={build.file}; its artifacts: {names}"
    raise InputError(message)


def _names_of(file: Path) -> tuple[str, str, str]:
    return file.name, file.stem, file.name.partition(".")[0]


def _artifacts(document: Document) -> Iterator[tuple[int, dict[str, Any]]]:
    listed = document.spec.get("artifacts")
    for index, item in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(item, dict) and isinstance(item.get("name"), str):
            yield index, item


def _edits(document: Document, index: int, item: dict[str, Any], build: Build, platform: str | None) -> list[Edit]:
    place: tuple[str | int, ...] = ("spec", "artifacts", index)
    source = {"url": f"store:{item['name']}", "sha256": build.sha256, "size": build.size}
    platforms = item.get("platforms")
    if platform is None and isinstance(platforms, dict):
        message = f"artifact {item['name']} is one file for each platform; say --platform ({', '.join(sorted(platforms))})"
        raise InputError(message)
    if platform is not None and ("url" in item or "sha256" in item):
        message = f"artifact {item['name']} is one file for all platforms; leave --platform out, or give it platforms first"
        raise InputError(message)
    if platform is not None and not isinstance(platforms, dict):
        return [Edit(document=document.index, pointer=(*place, "platforms"), value={platform: source}, after=("path", "name"))]
    if platform is not None and isinstance(platforms, dict) and not isinstance(platforms.get(platform), dict):
        return [Edit(document=document.index, pointer=(*place, "platforms", platform), value=source)]
    place = (*place, "platforms", platform) if platform is not None else place
    after = {"url": ("path", "name"), "sha256": ("url",), "size": ("sha256",)}
    return [Edit(document=document.index, pointer=(*place, field), value=value, after=after[field]) for field, value in source.items()]
