"""What a result depends on besides its input: this version of ordain, its libraries, its schemas and rules."""

import hashlib
import json
from functools import cache
from importlib.metadata import version
from pathlib import Path

from reconciler.resources import directory

LIBRARIES = ("ordain", "jsonschema", "jsonschema-rs", "ruamel.yaml", "cronsim")
"""Those of them that read and validate. yaml-rs may be missing, so it is seen to apart."""
_ROOT = Path(__file__).resolve().parents[3]
_CODE = ("reconciler/pipeline", "reconciler/opa", "agent/protocol")


@cache
def identity() -> str:
    """Return a digest that differs wherever the same manifest might be read or validated otherwise.

    Files of the program count by size and time, so that a checkout that someone works in never believes its own past.
    """
    libraries = {name: version(name) for name in LIBRARIES}
    roots = [*(_ROOT / name for name in _CODE), directory("schemas"), directory("policies")]
    listed = sorted(path for root in roots for path in root.rglob("*") if path.suffix in (".py", ".json", ".rego"))
    files = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in listed]
    return hashlib.sha256(json.dumps([libraries, _fast_reader(), files]).encode()).hexdigest()


def _fast_reader() -> str:
    try:
        return version("yaml-rs")
    except ModuleNotFoundError:  # importlib.metadata.PackageNotFoundError is one
        return ""
