"""A reconciler that takes the last months of the history, as it would have: some commits apart, at their own times."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pygit2

from reconciler.pipeline.loop import Progress, reconcile
from tests.history.story import Told
from tests.proof_cases import Made, begin
from tests.source_cases import WorkingCopy

TAKEN = ("overridden", "deleted", "relabelled", "incident", "reverted", "profiled", "after-profiled", "last")
"""The commits that it sees, one after the other; those between come along with the next one."""
DAYS = "days.txt"
"""What is kept of a reconciler that takes each commit on its day."""


@dataclass(slots=True)
class Installation:
    """The history and the reconciler that follows it."""

    told: Told
    made: Made

    def take(self, sha: str, *, publish: bool = True) -> None:
        """Have the reconciler examine a commit when it was made; one that is published is examined an hour later."""
        repository = pygit2.Repository(str(self.told.root))
        repository.references.create("refs/heads/main", sha, force=True)
        self.made.now = datetime.fromtimestamp(repository[sha].peel(pygit2.Commit).commit_time, UTC)
        if publish:
            self.made.follow()
        else:
            reconcile(self.made.parts, self.made.session, Progress())


def installed(told: Told, directory: Path, *, taken: tuple[str, ...] = TAKEN) -> Installation:
    """Return an installation that has decided on some commits of the history, by their marks, and leave `main` where it was."""
    directory.mkdir(parents=True)
    found = Installation(told, begin(directory, WorkingCopy(told.root)))
    for mark in taken:
        found.take(told.marks[mark])
    found.made.session.close()
    return found


def lived(told: Told, directory: Path) -> str:
    """Return what a reconciler that takes each commit on its day refuses, day by day; days on which nothing changes are left out.

    Only what broke the glass arrives together, as it has to.
    """
    directory.mkdir(parents=True)
    found = Installation(told, begin(directory, WorkingCopy(told.root)))
    lines: list[str] = []
    refused: dict[str, str] = {}
    for sha in _steps(told):
        found.take(sha, publish=False)
        state = found.made.session.state
        held = {path: one.reason for path, one in state.held.items()} if state is not None else {}
        news = [f"  refused {path}: {why}" for path, why in sorted(held.items()) if refused.get(path) != why]
        news += [f"  taken   {path}" for path in sorted(refused.keys() - held.keys())]
        if news:
            lines += [_title(told, sha), *news]
        refused = held
    found.made.session.close()
    return "\n".join(lines) + "\n"


def _steps(told: Told) -> list[str]:
    repository = pygit2.Repository(str(told.root))
    walk = repository.walk(told.marks["last"])
    walk.simplify_first_parent()
    alone = str(repository[told.marks["glass"]].peel(pygit2.Commit).parent_ids[0])
    return [sha for commit in walk if (sha := str(commit.id)) != alone][::-1]


def _title(told: Told, sha: str) -> str:
    commit = pygit2.Repository(str(told.root))[sha].peel(pygit2.Commit)
    day = datetime.fromtimestamp(commit.commit_time, UTC).date()
    return f"{day} {commit.author.name}: {commit.message.splitlines()[0]}"
