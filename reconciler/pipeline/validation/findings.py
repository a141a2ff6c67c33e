"""How findings about one manifest are made, worded and ordered."""

import json
import re
from collections.abc import Iterable
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


def schema_refused(document: Document, code: str, pointer: Pointer, message: str, *, remedy: str, at_key: bool = False) -> Finding:
    """Return a finding `schema/<kind>` with code `schema/<code>`."""
    place = Place(file=document.path, document=document.index, pointer=pointer, at_key=at_key)
    rule = f"schema/{document.kind.lower() or 'manifest'}"
    return Finding(action="deny", rule=rule, code=f"schema/{code}", message=message, remedy=remedy, place=place, object=document.name)


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
    """Return a value as JSON, cut to 80 characters."""
    if isinstance(value, (dict, list)):
        return f"a {'mapping' if isinstance(value, dict) else 'list'} of {len(value)}"
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
