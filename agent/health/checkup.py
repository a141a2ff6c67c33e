"""How the probes of each fleet stand: asked, kept for `status`, and said where they turn."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from agent.disk import Disk
from agent.health.prober import Prober, Standing
from agent.health.seen import Seen, read_probes, write_probes
from agent.logs import Log
from agent.protocol.errors import disk_trouble
from agent.protocol.state import Probe
from agent.reporting.spool import Spool


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """Looks after the probes of one host; lives as long as the agent."""

    prober: Prober
    disk: Disk
    spool: Spool
    log: Log

    def look(self, fleet: str, generation: int, probes: Sequence[Probe]) -> Standing | None:
        """Return how the probes of what a fleet holds stand together, None where nobody asks them; keep what is new of them."""
        self.prober.want(fleet, generation, probes)
        standing = self.prober.standing(fleet)
        if standing is None:
            return None
        known = read_probes(self.disk, fleet)
        seen = [_said(self.log, one) for one in self.prober.seen(fleet)]
        if seen != known:
            try:
                self._tell(fleet, {one.name: one.verdict for one in known}, self.prober.changes(fleet))
                write_probes(self.disk, fleet, seen)
            except OSError as error:  # a full disk changes nothing about what works
                self.log.step("error", fleet=fleet, why=str(disk_trouble(error)))
        return standing

    def keep(self, fleets: Collection[str]) -> None:
        """Ask nothing more of any other fleet."""
        self.prober.keep(fleets)

    def _tell(self, fleet: str, known: dict[str, str], changes: Sequence[Seen]) -> None:
        """Say which probes failed, and which hold again."""
        for one in changes:
            self.log.step("probe", fleet=fleet, probe=one.name, verdict=one.verdict, why=one.why or None)
            if one.verdict == "failed":
                self.spool.note("problem", fleet=fleet, text=f"probe {one.name}: {self.log.veil(one.why)}")
            elif known.get(one.name) == "failed":
                self.spool.note("recovered", fleet=fleet, text=f"probe {one.name}")


def _said(log: Log, one: Seen) -> Seen:
    return Seen(name=one.name, verdict=one.verdict, why=log.veil(one.why), since=one.since)
