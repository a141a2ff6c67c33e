"""What waivers excuse, and what not: decided by a real OPA, at times that the tests choose."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from reconciler.opa.program import find_opa
from reconciler.pipeline.acceptance import Decision, Judged
from tests.acceptance_cases import REPOSITORY, Bench, component, repository, tenant

pytestmark = pytest.mark.needs("opa")

MOTD, WAIVER = "tenants/shop/components/motd.yaml", "tenants/shop/waivers/motd.yaml"
WRITABLE = component("motd", "/etc/motd", mode="0666")
RULE = "host-safety/world-writable"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(opa=find_opa(None), cache=tmp_path, stack=stack)


def waiver(*, at: str = "files[/etc/motd].mode", value: str = "'0666'", rule: str = RULE, until: str = "expires: 2026-12-01") -> str:
    return (
        "apiVersion: ordain.dev/v1\nkind: Waiver\nmetadata: {name: motd, tenant: shop}\nspec:\n"
        f"  rule: {rule}\n  object: {{kind: Component, name: motd}}\n"
        + (f"  at: '{at}'\n" if at else "")
        + (f"  value: {value}\n" if value else "")
        + f"  reason: old readers\n  owner: ana@example.com\n  {until}\n"
    )


def about(decision: Decision, rule: str = RULE) -> list[Judged]:
    return [one for one in decision.judged if one.finding.rule == rule]


def test_a_waiver_lets_pass_what_it_excuses_and_says_so(bench: Bench) -> None:
    bench.decide(repository())
    decision = bench.decide(repository() | {MOTD: WRITABLE, WAIVER: waiver()})
    assert decision.accepted
    assert decision.releases == (("shop", "web"),)
    [one] = about(decision)
    assert one.finding.action == "deny"
    assert one.waived is not None
    assert one.waived.shown.owner == "ana@example.com"
    assert one.waived.until == "2026-12-02T00:00:00Z"
    assert one.notes == ("this waiver is granted by the change that it excuses, and no signature says by whom",)


@pytest.mark.parametrize(
    ("written", "why"),
    [
        (waiver(value="'0606'"), "the value that it excuses is not the one that is there now"),
        (waiver(at="files[/etc/issue].mode"), "it excuses files[/etc/issue].mode, and this is at files[/etc/motd].mode"),
        (waiver(value=""), "it names no value"),
        (waiver(until="expires: 2026-11-21"), "it ended at 2026-11-22T00:00:00Z"),
    ],
)
def test_a_waiver_that_nearly_fits_says_why_it_does_not(bench: Bench, written: str, why: str) -> None:
    decision = bench.decide(repository() | {MOTD: WRITABLE, WAIVER: written})
    assert MOTD in decision.refused
    [one] = about(decision)
    assert one.blocking
    assert why in one.notes[0]


def test_a_waiver_whose_own_file_is_refused_excuses_nothing(bench: Bench) -> None:
    bench.decide(repository())
    decision = bench.decide(repository() | {MOTD: WRITABLE, WAIVER: waiver(until="expires: 2027-06-01")})
    assert set(decision.refused) == {MOTD, WAIVER}


def test_an_edit_of_a_waiver_that_is_refused_leaves_the_accepted_one_in_force(bench: Bench) -> None:
    files = repository() | {MOTD: WRITABLE, WAIVER: waiver()}
    bench.decide(files)
    changed = component("motd", "/etc/motd", "new", mode="0666")
    decision = bench.decide(files | {MOTD: changed, WAIVER: waiver(until="expires: 2027-06-01")})
    assert set(decision.refused) == {WAIVER}
    assert decision.releases == (("shop", "web"),)


def test_a_waiver_in_another_tenant_excuses_nothing(bench: Bench) -> None:
    decision = bench.decide(
        repository() | {MOTD: WRITABLE, "tenants/lab/waivers/motd.yaml": waiver().replace("tenant: shop", "tenant: lab")}
    )
    assert MOTD in decision.refused


def test_an_ended_waiver_becomes_a_standing_verdict_that_blocks_nothing(bench: Bench) -> None:
    files = repository() | {MOTD: WRITABLE, WAIVER: waiver()}
    bench.decide(files)
    bench.now = "2026-12-02T00:00:00Z"
    decision = bench.decide(files)
    assert decision.accepted
    assert not decision.frozen
    [one] = about(decision)
    assert (one.standing, one.blocking, one.waived) == (True, False, None)
    unrelated = bench.decide(files | {MOTD: component("motd", "/etc/motd", "an unrelated fix", mode="0666")})
    assert unrelated.accepted
    assert unrelated.releases == (("shop", "web"),)


def test_an_ended_waiver_blocks_where_its_rule_says_that_standing_verdicts_do(bench: Bench) -> None:
    strict = f"{REPOSITORY}  rules: {{{RULE}: {{standing: block}}}}\n"
    files = repository() | {"ordain.yaml": strict, MOTD: WRITABLE, WAIVER: waiver()}
    assert bench.decide(files).accepted
    bench.now = "2026-12-02T00:00:00Z"
    decision = bench.decide(files | {MOTD: component("motd", "/etc/motd", "an unrelated fix", mode="0666")})
    assert set(decision.refused) == {MOTD}


def test_a_waiver_that_is_taken_away_leaves_a_standing_verdict(bench: Bench) -> None:
    bench.decide(repository() | {MOTD: WRITABLE, WAIVER: waiver()})
    decision = bench.decide(repository() | {MOTD: WRITABLE})
    assert decision.accepted
    assert [one.standing for one in about(decision)] == [True]


def test_a_waiver_that_nothing_needs_any_more_is_warned_of_when_its_object_is_mended(bench: Bench) -> None:
    files = repository() | {MOTD: WRITABLE, WAIVER: waiver()}
    assert not about(bench.decide(files), "waivers/unused")
    assert not about(bench.decide(files), "waivers/unused")
    decision = bench.decide(repository() | {WAIVER: waiver()})
    [one] = about(decision, "waivers/unused")
    assert "finds nothing on Component shop/motd" in one.finding.message
    assert decision.accepted


def test_a_rule_that_allows_no_waiver_is_not_waived(bench: Bench) -> None:
    decision = bench.decide(repository() | {MOTD: component("motd", "/etc/motd"), WAIVER: waiver(rule="secrets/private-key")})
    assert WAIVER in decision.refused
    assert "can't be waived" in decision.refused[WAIVER]


GLASS = "breakGlass: {incident: INC-7, until: '2026-11-22T20:00:00Z', approvedBy: [ana, ben]}"


def signed(*signers: str) -> tuple[dict[str, object], ...]:
    return tuple({"sha": signer, "signer": signer, "paths": [WAIVER]} for signer in signers)


@pytest.mark.parametrize(("signers", "refused"), [((), True), (("ana",), True), (("ana", "eve"), True), (("ana", "ben"), False)])
def test_breaking_the_glass_takes_the_signatures_of_both_who_are_named(bench: Bench, signers: tuple[str, ...], *, refused: bool) -> None:
    bench.decide(repository())
    bench.commits = signed(*signers)
    decision = bench.decide(repository() | {MOTD: WRITABLE, WAIVER: waiver(at="", value="", until=GLASS)})
    assert (set(decision.refused) == {MOTD, WAIVER}) == refused
    assert decision.accepted != refused


def test_broken_glass_lasts_hours(bench: Bench) -> None:
    bench.decide(repository())
    bench.commits = signed("ana", "ben")
    files = repository() | {MOTD: WRITABLE, WAIVER: waiver(at="", value="", until=GLASS)}
    long = repository() | {WAIVER: waiver(at="", value="", until=GLASS.replace("22T20", "23T20"))}
    assert "lasts at most 12 hours" in bench.decide(long).refused[WAIVER]
    assert bench.decide(files).accepted
    bench.now, bench.commits = "2026-11-22T20:00:00Z", ()
    assert [one.standing for one in about(bench.decide(files))] == [True]


def staged(*stages: str) -> str:
    return f"{REPOSITORY}  rules:\n    {RULE}:\n      stages: [{', '.join(stages)}]\n"


TIGHTENING = staged("{level: warn}", "{level: deny, from: 2026-12-01, tenants: [shop]}", "{level: deny, from: 2027-01-15}")


def test_a_finding_says_from_when_on_it_will_deny(bench: Bench) -> None:
    decision = bench.decide(repository() | {"ordain.yaml": TIGHTENING, MOTD: WRITABLE})
    assert decision.accepted
    [one] = about(decision)
    assert (one.finding.action, str(one.finding.becomes)) == ("warn", "deny from 2026-12-01")
    assert decision.wake_at == "2026-12-01T00:00:00Z"


def test_the_day_of_a_rule_withdraws_nothing_and_refuses_what_comes_after(bench: Bench) -> None:
    files = repository() | {"ordain.yaml": TIGHTENING, MOTD: WRITABLE}
    bench.decide(files)
    bench.now = "2026-12-01T00:00:00Z"
    decision = bench.decide(files)
    assert decision.accepted
    assert [(one.finding.action, one.standing) for one in about(decision)] == [("deny", True)]
    assert decision.wake_at == "2027-01-15T00:00:00Z"
    assert bench.decide(files | {MOTD: component("motd", "/etc/motd", "an unrelated fix", mode="0666")}).accepted
    fresh = bench.decide(files | {"tenants/shop/components/more.yaml": component("more", "/etc/more", mode="0666")})
    assert set(fresh.refused) == {"tenants/shop/components/more.yaml"}
    elsewhere = bench.decide(files | {"tenants/lab/components/more.yaml": component("more", "/etc/more", owner="lab", mode="0666")})
    assert elsewhere.accepted


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (staged("{level: warn}", "{level: deny, from: 2026-12-01, tenants: [shop]}"), ["is warn instead of deny from 2027-01-15"]),
        (
            staged("{level: warn}", "{level: deny, from: 2026-12-01, tenants: [lab]}", "{level: deny, from: 2027-01-15}"),
            ["is warn instead of deny for tenant shop from 2026-12-01"],
        ),
        (staged("{level: warn}", "{level: deny, from: 2026-12-15}"), ["is warn instead of deny for tenant shop from 2026-12-01"]),
        (staged("{level: audit}", "{level: deny, from: 2026-12-01}"), ["is audit instead of warn"]),
        (staged("{level: warn}", "{level: deny, from: 2026-12-01}"), []),
        (
            staged("{level: warn}", "{level: deny, from: 2026-12-01, tenants: [shop]}", "{level: deny, from: 2027-01-15, share: 50%}"),
            ["is warn instead of deny from 2027-01-15"],
        ),
    ],
)
def test_a_schedule_that_is_loosened_is_said_to_be(bench: Bench, after: str, said: list[str]) -> None:
    bench.decide(repository() | {"ordain.yaml": TIGHTENING})
    decision = bench.decide(repository() | {"ordain.yaml": after})
    assert decision.change["judge"]["loosened"] == [f"{RULE} {words}" for words in said]


GRANTED_BY = f"{REPOSITORY}  rules: {{tenancy/waiver-granted-by: {{parameters: {{by: [ana]}}}}}}\n"


@pytest.mark.parametrize(("signers", "granted"), [(("ana",), True), (("eve",), False), (("ana", "eve"), False), ((), False)])
def test_a_waiver_that_nobody_who_may_has_signed_is_refused_with_what_it_would_excuse(
    bench: Bench, signers: tuple[str, ...], *, granted: bool
) -> None:
    files = repository() | {"ordain.yaml": GRANTED_BY}
    bench.decide(files)
    bench.commits = signed(*signers)
    decision = bench.decide(files | {MOTD: WRITABLE, WAIVER: waiver(), "tenants/lab/tenant.yaml": tenant("lab") + "# unrelated\n"})
    assert set(decision.refused) == (set() if granted else {MOTD, WAIVER})
    bench.commits = ()
    again = bench.decide(files | {MOTD: WRITABLE, WAIVER: waiver()})  # judged again, without the commit that brought it
    assert set(again.refused) == (set() if granted else {MOTD, WAIVER})
