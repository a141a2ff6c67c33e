"""Files, directories, symbolic links, and paths that must not be there."""

import base64
import binascii

from agent.host import Host
from agent.protocol import codec, rendering
from agent.protocol.errors import RefusedError
from agent.protocol.state import File
from agent.providers.item import NOBODY, Coming, Item, resolve_mode, resolve_owner
from agent.secrets import memory
from agent.secrets.filling import NOTHING, Filling

FILE_MODE = 0o644
SECRET_MODE = 0o600
"""Of files with secrets: for their owner alone, and no release may give more."""
DIRECTORY_MODE = 0o755


def desired(file: File, *, host: Host, tenant: str, agent: str, coming: Coming = NOBODY, filling: Filling = NOTHING) -> Item:
    """Return what a file of a state means on this host, its texts finished for this agent.

    Raises:
        RefusedError: content that can't be decoded or finished, or an owner that can't be set here.
    """
    if file.absent:
        return Item(path=file.path, provider="files", kind="absent")
    uid, gid, warnings = resolve_owner(host, file.path, file.owner, file.group, coming)
    secret = file.type == "file" and bool(rendering.secrets_in(file.content))
    default = DIRECTORY_MODE if file.type == "directory" else SECRET_MODE if secret else FILE_MODE
    mode = resolve_mode(file.path, file.mode, default)
    if secret:
        _require_private(file.path, mode)
        warnings = (*warnings, *memory.warning(file.path, host.outside(file.path)))
    content = _content(file, tenant=tenant, agent=agent, filling=filling) if file.type == "file" else None
    if file.type == "symlink" and not file.target:
        message = f"{file.path}: a symlink needs a target"
        raise RefusedError(message)
    return Item(
        path=file.path,
        provider="files",
        kind=file.type,
        mode=mode,
        uid=uid,
        gid=gid,
        content=content,
        digest=None if content is None else codec.sha256(content),
        sealed=filling.keyed(codec.sha256(content)) if secret and content is not None else None,
        target=file.target or "",
        check=tuple(rendering.finish(argument, tenant=tenant, agent=agent) for argument in file.check),
        warnings=warnings,
    )


def _require_private(path: str, mode: int) -> None:
    if mode & ~SECRET_MODE:
        message = f"{path} holds a secret, and its mode {mode:04o} gives more than {SECRET_MODE:04o}"
        raise RefusedError(message)


def _content(file: File, *, tenant: str, agent: str, filling: Filling) -> bytes:
    if file.content_base64 is None:
        return rendering.finish(file.content or "", tenant=tenant, agent=agent, secrets=filling.values).encode()
    try:
        return base64.b64decode(file.content_base64, validate=True)
    except binascii.Error as error:
        message = f"{file.path}: contentBase64: {error}"
        raise RefusedError(message) from error
