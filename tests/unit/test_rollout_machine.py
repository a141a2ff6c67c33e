"""Rollouts: forward only on evidence and through every gate, back at once and through none."""

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.rollout import Release
from reconciler.control.rollout.evidence import Said
from reconciler.control.rollout.gates import Answer, Before, Burn, Gates, Hold
from reconciler.control.rollout.machine import step
from reconciler.control.rollout.orders import Order
from reconciler.control.rollout.progress import Progress
from reconciler.rollouts.strategy import Strategy, strategy_of
from tests.rollout_cases import CANARY, FREEZE, NEW, NOON, OLD, Fleet, desired, fleet, kinds, members, order

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
