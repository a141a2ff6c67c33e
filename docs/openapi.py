"""Print docs/openapi.json, made of the table of operators' routes.

.venv/bin/python docs/openapi.py > docs/openapi.json
"""

import json
from typing import TYPE_CHECKING, cast

from reconciler.control.api import openapi, operating

if TYPE_CHECKING:
    from reconciler.control.api.desk import Desk

VERSION = "1"
"""Of the API; a second one would stand beside it, under `/api/v2`."""


def page() -> str:
    """Return the document as the file holds it. No handler is called, so there is no desk behind them."""
    found = openapi.document(operating.routes(cast("Desk", None)), version=VERSION)
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(page(), end="")
