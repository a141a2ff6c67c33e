"""YAML read to plain values, in one reading only: yaml-rs for speed, ruamel.yaml for everything unusual."""

from typing import Any

import yaml_rs


class ReadingRefused(Exception):  # noqa: N818 - a refusal, as everywhere here
    """A text that is not read: `code` is `yaml/<what>`; line and column count from 1."""

    def __init__(self, code: str, message: str, *, remedy: str = "", document: int = 0, line: int = 1, column: int = 1) -> None:
        """Keep what is wrong, where and what to do."""
        super().__init__(message)
        self.code, self.remedy, self.document, self.line, self.column = code, remedy, document, line, column


def read(data: bytes) -> list[Any]:
    """Return the value of each document, None for empty ones.

    Raises:
        ReadingRefused: not UTF-8, not YAML, or more than the limits allow.
    """
    try:
        found: Any = yaml_rs.loads("--- 0\n---\n" + data.decode(), parse_datetime=False)
    except ValueError as error:
        raise ReadingRefused("yaml/syntax", str(error)) from error
    return found[1:] if found[1] is not None else found[2:] or [None]
