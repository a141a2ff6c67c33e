"""What a server knows of the hosts that a change reaches, beside the plan: counted, named, and never guessed."""

from dataclasses import replace

from reconciler.cli.live import agent_path, standings
from reconciler.cli.planned import words
from reconciler.pipeline.plan.live import LiveHost, Standing, live_of
from reconciler.pipeline.plan.shape import Fleet, Hosts
from tests.compile_cases import COLLECTOR, shop

BUNDLE = shop().compile().bundle
MEMBERS = ["runners", "web-01", "web-02", "web-03"]


def host(name: str, **more: object) -> LiveHost:
    plain = LiveHost(name=name, member=name.partition("/")[0], state="enrolled", presence="online", version="1.2", detailed=True)
    return replace(plain, **more)  # type: ignore[arg-type]


def test_hosts_are_counted_by_what_keeps_a_release_from_them() -> None:
    hosts = [
        host("web-01", presence="lost", standing={"web": Standing(result="applied", drift=2)}),
        host(
            "web-02",
            state="quarantined",
            version="1.1",
            standing={"web": Standing(result="failed", held=True), "base": Standing(result="x")},
        ),
        host("runners/a", presence="flapping"),
        host("runners/b", state="decommissioned", presence=""),
    ]
    live = live_of("web", MEMBERS, frozenset({"runners"}), hosts, BUNDLE)
    assert live.known == 3
    assert live.unknown == Hosts(count=1, names=("web-03",))
    assert live.offline.names == ("runners/a", "web-01")
    assert (live.quarantined.names, live.held.names, live.failing.names) == (("web-02",), ("web-02",), ("web-02",))
    assert live.drifted.names == ("web-01",)
    assert [(one.version, one.agents) for one in live.versions] == [("1.1", 1), ("1.2", 2)]


def test_a_platform_without_a_file_is_told_with_its_hosts() -> None:
    case = shop().edit(COLLECTOR, 'url: "https://example.com/otelcol", sha256: "%s"' % ("ab" * 32), 'platforms: {linux/amd64: {url: "https://example.com/o", sha256: "%s"}}' % ("ab" * 32))  # fmt: skip # noqa: E501
    hosts = [host("web-01", platform="linux/amd64"), host("web-02", platform="linux/arm64"), host("web-03")]
    [unserved] = live_of("web", MEMBERS, frozenset({"runners"}), hosts, case.compile().bundle).unserved
    assert (unserved.artifact, unserved.platform, unserved.hosts.names) == ("otelcol", "linux/arm64", ("web-02",))
    assert live_of("web", MEMBERS, frozenset(), hosts, BUNDLE).unserved == ()


def test_what_was_not_asked_is_not_said_to_be_well() -> None:
    hosts = [host(f"web-{number}", detailed=False, presence="lost") for number in range(30)]
    live = live_of("web", [one.name for one in hosts], frozenset(), hosts, BUNDLE)
    assert (live.unasked, live.offline.count, len(live.offline.names), live.offline.more) == (30, 30, 10, 20)
    fleet = Fleet(fleet="shop/web", kind="changed", file="f", members=30, hit=Hosts(count=30), share=100.0, live=live)
    said = list(words.fleet_notes(fleet))
    assert said[0] == "now: 30 hosts enrolled; agents 1.2 (30)"
    assert said[1].startswith("now: 30 offline, so they get it later: web-0, web-1")
    assert said[-1] == "now: of 30 hosts drift, holds and platforms were not asked for, since they are many"


def test_answers_of_the_api_are_read_as_it_writes_them() -> None:
    row = {"fleet": "web", "result": "applied", "why": "", "digest": "ab", "desired": "", "attempt": 1, "drift": 3, "held": True}
    assert standings([{**row, "changedAt": "2026-11-23T00:00:00Z"}]) == {
        "web": Standing(result="applied", digest="ab", drift=3, held=True, since="2026-11-23T00:00:00Z")
    }
    assert agent_path("shop", "web-01") == "/api/v1/agents/shop/web-01"
    assert agent_path("shop", "runners/7f3a") == "/api/v1/agents/shop/runners/members/7f3a"
