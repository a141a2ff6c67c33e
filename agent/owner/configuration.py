"""Reading `agent.toml`, strictly: what is not understood in full is an error, since whoever wrote it meant something by it."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.protocol.errors import InputError

CONFIG_LIMIT = 64 * 1024
"""Bytes of `agent.toml`: a thousand lines, far more than there are keys."""
SECTIONS: Mapping[str, Sequence[str]] = {
    "allow": ("providers", "paths", "commands", "users", "root_processes", "packages", "reboot", "secrets"),
    "downloads": ("rate", "stagger", "unpacked"),
    "reboot": ("command",),
    "leave": ("remove",),
    "confirm": ("within",),
    "secrets": ("age_keys", "refresh"),
    "vault": (
        *("address", "namespace", "ca", "token_file", "role_id_file", "secret_id_file"),
        *("certificate", "key", "role", "auth_mount"),
    ),
}
"""What `agent.toml` may say; anything else is a misspelt wish, and nothing is applied before it is understood."""


def read_sections(path: Path) -> tuple[str, dict[str, dict[str, Any]]]:
    """Return the text of `agent.toml` and its sections, which are all there; without a file they are empty.

    Raises:
        InputError: it can't be read, or says something that is not known.
    """
    text = ""
    try:
        with path.open("rb") as stream:
            text = stream.read(CONFIG_LIMIT).decode()
        document = tomllib.loads(text)
    except FileNotFoundError:
        document = {}
    except (OSError, UnicodeError, tomllib.TOMLDecodeError) as error:
        message = f"{path}: {error}; nothing is applied until it can be read"
        raise InputError(message) from error
    sections = {name: document.get(name, {}) for name in SECTIONS}
    if not all(isinstance(section, dict) for section in sections.values()):
        message = f"{path}: {' and '.join(SECTIONS)} are sections; nothing is applied until it can be read"
        raise InputError(message)
    unknown = sorted({*document} - {*SECTIONS}) + [key for name, known in SECTIONS.items() for key in sorted({*sections[name]} - {*known})]
    if unknown:
        known = "; ".join(f"[{name}] with {', '.join(keys)}" for name, keys in SECTIONS.items())
        message = f"{path}:{line_of(text, unknown[0])}: {unknown[0]} is not known; what is: {known}"
        raise InputError(message)
    return text, sections


def line_of(text: str, name: str) -> int:
    """Return the line on which a key, or else a section, is stated first; 1 where it is written in another way."""
    key, section = (re.compile(shape) for shape in (rf"\s*{re.escape(name)}\s*=", rf"\s*\[\s*{re.escape(name)}\s*\]"))
    lines = text.splitlines()
    found = (number for shape in (key, section) for number, line in enumerate(lines, start=1) if shape.match(line))
    return next(found, 1)
