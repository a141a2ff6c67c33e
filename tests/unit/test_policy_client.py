"""What asking OPA brings along, and what it spares."""

import subprocess
import sys

PROGRAM = """
import sys
from reconciler.opa.client import Connection
Connection(port=1, token="").close()
assert "opa_client.opa" in sys.modules
assert "aiohttp" not in sys.modules, "the library's other client was imported too"
from opa_client.opa_async import AsyncOpaClient
assert AsyncOpaClient.__name__ == "AsyncOpaClient"
"""


def test_the_other_client_of_the_library_is_not_imported_and_still_can_be() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
