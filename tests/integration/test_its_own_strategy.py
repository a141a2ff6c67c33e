"""A release goes out as its own commit says: what says how is there first, and is read last."""

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from agent.protocol import faults
from agent.protocol.rollout import Release
from reconciler.control.loop import ControlSettings, run
from reconciler.publication import controls, layout
from reconciler.publication.published import read_published
from reconciler.publication.store import CONTROL_PREFIXES, LocalStore, Scoped
from reconciler.publication.trust import read_trust
from tests.acceptance_cases import agent, component, fleet, repository
from tests.e2e.installation import Installation, until
from tests.pipeline_cases import following
from tests.publication_cases import Zone, make_zone

TIMESTAMP = layout.metadata("shop", "web", "timestamp.json")
MOTD, WEB = "tenants/shop/components/motd.yaml", "tenants/shop/fleets/web.yaml"


@pytest.mark.needs("opa", "git")
def test_what_says_how_releases_go_out_is_in_the_store_before_them(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    installation.commit(repository())
    approved = installation.state / "store/approved/shop"
    with following(installation) as loop:

        def written(files: dict[str, str]) -> tuple[int, int]:
            sha = installation.commit(files)
            until("examined", lambda: loop.progress.examined == sha and loop.progress.ready)
            newest = max((approved / "web").glob("*.releases.json"), key=lambda file: int(file.name.split(".")[0]))
            return (approved / "controls.json").stat().st_mtime_ns, newest.stat().st_mtime_ns

        slow = fleet("web", "motd", role="web") + '  rollout: {waves: [{name: all, limit: "100%", approval: required}]}\n'
        how, release = written({WEB: slow, MOTD: component("motd", "/etc/motd", "two")})
        assert how < release
        how, release = written({"tenants/shop/agents/web-03.yaml": agent("web-03", role="web")})
        assert release < how, "hosts wait for releases, and not for what says nothing about them"


@pytest.mark.needs("opa", "git")
def test_controls_say_of_which_fleets_a_release_comes_after_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installation = Installation(tmp_path)
    files = {**repository(), "tenants/shop/fleets/db.yaml": fleet("db", "db-motd", role="db")}
    files["tenants/shop/components/db-motd.yaml"] = component("db-motd", "/etc/db-motd", "one")
    installation.commit(files)
    store = LocalStore(installation.state / "store")
    seen: list[list[str]] = []

    def look(place: str) -> None:
        if place == "approve:after-controls":
            trust = read_trust(store, "shop")
            assert trust is not None
            written = controls.read(store.get(layout.controls("shop")) or b"", trust.keys("releases"), tenant="shop")
            seen.append(sorted(name for name, one in written.fleets.items() if one.coming))

    with following(installation) as loop:

        def written(files: dict[str, str]) -> list[list[str]]:
            seen.clear()
            sha = installation.commit(files)
            until("examined", lambda: loop.progress.examined == sha and loop.progress.ready)
            return list(seen)

        monkeypatch.setattr(faults, "reached", look)
        waits = '  rollout: {waves: [{name: all, limit: "100%", approval: required}]}\n'
        web, other = fleet("web", "motd", role="web"), fleet("db", "db-motd", role="db")
        assert written({WEB: web + waits, MOTD: component("motd", "/etc/motd", "two")}) == [["web"]]
        assert written({"tenants/shop/fleets/db.yaml": other + waits}) == [[]]
        assert written({MOTD: component("motd", "/etc/motd", "three")}) == []
        assert written({WEB: web, MOTD: component("motd", "/etc/motd", "two")}) == [["web"]]
        out = {"tenants/shop/agents/web-01.yaml": agent("web-01", role="other")}
        assert written({WEB: web + waits, **out}) == [["web"]], "for other hosts it is another release too"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overtaken(Scoped):
    """A store in which something happens while a fleet's releases are about to be read; it keeps which timestamps were written."""

    meanwhile: deque[Callable[[], object]] = field(default_factory=deque)
    timestamps: deque[bytes] = field(default_factory=deque)

    def list(self, prefix: str, *, deep: bool = True) -> Iterator[str]:
        """Yield keys, after what happens meanwhile."""
        if prefix == layout.approved("shop", "web") and self.meanwhile:
            self.meanwhile.pop()()
        return Scoped.list(self, prefix, deep=deep)

    def replace(self, key: str, data: bytes, version: str | None) -> bool:
        """Put data, and keep it where it is a timestamp of the fleet."""
        if key == TIMESTAMP:
            self.timestamps.append(data)
        return Scoped.replace(self, key, data, version)

    def lives(self) -> Sequence[timedelta]:
        """Return for how long the timestamps are believed that were written."""
        signed = [json.loads(data)["signed"] for data in self.timestamps]
        return [datetime.fromisoformat(one["expires"]) - datetime.fromisoformat(one["x-signed-at"]) for one in signed]


@contextmanager
def publishing(zone: Zone, store: Overtaken) -> Iterator[None]:
    """Publish in a thread as long as the block lasts."""
    stop = threading.Event()
    settings = ControlSettings(store=store, keys=zone.rings.control, holder="one", poll=0.2)
    thread = threading.Thread(target=run, args=(settings, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_release_that_comes_with_newer_controls_is_not_published_by_older_ones(tmp_path: Path) -> None:
    zone = make_zone(tmp_path)
    zone.write_controls(freshness=timedelta(days=1))
    zone.approve("one")
    store = Overtaken(inner=zone.store, write=CONTROL_PREFIXES)
    wanted: list[Release] = []

    def both() -> None:
        zone.write_controls(freshness=timedelta(hours=2))
        wanted.append(zone.approve("two").release)

    def stable() -> Release | None:
        published = read_published(zone.store, "shop", "web")
        return published.document.stable if published else None

    with publishing(zone, store):
        until("one is published", lambda: stable() is not None)
        before = len(store.timestamps)
        store.meanwhile.append(both)
        zone.approve("another, so that somebody looks")
        until("two is published", lambda: bool(wanted) and stable() == wanted[0])
    assert set(store.lives()[before:]) == {timedelta(hours=2)}
