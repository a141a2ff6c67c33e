"""Reports that leave a site on a stick: copies of what waits in a relay's spool, to be brought to the server by hand.

    <stick>/reports/<tenant>/<number>-<SHA-256, its first 12 digits>.batches

A stick holds no secret and needs no trust: each batch is signed by its host, and the server verifies it as if a relay had brought it.
What is brought twice is kept once, so nothing needs to be removed anywhere before it is known to have arrived.
"""

from collections.abc import Iterator
from pathlib import Path

from agent.protocol import codec, durable
from agent.protocol.identity import require_label
from reconciler.relay.spool import SUFFIX, batches, waiting

REQUEST_BYTES = 2 * 1024 * 1024
"""Of batches that are brought together: half of what the server takes at once."""
REQUEST_BATCHES = 500


def place(stick: Path, tenant: str) -> Path:
    """Return where a tenant's reports are on a stick."""
    return stick / "reports" / require_label(tenant, "tenant")


def fill(spool: Path, stick: Path, tenant: str) -> Iterator[tuple[Path, int, bool]]:
    """Copy what waits in a spool to a stick; yield each file of the spool, how many batches it holds, and whether it was not there yet."""
    target = place(stick, tenant)
    for path in waiting(spool):
        data = path.read_bytes()
        name = f"{path.name.removesuffix(SUFFIX)}-{codec.sha256(data)[:12]}{SUFFIX}"
        yield path, data.count(b"\n"), durable.create(target / name, data)


def brought(stick: Path, tenant: str) -> list[Path]:
    """Return the files of a tenant on a stick, in the order in which they are brought."""
    return sorted(path for path in place(stick, tenant).glob(f"*{SUFFIX}") if path.is_file())


def requests(path: Path) -> Iterator[list[str]]:
    """Yield the batches of a file, as many together as are brought at once; what is no text is left to the server to refuse."""
    found: list[str] = []
    size = 0
    for batch in batches(path):
        if found and (size + len(batch) > REQUEST_BYTES or len(found) == REQUEST_BATCHES):
            yield found
            found, size = [], 0
        found.append(batch.decode(errors="replace"))
        size += len(batch)
    if found:
        yield found
