"""The root metadata that an agent is given: looked at when it starts, so that a wrong file is told at once and by its name.

Everything else is believed because of it, so it is verified like any other root: it must be signed by the keys that it names itself.
"""

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root

from agent.fetching.binding import Binding
from agent.protocol.errors import InputError, MalformedError, RefusedError


def check_root_metadata(data: bytes, *, tenant: str, what: str) -> None:
    """Raise `InputError` naming `what` unless `data` is root metadata of this tenant, signed by enough of its own keys."""
    try:
        root = Metadata[Root].from_bytes(data)
        if root.signed.type != Root.type:
            message = f"{what}: this is {root.signed.type} metadata; give the tenant's root metadata"
            raise InputError(message)
        root.verify_delegate(Root.type, root)
        Binding(tenant=tenant, fleet="").check(data, role=Root.type, what=what)
    except (RepositoryError, MalformedError, RefusedError) as error:
        message = str(error) if what in str(error) else f"{what}: no root metadata that can be trusted: {error}"
        raise InputError(message) from error
