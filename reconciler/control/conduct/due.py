"""In which mode each host of a candidate should be now: what hosts reckon themselves, from the document that stands published."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache

from agent.protocol import bundle
from agent.protocol.rollout import RolloutDocument, followed, mode_due
from reconciler.publication import layout
from reconciler.publication.store import Store
from reconciler.publication.times import stamp
from reconciler.rollouts.waves import Member

KEPT = 256
"""Bundles of which the modes are remembered: those of candidates for which a mode was switched on."""
BASE = ""
"""How receipts and this module call no mode."""

ModeOf = Callable[[str], str]
"""A host's name → the mode that is due for it."""


class Modes:
    """Which modes bundles have; a bundle never changes under its digest, so each is read once."""

    def __init__(self, store: Store) -> None:
        """`store` is where approved bundles stand."""
        self._store = store
        self._limits = lru_cache(maxsize=KEPT)(self._read)

    def due(self, fleet: str, digest: str, document: RolloutDocument | None, members: Sequence[Member], now: datetime) -> ModeOf:
        """Return what says in which mode a host of a release of a fleet (`<tenant>/<fleet>`) should be.

        Raises:
            MalformedError: the store lacks its bundle.
        """
        if document is None or not document.modes:
            return lambda _: BASE
        limits = self._limits(fleet, digest)
        on, _ = followed(document, limits)
        labels = {member.name: member.labels for member in members} if on.modes else {}
        at, known = stamp(now), list(limits)
        return lambda name: mode_due(on, known=known, now=at, agent=name, labels=labels.get(name, {})) or BASE

    def _read(self, name: str, digest: str) -> Mapping[str, int]:
        tenant, _, fleet = name.partition("/")
        packed = self._store.get(layout.approved(tenant, fleet, bundle.target(fleet, digest))) or b""
        groups = bundle.unpack(packed, digest=digest).groups
        return next((group.limits for group in groups.values()), {})
