"""All named places at which a process may be killed, as the modules that have them list them."""

import importlib
import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
ELSEWHERE = (
    "processes:",
    "agent:before-effect",
    "agent:after-effect",
    "agent:fix-",
    "agent:before-reboot",
    "agent:after-reboot",
    "healing:",
    "joining:",
    "spool:before-settle",
)
"""Places passed where something runs or goes forward only: agents are killed there by tests of their own."""
_CALL = re.compile(r"\breached\(\s*\"([a-z]+:[a-z-]+)\"")


def modules() -> list[Path]:
    """Return the files of the product that pass a named place."""
    files = (file for part in ("agent", "reconciler") for file in sorted((REPOSITORY / part).rglob("*.py")))
    return [file for file in files if file.name != "faults.py" and "reached(" in file.read_text()]


def passed() -> set[str]:
    """Return every place that stands in the code."""
    return {place for file in modules() for place in _CALL.findall(file.read_text())}


def listed() -> list[str]:
    """Return every place that a `PLACES` names, in the order of the modules."""
    names = [".".join(file.relative_to(REPOSITORY).with_suffix("").parts) for file in modules()]
    return [place for name in names for place in getattr(importlib.import_module(name), "PLACES", ())]


def on_the_way() -> list[str]:
    """Return every place that is passed between a commit and a file on a host."""
    return [place for place in listed() if not place.startswith(ELSEWHERE)]


def of(*zones: str) -> list[str]:
    """Return the places on that way of some zones: `pipeline`, `approve`, `control`, `publish`, `agent`."""
    return [place for place in on_the_way() if place.partition(":")[0] in zones]
