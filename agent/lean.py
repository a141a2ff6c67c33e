"""What an agent leaves out of memory: libraries that others import for what it never does. It matters on ten thousand small hosts.

Called before anything else is imported, and only where the process is an agent's own.
"""

import sys
from types import ModuleType

NEVER = ("pkcs11", "typing_extensions")
"""Signing by tokens (2 MB) and types for older Pythons (0.5 MB): whoever imports them goes on without."""
FETCHER = "tuf.ngclient.urllib3_fetcher"
"""The TUF client's own way to fetch, with proxies and cookies (0.5 MB): agents give it another (`fetching.fetcher`)."""


def leave_out() -> None:
    """Leave out what an agent never uses, unless it is there already."""
    for name in NEVER:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type] # an import of it fails, as where it is not installed
    if FETCHER not in sys.modules:
        instead = ModuleType(FETCHER, "Nothing: an agent fetches by itself.")
        instead.Urllib3Fetcher = type("Urllib3Fetcher", (), {})  # type: ignore[attr-defined] # named by what imports it
        sys.modules[FETCHER] = instead
