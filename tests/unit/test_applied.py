"""What a host's receipts say of a release: since when it ran, whether it never did, and what ran instead."""

import pytest

from reconciler.pipeline.trail.applied import Receipt, applied, told

ONE, TWO = "1" * 64, "2" * 64
SINCE = "since 2026-11-23T10:10:00Z (generation 1), by a receipt of the host, as the server has it"


def receipt(digest: str, result: str, minute: int, *, fleet: str = "shop/web", why: str = "", generation: int = 1) -> Receipt:
    return Receipt(fleet=fleet, digest=digest, result=result, at=f"2026-11-23T10:{minute:02}:00Z", why=why, generation=generation)


STORY = [
    receipt(TWO, "applied", 20, generation=2),
    receipt(ONE, "applied", 10),
    receipt(ONE, "applied", 12),
    receipt(TWO, "refused", 15, why="no room"),
    receipt(TWO, "restored", 30, why="generation 1 is back: probe ready: no answer"),
    receipt(TWO, "applied", 1, fleet="shop/base"),
]


@pytest.mark.parametrize(
    ("digest", "until", "said"),
    [
        (ONE, "2026-11-23T10:09:00Z", "no receipt of this host is about this bundle"),
        (ONE, "2026-11-23T10:16:00Z", SINCE),
        (TWO, "2026-11-23T10:16:00Z", "never ran: refused at 2026-11-23T10:15:00Z: no room"),
        (
            ONE,
            "2026-11-23T10:25:00Z",
            f"{SINCE}; until 2026-11-23T10:20:00Z, when sha256:222222222222 took its place",
        ),
        (ONE, "", SINCE),
        (
            TWO,
            "",
            "taken back by the host at 2026-11-23T10:30:00Z: generation 1 is back: probe ready: no answer; sha256:111111111111 runs",
        ),
        (
            "3" * 64,
            "",
            "no receipt of this host is about this bundle; it last said that sha256:111111111111 ran, at 2026-11-23T10:12:00Z",
        ),
    ],
)
def test_receipts_up_to_a_time_say_how_things_stood_then(digest: str, until: str, said: str) -> None:
    assert told(applied(STORY, "shop/web", digest, until=until), digest) == said


def test_a_release_that_failed_later_is_not_said_to_be_well() -> None:
    story = [receipt(ONE, "applied", 10), receipt(ONE, "failed", 11)]
    assert told(applied(story, "shop/web", ONE), ONE).endswith("; later failed at 2026-11-23T10:11:00Z")


def test_a_first_release_that_was_taken_back_leaves_nothing_that_runs() -> None:
    story = [receipt(ONE, "failed", 10), receipt(ONE, "restored", 10, why="what was there before is back")]
    assert told(applied(story, "shop/web", ONE), ONE) == "taken back by the host at 2026-11-23T10:10:00Z: what was there before is back"


def test_without_receipts_there_is_nothing() -> None:
    assert applied([], "shop/web", ONE).last is None
