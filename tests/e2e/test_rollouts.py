"""Releases that hurt, with real processes: what a rollout makes of them by itself, and what is seen at night.

`make test-rollouts` runs all of it, with those that have files of their own.
"""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance_cases import component
from tests.balancer import balancing
from tests.e2e.enrolled import Site
from tests.e2e.installation import until
from tests.e2e.rollout_steps import CANARY, REST, fleet_of, release, settled, strategy, taken_back

pytestmark = [pytest.mark.needs("opa", "git"), pytest.mark.timeout(600)]
CANARIES = {"web-01": {"canary": "true"}}
ISSUE = "tenants/lab/components/issue.yaml"
NEVER = "{name: beat, file: /run/beat, maxAge: 1h, failures: 1}"
"""A probe of a file that nobody writes."""
LONGEST = 180.0
"""Seconds: for what waits for silence, and for agents that come back after they failed to reach their server."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.stop()


def begun(site: Site, files: dict[str, str]) -> str:
    """Start with a release that works; return its commit. Where no host enrolled yet, it is stable at once."""
    good = site.commit(files | release("good"))
    site.up()
    site.examined(good)
    return good


@pytest.mark.xdist_group("site")
def test_a_release_that_never_becomes_healthy_is_taken_back(shared_site: Site) -> None:
    site, fleet = shared_site, "lab/lab"
    done = site.enroll("box", site.token("box", tenant="lab"))
    assert done.returncode == 0, done.stderr
    site.start_enrolled("box")
    until("its server knows that it runs what it should", lambda: site.standing("lab/box") == ["applied"], log=site.agent_log("box"))
    bad = site.commit({ISSUE: component("issue", "/etc/issue", "bad", owner="lab") + f"  probes:\n    - {NEVER}\n"})
    shown = taken_back(site, bad, fleet)
    assert "lab/lab: TAKEN BACK since" in shown
    assert "why: 1 of 1 hosts of this wave failed (box), more than 5 % may" in shown
    assert "probe beat: there is no file /run/beat" in shown
    assert site.typed("rollout", "wait", fleet, "--commit", bad, code=1) == ""
    until("it tells that it runs what it ran", lambda: site.standing("lab/box") == ["applied"], log=site.agent_log("box"))
    site.reaches("hello", "box", path="/etc/issue")
    until("its word is known", lambda: "taken back by the host at" in site.typed("why", "lab/box:/etc/issue"), log=site.log)
    assert "for some hosts, and taken back at" in site.typed("why", "lab/box:/etc/issue")


@pytest.mark.slow  # its time runs out
def test_a_release_whose_probes_never_come_to_an_end_is_taken_back_when_its_time_is_over(site: Site) -> None:
    timed = strategy(health="{successThreshold: 100%, quorum: 100%, reportTimeout: 20s}")
    good = begun(site, fleet_of(CANARIES | {"web-02": {}}, timed))
    site.join("web-01")
    settled(site, good, "web-01")
    bad = site.commit(release("bad", NEVER.replace("failures: 1", "grace: 1h")))
    said = ["probe beat: there is no file /run/beat"]
    until("it is seen what is waited for", lambda: [one["why"] for one in site.rollout()["pending"]] == said, log=site.log)
    until("it is taken back", lambda: site.rollout()["phase"] == "stopped", log=site.log)
    assert "1 of 1 hosts of this wave failed (web-01 late)" in taken_back(site, bad)
    until("it runs what it ran", lambda: site.commits(["web-01"]) == {"web-01": good}, log=site.agent_log("web-01"))


@pytest.mark.slow  # an agent is started five times
def test_a_release_that_kills_the_agent_is_taken_back_by_its_host_and_then_everywhere(site: Site) -> None:
    good = begun(site, fleet_of(CANARIES | {"web-02": {}}))
    processes = {host: site.join(host) for host in ("web-01", "web-02")}
    settled(site, good, "web-01", "web-02")
    bad = site.commit(release("bad", '{name: deadly, command: [/bin/sh, -c, "kill -9 $PPID"]}'))
    deaths = 0

    def stopped() -> bool:
        nonlocal deaths
        if processes["web-01"].poll() is not None:  # as systemd would
            deaths += 1
            processes["web-01"] = site.start_enrolled("web-01")
        return bool(site.rollout()["phase"] == "stopped")

    until("it is taken back", stopped, patience=LONGEST, log=site.agent_log("web-01"))
    shown = taken_back(site, bad)
    assert "the agent died 5 times since the switch" in shown
    assert deaths == 5
    until("it runs what it ran", lambda: site.commits(processes) == dict.fromkeys(processes, good), log=site.agent_log("web-01"))
    assert processes["web-01"].poll() is None
    until("its server knows", lambda: site.standing("shop/web-01") == ["applied"], log=site.log)
    assert site.rollout()["refused"] not in site.agent_log("web-02").read_text()


@pytest.mark.slow  # a silence is waited for
def test_a_release_that_silences_half_of_its_canaries_is_taken_back_and_they_follow_once_they_can(site: Site, tmp_path: Path) -> None:
    canaries = {f"web-0{number}": {"canary": "true", "rack": "ab"[number % 2]} for number in range(1, 5)}
    timed = strategy(CANARY, REST, health="{successThreshold: 90%, quorum: 100%, reportTimeout: 30s}")
    good = begun(site, fleet_of(canaries | {"web-05": {"rack": "a"}}, timed))
    processes = {host: site.join(host) for host in (*canaries, "web-05")}
    settled(site, good, *processes)
    once = f"{tmp_path}/${{agent.name}}"
    hangs = f"test ${{labels.rack}} = a -o -e {once} || {{ touch {once}; kill -STOP $PPID; }}"
    bad = site.commit(release("bad", f'{{name: hangs, command: [/bin/sh, -c, "{hangs}"]}}'))
    until("it is taken back", lambda: site.rollout()["phase"] == "stopped", patience=LONGEST, log=site.log)
    shown = taken_back(site, bad)
    assert "2 of 4 hosts of this wave failed (web-01 silent, web-03 silent)" in shown
    others = ("web-02", "web-04", "web-05")
    until("the others run what they ran", lambda: site.commits(others) == dict.fromkeys(others, good), log=site.agent_log("web-02"))
    for host in ("web-01", "web-03"):
        processes[host].send_signal(signal.SIGCONT)
    everybody = dict.fromkeys(processes, good)
    until("all run what they ran", lambda: site.commits(processes) == everybody, patience=LONGEST, log=site.agent_log("web-01"))


@pytest.mark.slow  # hosts that were cut off come back at times that are spread
def test_a_partition_holds_the_second_wave_until_it_is_healed(site: Site) -> None:
    hosts = CANARIES | {"web-02": {"rack": "b"}, "web-03": {"rack": "b"}, "web-04": {}}
    second = "{name: second, matchLabels: {rack: b}, soak: 0s}"
    good = begun(site, fleet_of(hosts, strategy(CANARY, second, REST)))
    with balancing([int(site.listen.rpartition(":")[2])]) as line:
        for host in hosts:
            site.join(host, server=f"https://127.0.0.1:{line.port}" if host == "web-02" else "")
        settled(site, good, *hosts)
        line.silent = True
        better = site.commit(release("better"))
        until("the other of the wave has it", lambda: site.commits(["web-03"]) == {"web-03": better}, log=site.agent_log("web-03"))
        until("its wave waits", lambda: "1 healthy, 1 not there yet" in site.typed("rollout", "show", "shop/web"), log=site.log)
        assert site.rollout()["wave"] == "second"
        assert (site.content("web-02", "/etc/motd"), site.content("web-04", "/etc/motd")) == ("good", "good")
        line.silent = False
        settled(site, better, *hosts)
    assert site.happened()[:6] == ["done", "proved", "admitted", "proved", "admitted", "proved"]
