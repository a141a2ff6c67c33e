"""What is written for keeps goes through one module: nothing else in the product writes a file or renames one, but what is listed here."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.faults.places import REPOSITORY

DURABLE = "agent/protocol/durable.py"
ALLOWED = {
    "agent/apply/saved.py": "images of what stood there, fsynced here, and their names before the journal that refers to them",
    "agent/apply/switch.py": "the switch itself: names of managed paths, each directory fsynced before the commit",
    "agent/archives/trees.py": "an artifact as it is unpacked, synced before the switch; recovery discards what is not committed",
    "agent/fetching/cache.py": "artifacts, fsynced before they are believed; whatever is missing or damaged is fetched again",
    "agent/fetching/download.py": "what has arrived of a download: resumed or begun again, believed only by its digest",
    "agent/host.py": "managed paths: staged and fsynced here; test_unsynced shows that recovery holds",
    "agent/processes/cgroups.py": "control groups, which the kernel keeps and a boot forgets",
    "agent/processes/output.py": "what processes print: a lost end of it is no state of anything",
    "agent/protocol/faults.py": "the trace of a test",
    "agent/providers/sysctls.py": "settings of the running kernel; those for the next boot are files of `texts`",
    "agent/providers/texts.py": "files that others write too: staged, synced and renamed by agent/host.py",
    "agent/services/verify.py": "copies for one look of a program, gone when it ends",
    "reconciler/backup/restoring.py": "a state directory that moves aside before a restore, its parent fsynced there",
    "reconciler/inventory/writing.py": "new manifests in a working copy: a person sees what came of them and commits",
    "reconciler/publication/store/objects.py": "a copy within an object store, which answers once it is there for keeps",
    "reconciler/cli": "commands at a terminal: a person sees what came of them and runs them again",
    "reconciler/opa": "files for an OPA that is about to start, gone when it ends, and the cache of what can be built again",
    "reconciler/pipeline/policy": "files for an OPA that is about to start, gone when it ends, and the cache of what can be built again",
    "reconciler/pipeline/problem.py": "a note for `ordain status` that nothing is decided by",
    "reconciler/publication/key_making.py": "a key that is on disk already takes its next name; the directory is fsynced there",
    "reconciler/pipeline/signatures/programs.py": "files for one run of gpg or ssh-keygen, gone when it ends",
    "reconciler/pipeline/remembered": "a cache: sealed, so a torn file is found out and made again",
}
"""File or directory → why what it writes need not survive, or how else it does."""
WRITERS = frozenset(("write_text", "write_bytes", "replace", "rename", "touch", "link", "hardlink_to", "copy", "copy2", "copyfile", "move"))
MODES = frozenset("wax+")
LONGEST_MODE = 3
VALUES = re.compile(r"\b([Ww]orld|tenant|standing)\b")
"""What has a `replace` of its own that writes nothing."""


def writes(file: Path) -> Iterator[int]:
    """Yield the lines on which a file is written or renamed."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and _is_write(node):
            yield node.lineno


def _is_write(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    owner = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""
    if name in ("open", "fdopen"):
        said = [one.value for argument in call.args for one in ast.walk(argument) if isinstance(one, ast.Constant)]
        modes = [text for text in said if isinstance(text, str) and 0 < len(text) <= LONGEST_MODE]
        return owner != "tarfile" and any(set(text) <= set("rwaxbt+") and set(text) & MODES for text in modes)
    if name == "replace":  # of a path: one argument, where texts take two and dataclasses fields
        return (
            owner != "durable"
            and not VALUES.search(owner)
            and len(call.args) + len(call.keywords) == (2 if owner == "os" else 1)
            and not call.keywords
        )
    return name in WRITERS and owner not in ("durable", "codec", "into")


def test_nothing_but_the_durable_module_writes_files_for_keeps() -> None:
    found = {}
    for part in ("agent", "reconciler"):
        for file in sorted((REPOSITORY / part).rglob("*.py")):
            path = str(file.relative_to(REPOSITORY))
            lines = [] if path == DURABLE else list(writes(file))
            if lines and not any(path == allowed or path.startswith(allowed + "/") for allowed in ALLOWED):
                found[path] = lines
    assert found == {}, "write through agent.protocol.durable, or add a reason to ALLOWED"


def test_every_exception_is_still_needed() -> None:
    for allowed in ALLOWED:
        place = REPOSITORY / allowed
        assert any(any(writes(file)) for file in (place.rglob("*.py") if place.is_dir() else [place])), allowed
