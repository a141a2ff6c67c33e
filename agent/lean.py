"""What an agent leaves out of memory: libraries that others import for what it never does. It matters on ten thousand small hosts.

Called before anything else is imported, and only where the process is an agent's own.
"""

import importlib
import sys
from types import ModuleType

NEVER = ("pkcs11", "typing_extensions", "lzma", "bz2")
"""Signing by tokens (2 MB), types for older Pythons (0.5 MB), compression that no archive of ours has (0.3 MB): who imports them goes on
without."""
ZSTD = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
"""Unpacking of Zstandard (0.6 MB), which urllib3 imports at once and never uses: left out until an archive needs it."""
FETCHER = "tuf.ngclient.urllib3_fetcher"
"""The TUF client's own way to fetch, with proxies and cookies (0.5 MB): agents give it another (`fetching.fetcher`)."""


def leave_out() -> None:
    """Leave out what an agent never uses, unless it is there already."""
    for name in (*NEVER, ZSTD):
        sys.modules.setdefault(name, None)  # type: ignore[arg-type] # an import of it fails, as where it is not installed
    if FETCHER not in sys.modules:
        instead = ModuleType(FETCHER, "Nothing: an agent fetches by itself.")
        instead.Urllib3Fetcher = type("Urllib3Fetcher", (), {})  # type: ignore[attr-defined] # named by what imports it
        sys.modules[FETCHER] = instead


def needed(name: str) -> ModuleType:
    """Return a module, also one that was left out so far."""
    if sys.modules.get(name, sys) is None:
        del sys.modules[name]
    return importlib.import_module(name)
