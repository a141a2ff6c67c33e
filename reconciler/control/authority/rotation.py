"""A change of authority, in stages and by itself: a new generation beside the old, a few hosts first, then all, or back.

It begins once the ceremony has put a newer generation into the store. From then on both are believed, and whoever renews or enrols hears
of both roots. Hosts that are chosen (by labels, else by a share of all) get their next certificate from the new one. Those who come back
with it are successes; who does not within a while is a failure. Too many failures take it back at once; at the end of the trial it is
taken back or becomes the one that issues for all. The server shows a certificate of the old one until nobody can be left who trusts that
alone. So nobody is cut off at any point: nothing is revoked, and a host that was given either is believed.

What was decided stands in the store (`records/_authority.json`), replaced only by who read it last, so that all copies of `serve` agree.
"""

import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import msgspec
from sqlalchemy import Connection

from agent.protocol import codec
from agent.protocol.errors import OrdainError
from agent.protocol.identity import AgentName
from reconciler.control.authority import change as change_file
from reconciler.control.authority.change import FORMAT, Change
from reconciler.control.authority.keeper import Keeper, Plan
from reconciler.control.known import KnownTenants, member
from reconciler.control.registry import trials
from reconciler.control.registry.registry import Registry
from reconciler.control.registry.trials import Tally
from reconciler.control.rollout.gates import Hold
from reconciler.publication import layout
from reconciler.publication.store import Store
from reconciler.publication.times import instant, stamp

SERVER_FOLLOWS = timedelta(days=98)
"""After which the server shows a certificate of the new authority: longer than any host may be away and still renew (90 days and 7)."""
JUDGED_AT_LEAST = 5
"""Hosts by which a trial is taken back before its end: one that was switched off proves nothing."""
WIDER = 3
"""How many times as many are chosen where nobody was."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a change is tried: on hosts with all these labels, or without any on `share` percent of all, for `within`.

    `threshold` is the percentage of judged hosts that must come back, each within `grace`.
    """

    share: int = 10
    labels: Mapping[str, str] = field(default_factory=dict)
    within: timedelta = timedelta(hours=24)
    grace: timedelta = timedelta(minutes=10)
    threshold: int = 95


def next_change(change: Change, *, newest: int, tally: Tally, terms: Terms, now: datetime) -> Change:
    """Return how the change stands next; the same where nothing is due. Pure: `newest` is the newest generation that is whole."""
    if not change.candidate:
        if newest > change.current and newest not in change.refused:
            return msgspec.structs.replace(change, candidate=newest, share=terms.share, began=stamp(now))
        followed = change.server != change.current and now >= instant(change.promoted, what=layout.AUTHORITY_CHANGE) + SERVER_FOLLOWS
        return msgspec.structs.replace(change, server=change.current) if followed else change
    judged = tally.used + tally.overdue
    failed = tally.used * 100 < terms.threshold * judged
    over = now >= instant(change.began, what=layout.AUTHORITY_CHANGE) + terms.within
    if failed and (over or judged >= JUDGED_AT_LEAST):
        return msgspec.structs.replace(change, candidate=0, share=0, began="", refused=[*change.refused, change.candidate])
    if not over:
        return change
    if not tally.issued and change.share < 100:  # noqa: PLR2004 - all of them
        return msgspec.structs.replace(change, share=min(100, change.share * WIDER), began=stamp(now))
    return msgspec.structs.replace(change, current=change.candidate, candidate=0, share=0, began="", promoted=stamp(now))


class Rotation:
    """Moves a keeper's plan on; one for a process. `outcomes` counts (`promoted`, `taken-back`).

    `seconds` is how long it took from the first failure of the trial that was taken back last, a host that did not come back in time,
    until no host was given a certificate of it any more.
    """

    def __init__(
        self,
        *,
        store: Store,
        registry: Registry,
        known: KnownTenants,
        keeper: Keeper,
        terms: Terms | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Keep whom to ask; nothing is decided before the first `step`."""
        self.outcomes: Counter[str] = Counter()
        self.seconds = 0.0
        self.change: Change | None = None
        self._store, self._registry, self._known, self._keeper = store, registry, known, keeper
        self._terms, self._now = terms or Terms(), now

    @property
    def under_way(self) -> bool:
        """Whether a new authority is being tried: other changes of hosts should wait."""
        return self.change is not None and self.change.candidate != 0

    def step(self) -> None:
        """Look at how things stand, decide what is due, and have the keeper issue by it; for a thread.

        Raises what the store and the registry raise.
        """
        numbers = [one.number for one in self._keeper.generations]
        if not numbers:
            return
        newest = numbers[-1]
        found = self._store.get_versioned(layout.AUTHORITY_CHANGE)
        change = change_file.decode(found[0]) if found else Change(format=FORMAT, current=newest, server=newest)
        if not {change.current, change.server} <= set(numbers):
            change = Change(format=FORMAT, current=newest, server=newest)  # somebody removed what was left behind
        tally = self._tally(change)
        after = next_change(change, newest=newest, tally=tally, terms=self._terms, now=self._now())
        if found is None or codec.canonical(after) != found[0]:
            if not self._store.replace(layout.AUTHORITY_CHANGE, codec.canonical(after), found[1] if found else None):
                return  # another copy of serve was first; its decision is read at the next step
            self._note(change, after)
        self._follow(after)
        if len(after.refused) > len(change.refused) and tally.first is not None:
            self.seconds = (self._now() - tally.first - self._terms.grace).total_seconds()

    async def seen(self, name: AgentName, generation: int) -> None:
        """Note that a host showed a certificate of a generation; costs nothing unless that is being tried."""
        if self.change is not None and generation == self.change.candidate:
            await self._registry.run(trials.used, generation, f"{name.tenant}/{name.agent}")

    def _tally(self, change: Change) -> Tally:
        if not change.candidate:
            return Tally()
        return self._registry.look(trials.tally, change.candidate, before=self._now() - self._terms.grace)

    def _note(self, before: Change, after: Change) -> None:
        if after.candidate and after.candidate != before.candidate:
            _log.warning("authority: generation %d is tried beside %d", after.candidate, after.current)
        if before.candidate and not after.candidate:
            outcome = "promoted" if after.current == before.candidate else "taken-back"
            self.outcomes[outcome] += 1
            _log.warning("authority: generation %d is %s", before.candidate, outcome.replace("-", " "))
            self._registry.write(trials.forget, before.candidate)

    def _follow(self, change: Change) -> None:
        self.change = change
        self._keeper.follow(Plan(for_all=change.current, server=change.server, candidate=change.candidate, chosen=self._chosen(change)))

    def _chosen(self, change: Change) -> Callable[[AgentName], bool]:
        return lambda name: self._has_labels(name) if self._terms.labels else slot(change.candidate, name) < change.share

    def _has_labels(self, name: AgentName) -> bool:
        controls = self._known.controls(name.tenant)
        found = member(controls, name.agent) if controls else None
        return found is not None and self._terms.labels.items() <= found.labels.items()


def slot(generation: int, name: AgentName) -> int:
    """Return a host's place in 0 … 99 of a trial: the same on every copy of serve, another one for each generation."""
    digest = sha256(f"{generation}\0{name.tenant}/{name.agent}".encode()).digest()
    return math.floor(int.from_bytes(digest[:8], "big") * 100 / 2**64)


def note_issued(connection: Connection, name: AgentName, generation: int, *, tried: bool, now: datetime) -> None:
    """Note in the transaction that hands out a certificate that it is of a generation that is being tried."""
    if tried:
        trials.issued(connection, generation, f"{name.tenant}/{name.agent}", now=now)


def try_step(rotation: Rotation) -> None:
    """Take a step; what goes wrong is logged, and tried again."""
    try:
        rotation.step()
    except OrdainError as error:
        _log.error("the change of authority can't be looked at: %s", error)


def held_for(store: Store) -> list[Hold]:
    """Return that rollouts wait while a new authority is tried, nothing where none is: a host that falls silent should have one cause."""
    change = change_file.read(store)
    if change is None or not change.candidate:
        return []
    return [Hold(kind="authority", why=f"a change of authority is under way: generation {change.candidate} is tried since {change.began}")]
