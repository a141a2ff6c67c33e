"""Blocks of lines in files that others write too, such as /etc/hosts.

A block that leaves the release is taken out of its file; the file stays, even if it is empty then. Each change writes the file
anew, with its mode and owner, so a file that is a link, a mount of its own, or larger than 1 MiB is refused.
"""

from collections.abc import Callable, Iterator, Sequence

from agent.host import Host
from agent.protocol import rendering
from agent.protocol.errors import RefusedError
from agent.protocol.state import HostFile
from agent.providers import blocks, texts
from agent.providers.fix import Fix

PROVIDER = "hostFiles"


def fixes(wanted: Sequence[HostFile], former: Sequence[HostFile], *, host: Host, tenant: str, agent: str) -> list[Fix]:
    """Return what brings the files' blocks to `wanted`; those of `former` that are not in it are taken out.

    Raises:
        RefusedError: a path that is no ordinary file or has no directory, or marks that are damaged, with file and line.
        MalformedError: a reference that can't be filled in on a host.
    """
    finished = [_finished(block, tenant=tenant, agent=agent) for block in wanted]
    named = {(block.path, block.name) for block in wanted}
    gone = [HostFile(name=block.name, path=block.path, absent=True) for block in former if (block.path, block.name) not in named]
    return list(_fixes([*gone, *finished], host))


def edited(text: bytes | None, block: HostFile) -> bytes | None:
    """Return what `text`, None for no file, becomes by a block. Pure; raises as `blocks`."""
    if block.absent:
        return None if text is None else blocks.without_block(text, name=block.name)
    return blocks.with_block(text or b"", name=block.name, comment=block.comment, content=block.content)


def _fixes(wanted: Sequence[HostFile], host: Host) -> Iterator[Fix]:
    for block in wanted:
        old, new = _look(block, host)
        if old == new:
            continue
        why = "stands there, and should not" if block.absent else "is not there" if _is_missing(old, block) else "has other lines"
        yield Fix(
            provider=PROVIDER,
            resource=f"hostFile/{block.path}#{block.name}",
            why=(f"block {block.name} of {block.path} {why}",),
            carry_out=_carry_out(block, host),
        )


def _finished(block: HostFile, *, tenant: str, agent: str) -> HostFile:
    content = rendering.finish(block.content, tenant=tenant, agent=agent)
    return HostFile(name=block.name, path=block.path, content=content, comment=block.comment, absent=block.absent)


def _is_missing(old: bytes | None, block: HostFile) -> bool:
    return old is None or blocks.without_block(old, name=block.name) == old


def _look(block: HostFile, host: Host) -> tuple[bytes | None, bytes | None]:
    """Return the file's content as it is and as it should be."""
    old, seen = texts.read(host, block.path)
    if seen.parent_missing and not block.absent:
        message = f"{block.path}: its directory is not there"
        raise RefusedError(message)
    return old, _edited(old, block)


def _edited(old: bytes | None, block: HostFile) -> bytes | None:
    try:
        return edited(old, block)
    except RefusedError as error:
        message = f"{block.path}: {error}"
        raise RefusedError(message) from error


def _carry_out(block: HostFile, host: Host) -> Callable[[], None]:
    def carry_out() -> None:
        old, seen = texts.read(host, block.path)
        new = _edited(old, block)
        if new is not None and new != old:
            texts.put(host, block.path, new, like=seen)

    return carry_out
