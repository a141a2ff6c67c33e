"""What the control zone must know of a tenant (interface; being written)."""

from typing import Any

from reconciler.pipeline.compile.world import World


def controls_of(world: World, tenant: str) -> dict[str, Any]:
    """Return {agents, pools, fleets, freezes, quotas, reporting, roles} of a tenant, as in controls.json."""
    raise NotImplementedError
