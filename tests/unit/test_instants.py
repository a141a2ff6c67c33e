"""Times as options take them."""

from datetime import UTC, datetime, timedelta

import click
import pytest
from click.testing import CliRunner, Result

from reconciler.cli.instants import as_ahead, as_instant
from reconciler.publication.times import stamp


def given(callback: object, value: str) -> Result:
    @click.command()
    @click.option("--time", callback=callback)
    def command(time: object) -> None:
        click.echo(time)

    return CliRunner().invoke(command, ["--time", value])


@pytest.mark.parametrize(("value", "seconds"), [("2h", 7200), ("45s", 45)])
def test_until_when_may_be_a_length_of_time(value: str, seconds: int) -> None:
    assert int(given(as_ahead, value).output) == seconds


def test_until_when_may_be_a_time_ahead() -> None:
    tomorrow = stamp(datetime.now(UTC) + timedelta(days=1))
    assert abs(int(given(as_ahead, tomorrow).output) - 86_400) < 120


@pytest.mark.parametrize(
    ("value", "said"), [("2000-01-01", "is over"), ("tomorrow", "neither a"), ("2h30m", "neither a"), ("", "neither a")]
)
def test_a_time_that_is_over_or_none_is_wrong_usage(value: str, said: str) -> None:
    found = given(as_ahead, value)
    assert (found.exit_code, said in found.output) == (2, True)


def test_now_is_a_time() -> None:
    assert datetime.fromisoformat(given(as_instant, "now").output.strip()) - datetime.now(UTC) < timedelta(minutes=2)
