"""Reading Ansible inventories, INI and YAML, with `group_vars/` and `host_vars/` beside them. Nothing is run, nothing is decrypted.

What `ansible-inventory --list --yaml` prints of a dynamic inventory is one in YAML, so that can be read too.
"""

import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from agent.protocol.errors import InputError
from reconciler.inventory.groups import ALL, UNGROUPED, Groups
from reconciler.inventory.hosts import Note
from reconciler.pipeline import reading
from reconciler.pipeline.nodes import ReadingRefused

SIZE_LIMIT = 16 * 1024 * 1024
"""Bytes of one inventory: 20,000 hosts with some variables each take four million."""
FILES_LIMIT = 50_000
"""Files of variables that are looked at."""
_SECTION = re.compile(r"\[([^\[\]:]+)(?::(children|vars))?\]")
_VAULT = re.compile(rb"!vault(?:[ \t]+\|)?[ \t]*(?=\r?\n)")
VAULTED = b"$ANSIBLE_VAULT"


def read_ini(text: str, *, where: str) -> Groups:
    """Read an inventory in INI form; `where` names it in errors, with the line.

    Raises:
        InputError: a line that is none of an inventory.
    """
    groups = Groups()
    group, part = UNGROUPED, "hosts"
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith(("#", ";")):
            continue
        try:
            section = _SECTION.fullmatch(line.partition("#")[0].strip())
            if section is not None:
                group, part = section[1].strip(), section[2] or "hosts"
                groups.group(group)
            elif part == "children":
                groups.group(group).children.add(_first(line))
                groups.group(_first(line))
            elif part == "vars":
                name, _, value = line.partition("=")
                groups.group(group).variables[name.strip()] = _value(value.strip())
            else:
                host, variables = _host(line)
                groups.add(group, host, variables)
        except (InputError, ValueError) as error:
            message = f"{where}:{number}: {error}"
            raise InputError(message) from error
    return groups


def _first(line: str) -> str:
    return shlex.split(line, comments=True)[0]


def _host(line: str) -> tuple[str, dict[str, Any]]:
    """Return the host of a line without a port, and its variables."""
    host, *rest = shlex.split(line, comments=True)
    variables: dict[str, Any] = {}
    for word in rest:
        name, sign, value = word.partition("=")
        if not sign:
            message = f"{word[:80]!r} is no variable: after the host come name=value"
            raise InputError(message)
        variables[name] = _value(value)
    return re.sub(r":[0-9]{1,5}$", "", host), variables


def _value(text: str) -> str:
    """Return a value as text, without the quotes that a line of variables may have."""
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text


def read_yaml(data: bytes, *, where: str) -> Groups:
    """Read an inventory in YAML form, or in JSON as YAML has it.

    Raises:
        InputError: not YAML, or not an inventory.
    """
    groups = Groups()
    for name, stated in _mapping(_yaml(data, where=where), where).items():
        _group(groups, str(name), stated, f"{where}: {name}")
    return groups


def _group(groups: Groups, name: str, stated: Any, where: str, *, depth: int = 0) -> None:
    if depth > 100:  # noqa: PLR2004 - the reader of YAML bounds depth too; this is what a stack takes
        message = f"{where[:200]}: groups are nested too deep"
        raise InputError(message)
    group = groups.group(name)
    for field, value in _mapping(stated, where).items():
        if field == "vars":
            group.variables.update(_mapping(value, where))
        elif field == "children":
            for child, inner in _mapping(value, where).items():
                group.children.add(str(child))
                _group(groups, str(child), inner, f"{where}.{child}", depth=depth + 1)
        elif field == "hosts":
            for host, variables in _mapping(value, where).items():
                groups.add(name, str(host), _mapping(variables, f"{where}: {host}"))
        else:
            message = f"{where}: {str(field)[:80]!r} is not known: a group has hosts, vars and children"
            raise InputError(message)


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    message = f"{where}: a mapping is wanted, and this is {type(value).__name__}; is it an inventory?"
    raise InputError(message)


def _yaml(data: bytes, *, where: str) -> Any:
    """Return the one document of some YAML; what Ansible encrypted within it stays encrypted text."""
    try:
        documents = [one for one in reading.read(_VAULT.sub(b"|", data)) if one is not None]
    except ReadingRefused as refused:
        message = f"{where}:{refused.line}:{refused.column}: {refused}"
        raise InputError(message) from refused
    if len(documents) > 1:
        message = f"{where}: {len(documents)} documents, and an inventory is one"
        raise InputError(message)
    return documents[0] if documents else None


def add_files(groups: Groups, beside: Path) -> Iterator[Note]:
    """Take in variables from `group_vars/` and `host_vars/` in a directory; yield notes on files that are encrypted as a whole.

    Raises:
        InputError: a file that can't be read.
    """
    seen = 0
    for directory in ("group_vars", "host_vars"):
        names = groups.names() if directory == "group_vars" else groups.hosts()
        known = {ALL, *names} if directory == "group_vars" else set(names)
        for path in sorted((beside / directory).glob("**/*")) if (beside / directory).is_dir() else ():
            seen += 1
            if seen > FILES_LIMIT:
                message = f"{beside / directory}: more than {FILES_LIMIT} files"
                raise InputError(message)
            name = _owner(path.relative_to(beside / directory))
            if name not in known or not path.is_file() or path.suffix not in ("", ".yml", ".yaml", ".json"):
                continue
            data = read_bytes(path)
            if data.startswith(VAULTED):
                yield Note(name=name, what=f"{path} is encrypted, so none of its variables is a label")
                continue
            variables = _mapping(_yaml(data, where=str(path)), str(path))
            groups.group(name).variables.update(variables) if directory == "group_vars" else groups.override(name, variables)


def _owner(path: Path) -> str:
    """Return whose variables a file holds: `web.yml` and `web/anything.yml` are those of web."""
    first = path.parts[0]
    return first if len(path.parts) > 1 or path.suffix not in (".yml", ".yaml", ".json") else path.stem


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a list, from stdin where the path is `-`; raise `InputError` where it can't be read or is too large."""
    try:
        with nullcontext(sys.stdin.buffer) if str(path) == "-" else path.open("rb") as file:
            data = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        message = f"{path}: {error.strerror or error}"
        raise InputError(message) from error
    if len(data) > SIZE_LIMIT:
        message = f"{path}: more than {SIZE_LIMIT} bytes; split it"
        raise InputError(message)
    return data
