"""Which rollout document comes next: pure, and quiet where nothing changes."""

from datetime import UTC, datetime, timedelta

from agent.protocol.rollout import Release
from reconciler.control.rollout.document import next_document

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
OLD, NEW = Release(digest="a" * 64, members=1), Release(digest="b" * 64, members=1)


def test_the_newest_release_is_stable_at_once_and_nothing_is_a_candidate() -> None:
    document = next_document(None, OLD, fleet="shop/web", epoch=3, now=NOON)
    assert (document.serial, document.epoch, document.stable, document.candidate) == (1, 3, OLD, None)
    assert document.not_before == "2026-11-22T12:00:00Z"
    assert (document.modes, document.tasks, document.held.names) == ([], [], [])


def test_an_unchanged_release_keeps_its_document_whoever_holds_the_lease() -> None:
    document = next_document(None, OLD, fleet="shop/web", epoch=3, now=NOON)
    assert next_document(document, OLD, fleet="shop/web", epoch=4, now=NOON + timedelta(days=1)) is document


def test_another_release_raises_the_serial() -> None:
    first = next_document(None, OLD, fleet="shop/web", epoch=3, now=NOON)
    second = next_document(first, NEW, fleet="shop/web", epoch=3, now=NOON)
    back = next_document(second, OLD, fleet="shop/web", epoch=4, now=NOON)
    assert [second.serial, back.serial, back.epoch, back.stable] == [2, 3, 4, OLD]


def test_a_serial_goes_on_above_what_was_recorded_although_less_is_published() -> None:
    first = next_document(None, OLD, fleet="shop/web", epoch=3, now=NOON)
    again = next_document(first, OLD, fleet="shop/web", epoch=3, now=NOON, serial_floor=1_000_007)
    assert again.serial == 1_000_008
