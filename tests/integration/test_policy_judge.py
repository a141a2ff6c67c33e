"""What makes a judge, what is refused before it judges, and what its digest covers."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from reconciler.opa.program import find_opa
from reconciler.pipeline.finding import Finding
from reconciler.pipeline.manifests import Layout
from reconciler.pipeline.policy.judge import JudgeRefused, load
from reconciler.pipeline.tree import MemoryTree
from reconciler.resources import directory
from tests.policy_cases import finds, judge, rego

pytestmark = pytest.mark.needs("opa")

OWN = "policies/cost/size/size.rego"
GOOD = rego("ordain.custom.cost.size", finds())


@pytest.fixture(scope="module")
def opa() -> Path:
    return find_opa(None)


def refused(opa: Path, files: Mapping[str, bytes]) -> list[Finding]:
    with pytest.raises(JudgeRefused) as refusal:
        judge(opa, files)
    assert all(finding.rule == "manifest/policy" and finding.action == "deny" for finding in refusal.value.findings)
    return list(refusal.value.findings)


def vendored() -> dict[str, bytes]:
    root = directory("policies")
    return {f"policies/library/{path.relative_to(root)}": path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_own_rules_judge_beside_the_library_under_ids_of_their_own(opa: Path) -> None:
    loaded = judge(opa, {OWN: GOOD, "policies/tenants/shop-eu/x.rego": rego("ordain.tenants.shop_eu.cost.a_b", finds())})
    assert loaded.rules["custom/cost/size"].file == OWN
    assert loaded.rules["shop-eu/cost/a-b"].tenant == "shop-eu"
    assert "supply-chain/https-only" in loaded.rules


def test_a_misspelt_field_is_an_error_with_its_line_and_the_known_fields(opa: Path) -> None:
    body = finds('some file in input.object.spec.files\n\tfile.mod == "0644"')
    [finding] = refused(opa, {OWN: rego("ordain.custom.cost.size", body, kind="component")})
    assert "file.mod" in finding.message
    assert finding.place.file == OWN
    assert finding.place.line == body[: body.index("file.mod ==")].count("\n") + 14
    assert "mode" in finding.remedy


@pytest.mark.parametrize("field", ["input.objct", "input.change.impact.agent", "input.release.group", "input.members[_].nme"])
def test_misspelt_input_is_an_error_in_every_scope(opa: Path, field: str) -> None:
    [finding] = refused(opa, {OWN: rego("ordain.custom.cost.size", finds(f"{field} == 1"))})
    assert "undefined ref" in finding.message


@pytest.mark.parametrize(
    "package",
    [
        "ordain.main",
        "ordain.result",
        "ordain.rules.supply_chain.https_only",
        "ordain.rules.cost.size",
        "ordain.custom.cost",
        "ordain.custom.cost.size.more",
        "ordain.custom",
        "ordain.tenants.shop.cost.size",
        "system.authz",
        "system.log",
        "elsewhere",
        'ordain.custom["a-b"].size',
    ],
)
def test_own_rules_can_not_touch_other_packages(opa: Path, package: str) -> None:
    found = refused(opa, {OWN: rego(package, finds())})
    assert "not this file's to define" in found[0].message
    assert all(finding.place.file == OWN for finding in found)


@pytest.mark.parametrize(
    ("path", "package"),
    [
        ("policies/tenants/shop/a.rego", "ordain.tenants.lab.cost.size"),
        ("policies/tenants/shop/a.rego", "ordain.custom.cost.size"),
        ("policies/tenants/custom/a.rego", "ordain.tenants.custom.cost.size"),
        ("policies/tenants/a.rego", "ordain.tenants.shop.cost.size"),
        ("policies/library/rules/cost/size.rego", "ordain.custom.cost.size"),
        ("policies/library/rules/cost/size.rego", "ordain.main"),
    ],
)
def test_a_directory_adds_rules_for_itself_only(opa: Path, path: str, package: str) -> None:
    assert {finding.code for finding in refused(opa, {path: rego(package, finds())})} == {"policy/package"}


def test_a_rule_can_not_add_to_another_package_by_its_head(opa: Path) -> None:
    found = refused(opa, {OWN: rego("ordain.custom", "cost.size.deny contains 1 if true\n\nmore.deny contains 2 if true")})
    assert "not this file's to define" in found[0].message


@pytest.mark.parametrize(
    "call",
    [
        'http.send({"method": "GET", "url": "http://127.0.0.1"})',
        'net.lookup_ip_addr("localhost")',
        "opa.runtime()",
        'rand.intn("a", 9)',
        'uuid.rfc4122("a")',
        "time.now_ns()",
        'json.match_schema({}, {"$ref": "http://127.0.0.1/x"})',
        'io.jwt.decode_verify("a", {})',
        'crypto.x509.parse_and_verify_certificates("a")',
    ],
)
def test_no_network_no_clock_no_randomness(opa: Path, call: str) -> None:
    [finding] = refused(opa, {OWN: rego("ordain.custom.cost.size", finds(f"x := {call}\n\tx == 1"))})
    assert "undefined function" in finding.message
    assert finding.place.line is not None


def test_every_syntax_error_is_told_with_its_line(opa: Path) -> None:
    found = refused(opa, {OWN: b"package ordain.custom.cost.size\n\ndeny contains 1 if {\n", "policies/b.rego": b"nothing"})
    assert {finding.place.file for finding in found} == {OWN, "policies/b.rego"}
    assert all(finding.code == "policy/syntax" for finding in found)


def test_unused_imports_and_variables_are_errors(opa: Path) -> None:
    assert refused(opa, {OWN: rego("ordain.custom.cost.size", "deny contains 1 if x := 1")})


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("scope: object", "scope: manifest", "custom.scope must be one of"),
        ("severity: deny", "severity: fatal", "custom.severity must be one of"),
        ("code: test/rule", "code: Test Rule", "custom.code must be"),
        ("# title: A rule of a test\n", "", "title must say"),
        ("code: test/rule", "code: test/rule\n#   remedey: x", "custom.remedey is not known"),
        ("code: test/rule", "code: test/rule\n#   parameters: [a]", "custom.parameters must be"),
    ],
)
def test_metadata_that_would_make_a_rule_silent_or_odd_is_refused(opa: Path, old: str, new: str, says: str) -> None:
    [finding] = refused(opa, {OWN: GOOD.replace(old.encode(), new.encode())})
    assert says in finding.message


def test_a_package_without_metadata_or_without_deny_is_refused(opa: Path) -> None:
    assert "no METADATA" in refused(opa, {OWN: b"package ordain.custom.cost.size\n\ndeny contains 1 if input.object\n"})[0].message
    body = 'denied contains result.at(rego.metadata.chain(), [], "x") if input.object'
    assert "reports nothing" in refused(opa, {OWN: rego("ordain.custom.cost.size", body)})[0].message


def test_shared_rego_lives_in_packages_called_lib(opa: Path) -> None:
    files = {
        "policies/lib/names.rego": b"package ordain.custom.lib.names\n\nlong(text) if count(text) > 9\n",
        OWN: rego("ordain.custom.cost.size", finds("data.ordain.custom.lib.names.long(input.object.metadata.name)")),
    }
    loaded = judge(opa, files)
    assert "custom/cost/size" in loaded.rules
    assert "custom/lib/names" not in loaded.rules


def test_a_tenants_own_rules_may_not_judge_whole_changes(opa: Path) -> None:
    [finding] = refused(opa, {"policies/tenants/shop/a.rego": rego("ordain.tenants.shop.a.b", finds(), scope="change")})
    assert "scope change" in finding.message


def test_two_files_can_not_be_one_rule(opa: Path) -> None:
    [finding] = refused(opa, {"policies/a.rego": GOOD, "policies/b.rego": GOOD})
    assert "a rule is one file" in finding.message


def test_data_files_are_refused_and_words_and_examples_are_not(opa: Path) -> None:
    [finding] = refused(opa, {"policies/data.json": b"{}"})
    assert finding.code == "policy/data"
    judge(opa, {OWN: GOOD, "policies/README.md": b"words", "policies/cost/size/examples/pass-a.yaml": b"kind: Component"})


def test_a_vendored_library_takes_the_place_of_ordains_rules_but_not_of_its_router(opa: Path) -> None:
    files = vendored()
    files["policies/library/main.rego"] = b"package ordain.main\n\nready := true\n\nanswer := {}\n"
    files["policies/library/capabilities.json"] = b"{}"
    files = {path: content for path, content in files.items() if "/soak/" not in path}
    loaded = judge(opa, files)
    assert "reliability/soak" not in loaded.rules
    assert loaded.rules["hygiene/owner"].file == "policies/library/rules/hygiene/owner/owner.rego"
    assert loaded.digest != judge(opa).digest
    assert b"answer := {}" not in loaded.bundle


def test_the_digest_covers_what_can_change_a_verdict_and_nothing_else(opa: Path) -> None:
    base = judge(opa, {OWN: GOOD}, rules={"hygiene/owner": {"level": "warn"}})
    again = judge(
        opa,
        {OWN: GOOD, "policies/README.md": b"x", "policies/cost/size/size_test.rego": b"package x_test\n"},
        rules={"hygiene/owner": {"level": "warn"}},
        description="words",
    )
    assert again.digest == base.digest
    assert again.bundle == base.bundle
    others = [
        judge(opa, {OWN: GOOD}, rules={"hygiene/owner": {"level": "deny"}}),
        judge(opa, {OWN: GOOD}, overrides=[{"paths": ["x"], "rules": {}}], rules={"hygiene/owner": {"level": "warn"}}),
        judge(opa, {OWN: GOOD + b"# a comment\n"}, rules={"hygiene/owner": {"level": "warn"}}),
        judge(opa, {}, rules={"hygiene/owner": {"level": "warn"}}),
    ]
    assert len({base.digest, *(other.digest for other in others)}) == len(others) + 1


def test_own_rules_are_read_from_where_ordain_yaml_says(opa: Path) -> None:
    loaded = load(MemoryTree({"rules/a.rego": GOOD, "policies/broken.rego": b"nothing"}), {}, Layout(policies="rules"), opa=opa)
    assert loaded.rules["custom/cost/size"].file == "rules/a.rego"


def test_an_unknown_rule_in_ordain_yaml_leaves_the_judge_usable(opa: Path) -> None:
    loaded = judge(opa, rules={"hygiene/ownr": {"level": "deny"}})
    assert [finding.rule for finding in loaded.findings] == ["manifest/unknown-rule"]


def test_a_rule_reads_change_unless_it_certainly_does_not(opa: Path) -> None:
    def reads(condition: str) -> bool:
        return judge(opa, {OWN: rego("ordain.custom.cost.size", finds(condition))}).rules["custom/cost/size"].reads_change

    assert not reads('input.object.kind == "Fleet"')
    assert reads("count(input.change.commits) == 0")
    assert reads('input["change"].to == 1')
    assert reads("walk(input, [_, 1])")
    assert reads("object.get(input, concat(``, [`cha`, `nge`]), 1) == 1")


def test_a_rule_is_asked_about_the_kind_whose_schema_it_names(opa: Path) -> None:
    files = {OWN: rego("ordain.custom.cost.size", finds(), kind="fleet"), "policies/b.rego": rego("ordain.custom.cost.any", finds())}
    loaded = judge(opa, files)
    assert loaded.rules["custom/cost/size"].kinds == {"Fleet"}
    assert loaded.rules["custom/cost/any"].kinds == frozenset()
