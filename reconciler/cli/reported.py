"""What `ordain forge report` says that it did, or would do."""

import json
from typing import Any

from reconciler.forges.deliver import Delivered, Outcome, Report
from reconciler.forges.environment import Surroundings


def dry(report: Report, about: Surroundings, form: str) -> str:
    """Return what would be posted."""
    if form == "json":
        statuses = [_status(one.context, one.state, one.description, one.link) for one in report.statuses]
        comment = {"body": f"{report.marker}\n{report.body}"} if report.pull_request is not None else None
        return _json(_head(about) | {"statuses": statuses, "comment": comment})
    lines = [f"would post to {about.repository} on {about.forge}, commit {about.commit[:12]}:"]
    lines += [f"  {one.context}: {one.state}: {one.description}" for one in report.statuses]
    if report.pull_request is None:
        return "\n".join([*lines, "no pull request, so no comment"])
    return "\n".join([*lines, f"and as a comment on {_request(report, about)}:", "", report.marker, report.body])


def said(report: Report, about: Surroundings, done: Delivered) -> str:
    """Return what was done, for people."""
    lines = [f"{about.repository} on {about.forge}, commit {about.commit[:12]}"]
    lines += [f"  {one.context}: {one.state}: {one.description} ({_done(done.statuses[one.context])})" for one in report.statuses]
    if done.comment is None:
        return "\n".join([*lines, "  no pull request, so no comment"])
    return "\n".join([*lines, f"  comment on {_request(report, about)}: {_done(done.comment)}"])


def said_as_json(report: Report, about: Surroundings, done: Delivered) -> str:
    """Return what was done, for programs."""
    statuses = [
        _status(one.context, one.state, one.description, one.link) | {"done": done.statuses[one.context].done} for one in report.statuses
    ]
    comment = {"done": done.comment.done, "why": done.comment.why, "link": done.comment.link} if done.comment is not None else None
    return _json(_head(about) | {"statuses": statuses, "comment": comment})


def _request(report: Report, about: Surroundings) -> str:
    """Return what people of that forge call it."""
    return f"{'merge' if about.forge == 'gitlab' else 'pull'} request {report.pull_request}"


def _done(outcome: Outcome) -> str:
    return f"left as it is: {outcome.why}" if outcome.done == "left" else outcome.done


def _head(about: Surroundings) -> dict[str, Any]:
    return {"forge": about.forge, "repository": about.repository, "commit": about.commit, "pullRequest": about.pull_request}


def _status(context: str, state: str, description: str, link: str) -> dict[str, Any]:
    return {"context": context, "state": state, "description": description, "link": link}


def _json(plain: dict[str, Any]) -> str:
    return json.dumps(plain, indent=2, ensure_ascii=False)
