"""Rollouts: forward only on evidence and through every gate, back at once and through none."""

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.rollout import BOUND_ALL, Release
from reconciler.control.rollout.evidence import Said
from reconciler.control.rollout.gates import Answer, Before, Burn, Gates, Hold, Stop
from reconciler.control.rollout.machine import step
from reconciler.control.rollout.moving import would_move
from reconciler.control.rollout.orders import Kind, Order
from reconciler.control.rollout.progress import Progress
from reconciler.rollouts.strategy import Strategy, strategy_of
from reconciler.rollouts.waves import Member
from reconciler.rollouts.windows import Freeze
from tests.rollout_cases import NEW, NEWER, NOON, OLD, Fleet, desired

CANARY = {"waves": [{"name": "canary", "matchLabels": {"canary": "true"}, "soak": 600}, {"name": "rest", "limit": "100%", "soak": 600}]}


def members(count: int = 20, *, canaries: int = 2) -> list[Member]:
    return [Member(name=f"web-{number:03}", labels={"canary": "true"} if number < canaries else {}) for number in range(count)]


def fleet(rollout: dict[str, object] | None = None, **more: object) -> Fleet:
    made = Fleet(strategy=strategy_of(CANARY if rollout is None else rollout), members=members(), **more)  # type: ignore[arg-type]
    made.progress = Progress(stable=OLD)
    return made


def order(kind: Kind, **more: object) -> Order:
    return Order(id=1, kind=kind, who="operator:ana", reason="a reason", at="2026-11-23T12:00:00Z", **more)  # type: ignore[arg-type]


def kinds(one: Fleet) -> list[str]:
    return [event.kind for event in one.events]


# Forward


def test_a_release_that_is_well_spreads_wave_by_wave_and_becomes_stable() -> None:
    one = fleet()
    done = one.run(desired(NEW))
    assert (done.phase, done.stable, done.candidate, done.former) == ("settled", NEW, None, [OLD])
    assert kinds(one) == ["candidate", "admitted", "proved", "admitted", "proved", "done"]
    assert one.now - NOON >= timedelta(seconds=1200)


def test_the_first_wave_is_the_canaries_and_nobody_else() -> None:
    one = fleet()
    one.step(desired(NEW))
    assert one.has() == ["web-000", "web-001"]


def test_a_wave_soaks_from_the_receipt_on_and_the_host_must_be_heard_at_its_end() -> None:
    one = fleet()
    one.step(desired(NEW))
    one.now += timedelta(seconds=599)
    one.step(desired(NEW))
    assert one.progress.wave == 0
    one.now += timedelta(seconds=2)
    one.step(desired(NEW))
    assert one.progress.wave == 1


def test_nothing_starts_over_while_nothing_changes() -> None:
    one = fleet()
    one.step(desired(NEW))
    before, document = one.progress, one.document
    one.step(desired(NEW))
    assert (one.progress, one.document) == (before, document)


def test_the_first_release_ever_goes_by_waves_too_and_touches_nothing_outside_of_them() -> None:
    one = fleet()
    one.progress = Progress()
    one.step(desired(NEW))
    assert one.document is not None
    assert (one.document.stable, one.document.candidate, one.has()) == (None, NEW, ["web-000", "web-001"])
    assert one.run(desired(NEW)).stable == NEW


def test_hosts_that_were_added_do_not_wait_for_waves() -> None:
    one = fleet()
    grown = Release(digest=OLD.digest, members=2)
    assert one.step(desired(grown, additive=frozenset({1}))).progress.stable == grown
    assert kinds(one) == ["stable"]


def test_hosts_that_are_added_while_a_candidate_is_on_its_way_do_not_begin_it_anew() -> None:
    one = fleet()
    one.step(desired(NEW))
    grown = Release(digest=NEW.digest, members=2)
    progress = one.step(desired(grown, additive=frozenset({1}))).progress
    assert progress.candidate is not None
    assert (progress.candidate.release, progress.wave, progress.attempt) == (grown, 0, 1)


def test_since_when_it_stands_is_known_of_a_wave_that_waits_for_nothing_but_its_hosts() -> None:
    outcome = fleet().step(desired(NEW))
    assert (outcome.progress.phase, outcome.progress.why, outcome.progress.since) == ("applying", "", "2026-11-23T12:00:00Z")


def test_a_wave_of_labels_that_no_host_has_holds_and_says_so() -> None:
    one = fleet({"waves": [{"name": "canary", "matchLabels": {"canary": "yes"}}, {"name": "rest", "limit": "100%"}]})
    outcome = one.step(desired(NEW))
    assert (outcome.progress.phase, outcome.progress.wave) == ("waiting", -1)
    assert outcome.progress.why.startswith("wave canary selects no member")


def test_a_wave_whose_limit_is_reached_already_is_passed_over() -> None:
    one = fleet({"waves": [CANARY["waves"][0], {"name": "few", "limit": "5%"}, {"name": "rest", "limit": "100%"}]})
    assert one.run(desired(NEW)).stable == NEW
    assert [event.wave for event in one.events if event.kind == "admitted"] == ["canary", "rest"]


def test_a_strategy_that_stops_short_ends_with_everybody() -> None:
    one = fleet({"waves": [{"name": "canary", "matchLabels": {"canary": "true"}, "soak": 60}]})
    assert one.run(desired(NEW)).stable == NEW
    assert kinds(one) == ["candidate", "admitted", "proved", "done"]


# Evidence


@pytest.mark.parametrize("result", ["failed", "refused", "restored"])
def test_one_canary_that_fails_takes_the_release_back(result: str) -> None:
    one = fleet(behave=lambda host, _release, _attempt: result if host == "web-001" else "applied")
    stopped = one.run(desired(NEW))
    assert (stopped.phase, stopped.stable, stopped.refused, one.most) == ("stopped", OLD, NEW, 2)
    assert "web-001" in one.events[-1].why
    assert one.document is not None
    assert (one.document.candidate, one.document.stable, one.document.bound) == (None, OLD, 0)


def test_a_canary_that_falls_silent_has_failed() -> None:
    one = fleet(behave=lambda host, _release, _attempt: "gone" if host == "web-000" else "applied")
    assert one.run(desired(NEW)).phase == "stopped"
    assert one.now - NOON >= timedelta(seconds=900)
    assert "failed (web-000 silent), more than" in one.events[-1].why


def test_the_threshold_is_of_those_that_showed_something_however_many_are_still_to_come() -> None:
    fate = {member.name: "failed" if number < 10 else "applied" if number < 60 else "" for number, member in enumerate(members(100))}
    one = fleet(
        {"waves": [{"name": "all", "limit": "100%", "soak": 0}], "health": {"quorum": "50%", "successThreshold": "90%"}},
        behave=lambda host, _release, _attempt: fate[host],
    )
    one.members = members(100)
    one.step(desired(NEW))
    one.now += timedelta(seconds=1)
    assert one.step(desired(NEW)).progress.phase == "applying"
    fate |= {f"web-{number:03}": "applied" for number in range(60, 100)}
    assert one.run(desired(NEW)).stable == NEW


def test_half_of_the_canaries_silent_is_not_success() -> None:
    one = fleet(behave=lambda host, _release, _attempt: "" if host == "web-000" else "applied")
    assert one.run(desired(NEW)).phase == "stopped"
    assert one.most == 2


def test_a_canary_that_applied_and_then_fell_silent_in_the_soak_has_failed() -> None:
    one = fleet()
    one.step(desired(NEW))
    one.gone["web-000"] = one.now + timedelta(seconds=1)
    assert one.run(desired(NEW)).phase == "stopped"


def test_hosts_that_were_away_before_are_neither_healthy_nor_failed() -> None:
    one = fleet(away=frozenset({"web-000"}))
    assert one.run(desired(NEW)).stable == NEW
    one = fleet(away=frozenset({"web-000", "web-001"}))
    waiting = one.step(desired(NEW)).progress
    one.now += timedelta(hours=5)
    outcome = one.step(desired(NEW))
    assert (waiting.wave, outcome.progress.wave, outcome.progress.phase) == (0, 0, "applying")
    assert outcome.holds[0].why == "none of the 2 hosts of this wave is connected"


def test_a_release_that_hurts_earlier_waves_later_is_taken_back() -> None:
    one = fleet()
    one.run(desired(OLD))
    one.step(desired(NEW))
    one.now += timedelta(seconds=601)
    one.step(desired(NEW))
    assert one.progress.wave == 1
    for host in ("web-000", "web-001"):
        one.said[host, NEW.digest, 1] = Said(result="failed", at=one.now)
    one.now += timedelta(seconds=1)
    assert one.step(desired(NEW)).progress.phase == "stopped"
    assert "of all that have it" in one.events[-1].why


def test_a_release_that_hurts_while_it_waits_for_its_next_wave_is_taken_back_and_goes_no_further() -> None:
    one = fleet()
    one.step(desired(NEW))
    one.gates = Gates(stops=[FREEZE])
    one.now += timedelta(seconds=601)
    assert one.step(desired(NEW)).progress.phase == "waiting"
    one.said["web-000", NEW.digest, 1] = Said(result="failed", at=one.now)
    one.gates = Gates()
    assert (one.step(desired(NEW)).progress.phase, one.most) == ("stopped", 2)


def test_measurements_take_a_release_back_and_silence_of_them_holds_it() -> None:
    one = fleet()
    one.gates = Gates(answers=[Answer(name="error rate", missing="Prometheus does not answer")])
    held = one.run(desired(NEW), most=20)
    assert (held.phase, held.wave) == ("applying", 0)
    one.gates = Gates(answers=[Answer(name="error rate", bad="0.2 is above 0.01")])
    assert one.step(desired(NEW)).progress.phase == "stopped"
    assert one.events[-1].why == "error rate: 0.2 is above 0.01"


def test_other_words_for_what_it_waits_for_begin_nothing_anew() -> None:
    one = fleet()
    one.step(desired(NEW))
    began, since = "2026-11-23T12:00:00Z", []
    for answers in ("", "no sample", "NaN", ""):
        one.now += timedelta(seconds=60)
        one.gates = Gates(answers=[Answer(name="errors", missing=answers)])
        progress = one.step(desired(NEW)).progress
        assert progress.why == (f"no answer from errors: {answers}" if answers else "")
        assert progress.waits["evidence"] == began
        since.append(progress.since)
    assert since == [began, "2026-11-23T12:02:00Z", "2026-11-23T12:02:00Z", "2026-11-23T12:04:00Z"]


def test_what_a_version_before_this_one_kept_stands_since_then() -> None:
    one = fleet()
    one.gates = Gates(burn=Burn(hour=3))
    one.step(desired(NEW))
    one.progress, one.now = msgspec.structs.replace(one.progress, waits={}), NOON + timedelta(hours=1)
    progress = one.step(desired(NEW)).progress
    assert (progress.since, progress.waits) == ("2026-11-23T12:00:00Z", {"budget": "2026-11-23T12:00:00Z"})


def test_a_strategy_may_pause_on_failure() -> None:
    one = fleet({**CANARY, "health": {"onFailure": "pause"}}, behave=lambda *_: "failed")
    paused = one.run(desired(NEW))
    assert (paused.phase, paused.candidate is not None, len(one.has())) == ("paused", True, 2)


# Gates

FREEZE = Stop(freeze=Freeze(name="peak", start=NOON, until=NOON + timedelta(days=2)), reason="peak season", owner="ana")


@pytest.mark.parametrize(
    ("gates", "kind"),
    [
        (Gates(stops=[FREEZE]), "freeze"),
        (Gates(before=[Before(fleet="staging", missing="it is at wave 1")]), "after"),
        (Gates(burn=Burn(hour=3.0)), "budget"),
        (Gates(burn=Burn(six_hours=2.1)), "budget"),
        (Gates(held=[Hold(kind="authority", why="the certificate authority is being changed")]), "authority"),
    ],
)
def test_each_gate_holds_the_way_forward_and_says_why(gates: Gates, kind: str) -> None:
    one = fleet()
    one.gates = gates
    outcome = one.step(desired(NEW))
    assert (outcome.progress.phase, outcome.progress.wave, [hold.kind for hold in outcome.holds]) == ("waiting", -1, [kind])
    assert outcome.progress.why == outcome.holds[0].why


@pytest.mark.parametrize("gates", [Gates(stops=[FREEZE]), Gates(burn=Burn(hour=3))])
def test_a_gate_holds_a_release_too_whose_last_wave_is_proved(gates: Gates) -> None:
    one = fleet({"waves": [{"name": "all", "limit": "100%", "soak": 0}]})
    one.step(desired(NEW))
    one.gates = gates
    held = one.run(desired(NEW), most=5)
    assert (held.phase, held.wave, held.stable, one.count("proved")) == ("waiting", 0, OLD, 1)
    one.gates = Gates()
    assert one.run(desired(NEW)).stable == NEW


def test_no_gate_stands_in_the_way_back() -> None:
    one = fleet(behave=lambda *_: "failed")
    one.step(desired(NEW))
    one.gates = Gates(stops=[FREEZE], burn=Burn(hour=9), before=[Before(fleet="staging", missing="x")])
    assert one.step(desired(NEW)).progress.phase == "stopped"
    one = fleet()
    one.step(desired(NEW))
    one.gates = Gates(stops=[FREEZE])
    assert one.step(desired(NEW), order("rollback")).progress.phase == "stopped"


def test_a_critical_release_passes_a_burning_budget_and_a_freeze_until_its_end() -> None:
    one = fleet()
    one.gates = Gates(stops=[FREEZE], burn=Burn(hour=9))
    assert one.step(desired(NEW)).progress.wave == -1
    for until, wave in (("2026-11-23T12:00:00Z", -1), ("2026-11-23T12:00:01Z", 0)):
        one.strategy = strategy_of({**CANARY, "critical": {"reason": "CVE-2026-1", "until": until}})
        assert one.step(desired(NEW)).progress.wave == wave


def test_a_window_that_is_closed_holds_until_it_opens() -> None:
    one = fleet({**CANARY, "windows": [{"cron": "0 14 * * *", "duration": 3600, "timeZone": "UTC"}]})
    outcome = one.step(desired(NEW))
    assert outcome.due == NOON + timedelta(hours=2)
    one.now = NOON + timedelta(hours=2)
    assert one.step(desired(NEW)).progress.wave == 0


def test_a_wave_waits_for_as_many_people_as_it_says() -> None:
    wave = {"name": "all", "limit": "100%", "approval": "required", "approvers": 2, "soak": 0}
    one = fleet({"waves": [wave]})
    assert one.step(desired(NEW)).progress.why == "wave all must be approved by 2 people"
    one.step(desired(NEW), order("approve"), order("approve"))
    assert one.progress.why == "wave all must be approved by a person more; approved by operator:ana"
    other = Order(id=2, kind="approve", who="operator:ben", reason="seen", at="2026-11-23T12:00:00Z")
    assert one.step(desired(NEW), other).progress.wave == 0


def test_an_approval_is_of_the_wave_that_comes_next_and_not_of_one_that_is_passed_over() -> None:
    few, rest = {"name": "few", "limit": "5%"}, {"name": "rest", "limit": "100%", "approval": "required", "soak": 0}
    one = fleet({"waves": [CANARY["waves"][0], few, rest]})
    one.run(desired(NEW))
    assert one.progress.why == "wave rest must be approved by a person"
    assert one.step(desired(NEW), order("approve")).progress.wave == 2


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


def test_a_fleet_of_which_no_host_is_enrolled_can_prove_nothing_and_has_its_release_at_once() -> None:
    one = fleet()
    situation = replace(one.situation(desired(NEW)), provable=False)
    assert step(one.progress, situation).progress.stable == NEW


# Properties

results = st.sampled_from(["applied"] * 8 + ["failed", "restored", "gone", ""])


@given(
    count=st.integers(1, 60),
    canaries=st.integers(0, 6),
    limits=st.lists(st.integers(1, 100), min_size=1, max_size=4).map(sorted),
    threshold=st.integers(0, 100),
    data=st.data(),
)
def test_no_candidate_reaches_more_hosts_than_its_waves_and_none_advances_above_its_failures(
    count: int, canaries: int, limits: list[int], threshold: int, data: st.DataObject
) -> None:
    stated = [{"name": f"w{index}", "limit": f"{limit}%", "soak": 60} for index, limit in enumerate(limits)]
    one = Fleet(
        strategy=strategy_of({"waves": stated, "health": {"successThreshold": f"{threshold}%"}}),
        members=members(count, canaries=min(canaries, count)),
        progress=Progress(stable=OLD),
    )
    fate = {member.name: data.draw(results) for member in one.members}
    one.behave = lambda host, _release, _attempt: fate[host]
    reached: set[str] = set()
    for _ in range(200):
        before = one.progress
        outcome = one.step(desired(NEW))
        taking = set(one.has())
        if one.progress.candidate is not None and one.progress.wave >= 0:
            wave = one.waves(one.progress.candidate, 1)[one.progress.wave]
            assert len(taking) == wave.reached <= -(-int(limits[min(one.progress.wave, len(limits) - 1)]) * count // 100)
        if one.progress.wave > before.wave >= 0:
            shown = [fate[host] for host in reached if fate[host] in ("applied", "failed", "restored")]
            assert (len(shown) - shown.count("applied")) * 100 <= (100 - threshold) * len(shown)
            assert len(shown) * 100 >= 80 * len(reached) or one.now - NOON >= timedelta(seconds=900)
        reached |= taking
        if outcome.due is None and one.progress == before:
            break
        one.now = max(one.now + timedelta(seconds=1), outcome.due or one.now)
    assert one.progress.phase in ("settled", "stopped")


def test_the_default_strategy_is_the_one_of_the_plan() -> None:
    assert isinstance(strategy_of({}), Strategy)
    assert [step.name for step in strategy_of({}).steps] == ["first", "half", "all"]
