"""What OPA is asked, and what comes of rules that loop, fail, or answer nonsense: never a pass, never a crash."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from reconciler.opa.program import find_opa
from reconciler.opa.server import OpaServer
from reconciler.pipeline.finding import ObjectName, Place, Pointer
from reconciler.pipeline.policy.batches import BATCH_ITEMS
from reconciler.pipeline.policy.evaluate import ObjectItem, Policies
from reconciler.pipeline.policy.judge import Judge
from tests.policy_cases import CHANGE, ask, component, finds, judge, only, rego

pytestmark = pytest.mark.needs("opa")

ENDLESS = "count([1 | some x in numbers.range(1, 1000000); some _ in numbers.range(1, 10000); x > 0]) == 1"
LOOP = f'input.object.metadata.name == "loops"\n\t{ENDLESS}'
OPEN_FILE = '{files: [{path: /etc/app, mode: "0666", content: x}]}'


@pytest.fixture(scope="module")
def opa() -> Path:
    return find_opa(None)


def test_findings_carry_rule_code_place_remedy_and_value(opa: Path) -> None:
    with Policies(judge(opa), opa=opa) as policies:
        found = policies.objects([ObjectItem(document=component("app", OPEN_FILE))], CHANGE)
    [finding] = [each for each in found if each.action == "deny"]
    assert finding.rule == finding.code == "host-safety/world-writable"
    assert finding.place == Place(file="tenants/shop/app.yaml", pointer=("spec", "files", 0, "mode"))
    assert finding.object == ObjectName(kind="Component", tenant="shop", name="app")
    assert finding.scope == "object"
    assert finding.value == '"0666"'
    assert finding.remedy


def test_levels_decide_what_a_finding_does(opa: Path) -> None:
    def action(**spec: Any) -> set[str]:
        with Policies(judge(opa, **spec), opa=opa) as policies:
            found = ask(policies, component("app", OPEN_FILE))
        return {action for _, rule, action in found if rule == "host-safety/world-writable"}

    def at(level: str) -> dict[str, object]:
        return {"host-safety/world-writable": {"level": level}}

    assert action() == {"deny"}
    assert action(rules=at("audit")) == {"audit"}
    assert action(rules=at("warn"), overrides=[{"paths": ["tenants/shop/**"], "rules": at("deny")}]) == {"deny"}
    assert action(overrides=[{"tenants": ["shop"], "rules": at("off")}]) == set()


def test_rules_see_old_change_parameters_and_sources(opa: Path) -> None:
    body = """deny contains result.at(rego.metadata.chain(), [], "is new") if input.old == null

deny contains result.at(rego.metadata.chain(), [], "was old") if input.old.metadata.name

deny contains result.at(rego.metadata.chain(), [], input.change.to) if is_string(input.change.to)

deny contains result.at(rego.metadata.chain(), [], input.parameters.word)

deny contains result.at(rego.metadata.chain(), ["sources", "files/a", 2], input.sources["files/a"])"""
    loaded = only(opa, {"policies/a.rego": rego("ordain.custom.a.b", body, custom="parameters: {word: default}")})
    document = component("app")
    with Policies(loaded, opa=opa) as policies:
        new = policies.objects([ObjectItem(document=document)], {**CHANGE, "to": "abc"})
        old = policies.objects([ObjectItem(document=document, old=document.value, sources={"files/a": "text"})], CHANGE)
    assert {each.message for each in new} == {"is new", "abc", "default"}
    assert {each.message for each in old} == {"was old", "text", "default"}
    [source] = [each for each in old if each.message == "text"]
    assert source.place == Place(file="tenants/shop/files/a", line=3, column=1)
    assert source.files == {"tenants/shop/files/a", "tenants/shop/app.yaml"}


def test_a_tenants_own_rule_is_asked_about_that_tenant_alone(opa: Path) -> None:
    loaded = only(opa, {"policies/tenants/lab/a.rego": rego("ordain.tenants.lab.a.b", finds())})
    with Policies(loaded, opa=opa) as policies:
        assert ask(policies, component("app"), component("test", tenant="lab")) == [("test", "lab/a/b", "deny")]


def test_a_rule_typed_for_one_kind_is_not_asked_about_others(opa: Path) -> None:
    with Policies(only(opa, {"policies/a.rego": rego("ordain.custom.a.b", finds(), kind="fleet")}), opa=opa) as policies:
        assert ask(policies, component("app")) == []


def test_a_rule_can_not_speak_for_another(opa: Path) -> None:
    body = 'deny contains {"code": "", "path": [], "message": "x", "rule": "supply-chain/https-only"} if true'
    with Policies(only(opa, {"policies/a.rego": rego("ordain.custom.a.b", _unhelped(body))}), opa=opa) as policies:
        assert ask(policies, component("app")) == [("app", "custom/a/b", "error")]


def _unhelped(body: str) -> str:
    """Return a body that does not use the result helper, which strict checking wants used once imported."""
    return f"{body}\n\nunused := result.code([])"


def test_a_rule_that_loops_on_one_object_is_named_with_it_and_all_others_are_judged(opa: Path) -> None:
    files = {"policies/a.rego": rego("ordain.custom.bad.loop", finds(LOOP)), "policies/b.rego": rego("ordain.custom.good.rule", finds())}
    names = [f"c{number}" for number in range(40)]
    with Policies(only(opa, files), opa=opa, seconds=1) as policies:
        started = time.monotonic()
        found = policies.objects([ObjectItem(document=component(name)) for name in [*names, "loops"]], CHANGE)
        taken = time.monotonic() - started
    errors = [each for each in found if each.action == "error"]
    assert [(each.rule, str(each.object), each.code) for each in errors] == [("custom/bad/loop", "Component shop/loops", "policy/timeout")]
    assert "custom/bad/loop could not judge Component shop/loops" in errors[0].message
    assert Counter(each.rule for each in found if each.action == "deny") == {"custom/good/rule": 41}
    assert taken < 30


def test_a_rule_that_loops_on_everything_costs_a_bounded_time_and_passes_nothing(opa: Path) -> None:
    files = {"policies/a.rego": rego("ordain.custom.bad.loop", finds(ENDLESS))}
    documents = [component(f"c{number}") for number in range(200)]
    with Policies(only(opa, files), opa=opa, seconds=0.2) as policies:
        started = time.monotonic()
        found = ask(policies, *documents)
    assert time.monotonic() - started < 30
    assert Counter(action for _, _, action in found) == {"error": 200}


def test_a_rule_that_errs_is_named_with_its_objects_and_hides_no_other(opa: Path) -> None:
    errs = 'input.object.metadata.name in {"c7", "c300"}\n\tto_number(input.object.metadata.name) == 1'
    files = {"policies/a.rego": rego("ordain.custom.bad.err", finds(errs)), "policies/b.rego": rego("ordain.custom.good.rule", finds())}
    with Policies(only(opa, files), opa=opa, seconds=20) as policies:
        found = policies.objects([ObjectItem(document=component(f"c{number}")) for number in range(600)], CHANGE)
    errors = [each for each in found if each.action == "error"]
    assert [(each.rule, each.object.name if each.object else "") for each in errors] == [
        ("custom/bad/err", "c7"),
        ("custom/bad/err", "c300"),
    ]
    assert all(each.code == "policy/failed" and "to_number" in each.message for each in errors)
    assert Counter(each.rule for each in found if each.action == "deny") == {"custom/good/rule": 600}


@pytest.mark.parametrize(
    "body",
    [
        'deny contains "text" if true',
        'deny contains {"path": "spec", "message": "m", "code": ""} if true',
        'deny contains {"path": [], "message": 3, "code": ""} if true',
        'deny contains {"path": [null], "message": "m", "code": ""} if true',
        'deny contains {"path": [], "code": ""} if true',
        "deny contains null if true",
        'deny contains {"path": [], "message": concat("", [x | some _ in numbers.range(1, 2000); x := "y"]), "code": ""} if true',
        'deny contains {"path": [], "message": sprintf("%d", [x]), "code": ""} if some x in numbers.range(0, 1000)',
    ],
)
def test_a_malformed_answer_is_an_error_that_names_rule_and_object(opa: Path, body: str) -> None:
    files = {"policies/a.rego": rego("ordain.custom.bad.odd", _unhelped(body)), "policies/b.rego": rego("ordain.custom.good.rule", finds())}
    with Policies(only(opa, files), opa=opa) as policies:
        found = policies.objects([ObjectItem(document=component("app"))], CHANGE)
    assert [(each.rule, each.action) for each in found] == [("custom/bad/odd", "error"), ("custom/good/rule", "deny")]
    assert found[0].code == "policy/malformed"
    assert found[0].message.startswith("rule custom/bad/odd could not judge Component shop/app: ")


def test_a_thousand_findings_are_told_and_one_more_is_an_error(opa: Path) -> None:
    body = 'deny contains {"path": [], "message": sprintf("%d", [x]), "code": ""} if some x in numbers.range(1, 1000)'
    with Policies(only(opa, {"policies/a.rego": rego("ordain.custom.a.many", _unhelped(body))}), opa=opa) as policies:
        assert Counter(action for _, _, action in ask(policies, component("app"))) == {"deny": 1000}


def test_killing_opa_in_mid_run_loses_no_verdict(opa: Path) -> None:
    documents = [component(f"c{number}", OPEN_FILE) for number in range(1500)]
    with Policies(judge(opa), opa=opa, seconds=20) as policies:
        server = policies._server  # noqa: SLF001 - a test needs to know whom to kill
        assert isinstance(server, OpaServer)
        assert server.running is not None
        killer = threading.Timer(0.2, os.kill, (server.running.process, signal.SIGKILL))
        killer.start()
        found = ask(policies, *documents)
        killer.join()
        assert server.running is not None
        assert server.running.generation > 1
    assert Counter(rule for _, rule, action in found if action == "deny") == {"host-safety/world-writable": 1500}
    assert not [each for each in found if each[2] == "error"]


def test_findings_come_in_order_of_objects_then_rules(opa: Path) -> None:
    files = {"policies/a.rego": rego("ordain.custom.a.a", finds()), "policies/b.rego": rego("ordain.custom.a.b", finds())}
    names = [f"c{number}" for number in range(700)]
    with Policies(only(opa, files), opa=opa, seconds=20) as policies:
        found = ask(policies, *(component(name) for name in names))
    assert found == [(name, rule, "deny") for name in names for rule in ("custom/a/a", "custom/a/b")]


def test_nothing_to_ask_is_nothing_found(opa: Path) -> None:
    with Policies(judge(opa), opa=opa) as policies:
        assert policies.objects([], CHANGE) == []


RELEASE = {
    "fleet": {"apiVersion": "ordain.dev/v1", "kind": "Fleet", "metadata": {"name": "web", "tenant": "shop"}, "spec": {}},
    "release": {"groups": {"all": {"base": {"files": [{"path": "/etc/a", "content": "x"}]}, "modes": []}}},
    "members": [],
}


def release(policies: Policies, place_of: Callable[[Pointer], Place]) -> list[tuple[str, str, Place, frozenset[str]]]:
    name = ObjectName(kind="Fleet", tenant="shop", name="web")
    found = policies.release(RELEASE, old=None, change=CHANGE, fleet="shop/web", place_of=place_of, object=name)
    return [(each.rule, each.action, each.place, each.fleets) for each in found]


def by_pointer(pointer: Pointer) -> Place:
    return Place(file="web.yaml", pointer=pointer)


def test_release_rules_judge_a_fleet_and_their_places_go_through_the_map(opa: Path) -> None:
    path = '["release", "groups", "all", "base", "files", 0, "content"]'
    files = {"policies/a.rego": rego("ordain.custom.a.b", finds("input.fleet.metadata", path), scope="release")}
    with Policies(only(opa, files), opa=opa) as policies:
        place = by_pointer(("release", "groups", "all", "base", "files", 0, "content"))
        assert release(policies, by_pointer) == [("custom/a/b", "deny", place, frozenset({"shop/web"}))]


def test_a_release_rule_that_fails_is_an_error_of_that_fleet(opa: Path) -> None:
    files = {"policies/a.rego": rego("ordain.custom.a.b", finds('to_number("x") == 1'), scope="release")}
    with Policies(only(opa, files), opa=opa) as policies:
        assert release(policies, by_pointer) == [("custom/a/b", "error", by_pointer(()), frozenset({"shop/web"}))]


def change(loaded: Judge, opa: Path, **stated: object) -> list[tuple[str, str, str, frozenset[str]]]:
    asked: Mapping[str, object] = {**CHANGE, **stated}
    with Policies(loaded, opa=opa) as policies:
        found = policies.change(asked, Place(file="ordain.yaml"))
    return [(each.rule, each.action, each.place.file, each.files) for each in found]


def test_change_rules_judge_the_whole_change(opa: Path) -> None:
    found = change(judge(opa), opa, impact={"agents": 90, "total": 100, "by_label": {}})
    assert found == [("change/blast-radius", "warn", "ordain.yaml", frozenset({"ordain.yaml"}))]


def test_a_change_rule_points_at_the_file_of_an_object(opa: Path) -> None:
    body = "\n\n".join(
        f'deny contains result.at(rego.metadata.chain(), ["objects", "{how}", 0], "found") if count(input.change.objects.{how}) > 0'
        for how in ("added", "removed")
    )
    loaded = only(opa, {"policies/a.rego": rego("ordain.custom.a.b", body, scope="change")})
    objects = {
        "added": [{"kind": "Agent", "tenant": "shop", "name": "a", "file": "new.yaml"}],
        "changed": [],
        "removed": [{"kind": "Agent", "tenant": "shop", "name": "b", "file": "old.yaml"}],
    }
    files = {each[3] for each in change(loaded, opa, objects=objects)}
    assert files == {frozenset({"new.yaml"}), frozenset({"ordain.yaml", "old.yaml"})}


def test_secrets_are_found_without_being_repeated(opa: Path) -> None:
    key = "-----BEGIN PRIVATE KEY----- MIIEvTeStOnLy"
    document = component("tls", f'{{files: [{{path: /etc/key, content: "{key}"}}]}}')
    with Policies(judge(opa), opa=opa) as policies:
        found = policies.objects([ObjectItem(document=document, sources={"files/key": f"first\n{key}\n"})], CHANGE)
    secrets = [each for each in found if each.rule == "secrets/private-key"]
    assert [(each.place.file, each.place.line) for each in secrets] == [("tenants/shop/files/key", 2), ("tenants/shop/tls.yaml", None)]
    assert all("MIIEvTeStOnLy" not in repr(each) and each.sensitive for each in secrets)


ALLOCATES = {
    "a set of strings": 'count({sprintf("%d and more", [x]) | some x in numbers.range(1, 1000000000)}) == 1',
    "a number of three billion bits": "bits.lsh(1, 3000000000) == 1",
}


@pytest.mark.parametrize("what", ALLOCATES)
def test_a_rule_that_takes_memory_without_end_is_named_with_its_object_and_all_others_are_judged(opa: Path, what: str) -> None:
    greedy = f'input.object.metadata.name == "greedy"\n\t{ALLOCATES[what]}'
    files = {
        "policies/a.rego": rego("ordain.custom.bad.greedy", finds(greedy)),
        "policies/b.rego": rego("ordain.custom.good.rule", finds()),
    }
    names = [f"c{number}" for number in range(BATCH_ITEMS + 3)]  # two batches, so that one is under way with the greedy one
    with Policies(only(opa, files), opa=opa, seconds=20, memory=120 * 1024**2) as policies:
        found = policies.objects([ObjectItem(document=component(name)) for name in [*names, "greedy"]], CHANGE)
        assert ask(policies, component("later")) == [("later", "custom/good/rule", "deny")]
    errors = [each for each in found if each.action == "error"]
    assert [(each.rule, str(each.object), each.code) for each in errors] == [
        ("custom/bad/greedy", "Component shop/greedy", "policy/memory")
    ]
    assert "OPA took more than 120 MiB of memory" in errors[0].message
    assert len([each for each in found if each.rule == "custom/good/rule" and each.action == "deny"]) == len(names) + 1


def test_what_takes_memory_is_never_blamed_on_a_question_beside_it(opa: Path) -> None:
    greedy = f'input.object.metadata.name == "greedy"\n\t{ALLOCATES["a number of three billion bits"]}'
    files = {
        "policies/a.rego": rego("ordain.custom.bad.greedy", finds(greedy)),
        "policies/b.rego": rego("ordain.custom.good.rule", finds()),
    }
    with Policies(only(opa, files), opa=opa, seconds=20, memory=120 * 1024**2) as policies, ThreadPoolExecutor(4) as callers:
        names = ["greedy", "a", "b", "greedy", "c", "d"]
        answers = list(callers.map(lambda name: ask(policies, component(name)), names))
    assert answers == [
        [*([(name, "custom/bad/greedy", "error")] if name == "greedy" else []), (name, "custom/good/rule", "deny")] for name in names
    ]
