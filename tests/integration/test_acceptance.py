"""What a refused file holds up, and what it doesn't: decided by a real OPA."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from reconciler.opa.program import find_opa
from reconciler.pipeline import snapshot
from reconciler.pipeline.acceptance import Decision
from tests.acceptance_cases import REPOSITORY, Bench, agent, component, fleet, repository, tenant

pytestmark = pytest.mark.needs("opa")

WEB, DB, LAB = ("shop", "web"), ("shop", "db"), ("lab", "lab")
MOTD = "tenants/shop/components/motd.yaml"
WORLD_WRITABLE = component("motd", "/etc/motd", mode="0666")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(opa=find_opa(None), cache=tmp_path, stack=stack)


def test_a_first_import_releases_every_fleet(bench: Bench) -> None:
    decision = bench.decide(repository())
    assert decision.accepted, [one.finding for one in decision.judged if one.blocking]
    assert set(decision.releases) == {WEB, DB, LAB}
    assert not decision.frozen
    assert set(decision.compiled[WEB].agents) == {"web-01", "web-02"}


def test_a_commit_that_changes_nothing_releases_nothing(bench: Bench) -> None:
    bench.decide(repository())
    decision = bench.decide(repository())
    assert decision.accepted
    assert decision.releases == ()


def test_only_the_fleet_that_changed_is_released(bench: Bench) -> None:
    bench.decide(repository())
    decision = bench.decide(repository() | {MOTD: component("motd", "/etc/motd", "new")})
    assert decision.releases == (WEB,)


def test_a_denied_component_keeps_its_accepted_version_and_freezes_its_fleets_alone(bench: Bench) -> None:
    before = bench.decide(repository()).compiled[WEB].digest
    decision = bench.decide(
        repository() | {MOTD: WORLD_WRITABLE, "tenants/shop/components/backup.yaml": component("backup", "/etc/b.conf")}
    )
    assert not decision.accepted
    assert set(decision.refused) == {MOTD}
    assert decision.releases == (DB,)
    assert list(decision.frozen) == [WEB]
    assert MOTD in decision.frozen[WEB]
    assert decision.compiled[WEB].digest == before
    [denied] = [one.finding for one in decision.judged if one.finding.action == "deny"]
    assert denied.place.file == MOTD
    assert denied.place.pointer == ("spec", "files", 0, "mode")


def test_a_frozen_fleet_goes_on_when_its_file_is_mended(bench: Bench) -> None:
    bench.decide(repository())
    bench.decide(repository() | {MOTD: WORLD_WRITABLE})
    decision = bench.decide(repository() | {MOTD: component("motd", "/etc/motd", "mended")})
    assert decision.accepted
    assert decision.releases == (WEB,)
    assert not decision.frozen


def test_a_frozen_fleet_takes_no_other_change_until_its_file_is_mended(bench: Bench) -> None:
    bench.decide(repository())
    decision = bench.decide(repository() | {MOTD: WORLD_WRITABLE, "tenants/shop/agents/web-03.yaml": agent("web-03", role="web")})
    assert decision.releases == ()
    assert set(decision.refused) == {MOTD}
    assert "web-03" not in decision.compiled[WEB].agents


@pytest.mark.parametrize("broken", ["kind: [", "apiVersion: ordain.dev/v1\nkind: Agent\nmetadata: {name: WEB, tenant: shop}\nspec: {}\n"])
def test_a_broken_agent_file_moves_nobody(bench: Bench, broken: str) -> None:
    bench.decide(repository())
    decision = bench.decide(repository() | {"tenants/shop/agents/web-01.yaml": broken})
    assert set(decision.refused) == {"tenants/shop/agents/web-01.yaml"}
    assert decision.releases == ()
    assert set(decision.compiled[WEB].agents) == {"web-01", "web-02"}
    assert list(decision.frozen) == [WEB]


def test_an_unreadable_fleet_does_not_look_deleted(bench: Bench) -> None:
    bench.decide(repository())
    decision = bench.decide(repository() | {"tenants/shop/fleets/web.yaml": "{"})
    assert WEB in decision.compiled
    assert list(decision.frozen) == [WEB]


def test_a_component_in_use_can_not_be_taken_away(bench: Bench) -> None:
    bench.decide(repository())
    files = repository()
    del files[MOTD]
    decision = bench.decide(files)
    assert set(decision.refused) == {MOTD}
    assert list(decision.frozen) == [WEB]
    assert decision.releases == ()


def test_a_fleet_and_its_component_go_together(bench: Bench) -> None:
    bench.decide(repository())
    files = repository()
    del files[MOTD]
    del files["tenants/shop/fleets/web.yaml"]
    decision = bench.decide(files)
    assert decision.accepted
    assert WEB not in decision.compiled


def test_two_documents_of_one_name_refuse_the_one_that_is_new(bench: Bench) -> None:
    bench.decide(repository())
    decision = bench.decide(repository() | {"tenants/shop/agents/again.yaml": agent("web-01", role="db")})
    assert set(decision.refused) == {"tenants/shop/agents/again.yaml"}
    assert set(decision.compiled[WEB].agents) == {"web-01", "web-02"}


def test_an_object_that_moves_between_files_is_neither_lost_nor_doubled(bench: Bench) -> None:
    bench.decide(repository())
    files = repository()
    moved = files.pop("tenants/shop/agents/web-01.yaml")
    decision = bench.decide(files | {"tenants/shop/agents/elsewhere.yaml": moved})
    assert decision.accepted
    assert set(decision.compiled[WEB].agents) == {"web-01", "web-02"}


def test_files_that_an_object_moves_between_stand_or_fall_together(bench: Bench) -> None:
    bench.decide(repository())
    files = repository()
    del files[MOTD]
    there = "tenants/shop/components/other.yaml"
    decision = bench.decide(files | {there: WORLD_WRITABLE})
    assert set(decision.refused) == {MOTD, there}
    assert WEB in decision.compiled


def test_a_source_falls_with_its_manifest(bench: Bench) -> None:
    manifest = component("motd", "/etc/motd").replace('content: "hello"', "source: files/motd")
    source = "tenants/shop/components/files/motd"
    files = repository() | {MOTD: manifest, source: "welcome"}
    bench.decide(files)
    decision = bench.decide(files | {MOTD: manifest.replace("0644", "0666"), source: "changed"})
    assert set(decision.refused) == {MOTD, source}
    decision = bench.decide(files | {source: "changed"})
    assert decision.releases == (WEB,)


def test_a_tightened_judge_brings_standing_verdicts_that_block_nothing(bench: Bench) -> None:
    files = repository()
    files["ordain.yaml"] = REPOSITORY + "  rules: {host-safety/world-writable: {level: off}}\n"
    files[MOTD] = WORLD_WRITABLE
    assert bench.decide(files).accepted
    files["ordain.yaml"] = REPOSITORY
    tightened = bench.decide(files)
    assert tightened.accepted
    assert [one.standing for one in tightened.judged if one.finding.action == "deny"] == [True]
    assert not tightened.frozen
    unrelated = bench.decide(files | {MOTD: WORLD_WRITABLE.replace("hello", "hullo")})
    assert unrelated.accepted, [one.finding for one in unrelated.judged if one.blocking]
    assert unrelated.releases == (WEB,)


def test_a_change_that_loosens_its_judge_is_still_judged_by_the_one_before(bench: Bench) -> None:
    bench.decide(repository())
    loosened = REPOSITORY + "  rules: {host-safety/world-writable: {level: off}}\n"
    decision = bench.decide(repository() | {"ordain.yaml": loosened, MOTD: WORLD_WRITABLE})
    assert MOTD in decision.refused
    assert list(decision.frozen) == [WEB]


def test_a_judge_that_does_not_compile_is_refused_and_the_old_one_goes_on(bench: Bench) -> None:
    bench.decide(repository())
    rule = "policies/custom/naming/short.rego"
    decision = bench.decide(
        repository() | {rule: "package ordain.custom.naming.short\n\ndeny contains x if {\n", MOTD: component("motd", "/etc/m")}
    )
    assert set(decision.refused) == {rule}
    assert not decision.new_judge
    assert decision.releases == (WEB,)


def test_without_any_judge_nothing_is_accepted(bench: Bench) -> None:
    files = repository()
    del files["ordain.yaml"]
    decision = bench.decide(files)
    assert not decision.accepted
    assert set(decision.refused) == set(files)
    assert decision.releases == ()


def test_ordain_yaml_can_not_be_removed(bench: Bench) -> None:
    bench.decide(repository())
    files = repository()
    del files["ordain.yaml"]
    decision = bench.decide(files)
    assert "ordain.yaml" in decision.refused
    assert decision.releases == ()


def test_a_tenant_that_is_broken_holds_up_no_other(bench: Bench) -> None:
    bench.decide(repository())
    decision = bench.decide(
        repository()
        | {
            "tenants/lab/components/issue.yaml": component("issue", "/etc/issue", owner="shop"),
            MOTD: component("motd", "/etc/motd", "new"),
        }
    )
    assert set(decision.refused) == {"tenants/lab/components/issue.yaml"}
    assert decision.releases == (WEB,)
    assert list(decision.frozen) == [LAB]


def test_moving_the_tenants_directory_is_read_as_a_whole(bench: Bench) -> None:
    bench.decide(repository())
    moved = {path.replace("tenants/", "teams/"): text for path, text in repository().items()}
    decision = bench.decide(moved | {"ordain.yaml": REPOSITORY + "  tenants: teams\n"})
    assert decision.accepted, [one.finding for one in decision.judged if one.blocking]
    assert decision.releases == ()
    assert set(decision.compiled) == {WEB, DB, LAB}


def test_every_error_of_every_file_is_reported_at_once(bench: Bench) -> None:
    decision = bench.decide(
        repository()
        | {
            MOTD: WORLD_WRITABLE.replace("description", "descripton"),
            "tenants/shop/agents/web-01.yaml": "{",
            "tenants/shop/components/backup.yaml": component("backup", "/etc/passwd"),
            "tenants/shop/fleets/more.yaml": fleet("more", "absent", role="db"),
            "tenants/other/tenant.yaml": tenant("another"),
        }
    )
    files = {one.finding.place.file for one in decision.judged if one.blocking}
    assert files == {
        MOTD,
        "tenants/shop/agents/web-01.yaml",
        "tenants/shop/components/backup.yaml",
        "tenants/shop/fleets/more.yaml",
        "tenants/other/tenant.yaml",
    }


FLEET = "tenants/shop/fleets/web.yaml"


def found_in(decision: Decision, path: str) -> list[tuple[str, str]]:
    return sorted((one.finding.action, one.finding.rule) for one in decision.judged if one.finding.place.file == path)


def test_what_is_wrong_within_a_manifest_does_not_hide_what_is_wrong_between_it_and_others(bench: Bench) -> None:
    modes = "  modes: [{name: a, atMost: 1h, parameters: {}}, {name: a, atMost: 1h, parameters: {}}]\n"
    decision = bench.decide(repository() | {FLEET: fleet("web", "mtod", role="web") + modes})
    assert found_in(decision, FLEET) == [("deny", "manifest/duplicate"), ("deny", "manifest/missing-component")]
    assert set(decision.refused) == {FLEET}


def test_what_only_follows_from_a_misspelt_field_is_not_said(bench: Bench) -> None:
    broken = repository()[MOTD].replace("files:", "flies:")
    decision = bench.decide(repository() | {MOTD: broken})
    assert [(one.finding.rule, one.finding.place.file) for one in decision.judged] == [("schema/component", MOTD)]


def test_an_item_that_stands_twice_is_one_finding(bench: Bench) -> None:
    twice = repository()[MOTD] + '    - path: /etc/motd\n      mode: "0644"\n      content: other\n'
    decision = bench.decide(repository() | {MOTD: twice})
    assert found_in(decision, MOTD) == [("deny", "manifest/duplicate")]


def test_an_agent_that_is_defined_twice_is_one_finding_and_leaves_no_fleet_without_members(bench: Bench) -> None:
    decision = bench.decide(repository() | {"tenants/shop/agents/again.yaml": agent("db-01", role="db")})
    assert [one.finding.rule for one in decision.judged] == ["manifest/duplicate"]


def test_a_new_fleet_waits_for_its_agents_that_are_refused(bench: Bench) -> None:
    decision = bench.decide(repository() | {"tenants/shop/agents/again.yaml": agent("web-01")})
    assert WEB in decision.frozen
    assert WEB not in decision.releases


def test_a_fleet_without_members_is_said_once(bench: Bench) -> None:
    decision = bench.decide(repository() | {FLEET: fleet("web", "motd", role="wbe")})
    assert [one.finding.rule for one in decision.judged] == ["release/members"]


WAIVER = "tenants/shop/waiver.yaml"


def waiver(rule: str, expires: str) -> str:
    return (
        "apiVersion: ordain.dev/v1\nkind: Waiver\nmetadata: {name: a, tenant: shop}\nspec:\n"
        f"  rule: {rule}\n  object: {{kind: Component, name: motd}}\n  at: files[/etc/motd].mode\n  value: '0666'\n"
        f"  reason: r\n  owner: ana@example.com\n  expires: '{expires}'\n"
    )


def test_a_waiver_that_excuses_nothing_is_warned_of(bench: Bench) -> None:
    decision = bench.decide(repository() | {WAIVER: waiver("host-safety/world-writable", "2027-02-20")})
    assert found_in(decision, WAIVER) == [("warn", "waivers/unused")]
    assert decision.accepted
    assert decision.dated


def test_a_waiver_of_a_rule_that_does_not_exist_is_refused_with_the_one_that_was_meant(bench: Bench) -> None:
    decision = bench.decide(repository() | {WAIVER: waiver("host-safety/world-writeable", "2026-12-01")})
    assert ("deny", "manifest/unknown-rule") in found_in(decision, WAIVER)
    assert any("did you mean host-safety/world-writable?" in one.finding.message for one in decision.judged)
    assert set(decision.refused) == {WAIVER}


@pytest.mark.parametrize(("expires", "action"), [("2027-02-21", "deny"), ("2026-11-21", "warn")])
def test_a_waiver_that_ends_too_late_or_has_ended_is_found(bench: Bench, expires: str, action: str) -> None:
    decision = bench.decide(repository() | {WAIVER: waiver("host-safety/world-writable", expires)})
    assert (action, "manifest/waiver") in found_in(decision, WAIVER)
    assert decision.accepted == (action == "warn")


def test_overrides_that_match_nothing_are_warned_of(bench: Bench) -> None:
    rules = "{hygiene/owner: {level: 'off'}}"
    by_path = f"    - {{paths: ['tenants/lba/**', 'tenants/lab/**'], rules: {rules}}}\n"
    by_tenant = f"    - {{tenants: [lab, lba], rules: {rules}}}\n"
    decision = bench.decide(repository() | {"ordain.yaml": f"{REPOSITORY}  overrides:\n{by_path}{by_tenant}"})
    found = [one.finding for one in decision.judged if one.finding.place.file == "ordain.yaml"]
    assert [(one.action, one.rule, one.place.pointer) for one in found] == [
        ("warn", "manifest/unused-override", ("spec", "overrides", 0, "paths", 0)),
        ("warn", "manifest/unused-override", ("spec", "overrides", 1, "tenants", 1)),
    ]


def test_a_commit_that_brings_more_files_than_may_be_is_refused_as_a_whole(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    files = repository()
    bench.decide(files)
    monkeypatch.setattr(snapshot, "FILES_LIMIT", len(files) + 1)
    edited = files | {MOTD: component("motd", "/etc/motd", "news")}
    decision = bench.decide(edited | {"docs/one.md": "", "docs/two.md": ""})
    assert set(decision.refused) == {MOTD, "docs/one.md", "docs/two.md"}
    assert not decision.releases
    assert bench.decide(edited).releases == (WEB,)


def test_a_host_over_its_tenants_quota_is_refused_alone_and_the_rest_of_the_commit_goes_on(bench: Bench) -> None:
    bounded = repository() | {"tenants/shop/tenant.yaml": tenant("shop").replace("{description", "{quotas: {agents: 4}, description")}
    assert bench.decide(bounded).accepted
    more = {f"tenants/shop/agents/web-0{number}.yaml": agent(f"web-0{number}", role="web") for number in (3, 4)}
    decision = bench.decide(bounded | more | {MOTD: component("motd", "/etc/motd", "new")})
    assert set(decision.refused) == {"tenants/shop/agents/web-04.yaml"}
    assert list(decision.frozen) == [WEB]
    assert "tenant shop may have 4 agents" in decision.frozen[WEB]


def test_a_quota_for_bundles_that_is_lowered_too_far_is_refused_in_the_tenant_and_withdraws_nothing(bench: Bench) -> None:
    first = bench.decide(repository())
    size = max(len(first.compiled[key].data) for key in (WEB, DB))
    lowered = tenant("shop").replace("{description", f"{{quotas: {{bundleBytes: '{size - 1}'}}, description")
    decision = bench.decide(repository() | {"tenants/shop/tenant.yaml": lowered})
    assert set(decision.refused) == {"tenants/shop/tenant.yaml"}
    assert decision.compiled[WEB].digest == first.compiled[WEB].digest
    assert bench.decide(repository() | {"tenants/shop/tenant.yaml": lowered.replace(str(size - 1), str(size))}).accepted
