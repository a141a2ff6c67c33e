"""The pages about kinds say what the schemas say, and their examples are valid."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from reconciler.pipeline.manifests import Layout, parse_file
from reconciler.pipeline.validation import KINDS, schema, validate

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def made() -> ModuleType:
    found = importlib.util.spec_from_file_location("kinds_pages", ROOT / "docs" / "kinds_pages.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_pages_are_what_the_schemas_make_of_them(made: ModuleType) -> None:
    written = {path.name: path.read_text() for path in (ROOT / "docs" / "kinds").iterdir()}
    assert written == made.pages(), "run: .venv/bin/python docs/kinds_pages.py"


def test_every_kind_has_a_page_with_every_field_of_its_spec(made: ModuleType) -> None:
    for kind in KINDS:
        for field in schema(kind.lower())["properties"]["spec"]["properties"]:
            assert re.search(rf"`spec\.{field}`", made.page(kind)), (kind, field)


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_of_a_page_is_valid(kind: str, made: ModuleType) -> None:
    [text] = re.findall(r"^```yaml\n(.*?)^```$", made.page(kind), re.MULTILINE | re.DOTALL)
    parsed = parse_file("tenants/shop/example.yaml", text.encode())
    assert not parsed.findings
    assert [document.kind for document in parsed.documents] == [kind]
    assert [one.message for document in parsed.documents for one in validate(document, Layout()) if one.action == "deny"] == []
