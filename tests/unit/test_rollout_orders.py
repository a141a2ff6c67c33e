"""What people order, and modes that they switch: what comes of it, and what is told of it."""

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from agent.protocol.rollout import BOUND_ALL, Release
from reconciler.control.rollout.gates import Gates, Stop
from reconciler.control.rollout.moving import would_move
from reconciler.rollouts.windows import Freeze
from tests.rollout_cases import CANARY, FREEZE, NEW, NEWER, NOON, OLD, desired, fleet, kinds, order

if TYPE_CHECKING:
    from reconciler.control.rollout.orders import Kind

# Orders


def test_what_was_taken_back_is_not_offered_again_until_another_commit_or_a_retry() -> None:
    one = fleet(behave=lambda *_: "failed")
    one.run(desired(NEW))
    one.behave = lambda *_: "applied"
    assert one.run(desired(NEW)).phase == "stopped"
    one.step(desired(NEW), order("retry"))
    assert (one.progress.attempt, one.progress.phase) == (2, "applying")
    assert one.run(desired(NEW)).stable == NEW


def test_hosts_that_are_added_bring_nothing_back_that_was_taken_back_and_get_the_stable_release() -> None:
    one = fleet(behave=lambda _host, release, _attempt: "failed" if release.digest == NEW.digest else "applied")
    one.run(desired(NEW))
    grown = desired(Release(digest=NEW.digest, members=2), additive=frozenset({1, 2}))
    stopped = one.run(grown)
    assert (stopped.phase, stopped.stable, stopped.refused) == ("stopped", Release(digest=OLD.digest, members=2), grown.release)
    assert one.count("candidate") == 1
    assert one.document is not None
    assert one.document.stable == stopped.stable
    one.step(grown, order("retry"))
    assert (one.progress.attempt, one.progress.phase) == (2, "applying")


def test_a_host_that_joined_with_the_candidate_has_a_release_to_go_back_to() -> None:
    one = fleet(behave=lambda _host, release, _attempt: "failed" if release.digest == NEW.digest else "applied")
    more = Release(digest=NEW.digest, members=2)
    one.step(desired(more, additive=frozenset({1, 2})))
    assert (one.progress.stable, one.progress.wave) == (Release(digest=OLD.digest, members=2), 0)
    most = Release(digest=NEW.digest, members=3)
    stopped = one.run(desired(most, additive=frozenset({1, 2, 3})))
    assert (stopped.phase, stopped.stable, stopped.refused) == ("stopped", Release(digest=OLD.digest, members=3), most)
    other = fleet()
    other.step(desired(Release(digest=NEW.digest, members=2), additive=frozenset({2})))
    assert other.progress.stable == OLD, "who was moved to another group is listed by the candidate alone"


def test_a_newer_release_ends_the_stop() -> None:
    one = fleet(behave=lambda _host, release, _attempt: "failed" if release == NEW else "applied")
    one.run(desired(NEW))
    assert one.run(desired(NEWER)).stable == NEWER


def test_a_release_that_comes_again_is_tried_under_another_attempt() -> None:
    one = fleet(behave=lambda _host, release, attempt: "failed" if (release, attempt) == (NEW, 1) else "applied")
    one.run(desired(NEW))
    one.run(desired(NEWER))
    assert one.run(desired(NEW)).stable == NEW
    assert one.progress.attempts[NEW.digest] == 2


def test_a_pause_holds_and_hosts_keep_what_they_have() -> None:
    one = fleet()
    one.step(desired(NEW))
    document = one.document
    one.step(desired(NEW), order("pause"))
    assert one.run(desired(NEW)).phase == "paused"
    assert one.document == document
    one.step(desired(NEW), order("resume"))
    assert one.run(desired(NEW)).stable == NEW


def test_a_critical_release_says_which_freeze_it_passed() -> None:
    critical = {"reason": "CVE-2026-4711", "until": "2026-11-23T18:00:00Z"}
    one = fleet({**CANARY, "critical": critical})
    freeze = Freeze(name="peak-season", start=NOON - timedelta(hours=1), until=NOON + timedelta(days=1))
    one.gates = Gates(stops=[Stop(freeze=freeze, reason="peak season", owner="ana")])
    one.step(desired(NEW))
    assert one.events[-1].why.endswith("; it passes freeze peak-season, critical until 2026-11-23T18:00:00Z: CVE-2026-4711")


def test_a_wave_that_goes_on_after_a_pause_soaks_from_there() -> None:
    one = fleet({"waves": [{"name": "canary", "limit": "20%", "soak": 600}, {"name": "rest", "limit": "100%"}]})
    one.step(desired(NEW))
    one.now += timedelta(seconds=300)
    one.step(desired(NEW), order("pause"))
    assert one.progress.why == "paused by operator:ana: a reason"
    one.now += timedelta(seconds=900)
    one.step(desired(NEW), order("resume"))
    went_on = one.now
    while one.progress.wave == 0:
        outcome = one.step(desired(NEW))
        one.now = max(one.now + timedelta(seconds=1), outcome.due or one.now)
    assert one.now - went_on >= timedelta(seconds=600)


def test_the_same_person_approves_a_wave_once_and_is_told_how_many_it_takes() -> None:
    one = fleet({"waves": [{"name": "all", "limit": "100%", "soak": 0, "approval": "required", "approvers": 2}]})
    one.step(desired(NEW))
    one.step(desired(NEW), order("approve"))
    assert one.events[-1].why == "wave all of bbbbbbbbbbbb of commit bbbbbbbbbbbb approved by operator:ana, 1 of 2: a reason"
    one.step(desired(NEW), order("approve"))
    assert one.events[-1].why == "approve by operator:ana: operator:ana approved wave all already: 1 of 2"
    assert len(one.progress.approvals) == 1


def test_a_newer_release_waits_for_the_candidate_but_not_for_a_paused_one() -> None:
    one = fleet()
    one.step(desired(NEW))
    one.step(desired(NEWER))
    assert one.progress.candidate is not None
    assert one.progress.candidate.release == NEW
    one.step(desired(NEWER), order("pause"))
    assert one.progress.candidate is not None
    assert (one.progress.candidate.release, one.progress.wave) == (NEWER, 0)


def test_a_pause_says_that_a_newer_release_takes_its_place_and_that_a_freeze_holds_everything() -> None:
    one = fleet()
    one.step(desired(NEW))
    one.step(desired(NEWER))
    had = one.has()
    one.gates = Gates(stops=[FREEZE])
    frozen = one.run(desired(NEWER), most=40)
    assert (frozen.candidate and frozen.candidate.release, frozen.wave, one.has()) == (NEW, 0, had)
    one.step(desired(NEWER), order("pause"))
    [said] = [event.why for event in one.events if event.kind == "paused"]
    assert said.startswith(f"paused by operator:ana: a reason; {NEWER.digest[:12]} is newer and takes its place")
    assert "`ordain freeze --fleet shop/web --for 2h --reason …` holds everything where it is" in said
    assert one.progress.candidate is not None
    assert one.progress.candidate.release == NEWER


@pytest.mark.parametrize(("newer", "said"), [(False, "`ordain rollout pause shop/web"), (True, "`ordain freeze --fleet shop/web")])
def test_what_holds_a_rollout_is_a_freeze_where_a_newer_release_waits(said: str, *, newer: bool) -> None:
    one = fleet()
    one.step(desired(NEW))
    assert any(move.startswith(said) for move in would_move(one.progress, ["evidence"], one.strategy, name="shop/web", newer=newer))


def test_a_newer_release_that_waited_is_taken_up_at_once_when_the_candidate_is_through() -> None:
    one = fleet()
    one.run(desired(OLD))
    one.step(desired(NEW))
    while one.progress.candidate is not None:
        outcome = one.step(desired(NEWER))
        one.now = max(one.now + timedelta(seconds=1), outcome.due or one.now)
    assert one.progress.stable == NEW
    assert one.outcome is not None
    assert one.outcome.due is not None
    assert one.outcome.due <= one.now
    one.step(desired(NEWER))
    assert one.progress.candidate is not None
    assert one.progress.candidate.release == NEWER


def test_going_back_in_git_withdraws_a_candidate() -> None:
    one = fleet()
    one.step(desired(NEW))
    assert one.step(desired(OLD)).progress.phase == "settled"
    assert one.has() == []


def test_an_abort_takes_the_candidate_back() -> None:
    one = fleet()
    one.step(desired(NEW))
    aborted = one.step(desired(NEW), order("abort")).progress
    assert (aborted.phase, aborted.refused, one.has()) == ("stopped", NEW, [])
    assert one.events[-1].who == "operator:ana"


def test_a_rollback_goes_to_the_stable_release_before_without_waves_and_stays_there() -> None:
    one = fleet()
    one.run(desired(NEW))
    back = one.step(desired(NEW), order("rollback")).progress
    assert (back.stable, back.refused, back.phase) == (OLD, NEW, "stopped")
    assert one.run(desired(NEW)).stable == OLD
    for _ in range(2):  # who else is called at night orders the same
        again = one.step(desired(NEW), order("rollback")).progress
        assert (again.stable, kinds(one)[-1]) == (OLD, "order-ignored")
    assert f"it went back already, to {OLD.digest[:12]}" in one.events[-1].why
    undone = one.step(desired(NEW), order("rollback", to=NEW.digest[:8])).progress
    assert (undone.stable, undone.refused, undone.phase, undone.stable_commit) == (NEW, None, "settled", NEW.digest[:40])
    assert one.step(desired(NEW), order("rollback", to=OLD.digest[:8])).progress.former == [NEW]
    assert one.run(desired(NEWER)).stable == NEWER


def test_an_order_that_there_is_nothing_to_do_for_says_so() -> None:
    ignored: tuple[Kind, ...] = ("pause", "resume", "approve", "abort", "rollback", "retry", "base")
    for kind in ignored:
        one = fleet()
        one.run(desired(OLD))
        before = one.progress
        one.step(desired(OLD), order(kind))
        assert (kinds(one)[-1], one.progress) == ("order-ignored", before)


WANTED: dict[str, object] = {
    "waves": [{"name": "canary", "matchLabels": {"canary": "true"}, "approval": "required"}, {"name": "rest", "limit": "100%"}]
}


def test_an_approval_of_another_release_than_the_one_on_its_way_approves_nothing_and_names_both() -> None:
    one = fleet(WANTED)
    one.step(desired(NEW))
    said = [{"commit": NEWER.digest[:40]}, {"digest": NEWER.digest}, {"commit": NEW.digest[:40], "digest": NEWER.digest[:7]}]
    for guard in said:
        one.step(desired(NEW), order("approve", **guard))
        assert (kinds(one)[-1], one.progress.approvals) == ("order-ignored", [])
    assert "what is on its way is bbbbbbbbbbbb of commit bbbbbbbbbbbb, not that of commit cccccccccccc" in one.events[-3].why
    one.step(desired(NEW), order("approve", commit=NEW.digest[:7], digest=NEW.digest[:7]))
    assert "wave canary of bbbbbbbbbbbb of commit bbbbbbbbbbbb approved by operator:ana" in one.events[-2].why
    assert (kinds(one)[-1], one.progress.wave) == ("admitted", 0)


def test_an_approval_is_of_the_release_that_took_the_place_of_another_only_where_that_is_meant() -> None:
    one = fleet(WANTED)
    one.step(desired(NEW))
    one.step(desired(NEWER))
    one.step(desired(NEWER), order("approve", commit=NEW.digest[:40]))
    assert (kinds(one)[-1], one.progress.wave) == ("order-ignored", -1)


# Modes


def test_a_mode_starts_on_the_first_waves_hosts_and_ends_by_itself() -> None:
    one = fleet()
    one.run(desired(OLD))
    outcome = one.step(desired(OLD), order("mode", mode="incident", until="2026-11-23T14:00:00Z", all_at_once=True))
    assert [(mode.name, mode.bound) for mode in outcome.modes] == [("incident", BOUND_ALL)]
    assert outcome.due == NOON + timedelta(hours=2)
    one.now = NOON + timedelta(hours=2)
    assert one.step(desired(OLD)).modes == ()
    assert kinds(one)[-1] == "mode-ended"


def test_a_mode_that_is_prolonged_stays_on_wherever_it_is_on() -> None:
    one = fleet()
    one.run(desired(OLD))
    one.step(desired(OLD), order("mode", mode="incident", until="2026-11-23T13:00:00Z", all_at_once=True, most=3600))
    began = one.progress.switches[0].start
    one.now = NOON + timedelta(minutes=10)
    outcome = one.step(desired(OLD), order("mode", mode="incident", until="2026-11-23T12:50:00Z", most=3600))
    assert [(mode.bound, mode.start, mode.until) for mode in outcome.modes] == [(BOUND_ALL, began, "2026-11-23T12:50:00Z")]
    one.now = NOON + timedelta(minutes=30)
    outcome = one.step(desired(OLD), order("mode", mode="incident", until="2026-11-23T13:30:00Z", most=3600))
    assert [(mode.bound, mode.start, mode.until) for mode in outcome.modes] == [
        (BOUND_ALL, "2026-11-23T12:29:00Z", "2026-11-23T13:29:00Z")  # no longer than hosts follow it, whose clocks may be behind
    ]
    assert one.progress.switches[0].since == began
    one.now = NOON + timedelta(minutes=90)
    assert one.step(desired(OLD)).modes == ()
    outcome = one.step(desired(OLD), order("mode", mode="incident", until="2026-11-23T14:00:00Z", most=3600))
    assert (one.progress.switches[0].everywhere, one.progress.switches[0].began) == (False, ""), "one that is over begins anew"
