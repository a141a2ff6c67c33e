"""One line a step, on stderr: as text for people, as JSON for machines."""

import json
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO

LogFormat = Literal["text", "json"]
LINE_LIMIT = 4000
"""Characters of one value: a check's output is cut before it floods a journal."""


def timestamp(moment: datetime | None = None) -> str:
    """Return a time as the wire formats write it: `2026-11-22T10:00:00Z`."""
    return (moment or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _as_it_is(text: str) -> str:
    return text


class Log:
    """Writes steps; `stream` is stderr unless told otherwise."""

    def __init__(self, form: LogFormat = "text", stream: TextIO | None = None) -> None:
        self._form = form
        self._stream = stream or sys.stderr
        self.veil = _as_it_is
        """Takes out what must never be said."""

    def step(self, name: str, **values: str | int | None) -> None:
        """Write one line: the step's name and what it was about; None values are left out."""
        known = {key: self.veil(value) if isinstance(value, str) else value for key, value in values.items() if value is not None}
        if self._form == "json":
            line = json.dumps({"time": timestamp(), "step": name, **known})
        else:
            line = " ".join([timestamp(), name, *(f"{key}={_shown(value)}" for key, value in known.items())])
        self._stream.write(line + "\n")
        self._stream.flush()


def printable(text: str) -> str:
    """Return a text on one line, with what moves a terminal's cursor or colours it written as escapes: programs said it."""
    return text if text.isprintable() else json.dumps(text)[1:-1]


def _shown(value: str | int) -> str:
    text = str(value)[:LINE_LIMIT]
    plain = bool(text) and text.isprintable() and not any(character.isspace() or character in '"=' for character in text)
    return text if plain else json.dumps(text)
