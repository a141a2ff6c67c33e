"""What a strategy says of measurements: questions to Prometheus, and by how much hosts may get worse."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from agent.protocol.errors import MalformedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A question in PromQL: an answer above `most` or below `least` takes a release back; None is without that limit."""

    name: str
    query: str
    most: Decimal | None = None
    least: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Regressions:
    """By how much a release may make hosts worse: whole per cent more than before, `restarts` a count; None is not looked at."""

    cpu: int | None = None
    memory: int | None = None
    restarts: int | None = None
    startup: int | None = None

    def __bool__(self) -> bool:
        """Whether anything is looked at."""
        return any(limit is not None for limit in (self.cpu, self.memory, self.restarts, self.startup))


def metric_of(stated: Mapping[str, Any]) -> Metric:
    """Read one of a strategy's metrics as controls hold it; raises `MalformedError`."""
    return Metric(
        name=str(stated.get("name", "")), query=str(stated.get("query", "")), most=_limit(stated, "max"), least=_limit(stated, "min")
    )


def regressions_of(stated: Mapping[str, Any]) -> Regressions:
    """Read a strategy's limits of regressions; raises `MalformedError`."""
    restarts = stated.get("restarts")
    if restarts is not None and (not isinstance(restarts, int) or restarts < 0):
        message = f"regressions: restarts is a count, not {restarts!r}"
        raise MalformedError(message)
    return Regressions(cpu=_more(stated, "cpu"), memory=_more(stated, "memory"), restarts=restarts, startup=_more(stated, "startup"))


def _limit(stated: Mapping[str, Any], field: str) -> Decimal | None:
    if field not in stated:
        return None
    try:
        found = Decimal(str(stated[field]))
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite():
        message = f"metric {stated.get('name')!r}: {field} is a number, not {str(stated[field])[:40]!r}"
        raise MalformedError(message)
    return found


def _more(stated: Mapping[str, Any], field: str) -> int | None:
    text = stated.get(field)
    if text is None:
        return None
    if not isinstance(text, str) or not text.endswith("%") or not text[:-1].isdecimal():
        message = f"regressions: {field} is a whole percentage, not {text!r}"
        raise MalformedError(message)
    return int(text[:-1])
