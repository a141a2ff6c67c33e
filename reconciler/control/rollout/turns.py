"""Fleets that go after others: whether one that goes first has what was decided so far, proved on its own hosts."""

from collections.abc import Collection

from reconciler.control.rollout.progress import Progress
from reconciler.publication.releases import Approval


def still_missing(approvals: Collection[Approval], progress: Progress | None, decision: int) -> str:
    """Return in words what a fleet that goes first still lacks of all that was decided for it up to `decision`, "" for nothing.

    What became stable there has soaked in each of its waves. Its bundle and its members count apart, by sequence: a decision that
    changed only one of them, or nothing of that fleet, is waited for no longer than that.
    """
    stable = progress.stable if progress is not None else None
    bundles = [(one.sequence, one.decision, stable is not None and one.digest == stable.digest) for one in approvals if one.digest]
    members = [
        (one.sequence, one.decision, stable is not None and one.members == stable.members) for one in approvals if one.members is not None
    ]
    if all(_has(parts, decision) for parts in (bundles, members)):
        return ""
    if progress is None or stable is None:
        return "it has no stable release yet"
    if progress.refused is not None:
        return "it took that release back"
    return "its rollout is under way" if progress.candidate is not None else "its rollout has not begun"


def _has(parts: Collection[tuple[int, int, bool]], decision: int) -> bool:
    """Return whether what is stable is at least as new as the newest part that was decided by then."""
    due = max((sequence for sequence, decided, _ in parts if decided <= decision), default=0)
    there = max((sequence for sequence, _, is_stable in parts if is_stable), default=-1)
    return there >= due
