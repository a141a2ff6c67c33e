"""Instants as signed documents hold them: RFC 3339 in UTC, to the second, so that they compare as text."""

from datetime import UTC, datetime

from agent.protocol.errors import MalformedError

_SHAPE = "%Y-%m-%dT%H:%M:%SZ"


def stamp(instant: datetime) -> str:
    """Return `2026-11-22T21:30:00Z` for an instant of any zone."""
    return instant.astimezone(UTC).strftime(_SHAPE)


def instant(text: str, *, what: str) -> datetime:
    """Read what `stamp` wrote; raise `MalformedError` naming `what` if it is anything else."""
    try:
        return datetime.strptime(text, _SHAPE).replace(tzinfo=UTC)
    except ValueError as error:
        message = f"{what}: {text[:40]!r} is not an instant like 2026-11-22T21:30:00Z"
        raise MalformedError(message) from error
