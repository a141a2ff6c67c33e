"""Reading a list of hosts from CSV: one row a host, the first row names the columns."""

import csv
from collections.abc import Iterator

from agent.protocol.errors import InputError
from reconciler.inventory.groups import Listed
from reconciler.inventory.hosts import HOSTS_LIMIT

SEPARATORS = ",;\t|"
NAME = "name"
"""The column with the host's name, unless another is named."""


def read_csv(text: str, *, where: str, name: str = NAME) -> Iterator[Listed]:
    """Yield each row as a host without groups; other columns are its variables. The separator is the one that the first row has most.

    Raises:
        InputError: no such column, a row without a name, a host twice, or too many rows.
    """
    head = text.lstrip("\ufeff").partition("\n")[0]
    separator = max(SEPARATORS, key=head.count)
    rows = csv.DictReader(text.lstrip("\ufeff").splitlines(), delimiter=separator, strict=True)
    columns = [one.strip() for one in rows.fieldnames or ()]
    rows.fieldnames = columns
    if name not in columns:
        message = (
            f"{where}:1: there is no column {name!r} (there are {', '.join(columns)[:200]}); name the one with the host: --name-column"
        )
        raise InputError(message)
    seen: set[str] = set()
    try:
        for row in rows:
            yield _listed(row, name, seen, f"{where}:{rows.line_num}")
    except csv.Error as error:
        message = f"{where}:{rows.line_num}: {error}"
        raise InputError(message) from error


def _listed(row: dict[str, str | None], name: str, seen: set[str], where: str) -> Listed:
    host = (row.get(name) or "").strip()
    if not host or None in row:
        message = f"{where}: {'the host has no name' if not host else 'more fields than there are columns'}"
        raise InputError(message)
    if host in seen or len(seen) >= HOSTS_LIMIT:
        message = f"{where}: {host[:80]!r} is there twice" if host in seen else f"{where}: more than {HOSTS_LIMIT} hosts; split the list"
        raise InputError(message)
    seen.add(host)
    return Listed(name=host, groups=(), variables={key: (value or "").strip() for key, value in row.items() if key != name})
