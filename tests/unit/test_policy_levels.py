"""What `ordain.yaml` makes of rules, without any OPA."""

from typing import Any

import pytest

from reconciler.pipeline.policy.levels import Levels, alone, faults, pattern
from reconciler.pipeline.policy.metadata import Rule

HTTPS = "supply-chain/https-only"
OWNER = "hygiene/owner"


def rule(name: str, **more: Any) -> Rule:
    stated: dict[str, Any] = {"severity": "warn", "scope": "object", **more}
    return Rule(id=name, path=("rules",), code="x", title="x", description="", remedy="", file="x", **stated)


RULES = {
    HTTPS: rule(HTTPS, severity="deny"),
    OWNER: rule(OWNER, parameters={"label": "owner", "least": 1}),
    "shop/cost/size": rule("shop/cost/size", tenant="shop"),
}


def test_a_rule_keeps_its_own_level_where_nothing_is_said() -> None:
    settings = Levels(RULES, {}).at("tenants/shop/a.yaml", "shop")
    assert settings[HTTPS].level == "deny"
    assert settings[OWNER].parameters == {"label": "owner", "least": 1}


def test_rules_set_levels_and_single_parameters() -> None:
    stated = {"rules": {OWNER: {"level": "audit", "parameters": {"label": "team"}, "standing": "block"}}}
    setting = Levels(RULES, stated).at("tenants/shop/a.yaml", "shop")[OWNER]
    assert (setting.level, setting.standing) == ("audit", "block")
    assert setting.parameters == {"label": "team", "least": 1}


def test_of_overrides_the_last_that_matches_counts() -> None:
    stated = {
        "rules": {HTTPS: {"level": "deny"}},
        "overrides": [
            {"paths": ["tenants/lab/**"], "rules": {HTTPS: {"level": "audit"}}},
            {"paths": ["tenants/lab/old/**"], "rules": {HTTPS: {"level": "off"}}},
            {"paths": ["tenants/lab/old/**"], "rules": {OWNER: {"level": "off"}}},
        ],
    }
    levels = Levels(RULES, stated)
    assert levels.at("tenants/shop/a.yaml", "shop")[HTTPS].level == "deny"
    assert levels.at("tenants/lab/a.yaml", "lab")[HTTPS].level == "audit"
    assert levels.at("tenants/lab/old/a.yaml", "lab")[HTTPS].level == "off"


def test_an_override_by_tenant_holds_for_that_tenant_alone() -> None:
    levels = Levels(RULES, {"overrides": [{"tenants": ["lab"], "rules": {HTTPS: {"level": "warn"}}}]})
    assert levels.at("x.yaml", "lab")[HTTPS].level == "warn"
    assert levels.at("x.yaml", "shop")[HTTPS].level == "deny"


def test_an_override_with_paths_and_tenants_needs_both() -> None:
    override = {"paths": ["tenants/**"], "tenants": ["lab"], "rules": {HTTPS: {"level": "warn"}}}
    levels = Levels(RULES, {"overrides": [override]})
    assert levels.at("tenants/lab/a.yaml", "lab")[HTTPS].level == "warn"
    assert levels.at("tenants/lab/a.yaml", "shop")[HTTPS].level == "deny"
    assert levels.at("library/a.yaml", "lab")[HTTPS].level == "deny"


def test_a_tenants_own_rule_concerns_that_tenant_alone() -> None:
    levels = Levels(RULES, {})
    assert "shop/cost/size" in levels.at("tenants/shop/a.yaml", "shop")
    assert "shop/cost/size" not in levels.at("tenants/lab/a.yaml", "lab")
    assert "shop/cost/size" not in levels.at("library/a.yaml", "")


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("tenants/lab/**", "tenants/lab/a/b.yaml", True),
        ("tenants/lab/**", "tenants/labs/a.yaml", False),
        ("tenants/*/a.yaml", "tenants/lab/a.yaml", True),
        ("tenants/*/a.yaml", "tenants/lab/b/a.yaml", False),
        ("**/a.yaml", "a.yaml", True),
        ("**/a.yaml", "tenants/lab/a.yaml", True),
        ("tenants/lab/web-?.yaml", "tenants/lab/web-1.yaml", True),
        ("tenants/lab/a.yaml", "tenants/lab/aXyaml", False),
        ("tenants/[ab].yaml", "tenants/a.yaml", False),
    ],
)
def test_path_patterns_match_as_people_expect(glob: str, path: str, *, matches: bool) -> None:
    assert (pattern(glob).fullmatch(path) is not None) == matches


def test_an_unknown_rule_is_named_with_the_nearest_one_and_its_place() -> None:
    [finding] = faults(RULES, {"overrides": [{"rules": {"supply-chain/http-only": {"level": "off"}}}]})
    assert finding.rule == "manifest/unknown-rule"
    assert finding.action == "deny"
    assert "did you mean supply-chain/https-only?" in finding.message
    assert finding.place.file == "ordain.yaml"
    assert finding.place.pointer == ("spec", "overrides", 0, "rules", "supply-chain/http-only")


def test_parameters_that_a_rule_does_not_have_or_that_are_of_another_type_are_refused() -> None:
    stated = {"rules": {OWNER: {"parameters": {"labels": "x", "label": ["x"], "least": True}}}}
    found = {finding.place.pointer[-1]: finding.rule for finding in faults(RULES, stated)}
    assert found == {"labels": "manifest/unknown-parameter", "label": "manifest/rule-parameter", "least": "manifest/rule-parameter"}


def test_one_rule_can_be_asked_alone() -> None:
    settings = alone(RULES, OWNER, {"label": "team"}).at("x.yaml", "shop")
    assert {name for name, setting in settings.items() if setting.level != "off"} == {OWNER}
    assert settings[OWNER].level == "deny"
    assert settings[OWNER].parameters["label"] == "team"


def test_a_rule_that_needs_a_parameter_is_off_until_it_is_set() -> None:
    rules = {HTTPS: rule(HTTPS, severity="deny", parameters={"hosts": [], "least": 4}, needs=("hosts",))}
    assert Levels(rules, {"rules": {HTTPS: {"level": "deny", "parameters": {"least": 1}}}}).at("x.yaml", "")[HTTPS].level == "off"
    assert Levels(rules, {"rules": {HTTPS: {"parameters": {"hosts": ["a"]}}}}).at("x.yaml", "")[HTTPS].level == "deny"


def test_a_rule_is_on_somewhere_if_an_override_says_so() -> None:
    rules = {HTTPS: rule(HTTPS, parameters={"hosts": []}, needs=("hosts",))}
    override = {"tenants": ["lab"], "rules": {HTTPS: {"parameters": {"hosts": ["a"]}}}}
    assert not Levels(rules, {}).anywhere(HTTPS)
    assert Levels(rules, {"overrides": [override]}).anywhere(HTTPS)
