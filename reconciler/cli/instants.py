"""Times as options take them: a day, which begins at midnight UTC, or an instant in UTC."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import click

from agent.protocol import duration
from agent.protocol.errors import MalformedError
from reconciler.publication.times import instant, stamp

FORMS = ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ")


def as_instant(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Return what an option was given as an instant, `2027-01-15T00:00:00Z`; a callback of click. Anything else is wrong usage."""
    if value is None:
        return None
    if value == "now":
        return stamp(datetime.now(tz=UTC))
    for form in FORMS:
        try:
            return stamp(datetime.strptime(value, form).replace(tzinfo=UTC))
        except ValueError:
            continue
    message = f"{value!r} is no time: write 2027-01-15, or 2027-01-15T09:00:00Z"
    raise click.BadParameter(message, ctx=ctx, param=param)


def is_past(stated: str) -> bool:
    """Return whether an instant of an answer of the server, `2027-01-15T00:00:00Z`, is over by this machine's clock."""
    return stated <= stamp(datetime.now(tz=UTC))


def as_seconds(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """Return the seconds of a length of time (`30m`); a callback of click."""
    try:
        return duration.seconds(value)
    except MalformedError as error:
        raise click.BadParameter(str(error), ctx=ctx, param=param) from error


def as_ahead(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """Return the seconds until a time ahead: a length of time (`2h`), or what `as_instant` takes. A callback of click."""
    given = _length_or_instant(ctx, param, value, "2h, nor a time, such as 2027-01-15T09:00:00Z")
    if isinstance(given, int):
        return given
    left = round((instant(given, what="time") - datetime.now(tz=UTC)).total_seconds())
    if left <= 0:
        message = f"{value!r} is over: write a time ahead (UTC), or a length of time, such as 2h"
        raise click.BadParameter(message, ctx=ctx, param=param)
    return left


def as_beginning(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Return since when: a length of time back from now (`90d`), or what `as_instant` takes; "" for "". A callback of click."""
    given = _length_or_instant(ctx, param, value, "90d, nor a day, such as 2027-01-15") if value else ""
    return stamp(datetime.now(tz=UTC) - timedelta(seconds=given)) if isinstance(given, int) else given


def _length_or_instant(ctx: click.Context, param: click.Parameter, value: str, examples: str) -> int | str:
    """Return the seconds of a length of time, or the instant that is meant; `examples` stand in the error."""
    with suppress(MalformedError):
        return duration.seconds(value)
    try:
        return as_instant(ctx, param, value) or ""
    except click.BadParameter as error:
        message = f"{value!r} is neither a length of time, such as {examples}"
        raise click.BadParameter(message, ctx=ctx, param=param) from error
