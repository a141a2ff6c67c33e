"""Files, directories, symbolic links, and paths that must not be there."""

import base64
import binascii

from agent.host import Host
from agent.protocol import codec, rendering
from agent.protocol.errors import RefusedError
from agent.protocol.state import File
from agent.providers.item import NOBODY, Coming, Item, resolve_mode, resolve_owner

FILE_MODE = 0o644
DIRECTORY_MODE = 0o755


def desired(file: File, *, host: Host, tenant: str, agent: str, coming: Coming = NOBODY) -> Item:
    """Return what a file of a state means on this host, its texts finished for this agent.

    Raises:
        RefusedError: content that can't be decoded or finished, or an owner that can't be set here.
    """
    if file.absent:
        return Item(path=file.path, provider="files", kind="absent")
    uid, gid, warnings = resolve_owner(host, file.path, file.owner, file.group, coming)
    default = DIRECTORY_MODE if file.type == "directory" else FILE_MODE
    content = _content(file, tenant=tenant, agent=agent) if file.type == "file" else None
    if file.type == "symlink" and not file.target:
        message = f"{file.path}: a symlink needs a target"
        raise RefusedError(message)
    return Item(
        path=file.path,
        provider="files",
        kind=file.type,
        mode=resolve_mode(file.path, file.mode, default),
        uid=uid,
        gid=gid,
        content=content,
        digest=None if content is None else codec.sha256(content),
        target=file.target or "",
        check=tuple(rendering.finish(argument, tenant=tenant, agent=agent) for argument in file.check),
        warnings=warnings,
    )


def _content(file: File, *, tenant: str, agent: str) -> bytes:
    if file.content_base64 is None:
        return rendering.finish(file.content or "", tenant=tenant, agent=agent).encode()
    try:
        return base64.b64decode(file.content_base64, validate=True)
    except binascii.Error as error:
        message = f"{file.path}: contentBase64: {error}"
        raise RefusedError(message) from error
