"""References: what is filled in where, and that a value lands on a host exactly as it was given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol import rendering
from agent.protocol.errors import MalformedError

PIECES = (
    "${",
    "}",
    "$",
    "$$",
    "{",
    "agent.",
    "labels.",
    "parameters.",
    "secret.",
    "a",
    "name",
    ".",
    " ",
    "é",
    "${agent.name}",
    "$${agent.name}",
    "${labels.a}",
    "${parameters.a}",
)
texts = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


def expected(text: str, labels: dict[str, str], parameters: dict[str, str], fields: dict[str, str]) -> str:
    """Return in one step what resolving here and finishing there must come to."""
    parts, end = [], 0
    for match in rendering.REFERENCE.finditer(text):
        values = {"labels": labels, "parameters": parameters, "agent": fields}[match["space"]]
        parts += [text[end : match.start()], match[0][1:] if match["escape"] else values[match["name"]]]
        end = match.end()
    return "".join([*parts, text[end:]])


@given(texts, texts, texts)
def test_a_value_lands_on_the_host_as_it_was_given_whatever_it_looks_like(text: str, label: str, parameter: str) -> None:
    labels, parameters, fields = {"a": label}, {"a": parameter}, rendering.agent_fields("shop", "web-01")
    try:
        wanted = expected(text, labels, parameters, fields)
    except KeyError:
        return  # a reference that nothing can fill in has tests of its own
    try:
        resolved = rendering.resolve(text, labels=labels, parameters=parameters)
    except MalformedError:
        assert label.endswith("$") or parameter.endswith("$")
        return
    assert rendering.finish(resolved, tenant="shop", agent="web-01") == wanted


@pytest.mark.parametrize(
    ("text", "resolved"),
    [
        ("${labels.region}-${parameters.size}", "eu-3"),
        ("$${labels.region}", "$${labels.region}"),
        ("${HOME} $host ${} ${labels} ${label.region} $(x)", "${HOME} $host ${} ${labels} ${label.region} $(x)"),
        ("${agent.name} ${secret.token}", "${agent.name} ${secret.token}"),
        ("${parameters.tricky}", "$${labels.region}"),
        ("${parameters.dollar}{agent.name}", "$${agent.name}"),
    ],
)
def test_labels_and_parameters_are_filled_in_and_all_else_stays(text: str, resolved: str) -> None:
    values = {"size": "3", "tricky": "${labels.region}", "dollar": "$"}
    assert rendering.resolve(text, labels={"region": "eu"}, parameters=values) == resolved


def test_a_reference_without_a_value_is_named() -> None:
    with pytest.raises(KeyError, match=r"labels\.rack"):
        rendering.resolve("${labels.rack}", labels={}, parameters={})


def test_a_dollar_that_would_make_a_literal_of_what_follows_is_refused() -> None:
    with pytest.raises(MalformedError, match="put a character between them"):
        rendering.resolve("${parameters.a}${agent.name}", labels={}, parameters={"a": "5$"})


@pytest.mark.parametrize(
    ("agent", "text", "finished"),
    [
        ("web-01", "${agent.name} ${agent.id} [${agent.pool}] ${agent.tenant}", "web-01 web-01 [] shop"),
        ("runners/7f", "${agent.name} ${agent.id} [${agent.pool}]", "runners/7f 7f [runners]"),
        ("web-01", "$${agent.name} $$${agent.name} ${x}", "${agent.name} $${agent.name} ${x}"),
    ],
)
def test_the_agent_is_filled_in_on_the_host(agent: str, text: str, finished: str) -> None:
    assert rendering.finish(text, tenant="shop", agent=agent) == finished


@pytest.mark.parametrize("text", ["${labels.a}", "${parameters.a}", "${secret.a}", "${agent.nothing}"])
def test_what_a_host_can_not_fill_in_is_refused_there(text: str) -> None:
    with pytest.raises(MalformedError, match="can't be filled in"):
        rendering.finish(text, tenant="shop", agent="web-01")


def test_references_and_near_misses_are_found_with_their_places() -> None:
    text = "a ${labels.x} $${labels.y} ${label.z} ${ parameters.w } ${Agent.name}"
    assert list(rendering.references(text)) == [("labels", "x", 2)]
    assert list(rendering.near_misses(text)) == [("${label.z}", 27), ("${ parameters.w }", 38), ("${Agent.name}", 56)]
