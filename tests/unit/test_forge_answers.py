"""When an answer of a forge means to come back, and when."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.errors import RetryError
from reconciler.forges.answers import Answer, waiting
from reconciler.forges.deliver import same
from reconciler.forges.patience import Patience, WaitError

NOW = 1_795_000_000.0
DATE = "Wed, 18 Nov 2026 10:00:00 GMT"
RESET = "1794996030"
"""Half a minute after `DATE`."""


@pytest.mark.parametrize(
    ("status", "headers", "said", "expected"),
    [
        (429, {"retry-after": "7"}, "", 7),
        (429, {"retry-after": "Wed, 18 Nov 2026 10:01:00 GMT", "date": DATE}, "", 60),
        (429, {"ratelimit-remaining": "0", "ratelimit-reset": RESET, "date": DATE}, "", 30),
        (429, {"ratelimit-reset": RESET, "date": DATE}, "", 30),
        (429, {}, "", 60),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": RESET, "date": DATE}, "", 30),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"}, "", 0),
        (403, {"x-ratelimit-remaining": "4000", "x-ratelimit-reset": RESET}, "You have exceeded a secondary rate limit.", 60),
        (403, {"x-ratelimit-remaining": "4000", "x-ratelimit-reset": RESET}, "Resource not accessible by integration", "refused"),
        (403, {}, "", "refused"),
        (404, {"retry-after": "7"}, "", "refused"),
        (409, {}, "Another update to this commit status is in progress", None),
        (502, {}, "", None),
        (503, {"retry-after": "7"}, "", 7),
        (503, {"x-ratelimit-remaining": "4000", "x-ratelimit-reset": RESET}, "", None),
    ],
)
def test_a_forge_s_own_time_counts_by_its_own_clock(status: int, headers: dict[str, str], said: str, expected: Any) -> None:
    wait = waiting(Answer(status=status, headers=headers, body=b""), said, now=NOW)
    assert ("refused" if wait is None else wait.seconds) == expected


ODD = st.text(st.characters(max_codepoint=0x2FFF), max_size=30) | st.sampled_from(
    [DATE, "٣", "1e9", "-1", "9" * 40, "Wed, 99 Nov 2026 10:00:00 GMT"]
)


@given(status=st.sampled_from([403, 409, 429, 500]), after=ODD, reset=ODD, remaining=ODD, date=ODD)
def test_no_header_breaks_it_and_no_wait_is_negative(status: int, after: str, reset: str, remaining: str, date: str) -> None:
    headers = {"retry-after": after, "x-ratelimit-reset": reset, "x-ratelimit-remaining": remaining, "date": date}
    wait = waiting(Answer(status=status, headers=headers, body=b""), "", now=NOW)
    assert wait is None or wait.seconds is None or wait.seconds >= 0


@given(body=st.binary(max_size=200) | st.sampled_from([b'{"message": {"a": ["b"]}}', b'{"errors": 3}', b"[" * 5000]))
def test_no_body_breaks_what_is_said_of_it(body: bytes) -> None:
    assert isinstance(Answer(status=400, headers={}, body=body).said(), str)


@given(waits=st.lists(st.none() | st.floats(0, 50), min_size=1, max_size=30), seconds=st.floats(0, 200))
def test_patience_never_waits_longer_than_it_has(waits: list[float | None], seconds: float) -> None:
    clock, slept = [0.0], [0.0]
    left = iter(waits)

    def sleep(length: float) -> None:
        clock[0] += length
        slept[0] += length

    def step() -> str:
        for wait in left:
            message = "later"
            raise WaitError(message, seconds=wait)
        return "done"

    patience = Patience(seconds=seconds, clock=lambda: clock[0], sleep=sleep)
    try:
        assert patience.repeat(step) == "done"
    except RetryError as error:
        assert "run it again after" in str(error)  # noqa: PT017 - both ends are right, and each is looked at
    assert slept[0] <= seconds


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("a\r\nb\r\n", "a\nb", True),
        ("at 2026-11-23T12:00:00Z", "at 2026-11-24T00:00:01Z", True),
        ("1 agent", "2 agents", False),
        ("a b", "a  b", False),
    ],
)
def test_texts_are_the_same_but_for_line_ends_and_times(one: str, other: str, *, expected: bool) -> None:
    assert same(one, other) is expected
