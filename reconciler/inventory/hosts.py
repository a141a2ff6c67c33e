"""Hosts as a list has them, and what a fleet repository can take of that: names become DNS labels, labels keep to their form.

Nothing is changed or left out silently: every reader and maker here says so in notes.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agent.protocol.errors import InputError
from agent.protocol.identity import LABEL
from reconciler.inventory.vouching import Vouched
from reconciler.pipeline.validation import schema
from reconciler.printable import clipped

HOSTS_LIMIT = 20_000
"""Hosts of one list: more belong into several tenants, and a commit of as many files is what git and people still bear."""
SHOWN = 80
"""Characters of a name or a value that a note repeats."""
_DEFINITIONS = schema("agent")["$defs"]
_KEY = re.compile(_DEFINITIONS["labelKey"]["pattern"])
_VALUE = re.compile(_DEFINITIONS["labelValue"]["pattern"])
_VALUE_MOST = int(_DEFINITIONS["labelValue"]["maxLength"])
_LABELS_MOST = int(_DEFINITIONS["labels"]["maxProperties"])
_OTHER = re.compile(r"[^a-z0-9-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One host as a list names it; `labels` are text by name. `description` is for people, `vouched` whose word lets it enrol."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    vouched: Vouched | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What was made of one entry otherwise than it stands in the list: `left_out` says whether there is no manifest of it."""

    name: str
    what: str
    left_out: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a list holds: hosts in its order, each name once, and notes on what it holds besides."""

    hosts: tuple[Host, ...]
    notes: tuple[Note, ...] = ()


def named(hosts: Sequence[Host], *, domain: str = "") -> Found:
    """Return hosts under names that are DNS labels, with labels in their form; `domain` is taken off the end of names first.

    Two hosts that would get the same name are both left out: which of them the manifest meant, nobody could tell.
    """
    notes: list[Note] = []
    taken: dict[str, list[Host]] = {}
    for host in hosts:
        name = label_of(host.name, domain=domain)
        if not name:
            notes.append(
                Note(name=host.name, what=f"{_shown(host.name)} can't be made a DNS label of at most 63 characters", left_out=True)
            )
            continue
        taken.setdefault(name, []).append(host)
    kept: list[Host] = []
    for name, same in taken.items():
        if len(same) > 1:
            both = " and ".join(_shown(one.name) for one in same[:3])
            notes += [Note(name=one.name, what=f"{both} would both be called {name}", left_out=True) for one in same]
            continue
        host = same[0]
        if name != host.name:
            notes.append(Note(name=host.name, what=f"called {name}"))
        labels, said = fitting(host.labels)
        notes += [Note(name=host.name, what=one) for one in said]
        kept.append(replace(host, name=name, labels=labels))
    return Found(hosts=tuple(kept), notes=tuple(notes))


def label_of(name: str, *, domain: str = "") -> str:
    """Return the DNS label that a host's name becomes (`Web_01.example.com` → `web-01-example-com`), empty where none can be made."""
    lower = name.strip().lower().rstrip(".")
    ending = f".{domain.strip('.').lower()}"
    if domain and lower.endswith(ending):
        lower = lower.removesuffix(ending)
    made = _OTHER.sub("-", lower).strip("-")
    return made if LABEL.fullmatch(made) else ""


def fitting(labels: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the labels that a manifest can have, and why the others can't be."""
    kept: dict[str, str] = {}
    said: list[str] = []
    for key, value in labels.items():
        if not _KEY.fullmatch(key):
            said.append(f"label {_shown(key)} is left out: that is no name of a label")
        elif not _VALUE.fullmatch(value) or len(value) > _VALUE_MOST:
            said.append(f"label {key} is left out: {_shown(value)} is no value of a label")
        elif len(kept) == _LABELS_MOST:
            said.append(f"label {key} is left out: {_LABELS_MOST} labels are the most")
        else:
            kept[key] = value
    return kept, said


def require_fitting(labels: Mapping[str, str]) -> None:
    """Raise `InputError` for labels that somebody typed and that no manifest can have."""
    _, wrong = fitting(labels)
    if wrong:
        said = wrong[0].replace("is left out", "can't be set")
        message = f"{said}; names are of letters, digits and . _ / -, values of those and @ : +"
        raise InputError(message)


def plain_text(value: Any) -> str | None:
    """Return a value of a list as a label's text: truth values and whole numbers as they are written; None for what holds others."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int)) else None


def looked_up(facts: Mapping[str, Any], path: str) -> str | None:
    """Return the fact at a dotted path (`os.id`) as text, None where there is none that a label could hold."""
    value: Any = facts
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return plain_text(value)


def left_out(notes: Iterable[Note]) -> Iterator[Note]:
    """Yield the notes on entries of which there is no manifest."""
    return (one for one in notes if one.left_out)


def _shown(text: str) -> str:
    return repr(clipped(text, SHOWN))
