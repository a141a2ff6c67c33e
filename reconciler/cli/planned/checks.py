"""What a plan comes to for a forge: one line for each check. Counts only, and no names, so nobody can have a check say what they like."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from reconciler.cli.planned import words
from reconciler.pipeline.plan.shape import Plan

OF_SCHEMAS = ("schema/", "manifest/")
"""How the rules begin that say whether a file is a manifest at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check: its name, what came of it, and that in words."""

    name: Literal["schema", "policy", "plan"]
    state: Literal["success", "failure", "error"]
    text: str


def checks(plan: Plan) -> tuple[Check, Check, Check]:
    """Return what is said of manifests as such, of policies, and of hosts; at least one is no success where the plan is not accepted."""
    new = [one for one in plan.verdicts.new if one["blocking"]]
    of_schemas = [one for one in new if one["rule"].startswith(OF_SCHEMAS)]
    schema = Check(
        name="schema",
        state="failure" if of_schemas else "success",
        text=f"{words.counted(len(of_schemas), 'new finding')} on what is no valid manifest" if of_schemas else "every manifest is valid",
    )
    return schema, _policy(plan, refused=len(new) - len(of_schemas), schemas=bool(of_schemas)), _hosts(plan)


def _policy(plan: Plan, *, refused: int, schemas: bool) -> Check:
    if plan.unjudged:
        return Check(name="policy", state="error", text=f"could not be judged; {words.tally(plan)}")
    if refused:
        return Check(name="policy", state="failure", text=f"{words.counted(refused, 'new finding')} that refuse; {words.tally(plan)}")
    if not plan.accepted and not schemas:
        return Check(name="policy", state="failure", text=f"refused by what stood before; {words.tally(plan)}")
    return Check(name="policy", state="success", text=f"no new finding that refuses; {words.tally(plan)}{_granted(plan)}")


def _granted(plan: Plan) -> str:
    count = len(words.granted_lines(plan))
    return f"; {words.counted(count, 'waiver')} granted by the change itself" if count else ""


def _hosts(plan: Plan) -> Check:
    broken = sum(bool(one.uncompiled) for one in plan.fleets)
    if broken:
        return Check(name="plan", state="failure", text=f"{words.counted(broken, 'fleet')} would not compile; {', '.join(_hit(plan))}")
    return Check(name="plan", state="success", text=", ".join(_hit(plan)))


def _hit(plan: Plan) -> Iterator[str]:
    if not plan.fleets:
        yield "nothing of this reaches a host"
        return
    hit = plan.impact
    fleets = words.counted(len(plan.fleets) + plan.more_fleets, "fleet")
    yield f"{words.counted(hit.agents, 'agent')} of {hit.total:,} ({hit.share:g} %) in {fleets}"
    if plan.objects.removed:
        yield f"{words.counted(len(plan.objects.removed), 'object')} removed"
