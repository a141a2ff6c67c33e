"""What a year consists of: settings, versions and hosts, in turns; and now and then a branch that somebody else merges."""

import re

from tests.history import manifests as m
from tests.history.people import ANA, BEN, CLEO, DAN, EVE, Person
from tests.history.scribe import Files, Scribe

Work = tuple[Person, str, Files]
"""Who commits, what they say, and what they change."""
SETTINGS = (
    (CLEO, "Shop: {} workers", "tenants/shop/components/storefront.yaml", r"(default: )\d+", (6, 8, 12, 9)),
    (CLEO, "Shop: {} connections", "tenants/shop/components/postgres.yaml", r"(max_connections = )\d+", (120, 160, 200, 180)),
    (DAN, "Edge: queue {} messages", "tenants/edge/components/bridge.yaml", r"(max_queued )\d+", (2000, 5000, 20000, 50000)),
    (EVE, "Games: {} ticks a second", "tenants/games/components/arena.yaml", r"(tickrate )\d+", (64, 90, 120, 128)),
    (CLEO, "Shop: give up after {} s", "tenants/shop/components/storefront.yaml", r"(timeout = )\d+", (20, 15, 10, 12)),
    (CLEO, "CI: {} builds at a time", "tenants/shop/components/runner.yaml", r"(parallel = )\d+", (3, 4, 6, 8)),
    (EVE, "Games: {} players", "tenants/games/components/arena.yaml", r"(default: )\d+", (40, 48, 44, 50)),
    (CLEO, "Shop: {} MB for sorting", "tenants/shop/components/postgres.yaml", r"(work_mem = )\d+", (24, 32, 48, 64)),
)
"""Who, what they say, where, what is replaced, and the values in turn."""


def days(scribe: Scribe, count: int) -> None:
    """Let so many days pass on which nothing goes wrong; a new host on each 7th, a new version on each 11th."""
    for _ in range(count):
        day = scribe.count
        if day % 11 == 0:
            _version(scribe, day)
        elif day % 7 == 0:
            _host(scribe, day)
        else:
            _setting(scribe, day)


def setting(scribe: Scribe, day: int) -> Work:
    """Return who changes which setting on a day, to what it is not already."""
    who, said, path, pattern, values = SETTINGS[day % len(SETTINGS)]
    text = scribe.main.files[path]
    assert isinstance(text, str)
    for value in (values[(day // len(SETTINGS) + step) % len(values)] for step in range(len(values))):
        changed = re.sub(pattern, rf"\g<1>{value}", text, count=1)
        if changed != text:
            return who, said.format(value), {path: changed}
    raise AssertionError(path)


def merged(scribe: Scribe, title: str, work: list[Work], by: Person, *, mark: str = "", sign: bool | None = None) -> None:
    """Have a branch merged: its commits, one that happens on `main` meanwhile, and the merge; `sign` is about those on the branch."""
    side = scribe.branch()
    changed: dict[str, str | bytes | None] = {}
    for who, said, files in work:
        scribe.commit(who, said, files, on=side, sign=sign)
        changed |= files
    scribe.commit(ANA, "Notes from the weekly meeting", {f"notes/{scribe.count}.md": f"Day {scribe.count}: {title}.\n"})
    scribe.merge(by, f"Merge branch '{title}'\n\nReviewed-by: {by.title} <{by.email}>", side, changed, mark=mark)


def _setting(scribe: Scribe, day: int) -> None:
    who, said, files = setting(scribe, day)
    scribe.commit(who, said, files)


def _host(scribe: Scribe, day: int) -> None:
    region = ("eu", "us")[day % 2]
    kind = day // 7 % 3
    if kind == 0:
        who, said, files = _agent(CLEO, "shop", f"web-{day}", role="web", region=region)
    elif kind == 1:
        who, said, files = _agent(DAN, "edge", f"gw-{day}", role="gateway", region=region, site=f"site-{day}")
    else:
        who, said, files = _agent(EVE, "games", f"arena-{day}", role="arena", region=region)
    scribe.commit(who, said, files)


def _agent(who: Person, owner: str, name: str, **labels: str) -> Work:
    return who, f"{owner.capitalize()}: host {name}", {f"tenants/{owner}/agents/{name}.yaml": m.agent(owner, name, **labels)}


def _version(scribe: Scribe, day: int) -> None:
    path = "library/exporter.yaml" if day % 2 else "tenants/games/components/arena.yaml"
    text = scribe.main.files[path]
    assert isinstance(text, str)
    said = f"Node exporter 1.8.{day}" if day % 2 else f"Games: arena 4.{day}"
    url = re.sub(r"/[0-9.]+/linux", f"/{'1.8' if day % 2 else '4'}.{day}/linux", text)
    changed = re.sub(r'sha256: "[0-9a-f]+"', f'sha256: "{m.digest(said)}"', url)
    scribe.commit(BEN if day % 2 else EVE, said, {path: changed})
