"""A replay as JSON: everything, in the order in which it was merged."""

import json
from typing import Any

from reconciler.cli.backtested import words
from reconciler.pipeline.backtest.shape import Incident, Refusal, Replay, by_author, by_object, by_path
from reconciler.pipeline.finding import as_json


def render(replay: Replay) -> str:
    """Return it as one JSON document."""
    side = replay.side
    document = {
        "subject": replay.subject,
        "judge": replay.digest,
        "head": replay.head,
        "since": replay.since,
        "commits": replay.steps,
        "first": replay.first,
        "last": replay.last,
        "refused": list(side.commits),
        "findings": [_refusal(one) for one in side.refusals],
        "noLonger": None if replay.no_longer is None else [_refusal(one) for one in replay.no_longer],
        "same": replay.same,
        "waived": side.waived,
        "byAuthor": [{"author": name, "findings": number, "commits": commits} for name, number, commits in by_author(side.refusals)],
        "byFile": [{"file": path, "findings": number} for path, number in by_path(side.refusals)],
        "byObject": [{"object": name, "findings": number} for name, number in by_object(side.refusals)],
        "incidents": [_incident(one) for one in replay.incidents],
        "falseAlarms": {"commits": replay.false_alarms, "of": len(side.commits), "reckoning": words.RECKONING},
        "unread": [{"commit": one.commit, "file": one.file, "message": one.message} for one in side.unread],
        "unjudged": [_refusal(one) for one in side.troubles],
        "asked": replay.asked,
        "known": replay.reused,
        "left": replay.left,
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def _refusal(one: Refusal) -> dict[str, Any]:
    made = {"commit": one.commit, "time": one.time, "subject": one.subject, "author": one.author, "email": one.email}
    shown = as_json(one.verdict)
    return made | {"undone": one.undone} | {name: shown[name] for name in ("rule", "code", "message", "file", "line", "column", "object")}


def _incident(one: Incident) -> dict[str, Any]:
    state = "not replayed" if one.step is None else "caught" if one.caught else "not caught"
    return {"revision": one.revision, "commit": one.commit, "step": one.step, "state": state, "by": [_refusal(found) for found in one.by]}
