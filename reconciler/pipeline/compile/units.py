"""What a service, and what belongs to it, is in a state: its unit file, drop-ins and timer, and the units that are held to something.

Unit files are files like any other: staged, checked, switched and restored with the rest of a release.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.pipeline.compile import manifest
from reconciler.pipeline.compile.parts import Part
from reconciler.pipeline.finding import Pointer
from reconciler.pipeline.manifests import Document

DIRECTORY = "/etc/systemd/system"
"""Where the units of a host's owner lie: they win over those that packages bring."""
SERVICE, TIMER = ".service", ".timer"
_OF_STARTING = ("state", "enabled")
_OF_SERVICE = ("masked", "reloadOn", "restartOn", "after")


def service_parts(ref: str, document: Document, pointer: Pointer, item: Mapping[str, Any]) -> Iterator[Part]:
    """Yield the files of a service, then the service, then its timer, if it has one."""
    name = manifest.text(item.get("name"))
    files = list(_files(ref, document, pointer, item))
    yield from files
    timer = "timer" in item
    held = (*(() if timer else _OF_STARTING), *_OF_SERVICE)
    own = {"name": name, **{field: item[field] for field in held if field in item}}
    yield _unit(ref, document, pointer, _with_files(own, [file.path for file in files]))
    if timer:
        path = timer_path(name)
        yield Part(
            field="files",
            ref=ref,
            document=document,
            pointer=pointer,
            item={"path": path, "content": item["timer"]},
            places={"path": (*pointer, "name"), "content": (*pointer, "timer")},
            texts_at=((*pointer, "timer"),),
        )
        starting = {field: item[field] for field in _OF_STARTING if field in item}
        yield _unit(ref, document, pointer, _with_files({"name": path.rpartition("/")[2], **starting}, [path]))


def timer_path(service: str) -> str:
    """Return where the timer of a service lies."""
    return f"{DIRECTORY}/{service.removesuffix(SERVICE)}{TIMER}"


def _unit(ref: str, document: Document, pointer: Pointer, item: Mapping[str, Any]) -> Part:
    return Part(field="services", ref=ref, document=document, pointer=pointer, item=item, places={"unitFiles": pointer}, texts_at=())


def _with_files(item: Mapping[str, Any], paths: list[str]) -> dict[str, Any]:
    """Return a unit that is restarted when one of its own files changes, as systemd would not do by itself."""
    if not paths:
        return dict(item)
    stated = [path for path in manifest.sequence(item.get("restartOn")) if path not in paths]
    return {**item, "restartOn": [*stated, *paths], "unitFiles": paths}


def _files(ref: str, document: Document, pointer: Pointer, item: Mapping[str, Any]) -> Iterator[Part]:
    name = manifest.text(item.get("name"))
    for field, given in (("unit", "content"), ("source", "source")):
        if field in item:
            yield Part(
                field="files",
                ref=ref,
                document=document,
                pointer=pointer,
                item={"path": f"{DIRECTORY}/{name}", given: item[field]},
                places={"path": (*pointer, "name"), "content": (*pointer, field), "source": (*pointer, field)},
                texts_at=((*pointer, field),),
            )
    for index, drop_in in enumerate(manifest.sequence(item.get("dropIns"))):
        if isinstance(drop_in, dict):
            at = (*pointer, "dropIns", index)
            yield Part(
                field="files",
                ref=ref,
                document=document,
                pointer=at,
                item={"path": f"{DIRECTORY}/{name}.d/{manifest.text(drop_in.get('name'))}", "content": drop_in.get("content")},
                places={"path": (*at, "name")},
                texts_at=((*at, "content"),),
            )
