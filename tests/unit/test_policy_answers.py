"""What a rule may answer: anything that is not a finding is an error that names rule and object."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.pipeline.finding import ObjectName, Place
from reconciler.pipeline.policy.answers import Subject, findings, line_of, resolve, shown
from reconciler.pipeline.policy.batches import Answer
from reconciler.pipeline.policy.levels import Setting
from reconciler.pipeline.policy.metadata import Rule

RULE = Rule(
    id="a/b",
    path=("rules", "a", "b"),
    scope="object",
    severity="deny",
    code="a/code",
    title="x",
    description="",
    remedy="mend it",
    file="x",
)
SETTING = Setting(level="deny", parameters={}, standing="show")
VALUE = {"spec": {"files": [{"mode": "0666"}], "long": "x" * 300}}
SUBJECT = Subject(
    name=ObjectName(kind="Component", tenant="shop", name="app"),
    value=VALUE,
    place_of=lambda pointer: Place(file="app.yaml", pointer=pointer),
)
GOOD = {"code": "", "path": ["spec", "files", 0, "mode"], "message": "too open"}
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["code", "path", "message"]), inner),
    max_leaves=8,
)


def understood(raw: object, rule: Rule = RULE) -> list[Any]:
    return list(findings(Answer(number=0, rule="a/b", findings=raw), rule, SETTING, SUBJECT))


def test_a_finding_gets_its_rule_level_remedy_and_value_from_us() -> None:
    [finding] = understood([GOOD])
    assert (finding.action, finding.rule, finding.code, finding.remedy) == ("deny", "a/b", "a/code", "mend it")
    assert finding.place == Place(file="app.yaml", pointer=("spec", "files", 0, "mode"))
    assert finding.value == '"0666"'


@pytest.mark.parametrize(
    "raw",
    [
        GOOD | {"rule": "other/rule"},
        GOOD | {"path": "spec"},
        GOOD | {"path": [["spec"]]},
        GOOD | {"path": [True]},
        GOOD | {"path": [-1]},
        GOOD | {"path": [0.5]},
        GOOD | {"path": ["a"] * 65},
        GOOD | {"message": ""},
        GOOD | {"message": 3},
        GOOD | {"message": "x" * 1001},
        GOOD | {"code": "UPPER"},
        {"path": [], "message": "no code"},
        "text",
        None,
        1,
        [],
    ],
)
def test_what_is_no_finding_is_an_error_and_hides_no_other(raw: object) -> None:
    found = understood([raw, GOOD])
    assert [finding.action for finding in found] == ["deny", "error"]
    assert found[1].code == "policy/malformed"
    assert "rule a/b could not judge Component shop/app" in found[1].message


@pytest.mark.parametrize("raw", ["text", {"a": 1}, 3, None, True])
def test_a_deny_that_is_no_set_is_an_error(raw: object) -> None:
    assert [finding.code for finding in understood(raw)] == ["policy/malformed"]


@given(ANY_JSON)
def test_no_answer_at_all_crashes_or_passes_unseen(raw: object) -> None:
    found = understood([raw])
    assert len(found) == 1


def test_a_sensitive_rule_never_repeats_what_it_found() -> None:
    secret = Rule(
        id="a/b", path=("a",), scope="object", severity="deny", code="c", title="x", description="", remedy="", file="x", sensitive=True
    )
    [finding] = understood([GOOD], secret)
    assert finding.value.startswith("sha256:")
    assert finding.sensitive


def test_long_values_are_cut_by_digest_and_different_ones_stay_apart() -> None:
    assert shown("x" * 300, sensitive=False) != shown("x" * 301, sensitive=False)
    assert len(shown("x" * 300, sensitive=False)) < 80
    assert shown({"b": 1, "a": [None, 0.5]}, sensitive=False) == '{"a":[null,0.5],"b":1}'


TEXTS = {"text": "a\nb\n", "word": "a", "sources": {"files/a": ["x", "y", "z"]}, "lists": [["a", "b"], ["c"]]}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        (("text", 1), "b"),
        (("text", 2), ""),
        (("text", 0, 1), "a\nb"),
        (("text", 1, 0), None),
        (("text", 3), None),
        (("text", 0, 1, 0), None),
        (("text", "a"), None),
        (("word", 0), "a"),
        (("sources", "files/a", 1), "y"),
        (("sources", "files/a", 1, 2), "y\nz"),
        (("lists", 0, 1), "b"),
        (("lists", 1), ["c"]),
    ],
)
def test_a_number_below_a_text_is_one_of_its_lines_and_two_are_several(pointer: tuple[str | int, ...], value: object) -> None:
    assert resolve(TEXTS, pointer) == value


def test_a_pointer_to_a_line_is_one_to_the_text_and_the_line() -> None:
    assert line_of(TEXTS, ("text", 1)) == (("text",), 1)
    assert line_of(TEXTS, ("text", 0, 1)) == (("text",), 0)
    assert line_of(TEXTS, ("word", 0)) == (("word",), None)
    assert line_of(TEXTS, ("lists", 0, 1)) == (("lists", 0, 1), None)
    assert line_of(TEXTS, ("text",)) == (("text",), None)


def test_a_path_into_nothing_has_no_value() -> None:
    [finding] = understood([GOOD | {"path": ["spec", "absent", 3]}])
    assert finding.value == ""
