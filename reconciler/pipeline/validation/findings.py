"""How findings about one manifest are made, worded and ordered."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from reconciler.pipeline.finding import Action, Finding, Place, Pointer
from reconciler.pipeline.manifests import Document
from reconciler.printable import clipped

SHOWN = 80
"""Characters of a value that a message repeats: enough to find it by, and no more of what may be a secret or a megabyte."""
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def refused(
    document: Document, what: str, pointer: Pointer, message: str, *, remedy: str, at_key: bool = False, action: Action = "deny"
) -> Finding:
    """Return a finding `manifest/<what>`."""
    place = Place(file=document.path, document=document.index, pointer=pointer, at_key=at_key)
    rule = f"manifest/{what}"
    return Finding(action=action, rule=rule, code=rule, message=message, remedy=remedy, place=place, object=document.name)


def schema_refused(
    document: Document,
    code: str,
    pointer: Pointer,
    message: str,
    *,
    remedy: str,
    at_key: bool = False,
    needs: tuple[str, ...] = (),
    meant: str = "",
) -> Finding:
    """Return a finding `schema/<kind>` with code `schema/<code>`."""
    return Finding(
        action="deny",
        rule=f"schema/{document.kind.lower() or 'manifest'}",
        code=f"schema/{code}",
        message=message,
        remedy=remedy,
        place=Place(file=document.path, document=document.index, pointer=pointer, at_key=at_key),
        object=document.name,
        needs=needs,
        meant=meant,
    )


def alternatives(
    document: Document, pointer: Pointer, message: str, remedy: str, *, at_key: bool = False, needs: tuple[str, ...] = ()
) -> Finding:
    """Return a finding about fields of which one is needed, or which don't go together."""
    return schema_refused(document, "alternatives", pointer, f"{spelled(pointer)}: {message}", remedy=remedy, at_key=at_key, needs=needs)


def without_consequences(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Leave out what misses a field that stands there misspelt: that it is misspelt is said already."""
    known = list(findings)
    meant = {(one.place.pointer[:-1], one.meant) for one in known if one.meant}
    return (one for one in known if not any((one.place.pointer, field) in meant for field in one.needs))


def spelled(pointer: Pointer) -> str:
    """Return a pointer as people write it: `spec.files[0].mode`."""
    text = ""
    for part in pointer:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part) and len(part) <= SHOWN:
            text += f".{part}" if text else part
        else:
            text += f"[{shown(part)}]"
    return text or "the manifest"


def shown(value: Any) -> str:
    """Return a value as JSON, cut to 80 characters; of what holds others, how many."""
    if isinstance(value, (dict, list)):
        what, of = ("mapping", "field") if isinstance(value, dict) else ("list", "item")
        return f"a {what} of {len(value)} {of}{'' if len(value) == 1 else 's'}" if value else f"an empty {what}"
    text = json.dumps(value[: SHOWN * 2] if isinstance(value, str) else value, ensure_ascii=False)
    return clipped(text, SHOWN)


def in_order(document: Document, findings: Iterable[Finding]) -> list[Finding]:
    """Return findings in the order in which their places stand in the manifest, each once."""

    def place(finding: Finding) -> tuple[object, ...]:
        return _order(document.value, finding.place.pointer), finding.rule, finding.message

    return sorted(dict.fromkeys(findings), key=place)


def _order(value: Any, pointer: Pointer) -> tuple[int, ...]:
    """Return the index of each part of a pointer among its neighbours: mappings keep the order of the file."""
    order = []
    for part in pointer:
        if isinstance(value, dict) and part in value:
            order.append(list(value).index(str(part)))
            value = value[part]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            order.append(part)
            value = value[part]
    return tuple(order)
