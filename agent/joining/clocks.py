"""Two clocks that are far apart, said so that whoever reads it looks at the right one."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

APART_SECONDS = 300
"""How far two clocks may be apart before anybody is told."""


def clock_hint(server_time: str, *, now: datetime | None = None) -> str:
    """Return a sentence where this host's clock is far from a server's, "" where it is not. Only for people: nobody vouches for it."""
    try:
        theirs = datetime.strptime(server_time, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return ""
    ours = now or datetime.now(UTC)
    apart = _apart(ours, theirs)
    return f"this host's clock says {ours:%Y-%m-%dT%H:%M:%SZ}, {apart} the server's: set it right, then ask again" if apart else ""


def date_hint(date: str, now: datetime) -> str:
    """Return the same of an answer's header `Date`; `now` is this host's clock when it came. It stays the same from answer to answer."""
    try:
        theirs = parsedate_to_datetime(date)
    except ValueError:
        return ""
    apart = _apart(now, theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC))
    return f"this host's clock is {apart} the server's: set right whichever is wrong" if apart else ""


def _apart(ours: datetime, theirs: datetime) -> str:
    """Return how far our clock is from theirs, "" where that is near enough."""
    seconds = (ours - theirs).total_seconds()
    return f"{_length(abs(seconds))} {'ahead of' if seconds > 0 else 'behind'}" if abs(seconds) > APART_SECONDS else ""


def _length(seconds: float) -> str:
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours" if seconds < 48 * 3600 else f"{seconds / 86_400:.0f} days"
