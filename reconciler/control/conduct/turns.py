"""When it is whose turn: in which wave one host gets a release that is on its way, or got the stable one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection

from agent.protocol.rollout import Release
from reconciler.control.conduct.membership import Roll
from reconciler.control.registry.rollouts import Kept
from reconciler.control.rollout.progress import Progress
from reconciler.publication.releases import read_newest
from reconciler.publication.store import Store
from reconciler.publication.trust import read_trust
from reconciler.rollouts.strategy import Strategy
from reconciler.rollouts.waves import waves

State = Literal["admitted", "next", "stable", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """In which wave a host gets a release, from 1, or got it, by the strategy as it is now; wave "" where it had no waves.

    `state`: `admitted` where the release is on its way and the host may have it, `next` where it is not its turn yet; `stable` and
    `refused` are of the release.
    """

    digest: str
    attempt: int
    wave: str
    number: int
    waves: int
    state: State


def turns(connection: Connection, store: Store, kept: Kept, strategy: Strategy, *, agent: str) -> Iterator[Turn]:
    """Yield a host's turn in each release of a fleet that is on its way, stable or refused, of those that list it."""
    trust = read_trust(store, kept.tenant)
    releases = read_newest(store, trust, kept.fleet) if trust else None
    if releases is None:
        return
    progress, roll = kept.progress, Roll(store)
    candidate = progress.candidate.release if progress.candidate else None
    for release in dict.fromkeys((candidate, progress.refused, progress.stable)):
        if release is None:
            continue
        members = roll.members(connection, releases, kept.tenant, kept.fleet, release.members)
        if not any(one.name == agent for one in members):
            continue
        attempt = progress.attempt if release == candidate else progress.attempts.get(release.digest, 0)
        planned = waves(strategy, members, candidate=release.digest, attempt=attempt) if attempt else ()
        index = next((number for number, wave in enumerate(planned) if agent in wave.joining), -1)
        yield Turn(
            digest=release.digest,
            attempt=attempt,
            wave=planned[index].step.name if index >= 0 else "",
            number=index + 1,
            waves=len(planned),
            state=_state(progress, release, index, held=agent in progress.held),
        )


def _state(progress: Progress, release: Release, wave: int, *, held: bool) -> State:
    if progress.candidate is not None and release == progress.candidate.release:
        return "admitted" if 0 <= wave <= progress.wave and not held else "next"
    return "stable" if release == progress.stable else "refused"
