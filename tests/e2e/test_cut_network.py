"""A release that cuts a host off from its server, by a real firewall: the host goes back by itself, and tells once it can."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.control.registry import receipts
from reconciler.control.registry.registry import Registry
from tests import namespaces
from tests.e2e.enrolled import Site
from tests.e2e.installation import until
from tests.e2e.rollout_steps import MOTD, fleet_of, taken_back
from tests.namespaces import Namespace

pytestmark = [pytest.mark.needs("opa", "git", "netns"), pytest.mark.timeout(600), pytest.mark.slow]
OPEN = "*filter\\n:OUTPUT ACCEPT [0:0]\\nCOMMIT\\n"
SHUT = "*filter\\n:OUTPUT ACCEPT [0:0]\\n-A OUTPUT -p tcp -j DROP\\nCOMMIT\\n"
PROGRAM = shutil.which("iptables-restore")
LONGEST = 240.0
"""Seconds: the time that the host is given, and three attempts to connect."""


class Walled(Site):
    """A site, and a host in a network of its own."""

    def __init__(self, directory: Path, network: Namespace) -> None:
        super().__init__(directory, listen=f"{network.here}:8420")
        self.network = network
        allowed = f"  rules:\n    host-safety/actions: {{level: deny, parameters: {{allow: [{PROGRAM}]}}}}\n"
        manifests = fleet_of({"web-01": {"canary": "true"}, "web-02": {}})
        self.commit({**manifests, "ordain.yaml": manifests["ordain.yaml"] + allowed, MOTD: self.wall(OPEN)})

    def wall(self, rules: str) -> str:
        """Return a component that holds the host's firewall to some rules."""
        file = self.root("web-01") / "etc/wall"
        return (
            "apiVersion: ordain.dev/v1\nkind: Component\nmetadata: {name: motd, tenant: shop, labels: {owner: ops}}\n"
            f'spec:\n  description: The firewall.\n  files:\n    - {{path: /etc/wall, content: "{rules}"}}\n'
            f"  actions:\n    - {{name: wall, on: [/etc/wall], run: [{PROGRAM}, {file}]}}\n"
        )

    def on_host(self, agent: str, *words: str) -> list[str]:
        """Return the command line of a command on a host, within its network."""
        return self.network.within(*super().on_host(agent, *words))

    def rules(self) -> str:
        """Return the rules that hold in the host's kernel."""
        done = subprocess.run(self.network.within("iptables", "-S", "OUTPUT"), check=True, capture_output=True, text=True)
        return done.stdout


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Walled]:
    with namespaces.namespace() as network:
        made = Walled(tmp_path, network)
        try:
            yield made
        finally:
            made.stop()


def told(site: Walled) -> list[str]:
    registry = Registry.open(f"sqlite:///{site.state}/registry.db")
    try:
        with registry.read() as connection:
            found = receipts.listed(connection, receipts.Filter(tenant="shop", agent="web-01")).items
            return [one.signed.receipt.result for one in found]
    finally:
        registry.close()


def test_a_host_that_a_release_cuts_off_goes_back_even_if_its_agent_is_killed_meanwhile(site: Walled) -> None:
    log = site.agent_log("web-01")
    site.up()
    site.examined(site.git("rev-parse", "HEAD"))
    site.configure("web-01", '[confirm]\nwithin = "10s"\n')
    site.join("web-01")
    until("the first release is told", lambda: told(site) == ["applied"], log=log)
    bad = site.commit({MOTD: site.wall(SHUT)})
    until("the host is cut off", lambda: "DROP" in site.rules(), log=log)
    site.cut_power("web-01")
    site.start_enrolled("web-01")
    until("the host has gone back", lambda: "DROP" not in site.rules(), patience=LONGEST, log=log)
    until("its server knows", lambda: "restored" in told(site), patience=LONGEST, log=log)
    assert "the server could not be reached" in taken_back(site, bad)
    until("it runs what it ran", lambda: site.standing("shop/web-01") == ["applied"], patience=LONGEST, log=log)
    assert "DROP" not in (site.content("web-01", "/etc/wall") or "")
    assert "DROP" not in site.rules()
