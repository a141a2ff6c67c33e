"""What is asked about: `TENANT/AGENT:PATH[:LINE]`, or `TENANT/POOL/ID:PATH[:LINE]` for an agent of a pool."""

import re
from dataclasses import dataclass

from agent.protocol.errors import InputError, MalformedError
from agent.protocol.identity import require_agent, require_label

_LINE = re.compile(r"(?P<path>.+):(?P<line>[1-9][0-9]{0,8})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host: `agent` is `web-01`, or `runners/7f3a` for one of a pool; a pool alone stands for any of its agents."""

    tenant: str
    agent: str

    @property
    def member(self) -> str:
        """The name of the manifest that it is known by: the agent's, or its pool's."""
        return self.agent.partition("/")[0]

    def __str__(self) -> str:
        """Return it as it is written."""
        return f"{self.tenant}/{self.agent}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A thing on a host: an absolute path, or the name of an artifact or a probe; `line` counts from 1 in the file as it lies there."""

    host: Host
    path: str
    line: int | None = None

    def __str__(self) -> str:
        """Return it as it is written."""
        return f"{self.host}:{self.path}" + (f":{self.line}" if self.line is not None else "")


def parse_host(text: str) -> Host:
    """Return the host that `TENANT/AGENT` or `TENANT/POOL/ID` names; raise `InputError` for anything else."""
    tenant, slash, agent = text.partition("/")
    if not slash or not agent:
        message = f"{text[:80]!r} names no host: write TENANT/AGENT, or TENANT/POOL/ID, such as shop/web-01"
        raise InputError(message)
    try:
        return Host(tenant=require_label(tenant, "tenant"), agent=require_agent(agent))
    except MalformedError as error:
        message = f"{text[:80]!r} names no host: write TENANT/AGENT, or TENANT/POOL/ID ({error})"
        raise InputError(message) from error


def parse(text: str) -> Address:
    """Return what `TENANT/AGENT:PATH[:LINE]` asks about; raise `InputError` for anything else."""
    host, colon, rest = text.partition(":")
    found = _LINE.fullmatch(rest)
    path = found["path"] if found else rest
    if not colon or not path:
        message = f"{text[:80]!r}: write TENANT/AGENT:PATH or TENANT/AGENT:PATH:LINE, say shop/web-01:/etc/motd:2"
        raise InputError(message)
    return Address(host=parse_host(host), path=path.rstrip("/") or "/", line=int(found["line"]) if found else None)
