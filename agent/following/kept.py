"""What was verified last of a fleet that has modes on, for the time in which nobody can be asked: a mode ends here, by the clock."""

from pathlib import Path

import msgspec

from agent.disk import read_optional
from agent.protocol import bundle, codec, durable
from agent.protocol.bundle import Bundle
from agent.protocol.errors import RetryError
from agent.protocol.membership import Member
from agent.protocol.rollout import Held, RolloutDocument
from agent.protocol.state import Struct

FORMAT = 1


class Kept(Struct):
    """A rollout document, without whom it holds, and what the signed members say of this host."""

    format: int
    document: RolloutDocument
    member: Member


def note(directory: Path, document: RolloutDocument, member: Member) -> None:
    """Keep what a fleet's modes go by, before anything acts on it; nothing where none is on."""
    file = _file(directory)
    if not document.modes:
        file.unlink(missing_ok=True)
        return
    data = codec.canonical(Kept(format=FORMAT, document=msgspec.structs.replace(document, held=Held()), member=member))
    if not file.is_file() or file.read_bytes() != data:
        durable.replace(file, data, mode=0o600)


def read(directory: Path) -> Kept | None:
    """Return what was kept, None where no mode was on; raises `MalformedError` for a damaged file."""
    return read_optional(_file(directory), Kept)


def read_bundle(cache: Path, fleet: str, digest: str) -> Bundle:
    """Return a bundle that was verified before, by its own digest.

    Raises:
        RetryError: it is not here any more.
        MalformedError, RefusedError: it is damaged.
    """
    name = Path(bundle.target(fleet, digest)).name
    for place in sorted(cache.glob(f"*.{name}")):
        return bundle.unpack(place.read_bytes(), digest=digest)
    message = f"bundle {digest[:12]} is not kept here, so its mode can't be left before the server answers"
    raise RetryError(message)


def _file(directory: Path) -> Path:
    return directory / "modes.json"
