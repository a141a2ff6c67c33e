"""The part of one fleet in answers to waiting agents: its newest files, read once, held together by their hashes, encoded once.

Agents verify all of it as if they had fetched each file. What is checked here is only that the files are of one publication, so that
nobody is sent a mixture; damage is an error of that fleet, and its agents fetch file by file meanwhile.
"""

from dataclasses import dataclass

from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import MetaFile, TargetFile

from agent.protocol import rollout
from agent.protocol.errors import MalformedError
from agent.protocol.watching import PART_LIMIT, encode_part
from reconciler.publication import layout
from reconciler.publication.published import Published, read_published
from reconciler.publication.store import Store

TIMESTAMP = "metadata/timestamp.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What stands published for a fleet: the version of its timestamp and of its newest root, the encoded part.

    `stored` is the version of the timestamp's file in the store, which tells whether to read again.
    """

    version: int
    root: int
    stored: str
    data: bytes


def read_part(store: Store, tenant: str, fleet: str, *, root: int = 1) -> Part | None:
    """Return a fleet's part, None where nothing is published; `root` is the newest root known before, to look on from.

    Raises:
        MalformedError: files are missing, damaged, or not of one publication.
        RetryError: the store can't be read now.
    """
    published = read_published(store, tenant, fleet)
    if published is None:
        return None
    newest = _newest_root(store, tenant, fleet, root)
    files = _files(store, tenant, fleet, published, newest)
    if sum(len(name) + len(text) for name, text in files.items()) > PART_LIMIT:
        files = {TIMESTAMP: files[TIMESTAMP]}  # says that there is news; the rest is fetched file by file
    return Part(version=published.timestamp.version, root=newest, stored=published.stored, data=encode_part(fleet, files))


def _newest_root(store: Store, tenant: str, fleet: str, known: int) -> int:
    """Return the number of the newest root; looking for the next one costs less than listing all that was ever published."""
    while store.version(layout.metadata(tenant, fleet, f"{known + 1}.root.json")) is not None:
        known += 1
    return known


def _files(store: Store, tenant: str, fleet: str, published: Published, root: int) -> dict[str, str]:
    snapshot, releases = published.timestamp.snapshot_meta, published.file("releases")
    rollouts, targets = published.file("rollouts"), published.file("targets")
    named: dict[str, MetaFile | None] = {
        f"{snapshot.version}.snapshot.json": snapshot,
        f"{releases.version}.releases.json": releases,
        f"{rollouts.version}.rollouts.json": rollouts,
        f"{targets.version}.targets.json": targets,
        f"{root}.root.json": None,
    }
    files = {TIMESTAMP: published.timestamp_data.decode()}
    for name, listed in named.items():
        files[f"metadata/{name}"] = _read(store, layout.metadata(tenant, fleet, name), listed)
    path = rollout.target(fleet)
    document = published.rollouts.targets[path]
    key = layout.target(tenant, fleet, path, document.hashes["sha256"])
    files[key.removeprefix(f"public/{tenant}/{fleet}/")] = _read(store, key, document)
    return files


def _read(store: Store, key: str, listed: MetaFile | TargetFile | None) -> str:
    """Return a file's text; `listed` is what refers to it, with its length and hash where it says them."""
    data = store.get(key)
    try:
        if data is not None and listed is not None:
            listed.verify_length_and_hashes(data)
        if data is not None:
            return data.decode()
    except (LengthOrHashMismatchError, UnicodeDecodeError) as error:
        message = f"{key}: not the file that what is published refers to ({error}); it is published again, or restore it"
        raise MalformedError(message) from error
    message = f"{key}: missing, though what is published refers to it"
    raise MalformedError(message)
