"""Times as they stand in documents: RFC 3339, UTC, whole seconds, so that they compare as text."""

from datetime import UTC, datetime

FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def utcnow() -> datetime:
    """Return the present, in UTC, to the second: what is recorded is what was decided by."""
    return datetime.now(tz=UTC).replace(microsecond=0)


def text(moment: datetime) -> str:
    """Return a moment as it stands in a document: `2026-11-22T08:00:00Z`."""
    return moment.astimezone(UTC).strftime(FORMAT)


def parse(moment: str) -> datetime:
    """Return the moment that a document's text means; raise `ValueError` if it is none."""
    return datetime.strptime(moment, FORMAT).replace(tzinfo=UTC)
