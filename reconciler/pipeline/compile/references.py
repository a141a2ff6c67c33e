"""Findings across documents (interface; being written)."""

from collections.abc import Collection

from reconciler.pipeline.compile.world import FleetKey, World
from reconciler.pipeline.finding import Finding
from reconciler.pipeline.tree import Tree


def check(world: World, tree: Tree, *, since: World | None = None, touched: Collection[str] = ()) -> list[Finding]:
    """Return all findings across documents; with `since` only those that the touched paths can have brought or changed.

    Denies have scope "across"; `also` names every file involved, `missing` objects that are absent, `fleets` those affected.
    """
    raise NotImplementedError


def check_fleet(world: World, tree: Tree, key: FleetKey) -> list[Finding]:
    """Return the findings that keep one fleet from being compiled (denies), and warnings about it."""
    raise NotImplementedError
