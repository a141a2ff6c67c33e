"""Tables for terminals and for grep: columns as wide as they need, lines never folded, nothing printed that moves the cursor."""

from collections.abc import Iterator, Sequence

from reconciler.printable import printable


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a heading and a line for each row; "-" stands for what is empty. Nothing where there are no rows."""
    if not rows:
        return
    cells = [columns, *([printable(cell) or "-" for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def listed(fields: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield `name  value` for each field that has a value."""
    width = max((len(name) for name, value in fields if value), default=0)
    for name, value in fields:
        if value:
            yield f"{name.ljust(width)}  {printable(value)}"
