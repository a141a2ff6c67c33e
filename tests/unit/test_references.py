"""Findings across documents: each at its line, naming every file involved and the fleets that it holds up."""

from dataclasses import replace

import pytest

from reconciler.pipeline.compile.affected import affected
from reconciler.pipeline.compile.commands import check_staged
from reconciler.pipeline.compile.making import parts_of
from reconciler.pipeline.compile.references import check
from reconciler.pipeline.finding import Finding
from reconciler.pipeline.manifests import parse_file
from tests.compile_cases import COLLECTOR, WEB, Case, agent, component, fleet, shop

AGENTS = "tenants/shop/agents.yaml"
OTHER = "tenants/shop/components/other.yaml"


def denied(case: Case) -> list[Finding]:
    return [finding for finding in case.findings() if finding.action == "deny"]


def only(case: Case, rule: str) -> Finding:
    found = denied(case)
    assert [finding.rule for finding in found] == [f"manifest/{rule}"], found
    assert found[0].scope == "across"
    assert found[0].remedy
    return found[0]


def test_a_repository_without_faults_has_no_findings() -> None:
    assert shop().findings() == []


def test_two_manifests_with_one_name_are_a_duplicate_that_names_both_files_and_the_fleets() -> None:
    case = shop().write("tenants/shop/more.yaml", agent("web-01", "{role: web, region: eu}"))
    found = only(case, "duplicate")
    assert found.files == {AGENTS, "tenants/shop/more.yaml"}
    assert found.fleets == {"shop/web"}
    assert "Agent shop/web-01" in found.message


def test_an_agent_and_a_pool_share_one_name_space() -> None:
    case = shop().write("tenants/shop/more.yaml", agent("runners", "{role: db}"))
    assert "share one name space" in only(case, "duplicate").message


def test_a_component_and_a_fleet_may_have_the_same_name() -> None:
    assert denied(shop().write(OTHER, component("web", "{}"))) == []


def test_a_manifest_in_another_tenants_directory_is_nobodys() -> None:
    case = shop().write("tenants/bank/tenant.yaml", "{apiVersion: ordain.dev/v1, kind: Tenant, metadata: {name: bank}, spec: {}}")
    case = case.write("tenants/bank/agent.yaml", agent("web-09", "{role: web, region: eu}", tenant="shop"))
    found = only(case, "tenant")
    assert found.files == {"tenants/bank/agent.yaml"}
    assert case.shown(found.place).startswith("{apiVersion")
    assert "web-09" not in case.compile().agents


def test_a_tenant_manifest_must_be_named_as_its_directory() -> None:
    case = shop().write("tenants/shop/tenant.yaml", "{apiVersion: ordain.dev/v1, kind: Tenant, metadata: {name: shopp}, spec: {}}")
    assert {finding.rule for finding in denied(case)} == {"manifest/tenant", "manifest/missing-tenant"}


def test_a_tenant_without_its_manifest_names_what_is_missing_and_all_its_files() -> None:
    found = only(shop().write("tenants/shop/tenant.yaml", None), "missing-tenant")
    assert [str(name) for name in found.missing] == ["Tenant shop"]
    assert found.files == {AGENTS, COLLECTOR, WEB}
    assert found.fleets == {"shop/web"}


def test_the_library_holds_components_of_no_tenant_only() -> None:
    case = shop().write("library/agent.yaml", agent("web-07", "{}")).write("library/mine.yaml", component("mine", "{}"))
    assert [(finding.rule, finding.place.file) for finding in denied(case)] == [
        ("manifest/tenant", "library/agent.yaml"),
        ("manifest/tenant", "library/mine.yaml"),
    ]


def test_a_missing_component_is_named_with_what_was_probably_meant() -> None:
    case = shop().edit(WEB, "{name: collector, parameters", "{name: colector, parameters")
    found = denied(case)
    missing = next(finding for finding in found if finding.rule == "manifest/missing-component")
    assert "did you mean collector?" in missing.message
    assert [str(name) for name in missing.missing] == ["Component shop/colector"]
    assert case.shown(missing.place) == "- {name: colector, parameters: {sampling: 0.1}}"


def test_a_removed_library_component_is_missing_in_the_component_that_includes_it_and_holds_up_its_fleets() -> None:
    found = only(shop().write("library/base-dirs.yaml", None), "missing-component")
    assert found.place.file == COLLECTOR
    assert found.fleets == {"shop/web"}
    assert [(name.tenant, name.name) for name in found.missing] == [("", "base-dirs")]


def test_a_library_component_includes_only_the_librarys() -> None:
    case = shop().write("library/own.yaml", component("own", "{includes: [{name: collector}]}", tenant=""))
    assert "library/collector" in only(case, "missing-component").remedy


def test_an_include_cycle_is_named_once_from_end_to_end() -> None:
    case = shop().write(OTHER, component("other", "{includes: [{name: third}]}"))
    case = case.write("tenants/shop/components/third.yaml", component("third", "{includes: [{name: other}]}"))
    case = case.edit(COLLECTOR, "{name: library/base-dirs}", "{name: library/base-dirs}, {name: other}")
    found = only(case, "include-cycle")
    assert found.message.endswith("other → third → other")
    assert found.files >= {OTHER, "tenants/shop/components/third.yaml"}
    assert found.fleets == {"shop/web"}


def test_a_component_that_includes_itself_is_a_cycle() -> None:
    assert only(shop().write(OTHER, component("other", "{includes: [{name: other}]}")), "include-cycle").fleets == frozenset()


@pytest.mark.parametrize(
    ("old", "new", "pointer"),
    [
        ("{sampling: 0.1}", "{samplng: 0.1}", ("spec", "components", 0, "parameters", "samplng")),
        ("{endpoint: otel-fra.example.com}", "{endpoint: otel, samplng: 1}", ("spec", "variants", 0, "parameters", "collector", "samplng")),
        ("{collector: {sampling: 1.0}}", "{collector: {samplng: 1.0}}", ("spec", "modes", 0, "parameters", "collector", "samplng")),
    ],
)
def test_an_unknown_parameter_is_found_wherever_a_fleet_gives_it(old: str, new: str, pointer: tuple[str | int, ...]) -> None:
    found = only(shop().edit(WEB, old, new), "unknown-parameter")
    assert found.place.pointer == pointer
    assert found.place.at_key
    assert "did you mean sampling?" in found.message
    assert found.files == {WEB, COLLECTOR}


def test_a_variant_that_names_a_component_that_the_fleet_lacks_is_an_unknown_parameter() -> None:
    found = only(shop().edit(WEB, "{collector: {sampling: 1.0}}", "{colector: {sampling: 1.0}}"), "unknown-parameter")
    assert "web has no component colector; did you mean collector?" in found.message


@pytest.mark.parametrize(
    ("value", "why"),
    [("often", "of type number"), ("true", "of type number"), ("-1", "at least 0"), ("2", "at most 1")],
)
def test_a_parameter_that_does_not_fit_says_what_it_must_be(value: str, why: str) -> None:
    found = only(shop().edit(WEB, "{sampling: 0.1}", f"{{sampling: {value}}}"), "parameter-type")
    assert why in found.message


def test_a_pattern_holds_for_all_of_a_text_and_enum_for_each_value() -> None:
    declared = "{parameters: {a: {type: string, pattern: 'x+'}, b: {type: string, enum: [c, d]}}}"
    case = shop().write(OTHER, component("other", declared))
    case = case.edit(WEB, "- {name: collector", "- {name: other, parameters: {a: xxy, b: e}}\n    - {name: collector")
    assert [finding.rule for finding in denied(case)] == ["manifest/parameter-type"] * 2


def test_a_pattern_that_other_engines_take_forever_for_is_answered_at_once() -> None:
    case = shop().write(OTHER, component("other", "{parameters: {a: {type: string, pattern: '(a+)+'}}}"))
    case = case.edit(WEB, "- {name: collector", f"- {{name: other, parameters: {{a: {'a' * 60}b}}}}\n    - {{name: collector")
    assert "must match" in only(case, "parameter-type").message


def test_a_pattern_that_is_none_and_a_default_that_does_not_fit_are_found_unused() -> None:
    case = shop().write(OTHER, component("other", "{parameters: {a: {type: string, pattern: '('}, b: {type: integer, default: x}}}"))
    assert [finding.place.pointer[2:] for finding in denied(case)] == [("a", "pattern"), ("b", "default")]


def test_a_parameter_without_a_value_names_the_members_that_lack_it() -> None:
    case = shop()
    for number in range(3, 8):
        case = case.write(f"tenants/shop/asia/{number}.yaml", agent(f"web-0{number}", "{role: web, region: ap}"))
    found = only(case, "missing-parameter")
    assert "parameter endpoint of component collector has no value for web-03, web-04, web-05 and 2 more" in found.message
    assert found.files == {WEB, COLLECTOR, *(f"tenants/shop/asia/{number}.yaml" for number in range(3, 8))}


def test_a_label_that_a_member_lacks_is_found_in_the_text_that_refers_to_it() -> None:
    case = shop().edit(COLLECTOR, "host: ${agent.name}", "host: ${agent.name} ${labels.rack}")
    found = only(case, "unresolved-reference")
    assert "${labels.rack} has no value for runners" in found.message
    assert case.shown(found.place) == "host: ${agent.name} ${labels.rack}"
    assert found.files == {COLLECTOR, WEB, AGENTS}


@pytest.mark.parametrize(
    ("reference", "rule", "words"),
    [
        ("${parameters.smpling}", "unresolved-reference", "did you mean sampling?"),
        ("${agent.nme}", "unresolved-reference", "did you mean name?"),
    ],
)
def test_a_reference_that_nothing_can_fill_in_is_found_at_its_line(reference: str, rule: str, words: str) -> None:
    case = shop().edit(COLLECTOR, "host: ${agent.name}", f"host: {reference}")
    found = only(case, rule)
    assert words in found.message
    assert case.shown(found.place) == f"host: {reference}"


def test_a_literal_and_other_dollars_are_no_references() -> None:
    assert shop().edit(COLLECTOR, "host: ${agent.name}", "host: $${labels.rack} ${HOME} $host").findings() == []


def test_a_near_miss_is_a_warning() -> None:
    found = shop().edit(COLLECTOR, "host: ${agent.name}", "host: ${label.rack}").findings()
    assert [(finding.action, finding.rule) for finding in found] == [("warn", "manifest/near-miss")]


def test_a_reference_in_an_address_is_an_error_and_no_literal() -> None:
    assert only(shop().edit(COLLECTOR, "example.com/otelcol", "example.com/${labels.region}"), "reference-place").place.pointer[-1] == "url"


def test_a_source_that_is_not_there_names_the_path_that_it_should_have() -> None:
    case = shop().write(OTHER, component("other", "{files: [{path: /etc/motd, source: files/motd}]}"))
    found = only(case, "missing-source")
    assert found.files == {OTHER, "tenants/shop/components/files/motd"}
    assert denied(case.write("tenants/shop/components/files/motd", "welcome")) == []


def test_a_reference_in_a_source_is_found_at_its_own_line_and_column() -> None:
    case = shop().write(OTHER, component("other", "{files: [{path: /etc/motd, source: files/motd}]}"))
    found = only(case.write("tenants/shop/components/files/motd", "welcome\nto ${parameters.x}\n"), "unresolved-reference")
    assert (found.place.file, found.place.line, found.place.column) == ("tenants/shop/components/files/motd", 2, 4)
    assert OTHER in found.files


@pytest.mark.parametrize("path", ["/etc/otelcol/config.yaml", "/opt/otelcol", "/opt/otelcol/plugin"])
def test_two_components_of_a_fleet_that_own_one_path_are_both_named(path: str) -> None:
    case = shop().write(OTHER, component("other", f"{{files: [{{path: {path}, content: x}}]}}"))
    found = only(case.edit(WEB, "- {name: collector", "- {name: other}\n    - {name: collector"), "path-conflict")
    assert found.files == {OTHER, COLLECTOR, WEB}
    assert "other" in found.message
    assert "collector" in found.message


def test_a_file_below_a_directory_of_another_component_is_no_conflict() -> None:
    case = shop().write(OTHER, component("other", "{files: [{path: /etc/otelcol/more.yaml, content: x}]}"))
    assert denied(case.edit(WEB, "- {name: collector", "- {name: other}\n    - {name: collector")) == []


def rival(path: str, selector: str) -> Case:
    case = shop().write(OTHER, component("other", f"{{files: [{{path: {path}, content: x}}]}}"))
    return case.write(
        "tenants/shop/fleets/base.yaml", fleet("base", f"{{selector: {{matchLabels: {selector}}}, components: [{{name: other}}]}}")
    )


@pytest.mark.parametrize("path", ["/etc/otelcol/config.yaml", "/opt/otelcol/x"])
def test_two_fleets_of_one_agent_that_own_one_path_are_both_named_and_both_held_up(path: str) -> None:
    found = only(rival(path, "{region: us}"), "path-conflict")
    assert "fleets base and web both own" in found.message
    assert "on web-02" in found.message
    assert found.files == {OTHER, COLLECTOR, WEB, "tenants/shop/fleets/base.yaml", AGENTS}
    assert found.fleets == {"shop/web", "shop/base"}


def test_two_fleets_of_different_agents_may_own_one_path() -> None:
    case = rival("/etc/otelcol/config.yaml", "{role: db}").write("tenants/shop/db.yaml", agent("db-01", "{role: db}"))
    assert denied(case) == []


def test_two_fleets_of_one_agent_with_paths_of_their_own_get_along() -> None:
    assert denied(rival("/etc/motd", "{}")) == []


def test_a_component_reached_twice_with_different_parameters_is_an_error() -> None:
    case = shop().write(OTHER, component("other", "{includes: [{name: collector, parameters: {sampling: 0.5}}]}"))
    found = only(case.edit(WEB, "- {name: collector", "- {name: other}\n    - {name: collector"), "parameter-conflict")
    assert found.files == {WEB, OTHER, COLLECTOR}


def test_more_groups_than_a_bundle_holds_name_the_labels_that_make_them() -> None:
    case = shop().edit(COLLECTOR, "host: ${agent.name}", "host: ${labels.rack}").edit(AGENTS, "{role: web, region: eu}", "{role: no}")
    many = "\n---\n".join(agent(f"many-{number}", f"{{role: web, region: eu, rack: q{number}}}") for number in range(50))
    for part in range(21):
        case = case.write(f"tenants/shop/many/{part}.yaml", many.replace("many-", f"many-{part}-").replace("rack: q", f"rack: q{part}-"))
    found = only(case, "too-many-groups")
    assert "1052 groups" in found.message
    assert "rack" in found.message


def test_a_freeze_and_a_waiver_that_name_nothing_are_warnings() -> None:
    case = shop().write(
        "tenants/shop/freeze.yaml",
        """
        apiVersion: ordain.dev/v1
        kind: Freeze
        metadata: {name: peak, tenant: shop}
        spec: {fleets: [web, wbe], reason: peak, owner: ana, from: "2026-11-26T00:00:00Z", until: "2026-12-01T00:00:00Z"}
        ---
        apiVersion: ordain.dev/v1
        kind: Waiver
        metadata: {name: legacy, tenant: shop}
        spec: {rule: a/b, object: {kind: Component, name: gone}, at: spec, value: x, reason: r, owner: ana, expires: "2027-01-31"}
        """,
    )
    assert [(finding.action, finding.rule) for finding in case.findings()] == [
        ("warn", "manifest/unknown-fleet"),
        ("warn", "manifest/unknown-object"),
    ]


def test_a_selector_that_matches_nobody_compiles_and_is_a_policys_to_judge() -> None:
    case = shop().edit(WEB, "{role: web}", "{role: wbe}")
    assert case.findings() == []
    assert case.compile().bundle.groups == {}


def test_all_faults_are_reported_at_once() -> None:
    case = (
        shop().edit(COLLECTOR, "host: ${agent.name}", "host: ${agent.nme} ${secret.x}").edit(WEB, "{sampling: 0.1}", "{sampling: 5, no: 1}")
    )
    assert sorted(finding.rule for finding in denied(case)) == [
        "manifest/parameter-type",
        "manifest/secret-mode",
        "manifest/undeclared-secret",
        "manifest/unknown-parameter",
        "manifest/unresolved-reference",
    ]


def test_a_component_that_nobody_uses_is_a_warning_unless_it_is_the_librarys() -> None:
    case = shop().write(OTHER, component("other", "{}")).write("library/spare.yaml", component("spare", "{}", tenant=""))
    [found] = case.findings()
    assert (found.action, found.rule, found.message) == (
        "warn",
        "manifest/unused-component",
        "no fleet and no component uses component other",
    )
    assert found.place.file == OTHER
    assert found.remedy


# Each change, with the fleets that must be looked at again.
CHANGES = {
    "an agent joins": (lambda case: case.write("tenants/shop/more.yaml", agent("web-03", "{role: web, region: eu}")), {"web"}),
    "an agent of no fleet joins": (lambda case: case.write("tenants/shop/more.yaml", agent("db-03", "{role: db}")), set()),
    "an agent leaves": (lambda case: case.edit(AGENTS, "{role: web, region: us, rack: r2}", "{role: old}"), {"web", "east"}),
    "a component changes": (lambda case: case.edit(COLLECTOR, '"0640"', '"0600"'), {"web"}),
    "a library component changes": (lambda case: case.edit("library/base-dirs.yaml", '"0755"', '"0700"'), {"web"}),
    "a source changes": (lambda case: case.write("tenants/shop/components/files/motd", "bye"), {"east"}),
    "a fleet is removed": (lambda case: case.write(WEB, None), {"web"}),
    "a fleet takes a path of another": (
        lambda case: case.edit(OTHER, "path: /etc/motd", "path: /etc/otelcol/config.yaml"),
        {"east", "web"},
    ),
    "only a comment changes": (lambda case: case.write(WEB, case.files[WEB].decode() + "\n# more\n"), set()),
    "the tenant's manifest goes": (lambda case: case.write("tenants/shop/tenant.yaml", None), {"web", "east"}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_reaches_the_fleets_that_depend_on_it_and_no_others(name: str) -> None:
    change, expected = CHANGES[name]
    before = shop().write(OTHER, component("other", "{files: [{path: /etc/motd, source: files/motd}]}"))
    before = before.write("tenants/shop/components/files/motd", "welcome")
    before = before.write(
        "tenants/shop/fleets/east.yaml", fleet("east", "{selector: {matchLabels: {region: us}}, components: [{name: other}]}")
    )
    after = change(before)  # type: ignore[no-untyped-call]
    touched = {path for path in {*before.files, *after.files} if before.files.get(path) != after.files.get(path)}
    old = before.world
    new = old.replace({path: after.documents(path) for path in touched})
    assert {name for _, name in affected(old, new, touched)} == expected
    assert check(new, after.tree, since=old, touched=touched) == after.findings()


def test_fixing_one_of_two_fleets_that_own_one_path_reaches_the_other() -> None:
    before = rival("/etc/otelcol/config.yaml", "{region: us}")
    after = before.edit(OTHER, "path: /etc/otelcol/config.yaml", "path: /etc/motd")
    assert affected(before.world, after.world, [OTHER]) == {("shop", "base"), ("shop", "web")}


UNUSED = component("unused", "{includes: [{name: library/base-dirs}], files: [%s]}")


def test_a_component_that_no_fleet_uses_may_not_give_parameters_that_its_include_does_not_have() -> None:
    case = shop().write(OTHER, component("unused", "{includes: [{name: collector, parameters: {smpling: 1, sampling: much}}]}"))
    assert {(finding.rule, finding.place.pointer[-1]) for finding in denied(case)} == {
        ("manifest/unknown-parameter", "smpling"),
        ("manifest/parameter-type", "sampling"),
    }


def test_a_component_that_no_fleet_uses_may_not_own_a_path_of_its_include() -> None:
    found = only(shop().write(OTHER, UNUSED % "{path: /etc/otelcol, content: x}"), "path-conflict")
    assert found.files == {OTHER, "library/base-dirs.yaml"}
    assert found.fleets == frozenset()


def test_a_clash_of_a_component_with_its_include_is_one_finding_whoever_uses_it() -> None:
    case = shop().edit(COLLECTOR, "  files:", "  files:\n    - {path: /etc/extra, content: x}")
    case = case.edit("library/base-dirs.yaml", "files: [", "files: [{path: /etc/extra, content: y}, ")
    assert only(case, "path-conflict").fleets == {"shop/web"}


STAGED = "{path: /etc/tool.conf, content: x, check: ['{staged:%s}', '{staged}']}"


@pytest.mark.parametrize("path", ["/etc/nope", "/opt/collector/../otelcol", "/opt/otelcol/inside"])
def test_a_check_that_names_what_the_component_does_not_bring_is_refused(path: str) -> None:
    found = only(shop().write(OTHER, UNUSED % (STAGED % path)), "check")
    assert found.place.pointer == ("spec", "files", 0, "check", 0)
    assert f"{{staged:{path}}}" in found.message


def test_a_check_may_name_what_the_component_or_one_that_it_includes_brings() -> None:
    case = shop().write(OTHER, UNUSED % (STAGED % "/etc/otelcol"))
    assert denied(case) == []
    assert denied(case.write(OTHER, UNUSED % (STAGED % "/etc/tool.conf"))) == []


def test_a_check_may_name_a_path_within_an_artifact_that_is_unpacked() -> None:
    found = parse_file(OTHER, (UNUSED % (STAGED % "/opt/tool/bin/tool")).encode()).documents[0]
    packed = {"name": "tool", "path": "/opt/tool", "unpack": "tar.gz"}
    document = replace(found, value={**found.value, "spec": {**found.spec, "artifacts": [packed]}})
    assert list(check_staged(document, parts_of([("unused", document)]))) == []
    plain = replace(found, value={**found.value, "spec": {**found.spec, "artifacts": [{"name": "tool", "path": "/opt/tool"}]}})
    assert [one.rule for one in check_staged(plain, parts_of([("unused", plain)]))] == ["manifest/check"]
