"""A store with a past: releases that were approved and published, and grew old; and a run of `ordain gc` that is killed on its way.

`python -m tests.pruning_cases DIRECTORY DELETIONS` prunes both zones, and dies by SIGKILL at the deletion of that number.
"""

import os
import signal
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.protocol.membership import Member
from reconciler.control.pruning import PublishedFleet
from reconciler.pipeline.pruning import ApprovedFleet
from reconciler.publication.pruning.carrying import Gone, carry_out, plan
from reconciler.publication.pruning.listed import fleets_below
from reconciler.publication.pruning.rule import Rule, rule_of
from reconciler.publication.store import CONTROL_PREFIXES, PIPELINE_PREFIXES, LocalStore, Scoped, Store
from tests.publication_cases import Zone

RELEASES = 9


def pass_days(directory: Path, days: float) -> None:
    """Have everything in the store of a directory be so many days older."""
    for path in (directory / "store").rglob("*"):
        if path.is_file():
            written = path.stat().st_mtime - days * 86_400
            os.utime(path, (written, written))


def grow_old(zone: Zone, directory: Path, *, releases: int = RELEASES, days: float = 30, agents: int = 0) -> None:
    """Approve and publish releases named by their number, each for so many days; with `agents`, of so many, one of whom changes."""
    for number in range(releases):
        members = {f"web-{one}": Member(group="all", labels={"n": str(number)} if one == number else {}) for one in range(agents)}
        zone.approve(str(number), **({"agents": members} if agents else {}))  # type: ignore[arg-type]
        zone.publish()
        pass_days(directory, days)


def rule(newest: int = 2, days: float = 50, history: float = 100) -> Rule:
    """Return a rule as of now."""
    return rule_of(newest=newest, days=days, history=history, now=datetime.now(UTC))


EVERYTHING = Rule(newest=2, since=datetime.now(UTC) + timedelta(days=1), trail=datetime.now(UTC) + timedelta(days=1))
"""Lets go what only its age would keep: of stores whose files can't be made older."""


def prune(store: Store, by: Rule) -> Gone:
    """Prune both zones, each as it sees the store."""
    files = size = back = 0
    for kind, prefixes, prefix in ((PublishedFleet, CONTROL_PREFIXES, "public/"), (ApprovedFleet, PIPELINE_PREFIXES, "approved/")):
        scoped = Scoped(inner=store, write=prefixes)
        for tenant, fleet in sorted(fleets_below(scoped, prefix)):
            gone = carry_out(scoped, plan(kind(store=scoped, tenant=tenant, fleet=fleet, rule=by)), lambda _: None)
            files, size, back = files + gone.files, size + gone.bytes, back + gone.back
    return Gone(files=files, bytes=size, back=back)


@dataclass(frozen=True, slots=True)
class Dying(LocalStore):
    """A store whose process is killed as it deletes the file of a number: after that file is gone."""

    left: list[int]

    def delete(self, key: str) -> None:
        """Remove a file, and die of the last one."""
        LocalStore.delete(self, key)
        self.left[0] -= 1
        if not self.left[0]:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    prune(Dying(Path(sys.argv[1]) / "store", [int(sys.argv[2])]), rule())
