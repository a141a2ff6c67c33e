"""The paths whose change restarts, reloads or runs something: each must be one that the fleet brings, or nothing would ever come of it."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from reconciler.pipeline.compile import manifest
from reconciler.pipeline.compile.findings import across, did_you_mean
from reconciler.pipeline.compile.parts import Field, Part, above
from reconciler.pipeline.compile.texts import FINDINGS_LIMIT
from reconciler.pipeline.finding import Finding
from reconciler.pipeline.manifests import Document

ON: Mapping[Field, tuple[str, ...]] = {"processes": ("restartOn",), "services": ("restartOn", "reloadOn"), "actions": ("on",)}
"""The fields that name such paths."""


def check_notified(user: Document, parts: Mapping[Field, Iterable[Part]]) -> Iterator[Finding]:
    """Yield the first paths in restartOn, reloadOn and actions' `on` that a fleet neither owns nor has in an archive that it unpacks."""
    yield from islice(_unknown(user, parts), FINDINGS_LIMIT)


def _unknown(user: Document, parts: Mapping[Field, Iterable[Part]]) -> Iterator[Finding]:
    brought = {part.path: part for field in ("files", "artifacts") for part in parts[field]}
    unpacked = frozenset(path for path, part in brought.items() if "unpack" in part.item)
    for field, names in ON.items():
        for part in parts[field]:
            for name in names:
                for index, path in enumerate(manifest.sequence(part.item.get(name))):
                    if isinstance(path, str) and path not in brought and not any(directory in unpacked for directory in above(path)):
                        message = f"{part.claim}: {name} has {path}, which {user.name} does not bring; {did_you_mean(path, brought)}"
                        remedy = "name the path of a file or an artifact of this fleet: nothing else changes with a release"
                        yield across("unknown-path", part.document, part.at(name, index), message, remedy=remedy, also=[user])
