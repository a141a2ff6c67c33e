"""Bringing the host to what its fleets ask for: each fleet by itself, and none before what it needs is free.

A fleet that wants what another one holds waits, and is tried again as soon as that other one has moved on. What a fleet
gives up and another wants stays in place in between. Effects come after the commit, and again at each look: what came of
a release is said only after them.
"""

import os
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from agent.apply import generations as generations_of
from agent.apply.checks import CheckError
from agent.apply.generations import Generations, Meta
from agent.apply.plan import Plan
from agent.apply.survey import Digests, desired_items, plan_for, replaced, require_allowed, require_blocks_allowed
from agent.apply.transaction import Change, Workspace, apply
from agent.archives.entries import ArchiveError
from agent.effects.effects import Effects, Outcome
from agent.effects.finished import finish_state
from agent.effects.holding import Holding
from agent.effects.plan import Effect
from agent.effects.reboot import ABOUT
from agent.effects.resources import resources
from agent.fetching.cache import NotYetError
from agent.following.admission import Wanted
from agent.healing.trial import Trials
from agent.health.checkup import Checkup
from agent.health.marks import Marks
from agent.logs import Log, timestamp
from agent.owner.allow import Allow, read_allow, require_resources
from agent.protocol.errors import InputError, OrdainError, RefusedError, RetryError, disk_trouble
from agent.protocol.state import State
from agent.providers.fix import Fix
from agent.providers.item import NOBODY, Coming, Item
from agent.reporting import receipts
from agent.reporting.receipts import Result
from agent.reporting.spool import Spool
from agent.reporting.status import FleetStatus, StatusBook
from agent.reporting.usage import UsageBook
from agent.secrets.filling import NOTHING, Filling
from agent.secrets.values import Secrets
from agent.settings import Settings, read_reboot
from agent.settling.converger import Converger, coming_with
from agent.settling.repairs import Repairs
from agent.settling.supported import require_supported, within_reach
from agent.settling.table import Table

PROBE = "probe "
"""How begins what is said of a release whose probes do not hold yet."""
OWN = "/etc/ordain"
"""Where a host's owner keeps what the agent is told: which server, whom to trust, and what releases may do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a state means on this host, and what it would change."""

    state: State
    """With its texts finished."""
    items: Mapping[str, Item]
    plan: Plan
    warnings: tuple[str, ...]
    """About what runs."""
    sealed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Of processes with secrets in their environment: see `Holding`."""

    @property
    def all_warnings(self) -> frozenset[str]:
        """Those about paths, too."""
        return frozenset([*self.warnings, *(warning for item in self.items.values() for warning in item.warnings)])


@dataclass(slots=True, kw_only=True)
class Settler:
    """Settles what fleets ask for; lives as long as the agent, for its marks and digests."""

    settings: Settings
    work: Workspace
    book: StatusBook
    log: Log
    effects: Effects
    converger: Converger
    spool: Spool
    secrets: Secrets
    checkup: Checkup
    usage: UsageBook
    marks: Marks = field(default_factory=Marks)
    digests: Digests = field(default_factory=Digests)
    repairs: Repairs = field(default_factory=Repairs)
    in_contact: bool = False
    """Whether the server answers at this poll."""

    def generations(self, fleet: str) -> Generations:
        """Return the generations of a fleet."""
        return Generations(self.work.disk.fleet(fleet))

    def table(self, wanted: Mapping[str, Wanted], left: frozenset[str]) -> Table:
        """Return who holds what now."""
        current = {fleet: self.generations(fleet).current_state() for fleet in self.work.disk.known_fleets()}
        return Table(current=current, wanted=wanted, left=left)

    def settle(self, wanted: Mapping[str, Wanted], left: frozenset[str]) -> None:
        """Bring every fleet to what it asks for, in as many passes as paths and resources change hands."""
        open_fleets = sorted(wanted)
        there: dict[str, Prepared | None] = {}
        progress = True
        while open_fleets and progress and not self.work.stopping():
            progress = False
            for fleet in list(open_fleets):
                table = self.table(wanted, left)
                if table.conflict(fleet, wanted[fleet].state) is None:
                    open_fleets.remove(fleet)
                    self._bring_alone(wanted[fleet], table, there)
                    progress = True
        table = self.table(wanted, left)
        for fleet in open_fleets:
            self._waits(wanted[fleet], table)
        outcomes = self.bring_about(table, said=there, may_reboot=True)
        for fleet, prepared in there.items():
            self._outcome(wanted[fleet], *_came_of(outcomes.get(fleet, Outcome())), prepared)

    def prepare(self, fleet: str, state: State, table: Table, coming: Coming = NOBODY) -> Prepared:
        """Return what a state means here and what it would change; who is `coming` is not known yet, and refuses nothing.

        Raises:
            RefusedError: the host can't hold it, or its owner does not allow it.
            InputError: `agent.toml` can't be read.
        """
        host = self.work.host
        filling = self.secrets.filling(state)
        finished, out_of_reach, allow = self._admitted(state, filling)
        items = self._items(state, filling, coming)
        replacing = replaced(items, host=host, originals=self.work.originals, elsewhere=table.elsewhere(fleet))
        require_allowed(items, host=host, allow=allow, own=self._own(), replacing=replacing)
        warnings = (*out_of_reach, *self.effects.require(finished, coming))
        plan = plan_for(
            items,
            host=host,
            originals=self.work.originals,
            digests=self.digests,
            claimed=table.claimed(fleet, state),
            replacing=replacing,
        )
        return Prepared(state=finished, items=items, plan=plan, warnings=warnings, sealed=filling.sealed(state, finished))

    def fixes(self, fleet: str, state: State, table: Table, *, refresh: bool) -> list[Fix]:
        """Return what must be changed before a switch to a state and is not taken back by a rollback.

        Raises:
            RefusedError: the host can't hold it, or its owner does not allow it.
            RetryError: it can't be said now.
        """
        finished, _, _ = self._admitted(state, self.secrets.filling(state))
        former = msgspec.structs.replace(table.former(fleet), processes=[])  # whose secrets may be nowhere to be had any more
        return self.converger.fixes(finished, self.meant(former)[0], refresh=refresh)

    def _admitted(self, state: State, filling: Filling) -> tuple[State, tuple[str, ...], Allow]:
        """Return a state as it is meant here, warnings about that, and what the host's owner allows: all of it but its paths."""
        allow = read_allow(self.settings.config)
        finished, out_of_reach = self.meant(state, filling)
        require_supported(finished, self.effects.supported())
        require_resources(finished, allow, agent_is_root=os.geteuid() == 0)
        require_blocks_allowed(finished.host_files, host=self.work.host, allow=allow, own=self._own())
        return finished, out_of_reach, allow

    def _own(self) -> tuple[Path, ...]:
        """Return what no release may touch, since it could give itself leave: `agent.toml`, the anchor of trust, the agent's state."""
        return (self.settings.config, self.work.host.outside(OWN), self.work.disk.root)

    def meant(self, state: State, filling: Filling = NOTHING) -> tuple[State, tuple[str, ...]]:
        """Return a state with its texts finished and without what can't be had below a `--root`, and warnings about that.

        Raises:
            MalformedError: a reference that an agent can't fill in.
        """
        finished = finish_state(state, tenant=self.settings.tenant, agent=self.settings.name, filling=filling)
        return within_reach(finished, self.work.host, has_systemd=self.effects.units.services.systemd.available, reboots=self._reboots())

    def _reboots(self) -> bool:
        """Return whether a host below a `--root` is one that can be rebooted: `agent.toml` says by which command."""
        try:
            return bool(read_reboot(self.settings.config))
        except InputError:
            return False

    def _items(self, state: State, filling: Filling, coming: Coming = NOBODY) -> dict[str, Item]:
        settings, work = self.settings, self.work
        return desired_items(
            state, host=work.host, cache=work.cache, tenant=settings.tenant, agent=settings.name, coming=coming, filling=filling
        )

    # What runs

    def bring_about(
        self, table: Table, *, said: Iterable[str] = (), former: Iterable[State] = (), may_reboot: bool = False
    ) -> dict[str, Outcome]:
        """Bring about what the fleets' generations ask for beside files, and return how each fleet stands.

        It is noted in the status of each fleet but those in `said`, of which there is more to say. `former` are states held
        until now, for the order in which what goes stops.
        """
        holdings = [holding for fleet in sorted(table.current) if (holding := self._holding(fleet, table)) is not None]
        try:
            outcomes = self.effects.bring(holdings, spared=self._spared(table), former=former)
            outcomes = self.effects.reboot(holdings, outcomes) if may_reboot else outcomes
        except Exception as error:  # noqa: BLE001 - files are held to what they should be whatever becomes of what runs
            why = self._logged("what runs", error)
            outcomes = {holding.fleet: Outcome(troubles=(why,)) for holding in holdings}
        self.checkup.keep([holding.fleet for holding in holdings])
        outcomes = {holding.fleet: self._probed(holding, outcomes[holding.fleet]) for holding in holdings}
        for fleet, outcome in outcomes.items():
            self._note_standing(fleet, outcome, said=fleet in said)
        return outcomes

    def _probed(self, holding: Holding, outcome: Outcome) -> Outcome:
        """Return how a fleet stands with what its probes say, once all that it asks for was brought about."""
        if holding.items is None or not self.effects.is_up(holding):
            return outcome
        standing = self.checkup.look(holding.fleet, holding.generation, holding.state.probes)
        if standing is None or standing.verdict == "holds":
            return outcome
        if standing.verdict == "failed":
            return replace(outcome, troubles=(*outcome.troubles, standing.why))
        trial = Trials(self.work.disk.fleet(holding.fleet)).read()
        on_trial = trial is not None and trial.generation == holding.generation and not trial.proven
        return replace(outcome, waiting=outcome.waiting or standing.why) if on_trial else outcome

    def _spared(self, table: Table) -> frozenset[str]:
        """Return what goes on though no fleet holds it now, since one is about to."""
        return table.asked(held=frozenset(fleet for fleet in table.wanted if self.generations(fleet).hold() is not None))

    def planned(self, fleet: str, prepared: Prepared, table: Table) -> list[Effect]:
        """Return what a switch of a fleet to what was prepared would bring about beside files; changes nothing.

        Raises:
            RetryError: systemd does not answer.
        """
        others = [holding for name in sorted(table.current) if name != fleet and (holding := self._holding(name, table)) is not None]
        becoming = Holding(fleet=fleet, state=prepared.state, generation=0, transaction="", items=prepared.items, sealed=prepared.sealed)
        held = resources(table.current.get(fleet, State()))
        found = self.effects.planned([*others, becoming], spared=self._spared(table))
        return [effect for effect in found if effect.fleet == fleet or (not effect.fleet and effect.resource in held)]

    def _holding(self, fleet: str, table: Table) -> Holding | None:
        """Return what a fleet holds here, None before its first generation."""
        pointer = self.generations(fleet).pointer()
        if pointer is None:
            return None
        held = state = table.holding(fleet)
        items: dict[str, Item] | None = {}
        sealed: Mapping[str, Mapping[str, str]] = {}
        try:
            filling = self.secrets.filling(held)
            state, _ = self.meant(held, filling)
            require_resources(state, read_allow(self.settings.config), agent_is_root=os.geteuid() == 0)
            items = self._items(held, filling) if state.processes or state.services or state.actions else {}
            sealed = filling.sealed(held, state)
        except (OrdainError, OSError):  # drift says why; what runs goes on
            items = None
        return Holding(fleet=fleet, state=state, generation=pointer.generation, transaction=pointer.transaction, items=items, sealed=sealed)

    def _note_standing(self, fleet: str, outcome: Outcome, *, said: bool) -> None:
        """Note how what runs of a fleet stands, where nothing newer of it is to be said."""
        status, meta = self.book.read(fleet), self.generations(fleet).current()
        if status is None or meta is None:
            return
        since = {one.path: one.since for one in status.drift}
        drift = [one for one in status.drift if one.path.startswith("/")]
        drift += self.converger.drifts.get(fleet, ())
        drift += [msgspec.structs.replace(one, since=since.get(one.path, one.since)) for one in outcome.drifts]
        status = msgspec.structs.replace(status, drift=drift)
        ours = status.result in ("applied", "failed") or status.why.startswith((ABOUT, PROBE))
        if not said and status.digest == meta.digest and ours:
            result, why = _came_of(outcome)
            status = msgspec.structs.replace(status, result=result, why=self.secrets.veil(why), since=timestamp())
        if self.book.write(fleet, status) and not said:
            self.log.step(status.result, fleet=fleet, why=status.why or None)

    # One fleet

    def _bring_alone(self, wanted: Wanted, table: Table, there: dict[str, Prepared | None]) -> None:
        """Bring one fleet to what it asks for; whatever goes wrong, the others go on."""
        try:
            self._bring(wanted, table, there)
        except Exception as error:  # noqa: BLE001 - not even a fault of ours in one fleet may hold up the others
            self.marks.wait(wanted.key)
            self.fault(wanted.fleet, error)

    def fault(self, fleet: str, error: Exception) -> None:
        """Note what nobody expected of a fleet: its traceback in the log, a sentence in its status."""
        self.trouble(fleet, "failed", self._logged(fleet, error), listed=True, serial=None)

    def _logged(self, of: str, error: Exception) -> str:
        """Log what nobody expected, and return it as a sentence."""
        ours = not isinstance(error, (OrdainError, OSError))
        why = f"a fault of ordain, please report it ({type(error).__name__}: {error})" if ours else str(error)
        self.log.step("fault", fleet=of, why=why, traceback="".join(traceback.format_exception(error)) if ours else None)
        return why

    def _bring(self, wanted: Wanted, table: Table, there: dict[str, Prepared | None]) -> None:
        """Bring one fleet to what it asks for, unless it is held, known to be bad, or there already; note in `there` if it is."""
        generations = self.generations(wanted.fleet)
        if self._is_held(generations, wanted):
            return
        meta = generations.current()
        if meta is not None and wanted.state == generations.state(meta.generation):
            self._restamp(generations, meta, wanted)
            there[wanted.fleet] = None
            return
        bad = self.marks.bad(self.work.disk.fleet(wanted.fleet), wanted.key)
        cut_off = Trials(self.work.disk.fleet(wanted.fleet)).rests(wanted.key, told=self._is_told())
        if bad is not None:
            self._outcome(wanted, "restored" if self.marks.was_restored(self.work.disk.fleet(wanted.fleet), wanted.key) else "failed", bad)
        elif cut_off is not None:
            self._outcome(wanted, "restored", cut_off)
        elif not self.marks.is_waiting(wanted.key):
            self._try(wanted, table, generations, there)

    def _is_told(self) -> bool:
        """Return whether the server answers, and knows all that came of releases here; nobody tells one where this host is not enrolled."""
        return self.in_contact and not (self.work.disk.joining.is_dir() and self.spool.read().receipts)

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

    def _try(self, wanted: Wanted, table: Table, generations: Generations, there: dict[str, Prepared | None]) -> None:
        try:
            fixes = self.fixes(wanted.fleet, wanted.state, table, refresh=True)
            prepared = self.prepare(wanted.fleet, wanted.state, table, coming_with(fixes, wanted.state))
            self._fetch(prepared.plan)
            if fixes:
                self.converger.carry_out(wanted.fleet, fixes)
                prepared = self.prepare(wanted.fleet, wanted.state, table)
            meta, plan = _meta(wanted, generations.next_number(), applied_at=timestamp()), prepared.plan
            self.log.step("apply", fleet=wanted.fleet, generation=meta.generation, digest=wanted.release.digest, changes=len(plan.actions))
            former = table.current.get(wanted.fleet, State())
            self.usage.begin(wanted.fleet, digest=wanted.release.digest, attempt=wanted.attempt)
            self.effects.adopt(prepared.state, prepared.items, [action.path for action in plan.actions])
            trials = Trials(self.work.disk.fleet(wanted.fleet))
            trials.begin(meta.generation, key=wanted.key, contact=self.in_contact, at=meta.applied_at)
            apply(self.work, Change(fleet=wanted.fleet, meta=meta, items=prepared.items, plan=plan, state=wanted.state))
            self.marks.settle(wanted.key)
            there[wanted.fleet] = prepared
            self.bring_about(self.table(table.wanted, table.left), said=there, former=[former])
        except NotYetError as error:
            self._outcome(wanted, "waiting", str(error))
        except (CheckError, ArchiveError) as error:
            self.marks.mark_bad(self.work.disk.fleet(wanted.fleet), wanted.key, self.secrets.veil(str(error)))
            self._outcome(wanted, "failed", str(error))
        except (RefusedError, InputError) as error:
            self._outcome(wanted, "refused", str(error))
        except (RetryError, OSError) as error:
            seconds = self.marks.wait(wanted.key)
            self.log.step("retry", fleet=wanted.fleet, seconds=round(seconds))
            self._outcome(wanted, "failed", str(disk_trouble(error) if isinstance(error, OSError) else error))

    def _fetch(self, plan: Plan) -> None:
        """Have all artifacts of a plan on this disk before anything begins: that may take long, or break off."""
        for action in plan.actions:
            if action.kind == "put" and action.item is not None and action.item.source is not None:
                self.work.cache.fetch(action.item.source, stopping=self.work.stopping)

    def _waits(self, wanted: Wanted, table: Table) -> None:
        conflict = table.conflict(wanted.fleet, wanted.state)
        if conflict is not None:
            self._outcome(wanted, "waiting", conflict)

    def note_restored(self, wanted: Wanted, why: str) -> None:
        """Note that a release was taken back, and that the generation of now is one from before it."""
        self._outcome(wanted, "restored", why)
        self.spool.note("restored", fleet=wanted.fleet, text=why)

    def _outcome(self, wanted: Wanted, result: Result, why: str, prepared: Prepared | None = None) -> None:
        """Note what came of a release: status, receipt and log."""
        why = self.secrets.veil(why)
        meta = self.generations(wanted.fleet).current()
        old = self.book.read(wanted.fleet)
        warnings = sorted({*wanted.warnings, *(prepared.all_warnings if prepared else ())})
        if prepared is None and old is not None and old.digest == wanted.release.digest:
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
        if result == "applied":
            self.usage.applied(wanted.fleet, digest=wanted.release.digest, attempt=wanted.attempt)
        if self.book.write(wanted.fleet, status):
            self.log.step(result, fleet=wanted.fleet, digest=wanted.release.digest, serial=wanted.serial, why=why or None)
        identity = self.settings
        generation = meta.generation if meta else 0
        receipt = receipts.receipt_of(wanted, tenant=identity.tenant, agent=identity.name, generation=generation, result=result, why=why)
        self.spool.record(receipt)

    def trouble(self, fleet: str, result: Result, why: str, *, listed: bool, serial: int | None) -> None:
        """Note that nothing came of a fleet's news: what runs is kept."""
        why = self.secrets.veil(why)
        old = self.book.read(fleet) or FleetStatus(result=result, why=why, since=timestamp())
        kept = old.serial if serial is None else serial
        status = msgspec.structs.replace(old, result=result, why=why, since=timestamp(), listed=listed, serial=kept)
        if self.book.write(fleet, status):
            self.log.step(result, fleet=fleet, why=why)


def _came_of(outcome: Outcome) -> tuple[Result, str]:
    """Return what is to be said of a fleet that is at its newest release."""
    if outcome.troubles:
        return "failed", "; ".join(outcome.troubles)
    return ("waiting", outcome.waiting) if outcome.waiting else ("applied", "")


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
