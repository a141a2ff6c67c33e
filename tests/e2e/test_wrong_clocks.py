"""Clocks that are wrong by a day, on either side, with real processes: who is wrong is named, and all goes on once they are set right."""

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance_cases import component, fleet, repository
from tests.e2e.enrolled import Site
from tests.e2e.installation import PATIENCE, until
from tests.faults import preload

pytestmark = [pytest.mark.slow, pytest.mark.needs("opa", "git", "cc"), pytest.mark.timeout(900)]
DAY = 86_400
HOST = "web-01"
MOTD, WEB = "tenants/shop/components/motd.yaml", "tenants/shop/fleets/web.yaml"
AT_ONCE = "  rollout: {waves: [{name: all, limit: 100%, soak: 0s}]}\n"


class Clock:
    """The clock of processes that are started with its `environment`; it can be set while they run."""

    def __init__(self, library: Path, file: Path) -> None:
        self.environment: Mapping[str, str] = preload.environment(library, ORDAIN_CLOCK=file)
        self._file = file
        self.be(0)

    def be(self, seconds: int) -> None:
        """Be wrong by so many seconds from now on."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds}\n")
        new.replace(self._file)


class Clocks(Site):
    """An installation and a host, each with a clock of its own."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        library = preload.build("shift", directory)
        self.server, self.host = Clock(library, directory / "server.clock"), Clock(library, directory / "host.clock")

    def join_at(self, agent: str = HOST) -> subprocess.CompletedProcess[str]:
        """Have a host enrol by its own clock."""
        root = self.root(agent)
        root.mkdir(parents=True, exist_ok=True)
        words = self.on_host(agent, "enroll", "--server", self.agents_url, "--token", self.token(agent), "--root", str(root))
        return subprocess.run(words, env=self.host.environment, capture_output=True, text=True, timeout=PATIENCE, check=False)

    def run_host(self) -> None:
        """Start the host's agent, by the host's own clock."""
        with self.agent_log(HOST).open("ab") as log:
            self.agents.append(subprocess.Popen(self.on_host(HOST, "run", "--poll", "2"), stderr=log, env=self.host.environment))

    def says(self, text: str) -> str:
        """Have git say something new; return it."""
        self.commit({MOTD: component("motd", "/etc/motd", text)})
        return text

    def told(self, what: str) -> None:
        """Wait until the host says something among its problems, or of its fleet."""
        until(f"it says {what!r}", lambda: what in str(self.agent_status(HOST)), log=self.agent_log(HOST))

    def is_well(self) -> None:
        """Wait until the host has nothing to complain of."""
        until("it is well", lambda: self._well(self.agent_status(HOST)), log=self.agent_log(HOST))

    @staticmethod
    def _well(status: dict[str, Any]) -> bool:
        return status["problems"] == [] and [one["result"] for one in status["fleets"]] == ["applied"]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Clocks]:
    made = Clocks(tmp_path)
    try:
        head = made.commit(repository() | {WEB: fleet("web", "motd", role="web") + AT_ONCE})
        made.up(environment=made.server.environment)
        made.examined(head)
        yield made
    finally:
        made.stop()


def test_a_host_whose_clock_is_a_day_off_says_so_and_goes_on_by_the_time_that_was_signed(site: Clocks) -> None:
    for days, says in ((-40, "not yet valid"), (40, "has expired")):
        site.host.be(days * DAY)
        refused = site.join_at("web-02")
        assert (refused.returncode, f"{says} by this host's clock" in refused.stderr) == (3, True), refused.stderr
    site.host.be(-DAY)
    joined = site.join_at()
    assert joined.returncode == 0, joined.stderr
    site.run_host()
    site.reaches("hello", HOST)
    site.told("this host's clock is 24 hours behind the server's")
    site.host.be(0)
    site.is_well()

    site.host.be(DAY)
    later = site.says("for a clock that is right")
    site.told("24 hours ahead of the server's")
    site.told("expired")
    assert site.content(HOST, "/etc/motd") == "hello", "what runs is kept"
    site.host.be(0)
    site.reaches(later, HOST)
    site.is_well()

    site.host.be(-DAY)
    site.reaches(site.says("by the latest time that was signed"), HOST)
    site.told("24 hours behind the server's")
    site.host.be(0)
    site.is_well()


def test_a_server_whose_clock_is_a_day_off_cuts_nobody_off_and_neither_does_setting_it_right(site: Clocks) -> None:
    assert site.join_at().returncode == 0
    site.run_host()
    site.reaches("hello", HOST)
    for days in (-1, 1):
        site.server.be(days * DAY)
        site.told(f"this host's clock is 24 hours {'ahead of' if days < 0 else 'behind'} the server's: set right whichever is wrong")
        site.reaches(site.says(f"while it is off by {days}"), HOST)
        site.server.be(0)
        site.reaches(site.says(f"set right after {days}"), HOST)
        site.is_well()
    how = [one["how"] for one in site.operator("agents", "show", f"shop/{HOST}")["certificates"]]
    assert "lapsed" in how, "renewed by the old key, since neither time nor certificate was believed"
