"""Levels by day and by cohort: which stage counts for whom at which instant, and what is loosened by another list of them."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.pipeline.finding import Becomes, ObjectName
from reconciler.pipeline.policy import stages
from reconciler.pipeline.policy.levels import Levels, faults
from reconciler.pipeline.policy.metadata import Rule
from reconciler.pipeline.policy.stages import ORDER, Cohort, Stage, cohort_of

NAME = "reliability/probes"
RULE = Rule(
    id=NAME,
    path=("rules", "reliability", "probes"),
    scope="object",
    severity="warn",
    code=NAME,
    title="t",
    description="",
    remedy="",
    file="f",
)
STATED: list[dict[str, Any]] = [
    {"level": "audit"},
    {"level": "warn", "from": "2026-12-01"},
    {"level": "deny", "from": "2027-01-15", "tenants": ["lab"]},
    {"level": "deny", "from": "2027-02-01"},
]
DAYS = ("2026-11-30", "2026-12-01", "2027-01-15", "2027-02-01")


def levels(stated: list[dict[str, Any]], now: str, **more: Any) -> Levels:
    return Levels({NAME: RULE}, {"rules": {NAME: {"stages": stated}}, **more}, now=f"{now}T00:00:00Z")


@pytest.mark.parametrize(("tenant", "expected"), [("shop", ["audit", "warn", "warn", "deny"]), ("lab", ["audit", "warn", "deny", "deny"])])
def test_the_last_stage_that_has_begun_and_holds_for_somebody_counts(tenant: str, expected: list[str]) -> None:
    assert [levels(STATED, day).at("x.yaml", tenant)[NAME].level for day in DAYS] == expected


def test_a_stage_begins_at_midnight_utc() -> None:
    whole = Levels({NAME: RULE}, {"rules": {NAME: {"stages": STATED}}})
    assert whole.on("2026-11-30T23:59:59Z").at("x.yaml", "shop")[NAME].level == "audit"
    assert whole.on("2026-12-01T00:00:00Z").at("x.yaml", "shop")[NAME].level == "warn"


def test_it_is_known_what_a_finding_will_become_for_whom() -> None:
    then = levels(STATED, "2026-12-01")
    assert then.at("x.yaml", "lab")[NAME].becomes == Becomes(level="deny", day="2027-01-15")
    assert then.at("x.yaml", "shop")[NAME].becomes == Becomes(level="deny", day="2027-02-01")
    assert levels(STATED, "2027-02-01").at("x.yaml", "shop")[NAME].becomes is None


def test_an_override_with_a_level_ends_the_stages_of_a_rule_and_one_with_stages_ends_its_level() -> None:
    plain = levels(STATED, "2027-02-01", overrides=[{"tenants": ["lab"], "rules": {NAME: {"level": "off"}}}])
    assert plain.at("x.yaml", "lab")[NAME].level == "off"
    staged = Levels(
        {NAME: RULE},
        {"rules": {NAME: {"level": "audit"}}, "overrides": [{"tenants": ["lab"], "rules": {NAME: {"stages": STATED}}}]},
        now="2027-01-20T00:00:00Z",
    )
    assert (staged.at("x.yaml", "lab")[NAME].level, staged.at("x.yaml", "shop")[NAME].level) == ("deny", "audit")


def test_labels_and_shares_choose_among_objects() -> None:
    stated: list[dict[str, Any]] = [{"level": "audit"}, {"level": "deny", "labels": {"tier": "gold"}}, {"level": "warn", "share": "50%"}]
    found = levels(stated, "2026-12-01")
    gold = Cohort(tenant="shop", labels={"tier": "gold"}, point=0.9)
    assert found.at("x.yaml", "shop", gold)[NAME].level == "deny"
    assert found.at("x.yaml", "shop", Cohort(tenant="shop", point=0.49))[NAME].level == "warn"
    assert found.at("x.yaml", "shop", Cohort(tenant="shop", point=0.51))[NAME].level == "audit"


def test_a_share_is_about_that_share_of_objects_and_another_one_for_another_rule() -> None:
    names = [ObjectName(kind="Agent", tenant="shop", name=f"web-{number}") for number in range(2000)]
    points = [cohort_of(name, {}).point_for(NAME) for name in names]
    assert 0.08 < sum(point < 0.1 for point in points) / len(points) < 0.12
    assert points != [cohort_of(name, {}).point_for("reliability/limits") for name in names]


PARTS = st.fixed_dictionaries(
    {"level": st.sampled_from(ORDER)},
    optional={
        "from": st.sampled_from(DAYS),
        "tenants": st.lists(st.sampled_from(["lab", "shop"]), min_size=1, max_size=2),
        "share": st.sampled_from(["0%", "10%", "99.999%", "100%"]),
    },
)


@given(st.lists(PARTS, max_size=5), st.sampled_from(["lab", "shop", ""]), st.floats(0, 1, exclude_max=True))
def test_what_becomes_of_a_finding_is_what_it_is_on_that_day_and_nothing_stricter_comes_before(
    stated: list[dict[str, Any]], tenant: str, point: float
) -> None:
    found = [stage for stage in stages.read(stated) if stage.holds(NAME, Cohort(tenant=tenant, point=point))]
    instants = ["", *sorted({stage.begins for stage in found if stage.begins})]
    for now, _ in pairwise([*instants, ""]):
        later = stages.becomes(found, now)
        stricter = [date for date in instants if date > now and _rank(found, date) > _rank(found, now)]
        assert (later.day if later else None) == (stricter[0][:10] if stricter else None)


def _rank(found: list[Stage], now: str) -> int:
    return ORDER.index(stages.level_at(found, now))


@pytest.mark.parametrize(
    ("stated", "pointer", "words"),
    [
        ({"stages": [{"level": "audit", "from": "2026-12-01"}]}, ("stages", 0), "the first stage of"),
        ({"stages": [{"level": "audit", "tenants": ["lab"]}]}, ("stages", 0), "the first stage of"),
        ({"level": "deny", "stages": [{"level": "audit"}]}, ("level",), "has a level and stages"),
        (
            {"stages": [{"level": "audit"}, {"level": "deny", "from": "2027-01-01"}, {"level": "warn", "from": "2026-12-01"}]},
            ("stages", 2),
            "not in the order of their days",
        ),
    ],
)
def test_stages_that_leave_something_open_are_refused(stated: dict[str, Any], pointer: tuple[str | int, ...], words: str) -> None:
    [finding] = faults({NAME: RULE}, {"rules": {NAME: stated}})
    assert finding.place.pointer == ("spec", "rules", NAME, *pointer)
    assert words in finding.message
