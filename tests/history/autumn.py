"""From August on: what goes away, what gets another name, what is taken back; and requests that nobody has merged."""

from tests.history import manifests as m
from tests.history import mistakes, routine
from tests.history.people import ANA, BEN, CLEO, DAN, EVE
from tests.history.scribe import Files, Scribe
from tests.history.signing import AUDITED, OWN, levels, replays

_FRONT, _WEB = "tenants/shop/components/storefront.yaml", "tenants/shop/fleets/web.yaml"
_ARENA, _BOSTON = "tenants/games/components/arena.yaml", "tenants/edge/agents/gw-boston.yaml"
_FREEZE = f"""\
{m.API}kind: Freeze
metadata: {{name: autumn-sale, tenant: shop}}
spec: {{fleets: [web, db], reason: autumn sale, owner: cleo@example.com, from: "2026-11-04T00:00:00Z", until: "2026-11-09T06:00:00Z"}}
"""


def summer(scribe: Scribe) -> None:
    """Delete a fleet, rename a host, give another one another label, and take a change back."""
    gone: Files = {f"tenants/shop/{path}": None for path in ("fleets/cache.yaml", "components/cache.yaml")}
    scribe.commit(CLEO, "Shop: the database is fast enough without a cache", gone, mark="deleted")
    new = m.agent("edge", "gw-cambridge", role="gateway", region="us", site="cambridge")
    scribe.commit(DAN, "Edge: Boston moves to Cambridge", {_BOSTON: None, "tenants/edge/agents/gw-cambridge.yaml": new}, mark="renamed")
    moved: Files = {"tenants/shop/agents/web-04.yaml": m.agent("shop", "web-04", role="web", region="eu")}
    scribe.commit(CLEO, "Shop: web-04 is in Frankfurt now", moved, mark="relabelled")
    routine.days(scribe, 6)
    before = scribe.main.files[_FRONT]
    bad = scribe.edit(CLEO, "Shop: answer within a second", _FRONT, "timeout = ", "timeout = 1 # was ", mark="incident")
    scribe.commit(CLEO, f'Revert "Shop: answer within a second"\n\nThis reverts commit {bad}.', {_FRONT: before}, mark="reverted")
    scribe.commit(
        BEN, "Everybody: a friendlier message of the day", scribe.edited("library/base.yaml", "Property of", "Welcome to"), mark="everybody"
    )
    for title in ("more-players", "longer-queues"):
        routine.merged(scribe, title, [routine.setting(scribe, scribe.count + 1), routine.setting(scribe, scribe.count + 2)], by=ANA)
    for mistake in mistakes.late(scribe):
        mistakes.make(scribe, mistake)
        routine.days(scribe, 3)


def last_days(scribe: Scribe, count: int) -> None:
    """Let the year go on until the last day, on which a waiver is about to end and a sale about to begin."""
    routine.days(scribe, count - scribe.count - 4)
    scribe.commit(EVE, "Games: replays until November", replays("2026-11-10"), mark="prolonged")
    scribe.commit(CLEO, "Shop: nothing moves during the autumn sale", {"tenants/shop/freezes/autumn-sale.yaml": _FREEZE}, mark="freeze")
    scribe.commit(ANA, "Notes from the weekly meeting", {f"notes/{scribe.count}.md": "Asia gets a region of its own in spring.\n"})
    who, said, files = routine.setting(scribe, scribe.count)
    scribe.commit(who, said, files, mark="last")


def requests(scribe: Scribe) -> None:
    """Begin branches that nobody has merged: a good one, one with everything wrong, one that loosens, one that tightens."""
    good = scribe.branch()
    scribe.commit(
        CLEO,
        "Shop: more workers for the sale",
        scribe.edited(_WEB, "{name: storefront}", "{name: storefront, parameters: {workers: 24}}"),
        on=good,
    )
    scribe.commit(CLEO, "Shop: and two hosts more", m.hosts("shop", ["web-sale-1", "web-sale-2"], role="web"), on=good, mark="sale")
    scribe.tag("autumn-sale", good)
    wrong = scribe.branch()
    scribe.commit(EVE, "Games: everything at once", _everything(scribe), on=wrong)
    scribe.tag("everything", wrong)
    loose = scribe.branch()
    text = m.repository(
        rules="    hygiene/owner: {level: audit}\n    host-safety/world-writable: {level: warn}\n" + OWN + AUDITED, signed=True
    )
    writable = scribe.edited(_FRONT, 'mode: "0770"', 'mode: "0777"')
    scribe.commit(CLEO, "Shop: rules are in the way of the sale", {"ordain.yaml": text, **writable}, on=loose)
    scribe.tag("loosened", loose)
    tight = scribe.branch()
    scribe.commit(ANA, "Regions deny at once, everywhere", {"ordain.yaml": levels(OWN, AUDITED.replace("audit", "deny"))}, on=tight)
    scribe.tag("tighter", tight)


def _everything(scribe: Scribe) -> Files:
    """Return a change with one of each: not YAML, not of the schema, not allowed, not there."""
    http = scribe.edited(_ARENA, "https://artifacts", "http://mirror")[_ARENA]
    key = m.file("/etc/arena/key", "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n-----END PRIVATE KEY-----", "0600")
    return {
        _ARENA: str(http).replace("  files:\n", "  files:\n" + key),
        "tenants/games/components/broken.yaml": "apiVersion: ordain.dev/v1\nkind: Component\n  metadata: {name: broken\n",
        "tenants/games/components/unknown.yaml": m.component("games", "unknown", "Has a field that is none", "  fils: []\n"),
        "tenants/games/fleets/arena.yaml": str(scribe.main.files["tenants/games/fleets/arena.yaml"]).replace(
            "{name: arena}\n", "{name: arna}\n", 1
        ),
        "tenants/games/agents/other.yaml": m.agent("games", "arena-01", role="arena", region="eu"),
        "tenants/games/agents/arena-05.yaml": None,
    }
