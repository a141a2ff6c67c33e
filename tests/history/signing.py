"""From May on: signatures, what is tried against them, rules of the repository's own, and waivers."""

from datetime import timedelta

from tests.history import manifests as m
from tests.history import own_rules, routine
from tests.history.founding import RULES
from tests.history.people import ANA, BEN, CLEO, DAN, DAN_NEW, EVE
from tests.history.scribe import BEGIN, Files, Scribe

WRITABLE = "host-safety/world-writable"
SCRATCH = "tenants/games/lab/scratch.yaml"
_FRONT, _ARENA = "tenants/shop/components/storefront.yaml", "tenants/games/components/arena.yaml"
_BRIDGE, _POSTGRES = "tenants/edge/components/bridge.yaml", "tenants/shop/components/postgres.yaml"
REPLAYS = '  files:\n    - {path: /var/lib/arena/replays, type: directory, mode: "0777"}\n'
OWN = "    custom/files/not-in-tmp: {level: deny}\n"
AUDITED = "    custom/hosts/region: {level: audit}\n"
STAGED = """\
    custom/hosts/region:
      stages:
        - {level: audit}
        - {level: warn, from: 2026-07-01}
        - {level: deny, from: 2026-08-15, tenants: [shop]}
        - {level: deny, from: 2026-12-01}
"""
LAB = """\
    - description: Nothing in the lab is for players
      paths: [tenants/games/lab/**]
      rules: {host-safety/world-writable: {level: audit}}
"""
_OWN_TENANT = "  may:\n    - paths: [tenants/{0}/**]\n    - {{paths: [tenants/{0}/waivers/**], kinds: [Waiver]}}\n"


def turned_on(scribe: Scribe) -> None:
    """Turn signatures on, and try what nobody may."""
    signers = {f"signers/{who.name}.yaml": m.signer(who, "  policyOwner: true\n") for who in (ANA, BEN)}
    scribe.commit(ANA, "Who may change what", {**signers, **_teams()}, sign=True)
    scribe.commit(ANA, "Sign what we change", {"ordain.yaml": m.repository(rules=RULES, signed=True)}, sign=True, mark="signed")
    scribe.signed = True
    routine.days(scribe, 3)
    _against_the_rules(scribe)
    _stolen(scribe)


def _teams() -> dict[str, str]:
    owners = {"shop": CLEO, "edge": DAN, "games": EVE}
    return {f"tenants/{name}/signers/{who.name}.yaml": m.signer(who, _OWN_TENANT.format(name), owner=name) for name, who in owners.items()}


def _against_the_rules(scribe: Scribe) -> None:
    before = scribe.main.files[_POSTGRES]
    scribe.commit(CLEO, "Shop: quick fix from my phone", scribe.edited(_POSTGRES, "4GB", "6GB"), sign=False, mark="unsigned")
    scribe.commit(CLEO, "Shop: take the quick fix back", {_POSTGRES: before})
    scribe.edit(CLEO, "Shop: the fix again, signed", _POSTGRES, "4GB", "6GB")
    before = scribe.main.files[_BRIDGE]
    scribe.edit(EVE, "Edge: the bridge needs the games' topic", _BRIDGE, "connection", "connection games-", mark="not-hers")
    scribe.commit(DAN, "Edge: hands off", {_BRIDGE: before})
    before = scribe.main.files["ordain.yaml"]
    loose = m.repository(rules=RULES, overrides=LAB, signed=True)
    scribe.commit(EVE, "Games: rules are in the way", {"ordain.yaml": loose}, mark="loosened")
    scribe.commit(ANA, "Ask first", {"ordain.yaml": before})
    work: list[routine.Work] = [(CLEO, "Shop: a word for customers", scribe.edited(_FRONT, "default: Welcome", "default: Hello"))]
    routine.merged(scribe, "friendlier", work, by=BEN, mark="hidden", sign=False)
    scribe.edit(CLEO, "Shop: welcome, as before", _FRONT, "default: Hello", "default: Welcome")


def _stolen(scribe: Scribe) -> None:
    routine.days(scribe, 2)
    text = m.signer(DAN, _OWN_TENANT.format("edge"), owner="edge", ends="2026-05-25T18:00:00Z", more=f"    - ssh: {DAN_NEW.public}\n")
    scribe.commit(ANA, "Dan's laptop was stolen: another key", {"tenants/edge/signers/dan.yaml": text}, mark="stolen")
    scribe.edit(DAN, "Edge: open the broker", _BRIDGE, "topic store", "topic all", mark="thief")
    scribe.keys[DAN] = DAN_NEW
    scribe.commit(DAN, "Edge: that was not me", scribe.edited(_BRIDGE, "topic all", "topic store"))


def rules(scribe: Scribe) -> None:
    """Write rules of the repository's own: one that denies at once, one that tightens by and by."""
    _policy(scribe, "tmp", {**own_rules.tmp(), "ordain.yaml": levels(OWN)})
    scratch = m.component("games", "scratch", "Where mods are tried", "  files:\n" + m.file("/tmp/mods", "nothing yet"))
    scribe.commit(EVE, "Games: room for mods", {SCRATCH: scratch}, mark="in-tmp")
    scribe.commit(EVE, "Games: mods live under /var/lib", {SCRATCH: scratch.replace("/tmp/", "/var/lib/")})
    _policy(scribe, "region-broken", own_rules.broken())
    _policy(scribe, "region", {**own_rules.region(), "ordain.yaml": levels(OWN, AUDITED)})
    routine.days(scribe, 4)
    nowhere = {"tenants/shop/agents/web-spare.yaml": m.agent("shop", "web-spare", role="spare")}
    scribe.commit(CLEO, "Shop: a spare host", nowhere, mark="nowhere")
    far = {"tenants/games/agents/arena-apac.yaml": m.agent("games", "arena-apac", role="arena", region="apac")}
    scribe.commit(EVE, "Games: the first host in Asia", far, mark="apac")
    _policy(scribe, "tightened", own_rules.tightened())
    _policy(scribe, "staged", {"ordain.yaml": levels(OWN, STAGED)})
    routine.days(scribe, 5)


def _policy(scribe: Scribe, mark: str, files: Files) -> None:
    """Have Ana write what judges on a branch and Ben merge it, as `coSigned` wants it."""
    routine.merged(scribe, f"policy-{mark}", [(ANA, f"Policy: {mark}", files)], by=BEN, mark=mark)


def levels(*lines: str, overrides: str = "") -> str:
    """Return `ordain.yaml` as it is from May on, with levels of own rules."""
    return m.repository(rules=RULES + "".join(lines), overrides=overrides, signed=True)


def waivers(scribe: Scribe) -> None:
    """Grant waivers: one that is used and ends, one that nothing needs, one in an incident; and have rules loosened by who may."""
    files = {**scribe.edited(_ARENA, "  files:\n", REPLAYS), **replays("2026-09-15")}
    scribe.commit(EVE, "Games: replays for everybody, until September", files, mark="waived")
    at, by = "artifacts[profiler].url", "cleo@example.com"
    unused = m.waiver("shop", "mirror", "supply-chain/https-only", "storefront", at=at, reason="no TLS", by=by, ends="expires: 2026-08-01")
    scribe.commit(CLEO, "Shop: in case the profiler comes over HTTP", {"tenants/shop/waivers/mirror.yaml": unused}, mark="unused")
    forever = m.waiver("shop", "forever", WRITABLE, "storefront", at="probes", reason="some day", by=by, ends="expires: 2027-12-31")
    scribe.commit(CLEO, "Shop: an excuse for good", {"tenants/shop/waivers/forever.yaml": forever}, mark="forever")
    scribe.commit(CLEO, "Shop: no excuse then", {"tenants/shop/waivers/forever.yaml": None})
    routine.days(scribe, 6)
    _glass(scribe)
    _policy(scribe, "lab", {"ordain.yaml": levels(OWN, STAGED, overrides=LAB)})
    scribe.commit(EVE, "Games: anybody may try mods", scribe.edited(SCRATCH, '"0644"', '"0666"'), mark="overridden")
    routine.days(scribe, 4)


def replays(until: str) -> dict[str, str | bytes | None]:
    """Return the waiver for the replays, which anybody may write."""
    excused = {"at": "files[/var/lib/arena/replays].mode", "value": "0777", "by": "eve@example.com", "ends": f"expires: {until}"}
    why = "players fetch their replays until the server does"
    return {"tenants/games/waivers/replays.yaml": m.waiver("games", "replays", WRITABLE, "arena", reason=why, **excused)}


def _glass(scribe: Scribe) -> None:
    """Break the glass: Cleo writes it, Ana signs it too, and both arrive with the fix."""
    place = "tenants/shop/waivers/inc-7.yaml"
    when = (BEGIN + timedelta(days=scribe.count + 1)).strftime("%Y-%m-%dT20:00:00Z")
    ends = f"breakGlass: {{incident: INC-7, until: {when}, approvedBy: [ana, shop/cleo]}}"
    why = "orders are lost until the spool can be written"
    excuse = m.waiver("shop", "inc-7", WRITABLE, "storefront", reason=why, by="cleo@example.com", ends=ends)
    spool = '  files:\n    - {path: /var/spool/orders, type: directory, mode: "0777"}\n'
    scribe.commit(CLEO, "Shop: INC-7, let orders through", {place: excuse, **scribe.edited(_FRONT, "  files:\n", spool)})
    scribe.commit(ANA, "INC-7: agreed", {place: excuse + "# agreed on the phone\n"}, mark="glass")
    after = {place: None, **scribe.edited(_FRONT, 'orders, type: directory, mode: "0777"', 'orders, type: directory, mode: "0770"')}
    scribe.commit(CLEO, "Shop: INC-7 is over", after, mark="mended")
