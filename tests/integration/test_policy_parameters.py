"""Each rule sees its own parameters, whatever rules it shares an input with."""

from pathlib import Path

import pytest

from reconciler.opa.program import find_opa
from reconciler.pipeline.policy.evaluate import ObjectItem, Policies
from tests.policy_cases import CHANGE, component, only, rego

pytestmark = pytest.mark.needs("opa")


@pytest.fixture(scope="module")
def opa() -> Path:
    return find_opa(None)


def _rule(name: str, read: str, parameters: str) -> tuple[str, bytes]:
    body = f"deny contains result.at(rego.metadata.chain(), [], message) if message := {read}"
    return f"policies/{name}.rego", rego(f"ordain.custom.a.{name}", body, custom=f"parameters: {parameters}")


def test_rules_that_share_an_input_see_their_own_parameters(opa: Path) -> None:
    names = 'concat(",", [name | some name, _ in input.parameters])'
    rules = dict(
        [
            _rule("one", "input.parameters.word", "{word: first}"),
            _rule("two", "input.parameters.word", "{word: second}"),
            _rule("three", "input.parameters.other", "{other: third}"),
            _rule("four", 'input.parameters["word"]', "{word: fourth}"),
            _rule("lists", names, "{alone: 1}"),
            _rule("asks", 'object.get(input.parameters, "word", "none")', "{}"),
            _rule("walks", 'concat(",", {path[1] | walk(input, [path, _]); path[0] == "parameters"})', "{mine: 1}"),
        ]
    )
    with Policies(only(opa, rules), opa=opa) as policies:
        said = _messages(policies)
    assert dict(said) == {
        "custom/a/one": "first",
        "custom/a/two": "second",
        "custom/a/three": "third",
        "custom/a/four": "fourth",
        "custom/a/lists": "alone",
        "custom/a/asks": "none",
        "custom/a/walks": "mine",
    }


def test_a_rule_does_not_see_a_parameter_that_it_does_not_declare(opa: Path) -> None:
    asks = 'deny contains result.at(rego.metadata.chain(), [], "seen") if input.parameters.word'
    rules = dict([_rule("one", "input.parameters.word", "{word: first}")])
    rules["policies/nosy.rego"] = rego("ordain.custom.a.nosy", asks, custom="parameters: {own: 1}")
    with Policies(only(opa, rules), opa=opa) as policies:
        assert _messages(policies) == [("custom/a/one", "first")]


def test_parameters_that_are_equal_in_python_alone_are_kept_apart(opa: Path) -> None:
    shown = "json.marshal(input.parameters.value)"
    rules = dict([_rule("number", shown, "{value: 1}"), _rule("truth", shown, "{value: true}")])
    with Policies(only(opa, rules), opa=opa) as policies:
        assert dict(_messages(policies)) == {"custom/a/number": "1", "custom/a/truth": "true"}


def _messages(policies: Policies) -> list[tuple[str, str]]:
    return [(found.rule, found.message) for found in policies.objects([ObjectItem(document=component("app"))], CHANGE)]
