"""The OpenAPI document is what the table of routes says, and whole in itself; that answers fit it is tried wherever the API is."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "openapi.json").read_text()


def test_the_document_is_made_of_the_routes() -> None:
    made = subprocess.run([sys.executable, DOCS / "openapi.py"], check=True, capture_output=True, text=True, cwd=DOCS.parent).stdout
    assert made == TEXT, "run: .venv/bin/python docs/openapi.py > docs/openapi.json"


def test_each_reference_leads_to_a_schema_and_each_schema_is_one() -> None:
    document = json.loads(TEXT)
    schemas = document["components"]["schemas"]
    assert set(re.findall(r"#/components/schemas/(\w+)", TEXT)) == schemas.keys()
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_each_operation_says_what_it_does_and_has_a_name_of_its_own() -> None:
    operations = [one for path in json.loads(TEXT)["paths"].values() for one in path.values()]
    assert all(one["summary"].endswith(".") for one in operations)
    assert len({one["operationId"] for one in operations}) == len(operations)
