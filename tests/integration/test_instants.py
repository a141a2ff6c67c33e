"""Decisions that time alone brings: the loop makes them at their time, by a clock that the tests turn."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.cli.status import lines
from reconciler.metrics import PipelineCollector, exposition
from reconciler.pipeline.audit import note_text
from reconciler.pipeline.session import resume
from reconciler.status import gather
from tests.acceptance_cases import component, repository
from tests.host_cases import Host, made
from tests.integration.test_waivers import MOTD, RULE, TIGHTENING, WAIVER, WRITABLE, waiver
from tests.policy_cases import finds, rego
from tests.signing_cases import REQUIRED, owner, with_ssh

pytestmark = pytest.mark.needs("opa", "git")


def status(host: Host) -> list[str]:
    """Return what `ordain status` says."""
    return list(lines(gather(host.parts.store, host.parts.ring, source=None, now=host.clock[0])))


def metrics(host: Host) -> dict[str, float]:
    """Return the gauges by name, labels included."""
    text = exposition(PipelineCollector(host.progress, now=lambda: host.clock[0]))().decode()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith("ordain_")}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = made(tmp_path)
    yield host
    host.session.close()


def test_a_waiver_ends_at_its_time_without_a_commit(host: Host) -> None:
    host.copy.commit("waived", {**repository(), MOTD: WRITABLE, WAIVER: waiver()})
    host.at("2026-11-22T12:00:00+00:00")
    first = host.record()
    assert [(one.name, one.owner, one.expires) for one in first.waivers] == [("motd", "ana@example.com", "2026-12-01")]
    assert [one.waived for one in first.verdicts if one.rule == RULE] == ["shop/motd"]
    host.at("2026-12-01T23:59:59+00:00")
    assert host.record() == first
    host.at("2026-12-02T00:00:00+00:00")
    second = host.record()
    assert (second.at, second.since, second.head) == ("2026-12-02T00:00:00Z", first.at, first.head)
    assert [(one.standing, one.waived) for one in second.verdicts if one.rule == RULE] == [(True, "")]
    assert not second.refused
    assert any(line.startswith(f"standing: {RULE} {MOTD} at files[/etc/motd].mode (since 2026-12-02") for line in status(host))
    assert any(line.startswith("waiver shop/motd ended at 2026-12-02T00:00:00Z") for line in status(host))
    assert metrics(host)["ordain_pipeline_standing_verdicts"] == 1
    host.at("2026-12-03T00:00:00+00:00")
    assert host.record() == second


def test_a_waiver_ends_though_the_repository_is_away_and_after_a_restart(host: Host) -> None:
    host.copy.commit("waived", {**repository(), MOTD: WRITABLE, WAIVER: waiver()})
    host.at("2026-11-22T12:00:00+00:00")
    host.copy.path.rename(host.copy.path.with_name("away"))
    host.session.close()
    host.session = resume(host.parts)
    host.at("2026-12-05T09:00:00+00:00")
    assert host.progress.standing_verdicts == 1
    host.at("2026-12-05T09:00:01+00:00")
    assert host.progress.decisions == 2


def test_an_unrelated_fix_passes_after_a_waiver_ended_and_mending_clears_what_stands(host: Host) -> None:
    host.copy.commit("waived", {**repository(), MOTD: WRITABLE, WAIVER: waiver()})
    host.at("2026-11-22T12:00:00+00:00")
    host.copy.commit("an unrelated fix", {MOTD: component("motd", "/etc/motd", "fixed", mode="0666")})
    host.at("2026-12-02T08:00:00+00:00")
    assert not host.record().refused
    assert host.progress.standing_verdicts == 1
    host.copy.commit("mended", {MOTD: component("motd", "/etc/motd", "fixed"), WAIVER: None})
    host.at("2026-12-02T09:00:00+00:00")
    assert host.progress.standing_verdicts == 0
    assert not host.progress.waivers


def test_status_and_metrics_tell_of_waivers_that_end_soon_and_of_those_that_nothing_needs(host: Host) -> None:
    host.copy.commit("waived", {**repository(), MOTD: WRITABLE, WAIVER: waiver()})
    host.at("2026-11-22T12:00:00+00:00")
    assert any(line.startswith("waiver shop/motd ends within 30 days") for line in status(host))
    assert metrics(host)['ordain_waivers_ending{days="30"}'] == 1
    assert metrics(host)['ordain_waivers_ending{days="7"}'] == 0
    host.clock[0] = datetime(2026, 12, 1, 1, tzinfo=UTC)
    assert any(line.startswith("waiver shop/motd ends within 1 day,") for line in status(host))
    assert metrics(host)['ordain_waivers_ending{days="1"}'] == 1
    host.copy.commit("mended", {MOTD: component("motd", "/etc/motd", "fixed")})
    host.at("2026-12-01T02:00:00+00:00")
    assert any(line.startswith("waiver shop/motd is not needed") for line in status(host))
    assert metrics(host)["ordain_waivers_unused"] == 1


def test_the_day_of_a_rule_brings_a_decision_though_nobody_commits(host: Host) -> None:
    host.copy.commit("staged", {**repository(), "ordain.yaml": TIGHTENING, MOTD: WRITABLE})
    host.at("2026-11-22T12:00:00+00:00")
    assert [one.action for one in host.record().verdicts if one.rule == RULE] == ["warn"]
    host.at("2026-12-01T00:00:00+00:00")
    assert [(one.action, one.standing) for one in host.record().verdicts if one.rule == RULE] == [("deny", True)]
    assert host.progress.standing_verdicts == 1
    assert host.progress.refused_files == host.progress.frozen_fleets == 0


RECHECKED = rego("ordain.custom.office.hours", finds('input.change.now >= "2026-11-23T06:00:00Z"'), custom="recheckAfter: 12h").decode()


def test_a_rule_that_asks_to_be_asked_again_is(host: Host) -> None:
    rule = "policies/office/hours/hours.rego"
    host.copy.commit("own rule", {**repository(), rule: RECHECKED})
    host.at("2026-11-22T11:00:00+00:00")
    first = host.record()
    assert not [one for one in first.verdicts if one.rule == "custom/office/hours"]
    host.at("2026-11-22T23:59:59+00:00")
    assert host.progress.decisions == 2
    host.at("2026-11-23T12:00:00+00:00")
    assert {one.standing for one in host.record().verdicts if one.rule == "custom/office/hours"} == {True}


def broken(host: Host, tmp_path: Path, *by: str) -> None:
    """Have ana and ben, who may sign all, break the glass: each commits what bears their name, and all is pushed together."""
    people = {name: with_ssh(name, tmp_path) for name in ("ana", "ben")}
    signers: dict[str, str | None] = {f"signers/{name}.yaml": owner(person) for name, person in people.items()}
    first = {**repository(), **signers, "ordain.yaml": REQUIRED}
    people["ana"].commit(host.copy, "begin", first)
    host.at("2026-11-22T12:00:00+00:00")
    host.at("2026-11-22T12:00:01+00:00")
    glass = "breakGlass: {incident: INC-7, until: '2026-11-22T20:00:00Z', approvedBy: [ana, ben]}"
    text = waiver(at="", value="", until=glass)
    for number, name in enumerate(by):
        people[name].commit(host.copy, f"approved by {name}", {MOTD: WRITABLE, WAIVER: text + "# approved\n" * number})
    host.at("2026-11-22T13:00:00+00:00")


@pytest.mark.needs("ssh-keygen")
def test_broken_glass_pages_and_stands_in_the_record(host: Host, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    broken(host, tmp_path, "ana", "ben")
    assert not host.record().refused
    assert [(one.incident, one.expires) for one in host.record().waivers] == [("INC-7", "2026-11-22T20:00:00Z")]
    assert "glass broken for INC-7: waiver shop/motd excused" in note_text(host.record())
    assert [one.getMessage() for one in caplog.records if one.levelname == "ERROR"] == [f"glass broken: shop/motd excuses {RULE}"]
    assert metrics(host)["ordain_break_glass_active"] == 1
    assert any(line.startswith("GLASS BROKEN until 2026-11-22T20:00:00Z for INC-7: shop/motd excuses") for line in status(host))
    host.at("2026-11-22T20:00:00+00:00")
    assert metrics(host)["ordain_break_glass_active"] == 0
    assert host.progress.standing_verdicts == 1


@pytest.mark.needs("ssh-keygen")
def test_one_person_alone_does_not_break_the_glass(host: Host, tmp_path: Path) -> None:
    broken(host, tmp_path, "ana", "ana")
    assert set(host.record().refused) == {MOTD, WAIVER}
    assert "ben, who is named, is no person who signed one of its commits" in host.record().refused[WAIVER]
    assert metrics(host)["ordain_break_glass_active"] == 0
