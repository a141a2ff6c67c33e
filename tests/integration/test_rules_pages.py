"""The pages about rules say what the rules themselves say."""

import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"

pytestmark = pytest.mark.needs("opa")


def test_the_pages_of_rules_are_those_that_their_metadata_make() -> None:
    made = runpy.run_path(str(DOCS / "rules_pages.py"))["pages"]()
    written = {path.name: path.read_text() for path in (DOCS / "rules").glob("*.md")}
    assert written == made, "run .venv/bin/python docs/rules_pages.py"
    assert len(made) > 5
