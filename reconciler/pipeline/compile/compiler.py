"""Compile a fleet (interface; being written)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.protocol.bundle import Bundle
from agent.protocol.errors import RefusedError
from agent.protocol.membership import Member
from reconciler.pipeline.compile.world import FleetKey, World
from reconciler.pipeline.finding import Finding, ObjectName, Place, Pointer
from reconciler.pipeline.tree import Tree


class CompileRefused(RefusedError):  # noqa: N818
    """A fleet that can't be compiled: `findings` says all the reasons."""

    def __init__(self, fleet: str, findings: list[Finding]) -> None:
        super().__init__(fleet)
        self.findings = findings


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A compiled fleet. `fleet` is `<tenant>/<fleet>`; `data` the canonical data.json, `digest` its SHA-256."""

    fleet: str
    bundle: Bundle
    data: bytes
    digest: str
    pools: Mapping[str, Member]
    agents: Mapping[str, Member]
    depends: frozenset[str]
    object: ObjectName
    place: Place

    def origin(self, pointer: Pointer) -> Place:
        """Return where in the manifests a value of `release_input()["release"]` comes from; never fails."""
        raise NotImplementedError

    def release_input(self) -> dict[str, Any]:
        """Return what release rules are asked about: fleet, release, members."""
        raise NotImplementedError


def compile_fleet(world: World, tree: Tree, fleet: FleetKey, *, format: int = 1) -> Compiled:  # noqa: A002
    """Compile one fleet; raises `CompileRefused` with all findings at once, `KeyError` if there is no such fleet."""
    raise NotImplementedError
