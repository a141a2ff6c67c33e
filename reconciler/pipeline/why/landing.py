"""What fleets put at a place of a host, and what in a component it comes from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.protocol.errors import InputError
from reconciler.pipeline.compile import manifest
from reconciler.pipeline.compile.assembly import Assembly, Components, assemble
from reconciler.pipeline.compile.findings import did_you_mean, named
from reconciler.pipeline.compile.groups import Group, selected
from reconciler.pipeline.compile.index import FLEET
from reconciler.pipeline.compile.parts import FIELDS, NOUNS, Part, above
from reconciler.pipeline.compile.world import FleetKey, World
from reconciler.pipeline.tree import Tree
from reconciler.pipeline.why.address import Host

SUGGESTED = 3
"""Other things of a host that a message names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """One item of one fleet on a host; `below` where what was asked about lies inside it (in an archive that is unpacked there)."""

    assembly: Assembly
    group: Group
    part: Part
    below: str = ""

    @property
    def fleet(self) -> str:
        """The fleet, `tenant/name`."""
        return "/".join(self.assembly.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The fleets of a host, ready to be looked into, and those that can't be: fleet and why."""

    host: Host
    assemblies: tuple[Assembly, ...]
    failed: tuple[tuple[str, str], ...] = ()


def fleets_of(world: World, host: Host) -> list[FleetKey]:
    """Return the fleets that a host is in; raise `InputError` if there is no such host."""
    index = world.tenant(host.tenant)
    members = world.members(host.tenant)
    known = members.get(host.member)
    if known is None:
        among = sorted(members) if members else []
        hint = did_you_mean(host.member, among) if host.tenant in world.names else f"tenants are {named(world.names) or 'none'}"
        message = f"there is no agent or pool {host.member} in tenant {host.tenant}; {hint}"
        raise InputError(message)
    if known[0].kind == "Agent" and "/" in host.agent:
        message = f"{host.tenant}/{host.member} is an agent, not a pool: write {host.tenant}/{host.member}"
        raise InputError(message)
    fleets = ((name, found[0]) for name, found in index.of(FLEET).items())
    return sorted((host.tenant, name) for name, fleet in fleets if host.member in selected(index, manifest.selector(fleet)))


def held_by(world: World, tree: Tree, host: Host) -> Held:
    """Return what the fleets of a host consist of; raise `InputError` as `fleets_of`."""
    components = Components(tree)
    found = [assemble(world, tree, key, components) for key in fleets_of(world, host)]
    failed = (
        ("/".join(one.key), named([f"{finding.place.file}: {finding.message}" for finding in one.denied])) for one in found if one.denied
    )
    return Held(host=host, assemblies=tuple(one for one in found if not one.denied), failed=tuple(failed))


def landings(held: Held, path: str) -> list[Landing]:
    """Return what stands at a path of a host, or has that name: one of a fleet, as a rule; more where two fleets use one name.

    Raises:
        InputError: nothing does; the message says where it looked, and what is near.
    """
    found = [one for assembly in held.assemblies for one in _in_fleet(assembly, held.host, path)]
    if not found:
        raise InputError(_nothing(held, path))
    return found


def _in_fleet(assembly: Assembly, host: Host, path: str) -> Iterator[Landing]:
    group = next(one for one in assembly.membership.groups.values() if host.member in one.members)
    parts = [part for field in FIELDS for part in assembly.parts[field]]
    exact = [part for part in parts if path in _called(part)]
    if exact:
        yield from (Landing(assembly=assembly, group=group, part=part) for part in exact)
        return
    parents = set(above(path))
    for part in parts:
        if part.field == "artifacts" and part.path in parents and "unpack" in part.item:
            yield Landing(assembly=assembly, group=group, part=part, below=path.removeprefix(part.path + "/"))


def _called(part: Part) -> tuple[str, ...]:
    """Return by what one may ask for a part: its path, its name, what it is and its name.

    A block of lines also by its file, a container as its manifest names it, and a reboot, which has no name, by what it is.
    """
    noun = NOUNS[part.field]
    beside: tuple[str, ...] = ()
    if part.field == "hostFiles":
        beside = (manifest.text(part.item.get("path")), part.label)
    elif part.section == "containers":
        written = part.name.removesuffix(".service")
        beside = (written, f"container/{written}")
    return (part.path, part.name or noun, f"{noun}/{part.name}", *beside)


def _nothing(held: Held, path: str) -> str:
    fleets = ["/".join(one.key) for one in held.assemblies]
    failed = "".join(f"; {fleet} can't be compiled: {why}" for fleet, why in held.failed)
    if not fleets:
        return f"{held.host} is in no fleet" + (f" that compiles{failed}" if failed else ", so ordain puts nothing on it")
    there = sorted(
        {part.path or part.label or NOUNS[part.field] for one in held.assemblies for field in FIELDS for part in one.parts[field]}
    )
    near = _near(path, there)
    return f"{path} on {held.host} belongs to none of its fleets ({named(fleets)}){failed}; {near}"


def _near(path: str, there: Sequence[str]) -> str:
    beside = [one for one in there if one.startswith(path + "/") or one.rpartition("/")[0] == path.rpartition("/")[0] != ""]
    if beside:
        return f"near it they own {named(beside, limit=SUGGESTED)}"
    return did_you_mean(path, there)
