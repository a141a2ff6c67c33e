"""Which tenants a fleet repository has, asked before something is written for one: a slip of the finger makes a file that nobody heeds."""

import difflib

from agent.protocol.errors import InputError
from reconciler.pipeline.acceptance.corpus import load
from reconciler.pipeline.tree import Tree

SHOWN = 5
"""Tenants that are named where none comes near."""


def require_tenant(tree: Tree, name: str) -> None:
    """Raise `InputError` where a fleet repository has no manifest of this tenant, naming those that come near."""
    known = sorted(one.name.name for one in load(tree).objects.values() if one.kind == "Tenant" and one.name is not None)
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=SHOWN) or known[:SHOWN]
    there = f"did you mean {' or '.join(near)}?" if near else "it has none yet"
    message = f"--tenant {name}: the repository has no such tenant; {there} (a new one begins with its Tenant manifest)"
    raise InputError(message)
