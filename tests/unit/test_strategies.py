"""What a strategy can say: what of it is refused with its place, and that the control zone reads what the pipeline wrote."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from agent.protocol.errors import MalformedError
from reconciler.pipeline.compile.controls import fleet_controls
from reconciler.pipeline.compile.index import FLEET
from reconciler.pipeline.compile.turns import in_turn
from reconciler.pipeline.manifests import Document, Layout, parse_file
from reconciler.pipeline.validation import validate
from reconciler.rollouts.measured import Metric, Regressions
from reconciler.rollouts.strategy import Critical, Unavailable, strategy_of
from tests.compile_cases import fleet, shop

HEAD = "apiVersion: ordain.dev/v1\nkind: Fleet\nmetadata: {name: web, tenant: shop}\nspec:\n"
FULL = """\
rollout:
  waves:
    - {name: canary, matchLabels: {canary: "true"}}
    - {name: rest, limit: 100%, approval: required, approvers: 2}
  after: [staging]
  maxUnavailable: {label: rack, share: 25%}
  critical: {reason: CVE-2026-1, until: "2026-12-01T00:00:00Z"}
  health:
    metrics:
      - {name: errors, query: 'sum(rate(errors[5m]))', max: 0.01}
      - {name: traffic, query: 'sum(rate(requests[5m]))', min: 10}
    regressions: {cpu: 50%, memory: 100%, restarts: 2, startup: 30%}
"""


def document(rollout: str) -> Document:
    body = "selector: {matchLabels: {}}\ncomponents: [{name: a}]\n" + rollout
    text = HEAD + "".join(f"  {line}\n" for line in body.splitlines())
    (parsed,) = parse_file("tenants/shop/web.yaml", text.encode()).documents
    return parsed


def found(rollout: str) -> list[tuple[str, str]]:
    return [(one.code, "/".join(map(str, one.place.pointer))) for one in validate(document(f"rollout: {rollout}"), Layout())]


def test_the_control_zone_reads_what_the_pipeline_wrote() -> None:
    stated = document(FULL)
    assert validate(stated, Layout()) == []
    strategy = strategy_of(fleet_controls(stated)["rollout"])
    assert [step.approvers for step in strategy.steps] == [0, 2]
    assert strategy.after == ("staging",)
    assert strategy.unavailable == Unavailable(label="rack", share=25_000)
    assert strategy.critical == Critical(reason="CVE-2026-1", until=datetime(2026, 12, 1, tzinfo=UTC))
    assert strategy.health.metrics == (
        Metric(name="errors", query="sum(rate(errors[5m]))", most=Decimal("0.01")),
        Metric(name="traffic", query="sum(rate(requests[5m]))", least=Decimal(10)),
    )
    assert strategy.health.regressions == Regressions(cpu=50, memory=100, restarts=2, startup=30)


@pytest.mark.parametrize(
    ("rollout", "code", "where"),
    [
        ("{waves: [{name: a, limit: 5%, approvers: 2}]}", "schema/alternatives", "spec/rollout/waves/0/approvers"),
        ("{waves: [{name: a, limit: 5%, approval: required, approvers: 6}]}", "schema/limit", "spec/rollout/waves/0/approvers"),
        ("{maxUnavailable: {label: rack}}", "schema/alternatives", "spec/rollout/maxUnavailable"),
        ("{maxUnavailable: {count: 1, share: 5%}}", "schema/alternatives", "spec/rollout/maxUnavailable/share"),
        ("{health: {metrics: [{name: a, query: up}]}}", "schema/alternatives", "spec/rollout/health/metrics/0"),
        ("{health: {metrics: [{name: a, query: up, min: 2, max: 1}]}}", "schema/limit", "spec/rollout/health/metrics/0/min"),
        (
            "{health: {metrics: [{name: a, query: up, min: 2}, {name: a, query: up, max: 2}]}}",
            "manifest/duplicate",
            "spec/rollout/health/metrics/1/name",
        ),
        ("{health: {regressions: {cpu: 5.5%}}}", "schema/pattern", "spec/rollout/health/regressions/cpu"),
        ("{critical: {reason: x}}", "schema/required", "spec/rollout/critical"),
        ("{critical: {reason: x, until: '2026-02-30T00:00:00Z'}}", "schema/date", "spec/rollout/critical/until"),
    ],
)
def test_what_a_strategy_cannot_say_is_refused_where_it_stands(rollout: str, code: str, where: str) -> None:
    assert found(rollout) == [(code, where)]


@pytest.mark.parametrize(
    "rollout",
    [
        {"maxUnavailable": {}},
        {"maxUnavailable": {"count": 0}},
        {"maxUnavailable": {"count": 1, "share": "5%"}},
        {"health": {"metrics": [{"name": "a", "query": "up", "max": "NaN"}]}},
        {"health": {"metrics": [{"name": "a", "query": "up", "max": "many"}]}},
        {"health": {"regressions": {"cpu": "-1%"}}},
        {"health": {"regressions": {"restarts": "2"}}},
        {"critical": {"reason": "x", "until": "soon"}},
    ],
)
def test_controls_that_no_pipeline_wrote_are_malformed(rollout: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        strategy_of(rollout)


def test_what_is_critical_is_so_until_its_end() -> None:
    strategy = strategy_of({"critical": {"reason": "x", "until": "2026-12-01T00:00:00Z"}})
    assert strategy.is_critical(datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC))
    assert not strategy.is_critical(datetime(2026, 12, 1, tzinfo=UTC))
    assert not strategy_of({}).is_critical(datetime(2026, 11, 30, tzinfo=UTC))


@pytest.mark.parametrize(("stated", "hosts", "most"), [({"count": 3}, 2, 3), ({"share": "25%"}, 9, 2), ({"share": "1%"}, 9, 1)])
def test_a_share_is_rounded_down_and_lets_one_host_go(stated: dict[str, Any], hosts: int, most: int) -> None:
    unavailable = strategy_of({"maxUnavailable": stated}).unavailable
    assert unavailable is not None
    assert unavailable.most(hosts) == most


def fleets(**after: str) -> list[tuple[str, str]]:
    case = shop()
    for name, before in after.items():
        rollout = f", rollout: {{after: [{before}]}}" if before else ""
        spec = f"{{selector: {{matchLabels: {{none: such}}}}, components: [{{name: library/base}}]{rollout}}}"
        case = case.write(f"tenants/shop/{name}.yaml", fleet(name, spec))
    return [(one.action, one.message) for one in case.findings() if one.rule in ("manifest/after-circle", "manifest/unknown-fleet")]


def test_fleets_that_go_after_one_another_are_fine_until_they_form_a_circle() -> None:
    assert fleets(staging="", production="staging", edge="production, staging") == []
    assert fleets(a="b", b="c", c="a, d", d="") == [
        ("deny", "a waits for b waits for c waits for a: none of them would ever get a release")
    ]
    assert [action for action, _ in fleets(a="a")] == ["deny"]


def test_a_fleet_that_goes_after_one_that_is_not_there_is_told() -> None:
    ((action, message),) = fleets(staging="", production="stagin")
    assert action == "warn"
    assert message.endswith("did you mean staging?")


def test_who_goes_first_is_approved_first() -> None:
    case = shop()
    turns = {"edge": "production, staging", "production": "staging", "staging": "", "alone": ""}
    for name, before in turns.items():
        spec = f"{{selector: {{matchLabels: {{none: such}}}}, components: [{{name: library/base}}], rollout: {{after: [{before}]}}}}"
        case = case.write(f"tenants/shop/{name}.yaml", fleet(name, spec))
    index = case.world.tenant("shop")
    documents = {("shop", name): index.of(FLEET)[name][0] for name in turns}
    assert [name for _, name in in_turn(documents)] == ["alone", "staging", "production", "edge"]
    circle = {("shop", name): documents["shop", "edge"] for name in ("production", "staging")}
    assert in_turn(circle) == sorted(circle)
