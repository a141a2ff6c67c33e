"""Bringing the host to what its fleets ask for: each fleet by itself, and none before the paths it needs are free.

A path belongs to the fleet whose current generation declares it. A fleet that wants another's path waits, and is tried
again as soon as that other one has moved on. What a fleet gives up and another wants stays in place in between.
"""

import os
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from agent import generations as generations_of
from agent import receipts
from agent.admission import Wanted
from agent.allow import read_allow, require_resources
from agent.apply.checks import CheckError
from agent.apply.plan import Plan, claims, declared, trees_of, within
from agent.apply.survey import Digests, desired_items, plan_for, replaced, require_allowed
from agent.apply.transaction import Change, Workspace, apply
from agent.archives.entries import ArchiveError
from agent.cache import NotYetError
from agent.generations import Generations, Meta
from agent.logs import Log, timestamp
from agent.marks import Marks
from agent.protocol.errors import InputError, OrdainError, RefusedError, RetryError, disk_trouble
from agent.protocol.state import State
from agent.providers.item import Item
from agent.receipts import Result
from agent.settings import Settings
from agent.status import FleetStatus, StatusBook
from agent.supported import require_supported


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Who holds what: what each fleet holds now, what each one asks for, and which have let this host go."""

    current: Mapping[str, State]
    wanted: Mapping[str, Wanted]
    left: frozenset[str]

    def conflict(self, fleet: str, state: State) -> str | None:
        """Return which path of `state` another fleet still holds, None if all are free for `fleet`."""
        needed = declared(state)
        for other, held in self.current.items():
            if other == fleet:
                continue
            taken = needed & declared(held) if other not in self.left else frozenset()
            taken |= within(needed, trees_of(held) - needed) | within(declared(held), trees_of(state) - declared(held))
            if taken:
                return f"{min(taken)} still belongs to fleet {other} here"
        return None

    def elsewhere(self, fleet: str) -> frozenset[str]:
        """Return the paths that other fleets declare."""
        return frozenset().union(*(declared(state) for name, state in self.current.items() if name != fleet))

    def claimed(self, fleet: str, state: State) -> list[frozenset[str]]:
        """Return all claims there are once `fleet` holds `state`.

        A fleet that let this host go keeps its claims, so that nothing of it is removed, but not on what another took over.
        """
        holding = {name: claims(held) for name, held in self.current.items() if name not in self.left}
        taken_over = frozenset().union(*holding.values())
        abandoned = [claims(held) - taken_over for name, held in self.current.items() if name in self.left and name != fleet]
        asked = [claims(wanted.state) for wanted in self.wanted.values()]  # this fleet's too: it may be about to take over a path
        others = [claim for name, claim in holding.items() if name != fleet]
        return [claims(state), *others, *asked, *abandoned]


@dataclass(slots=True, kw_only=True)
class Settler:
    """Settles what fleets ask for; lives as long as the agent, for its marks and digests."""

    settings: Settings
    work: Workspace
    book: StatusBook
    log: Log
    marks: Marks = field(default_factory=Marks)
    digests: Digests = field(default_factory=Digests)

    def generations(self, fleet: str) -> Generations:
        """Return the generations of a fleet."""
        return Generations(self.work.disk.fleet(fleet))

    def table(self, wanted: Mapping[str, Wanted], left: frozenset[str]) -> Table:
        """Return who holds what now."""
        current = {fleet: self.generations(fleet).current_state() for fleet in self.work.disk.known_fleets()}
        return Table(current=current, wanted=wanted, left=left)

    def settle(self, wanted: Mapping[str, Wanted], left: frozenset[str]) -> None:
        """Bring every fleet to what it asks for, in as many passes as paths change hands."""
        open_fleets = sorted(wanted)
        progress = True
        while open_fleets and progress and not self.work.stopping():
            progress = False
            for fleet in list(open_fleets):
                table = self.table(wanted, left)
                if table.conflict(fleet, wanted[fleet].state) is None:
                    open_fleets.remove(fleet)
                    self._bring_alone(wanted[fleet], table)
                    progress = True
        for fleet in open_fleets:
            self._waits(wanted[fleet], self.table(wanted, left))

    def prepare(self, fleet: str, state: State, table: Table) -> tuple[dict[str, Item], Plan]:
        """Return what a state means here and what it would change.

        Raises:
            RefusedError: the host can't hold it, or its owner does not allow it.
            InputError: `agent.toml` can't be read.
        """
        settings, host = self.settings, self.work.host
        allow = read_allow(settings.config)
        require_supported(state)
        require_resources(state, allow, agent_is_root=os.geteuid() == 0)
        items = desired_items(state, host=host, cache=self.work.cache, tenant=settings.tenant, agent=settings.name)
        own = (settings.config, self.work.disk.root)
        replacing = replaced(items, host=host, originals=self.work.originals, elsewhere=table.elsewhere(fleet))
        require_allowed(items, host=host, allow=allow, own=own, replacing=replacing)
        return items, plan_for(
            items,
            host=host,
            originals=self.work.originals,
            digests=self.digests,
            claimed=table.claimed(fleet, state),
            replacing=replacing,
        )

    # One fleet

    def _bring_alone(self, wanted: Wanted, table: Table) -> None:
        """Bring one fleet to what it asks for; whatever goes wrong, the others go on."""
        try:
            self._bring(wanted, table)
        except Exception as error:  # noqa: BLE001 - not even a fault of ours in one fleet may hold up the others
            self.marks.wait(wanted.key)
            self.fault(wanted.fleet, error)

    def fault(self, fleet: str, error: Exception) -> None:
        """Note what nobody expected of a fleet: its traceback in the log, a sentence in its status."""
        ours = not isinstance(error, (OrdainError, OSError))
        why = f"a fault of ordain, please report it ({type(error).__name__}: {error})" if ours else str(error)
        self.log.step("fault", fleet=fleet, why=why, traceback="".join(traceback.format_exception(error)) if ours else None)
        self.trouble(fleet, "failed", why, listed=True, serial=None)

    def _bring(self, wanted: Wanted, table: Table) -> None:
        """Bring one fleet to what it asks for, unless it is held, known to be bad, or there already."""
        generations = self.generations(wanted.fleet)
        if self._is_held(generations, wanted):
            return
        meta = generations.current()
        if meta is not None and wanted.state == generations.state(meta.generation):
            self._restamp(generations, meta, wanted)
            return
        bad = self.marks.bad(self.work.disk.fleet(wanted.fleet), wanted.key)
        if bad is not None:
            self._outcome(wanted, "failed", bad)
        elif not self.marks.is_waiting(wanted.key):
            self._try(wanted, table, generations)

    def _is_held(self, generations: Generations, wanted: Wanted) -> bool:
        hold = generations.hold()
        if hold is None:
            return False
        if (wanted.release.digest, wanted.attempt) != (hold.digest, hold.attempt):
            generations.set_hold(None)
            return False
        why = f"rolled back by hand at {hold.at}; stays until a newer release than {hold.digest[:12]} comes"
        self._outcome(wanted, "restored", why)
        return True

    def _restamp(self, generations: Generations, meta: Meta, wanted: Wanted) -> None:
        """Note that the current generation is what the newest release asks for."""
        fresh = _meta(wanted, meta.generation, applied_at=meta.applied_at)
        if fresh != meta:
            generations.record(fresh)
        self._outcome(wanted, "applied", "")

    def _try(self, wanted: Wanted, table: Table, generations: Generations) -> None:
        try:
            items, plan = self.prepare(wanted.fleet, wanted.state, table)
            self._fetch(plan)
            meta = _meta(wanted, generations.next_number(), applied_at=timestamp())
            self.log.step("apply", fleet=wanted.fleet, generation=meta.generation, digest=wanted.release.digest, changes=len(plan.actions))
            apply(self.work, Change(fleet=wanted.fleet, meta=meta, items=items, plan=plan, state=wanted.state))
        except NotYetError as error:
            self._outcome(wanted, "waiting", str(error))
        except (CheckError, ArchiveError) as error:
            self.marks.mark_bad(self.work.disk.fleet(wanted.fleet), wanted.key, str(error))
            self._outcome(wanted, "failed", str(error))
        except (RefusedError, InputError) as error:
            self._outcome(wanted, "refused", str(error))
        except (RetryError, OSError) as error:
            seconds = self.marks.wait(wanted.key)
            self.log.step("retry", fleet=wanted.fleet, seconds=round(seconds))
            self._outcome(wanted, "failed", str(disk_trouble(error) if isinstance(error, OSError) else error))
        else:
            self.marks.settle(wanted.key)
            self._outcome(wanted, "applied", "", items)

    def _fetch(self, plan: Plan) -> None:
        """Have all artifacts of a plan on this disk before anything begins: that may take long, or break off."""
        for action in plan.actions:
            if action.kind == "put" and action.item is not None and action.item.source is not None:
                self.work.cache.fetch(action.item.source, stopping=self.work.stopping)

    def _waits(self, wanted: Wanted, table: Table) -> None:
        conflict = table.conflict(wanted.fleet, wanted.state)
        if conflict is not None:
            self._outcome(wanted, "waiting", conflict)

    def _outcome(self, wanted: Wanted, result: Result, why: str, items: Mapping[str, Item] | None = None) -> None:
        """Note what came of a release: status, receipt and log."""
        meta = self.generations(wanted.fleet).current()
        old = self.book.read(wanted.fleet)
        warnings = sorted({*wanted.warnings, *(warning for item in (items or {}).values() for warning in item.warnings)})
        if items is None and old is not None and old.digest == wanted.release.digest:
            warnings = sorted({*warnings, *old.warnings})
        status = FleetStatus(
            result=result,
            why=why,
            since=timestamp(),
            digest=wanted.release.digest,
            attempt=wanted.attempt,
            serial=wanted.serial,
            warnings=warnings,
            drift=old.drift if old else [],
            fresh_until=old.fresh_until if old else "",
        )
        if self.book.write(wanted.fleet, status):
            self.log.step(result, fleet=wanted.fleet, digest=wanted.release.digest, serial=wanted.serial, why=why or None)
        identity = self.settings
        generation = meta.generation if meta else 0
        receipt = receipts.receipt_of(wanted, tenant=identity.tenant, agent=identity.name, generation=generation, result=result, why=why)
        receipts.record(self.work.disk, receipt)

    def trouble(self, fleet: str, result: Result, why: str, *, listed: bool, serial: int | None) -> None:
        """Note that nothing came of a fleet's news: what runs is kept."""
        old = self.book.read(fleet) or FleetStatus(result=result, why=why, since=timestamp())
        kept = old.serial if serial is None else serial
        status = msgspec.structs.replace(old, result=result, why=why, since=timestamp(), listed=listed, serial=kept)
        if self.book.write(fleet, status):
            self.log.step(result, fleet=fleet, why=why)


def _meta(wanted: Wanted, number: int, *, applied_at: str) -> Meta:
    return Meta(
        format=generations_of.FORMAT,
        generation=number,
        digest=wanted.release.digest,
        members=wanted.release.members,
        group=wanted.group,
        mode=wanted.mode,
        attempt=wanted.attempt,
        serial=wanted.serial,
        commit=wanted.commit,
        decision=wanted.decision,
        applied_at=applied_at,
    )
