"""Which waiver excuses which finding: by rule, object, place and value, for as long as it lasts."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.pipeline.finding import Finding, ObjectName, Place
from reconciler.pipeline.manifests import parse_file
from reconciler.pipeline.policy.answers import shown
from reconciler.pipeline.waivers import Found, Waiver, ends_within, excuse, expiring, next_instant, place_in, read
from reconciler.pipeline.waivers.matching import canonical, digest_of

OBJECT = ObjectName(kind="Component", tenant="shop", name="collector")
AT, VALUE = "artifacts[otelcol].url", "http://mirror.example.com/otelcol.tar.gz"
NOW = "2026-11-22T12:00:00Z"
WAIVER = Waiver(
    name=ObjectName(kind="Waiver", tenant="shop", name="mirror"),
    rule="supply-chain/https-only",
    object=OBJECT,
    at=AT,
    value=VALUE,
    reason="no TLS yet",
    owner="ana@example.com",
    until="2027-02-01T00:00:00Z",
    place=Place(file="tenants/shop/waivers/mirror.yaml"),
)
FINDING = Finding(
    action="deny",
    rule=WAIVER.rule,
    code="c",
    message="m",
    place=Place(file="a.yaml"),
    object=OBJECT,
    value=canonical(VALUE),
    scope="object",
)
FOUND = Found(finding=FINDING, place=AT)


def why(waiver: Waiver, found: Found = FOUND, now: str = NOW) -> str:
    """Return why a waiver does not excuse a finding; empty where it does."""
    outcome = excuse([found], [waiver], now)
    assert bool(outcome.by) != bool(outcome.near)
    return outcome.near[0].why if outcome.near else ""


def test_a_waiver_excuses_what_it_names() -> None:
    outcome = excuse([FOUND], [WAIVER], NOW)
    assert outcome.by == {0: WAIVER}
    assert not outcome.unused
    assert not outcome.near


@pytest.mark.parametrize(
    ("waiver", "found", "words"),
    [
        (replace(WAIVER, at="artifacts[other].url"), FOUND, "it excuses artifacts[other].url, and this is at artifacts[otelcol].url"),
        (replace(WAIVER, value="http://elsewhere"), FOUND, 'the value that it excuses is not the one that is there now ("http://mirror'),
        (replace(WAIVER, value=None), FOUND, "it names no value"),
        (WAIVER, replace(FOUND, waivable=False), "supply-chain/https-only can't be waived"),
        (WAIVER, replace(FOUND, finding=replace(FINDING, action="error")), "what could not be judged can't be excused"),
        (replace(WAIVER, until=NOW), FOUND, "it ended at 2026-11-22T12:00:00Z"),
    ],
)
def test_one_that_nearly_fits_says_why_it_does_not(waiver: Waiver, found: Found, words: str) -> None:
    assert words in why(waiver, found)


@pytest.mark.parametrize("other", [{"rule": "a/b"}, {"object": replace(OBJECT, tenant="lab")}, {"object": replace(OBJECT, name="c")}])
def test_one_of_another_rule_or_object_has_nothing_to_do_with_it(other: dict[str, Any]) -> None:
    outcome = excuse([FOUND], [replace(WAIVER, **other)], NOW)
    assert outcome.by == {}
    assert outcome.near == ()
    assert len(outcome.unused) == 1


def test_a_secret_value_is_never_said_and_may_be_named_by_its_digest() -> None:
    secret = replace(FOUND, finding=replace(FINDING, sensitive=True, value=shown("hunter2", sensitive=True)))
    assert "hunter2" not in why(replace(WAIVER, value="hunter3"), secret)
    assert not why(replace(WAIVER, value=digest_of(canonical("hunter2"))), secret)
    assert not why(replace(WAIVER, value="hunter2"), secret)


def test_of_a_text_its_line_or_all_of_it_may_be_named() -> None:
    whole = "one\n" + VALUE + "\n"
    line = Found(finding=FINDING, place=AT, whole=shown(whole, sensitive=False))
    assert not why(WAIVER, line)
    assert not why(replace(WAIVER, value=whole), line)
    assert not why(replace(WAIVER, value=digest_of(canonical(whole))), line)
    assert "not the one that is there now" in why(replace(WAIVER, value="one"), line)
    assert "not the one that is there now" in why(replace(WAIVER, value=whole))


def test_where_nothing_or_a_mapping_stands_the_place_is_enough() -> None:
    bare = replace(FOUND, plain=False, finding=replace(FINDING, value=shown({"a": "b" * 300}, sensitive=False)))
    assert not why(replace(WAIVER, value=None), bare)
    assert why(replace(WAIVER, value="sha256:" + "0" * 64), bare)


def test_for_an_incident_all_that_a_rule_says_of_an_object_may_be_excused() -> None:
    assert not why(replace(WAIVER, at="", value=None, incident="INC-7"))
    assert why(replace(WAIVER, at="", value=None))


def test_of_two_that_fit_the_one_that_ends_last_counts_and_the_other_is_unused() -> None:
    longer = replace(WAIVER, name=replace(WAIVER.name, name="longer"), until="2027-02-10T00:00:00Z")
    outcome = excuse([FOUND], [longer, WAIVER], NOW)
    assert outcome.by == {0: longer}
    assert outcome.unused == (WAIVER,)


SCALARS = st.one_of(st.text(max_size=300), st.integers(-(2**53), 2**53), st.booleans(), st.floats(allow_nan=False, allow_infinity=False))


@given(SCALARS, SCALARS, st.booleans())
def test_a_value_excuses_itself_and_no_other(stated: Any, held: Any, sensitive: bool) -> None:  # noqa: FBT001 - hypothesis passes by position
    found = replace(FOUND, finding=replace(FINDING, value=shown(held, sensitive=sensitive), sensitive=sensitive))
    assert (not why(replace(WAIVER, value=stated), found)) == (canonical(stated) == canonical(held))


@given(st.integers(0, 200), st.integers(0, 200))
def test_a_waiver_counts_until_the_instant_of_its_end_and_not_after(ends: int, now: int) -> None:
    def at(hour: int) -> str:
        return f"2027-01-{1 + hour // 24:02d}T{hour % 24:02d}:00:00Z"

    waiver = replace(WAIVER, until=at(ends))
    assert waiver.counts(at(now)) == (now < ends)
    assert (next_instant([waiver], at(now)) == at(ends)) == (now < ends)


@given(st.permutations(["a", "b", "c"]))
def test_a_place_is_the_same_wherever_its_item_stands_in_its_list(names: list[str]) -> None:
    value = {"spec": {"artifacts": [{"name": name, "url": name} for name in names]}}
    assert place_in(value, ("spec", "artifacts", names.index("b"), "url")) == "artifacts[b].url"


@pytest.mark.parametrize(
    ("pointer", "place"),
    [((), "."), (("spec",), "spec"), (("metadata", "labels", "owner"), "metadata.labels.owner"), (("spec", "args", 1), "args[1]")],
)
def test_a_place_beside_the_spec_is_named_from_the_root(pointer: tuple[str | int, ...], place: str) -> None:
    assert place_in({"spec": {"args": ["a", "b"]}}, pointer) == place


def manifest(spec: str) -> Waiver | None:
    text = f"apiVersion: ordain.dev/v1\nkind: Waiver\nmetadata: {{name: a, tenant: shop}}\nspec: {spec}\n"
    return read(parse_file("a.yaml", text.encode()).documents[0])


def test_a_waiver_lasts_to_the_end_of_its_day_and_one_for_an_incident_to_its_instant() -> None:
    about = "rule: a/b, object: {kind: Fleet, name: web}, at: x, reason: r, owner: o"
    plain = manifest(f"{{{about}, expires: 2027-01-31}}")
    glass = manifest(f"{{{about}, breakGlass: {{incident: I, until: '2027-01-31T08:00:00Z', approvedBy: [a, b]}}}}")
    assert plain is not None
    assert (plain.until, plain.last_day) == ("2027-02-01T00:00:00Z", "2027-01-31")
    assert glass is not None
    assert (glass.until, glass.incident) == ("2027-01-31T08:00:00Z", "I")
    assert manifest(f"{{{about}, expires: never}}") is None


def test_waivers_are_told_of_thirty_seven_and_one_days_before_they_end() -> None:
    until = WAIVER.until
    days = [
        ends_within(until, now) for now in ("2027-01-01T23:59:59Z", "2027-01-02T00:00:00Z", "2027-01-25T00:00:00Z", "2027-01-31T00:00:00Z")
    ]
    assert days == [None, 30, 7, 1]
    assert ends_within(until, until) is None
    assert [one.within for one in expiring([WAIVER], "2027-01-26T00:00:00Z")] == [7]
