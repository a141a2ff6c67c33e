"""The root metadata that an agent is given: looked at when it starts, so that a wrong file is told at once and by its name.

Everything else is believed because of it, so it is verified like any other root: it must be signed by the keys that it names itself.
"""

from pathlib import Path

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root

from agent.fetching.binding import Binding
from agent.protocol.errors import InputError, MalformedError, RefusedError


def check_root_metadata(data: bytes, *, tenant: str, file: Path) -> None:
    """Raise `InputError` naming `file` unless `data` is root metadata of this tenant, signed by enough of its own keys."""
    try:
        root = Metadata[Root].from_bytes(data)
        if root.signed.type != Root.type:
            message = f"--root-metadata {file}: this is {root.signed.type} metadata; give the tenant's root metadata"
            raise InputError(message)
        root.verify_delegate(Root.type, root)
        Binding(tenant=tenant, fleet="").check(data, role=Root.type, what=str(file))
    except (RepositoryError, MalformedError, RefusedError) as error:
        message = f"--root-metadata {error if str(file) in str(error) else f'{file}: no root metadata that can be trusted: {error}'}"
        raise InputError(message) from error
