"""Every key of a tenant is changed under real processes, a frozen fleet among what they hold."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.publication.store import LocalStore
from reconciler.publication.trust import Trust, read_trust
from tests.acceptance_cases import agent, component, fleet, repository
from tests.e2e.installation import BIN, Installation, until

pytestmark = [pytest.mark.needs("opa", "git"), pytest.mark.timeout(600)]
MOTD = "tenants/shop/components/motd.yaml"
FILES = repository() | {
    "tenants/shop/agents/db-01.yaml": agent("db-01", role="db"),
    "tenants/shop/components/issue.yaml": component("issue", "/etc/issue"),
    "tenants/shop/fleets/db.yaml": fleet("db", "issue", role="db"),
}


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path)
    yield made
    made.stop()


def ordain(installation: Installation, *words: object) -> subprocess.CompletedProcess[str]:
    """Type `ordain keys …` on the machine that has everything."""
    return subprocess.run([BIN / "ordain", "keys", *map(str, words)], cwd=installation.state, check=False, capture_output=True, text=True)


def rotate(installation: Installation, *roles: str, zone: str) -> None:
    """Rotate one tenant's online keys, or the offline ones, which all tenants share."""
    named = () if zone == "offline" else ("--tenant", "shop")

    def asked() -> bool:
        imported = ("--store", "store", "--import", f"{zone}-public.json")
        done = ordain(installation, "rotate", *roles, *named, *imported, "--out", "request.json")
        return done.returncode == 0

    until(f"{roles} may be rotated", asked, log=installation.log)
    for words in (
        ("sign", "request.json", "--keys", "keys/offline", "--out", "signed.json"),
        ("import", "signed.json", "--store", "store"),
    ):
        done = ordain(installation, *words)
        assert done.returncode == 0, done.stderr


def following(installation: Installation, *roles: str, zone: str) -> None:
    nexts = [word for role in roles for word in ("--next", role)]
    named = () if zone == "offline" else ("--tenant", "shop")
    done = ordain(installation, "init", "--zone", zone, *named, "--keys", f"keys/{zone}", *nexts, "--out", f"{zone}-public.json")
    assert done.returncode == 0, done.stderr


def trust(installation: Installation) -> Trust:
    found = read_trust(LocalStore(installation.state / "store"), "shop")
    assert found is not None
    return found


def test_all_keys_are_rotated_while_agents_go_on_and_a_frozen_fleet_with_them(installation: Installation) -> None:
    installation.examined(_freeze_web(installation))
    first = trust(installation)
    following(installation, "releases", zone="pipeline")
    rotate(installation, "releases", zone="pipeline")
    rotate(installation, "releases", zone="pipeline")
    following(installation, "timestamp", "snapshot", "rollouts", zone="control")
    rotate(installation, "timestamp", "snapshot", "rollouts", zone="control")
    following(installation, "root-1", "root-2", "targets", zone="offline")
    rotate(installation, "root", "targets", zone="offline")
    last = trust(installation)
    assert not {*first.root.keys, *_delegated(first)} & ({*last.root.keys, *_delegated(last)} - set(first.root.roles["root"].keyids[2:]))
    for name in ("web-01", "db-01"):
        until(f"{name} follows", lambda name=name: installation.once(name).returncode == 0, log=installation.log)  # type: ignore[misc]
    assert (installation.content("web-01", "/etc/motd"), installation.content("db-01", "/etc/issue")) == ("hello", "hello")
    for zone in ("pipeline", "control", "offline"):
        named = () if zone == "offline" else ("--tenant", "shop")
        done = ordain(installation, "retire", "--zone", zone, *named, "--keys", f"keys/{zone}", "--store", "store")
        assert "retired" in done.stdout, done.stderr
    head = installation.commit({MOTD: component("motd", "/etc/motd", "mended")})
    installation.examined(head)
    assert installation.once("web-01").returncode == 0
    assert installation.content("web-01", "/etc/motd") == "mended"


def _freeze_web(installation: Installation) -> str:
    """Bring two fleets onto hosts, then have a bad commit freeze one of them; return its head."""
    installation.commit(FILES)
    installation.up()
    until("trust", (installation.state / "trust/shop.root.json").exists, log=installation.log)
    for name in ("web-01", "db-01"):
        until(f"{name} is served", lambda name=name: installation.once(name).returncode == 0, log=installation.log)  # type: ignore[misc]
    bad = installation.commit({MOTD: component("motd", "/etc/motd", "worse", mode="0666")})
    until("frozen", lambda: bool(installation.fleet("shop/web")["frozen"]), log=installation.log)
    return bad


def _delegated(found: Trust) -> set[str]:
    return {key.keyid for role in ("releases", "rollouts") for key in found.keys(role)}
