"""The first days: three tenants with their hosts, components and fleets, as they lie in `begin/`."""

from pathlib import Path

from tests.history import manifests as m
from tests.history.people import ANA, BEN, CLEO, DAN, EVE
from tests.history.scribe import Scribe

REVIEWER = BEN
RULES = "    hygiene/owner: {level: deny}\n    change/blast-radius: {level: warn, parameters: {share: 60%}}\n"
BEGIN = Path(__file__).parent / "begin"
SITES = {"berlin": "eu", "lyon": "eu", "boston": "us"}


def begin(scribe: Scribe) -> None:
    """Write what is there before the first mistake."""
    scribe.commit(ANA, "Begin", {"ordain.yaml": m.repository(), **_there("README.md")}, mark="begin")
    scribe.commit(ANA, "Three tenants", _there("tenants/*/tenant.yaml"))
    scribe.commit(ANA, "What every host has", _there("library/base.yaml"))
    scribe.commit(BEN, "Metrics, and logging in", _there("library/exporter.yaml", "library/sshd.yaml"))
    _shop(scribe)
    _edge(scribe)
    scribe.commit(EVE, "Games: arena hosts", m.hosts("games", [f"arena-0{number}" for number in range(1, 6)], role="arena"))
    scribe.commit(EVE, "Games: the arena", _there("tenants/games/*/arena.yaml"))
    scribe.commit(ANA, "Everything has an owner", {"ordain.yaml": m.repository(rules=RULES)}, mark="founded")


def _there(*patterns: str) -> dict[str, str | bytes | None]:
    """Return files of `begin/`."""
    return {str(path.relative_to(BEGIN)): path.read_text() for pattern in patterns for path in sorted(BEGIN.glob(pattern))}


def _shop(scribe: Scribe) -> None:
    scribe.commit(CLEO, "Shop: web hosts", m.hosts("shop", [f"web-0{number}" for number in range(1, 7)], role="web"))
    front = _there("tenants/shop/components/storefront.yaml", "tenants/shop/components/files/*", "tenants/shop/fleets/web.yaml")
    scribe.commit(CLEO, "Shop: the storefront", front)
    database = _there("tenants/shop/components/postgres.yaml", "tenants/shop/fleets/db.yaml")
    scribe.commit(CLEO, "Shop: databases", {**m.hosts("shop", ["db-01", "db-02"], role="db"), **database})
    scribe.commit(CLEO, "Shop: a cache", {**m.hosts("shop", ["cache-01", "cache-02"], role="cache"), **_there("tenants/shop/*/cache.yaml")})
    build = _there("tenants/shop/pools/runners.yaml", "tenants/shop/components/runner.yaml", "tenants/shop/fleets/ci.yaml")
    scribe.commit(CLEO, "CI: runners come and go", build)


def _edge(scribe: Scribe) -> None:
    hosts: dict[str, str | bytes | None] = {}
    for site, region in SITES.items():
        more = {"canary": "true"} if site == "berlin" else {}
        hosts[f"tenants/edge/agents/gw-{site}.yaml"] = m.agent("edge", f"gw-{site}", role="gateway", region=region, site=site, **more)
    scribe.commit(DAN, "Edge: three gateways", hosts)
    scribe.commit(DAN, "Edge: the bridge", _there("tenants/edge/*/bridge.yaml", "tenants/edge/fleets/gateways.yaml"))
