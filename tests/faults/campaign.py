"""Kill everything, at every named place and at random instants, while commits keep coming.

    python -m tests.faults.campaign --kills 1000 --seed 7

The first half of the kills hits `ordain up`, the second `ordain reconcile` and `ordain serve` apart; three agents die in both. What must
hold all the time, and what at the end, is in `checks` and `client`. Progress and a summary in words go to stderr, the summary as JSON
to stdout; exit code 1 if anything failed, and from 500 kills on also if a named place was never reached.
"""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.pipeline.notes import DECISIONS, LOCK_AGE
from reconciler.publication.store import LocalStore
from tests.e2e.installation import BIN, Installation, free_port, until
from tests.faults import checks, places, words
from tests.faults.client import Client, FileFetcher
from tests.faults.victims import Victim

COMMIT_EVERY = 1.0
"""Seconds between commits: about what one takes to reach all hosts while everything is killed."""
REST = 0.01
CONVERGE = 300.0
"""Seconds until all is published, and all notes are written: far more than it takes, for machines that do much else."""
SAY_EVERY = 10.0
THOROUGH = 500
"""Kills from which on each named place must have been died at; more of them are made for places that are left, up to as many again."""
RESTORING = dict.fromkeys(("agent:after-journal", "agent:tree-aside", "agent:mid-switch", "agent:before-commit"), "agent:mid-restore")
"""Places that leave a host half changed, and where to die next: when that is taken back."""


class Campaign:
    """One installation, its victims and its clients."""

    def __init__(self, directory: Path, kills: int, seed: int) -> None:
        self.kills, self.seed = kills, seed
        self.chance = random.Random(seed)
        self.directory = directory
        self.made = Installation(directory)
        self.temporary = directory / "tmp"
        self.temporary.mkdir()
        self.archives = directory / "archives"
        self.number, self.head = 1, self.made.commit(words.first(self.archives))
        self.port = free_port(self.chance)
        self.made.url = f"http://127.0.0.1:{self.port}"
        self.hosts = {name: _Seen(since=time.monotonic()) for name in words.AGENTS}
        self.converged = 0.0
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
            places=[place for place in places.of("durable", *zones) if place not in RESTORING.values()],
            chance=random.Random(self.chance.random()),
            soon=soon,
            late=late,
            after_death=(lambda: self._check_host(name)) if agent else (lambda: None),
            then=RESTORING if agent else {},
        )

    @property
    def _listening(self) -> list[str]:
        return ["--listen", "127.0.0.1:0", "--local", f"127.0.0.1:{self.port}"]

    def _together(self) -> list[Victim]:
        made = self.made
        command = [str(BIN / "ordain"), "up", "--repo", str(made.repo), "--state", str(made.state), *self._listening]
        zones = ("pipeline", "approve", "control", "publish")
        return [self._victim("up", [*command, "--log-format", "json"], zones, soon=8.0, late=25.0)]

    def _apart(self) -> list[Victim]:
        made = self.made
        settings = self.directory / "serve.toml"
        settings.write_text(
            f'[store]\nurl = "{made.state / "store"}"\n[keys]\ndirectory = "{made.state / "keys"}"\n[listen]\nfiles = true\n'
        )
        reconcile = ["reconcile", "--state", str(made.state), "--repo", str(made.repo), "--listen", f"127.0.0.1:{free_port(self.chance)}"]
        serve = ["serve", "--state", str(self.directory / "serve"), "--settings", str(settings), *self._listening]
        return [
            self._victim("reconcile", [str(BIN / "ordain"), *reconcile], ("pipeline", "approve"), soon=8.0, late=25.0),
            self._victim("serve", [str(BIN / "ordain"), *serve], ("control", "publish"), soon=5.0, late=20.0),
        ]

    def _agents(self) -> list[Victim]:
        return [
            self._victim(name, self.made.agent_command(name, "--poll", "0.1"), ("agent",), soon=1.5, late=6.0, agent=True)
            for name in words.AGENTS
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
            until("keys and a first release", self._root.exists, patience=0.1, log=self.directory / "up.log")
            self._kill([*self._apart(), *agents], self.kills, thorough=self.kills >= THOROUGH)
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

    def _kill(self, group: Sequence[Victim], limit: int, *, thorough: bool = False) -> None:
        self.victims += [victim for victim in group if victim not in self.victims]
        committed = said = time.monotonic()
        while not self.failures and (self.done < limit or (thorough and self._never_at() and self.done < 2 * limit)):
            for victim in group:
                if victim.process is None and (self._root.exists() or victim.name == "up"):
                    victim.start()
                victim.look()
            if time.monotonic() - committed > COMMIT_EVERY and self._root.exists():
                committed = time.monotonic()
                self._commit()
            self.failures += [fell for victim in group for fell in victim.fell]
            if time.monotonic() - said > SAY_EVERY:
                said = time.monotonic()
                self._say(f"{self.done} of {self.kills} kills, {len(self._never_at())} places to go, {self.number} commits")
            time.sleep(REST)
        for victim in group:
            victim.end()
        if thorough and self._never_at():
            self.failures.append(f"nothing died at these places: {', '.join(self._never_at())}")

    def _never_at(self) -> list[str]:
        """Return the named places at which nothing was killed yet."""
        return sorted({*places.on_the_way()}.difference(*(victim.killed_at for victim in self.victims)))

    def _say(self, text: str) -> None:
        print(f"seed {self.seed}: {text}", file=sys.stderr, flush=True)  # noqa: T201 - this is its output

    def _commit(self) -> None:
        self.number += 1
        self.head = self.made.commit(words.files(self.number, self.archives))

    def _check_host(self, name: str) -> None:
        try:
            held = checks.held(self.made.root(name), self.made.hosts / name / "state")
            self.hosts[name].holds(name, held)
        except AssertionError as error:
            self.failures.append(str(error))

    # The end

    def _converge(self) -> None:
        self._say("killing is over; waiting until all hosts hold the newest commit and all notes are written")
        until("a lock that a kill left on the notes to be old", self._is_free, patience=2 * LOCK_AGE)
        began = time.monotonic()
        self._commit()
        self.made.up()
        self.made.examined(self.head, patience=CONVERGE)
        for name in words.AGENTS:
            assert self.made.once(name).returncode == 0, name
            assert checks.held(self.made.root(name), self.made.hosts / name / "state") == self.number
        chain = checks.decisions(LocalStore(self.made.state / "store"), self.made.state / "keys")
        assert chain[0].head == self.head
        until("all notes", lambda: not checks.without_note(self.made.repo, chain), patience=CONVERGE, log=self.made.log)
        self.converged = time.monotonic() - began
        self.made.down()
        left = [str(place) for part in (self.made.state, self.made.hosts) for place in part.rglob("*.tmp")]
        assert not left, f"left half written: {left}"

    def _is_free(self) -> bool:
        lock = self.made.repo / ".git" / f"{DECISIONS}.lock"
        return not lock.exists() or time.time() - lock.stat().st_mtime > LOCK_AGE

    def _summary(self, clients: Sequence[Client], seconds: float) -> dict[str, Any]:
        logs = sorted({*self.directory.glob("*.log"), *self.made.hosts.glob("*.log")})
        self.failures += checks.tracebacks(logs)
        self.failures += [broken for client in clients for broken in client.broken]
        at = sum((Counter(victim.killed_at) for victim in self.victims), Counter[str]())
        return {
            "seed": self.seed,
            "kills": self.done,
            "at_random": at.pop("random", 0),
            "at_places": dict(sorted(at.items())),
            "never_at": self._never_at(),
            "by_process": {victim.name: victim.kills for victim in self.victims},
            "commits": self.number,
            "polls": {("http" if client.fetcher is None else "files"): [client.polls, client.away] for client in clients},
            "left_in_tmp": sum(1 for _ in self.temporary.iterdir()),
            "seconds": round(seconds),
            "seconds_to_converge": round(self.converged, 1),
            "longest_without_news": round(max(seen.longest for seen in self.hosts.values()), 1),
            "failures": self.failures,
        }


@dataclass(slots=True)
class _Seen:
    """What a host was last seen to hold, `since` when, and for how many seconds it went without news at the longest."""

    since: float
    word: int = 0
    longest: float = 0.0

    def holds(self, name: str, word: int) -> None:
        """Note what it holds now; raise `AssertionError` if that is older."""
        assert word >= self.word, f"{name} went back from word {self.word} to {word}"
        if word > self.word:
            now = time.monotonic()
            self.longest, self.since, self.word = max(self.longest, now - self.since), now, word


def told(summary: Mapping[str, Any]) -> str:
    """Return a summary in words."""
    places_hit, polls = summary["at_places"], summary["polls"]
    never = ", ".join(summary["never_at"]) or "none"
    at_places = f"{sum(places_hit.values())} at {len(places_hit)} named places (never reached: {never})"
    lines = [
        f"{summary['kills']} kills in {summary['seconds']} s: {summary['at_random']} at random, {at_places}",
        f"processes killed: {', '.join(f'{name} {kills}' for name, kills in summary['by_process'].items())}",
        f"{summary['commits']} commits; the slowest host was {summary['longest_without_news']} s without news",
        f"all had converged {summary['seconds_to_converge']} s after the last commit",
        f"a client read a whole repository {polls['files'][0]} times from the files and {polls['http'][0]} times by HTTP",
        *(f"FAILED: {failure}" for failure in summary["failures"]),
    ]
    return "\n".join(lines if summary["failures"] else [*lines, "nothing broke"])


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
    print(told(summary), file=sys.stderr)  # noqa: T201 - as above
    print(json.dumps(summary))  # noqa: T201 - as above
    return 1 if summary["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
