"""Which fleets a change reaches (interface; being written)."""

from collections.abc import Collection

from reconciler.pipeline.compile.world import FleetKey, World


def affected(old: World, new: World, touched: Collection[str]) -> set[FleetKey]:
    """Return the fleets, removed and added ones too, whose result or findings a change of these paths can change."""
    raise NotImplementedError


def depends_of(world: World, fleet: FleetKey) -> frozenset[str]:
    """Return the files whose change can change a fleet, as far as they are known, whether it compiles or not."""
    raise NotImplementedError
