"""For programs: one JSON document, the same fields whatever was found."""

import json

from reconciler.cli.report.outcome import ACTIONS, Outcome
from reconciler.pipeline.finding import as_json


def render(outcome: Outcome) -> str:
    """Return the report as JSON: accepted, revision, base, manifests, judge, counts, and verdicts in order of file and line."""
    counts: dict[str, int] = {action: outcome.counts[action] for action in ACTIONS}
    counts["standing"] = sum(one.standing and not one.blocking and one.waived is None for one in outcome.verdicts)
    counts["waived"] = sum(one.waived is not None for one in outcome.verdicts)
    document = {
        "accepted": outcome.accepted,
        "revision": outcome.revision,
        "base": outcome.base,
        "manifests": outcome.manifests,
        "judge": {"changed": outcome.judge_changed, "loosened": list(outcome.loosened)},
        "counts": counts,
        "verdicts": [{**as_json(one), "blocking": one.blocking, "fingerprint": one.fingerprint} for one in outcome.verdicts],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)
