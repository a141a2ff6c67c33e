"""One line a step, for people or for machines; never a secret, never a manifest's content."""

import json
import logging
import sys
import warnings
from datetime import UTC, datetime

from reconciler.printable import printable
from reconciler.settings import LogSettings

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, step, message, and what the step adds."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        line = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line | _extra(record), default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """`time level message key=value …`, for people; nothing in it passes for another line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, and its traceback if it has one."""
        extra = "".join(f" {key}={value}" for key, value in _extra(record).items())
        line = f"{_time(record)} {record.levelname.lower():7} {printable(record.getMessage() + extra)}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure(settings: LogSettings) -> None:
    """Send all log lines to stderr, in the format and from the level that is set."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
    logging.basicConfig(level=settings.level.upper(), handlers=[handler], force=True)
    for noisy in ("aiohttp.access", "urllib3", "watchdog", "tuf", "securesystemslib", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # watchdog says so when a directory is filled while its watch is being added; nothing is lost by it.
    warnings.filterwarnings("ignore", message="Callback with id .* already exists for watch", category=RuntimeWarning)
