"""A whole simulation: a fleet repository, a real `ordain up` as a process, and a population that speaks with it.

Releases are commits; what becomes of them is asked from the server, as an operator would, and compared with what hosts did.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.protocol.rollout import BOUND_ALL, slot
from reconciler.cli.connection import Server, reach
from tests.acceptance_cases import REPOSITORY, agent, component, fleet
from tests.e2e.installation import Installation, until
from tests.simulator.chances import Chances
from tests.simulator.population import Population, populated

TENANT, FLEET, MOTD = "shop", "web", "tenants/shop/components/motd.yaml"
PAGE = 100
"""Agents of one file."""
LOOK = 0.1
"""Seconds between two questions to the server."""
LONGEST = 600.0
STARTING = 120.0
"""Seconds: for some thousand manifests to be examined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many hosts there are, and how a release reaches them: `waves` are names and shares that rise to 1."""

    hosts: int
    waves: Sequence[tuple[str, float]] = (("canary", 0.05), ("half", 0.5), ("rest", 1.0))
    approved: Sequence[str] = ()
    """Waves that must be approved."""
    threshold: float = 0.95
    quorum: float = 0.9
    timeout: float = 60.0
    """Seconds until a host that is there and says nothing has failed."""
    real: int = 0
    """The first so many hosts are played by somebody else: real agents. They are selected by the first wave, whatever its share."""
    rate: int = 0
    """The tenant's quota of reports in a second, 0 for what is usual."""

    @property
    def names(self) -> list[str]:
        """What hosts are called."""
        return [f"web-{number:05}" for number in range(self.hosts)]

    def most(self, wave: str) -> int:
        """Return how many hosts have the release once a wave is admitted."""
        return math.ceil(dict(self.waves)[wave] * self.hosts - 1e-9)

    def files(self) -> dict[str, str]:
        """Return the manifests, without a release."""
        who = [f"limit: {share * 100:g}%" for _, share in self.waves]
        who[0] = 'matchLabels: {canary: "true"}' if self.real else who[0]
        steps = "".join(
            f"      - {{name: {name}, {admits}, soak: 0s{', approval: required' if name in self.approved else ''}}}\n"
            for (name, _), admits in zip(self.waves, who, strict=True)
        )
        health = f"{{successThreshold: {self.threshold * 100:g}%, quorum: {self.quorum * 100:g}%, reportTimeout: {self.timeout:g}s}}"
        quota = f", quotas: {{reportRate: {self.rate}}}" if self.rate else ""
        head = f"apiVersion: ordain.dev/v1\nkind: Tenant\nmetadata: {{name: shop}}\nspec: {{description: Simulated hosts.{quota}}}\n"
        found = {
            "ordain.yaml": REPOSITORY,
            "tenants/shop/tenant.yaml": head,
            "tenants/shop/fleets/web.yaml": f"{fleet(FLEET, 'motd', role='web')}  rollout:\n    waves:\n{steps}    health: {health}\n",
        }
        for start in range(0, self.hosts, PAGE):
            page = enumerate(self.names[start : start + PAGE], start=start)
            documents = (agent(name, role="web", canary=str(number < self.real).lower()) for number, name in page)
            found[f"tenants/shop/agents/{start:05}.yaml"] = "---\n".join(documents)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """What one wave came to, reckoned from what hosts did; `seconds` are from the first host that heard of it until each that took it
    had told what came of it."""

    name: str
    bound: int
    """How many hosts may have the release, by the document."""
    took: int
    applied: int
    failed: int
    silent: int
    seconds: Sequence[float]


@dataclass(slots=True, kw_only=True)
class Simulation:
    """A running one."""

    plan: Plan
    installation: Installation
    server: Server
    population: Population
    first: str
    """The digest of the release that all began with."""
    began: dict[str, float] = field(default_factory=dict)
    """What was waited for → seconds."""

    def ask(self) -> dict[str, Any]:
        """Return how the rollout stands, as the server says."""
        return self.server.ask("GET", f"/api/v1/rollouts/{TENANT}/{FLEET}")

    def order(self, kind: str, reason: str = "it was looked at") -> None:
        """Order something about the rollout."""
        self.server.ask("POST", f"/api/v1/rollouts/{TENANT}/{FLEET}/{kind}", body={"reason": reason})

    def release(self, word: str) -> str:
        """Commit another release; return the commit."""
        return self.installation.commit({MOTD: component("motd", "/etc/motd", word)}, f"Say {word}")

    def ends(self, commit: str) -> dict[str, Any]:
        """Wait until a commit's release is stable for all, or taken back; return how it stands then."""
        found: dict[str, Any] = {}

        def ended() -> bool:
            found.update(self.ask())
            return bool(found["stableCommit"] == commit or found["refusedCommit"] == commit)

        self.wait(f"what becomes of {commit[:12]}", ended)
        return found

    def wait(self, what: str, holds: Callable[[], bool]) -> float:
        """Wait for something; return the seconds that took."""
        begin = time.monotonic()
        while not holds():
            assert time.monotonic() - begin < LONGEST, f"{what}: not within {LONGEST:g} s\n{self.said()}"
            assert not self.installation.process_ended, self.said()
            time.sleep(LOOK)
        return time.monotonic() - begin

    def said(self) -> str:
        """Return what went wrong among the hosts, and what the server logged last."""
        tally = self.population.tally
        hosts = [*self.population.troubles[:5], *tally.unverified[-5:], str(dict(tally.refusals))]
        return "\n".join([*hosts, self.installation.log.read_text()[-4000:]])

    def waves(self, digest: str) -> list[Wave]:
        """Return what the waves of a release came to, as far as they were admitted."""
        tally, found = self.population.tally, dict[str, list[int]]()
        for serial, document in sorted(tally.documents.items()):
            candidate = document.candidate
            if candidate is not None and candidate.digest == digest:
                found.setdefault(self._named(digest, document.attempt, document.bound), []).append(serial)
        return [self._wave(digest, name, serials) for name, serials in found.items() if name]

    def _named(self, digest: str, attempt: int, bound: int) -> str:
        """Return the wave that a bound admits: the last whose share it reaches. "" for one that admits nobody."""
        admitted = sum(slot(digest, attempt, name) < bound for name in self.plan.names)
        return next((name for name, _ in reversed(self.plan.waves) if admitted and admitted >= self.plan.most(name)), "")

    def _wave(self, digest: str, name: str, serials: Sequence[int]) -> Wave:
        tally = self.population.tally
        begin = min(one.at for one in list(tally.heard) if one.serial in serials)
        took = [one for one in tally.of(digest) if one.serial in serials]
        count = {result: len({one.host for one in took if one.result == result}) for result in ("applied", "failed", "silent")}
        document = tally.documents[serials[-1]]
        bound = sum(slot(digest, document.attempt, one) < document.bound for one in self.plan.names)
        seconds = sorted(one.told_at - begin for one in took if one.told_at)
        return Wave(name=name, bound=bound, took=len({one.host for one in took}), seconds=seconds, **count)

    def out_of_bounds(self, digest: str) -> list[str]:
        """Return what went beyond a wave's bound, in words: hosts that took it and should not have, documents that admit too many."""
        tally, wrong = self.population.tally, list[str]()
        for serial, document in sorted(tally.documents.items()):
            if document.candidate is None or document.candidate.digest != digest:
                continue
            inner = sum(slot(digest, document.attempt, name) < document.bound - 1 for name in self.plan.names)
            name = self._named(digest, document.attempt, document.bound)
            if name and document.bound < BOUND_ALL and inner >= self.plan.most(name):
                wrong.append(f"serial {serial} admits more than {self.plan.most(name)} hosts")
            beyond = [
                one.host for one in tally.of(digest) if one.serial == serial and slot(digest, document.attempt, one.host) >= document.bound
            ]
            wrong += [f"{host} took it under serial {serial}" for host in beyond]
        return wrong


@contextmanager
def simulated(directory: Path, plan: Plan, chances: Chances, say: Callable[[str], None] = lambda _: None) -> Iterator[Simulation]:
    """Start all of it; yield once every host runs the first release and has told so."""
    installation = Installation(directory)
    try:
        commit = installation.commit(plan.files() | {MOTD: component("motd", "/etc/motd", "first")})
        installation.up()
        assert not installation.process_ended, installation.log.read_text()[-4000:]
        seconds = installation.examined(commit, patience=STARTING)
        until("agents are served", lambda: b"agents at https://" in installation.log.read_bytes(), log=installation.log)
        say(f"a real `ordain up` with {plan.hosts} manifests of hosts is up; it examined them within {seconds:.1f} s")
        server = reach(state=installation.state, server=None)
        keys = directory / "keys"
        keys.mkdir()
        with populated(server, TENANT, keys, chances) as population:
            begin = time.monotonic()
            population.join(plan.names[plan.real :])
            say(f"{plan.hosts - plan.real} hosts enrolled by tokens in {time.monotonic() - begin:.1f} s")
            made = Simulation(plan=plan, installation=installation, server=server, population=population, first=_stable(server))
            population.good.add(made.first)
            made.wait("the first release everywhere", lambda: population.have(made.first) == plan.hosts - plan.real)
            say(f"all run the first release {time.monotonic() - begin:.1f} s after the first of them asked for a token")
            yield made
    finally:
        installation.stop()


def _stable(server: Server) -> str:
    found: Mapping[str, Any] = server.ask("GET", f"/api/v1/rollouts/{TENANT}/{FLEET}")
    return str(found["stable"])
