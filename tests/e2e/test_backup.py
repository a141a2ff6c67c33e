"""An installation that loses its registry, or its whole disk, under agents that run and have seen more than the backup has."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from reconciler.cli import cli
from tests import postgresql_server
from tests.acceptance_cases import component, fleet, repository
from tests.e2e.enrolled import Site
from tests.e2e.installation import until

pytestmark = [pytest.mark.slow, pytest.mark.needs("opa", "git"), pytest.mark.timeout(600)]
MOTD = "tenants/shop/components/motd.yaml"
AT_ONCE = "  rollout: {waves: [{name: all, limit: 100%, soak: 0s}]}\n"
FILES = repository() | {"tenants/shop/fleets/web.yaml": fleet("web", "motd", role="web") + AT_ONCE}
FIRST, LATER = "web-01", "web-02"


class Inventoried(Site):
    """A site, and what its registry knows of its hosts."""

    def listed(self) -> list[dict[str, Any]]:
        """Return the agents that the registry knows."""
        found: list[dict[str, Any]] = self.operator("agents", "list", "--tenant", "shop")["agents"]
        return found

    def inventory(self) -> list[tuple[object, ...]]:
        """Return of each agent what git and agents alone can say."""
        return [tuple(one[name] for name in ("tenant", "agent", "state", "fleets", "labels")) for one in self.listed()]

    def move(self, source: str, target: str) -> None:
        """Move the registry while nobody serves, and go on with it there."""
        self.down()
        done = CliRunner().invoke(cli, ["registry", "migrate", "--from", source, "--to", target], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        self.settings = self.state.parent / "settings.toml"
        self.settings.write_text(f'[registry]\nurl = "{target}"\n')
        self.up()

    def reported(self, *names: str) -> bool:
        """Return whether these agents have been heard of since the registry was made, and know what they run."""
        heard = {one["agent"]: one for one in self.listed() if one["lastSeen"]}
        return heard.keys() >= set(names)


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Inventoried]:
    made = Inventoried(tmp_path)
    yield made
    made.stop()


def motd(text: str) -> dict[str, str | None]:
    return {MOTD: component("motd", "/etc/motd", text)}


def test_a_registry_and_then_a_whole_disk_are_lost_and_agents_go_on(installation: Inventoried, tmp_path: Path) -> None:
    installation.commit(FILES | motd("one"))
    installation.up()
    until("it is published", lambda: installation.status()["ready"], log=installation.log)
    installation.join(FIRST)
    installation.reaches("one", FIRST)
    until("it is heard of", lambda: installation.reported(FIRST), log=installation.log)
    before = installation.inventory()

    installation.down()
    for file in installation.state.glob("registry.db*"):
        file.unlink()
    installation.up()
    until("it is heard of again", lambda: installation.reported(FIRST), log=installation.log)
    assert installation.inventory() == before, "agents and git are enough to make the registry again"

    backup = tmp_path / "backup.tar.zst"
    assert "registry: in it; store: whole" in installation.typed("backup", backup)
    installation.join(LATER)
    installation.commit(motd("two"))
    installation.reaches("two", FIRST, LATER)
    kept = installation.status()["fleets"]
    installation.kill()
    assert "versions go on far above" in installation.typed("restore", backup, "--aside")
    installation.up()
    installation.commit(motd("three"))
    installation.reaches("three", FIRST, LATER)
    until("both are heard of", lambda: installation.reported(FIRST, LATER), log=installation.log)
    assert [one["agent"] for one in installation.listed()] == [FIRST, LATER], "who enrolled after the backup is taken in"
    serial = {one["name"]: one["serial"] for one in kept}
    assert all(one["serial"] > serial[one["name"]] + 1_000_000 for one in installation.status()["fleets"])
    entries = installation.operator("audit", "operations", "--tenant", "shop")["entries"]
    assert "registry.restored" in [one["action"] for one in entries]


@pytest.mark.needs("postgresql")
def test_a_registry_goes_to_postgresql_and_back_and_agents_that_run_notice_nothing(installation: Inventoried, tmp_path: Path) -> None:
    installation.commit(FILES | motd("one"))
    installation.up()
    until("it is published", lambda: installation.status()["ready"], log=installation.log)
    installation.join(FIRST)
    installation.reaches("one", FIRST)
    until("it is heard of", lambda: installation.reported(FIRST), log=installation.log)
    before = installation.inventory()
    sqlite, other = f"sqlite:///{installation.state}/registry.db", f"sqlite:///{tmp_path}/back.db"
    with postgresql_server.running() as database:
        url = database.url(database.database())
        for said, source, target in (("two", sqlite, url), ("three", url, other)):
            installation.move(source, target)
            assert installation.inventory() == before
            installation.commit(motd(said))
            installation.reaches(said, FIRST)
            until("its receipt is there", lambda: installation.standing(f"shop/{FIRST}") == ["applied"], log=installation.log)
        actions = [one["action"] for one in installation.operator("audit", "operations", "--tenant", "shop")["entries"]]
        assert actions.count("agents.enrol") == 1, "nobody had to enrol again"
        installation.down()
