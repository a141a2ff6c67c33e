"""Telling git what operators did: each tenant's audit goes into the store, signed, where the pipeline finds it.

The audit itself stands in the registry; this copy outlives it. It is written a while after (`EVERY`), by whichever copy of `serve` comes
first: a part has one place, and whoever finds it changed meanwhile reads it again the next time.
"""

import asyncio
import logging
from dataclasses import dataclass

from agent.protocol.errors import OrdainError
from reconciler.control.beside import Running, beside
from reconciler.control.known import KnownTenants
from reconciler.control.registry import audit
from reconciler.control.registry.audit import Entry
from reconciler.control.registry.registry import Registry
from reconciler.publication import layout, operations
from reconciler.publication.keys import KeyRing
from reconciler.publication.operations import Operation, Operations
from reconciler.publication.store import Store
from reconciler.publication.times import stamp
from reconciler.publication.trust import read_trust

EVERY = 30.0
"""Seconds between looks at all chains."""
ROLE = "rollouts"

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class _Written:
    """What stands in the store of a tenant: its newest part, and the version of its file (None where there is none yet)."""

    newest: Operations
    version: str | None


class Telling:
    """The job, one for a process; `app.cleanup_ctx.append(Telling(…).running)`."""

    def __init__(self, *, registry: Registry, known: KnownTenants, store: Store, ring: KeyRing, every: float = EVERY) -> None:
        """Nothing is written before `running`."""
        self._registry, self._known, self._store, self._ring, self._every = registry, known, store, ring, every
        self._written: dict[str, _Written] = {}

    @property
    def running(self) -> Running:
        """What goes on while an application runs; for its `cleanup_ctx`."""
        return beside(self._for_ever)

    async def _for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            await asyncio.to_thread(self.once)

    def once(self) -> None:
        """Bring every tenant's chain to the store; what can't be written now is logged, and tried the next time."""
        try:
            heads = self._registry.look(audit.heads)
        except OrdainError as error:
            _log.warning("the audit can't be read: %s", error)
            return
        for tenant in self._known.tenants():
            head = heads.get(tenant, 0)
            known = self._written.get(tenant)
            if head and self._ring.has(f"{tenant}/{ROLE}") and (known is None or known.newest.last[0] != head):
                try:
                    self._bring(tenant, head)
                except OrdainError as error:
                    self._written.pop(tenant, None)
                    _log.warning("what operators did is not in the store yet: %s", error, extra={"tenant": tenant})

    def _bring(self, tenant: str, head: int) -> None:
        written = self._written.get(tenant) or self._found(tenant, head)
        while written.newest.last[0] < head:
            more = self._registry.look(
                audit.listed, tenant, after=str(written.newest.last[0]), limit=operations.PART, newest_first=False
            ).items
            put = self._put(tenant, written, more) if more else None
            if put is None:
                return
            written = self._written[tenant] = put

    def _put(self, tenant: str, written: _Written, more: tuple[Entry, ...]) -> _Written | None:
        """Write the next entries, as far as one part goes; return what stands then, None where somebody else was quicker."""
        before, part = written.newest, operations.part_of(more[0].number)
        fresh = part != before.part
        standing = [] if fresh else before.operations
        added = [_operation(one) for one in more if operations.part_of(one.number) == part]
        made = Operations(
            format=operations.FORMAT,
            tenant=tenant,
            series=before.series,
            part=part,
            previous=more[0].previous if fresh or not standing else before.previous,
            operations=[*standing, *added],
        )
        key = layout.operations(tenant, made.series, part)
        if not self._store.replace(key, operations.write(made, self._ring.signer(f"{tenant}/{ROLE}")), None if fresh else written.version):
            self._written.pop(tenant, None)
            return None
        return _Written(newest=made, version=self._store.version(key))

    def _found(self, tenant: str, head: int) -> _Written:
        """Return what stands in the store, where it is of this registry's chain; else the beginning of a new series."""
        keys = sorted(self._store.list(layout.operations(tenant)))
        trust = read_trust(self._store, tenant)
        if not keys or trust is None:
            return _beginning(tenant, 1)
        data = self._store.get_versioned(keys[-1])
        newest = operations.read(data[0], trust.keys(ROLE), tenant=tenant) if data else None
        if data is None or newest is None or not self._continues(newest, head):
            return _beginning(tenant, (newest.series if newest else 0) + 1)
        return _Written(newest=newest, version=data[1])

    def _continues(self, newest: Operations, head: int) -> bool:
        number, known = newest.last
        if number > head:
            return False
        found = self._registry.look(audit.listed, newest.tenant, after=str(number - 1), limit=1, newest_first=False).items
        return not found or found[0].number != number or found[0].hash == known


def _beginning(tenant: str, series: int) -> _Written:
    newest = Operations(format=operations.FORMAT, tenant=tenant, series=series, part=0, previous="", operations=[])
    return _Written(newest=newest, version=None)


def _operation(entry: Entry) -> Operation:
    plain = {name: getattr(entry, name) for name in Operation.__struct_fields__ if name != "at"}
    return Operation(**plain, at=stamp(entry.at))
