"""A real agent, as a unit of a real systemd, held to services and processes by a real control plane."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.installation import Installation, until
from tests.systemd_machine import Machine, booted

pytestmark = [pytest.mark.slow, pytest.mark.needs("systemd", "opa"), pytest.mark.timeout(900)]

PATIENCE = 120.0
UNIT = """\
    - name: web.service
      unit: |
        [Service]
        ExecStart=/usr/bin/sleep 1000
        ExecReload=/bin/kill -CONT $MAINPID
        User=nobody
        {more}
        [Install]
        WantedBy=multi-user.target
      state: running
      enabled: true
      restartOn: [/etc/shop/web.conf]
      reloadOn: [/etc/shop/routes]
"""
TIMER = """\
    - name: tidy.service
      unit: |
        [Service]
        Type=oneshot
        User=nobody
        ExecStart=/usr/bin/true
      timer: |
        [Timer]
        OnCalendar=daily
        [Install]
        WantedBy=timers.target
      state: running
      enabled: true
"""
COMPONENT = """\
apiVersion: ordain.dev/v1
kind: Component
metadata: {{name: web, tenant: shop}}
spec:
  files:
    - {{path: /etc/shop/web.conf, content: "listen {port}\\n"}}
    - {{path: /etc/shop/routes, content: "{routes}\\n"}}
  services:
{units}
  processes:
    - {{name: worker, command: [/usr/bin/sleep, "2000"], user: nobody, backOff: 1s, after: [service/web.service]}}
"""
FILES = {
    "ordain.yaml": "apiVersion: ordain.dev/v1\nkind: Repository\nmetadata: {name: hosts}\nspec: {format: 1, rules: {}}\n",
    "tenants/shop/tenant.yaml": "apiVersion: ordain.dev/v1\nkind: Tenant\nmetadata: {name: shop}\nspec: {description: A shop}\n",
    "tenants/shop/web-01.yaml": (
        "apiVersion: ordain.dev/v1\nkind: Agent\nmetadata: {name: web-01, tenant: shop, labels: {role: web}}\nspec: {}\n"
    ),
    "tenants/shop/fleet.yaml": (
        "apiVersion: ordain.dev/v1\nkind: Fleet\nmetadata: {name: web, tenant: shop}\n"
        "spec: {selector: {matchLabels: {role: web}}, components: [{name: web}]}\n"
    ),
}


def component(*, port: int = 80, routes: str = "/", units: str = UNIT.format(more="Nice=1") + TIMER) -> dict[str, str | None]:
    return {"tenants/shop/web.yaml": COMPONENT.format(port=port, routes=routes, units=units.rstrip("\n"))}


class Shop:
    """A control plane here and one agent in there, which is the unit `ordain-agent.service`."""

    def __init__(self, made: Installation, machine: Machine) -> None:
        self.made, self.machine = made, machine

    def start_agent(self) -> None:
        trust = self.machine.shared / "root.json"
        trust.write_bytes((self.made.state / "trust" / "shop.root.json").read_bytes())
        command = self.made.agent_command("web-01", "--poll", "1")
        agent = command[: command.index("--root")]
        agent[agent.index("--root-metadata") + 1] = str(trust)
        self.machine.run("systemd-run", "--quiet", "--unit=ordain-agent", *agent, "--poll", "1")

    def property(self, unit: str, name: str) -> str:
        return self.machine.run("systemctl", "show", f"--property={name}", "--value", unit).strip()

    def log(self) -> str:
        return self.machine.run("journalctl", "--unit=ordain-agent", "--output=cat", "--no-pager")

    def settles(self, changes: dict[str, str | None]) -> None:
        """Commit, and wait until the agent has applied that."""
        serial = int(self.log().rpartition(" serial=")[2].split()[0])
        self.made.examined(self.made.commit(changes))
        self.until("applied", lambda: any(" applied " in line and f" serial={serial + 1}" in line for line in self.log().splitlines()))

    def until(self, what: str, holds: Callable[[], bool]) -> None:
        try:
            until(what, holds, patience=PATIENCE)
        except AssertionError as error:
            raise AssertionError(self.log()) from error


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    made = Installation(tmp_path_factory.mktemp("shop"))
    here = {Path(__file__).resolve().parents[2], Path(sys.prefix), Path(sys.base_prefix)}
    with booted(seen=sorted(here), network=True) as machine:
        try:
            head = made.commit(FILES | component())
            made.up()
            made.examined(head)
            one = Shop(made, machine)
            one.start_agent()
            one.until("applied", lambda: " applied " in one.log())
            yield one
        finally:
            made.stop()


def test_what_a_release_brings_is_started_and_enabled_in_its_order(shop: Shop) -> None:
    assert [shop.property(unit, "ActiveState") for unit in ("web.service", "tidy.timer", "ordain-process-worker.service")] == ["active"] * 3
    assert [shop.property(unit, "UnitFileState") for unit in ("web.service", "tidy.timer")] == ["enabled", "enabled"]
    assert shop.log().index("service/web.service") < shop.log().index("process/worker")


def test_a_change_restarts_or_reloads_just_what_reads_it(shop: Shop) -> None:
    web, worker = shop.property("web.service", "MainPID"), shop.property("ordain-process-worker.service", "MainPID")
    shop.settles(component(routes="/more"))
    assert shop.property("web.service", "MainPID") == web
    assert 'why="reload: /etc/shop/routes changed"' in shop.log()
    shop.settles(component(routes="/more", port=81))
    assert shop.property("web.service", "MainPID") != web
    assert shop.property("ordain-process-worker.service", "MainPID") == worker
    assert shop.log().count('why="restart: /etc/shop/web.conf changed"') == 1


def test_an_agent_that_is_killed_and_started_again_touches_nothing_that_runs(shop: Shop) -> None:
    pids = [shop.property(unit, "MainPID") for unit in ("web.service", "ordain-process-worker.service")]
    shop.machine.run("systemctl", "kill", "--signal=KILL", "ordain-agent.service")
    shop.until("ended", lambda: shop.property("ordain-agent.service", "ActiveState") not in ("active", "deactivating"))
    shop.machine.run("systemctl", "reset-failed")
    shop.start_agent()
    shop.settles(component(routes="/another", port=81))
    assert [shop.property(unit, "MainPID") for unit in ("web.service", "ordain-process-worker.service")] == pids


def test_what_is_killed_or_stopped_by_hand_runs_again(shop: Shop) -> None:
    before = shop.property("ordain-process-worker.service", "MainPID")
    shop.machine.run("systemctl", "stop", "web.service")
    shop.machine.run("systemctl", "kill", "--signal=KILL", "ordain-process-worker.service")
    shop.until("healed", lambda: shop.property("web.service", "ActiveState") == "active")
    shop.until("healed", lambda: shop.property("ordain-process-worker.service", "MainPID") not in ("0", before))


def test_a_unit_that_systemd_would_not_take_changes_nothing(shop: Shop) -> None:
    web = shop.property("web.service", "MainPID")
    shop.made.commit(component(units=UNIT.format(more="Nize=1") + TIMER))
    shop.until("refused", lambda: "/etc/systemd/system/web.service:5: Unknown key 'Nize' in section [Service]" in shop.log())
    assert shop.property("web.service", "MainPID") == web
    assert "Nice=1" in (shop.machine.root / "etc/systemd/system/web.service").read_text()


def test_a_unit_that_leaves_the_release_is_stopped_and_gone(shop: Shop) -> None:
    shop.settles(component(units=UNIT.format(more="Nice=1")))
    assert shop.property("tidy.timer", "LoadState") == "not-found"
    assert not list((shop.machine.root / "etc/systemd/system").glob("**/tidy.*"))
    assert shop.property("web.service", "ActiveState") == "active"
