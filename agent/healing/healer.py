"""Confirm or take back: what becomes of a release after its switch is seen here, and not left to whoever can reach this host.

A release is taken back where its probes fail, where the server can't be reached any more though it could be before, and where the agent
dies again and again since. Going back is a switch like any other; what it is for stands on disk before it begins, so that a power loss
at any instant ends with the generation before.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from agent.apply import generations as generations_of
from agent.apply.generations import Meta
from agent.apply.transaction import Change, apply
from agent.following.admission import Wanted
from agent.healing.trial import TRIES, Cause, Trial, Trials
from agent.logs import timestamp
from agent.protocol import faults
from agent.protocol.errors import InputError, RefusedError, disk_trouble
from agent.protocol.rollout import Release
from agent.protocol.state import State
from agent.settings import CONFIRM_SECONDS, read_confirm
from agent.settling.settle import Settler

PLACES = ("healing:before-restore", "healing:mid-restore", "healing:after-restore")
"""Where a crash test may kill the agent here."""
STARTS = 5
"""Starts of the agent since a switch, each after a death, none of which lived long or ended in order: this release kills it."""
LIVED_SECONDS = 60.0
"""How long an agent must live after a switch to be none that the release kills."""


@dataclass(slots=True)
class Healer:
    """Looks at the trials of one host; lives as long as the agent."""

    settler: Settler
    clock: Callable[[], float] = time.monotonic
    began: float = field(init=False)
    looked: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.looked = self.clock()

    def trials(self, fleet: str) -> Trials:
        """Return the trial of a fleet."""
        return Trials(self.settler.work.disk.fleet(fleet))

    def started(self) -> None:
        """Count a start of the agent, before anything else that a release could spoil."""
        for fleet, trial in self._running():
            if not trial.lived:
                self._keep(fleet, msgspec.structs.replace(trial, starts=trial.starts + 1))

    def ended(self) -> None:
        """Note that the agent ends because it was asked to, or its one look is over."""
        for fleet, trial in self._running():
            self._keep(fleet, msgspec.structs.replace(trial, starts=0, lived=True))

    def settle_crashes(self) -> None:
        """Go back where going back was begun, and from releases since which the agent died again and again."""
        for fleet, trial in self._running():
            if trial.why:
                self._go_back(fleet, trial)
            elif trial.starts >= STARTS and not trial.lived:
                why = f"the agent died {trial.starts} times since the switch to generation {trial.generation}"
                self._take_back(fleet, trial, "crashes", why)

    def attend(self, *, in_contact: bool) -> None:
        """Look how each trial stands, now that the server was asked; end those that are over, one way or the other."""
        now = self.clock()
        elapsed, self.looked = now - self.looked, now
        for fleet, trial in self._running():
            if trial.why:
                self._go_back(fleet, trial)
                continue
            seen = self._seen(fleet, trial, elapsed, in_contact=in_contact)
            verdict = self._verdict(fleet, seen)
            if verdict is not None:
                self._take_back(fleet, seen, *verdict)
            elif seen.works:
                self.trials(fleet).end()
            elif seen != trial:
                self._keep(fleet, seen)

    def _keep(self, fleet: str, trial: Trial) -> None:
        """Keep how a trial stands; on a full disk it stands as it did, and all else goes on."""
        try:
            self.trials(fleet).write(trial)
        except OSError as error:
            self.settler.log.step("error", fleet=fleet, why=str(disk_trouble(error)))

    def seconds(self) -> float:
        """Return the seconds until some trial must be looked at again."""
        waits = [self._window() - trial.silent for _, trial in self._running() if trial.awaits_contact and self._window()]
        return max(1.0, min(waits, default=3600.0))

    def is_deciding(self) -> bool:
        """Return whether probes of a release on trial are asked, and have not all held yet."""
        asked = [self.settler.checkup.prober.standing(fleet) for fleet, trial in self._running() if not trial.proven]
        return any(standing is not None and standing.verdict != "holds" for standing in asked)

    def awaits_contact(self) -> bool:
        """Return whether the server must be reached, and was not since a switch."""
        return any(trial.awaits_contact for _, trial in self._running())

    def _running(self) -> list[tuple[str, Trial]]:
        """Return the trials of generations that are here, or are being taken back; others did not begin, or were overtaken."""
        found = []
        for fleet in self.settler.work.disk.known_fleets():
            trial, pointer = self.trials(fleet).read(), self.settler.generations(fleet).pointer()
            if trial is None:
                continue
            if trial.why or (pointer is not None and pointer.generation == trial.generation):
                found.append((fleet, trial))
            else:
                self.trials(fleet).end()
        return found

    def _seen(self, fleet: str, trial: Trial, elapsed: float, *, in_contact: bool) -> Trial:
        standing = self.settler.checkup.prober.standing(fleet)
        waiting = trial.awaits_contact and not in_contact
        return msgspec.structs.replace(
            trial,
            proven=trial.proven or (standing is not None and standing.verdict == "holds"),
            heard=trial.heard or in_contact,
            lived=trial.lived or self.clock() - self.began >= LIVED_SECONDS,
            silent=trial.silent + max(1, round(elapsed)) if waiting else 0,
        )

    def _verdict(self, fleet: str, trial: Trial) -> tuple[Cause, str] | None:
        """Return why a release must be taken back, None if it needn't be by now."""
        standing = self.settler.checkup.prober.standing(fleet)
        if not trial.proven and standing is not None and standing.verdict == "failed":
            return "probes", standing.why
        if trial.awaits_contact and self._window() and trial.silent >= self._window():
            return "silence", f"the server could not be reached for {trial.silent} s after the switch, and could before"
        return None

    def _window(self) -> int:
        try:
            return read_confirm(self.settler.settings.config)
        except InputError:
            return CONFIRM_SECONDS

    # Going back

    def _take_back(self, fleet: str, trial: Trial, cause: Cause, why: str) -> None:
        """Write down that a release is to be taken back, and do it."""
        before = f"generation {trial.previous}" if trial.previous else "what was there before"
        trial = msgspec.structs.replace(trial, why=f"{before} is back: {self.settler.secrets.veil(why)}", cause=cause)
        self._keep(fleet, trial)
        self._go_back(fleet, trial)

    def _go_back(self, fleet: str, trial: Trial) -> None:
        """Bring the generation before back; what prevents that is said, and it is tried again at the next look."""
        settler = self.settler
        faults.reached("healing:before-restore")
        try:
            self._restore(fleet, trial)
            faults.reached("healing:mid-restore")
            self._remember(fleet, trial)
            faults.reached("healing:after-restore")
            settler.generations(fleet).discard(trial.generation)
            self.trials(fleet).end()
        except Exception as error:  # noqa: BLE001 - not even a fault of ours in one fleet may hold up the others
            settler.fault(fleet, error)
            return
        settler.checkup.prober.forget(fleet)
        settler.log.step("restored", fleet=fleet, generation=trial.previous, why=trial.why)

    def _restore(self, fleet: str, trial: Trial) -> None:
        """Switch to the generation before, unless that has happened."""
        settler, generations = self.settler, self.settler.generations(fleet)
        pointer = generations.pointer()
        if pointer is None or pointer.generation != trial.generation:
            return
        former = generations.current_state()
        state = generations.state(trial.previous) if trial.previous else State()
        target = generations.meta(trial.previous) if trial.previous else _nothing(generations.meta(trial.generation))
        table = settler.table({}, settler.book.unlisted())
        conflict = table.conflict(fleet, state)
        if conflict is not None:
            raise RefusedError(conflict)
        prepared = settler.prepare(fleet, state, table)
        settler.effects.adopt(prepared.state, prepared.items, [action.path for action in prepared.plan.actions])
        fresh = None if trial.previous else state
        apply(settler.work, Change(fleet=fleet, meta=target, items=prepared.items, plan=prepared.plan, state=fresh))
        settler.checkup.prober.forget(fleet)
        settler.bring_about(settler.table({}, settler.book.unlisted()), said=[fleet], former=[former])

    def _remember(self, fleet: str, trial: Trial) -> None:
        """Keep the release from being tried again, for good or until the server is reached, and say what came of it."""
        settler, trials = self.settler, self.trials(fleet)
        try:
            meta = settler.generations(fleet).meta(trial.generation)
        except InputError:  # whoever died here had said it
            return
        if trial.cause != "silence" or trials.note_cut(trial.key, trial.why).times >= TRIES:
            settler.marks.mark_bad(trials.directory, trial.key, trial.why, restored=True)
        settler.note_restored(_wanted(fleet, meta), trial.why)


def _nothing(meta: Meta) -> Meta:
    """Return what is to be known of a fleet that holds nothing, again."""
    return Meta(
        format=generations_of.FORMAT,
        generation=0,
        digest="",
        members=0,
        group=meta.group,
        mode=None,
        attempt=0,
        serial=0,
        commit="",
        decision=0,
        applied_at=timestamp(),
    )


def _wanted(fleet: str, meta: Meta) -> Wanted:
    return Wanted(
        fleet=fleet,
        release=Release(digest=meta.digest, members=meta.members),
        group=meta.group,
        mode=meta.mode,
        attempt=meta.attempt,
        serial=meta.serial,
        state=State(),
        commit=meta.commit,
        decision=meta.decision,
    )
