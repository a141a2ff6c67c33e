"""A release that cuts a host off from its server, by a real firewall: the host goes back by itself, and tells once it can."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.control.registry import receipts
from reconciler.control.registry.registry import Registry
from tests import namespaces
from tests.acceptance_cases import repository
from tests.e2e.installation import BIN, PATIENCE, Installation, until
from tests.namespaces import Namespace

pytestmark = [pytest.mark.needs("opa", "git", "netns"), pytest.mark.timeout(600), pytest.mark.slow]
COMPONENT = "tenants/shop/components/motd.yaml"
OPEN = "*filter\\n:OUTPUT ACCEPT [0:0]\\nCOMMIT\\n"
SHUT = "*filter\\n:OUTPUT ACCEPT [0:0]\\n-A OUTPUT -p tcp -j DROP\\nCOMMIT\\n"
PROGRAM = shutil.which("iptables-restore")
LONGEST = 240.0
"""Seconds: the time that the host is given, and three attempts to connect."""


class Site(Installation):
    """An installation, and a host in a network of its own."""

    def __init__(self, directory: Path, network: Namespace) -> None:
        super().__init__(directory)
        self.network = network
        self.listen = f"{network.here}:8420"
        allowed = f"  rules:\n    host-safety/actions: {{level: deny, parameters: {{allow: [{PROGRAM}]}}}}\n"
        manifests = repository()
        self.commit({**manifests, "ordain.yaml": manifests["ordain.yaml"] + allowed, COMPONENT: self.wall(OPEN)})

    def wall(self, rules: str) -> str:
        """Return a component that holds the host's firewall to some rules."""
        file = self.root("web-01") / "etc/wall"
        return (
            "apiVersion: ordain.dev/v1\nkind: Component\nmetadata: {name: motd, tenant: shop, labels: {owner: ops}}\n"
            f'spec:\n  description: The firewall.\n  files:\n    - {{path: /etc/wall, content: "{rules}"}}\n'
            f"  actions:\n    - {{name: wall, on: [/etc/wall], run: [{PROGRAM}, {file}]}}\n"
        )

    def enrol(self) -> None:
        """Enrol the host from within its network, and give it ten seconds to reach its server after a switch."""
        said = ["--state", str(self.state), "--tenant", "shop", "--agent", "web-01", "--ttl", "1h", "--format", "json"]
        made = subprocess.run([BIN / "ordain", "token", "create", *said], capture_output=True, text=True, timeout=PATIENCE, check=True)
        root, token = self.root("web-01"), json.loads(made.stdout)["token"]
        (root / "etc/ordain").mkdir(parents=True)
        (root / "etc/ordain/agent.toml").write_text('[confirm]\nwithin = "10s"\n')
        command = ["enroll", "--server", f"https://{self.listen}", "--token", token, "--root", str(root)]
        done = subprocess.run(self.agent(*command), capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stderr

    def agent(self, *arguments: str) -> list[str]:
        """Return the command line of a command on the host."""
        return self.network.within(str(BIN / "ordain-agent"), *arguments, "--state", str(self.hosts / "web-01" / "state"))

    def run_agent(self) -> "subprocess.Popen[bytes]":
        """Start the host's agent."""
        with self.agent_log.open("ab") as log:
            process = subprocess.Popen(self.agent("run", "--poll", "2"), stderr=log, env=os.environ)
        self.agents.append(process)
        return process

    @property
    def agent_log(self) -> Path:
        """What the agent said."""
        return self.hosts / "web-01.log"

    def rules(self) -> str:
        """Return the rules that hold in the host's kernel."""
        done = subprocess.run(self.network.within("iptables", "-S", "OUTPUT"), check=True, capture_output=True, text=True)
        return done.stdout


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with namespaces.namespace() as network:
        made = Site(tmp_path, network)
        try:
            yield made
        finally:
            made.stop()


def told(site: Site) -> list[str]:
    registry = Registry.open(f"sqlite:///{site.state}/registry.db")
    try:
        with registry.read() as connection:
            found = receipts.listed(connection, receipts.Filter(tenant="shop", agent="web-01")).items
            return [one.signed.receipt.result for one in found]
    finally:
        registry.close()


def test_a_host_that_a_release_cuts_off_goes_back_even_if_its_agent_is_killed_meanwhile(site: Site) -> None:
    site.up()
    site.examined(site.git("rev-parse", "HEAD"))
    site.enrol()
    agent = site.run_agent()
    until("the first release is told", lambda: told(site) == ["applied"], log=site.agent_log)
    site.commit({COMPONENT: site.wall(SHUT)})
    until("the host is cut off", lambda: "DROP" in site.rules(), log=site.agent_log)
    agent.send_signal(signal.SIGKILL)
    agent.wait(PATIENCE)
    site.run_agent()
    until("the host has gone back", lambda: "DROP" not in site.rules(), patience=LONGEST, log=site.agent_log)
    until("its server knows", lambda: "restored" in told(site), patience=LONGEST, log=site.agent_log)
    status = site.agent_status("web-01")["fleets"][0]
    assert status["result"] in ("restored", "applied"), status  # applied once the server itself has taken the release back
    assert "DROP" not in (site.content("web-01", "/etc/wall") or "")
