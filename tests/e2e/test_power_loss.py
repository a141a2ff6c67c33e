"""`kill -9` in each phase of a release's way onto an enrolled host and back, and of the server while a rollout goes on.

Whatever dies, a host holds the old or the new and never a mix, what hurts it is taken back, and no wave is left out.
"""

import itertools
import signal
from collections.abc import Iterable, Iterator, Mapping

import pytest

from tests.e2e.enrolled import Site
from tests.e2e.installation import until
from tests.e2e.rollout_steps import MOTD, fleet_of, release, settled, taken_back

pytestmark = [pytest.mark.needs("opa", "git"), pytest.mark.timeout(600), pytest.mark.slow, pytest.mark.xdist_group("power-loss")]
LENIENT = "  rules:\n    host-safety/root-processes: {level: audit}\n"
HOLDS = "{name: there, file: /etc/motd, maxAge: 90d, failures: 1}"
FAILS = "{name: beat, file: /run/beat, maxAge: 1h, failures: 1}"
PATHS = ("/etc/motd", "/etc/more")
HOSTS = ("web-01", "web-02")
LONGEST = 180.0
FORWARD = {
    "before": ["agent:after-follow", "agent:after-plan", "agent:after-stage", "healing:after-trial"],
    "in": ["agent:after-journal", "agent:before-close", "agent:mid-switch", "agent:mid-restore", "agent:before-commit"],
    "after": ["agent:after-commit", "agent:before-effect", "agent:after-effect", "agent:after-settle"],
    "telling": ["spool:before-settle"],
}
"""Where the agent dies one time after the other at a release that works: before its switch, in it, after it, and as it tells."""
BACK = [
    *("healing:before-restore", "agent:mid-switch", "agent:before-commit", "agent:after-commit"),
    *("healing:mid-restore", "healing:after-restore", "agent:after-effect"),
]
"""Where it dies at one whose probe fails, while the generation before is brought back."""
SERVER = ["control:after-document@3", "publish:after-document@1", "publish:after-rollouts@2", "publish:after-timestamp@3"]
"""Where the server dies: what was decided is kept and not published, published by half, and published and not recorded."""
HALF_DONE = ("agent:mid-switch", "agent:mid-restore")
"""Where a host is left in between: whoever starts next takes that back or finishes it."""
_words = itertools.count()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An installation with a canary and another host, both of which run a first release."""
    made = Site(tmp_path_factory.mktemp("site"))
    files = fleet_of({"web-01": {"canary": "true"}, "web-02": {}})
    good = made.commit(files | {"ordain.yaml": files["ordain.yaml"] + LENIENT} | changed("first", HOLDS))
    made.up()
    made.examined(good)
    for host in HOSTS:
        made.join(host)
    try:
        settled(made, good, *HOSTS)
        yield made
    finally:
        made.stop()
        for host in HOSTS:
            made.end_processes(host)


def changed(word: str, probe: str) -> dict[str, str | None]:
    """Return a release of two files that say the same word, and a process that reads one of them."""
    more = f'    - {{path: {PATHS[1]}, content: "{word}"}}\n'
    runs = f"  processes:\n    - {{name: idle, command: [/usr/bin/env, sleep, infinity], restartOn: [{PATHS[0]}]}}\n"
    stated = str(release(word)[MOTD])
    return {MOTD: f"{stated}{more}{runs}  probes:\n    - {probe}\n"}


def held(site: Site, host: str) -> set[str | None]:
    return {site.content(host, path) for path in PATHS}


def dies_at(site: Site, places: Iterable[str], files: Mapping[str, str | None]) -> str:
    """Commit a release, and have the canary's agent die at one place after the other; return the commit."""
    head = ""
    site.stop_agent("web-01")  # so that none of the deaths of a test before counts against what runs
    for place in places:
        process = site.start_enrolled("web-01", fault=place)
        head = head or site.commit(files)
        until(f"it dies at {place}", lambda process=process: process.poll() is not None, log=site.agent_log("web-01"))  # type: ignore[misc]
        assert process.returncode == -signal.SIGKILL
        assert len(held(site, "web-01")) == 1 or place in HALF_DONE, place
    site.start_enrolled("web-01")
    return head


@pytest.mark.parametrize("when", FORWARD)
def test_a_canary_that_loses_power_again_and_again_has_the_old_or_the_new_and_the_rollout_goes_on(site: Site, when: str) -> None:
    before, word = held(site, "web-02"), f"good-{next(_words)}"
    head = dies_at(site, FORWARD[when], changed(word, HOLDS))
    assert held(site, "web-02") in (before, {word})
    settled(site, head, *HOSTS)
    assert [held(site, host) for host in HOSTS] == [{word}, {word}]


def test_a_canary_that_loses_power_while_it_goes_back_is_back_and_the_release_is_taken_back(site: Site) -> None:
    before, good = held(site, "web-01"), site.commits(HOSTS)["web-02"]
    bad = dies_at(site, BACK, changed(f"bad-{next(_words)}", FAILS))
    assert "probe beat: there is no file /run/beat" in taken_back(site, bad)
    until("both run what they ran", lambda: site.commits(HOSTS) == dict.fromkeys(HOSTS, good), log=site.agent_log("web-01"))
    assert [held(site, host) for host in HOSTS] == [before, before]


@pytest.mark.parametrize("place", SERVER)
def test_a_server_that_loses_power_in_a_rollout_goes_on_where_it_was(site: Site, place: str) -> None:
    site.kill()
    word = f"later-{next(_words)}"
    head = site.commit(changed(word, HOLDS))
    site.up(fault=place)
    until("it dies there", lambda: site.process_ended, patience=LONGEST, log=site.log)
    site.killed()
    site.up()
    until("all run it", lambda: site.commits(HOSTS) == dict.fromkeys(HOSTS, head), patience=LONGEST, log=site.log)
    settled(site, head, *HOSTS)
    assert site.happened()[:6] == ["done", "proved", "admitted", "proved", "admitted", "candidate"], site.rollout()["events"]
    assert [held(site, host) for host in HOSTS] == [{word}, {word}]


def test_nothing_half_done_is_left_and_nobody_printed_a_traceback(site: Site) -> None:
    assert [place.name for host in HOSTS for place in site.hosts.joinpath(host).rglob("*.tmp")] == []
    assert not [host for host in HOSTS if "Traceback" in site.agent_log(host).read_text()]
    assert "Traceback" not in site.log.read_text()
