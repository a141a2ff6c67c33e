"""What a host was meant to have at a time: the release of each of its fleets then, compiled again from the tree that was accepted.

It is what ordain wanted there. Whether the host had it yet, its receipts would tell.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from agent.protocol import rendering
from agent.protocol.bundle import Group
from agent.protocol.codec import sha256
from agent.protocol.errors import InputError, OrdainError
from agent.protocol.membership import Member
from agent.protocol.state import File, State
from reconciler.pipeline.compile.compiler import Compiled
from reconciler.pipeline.compile.findings import did_you_mean
from reconciler.pipeline.trail.decided import Decided
from reconciler.pipeline.trail.released import published, taken
from reconciler.pipeline.trail.trees import Trees
from reconciler.pipeline.why.address import Host
from reconciler.publication.store import Store

UNSIGNED = "some files of the commit were refused, and only the store has what was accepted instead: give --state, or --store"
OTHER = "the accepted tree compiles to another bundle: see ordain audit verify"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meant:
    """One fleet's part of a host's state at a time.

    `digest` is that of the bundle, `decision` what released it, `published` since when hosts were offered it (empty: not known here).
    `problem` says why the state can't be told; then `state` is None.
    """

    fleet: str
    digest: str
    decision: Decided
    published: str = ""
    group: str = ""
    state: State | None = None
    problem: str = ""
    gone: bool = False
    """The fleet was deleted before: what it left stays on the host until another fleet owns it."""


def fleets_at(decisions: Sequence[Decided], tenant: str, at: str) -> list[str]:
    """Return the fleets of a tenant, `tenant/name`, of which a release is known until then."""
    found = {fleet for one in decisions if one.at <= at for fleet in one.releases}
    return sorted(fleet for fleet in found if fleet.startswith(f"{tenant}/"))


def meant(decisions: Sequence[Decided], trees: Trees, store: Store | None, host: Host, at: str, *, mode: str = "") -> Iterator[Meant]:
    """Yield what each fleet of a host wanted on it at a time (RFC 3339, UTC), with `mode` as while that is on.

    Raises:
        InputError: a fleet of the host has no such mode.
    """
    for fleet in fleets_at(decisions, host.tenant, at):
        offered = [one for one in published(store, fleet) if one.at <= at] if store is not None else []
        labels = _labels(decisions, trees, fleet, host, at) if any(one.document.candidate for one in offered) else {}
        digests = taken(offered, agent=host.agent, labels=labels)
        digest = digests[-1] if digests else ""
        known = [one for one in decisions if one.at <= at and fleet in one.releases and digest in ("", one.releases[fleet])]
        if known:
            since = _since(digests, [one.at for one in offered])
            found = _in_fleet(trees, fleet, known[-1], host, mode)
            if found is not None:
                yield replace(found, published=since, gone=_is_gone(decisions, trees, fleet, at))


def _labels(decisions: Sequence[Decided], trees: Trees, fleet: str, host: Host, at: str) -> Mapping[str, str]:
    """Return a host's labels in a fleet at a time, by which waves choose; none where that can't be told."""
    newest = [one for one in decisions if one.at <= at and fleet in one.releases]
    tenant, _, name = fleet.partition("/")
    try:
        compiled = trees.compiled(newest[-1].tree, (tenant, name)) if newest else None
    except (OrdainError, KeyError):
        return {}
    found = _member(compiled, host) if compiled is not None else None
    return found.labels if found is not None else {}


def _since(digests: Sequence[str], times: Sequence[str]) -> str:
    """Return since when the last of some documents' digests stands without a break."""
    start = len(digests)
    while start and digests[start - 1] == digests[-1]:
        start -= 1
    return times[start] if digests else ""


def _in_fleet(trees: Trees, fleet: str, decision: Decided, host: Host, mode: str) -> Meant | None:
    """Return what a fleet wanted on a host by a decision, None where the host was not in it."""
    told = Meant(fleet=fleet, digest=decision.releases[fleet], decision=decision)
    tenant, _, name = fleet.partition("/")
    try:
        compiled = trees.compiled(decision.tree, (tenant, name))
    except (OrdainError, KeyError) as error:
        return replace(told, problem=f"it can't be compiled again: {error}")
    if compiled.digest != told.digest:
        return replace(told, problem=UNSIGNED if decision.record is None else OTHER)
    group = _member_group(compiled, host)
    return replace(told, group=group, state=_state(compiled.bundle.groups[group], fleet, mode)) if group else None


def _is_gone(decisions: Sequence[Decided], trees: Trees, fleet: str, at: str) -> bool:
    """Return whether a fleet was deleted before a time; False too where that can't be told."""
    tenant, _, name = fleet.partition("/")
    last = [one for one in decisions if one.at <= at][-1]
    try:
        return trees.corpus(last.tree).world.fleet((tenant, name)) is None
    except OrdainError:
        return False


def _member_group(compiled: Compiled, host: Host) -> str:
    found = _member(compiled, host)
    return found.group if found is not None else ""


def _member(compiled: Compiled, host: Host) -> Member | None:
    return compiled.pools.get(host.member) if host.member in compiled.pools else compiled.agents.get(host.agent)


def _state(group: Group, fleet: str, mode: str) -> State:
    modes = {one.name: one.state for one in group.modes}
    if mode and mode not in modes:
        message = f"fleet {fleet} had no mode {mode}; {did_you_mean(mode, modes)}"
        raise InputError(message)
    return modes.get(mode, group.base)


def landed(file: File, host: Host) -> bytes | None:
    """Return a file's content as it lies on a host, None where it has none (a directory, a link, what must be absent).

    Secrets stay references.
    """
    if file.content_base64 is not None:
        return base64.b64decode(file.content_base64)
    if file.content is None:
        return None
    kept = {name: f"${{secret.{name}}}" for name in rendering.secrets_in(file.content)}
    return rendering.finish(file.content, tenant=host.tenant, agent=host.agent, secrets=kept).encode()


def digest_of(file: File, host: Host) -> str:
    """Return the SHA-256 of a file as it lies on a host, empty where it has no content, or secrets, which only the host knows."""
    data = None if rendering.secrets_in(file.content) else landed(file, host)
    return sha256(data) if data is not None else ""
