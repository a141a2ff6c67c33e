"""What git says of tenants, enrolment and roles: what is refused, and what reaches the control zone."""

import json
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from agent.protocol import codec
from reconciler.pipeline.compile.compiler import CompileRefused
from reconciler.pipeline.compile.controls import controls_of, unchanged
from reconciler.pipeline.compile.references import check
from reconciler.pipeline.finding import Finding
from reconciler.pipeline.manifests import Layout, parse_file
from reconciler.pipeline.signatures.signers import Grant
from reconciler.pipeline.validation import schema, validate
from reconciler.publication.controls import Controls
from tests.compile_cases import COLLECTOR, WEB, Case, agent, fleet, shop

AGENTS, TENANT = "tenants/shop/agents.yaml", "tenants/shop/tenant.yaml"
HEAD = "apiVersion: ordain.dev/v1\nkind: {kind}\nmetadata: {{name: a, tenant: shop}}\nspec: {spec}\n"
GITHUB = '{issuer: "https://token.actions.githubusercontent.com", audience: ordain, claims: {repository: [acme/web]}}'


RETENTION = [("schema/limit", "spec/retention/receipts"), ("schema/limit", "spec/retention/events")]
REIMAGE = [("schema/unknown-field", "spec/enrolment/reimage")]
TWICE = [("manifest/duplicate", "spec/enrolment/platforms/1/issuer")]


def tenant(spec: str) -> str:
    return f"apiVersion: ordain.dev/v1\nkind: Tenant\nmetadata: {{name: shop}}\nspec: {spec}\n"


def role(name: str, spec: str) -> str:
    return f"apiVersion: ordain.dev/v1\nkind: Role\nmetadata: {{name: {name}, tenant: shop}}\nspec: {spec}\n"


def found(kind: str, spec: str) -> list[tuple[str, str]]:
    text = tenant(spec) if kind == "Tenant" else HEAD.format(kind=kind, spec=spec)
    parsed = parse_file("tenants/shop/a.yaml", text.encode())
    assert parsed.findings == ()
    return [(one.code, "/".join(map(str, one.place.pointer))) for one in validate(parsed.documents[0], Layout())]


def of_change(before: Case, after: Case, *touched: str) -> list[Finding]:
    """Return what is denied of a change of some files, with the rest as it was accepted."""
    findings = check(after.world, after.tree, since=before.world, touched=frozenset(touched))
    return [one for one in findings if one.action == "deny"]


@pytest.mark.parametrize(
    ("kind", "spec", "expected"),
    [
        ("Tenant", "{trustDomain: shop.example.com, quotas: {agents: 1, fleets: 1, reportRate: 9, bundleBytes: 16Mi}}", []),
        ("Tenant", "{trustDomain: Shop}", [("schema/pattern", "spec/trustDomain")]),
        ("Tenant", "{quotas: {agents: 0}}", [("schema/limit", "spec/quotas/agents")]),
        ("Tenant", "{quotas: {bundleBytes: 16}}", [("schema/type", "spec/quotas/bundleBytes")]),
        ("Tenant", "{retention: {receipts: 90d, events: 30d, audit: 3650d}}", []),
        (
            "Tenant",
            "{retention: {receipts: 1h, events: 3651d}}",
            RETENTION,
        ),
        ("Tenant", "{reporting: {every: 5m}}", [("schema/limit", "spec/reporting")]),
        ("Agent", "{reporting: {every: 1h, lostAfter: 3h, tolerance: 5, bytesPerDay: 10Mi}}", []),
        ("Agent", "{reporting: {lostAfter: 60s}}", [("schema/limit", "spec/reporting")]),
        ("Agent", "{reporting: {every: 1s, lostAfter: 1m}}", [("schema/limit", "spec/reporting/every")]),
        (
            "AgentPool",
            "{maximum: 1, reporting: {windows: [{cron: '0 0 30 2 *', duration: 1h, timeZone: Europe/Berlyn}]}}",
            [("schema/cron", "spec/reporting/windows/0/cron"), ("schema/time-zone", "spec/reporting/windows/0/timeZone")],
        ),
        ("Agent", f"{{enrolment: {{reimage: allowed, platforms: [{GITHUB}]}}, relay: {{fleets: [web]}}}}", []),
        ("Agent", "{relay: {fleets: [web, web]}}", [("schema/limit", "spec/relay/fleets")]),
        ("Agent", "{relay: {fleets: [web], names: [relay.example.com, 10.0.0.2, 'fd00::2']}}", []),
        ("Agent", "{relay: {fleets: [web], names: ['*.example.com']}}", [("schema/pattern", "spec/relay/names/0")]),
        (
            "AgentPool",
            f"{{maximum: 1, enrolment: {{reimage: allowed, platforms: [{GITHUB}]}}}}",
            REIMAGE,
        ),
        (
            "AgentPool",
            f"{{maximum: 1, enrolment: {{platforms: [{GITHUB}, {GITHUB}]}}}}",
            TWICE,
        ),
        (
            "Agent",
            f"{{enrolment: {{platforms: [{GITHUB}, {GITHUB.replace('acme/web', 'acme/db')}, {GITHUB.replace('ordain', 'other')}]}}}}",
            TWICE,
        ),
        ("Role", "{role: operator, subjects: [operator:ana], fleets: [web]}", []),
        ("Role", "{role: root, subjects: []}", [("schema/enum", "spec/role"), ("schema/limit", "spec/subjects")]),
        ("Role", "{role: viewer, subjects: [operator:ana], until: 2027-02-30T00:00:00Z}", [("schema/date", "spec/until")]),
    ],
)
def test_bounds_that_manifests_state_are_held_to_what_makes_sense(kind: str, spec: str, expected: list[tuple[str, str]]) -> None:
    assert found(kind, spec) == expected


@pytest.mark.parametrize(
    ("subject", "fits"),
    [
        ("operator:ana", True),
        ("operator:*", False),
        ("oidc:https://id.example.com#ana@example.com", True),
        ("oidc:https://id.example.com/realms/acme#8f2c", True),
        ("oidc:https://id.example.com", False),
        ("oidc:http://id.example.com#ana", False),
        ("oidc:http://127.0.0.1:8080#ana", True),
        ("oidc:https://*.example.com#ana", False),
        ("group:https://id.example.com#Platform Team", True),
        ("group:https://id.example.com#*", False),
        ("group:https://id.example.com# sre", False),
        ("user:ana", False),
        ("ana", False),
    ],
)
def test_a_subject_is_one_operator_or_one_group_and_never_a_pattern(subject: str, *, fits: bool) -> None:
    assert (found("Role", f"{{role: viewer, subjects: [{json.dumps(subject)}]}}") == []) is fits


@pytest.mark.parametrize(
    ("field", "value", "fits"),
    [
        ("issuer", "https://id.example.com/a", True),
        ("issuer", "http://id.example.com", False),
        ("issuer", "http://127.0.0.1.example.com", False),
        ("issuer", "http://localhost:8080", True),
        ("issuer", "https://*", False),
        ("audience", "*", False),
        ("claims", {}, False),
        ("claims", {"sub": []}, False),
        ("claims", {"sub": ["*"]}, False),
        ("claims", {"sub": ["repo:acme/*"]}, True),
        ("claims", {"sub": ["a*b"]}, False),
        ("claims", {"sub": "repo"}, False),
    ],
)
def test_a_platform_says_who_signs_for_whom_and_what_it_must_say(field: str, value: Any, *, fits: bool) -> None:
    platform = {"issuer": "https://id.example.com", "audience": "ordain", "claims": {"sub": ["x"]}} | {field: value}
    assert (found("Agent", json.dumps({"enrolment": {"platforms": [platform]}})) == []) is fits


def test_a_file_that_goes_over_a_quota_is_refused_at_its_line_and_what_stood_stays() -> None:
    before = shop().write(TENANT, tenant("{quotas: {agents: 503}}"))
    assert [one for one in before.findings() if one.action == "deny"] == []
    more = "tenants/shop/agents/{}.yaml"
    after = before
    for name in ("b", "c", "a"):
        after = after.write(more.format(name), agent(name, "{}"))
    [over] = of_change(before, after, *(more.format(name) for name in "abc"))
    assert (over.rule, over.place.file, over.place.pointer) == ("manifest/quota", more.format("b"), ("metadata", "name"))
    assert over.message == "tenant shop may have 503 agents, and with this there would be 505"
    assert over.files == {more.format("b"), more.format("c")}
    assert of_change(before, before.edit(COLLECTOR, "5s", "6s"), COLLECTOR) == []


def test_a_pool_counts_as_its_maximum_and_is_told_there() -> None:
    before = shop().write(TENANT, tenant("{quotas: {agents: 502}}"))
    [over] = of_change(before, before.edit(AGENTS, "maximum: 500", "maximum: 501"), AGENTS)
    assert over.place.pointer == ("spec", "maximum")
    assert of_change(before, before.edit(AGENTS, "maximum: 500", "maximum: 499"), AGENTS) == []


def test_a_quota_that_is_lowered_below_what_there_is_is_refused_in_the_tenant_alone() -> None:
    before = shop().write(TENANT, tenant("{quotas: {agents: 502}}"))
    lowered = before.write(TENANT, tenant("{quotas: {agents: 10}}"))
    [over] = of_change(before, lowered, TENANT)
    assert (over.place.file, over.place.pointer) == (TENANT, ("spec", "quotas", "agents"))
    assert of_change(lowered, lowered.write(TENANT, tenant("{description: x, quotas: {agents: 11}}")), TENANT) == []


def test_fleets_have_a_quota_too_and_other_tenants_are_not_counted() -> None:
    before = shop().write(TENANT, tenant("{quotas: {fleets: 1}}")).write("tenants/lab/tenant.yaml", tenant("{}").replace("shop", "lab"))
    after = before.write("tenants/lab/b.yaml", fleet("b", "{selector: {matchLabels: {}}, components: [{name: library/base-dirs}]}", "lab"))
    assert of_change(before, after, "tenants/lab/b.yaml") == []
    after = before.write(
        "tenants/shop/b.yaml", fleet("b", "{selector: {matchLabels: {role: none}}, components: [{name: library/base-dirs}]}")
    )
    [over] = of_change(before, after, "tenants/shop/b.yaml")
    assert (over.rule, over.place.file) == ("manifest/quota", "tenants/shop/b.yaml")


def test_a_bundle_over_its_tenants_quota_is_not_compiled_and_its_digest_is_the_same_with_one() -> None:
    case = shop()
    size = len(case.compile().data)
    assert case.write(TENANT, tenant(f"{{quotas: {{bundleBytes: '{size}'}}}}")).compile().digest == case.compile().digest
    with pytest.raises(CompileRefused) as refusal:
        case.write(TENANT, tenant(f"{{quotas: {{bundleBytes: '{size - 1}'}}}}")).compile()
    [over] = refusal.value.findings
    assert (over.rule, over.place.file) == ("manifest/quota", WEB)
    assert {TENANT, COLLECTOR, AGENTS} < over.files


def test_roles_and_relays_that_name_no_fleet_are_warned_of() -> None:
    case = shop().write("tenants/shop/role.yaml", role("r", "{role: viewer, subjects: [operator:ana], fleets: [web, wbe]}"))
    case = case.write("tenants/shop/relay.yaml", agent("relay", "{}").replace("spec: {}", "spec: {relay: {fleets: [web, gone]}}"))
    said = [(one.action, one.rule, one.place.file, one.place.pointer) for one in case.findings()]
    assert said == [
        ("warn", "manifest/unknown-fleet", "tenants/shop/relay.yaml", ("spec", "relay", "fleets", 1)),
        ("warn", "manifest/unknown-fleet", "tenants/shop/role.yaml", ("spec", "fleets", 1)),
    ]


def test_controls_hold_all_that_the_control_zone_must_know_of_a_tenant() -> None:
    case = shop().write(
        TENANT,
        """
        apiVersion: ordain.dev/v1
        kind: Tenant
        metadata: {name: shop}
        spec:
          trustDomain: shop.example.com
          quotas: {agents: 1000, fleets: 5, reportRate: 50, bundleBytes: 1Mi}
          reporting: {every: 2m, windows: [{cron: "0 3 * * *", duration: 2h}], bytesPerDay: 5Mi}
          retention: {receipts: 90d, audit: 365d}
        """,
    )
    case = case.edit(AGENTS, "spec: {maximum: 500", f"spec: {{enrolment: {{platforms: [{GITHUB}]}}, maximum: 500")
    relay = "relay: {fleets: [web], names: [b.example.com, a.example.com]}"
    special = f"spec: {{enrolment: {{reimage: allowed}}, {relay}, reporting: {{every: 1h, lostAfter: 1d}}}}"
    case = case.write("tenants/shop/edge.yaml", agent("edge", "{}").replace("spec: {}", special))
    case = case.write("tenants/shop/z.yaml", role("ops", "{role: operator, subjects: [operator:b, operator:a], fleets: [web]}"))
    case = case.write("tenants/shop/y.yaml", role("admins", "{role: admin, subjects: [operator:c], until: 2027-01-01T00:00:00Z}"))
    plain = controls_of(case.world, "shop")
    controls = msgspec.convert({**plain, "tenant": "shop"}, Controls)
    assert json.loads(codec.canonical(controls.quotas)) == {"agents": 1000, "fleets": 5, "reportRate": 50, "bundleBytes": 1048576}
    assert (controls.trust_domain, controls.retention.receipts, controls.retention.events) == ("shop.example.com", 90 * 86400, 0)
    assert (controls.reporting.every, controls.reporting.lost_after, controls.reporting.bytes_per_day) == (120, 300, 5 << 20)
    assert [(one.cron, one.duration, one.time_zone) for one in controls.reporting.windows] == [("0 3 * * *", 7200, "UTC")]
    edge, plain_agent = controls.agents["edge"], controls.agents["web-01"]
    assert (edge.reimage, edge.relay, edge.reporting and edge.reporting.lost_after) == (True, ["web"], 86400)
    assert (edge.relay_names, plain_agent.relay_names) == (["a.example.com", "b.example.com"], [])
    assert (plain_agent.reimage, plain_agent.relay, plain_agent.platforms, plain_agent.reporting) == (False, [], [], None)
    [platform] = controls.pools["runners"].platforms
    assert (platform.audience, platform.claims) == ("ordain", {"repository": ["acme/web"]})
    assert [(one.name, one.role, one.subjects, one.fleets, one.until) for one in controls.roles] == [
        ("admins", "admin", ["operator:c"], [], "2027-01-01T00:00:00Z"),
        ("ops", "operator", ["operator:a", "operator:b"], ["web"], ""),
    ]
    written = json.loads(codec.canonical(controls))
    assert [error.message for error in jsonschema_rs.Draft202012Validator(schema("wire/controls")).iter_errors(written)] == []


def test_a_tenant_that_says_nothing_has_the_controls_of_before() -> None:
    plain = controls_of(shop().world, "shop")
    assert {name: plain[name] for name in ("quotas", "retention", "trustDomain", "roles")} == {
        "quotas": {},
        "retention": {},
        "trustDomain": "",
        "roles": [],
    }
    assert plain["reporting"] == {"every": 60, "lostAfter": 300}


def test_a_change_of_roles_alone_changes_controls_and_no_bundle() -> None:
    before = shop()
    after = before.write("tenants/shop/z.yaml", role("ops", "{role: operator, subjects: [operator:b]}"))
    world = before.world.replace({"tenants/shop/z.yaml": after.documents("tenants/shop/z.yaml")})
    assert not unchanged(before.world, world, "shop")
    assert after.compile().digest == before.compile().digest


def test_a_signer_may_touch_roles_only_where_they_are_named() -> None:
    kinds = frozenset({"Role"})
    assert not Grant(paths=("tenants/shop/**",)).covers("tenants/shop/roles/a.yaml", kinds)
    assert Grant(paths=("tenants/shop/**",), kinds=kinds).covers("tenants/shop/roles/a.yaml", kinds)
