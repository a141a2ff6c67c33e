"""For programs: the plan as it is (`pipeline.plan.shape`), the same fields whatever was found."""

import json

import msgspec

from reconciler.pipeline.plan.shape import Plan


def render(plan: Plan) -> str:
    """Return the plan as JSON."""
    return json.dumps(msgspec.to_builtins(plan), indent=2, ensure_ascii=False)
