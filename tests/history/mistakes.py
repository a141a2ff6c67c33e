"""Mistakes that people made, each mended a day later: what they said, what they wrote, and what they said when they saw it.

A file that is not in the repository goes away when it is mended; any other is as it was before.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.history import manifests as m
from tests.history.people import CLEO, DAN, EVE, Person
from tests.history.scribe import Files, Scribe

FRONT, FILES = "tenants/shop/components/storefront.yaml", "  files:\n"
ARENA, BRIDGE, GATEWAYS = "tenants/games/components/arena.yaml", "tenants/edge/components/bridge.yaml", "tenants/edge/fleets/gateways.yaml"
WEB = "tenants/shop/fleets/web.yaml"
_KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ\n-----END OPENSSH PRIVATE KEY-----"


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something that nobody should have committed."""

    name: str
    who: Person
    said: str
    files: Files
    mended: str


def make(scribe: Scribe, mistake: Mistake) -> None:
    """Commit a mistake, and mend it."""
    before = {path: scribe.main.files.get(path) for path in mistake.files}
    scribe.commit(mistake.who, mistake.said, mistake.files, mark=mistake.name)
    scribe.commit(mistake.who, mistake.mended, before, mark=f"after-{mistake.name}")


def early(scribe: Scribe) -> Iterator[Mistake]:
    """Yield what went wrong while people learned how to write manifests."""
    yield Mistake(
        "tabs",
        DAN,
        "Edge: keep more messages",
        scribe.edited(BRIDGE, "  files:\n", "\tfiles:\n"),
        "Edge: spaces, not tabs",
    )
    yield Mistake(
        "misspelt",
        EVE,
        "Games: a longer soak",
        scribe.edited("tenants/games/fleets/arena.yaml", "soak: 15m", "soaks: 25m"),
        "Games: it is called soak",
    )
    yield Mistake(
        "unknown-component",
        CLEO,
        "Shop: web hosts get the new footer",
        scribe.edited(WEB, "{name: storefront}", "{name: storefrnt}"),
        "Shop: spell storefront",
    )
    yield Mistake(
        "duplicate",
        CLEO,
        "Shop: move web-03 to the new rack",
        {"tenants/shop/agents/rack2/web-03.yaml": m.agent("shop", "web-03", role="web", region="us")},
        "Shop: web-03 is there already",
    )
    yield Mistake(
        "http",
        EVE,
        "Games: fetch the arena from the old mirror",
        scribe.edited(ARENA, "https://artifacts", "http://mirror"),
        "Games: back to the mirror with TLS",
    )
    yield Mistake(
        "writable",
        EVE,
        "Games: anybody may write replays",
        scribe.edited(ARENA, "  files:\n", '  files:\n    - {path: /var/lib/arena/replays, type: directory, mode: "0777"}\n'),
        "Games: only the server writes replays",
    )
    yield Mistake(
        "private-key",
        CLEO,
        "Shop: key for the partner's API",
        {
            "tenants/shop/components/partner.yaml": m.component(
                "shop", "partner", "The partner's API", FILES + m.file("/etc/storefront/partner.key", _KEY, "0600")
            )
        },
        "Shop: the key comes by another way, and the old one is revoked",
    )
    yield Mistake(
        "password",
        CLEO,
        "Shop: talk to the database directly",
        scribe.edited(FRONT, "        banner", "        database = postgres://app:hunter2secret@db.eu.example.com/shop\n        banner"),
        "Shop: no password in the address",
    )
    yield Mistake(
        "near-miss",
        DAN,
        "Edge: name the region in the topic",
        scribe.edited(BRIDGE, "topic store/${labels.site}", "topic ${label.region}/${labels.site}"),
        "Edge: stores only",
    )
    yield Mistake(
        "no-label",
        DAN,
        "Edge: a gateway in Porto",
        {"tenants/edge/agents/gw-porto.yaml": m.agent("edge", "gw-porto", role="gateway", region="eu")},
        "Edge: Porto waits until its site has a name",
    )


def later(scribe: Scribe) -> Iterator[Mistake]:
    """Yield what went wrong when there was more to do."""
    yield Mistake(
        "latest", EVE, "Games: always the newest arena", scribe.edited(ARENA, "/arena/", "/arena/latest/"), "Games: name a version"
    )
    yield Mistake(
        "same-path",
        DAN,
        "Edge: our own message of the day",
        scribe.edited(BRIDGE, FILES, FILES + m.file("/etc/motd", "A store of Northgate.")),
        "Edge: the message of the day is the library's",
    )
    yield Mistake(
        "cycle",
        CLEO,
        "Shop: cache and database belong together",
        {
            **scribe.edited("tenants/shop/components/cache.yaml", FILES, "  includes: [{name: postgres}]\n" + FILES),
            **scribe.edited("tenants/shop/components/postgres.yaml", FILES, "  includes: [{name: cache}]\n" + FILES),
        },
        "Shop: they don't",
    )
    yield Mistake(
        "no-value",
        CLEO,
        "Shop: the US get their own database later",
        scribe.edited(WEB, "{backend: db.us.example.com}", "{}"),
        "Shop: until then the old one",
    )
    yield Mistake(
        "bad-mode", CLEO, "Shop: the start script is executable", scribe.edited(FRONT, 'mode: "0755"', 'mode: "755"'), "Shop: four digits"
    )
    yield Mistake(
        "no-source",
        CLEO,
        "Shop: start script has a better name",
        scribe.edited(FRONT, "files/run.sh", "files/start.sh"),
        "Shop: not renamed yet",
    )
    yield Mistake(
        "climbs",
        CLEO,
        "Shop: share the edge team's script",
        scribe.edited(FRONT, "files/run.sh", "../../edge/files/run.sh"),
        "Shop: a copy of our own",
    )
    yield Mistake(
        "sudo",
        DAN,
        "Edge: whoever is on the ladder may do anything",
        {
            "tenants/edge/components/sudo.yaml": m.component(
                "edge",
                "sudo",
                "What store staff may do",
                FILES + m.file("/etc/sudoers.d/store", "%store-ops ALL=(ALL) NOPASSWD: ALL", "0440"),
            )
        },
        "Edge: they ask the platform team",
    )
    yield Mistake(
        "set-uid",
        EVE,
        "Games: arena binds port 80",
        scribe.edited(ARENA, 'mode: "0755"', 'mode: "4755"'),
        "Games: port 7777 is fine",
    )
    yield Mistake(
        "pipe-to-shell",
        CLEO,
        "Shop: install the profiler",
        {"tenants/shop/components/files/run.sh": "#!/bin/sh\ncurl -fsSL https://get.example.com/profiler | sh\nexec storefront\n"},
        "Shop: the profiler comes with the image",
    )
    yield Mistake(
        "root-login",
        CLEO,
        "Shop: the contractor logs in as root",
        scribe.edited(WEB, "{group: shop-ops}", '{group: "shop ops"}'),
        "Shop: the contractor has an account",
    )
    yield Mistake(
        "binary",
        DAN,
        "Edge: logo for the tills",
        {"tenants/edge/components/logo.yaml": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"},
        "Edge: logos are not manifests",
    )
    yield Mistake("nothing", DAN, "Edge: begin a cache", {"tenants/edge/components/cache.yaml": "# to be written\n"}, "Edge: another day")
    yield Mistake(
        "other-tenant",
        EVE,
        "Games: a host of our own",
        {"tenants/games/agents/arena-90.yaml": m.agent("shop", "arena-90", role="arena", region="eu")},
        "Games: it is ours, not the shop's",
    )
    yield Mistake(
        "task",
        CLEO,
        "Shop: a runbook",
        {"tenants/shop/tasks/flush.yaml": f"{m.API}kind: Task\nmetadata: {{name: flush, tenant: shop}}\nspec: {{}}\n"},
        "Shop: no tasks yet",
    )
    yield Mistake(
        "nobody",
        DAN,
        "Edge: tills are a fleet",
        {"tenants/edge/fleets/tills.yaml": m.fleet("edge", "tills", "Tills", "role: till", "    - {name: library/base}\n" + m.ROLLOUT)},
        "Edge: when there are tills",
    )
    yield Mistake(
        "all-at-once",
        EVE,
        "Games: players can't wait",
        scribe.edited("tenants/games/fleets/arena.yaml", "limit: 50%", "limit: 10%"),
        "Games: half, then the rest",
    )


def late(scribe: Scribe) -> Iterator[Mistake]:
    """Yield what went wrong when everybody thought that they knew how it goes."""
    spool = FILES + m.file("/tmp/bridge.spool", "empty", "0640")
    yield Mistake(
        "spooled", DAN, "Edge: spool messages", scribe.edited(BRIDGE, FILES, spool), "Edge: the spool survives a reboot elsewhere"
    )
    profiler = '  artifacts:\n    - {name: profiler, path: /opt/profiler, mode: "0755", '
    profiler += f'url: "http://get.example.com/profiler/2.1/linux", sha256: "{m.digest("profiler 2.1")}"}}\n'
    yield Mistake("profiled", CLEO, "Shop: the profiler", scribe.edited(FRONT, FILES, profiler + FILES), "Shop: the profiler waits for TLS")
    yield Mistake(
        "misplaced",
        EVE,
        "Games: hosts in Asia",
        {"tenants/games/agents/arena-tokyo.yaml": m.agent("games", "arena-tokyo", role="arena")},
        "Games: hosts in Asia wait for a region",
    )
