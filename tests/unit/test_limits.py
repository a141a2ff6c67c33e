"""The pages that name limits say what the code does."""

import importlib
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGE, PROTOCOL = DOCS / "limits.md", DOCS / "protocol.md"
ROW = re.compile(r"^\| [^|]+ \| ([0-9]+) \| `([a-z_.]+):([A-Z_]+)` \|", re.MULTILINE)
ROWS, OF_PROTOCOL = ROW.findall(PAGE.read_text()), ROW.findall(PROTOCOL.read_text())


@pytest.mark.parametrize(("value", "module", "name"), [*ROWS, *OF_PROTOCOL])
def test_a_limit_on_the_page_is_the_one_in_the_code(value: str, module: str, name: str) -> None:
    assert getattr(importlib.import_module(module), name) == int(value)


def test_every_row_of_the_page_is_compared() -> None:
    assert len(ROWS) == PAGE.read_text().count("\n| ") - 1
    assert len(OF_PROTOCOL) == PROTOCOL.read_text().partition("\n## Limits\n")[2].count("\n| ") - 1
