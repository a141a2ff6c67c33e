"""The rule that pruning goes by: how many versions stay, and for how long what went out of use does."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from agent.protocol.errors import InputError

NEWEST_LEAST = 2
"""The one in use, and the one before it: an agent may be half-way through that."""
DAYS_LEAST = 1.0
"""What was written within a day may be half of something: a release that is being approved, a step that is being published."""
DAYS_MOST = 36_500.0
"""A hundred years: whoever wants to keep all needs no command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What stays: of each role the `newest` versions, and all that was in use since an instant.

    `since` is that instant for what hosts fetch, `trail` for what people look back by: lists of what was approved, rollout documents.
    """

    newest: int
    since: datetime
    trail: datetime

    def in_use(self, versions: Mapping[int, datetime], since: datetime) -> set[int]:
        """Return the versions, of these by when they were written, that stay: one is in use until the next is written."""
        numbers = sorted(versions)
        ended = itertools.pairwise(numbers)
        return {*numbers[-self.newest :], *(number for number, after in ended if versions[after] >= since)}


def rule_of(*, newest: int, days: float, history: float, now: datetime) -> Rule:
    """Return the rule of these settings; raise `InputError` for one that would take what is in use."""
    if newest < NEWEST_LEAST:
        message = f"newest {newest}: keep {NEWEST_LEAST} or more, the version in use and the one before it"
        raise InputError(message)
    if not DAYS_LEAST <= days <= DAYS_MOST:
        message = f"days {days:g}: from {DAYS_LEAST:g} to {DAYS_MOST:g}; what is younger than a day may be half of something"
        raise InputError(message)
    if not days <= history <= DAYS_MOST:
        message = f"history {history:g}: from {days:g}, the days for which what hosts fetch is kept, to {DAYS_MOST:g}"
        raise InputError(message)
    return Rule(newest=newest, since=now - timedelta(days=days), trail=now - timedelta(days=history))
