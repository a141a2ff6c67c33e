"""What one host shows of an attempt while modes are switched."""

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.control.rollout.evidence import Host, Result, Said, Terms, Verdict, judge, told

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
TERMS = Terms(admitted=NOON, soak=timedelta(seconds=60), timeout=timedelta(seconds=100), switched=NOON + timedelta(seconds=200))


def after(seconds: int) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("seen", "lost", "now", "shown"),
    [
        (199, None, 210, Verdict.HEALTHY),  # not heard of since: it can't know of the mode
        (199, 200, 400, Verdict.HEALTHY),
        (205, None, 210, Verdict.PENDING),
        (299, None, 299, Verdict.PENDING),
        (299, None, 300, Verdict.FAILED),  # as long for the mode as for the release
        (205, 206, 299, Verdict.PENDING),
        (205, 206, 300, Verdict.FAILED),  # it heard, and fell silent
    ],
)
def test_what_was_said_in_another_mode_counts_until_the_host_is_heard_of(seen: int, lost: int | None, now: int, shown: Verdict) -> None:
    since = after(lost) if lost else None
    said = Said(result="applied", at=after(1), due=False)
    host = Host(name="web-01", seen=after(seen), connected=lost is None, since=since, said=said)
    assert judge(host, TERMS, after(now))[0] is shown
    if shown is Verdict.FAILED:
        assert told(host) == "web-01 not in the mode that is on"


@pytest.mark.parametrize("result", ["refused", "failed", "restored"])
def test_who_failed_in_another_mode_has_failed_until_it_says_better(result: Result) -> None:
    host = Host(name="web-01", seen=after(205), connected=True, said=Said(result=result, at=after(1), due=False))
    assert judge(host, TERMS, after(210))[0] is Verdict.FAILED
    assert told(host) == "web-01"
