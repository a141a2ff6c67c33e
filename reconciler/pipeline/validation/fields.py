"""Reading fields of a manifest that its schema may have refused: what has another shape than it should is passed over."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from agent.protocol import duration
from agent.protocol.errors import MalformedError
from reconciler.pipeline.finding import Pointer
from reconciler.pipeline.manifests import Document


def items(document: Document, *fields: str) -> Iterator[tuple[Pointer, Mapping[str, Any]]]:
    """Yield (pointer, item) of each mapping in a list in the spec."""
    value: Any = document.spec
    for field in fields:
        value = value.get(field) if isinstance(value, dict) else None
    for index, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item, dict):
            yield ("spec", *fields, index), item


def seconds(text: object) -> int | None:
    """Return the seconds of a duration, None where it is none."""
    try:
        return duration.seconds(text) if isinstance(text, str) else None
    except MalformedError:
        return None


def instant(text: object) -> datetime | None:
    """Return the time that a field states, such as 2026-11-26T00:00:00Z; None where it states none, or no day of the calendar."""
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) if isinstance(text, str) else None
    except ValueError:
        return None
