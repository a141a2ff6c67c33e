"""`kill -9` at named places of each process: what follows converges, and no host ever holds a mix.

Places beside `OFTEN` are slow ones, for `make test-faults`; the campaign of `make test` kills at random ones of all.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.acceptance_cases import component, fleet, repository
from tests.e2e.installation import Installation, until

pytestmark = [pytest.mark.needs("opa", "git"), pytest.mark.timeout(600)]
PATHS = ("/etc/motd", "/etc/more")
PIPELINE = ("pipeline:after-objects", "pipeline:after-record", "pipeline:after-accepted", "approve:after-bundle", "approve:after-releases")
CONTROL = (
    "publish:after-targets",
    "publish:after-document",
    "publish:after-rollouts",
    "publish:before-timestamp",
    "publish:after-timestamp",
)
AGENT = ("agent:after-stage", "agent:after-journal", "agent:mid-switch", "agent:before-commit", "agent:after-commit")

OFTEN = {"pipeline:after-record", "approve:after-bundle", "publish:after-targets", "publish:before-timestamp", "agent:mid-switch"}


def places(names: Iterable[str]) -> list[object]:
    """Return places as parameters, those that are seldom tried marked."""
    return [name if name in OFTEN else pytest.param(name, marks=pytest.mark.slow) for name in names]


def files(word: str) -> dict[str, str]:
    """Return a fleet whose two files must always say the same word."""
    return repository() | {
        "tenants/shop/components/motd.yaml": component("motd", PATHS[0], word),
        "tenants/shop/components/more.yaml": component("more", PATHS[1], word),
        "tenants/shop/fleets/web.yaml": fleet("web", "motd}, {name: more", role="web"),
    }


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path)
    yield made
    made.stop()


def held(installation: Installation) -> tuple[str | None, ...]:
    return tuple(installation.content("web-01", path) for path in PATHS)


@pytest.mark.parametrize("place", places([*PIPELINE, *CONTROL]))
def test_a_control_plane_killed_at_this_place_converges(installation: Installation, place: str) -> None:
    head = installation.commit(files("old"))
    installation.up()
    installation.examined(head)
    assert installation.once("web-01").returncode == 0
    installation.kill()
    head = installation.commit(files("new"))
    installation.up(fault=place)
    installation.killed()
    installation.up()
    assert installation.once("web-01").returncode == 0, "a killed control plane left a repository that an agent can't read"
    assert held(installation) in {("old", "old"), ("new", "new")}
    installation.examined(head)
    assert installation.once("web-01").returncode == 0
    assert held(installation) == ("new", "new")


@pytest.mark.parametrize("place", places(AGENT))
def test_an_agent_killed_at_this_place_holds_the_old_or_the_new(installation: Installation, place: str) -> None:
    head = installation.commit(files("old"))
    installation.up()
    installation.examined(head)
    assert installation.once("web-01").returncode == 0
    head = installation.commit(files("new"))
    installation.examined(head)
    assert installation.once("web-01", fault=place).returncode == -9
    installation.down()
    installation.once("web-01")
    assert held(installation) in {("old", "old"), ("new", "new")}, "recovery without a server left a mix"
    installation.up()
    until("published", lambda: installation.answers("/readyz"))
    assert installation.once("web-01").returncode == 0
    assert held(installation) == ("new", "new")
