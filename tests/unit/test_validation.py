"""One manifest by itself: every error at once, each with its place and what to do."""

import re
from typing import Any

import pytest
import yaml_rs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.pipeline.finding import Verdict
from reconciler.pipeline.manifests import Document, Layout, object_name, parse_file, verdict
from reconciler.pipeline.validation import KINDS, LATER, validate
from tests.design_manifests import COLLECTOR, FLEET, OTHERS, RUNNING

HEAD = "apiVersion: ordain.dev/v1\nkind: {kind}\nmetadata: {{name: a, tenant: shop}}\nspec:\n"
TENANTLESS = "apiVersion: ordain.dev/v1\nkind: {kind}\nmetadata: {{name: a}}\nspec:\n"
SHA = "a" * 64


def judged(text: str) -> list[Verdict]:
    parsed = parse_file("tenants/shop/a.yaml", text.encode())
    assert parsed.findings == ()
    return [verdict(finding, lambda _: text.encode()) for document in parsed.documents for finding in validate(document, Layout())]


def of(kind: str, spec: str) -> list[Verdict]:
    head = TENANTLESS if kind in ("Tenant", "Repository") else HEAD
    return judged(head.format(kind=kind) + "\n".join("  " + row for row in spec.splitlines()) + "\n")


def codes(verdicts: list[Verdict]) -> list[tuple[str, str]]:
    return [(found.code, found.pointer) for found in verdicts]


@pytest.mark.parametrize("text", [COLLECTOR + RUNNING, FLEET, *OTHERS], ids=lambda text: re.search(r"kind: (\w+)", text)[1])  # type: ignore[index]
def test_the_examples_of_the_design_are_valid(text: str) -> None:
    assert judged(text) == []


def test_every_error_of_a_manifest_comes_at_once_and_in_order() -> None:
    found = judged("""\
apiVersion: ordain.dev/v2
kind: Component
metadata: {name: Web_1, tenant: shop, labels: {canary: true}, colour: red}
spec:
  fiels: []
  files:
    - {path: /etc/a/, mode: 640, content: x, source: files/x}
    - {path: /etc/b}
  probes: [{name: up, failures: 3.0}]
""")
    assert [(row.line, row.column, row.code, row.pointer) for row in found] == [
        (1, 13, "schema/const", "/apiVersion"),
        (3, 18, "schema/pattern", "/metadata/name"),
        (3, 56, "schema/type", "/metadata/labels/canary"),
        (3, 63, "schema/unknown-field", "/metadata/colour"),
        (5, 3, "schema/unknown-field", "/spec/fiels"),
        (7, 14, "schema/pattern", "/spec/files/0/path"),
        (7, 29, "schema/type", "/spec/files/0/mode"),
        (7, 46, "schema/alternatives", "/spec/files/0/source"),
        (8, 7, "schema/alternatives", "/spec/files/1"),
        (9, 12, "schema/alternatives", "/spec/probes/0"),
        (9, 33, "schema/type", "/spec/probes/0/failures"),
    ]
    assert {row.rule for row in found} == {"schema/component"}
    assert {row.action for row in found} == {"deny"}
    assert all(row.message and row.remedy for row in found)


def test_a_misspelt_field_is_guessed_at() -> None:
    (found,) = of("Fleet", "selector: {matchLabels: {}}\ncomponents: [{name: a}]\nrollut: {}")
    assert "did you mean rollout?" in found.message
    assert (found.remedy, found.source_line) == ("write rollout", "  rollut: {}")


def test_a_field_in_another_case_is_guessed_at() -> None:
    (found,) = of("Fleet", "selector: {matchlabels: {}, matchLabels: {}}\ncomponents: [{name: a}]")
    assert "did you mean matchLabels?" in found.message


def test_missing_fields_are_named_one_by_one() -> None:
    found = judged("apiVersion: ordain.dev/v1\nkind: Fleet\nmetadata: {}\nspec: {}\n")
    assert [row.message for row in found] == [
        "metadata: name is missing",
        "metadata: tenant is missing",
        "spec: components is missing",
        "spec: selector is missing",
    ]
    assert [row.source_line for row in found] == ["metadata: {}", "metadata: {}", "spec: {}", "spec: {}"]


@pytest.mark.parametrize("kind", LATER)
def test_kinds_that_come_later_are_not_yet_supported(kind: str) -> None:
    (found,) = judged(f"apiVersion: ordain.dev/v1\nkind: {kind}\nmetadata: {{name: a}}\n")
    assert (found.rule, found.line, found.column) == ("manifest/unsupported", 2, 7)
    assert "not yet supported" in found.message


@pytest.mark.parametrize(
    ("head", "rule", "said"),
    [
        ("kind: Fleeet", "schema/fleeet", "did you mean Fleet?"),
        ("kind: fleet", "schema/fleet", "did you mean Fleet?"),
        ("kind: Pod", "schema/pod", "there are Repository"),
        ("kind: 5", "schema/manifest", "5 is not known"),
        ("apiVersion: v1", "schema/manifest", "needs a kind"),
    ],
)
def test_an_unknown_kind_is_refused_with_a_hint(head: str, rule: str, said: str) -> None:
    (found,) = judged(head + "\nmetadata: {name: a}\n")
    assert found.rule == rule
    assert said in found.message


GOOD_PATHS = ["/a", "/etc/a.conf", "/etc/a b", "/.hidden", "/a/..b", "/a/...", "/é"]
BAD_PATHS = ["", "/", "etc/a", "/etc/", "//etc", "/etc//a", "/etc/./a", "/etc/../a", "/..", "/etc/a\n", "/a\tb", "/" + "a" * 256]


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("path", GOOD_PATHS, BAD_PATHS),
        ("mode", ["0640", "4755"], ["640", "0o640", "0888", "00640", "rw-r--r--", "0640\n", 640]),
        ("owner", ["root", "_a", "1000", "www-data"], ["Root", "a b", "${labels.x}", "-a", "a" * 33, 1000]),
    ],
)
def test_fields_of_files_have_patterns(field: str, good: list[Any], bad: list[Any]) -> None:
    for value, fits in [*((value, True) for value in good), *((value, False) for value in bad)]:
        file = {"path": "/x", "content": ""} | {field: value}
        assert (valid("Component", {"files": [file]}) == []) is fits, value


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("freshness", ["24h", "1m", "90d", "5400s"], ["24", "1.5h", "-1h", "0h", "30s", "91d", "1w", "24H", "\uff11h", 24]),
        ("drift", ["enforce", "report"], ["Enforce", "off", True]),
        (
            "selector",
            [{"matchLabels": {}}, {"matchLabels": {"a/b": "true", "c": ""}}],
            [{}, {"matchLabels": {"a": 1}}, {"matchLabels": {"-": "x"}}],
        ),
        (
            "objectives",
            [{"healthy": "99.5%", "window": "30d"}],
            [{"healthy": "101%", "window": "30d"}, {"healthy": 99, "window": "30d"}, {}],
        ),
        (
            "modes",
            [[{"name": "a", "atMost": "4h", "parameters": {}}]],
            [[{"name": "a", "parameters": {}}], [{"name": "A", "atMost": "4h", "parameters": {}}]],
        ),
        (
            "variants",
            [[{"matchLabels": {}, "parameters": {"library/a": {"b": 1.5}}}]],
            [[{"parameters": {}}], [{"matchLabels": {}, "parameters": {"a": {"b": [1]}}}]],
        ),
        (
            "components",
            [[{"name": "library/a", "parameters": {"x": True}}]],
            [[], [{"name": "other/a"}], [{"name": "a", "parameters": {"1x": 1}}]],
        ),
        (
            "rollout",
            [{}, {"waves": [{"name": "a", "limit": "100%"}]}],
            [{"waves": []}, {"waves": [{"name": "a"}]}, {"waves": [{"name": "a", "limit": "5"}]}],
        ),
    ],
)
def test_fields_of_fleets_have_patterns(field: str, good: list[Any], bad: list[Any]) -> None:
    for value, fits in [*((value, True) for value in good), *((value, False) for value in bad)]:
        spec = {"selector": {"matchLabels": {}}, "components": [{"name": "a"}]} | {field: value}
        assert (valid("Fleet", spec) == []) is fits, value


def valid(kind: str, spec: dict[str, Any]) -> list[Verdict]:
    metadata = {"name": "a"} | ({} if kind in ("Tenant", "Repository") else {"tenant": "shop"})
    return judged(yaml_rs.dumps({"apiVersion": "ordain.dev/v1", "kind": kind, "metadata": metadata, "spec": spec}))


@pytest.mark.parametrize(
    ("file", "pointers"),
    [
        ("{path: /a, content: x}", []),
        ("{path: /a, source: files/x}", []),
        ("{path: /a, source: deep/files/x}", []),
        ("{path: /a, type: directory}", []),
        ("{path: /a, type: symlink, target: ../b}", []),
        ("{path: /a, absent: true}", []),
        ("{path: /a, absent: false, content: x}", []),
        ("{path: /a}", ["/spec/files/0"]),
        ("{path: /a, target: /b}", ["/spec/files/0", "/spec/files/0/target"]),
        ("{path: /a, type: directory, content: x}", ["/spec/files/0/content"]),
        ("{path: /a, type: symlink, content: x}", ["/spec/files/0", "/spec/files/0/content"]),
        ("{path: /a, absent: true, content: x}", ["/spec/files/0/content"]),
        ("{path: /a, content: x, source: files/x}", ["/spec/files/0/source"]),
        ("{path: /a, source: x.conf}", ["/spec/files/0/source"]),
        ("{path: /a, source: files/../x}", ["/spec/files/0/source"]),
        ("{path: /a, source: ../files/x}", ["/spec/files/0/source"]),
        ("{path: /a, source: /files/x}", ["/spec/files/0/source"]),
    ],
)
def test_a_file_has_what_its_type_needs_and_no_more(file: str, pointers: list[str]) -> None:
    assert [found.pointer for found in of("Component", f"files: [{file}]")] == pointers


@pytest.mark.parametrize(
    ("artifact", "expected"),
    [
        (f'url: "https://x/y", sha256: {SHA}', []),
        (f'url: "store:tool", sha256: {SHA}, size: 5', []),
        (f'url: "file:///srv/x", sha256: {SHA}', []),
        (f'platforms: {{linux/amd64: {{url: "https://x", sha256: {SHA}}}}}', []),
        ("mode: '0755'", ["schema/alternatives"]),
        ('url: "https://x/y"', ["schema/alternatives"]),
        (f"sha256: {SHA}", ["schema/alternatives"]),
        (f'url: "https://x", platforms: {{linux/amd64: {{url: "https://x", sha256: {SHA}}}}}', ["schema/alternatives"]),
        ("platforms: {}", ["schema/limit"]),
        (f'platforms: {{linux: {{url: "https://x", sha256: {SHA}}}}}', ["schema/name"]),
        (f'url: "ftp://x", sha256: {SHA}', ["schema/pattern"]),
        (f'url: "https://x y", sha256: {SHA}', ["schema/pattern"]),
        ('url: "https://x", sha256: abc', ["schema/pattern"]),
        (f'url: "https://x", sha256: {SHA}, unpack: zip, unpackedSize: 1000', []),
        (f'url: "https://x", sha256: {SHA}, unpack: rar', ["schema/enum"]),
        (f'url: "https://x", sha256: {SHA}, unpackedSize: 1000', ["schema/alternatives"]),
    ],
)
def test_an_artifact_says_in_one_way_where_it_comes_from(artifact: str, expected: list[str]) -> None:
    assert sorted(found.code for found in of("Component", f"artifacts: [{{name: a, path: /a, {artifact}}}]")) == sorted(expected)


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        ('http: "http://127.0.0.1:80/${parameters.path}"', []),
        ("tcp: 127.0.0.1:80, every: 5s, grace: 0s", []),
        ("command: [/bin/true]", []),
        ("file: /run/x, maxAge: 5m", []),
        ("every: 5s", ["schema/alternatives"]),
        ("tcp: 127.0.0.1:80, command: [/bin/true], file: /x", ["schema/alternatives", "schema/alternatives"]),
        ("tcp: 127.0.0.1:80, maxAge: 5m", ["schema/alternatives"]),
        ("tcp: 127.0.0.1:80, failures: 0", ["schema/limit"]),
        ("tcp: 127.0.0.1:80, timeout: 0s", ["schema/pattern"]),
        ("command: []", ["schema/limit"]),
        ("command: [sleep, 5]", ["schema/type"]),
    ],
)
def test_a_probe_asks_one_thing(probe: str, expected: list[str]) -> None:
    assert [found.code for found in of("Component", f"probes: [{{name: a, {probe}}}]")] == expected


@pytest.mark.parametrize(
    ("kind", "spec", "pointer"),
    [
        ("Component", "files: [{path: /a, content: x}, {path: /b, content: x}, {path: /a, content: y}]", "/spec/files/2/path"),
        ("Component", "probes: [{name: a, tcp: 'a:1'}, {name: a, tcp: 'a:2'}]", "/spec/probes/1/name"),
        ("Component", "includes: [{name: b}, {name: b}]", "/spec/includes/1/name"),
        ("Fleet", "selector: {matchLabels: {}}\ncomponents: [{name: a}, {name: a}]", "/spec/components/1/name"),
        (
            "Fleet",
            "selector: {matchLabels: {}}\ncomponents: [{name: a}]\nrollout: {waves: [{name: a, limit: 5%}, {name: a, limit: 9%}]}",
            "/spec/rollout/waves/1/name",
        ),
    ],
)
def test_items_of_a_list_have_names_of_their_own(kind: str, spec: str, pointer: str) -> None:
    assert codes(of(kind, spec)) == [("manifest/duplicate", pointer)]


@pytest.mark.parametrize(
    ("kind", "spec", "expected"),
    [
        ("Tenant", "reporting: {every: 60s, lostAfter: 5m}", []),
        ("Tenant", "reporting: {every: 10m}", [("schema/limit", "/spec/reporting")]),
        ("Tenant", "reporting: {every: 5m, lostAfter: 300s}", [("schema/limit", "/spec/reporting")]),
        ("Repository", "format: 2", [("schema/limit", "/spec/format")]),
        ("Repository", "format: 1\noverrides: [{rules: {}}]", [("schema/alternatives", "/spec/overrides/0")]),
        ("Repository", "format: 1\noverrides: [{tenants: [lab], rules: {a/b: {level: audit}}}]", []),
        ("Repository", "format: 1\nrules: {a: {level: deny}}", [("schema/name", "/spec/rules/a")]),
        ("Repository", "format: 1\nrules: {a/b: {level: block}}", [("schema/enum", "/spec/rules/a~1b/level")]),
        ("Repository", "format: 1\ntenants: all\nlibrary: all/library", [("schema/limit", "/spec/library")]),
        ("AgentPool", "lease: 2h\nmaximum: 0", [("schema/limit", "/spec/maximum")]),
        ("AgentPool", "lease: 2h\nmaximum: 1e1", [("schema/type", "/spec/maximum")]),
        ("Agent", "{}", []),
    ],
)
def test_other_kinds_have_bounds_too(kind: str, spec: str, expected: list[tuple[str, str]]) -> None:
    assert codes(of(kind, spec)) == expected


WAIVER = "rule: a/b\nobject: {kind: Component, name: c}\nat: artifacts[x].url\nreason: r\nowner: o\nexpires: "
FREEZE = "fleets: [web]\nreason: r\nowner: o\n"


@pytest.mark.parametrize(
    ("kind", "spec", "expected"),
    [
        ("Waiver", WAIVER + "2027-01-31", []),
        ("Waiver", WAIVER + "2027-02-30", [("schema/date", "/spec/expires")]),
        ("Waiver", WAIVER + "9999-12-31", [("schema/date", "/spec/expires")]),
        ("Waiver", WAIVER + "tomorrow", [("schema/pattern", "/spec/expires")]),
        ("Freeze", FREEZE + "from: 2026-11-26T00:00:00Z\nuntil: 2026-12-01T00:00:00Z", []),
        ("Freeze", FREEZE + "from: 2026-11-26T00:00:00Z\nuntil: 2026-11-26T00:00:00Z", [("schema/limit", "/spec/until")]),
        ("Freeze", FREEZE + "from: 2026-02-30T00:00:00Z\nuntil: 2026-12-01T00:00:00Z", [("schema/date", "/spec/from")]),
        (
            "Freeze",
            FREEZE + "from: 2026-11-26\nuntil: 2026-12-01T00:00:00+01:00",
            [("schema/pattern", "/spec/from"), ("schema/pattern", "/spec/until")],
        ),
    ],
)
def test_days_and_instants_are_those_of_the_calendar(kind: str, spec: str, expected: list[tuple[str, str]]) -> None:
    assert codes(of(kind, spec)) == expected


@pytest.mark.parametrize(
    ("cron", "fits"),
    [("0 8 * * 1-5", True), ("*/5 * * * *", True), ("0 8 * *", False), ("61 8 * * *", False), ("0 0 30 2 *", False), ("@daily", False)],
)
def test_a_window_opens_at_times_that_come(cron: str, *, fits: bool) -> None:
    spec = f"selector: {{matchLabels: {{}}}}\ncomponents: [{{name: a}}]\nrollout: {{windows: [{{cron: '{cron}', duration: 9h}}]}}"
    assert (of("Fleet", spec) == []) is fits


def test_a_reference_in_the_value_of_a_parameter_warns_that_it_stays_text() -> None:
    spec = "selector: {matchLabels: {}}\ncomponents: [{name: a, parameters: {x: 'in ${labels.region}'}}]\n"
    spec += "variants:\n- {matchLabels: {}, parameters: {a: {x: '$${labels.x}'}}}"
    (found,) = of("Fleet", spec)
    assert (found.action, found.rule, found.pointer) == ("warn", "manifest/near-miss", "/spec/components/0/parameters/x")


def test_a_giant_value_is_cut_in_messages() -> None:
    found = of("Component", f"files: [{{path: '{'x' * 5000}', content: ''}}, {{path: /a, {'k' * 900}: 1, content: ''}}]")
    assert found
    assert all(len(row.message) < 400 for row in found)


def test_a_text_that_ends_with_a_line_end_does_not_pass_a_pattern() -> None:
    (found,) = judged('apiVersion: ordain.dev/v1\nkind: Agent\nmetadata: {name: "a\\n", tenant: shop}\nspec: {}\n')
    assert (found.code, found.pointer) == ("schema/pattern", "/metadata/name")


plain = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=20)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=10), inner, max_size=3)),
    max_leaves=8,
)
WORDS = """
files artifacts probes processes services includes parameters selector components variants modes rollout waves windows health freshness
objectives reporting every lostAfter overrides rules tenants library expires from until path content name type default absent
"""
FIELDS = st.sampled_from(WORDS.split())
nested = st.recursive(
    plain, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(FIELDS, inner, max_size=4)), max_leaves=12
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(KINDS), nested, nested)
def test_whatever_stands_in_a_manifest_is_judged_and_never_fallen_over(kind: str, metadata: Any, spec: Any) -> None:
    value = {"apiVersion": "ordain.dev/v1", "kind": kind, "metadata": metadata, "spec": spec}
    findings = validate(Document(path="tenants/a/b.yaml", index=0, value=value, name=object_name(value)), Layout())
    assert all(finding.message and finding.remedy and len(finding.message) < 3000 for finding in findings)


ROLES = "selector: {matchLabels: {role: web}}\ncomponents: [{name: a}]\n"
WINDOW = ROLES + 'rollout: {windows: [{cron: "0 8 * * 1-5", duration: 9h, timeZone: %s}]}'
WAVES = ROLES + "rollout: {waves: [%s]}"


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"])
def test_time_zones_that_exist_pass(zone: str) -> None:
    assert of("Fleet", WINDOW % zone) == []


def test_a_time_zone_that_does_not_exist_is_refused_with_the_one_that_was_meant() -> None:
    [found] = of("Fleet", WINDOW % "Europe/Berln")
    assert (found.action, found.code, found.pointer) == ("deny", "schema/time-zone", "/spec/rollout/windows/0/timeZone")
    assert "did you mean Europe/Berlin?" in found.message


def test_a_bad_cron_and_a_bad_zone_do_not_hide_each_other() -> None:
    found = of("Fleet", (WINDOW % "Mars/Base").replace("0 8 * * 1-5", "0 8 31 2 *"))
    assert [one.code for one in found] == ["schema/cron", "schema/time-zone"]


def test_a_wave_whose_limit_falls_below_an_earlier_one_is_warned_of() -> None:
    found = of("Fleet", WAVES % "{name: a, limit: 50%}, {name: b, limit: 10%}, {name: c, limit: 9.5%}, {name: d, limit: 100%}")
    assert [(one.action, one.rule, one.pointer) for one in found] == [
        ("warn", "manifest/waves", "/spec/rollout/waves/1/limit"),
        ("warn", "manifest/waves", "/spec/rollout/waves/2/limit"),
    ]
    assert all("50%" in one.message for one in found)


def test_waves_that_rise_or_stay_pass() -> None:
    assert of("Fleet", WAVES % "{name: a, limit: 9.5%}, {name: b, limit: 10%}, {name: c, limit: 10%}, {name: d, matchLabels: {x: y}}") == []


@pytest.mark.parametrize(
    ("kind", "spec", "pointer"),
    [
        ("Component", "files: [{path: /etc/a, contnet: x}]", "/spec/files/0/contnet"),
        ("Component", f"artifacts: [{{name: a, path: /opt/a, url: 'https://x.example/a', sha265: {SHA}}}]", "/spec/artifacts/0/sha265"),
        ("Component", "probes: [{name: up, htttp: 'http://127.0.0.1/'}]", "/spec/probes/0/htttp"),
        ("Fleet", "selctor: {matchLabels: {role: web}}\ncomponents: [{name: a}]", "/spec/selctor"),
        ("Fleet", WAVES % "{name: a, limt: 50%}", "/spec/rollout/waves/0/limt"),
    ],
)
def test_a_misspelt_field_is_the_one_finding_and_not_also_what_it_would_have_been(kind: str, spec: str, pointer: str) -> None:
    assert codes(of(kind, spec)) == [("schema/unknown-field", pointer)]


def test_a_field_that_is_missing_beside_one_that_is_nothing_like_it_is_still_said() -> None:
    found = of("Component", "files: [{path: /etc/a, colour: x}]")
    assert [one.code for one in found] == ["schema/alternatives", "schema/unknown-field"]


@pytest.mark.parametrize(
    ("value", "said"), [("{}", "it is a mapping, and must be text"), ("[1]", "it is a list"), ("7", "7 is a whole number")]
)
def test_a_value_of_the_wrong_type_is_named_by_what_it_is(value: str, said: str) -> None:
    [found] = of("Component", f"description: {value}")
    assert said in found.message


@pytest.mark.parametrize("program", ["visudo", "./run", "${parameters.tool}", ""])
def test_a_check_whose_program_is_no_absolute_path_is_refused(program: str) -> None:
    [found] = of("Component", f"files: [{{path: /etc/a, content: x, check: ['{program}', -c, '{{staged}}']}}]")
    assert (found.action, found.rule, found.pointer) == ("deny", "manifest/check", "/spec/files/0/check/0")


@pytest.mark.parametrize("program", ["/usr/sbin/visudo", "{staged}", "{staged:/opt/tool}"])
def test_a_check_may_begin_with_an_absolute_path_or_what_is_staged(program: str) -> None:
    assert of("Component", f"files: [{{path: /etc/a, content: x, check: ['{program}', -c, '{{staged}}']}}]") == []
