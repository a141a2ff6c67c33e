"""A site behind a relay, with real processes: its hosts go on while the server is away, and each report is kept once."""

import json
import os
import re
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.control.registry import agents, events, receipts
from reconciler.control.registry.registry import Registry
from tests.acceptance_cases import component, repository
from tests.e2e.installation import BIN, PATIENCE, Installation, until

pytestmark = [pytest.mark.slow, pytest.mark.needs("opa", "git"), pytest.mark.timeout(900)]
AGAIN = 240.0
"""Seconds for what comes back after an outage: hosts and the relay ask more seldom the longer it lasts."""
MOTD = "tenants/shop/components/motd.yaml"
RELAY = """\
apiVersion: ordain.dev/v1
kind: Agent
metadata: {name: site-01, tenant: shop, labels: {role: gateway}}
spec: {relay: {fleets: [web], names: [127.0.0.2]}}
"""


class Site(Installation):
    """An installation, the host of a relay, and a host behind it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.listen = f"127.0.0.1:{free.getsockname()[1]}"
        self.relay_log = directory / "relay.log"
        self.relay_state = directory / "relay"
        self.commit({**repository(), "tenants/shop/agents/site-01.yaml": RELAY})

    def ordain(self, *arguments: str) -> str:
        """Run a command; return what it prints."""
        done = subprocess.run([BIN / "ordain", *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def enrol(self, agent: str, server: str) -> None:
        """Enrol a host by a token of the server's, at whichever address."""
        said = ["--state", str(self.state), "--tenant", "shop", "--agent", agent, "--ttl", "1h", "--format", "json"]
        token = json.loads(self.ordain("token", "create", *said))["token"]
        place = self.root(agent)
        place.mkdir(parents=True, exist_ok=True)
        command = [BIN / "ordain-agent", "enroll", "--server", server, "--token", token]
        done = subprocess.run(
            [*command, "--state", self.hosts / agent / "state", "--root", place],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def run_agent(self, agent: str) -> None:
        """Start an enrolled agent, which needs nothing more to be told."""
        command = [str(BIN / "ordain-agent"), "run", "--state", str(self.hosts / agent / "state"), "--poll", "1"]
        with (self.hosts / f"{agent}.log").open("ab") as log:
            self.agents.append(subprocess.Popen(command, stderr=log))

    def relay(self) -> tuple[str, str]:
        """Start the relay; return where hosts and where metrics are."""
        begun = self.relay_log.stat().st_size if self.relay_log.exists() else 0
        identity = self.hosts / "site-01" / "state" / "identity"
        command = [str(BIN / "ordain"), "relay", "--identity", str(identity), "--state", str(self.relay_state), "--log-format", "json"]
        with self.relay_log.open("ab") as log:
            process = subprocess.Popen([*command, "--listen", "127.0.0.2:0", "--local", "127.0.0.1:0"], stderr=log, env=os.environ)
        self.agents.append(process)

        def said(what: str) -> str:
            found = re.search(rf"ordain: {what} at (\S+)", self.relay_log.read_text()[begun:])
            return found[1] if found else ""

        until("the relay answers", lambda: bool(said("hosts") and said("local")), log=self.relay_log)
        return said("hosts"), said("local")

    def metric(self, local: str, name: str) -> float:
        """Return a number that the relay says of itself, 0 where it says none."""
        with urllib.request.urlopen(f"{local}/metrics", timeout=PATIENCE) as answer:
            found = re.search(rf"^{re.escape(name)} (\S+)$", answer.read().decode(), re.MULTILINE)
        return float(found[1]) if found else 0.0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def registry(site: Site) -> Iterator[Registry]:
    made = Registry.open(f"sqlite:///{site.state}/registry.db")
    yield made
    made.close()


def kept(registry: Registry) -> list[tuple[str, int]]:
    with registry.read() as connection:
        return [
            (one.signed.receipt.digest, one.signed.receipt.serial)
            for one in receipts.listed(connection, receipts.Filter(tenant="shop", agent="web-01")).items
        ]


def told(registry: Registry) -> list[str]:
    with registry.read() as connection:
        return [one.kind for one in events.listed(connection, events.Filter(tenant="shop", agent="web-01")).items]


def test_a_site_goes_on_while_the_server_is_away_and_loses_no_report(site: Site, registry: Registry) -> None:
    site.up()
    site.examined(site.git("rev-parse", "HEAD"))
    site.enrol("site-01", f"https://{site.listen}")
    hosts, local = site.relay()
    until("the copy is there", lambda: site.metric(local, 'ordain_relay_version{fleet="web"}') > 0, log=site.relay_log)
    site.enrol("web-01", hosts)
    site.run_agent("web-01")
    until("the release is applied", lambda: site.content("web-01", "/etc/motd") == "hello", log=site.hosts / "web-01.log")
    until("the receipt is kept", lambda: len(kept(registry)) == 1, log=site.relay_log)
    with registry.read() as connection:
        assert agents.get(connection, "shop", "web-01") is not None

    site.kill()
    (site.root("web-01") / "etc" / "motd").write_text("changed by hand")
    until("it is put right", lambda: site.content("web-01", "/etc/motd") == "hello", log=site.hosts / "web-01.log")
    until("reports wait", lambda: site.metric(local, "ordain_relay_spool_bytes") > 0, log=site.relay_log)
    until("it is known why", lambda: site.metric(local, "ordain_relay_uplink_up") == 0, log=site.relay_log)
    before = site.agent_status("web-01")["lastContact"]
    until("hosts are answered", lambda: site.agent_status("web-01")["lastContact"] > before, patience=AGAIN)

    site.up()
    until(
        "reports are carried",
        lambda: site.metric(local, "ordain_relay_spool_bytes") == 0 and "repaired" in told(registry),
        patience=AGAIN,
        log=site.relay_log,
    )
    site.commit({MOTD: component("motd", "/etc/motd", "news")})
    until("news come through", lambda: site.content("web-01", "/etc/motd") == "news", patience=AGAIN, log=site.relay_log)
    until("its receipt too", lambda: len(kept(registry)) == 2, patience=AGAIN, log=site.relay_log)
    assert len(set(kept(registry))) == 2
    assert "reports-missing" not in told(registry)
    assert told(registry).count("repaired") == 1
    assert site.metric(local, 'ordain_relay_carried_total{outcome="dropped"}') == 0
