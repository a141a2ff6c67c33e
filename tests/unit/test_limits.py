"""The page of limits says what the code does."""

import importlib
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs/limits.md"
ROWS = re.findall(r"^\| [^|]+ \| ([0-9]+) \| `([a-z_.]+):([A-Z_]+)` \|", PAGE.read_text(), re.MULTILINE)


@pytest.mark.parametrize(("value", "module", "name"), ROWS)
def test_a_limit_on_the_page_is_the_one_in_the_code(value: str, module: str, name: str) -> None:
    assert getattr(importlib.import_module(module), name) == int(value)


def test_every_row_of_the_page_is_compared() -> None:
    assert len(ROWS) == PAGE.read_text().count("\n| ") - 1
