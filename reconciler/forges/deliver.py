"""Have a forge say what was found: read what is there, compare, and write what differs.

Every step may be broken off anywhere and begun again, by the same process or another: what is written is looked for first. Two that
work at once may both find no comment and both add one; each then reads again, keeps the oldest and removes the rest, so that
one is left.

A comment is ours if it begins with the marker and we are its author. The marker alone would make anybody's comment ours.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from reconciler.forges.patience import Patience
from reconciler.forges.shape import Comment, Forge, Status

Done = Literal["created", "changed", "unchanged", "left"]
"""`left`: nothing was written, and `Outcome.why` says why not."""
_TIME = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
"""Times in a text are of when it was made: two texts that differ in nothing else are the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is to be said of a commit, and of the pull request that it is the head of (None: of no pull request)."""

    commit: str
    statuses: tuple[Status, ...]
    pull_request: int | None = None
    marker: str = ""
    """Begins the comment, and shows nowhere."""
    body: str = ""
    """What follows the marker in the comment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was done about one status or the comment."""

    done: Done
    why: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What was done: statuses by context, and the comment, None where there is no pull request."""

    statuses: dict[str, Outcome]
    comment: Outcome | None = None


def deliver(forge: Forge, report: Report, patience: Patience) -> Delivered:
    """Post what the forge does not have yet; raises as `Forge`, and `RetryError` once patience has an end."""
    written: dict[str, Done] = {}
    patience.repeat(lambda: _statuses(forge, report, written))
    statuses = {one.context: Outcome(done=written.get(one.context, "unchanged"), link=one.link) for one in report.statuses}
    if report.pull_request is None:
        return Delivered(statuses=statuses)
    return Delivered(statuses=statuses, comment=_commented(forge, report, report.pull_request, patience))


def _statuses(forge: Forge, report: Report, written: dict[str, Done]) -> None:
    """Write the statuses that differ; what was tried is noted in `written`, also if its answer is lost."""
    there = {context.lower(): status for context, status in forge.statuses(report.commit).items()}
    for status in report.statuses:
        found = there.get(status.context.lower())
        if found is None or (found.state, found.description) != (status.state, status.description):
            written.setdefault(status.context, "created" if found is None else "changed")
            forge.set_status(report.commit, status)


def _commented(forge: Forge, report: Report, number: int, patience: Patience) -> Outcome:
    pull_request = patience.repeat(lambda: forge.pull_request(number))
    if not pull_request.open:
        return Outcome(done="left", why="the pull request is closed")
    if pull_request.head != report.commit:
        return Outcome(done="left", why=f"the pull request has moved on to {pull_request.head[:12]}, which has its own report")
    me = patience.repeat(forge.myself)
    written: list[Done] = []
    return patience.repeat(lambda: _comment(forge, report, number, me, written))


def _comment(forge: Forge, report: Report, number: int, me: str, written: list[Done]) -> Outcome:
    """Have exactly one comment of ours say what it should; what was tried is noted in `written`, also if its answer is lost."""
    body = f"{report.marker}\n{report.body}"
    mine = _mine(forge, number, me, report.marker)
    if not mine:
        written.append("created")
        forge.add_comment(number, body)
        mine = _mine(forge, number, me, report.marker)
    for one in mine[:1]:
        if not same(one.body, body):
            written.append("changed")
            forge.edit_comment(number, one.id, body)
    for more in mine[1:]:
        forge.remove_comment(number, more.id)
    return Outcome(done=written[0] if written else "unchanged", link=mine[0].link if mine else "")


def _mine(forge: Forge, number: int, me: str, marker: str) -> Sequence[Comment]:
    """Return our comments, the oldest first; names of accounts differ in more than their case."""
    found = [one for one in forge.comments(number) if one.author.lower() == me.lower() and one.body.startswith(marker)]
    return sorted(found, key=lambda one: one.id)


def same(one: str, other: str) -> bool:
    """Return whether two texts say the same, whatever a forge made of their line ends, and whenever they were made."""
    return _plain(one) == _plain(other)


def _plain(text: str) -> str:
    return _TIME.sub("", text.replace("\r\n", "\n").rstrip())
