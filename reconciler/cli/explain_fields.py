"""`ordain explain Component.spec.processes`: a field of a kind, what it may be and what it is for, with all fields in it."""

import difflib
import json
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import click

from agent.protocol.errors import InputError
from reconciler.pipeline.validation.described import Described, fields
from reconciler.pipeline.validation.schemas import schema

WIDTH = 120
_ITEM = re.compile(r"\[[0-9]*\]")


def fields_explained(name: str, form: str) -> str:
    """Return what there is to say of a kind or a field of it, as text or JSON.

    Raises:
        InputError: the kind has no such field; the message says what is near.
    """
    kind, _, asked = name.partition(".")
    wanted = _plain(asked)
    listed = list(fields(kind))
    found = [one for one in listed if not wanted or _plain(one.path) == wanted or _plain(one.path).startswith(f"{wanted}.")]
    if not found:
        names = [f"{kind}.{_plain(one.path)}" for one in listed]
        close = difflib.get_close_matches(f"{kind}.{wanted}", names, n=1)
        hint = f"did you mean {close[0]}?" if close else f"`ordain explain {kind}` lists its fields"
        message = f"{kind} has no field {wanted[:80]}; {hint}"
        raise InputError(message)
    if form == "json":
        return json.dumps({"kind": kind, "fields": [asdict(one) for one in found]}, indent=2, ensure_ascii=False) + "\n"
    return "\n".join(_as_text(kind, found, whole=not wanted)) + "\n"


def _plain(path: str) -> str:
    """Return a field's path without what says that it is an item of a list, or which one, as findings have it."""
    return _ITEM.sub("", path)


def _as_text(kind: str, found: Sequence[Described], *, whole: bool) -> Iterator[str]:
    if whole:
        yield f"{click.style(kind, bold=True)}: {schema(kind.lower())['description']}"
    for one in found:
        needed = " (must be there)" if one.required else ""
        yield f"{click.style(one.path, bold=True)}{needed}: {one.value.replace('`', '')}"
        text = f"{one.description} ({one.form})" if one.form else one.description
        yield textwrap.fill(text, WIDTH, initial_indent="    ", subsequent_indent="    ", break_long_words=False)
