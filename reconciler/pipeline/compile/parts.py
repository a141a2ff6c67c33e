"""The items of a fleet's components that land on hosts, in the order in which a state lists them.

The order, the paths and the names are those of every group and mode alike, since references never stand in them; so a
place in a state leads back to an item, whatever the group. What a manifest says in one place may be several items of a
state (a service is a unit file, drop-ins and a unit to hold), so each knows where its fields are written.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as made_by
from typing import Any, Literal, get_args

from agent.protocol.state import block_label
from reconciler.pipeline.compile import manifest
from reconciler.pipeline.finding import Place, Pointer
from reconciler.pipeline.manifests import Document

Field = Literal[
    "artifacts",
    "files",
    "probes",
    "processes",
    "services",
    "actions",
    "repositories",
    "packages",
    "groups",
    "users",
    "modules",
    "sysctls",
    "hostFiles",
    "reboot",
    "secrets",
]
FIELDS: tuple[Field, ...] = get_args(Field)
"""The lists of a state, and `reboot`, of which there is one at most."""
NOUNS: Mapping[Field, str] = {
    "artifacts": "artifact",
    "files": "file",
    "probes": "probe",
    "processes": "process",
    "services": "service",
    "actions": "action",
    "repositories": "package repository",
    "packages": "package",
    "groups": "group",
    "users": "user",
    "modules": "kernel module",
    "sysctls": "kernel setting",
    "hostFiles": "block",
    "reboot": "reboot",
    "secrets": "secret",
}
"""What one of them is called in messages."""
OF_ONE_FLEET: tuple[Field, ...] = ("artifacts", "probes", "actions", "reboot", "secrets")
"""What another fleet of the same host may have by the same name: it is the fleet's own and not the host's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One item of a state; `ref` names the component as the fleet's tenant does, `pointer` leads to what it is made of."""

    field: Field
    ref: str
    document: Document
    pointer: Pointer
    item: Mapping[str, Any]
    """Its fields as the state has them, references and all; a file may have `source`, a file in git."""
    places: Mapping[str, Pointer] = made_by(default_factory=dict)
    """Where fields are written that do not stand at `pointer` under their own name."""
    texts_at: tuple[Pointer, ...] | None = None
    """Where the texts stand that it is made of, with all below; None: all of it at `pointer`."""
    render: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    """What makes the state's fields of what is written, once references are filled in; None where they are the same."""

    @property
    def read_at(self) -> tuple[Pointer, ...]:
        """Where the texts stand that it is made of, with all below."""
        return (self.pointer,) if self.texts_at is None else self.texts_at

    @property
    def section(self) -> str:
        """The field of the spec that it comes from."""
        return str(self.pointer[1])

    @property
    def name(self) -> str:
        """What orders it: the path of a file, the name of others."""
        return manifest.text(self.item.get("path" if self.field == "files" else "name"))

    @property
    def label(self) -> str:
        """What tells it from others of its list."""
        return block_label(manifest.text(self.item.get("path")), self.name) if self.field == "hostFiles" else self.name

    @property
    def path(self) -> str:
        """The path that it owns on a host, empty for what owns none."""
        return manifest.text(self.item.get("path")) if self.field in ("files", "artifacts") else ""

    @property
    def claim(self) -> str:
        """What only one may own: a path, or which sort of thing and its name."""
        return self.path or f"{NOUNS[self.field]} {self.label}".strip()

    @property
    def claimed(self) -> Literal["path", "name"]:
        """By which of its fields it claims that."""
        return "path" if self.path else "name"

    @property
    def holds_others(self) -> bool:
        """Whether others may own paths below its own: a directory."""
        return self.field == "files" and self.item.get("type") == "directory" and self.item.get("absent") is not True

    def at(self, *inner: str | int) -> Pointer:
        """Return where a field of the state's item, or what is in it, is written."""
        if inner and inner[0] in self.places:
            return (*self.places[str(inner[0])], *inner[1:])
        return (*self.pointer, *inner)

    def place(self, name: str) -> Place:
        """Return the place of one of its fields."""
        return self.document.place(*self.at(name))


def above(path: str) -> Iterator[str]:
    """Yield the directories above a path, nearest first, without the root."""
    while (path := path.rpartition("/")[0]) != "":
        yield path
