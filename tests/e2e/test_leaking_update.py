"""An update that takes more of the processor than the one before: its canary measures it, and it is taken back by itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance_cases import REPOSITORY, agent, component, fleet, repository
from tests.e2e.enrolled import Site
from tests.e2e.installation import until

pytestmark = [pytest.mark.needs("opa", "git"), pytest.mark.timeout(900), pytest.mark.slow]
LENIENT = REPOSITORY + "  rules:\n    host-safety/root-processes: {level: audit}\n"
COMPONENT = "tenants/shop/components/worker.yaml"
HOSTS = ("web-01", "web-02")
STRATEGY = """\
  rollout:
    waves:
      - {name: canary, matchLabels: {canary: "true"}, soak: 1m}
      - {name: rest, limit: 100%, soak: 0s}
    health: {successThreshold: 100%, quorum: 100%, regressions: {cpu: 100%}}
"""
LONGEST = 300.0
"""Seconds: agents measure half a minute after a switch, and tell it with their next report."""


def worker(milliseconds: int) -> str:
    """Return a component with a process that works for so long each second."""
    spin = f"end = time.process_time() + {milliseconds / 1000}\\n    while time.process_time() < end: pass"
    work = f"import time\\nwhile True:\\n    {spin}\\n    time.sleep(1)"
    return (
        component("worker", "/etc/worker.conf") + f'  processes:\n    - {{name: worker, command: [/usr/bin/env, python3, -c, "{work}"]}}\n'
    )


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.stop()
    for host in HOSTS:
        made.end_processes(host)


def test_an_update_that_leaks_processor_time_is_taken_back_and_reaches_nobody_but_the_canary(site: Site) -> None:
    canary = agent("web-01", role="web", canary="true")
    changed = {"ordain.yaml": LENIENT, COMPONENT: worker(5), "tenants/shop/agents/web-01.yaml": canary}
    good = site.commit(repository() | changed | {"tenants/shop/fleets/web.yaml": fleet("web", "worker", role="web") + STRATEGY})
    site.up()
    site.examined(good)
    for host in HOSTS:
        site.join(host)
    until("both run it", lambda: site.commits(HOSTS) == dict.fromkeys(HOSTS, good), log=site.log)
    bad = site.commit({COMPONENT: worker(300)})
    until("the canary has the update", lambda: site.commits(HOSTS).get("web-01") == bad, log=site.agent_log("web-01"))
    until("it is taken back", lambda: site.rollout()["phase"] == "stopped", patience=LONGEST, log=site.log)
    stopped = site.rollout()
    assert any("cpu grew from" in one["why"] for one in stopped["events"])
    until("all run what they ran", lambda: site.commits(HOSTS) == dict.fromkeys(HOSTS, good), log=site.agent_log("web-01"))
    assert stopped["refused"] in site.agent_log("web-01").read_text()
    assert stopped["refused"] not in site.agent_log("web-02").read_text()
