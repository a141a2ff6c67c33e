"""Kill everything, at every named place and at random instants, while commits keep coming.

    python -m tests.faults.campaign --kills 1000 --seed 7

The first half of the kills hits `ordain up`, the second `ordain reconcile` and `ordain serve` apart; three agents die in both. What must
hold all the time, and what at the end, is in `checks` and `client`. The last line is a summary as JSON; exit code 1 if anything failed.
"""

import argparse
import json
import random
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reconciler.pipeline.notes import DECISIONS, LOCK_AGE
from reconciler.publication.store import LocalStore
from tests.acceptance_cases import agent, component, fleet, repository
from tests.e2e.installation import BIN, Installation, until
from tests.faults import checks, places
from tests.faults.client import Client, FileFetcher
from tests.faults.victims import Victim

AGENTS = ("web-01", "web-02", "web-03")
COMMIT_EVERY = 1.0
"""Seconds between commits: about what one takes to reach all hosts while everything is killed."""
REST = 0.01
CONVERGE = 120.0
"""Seconds until all notes are written."""
RARE = {"agent:tree-aside", "agent:mid-restore"}
"""Places that no file of this campaign passes by itself."""


def _files(number: int) -> dict[str, str | None]:
    made: dict[str, str | None] = {
        f"tenants/shop/components/{name}.yaml": component(name.partition("-")[0], f"/etc/{name}", f"w{number}") for name in checks.FILES
    }
    extra = f"extra-{number % checks.EXTRAS}"
    made["tenants/shop/agents/web-04.yaml"] = agent("web-04", role="web", turn=str(number // 4))  # members change at times, too
    return made | {"tenants/shop/components/extra.yaml": component("extra", f"/etc/{extra}", f"w{number}")}


def _first() -> dict[str, str | None]:
    names = "motd}, {name: more}, {name: extra"
    agents = {f"tenants/shop/agents/{name}.yaml": agent(name, role="web") for name in AGENTS}
    return {**repository(), **agents, "tenants/shop/fleets/web.yaml": fleet("web", names, role="web"), **_files(1)}


class Campaign:
    """One installation, its victims and its clients."""

    def __init__(self, directory: Path, kills: int, seed: int) -> None:
        self.kills, self.seed = kills, seed
        self.chance = random.Random(seed)
        self.directory = directory
        self.made = Installation(directory)
        self.temporary = directory / "tmp"
        self.temporary.mkdir()
        self.number, self.head = 1, self.made.commit(_first())
        self.port = _free_port()
        self.made.url = f"http://127.0.0.1:{self.port}"
        self.at_least = dict.fromkeys(AGENTS, 0)
        self.failures: list[str] = []
        self.victims: list[Victim] = []
        self.stop = threading.Event()

    @property
    def done(self) -> int:
        """Kills so far."""
        return sum(victim.kills for victim in self.victims)

    # Processes

    def _victim(self, name: str, command: Sequence[str], zones: Sequence[str], *, soon: float, late: float, agent: bool = False) -> Victim:
        return Victim(
            name=name,
            command=lambda: command,
            log=self.directory / f"{name}.log",
            environment={"TMPDIR": str(self.temporary)},
            places=[place for place in places.of(*zones) if place not in RARE],
            chance=random.Random(self.chance.random()),
            soon=soon,
            late=late,
            after_death=(lambda: self._check_host(name)) if agent else (lambda: None),
        )

    def _together(self) -> list[Victim]:
        made = self.made
        command = [str(BIN / "ordain"), "up", "--repo", str(made.repo), "--state", str(made.state), "--listen", f"127.0.0.1:{self.port}"]
        zones = ("pipeline", "approve", "control", "publish")
        return [self._victim("up", [*command, "--log-format", "json"], zones, soon=8.0, late=25.0)]

    def _apart(self) -> list[Victim]:
        made = self.made
        settings = self.directory / "serve.toml"
        settings.write_text(f'[store]\nurl = "{made.state / "store"}"\n[keys]\ndirectory = "{made.state / "keys"}"\n')
        reconcile = ["reconcile", "--state", str(made.state), "--repo", str(made.repo), "--listen", f"127.0.0.1:{_free_port()}"]
        serve = ["serve", "--state", str(self.directory / "serve"), "--settings", str(settings), "--listen", f"127.0.0.1:{self.port}"]
        return [
            self._victim("reconcile", [str(BIN / "ordain"), *reconcile], ("pipeline", "approve"), soon=8.0, late=25.0),
            self._victim("serve", [str(BIN / "ordain"), *serve], ("control", "publish"), soon=5.0, late=20.0),
        ]

    def _agents(self) -> list[Victim]:
        return [
            self._victim(name, self.made.agent_command(name, "--poll", "0.1"), ("agent",), soon=1.5, late=6.0, agent=True)
            for name in AGENTS
        ]

    # Running

    def run(self) -> dict[str, Any]:
        """Kill until it is enough, let everything come to rest, and return the summary."""
        began = time.monotonic()
        clients = [Client(f"file:{self.made.state}/store/public/shop/web", self._root, fetcher=FileFetcher())]
        clients.append(Client(f"{self.made.url}/v1/repositories/shop/web", self._root))
        threads = [threading.Thread(target=client.run, args=(self.stop,)) for client in clients]
        for thread in threads:
            thread.start()
        try:
            together, agents = self._together(), self._agents()
            self._kill([*together, *agents], self.kills // 2)
            self._kill([*self._apart(), *agents], self.kills)
            self._converge()
        except AssertionError as error:
            self.failures.append(str(error))
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()
            for victim in self.victims:
                victim.end()
            self.made.stop()
        return self._summary(clients, time.monotonic() - began)

    @property
    def _root(self) -> Path:
        return self.made.state / "trust" / "shop.root.json"

    def _kill(self, group: Sequence[Victim], limit: int) -> None:
        self.victims += [victim for victim in group if victim not in self.victims]
        committed = said = time.monotonic()
        while self.done < limit and not self.failures:
            for victim in group:
                if victim.process is None and (self._root.exists() or victim.name == "up"):
                    victim.start()
                victim.look()
            if time.monotonic() - committed > COMMIT_EVERY and self._root.exists():
                committed = time.monotonic()
                self._commit()
            if time.monotonic() - said > 10:
                said = time.monotonic()
                print(f"seed {self.seed}: {self.done} of {self.kills} kills, {self.number} commits", file=sys.stderr, flush=True)  # noqa: T201 - this is its output
            time.sleep(REST)
        for victim in group:
            victim.end()

    def _commit(self) -> None:
        self.number += 1
        self.head = self.made.commit(_files(self.number))

    def _check_host(self, name: str) -> None:
        try:
            held = checks.held(self.made.root(name), self.made.hosts / name / "state")
            assert held >= self.at_least[name], f"{name} went back from word {self.at_least[name]} to {held}"
            self.at_least[name] = held
        except AssertionError as error:
            self.failures.append(str(error))

    # The end

    def _converge(self) -> None:
        self._commit()
        until("a lock that a kill left on the notes to be old", self._is_free, patience=2 * LOCK_AGE)
        self.made.up()
        self.made.examined(self.head)
        for name in AGENTS:
            assert self.made.once(name).returncode == 0, name
            assert checks.held(self.made.root(name), self.made.hosts / name / "state") == self.number
        chain = checks.decisions(LocalStore(self.made.state / "store"), self.made.state / "keys")
        assert chain[0].head == self.head
        until("all notes", lambda: not checks.without_note(self.made.repo, chain), patience=CONVERGE, log=self.made.log)
        self.made.down()

    def _is_free(self) -> bool:
        lock = self.made.repo / ".git" / f"{DECISIONS}.lock"
        return not lock.exists() or time.time() - lock.stat().st_mtime > LOCK_AGE

    def _summary(self, clients: Sequence[Client], seconds: float) -> dict[str, Any]:
        logs = sorted({*self.directory.glob("*.log"), *self.made.hosts.glob("*.log")})
        self.failures += checks.tracebacks(logs)
        self.failures += [broken for client in clients for broken in client.broken]
        self.failures += [fell for victim in self.victims for fell in victim.fell]
        at = sum((Counter(victim.killed_at) for victim in self.victims), Counter[str]())
        return {
            "seed": self.seed,
            "kills": self.done,
            "at_random": at.pop("random", 0),
            "at_places": dict(sorted(at.items())),
            "never_at": sorted({*places.listed()} - RARE - at.keys()),
            "by_process": {victim.name: victim.kills for victim in self.victims},
            "commits": self.number,
            "polls": {("http" if client.fetcher is None else "files"): [client.polls, client.away] for client in clients},
            "left_in_tmp": sum(1 for _ in self.temporary.iterdir()),
            "left_in_store": sum(1 for _ in (self.made.state / "store").rglob("*.tmp")),
            "seconds": round(seconds),
            "failures": self.failures,
        }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> int:
    """Run one campaign as a program."""
    parser = argparse.ArgumentParser(description="Kill ordain's processes and see that nothing breaks.")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--keep", help="a new directory that is not removed, to look at what failed")
    options = parser.parse_args()
    print(f"seed {options.seed}", file=sys.stderr)  # noqa: T201 - as above
    with tempfile.TemporaryDirectory(prefix="ordain-faults-") as name:
        summary = Campaign(Path(options.keep or name), options.kills, options.seed).run()
    print(json.dumps(summary))  # noqa: T201 - as above
    return 1 if summary["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
