"""What became of a commit is known also when newer ones came since: whoever waits for it need not wait for nothing."""

import msgspec
import pytest

from agent.protocol.rollout import Release
from reconciler.control.rollout.progress import FATES_KEPT, Progress
from reconciler.control.rollout.situation import Desired
from tests.rollout_cases import NEW, NEWER, OLD, Fleet, desired, fleet, order

GROWN = Release(digest=NEW.digest, members=2)


def of(one: Fleet, release: Release) -> tuple[str, str]:
    """What became of a release's commit, and which one came before it was stable."""
    return at(one, release.digest[:40])


def at(one: Fleet, commit: str) -> tuple[str, str]:
    """What became of a commit, and which one came before it was stable."""
    found = next(fate for fate in one.progress.fates if fate.commit == commit)
    return found.outcome, found.by


def more_hosts(commit: str) -> Desired:
    """A commit that only adds hosts to the new release."""
    return Desired(release=GROWN, commit=commit * 40, decision=9, additive=frozenset({1}))


def stable() -> Fleet:
    """A fleet whose first release is stable, with the commit that it is of."""
    one = fleet()
    one.progress = Progress()
    one.run(desired(OLD))
    return one


def test_a_commit_that_was_stable_once_stays_so_when_a_newer_one_is() -> None:
    one = stable()
    one.step(desired(NEW))
    assert (of(one, OLD), of(one, NEW)) == (("stable", ""), ("", ""))
    one.run(desired(NEW))
    assert (of(one, OLD), of(one, NEW)) == (("stable", ""), ("stable", ""))


def test_a_commit_whose_release_was_taken_back_is_known_by_that_when_another_only_added_hosts() -> None:
    one = stable()
    one.step(desired(NEW))
    one.step(desired(NEW), order("abort"))
    one.step(more_hosts("d"))
    assert one.progress.refused_commit == "d" * 40
    assert (of(one, NEW), at(one, "d" * 40)) == (("taken-back", ""), ("taken-back", ""))
    assert "aborted by operator:ana" in next(fate for fate in one.progress.fates if fate.commit == NEW.digest[:40]).why


def test_a_commit_that_waits_is_not_overtaken_by_one_that_only_adds_hosts_to_its_release() -> None:
    one = stable()
    one.step(desired(NEW))
    one.step(desired(NEWER))
    grown = Desired(release=Release(digest=NEWER.digest, members=2), commit="d" * 40, decision=9, additive=frozenset({1}))
    one.step(grown)
    assert (of(one, NEWER), at(one, "d" * 40)) == (("", ""), ("", ""))
    one.run(grown)
    assert (of(one, NEW), of(one, NEWER), at(one, "d" * 40)) == (("stable", ""), ("stable", ""), ("stable", ""))


def test_a_release_that_is_tried_again_is_open_and_then_stable_for_all_commits_that_brought_it() -> None:
    one = stable()
    one.step(desired(NEW))
    one.step(desired(NEW), order("abort"))
    one.step(more_hosts("d"))
    one.step(more_hosts("d"), order("retry"))
    assert (of(one, NEW), at(one, "d" * 40)) == (("", ""), ("", ""))
    one.run(more_hosts("d"))
    assert (of(one, NEW), at(one, "d" * 40)) == (("stable", ""), ("stable", ""))


def test_hosts_that_join_a_release_on_its_way_are_of_a_commit_that_is_stable_with_it() -> None:
    one = stable()
    one.step(desired(NEW))
    one.run(more_hosts("d"))
    assert (of(one, NEW), at(one, "d" * 40)) == (("stable", ""), ("stable", ""))


def test_a_commit_that_a_newer_one_overtook_will_never_be_stable() -> None:
    one = stable()
    one.step(desired(NEW))
    one.step(desired(NEW), order("pause"))
    one.step(desired(NEWER))
    assert of(one, NEW) == ("superseded", NEWER.digest[:40])


def test_a_commit_that_waited_behind_another_is_overtaken_too() -> None:
    one, newest = stable(), Release(digest="e" * 64, members=1)
    for wanted in (NEW, NEWER, newest):
        one.step(desired(wanted))
    assert (of(one, NEW), of(one, NEWER)) == (("", ""), ("superseded", newest.digest[:40]))


def test_one_that_was_taken_back_as_the_next_was_taken_up_was_not_overtaken() -> None:
    one = stable()
    one.step(desired(NEW))
    one.step(desired(NEWER))
    one.step(desired(NEWER), order("abort"))
    assert one.progress.candidate is not None
    assert of(one, NEW) == ("taken-back", "")


def test_a_commit_that_goes_back_to_the_stable_release_is_stable_and_overtakes_the_other() -> None:
    one = stable()
    one.step(desired(NEW))
    back = Desired(release=OLD, commit="d" * 40, decision=9)
    one.step(back)
    assert (of(one, NEW), at(one, "d" * 40)) == (("superseded", "d" * 40), ("stable", ""))


def test_a_rollback_names_the_commit_that_it_goes_back_to_and_takes_the_newest_back() -> None:
    one = stable()
    one.run(desired(NEW))
    one.run(desired(NEWER))
    assert one.progress.commits == {one.digest: one.digest[:40] for one in (OLD, NEW, NEWER)}
    one.step(desired(NEWER), order("rollback"))
    assert (one.progress.stable, one.progress.stable_commit) == (NEW, NEW.digest[:40])
    assert [of(one, release) for release in (OLD, NEW, NEWER)] == [("stable", ""), ("stable", ""), ("taken-back", "")]


def test_a_commit_that_time_alone_brought_another_release_of_is_open_again() -> None:
    one, again = stable(), Desired(release=NEW, commit=OLD.digest[:40], decision=9)
    one.step(again)
    assert of(one, OLD) == ("", "")
    one.run(again)
    assert (of(one, OLD), one.progress.stable) == (("stable", ""), NEW)


def test_commits_are_forgotten_at_last_and_nothing_changes_while_nothing_happens() -> None:
    one = stable()
    for number in range(FATES_KEPT + 5):
        one.run(desired(Release(digest=f"{number:064x}"[::-1], members=1)))
    assert len(one.progress.fates) == FATES_KEPT
    before = one.progress
    one.step(desired(Release(digest=f"{FATES_KEPT + 4:064x}"[::-1], members=1)))
    assert one.progress == before


@pytest.mark.parametrize("phase", ["settled", "stopped"])
def test_a_rollout_that_was_kept_before_commits_were_noted_is_read(phase: str) -> None:
    kept = {"phase": phase, "stable": {"digest": OLD.digest, "members": 1}, "former": [{"digest": NEW.digest, "members": 1}]}
    progress = msgspec.convert(kept, Progress)
    assert (progress.commits, progress.fates) == ({}, [])
    one = fleet()
    one.progress = progress
    one.step(desired(OLD), order("rollback", to=NEW.digest))
    assert (one.progress.stable, one.progress.stable_commit) == (NEW, "")
