"""Two clocks that are far apart, said so that whoever reads it looks at the right one."""

from datetime import UTC, datetime

APART_SECONDS = 300
"""How far two clocks may be apart before anybody is told."""


def clock_hint(server_time: str, *, now: datetime | None = None) -> str:
    """Return a sentence where this host's clock is far from a server's, "" where it is not. Only for people: nobody vouches for it."""
    try:
        theirs = datetime.strptime(server_time, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return ""
    ours = now or datetime.now(UTC)
    apart = (ours - theirs).total_seconds()
    if abs(apart) <= APART_SECONDS:
        return ""
    how = "ahead of" if apart > 0 else "behind"
    return f"this host's clock says {ours:%Y-%m-%dT%H:%M:%SZ}, {_length(abs(apart))} {how} the server's: set it right, then ask again"


def _length(seconds: float) -> str:
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours" if seconds < 48 * 3600 else f"{seconds / 86_400:.0f} days"
