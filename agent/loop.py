"""The agent's loop. One poll is a list of steps, and at its end the host is where it was or where a release says."""

import contextlib
import random
import time
from collections.abc import Iterator, Mapping
from functools import partial
from importlib.metadata import version

from agent.apply.generations import Generations
from agent.apply.recover import recover
from agent.apply.saved import Originals
from agent.apply.transaction import Workspace
from agent.commands import Commands
from agent.contact import Contact
from agent.disk import FORMAT as DISK_FORMAT
from agent.disk import Disk, Identity
from agent.effects.carry_out import Carrier
from agent.effects.effects import Effects
from agent.effects.reboot import Rebooter
from agent.effects.units import Units
from agent.fetching.cache import Cache
from agent.fetching.fetcher import Http
from agent.following.admission import NotListedError, WaitingError, Wanted
from agent.following.follow import Follower, UnknownAgentError, fleets_to_follow, left_behind
from agent.healing.healer import Healer
from agent.health.checkup import Checkup
from agent.health.prober import Prober
from agent.host import Host
from agent.joining.identity import Enrolled
from agent.logs import Log
from agent.operations.leave import leave, read_left
from agent.owner.allow import read_allow
from agent.processes.supervisor import supervise
from agent.protocol import durable
from agent.protocol.errors import InputError, OrdainError, RefusedError, RetryError, disk_trouble
from agent.protocol.faults import reached
from agent.providers.converge import Surroundings
from agent.reporting import facts
from agent.reporting.running import onlooker
from agent.reporting.spool import Spool
from agent.reporting.status import StatusBook
from agent.reporting.usage import UsageBook
from agent.secrets.keys import HostKeys
from agent.secrets.values import Secrets
from agent.services.services import Services
from agent.services.systemd import Systemd
from agent.settings import REBOOT, Settings, read_confirm, read_downloads, read_reboot, read_secrets
from agent.settling.converger import Converger
from agent.settling.drift import watch
from agent.settling.settle import Settler
from agent.stopping import Stop
from agent.upgrade import upgrades
from agent.watching.sources import HeldBackError, LeaveError

PLACES = ("agent:after-recover", "agent:after-hear", "agent:after-follow", "agent:after-settle", "agent:after-watch", "agent:after-tidy")
"""Where a crash test may kill the agent here: after each step of a poll."""
STEP_WAIT = 60.0
"""Seconds to wait for a rollback by hand to end."""
FOLLOW_SECONDS = 600.0
"""For all fleets' news of one poll: with a server that drips, the host must still be held to what it has."""
FACTS_SECONDS = 600.0
"""Between two looks at what this host is."""
JITTER = 0.2
DECIDING_SECONDS = 1.0
"""Between two looks of an agent that looks once, while the probes of what it switched to are still undecided."""
BUSY = "another ordain-agent runs with this state directory; stop it, or give --state"
DONE, REFUSED, UNREACHABLE = 0, 1, 3


def make_workspace(settings: Settings, http: Http, stop: Stop) -> Workspace:
    """Return what transactions work with, wired from settings."""
    disk = Disk(root=settings.state)
    cache = Cache(
        directory=disk.artifacts,
        http=http,
        store=f"{settings.server}/v1/artifacts/{settings.tenant}",
        agent=f"{settings.tenant}/{settings.name}",
        downloads=partial(read_downloads, settings.config),
    )
    return Workspace(host=Host(settings.root), disk=disk, originals=Originals(disk.originals), cache=cache, stopping=stop)


def make_effects(settings: Settings, work: Workspace, log: Log) -> Effects:
    """Return what brings about what runs, wired once.

    Where systemd runs the host it also runs processes, as transient units. Elsewhere that is for one alone to do, so until
    `looking_after` it only looks on, as commands do beside a running agent.
    """
    systemd = Systemd(root=work.host.root)
    processes = onlooker(work.disk, work.host)
    carrier = Carrier(processes=processes, run=Commands(), log=log, stopping=work.stopping)
    rebooter = Rebooter(
        disk=work.disk,
        host=work.host,
        run=Commands(),
        log=log,
        command=lambda: read_reboot(settings.config) or REBOOT,
        refused=lambda: read_allow(settings.config).refuse_reboot(),
    )
    units = Units(services=Services(systemd=systemd, record=work.disk.services))
    return Effects(disk=work.disk, processes=processes, units=units, carrier=carrier, rebooter=rebooter)


def make_settler(settings: Settings, work: Workspace, log: Log) -> Settler:
    """Return what settles fleets, wired from settings."""
    here = Surroundings(host=work.host, run=Commands(), tenant=settings.tenant, agent=settings.name, stopping=work.stopping)
    keys = HostKeys(directory=work.disk.secrets)
    secrets = Secrets(host=work.host, own=work.disk.root, config=settings.config, keys=keys, tenant=settings.tenant, agent=settings.name)
    log.veil = secrets.veil
    spool = Spool(disk=work.disk)
    return Settler(
        settings=settings,
        work=work,
        book=StatusBook(work.disk),
        log=log,
        effects=make_effects(settings, work, log),
        converger=Converger(disk=work.disk, here=here, log=log),
        spool=spool,
        secrets=secrets,
        checkup=Checkup(prober=Prober(work.host, Commands()), disk=work.disk, spool=spool, log=log),
        usage=UsageBook(work.disk, work.host.root),
    )


@contextlib.contextmanager
def looking_after(effects: Effects, work: Workspace, log: Log) -> Iterator[None]:
    """Look after what runs; at the end it goes on running, and whoever comes next finds it again. Call it with `run.lock` held."""
    systemd = Systemd(root=work.host.root)
    if not (work.host.is_whole_machine and systemd.available()):
        effects.take_over(supervise(work.disk.processes, host=work.host, log=log))
    try:
        yield
    finally:
        effects.processes.close(leave_running=True)


class Agent:
    """One agent, wired once."""

    def __init__(self, settings: Settings, log: Log, stop: Stop, enrolled: Enrolled | None = None) -> None:
        self._settings = settings
        self._log = log
        self._stop = stop
        self._http = Http()
        self._work = make_workspace(settings, self._http, stop)
        self._disk = self._work.disk
        self._settler = make_settler(settings, self._work, log)
        self._contact = Contact(settings=settings, enrolled=enrolled, http=self._http, disk=self._disk, stop=stop, log=log)
        self._healer = Healer(self._settler)
        self._resumed = False
        """Whether what runs was looked after once, before anybody is asked for news."""
        self._upgrades = upgrades(settings.state, version("ordain"))
        self._facts_due = 0.0
        self._warned = False
        self._problems: list[str] = []
        """What is wrong on this host at this poll, whatever its fleets ask for."""
        self._unknown = False
        """Whether the server knows no such agent, or holds this one back."""
        self._left = False
        """Whether this host was let go."""

    def run(self, *, once: bool) -> int:
        """Poll until asked to stop, or once; return the exit code.

        Raises:
            RetryError: another agent runs with this state directory.
            InputError: the state directory is another agent's.
        """
        with self._stop.on_signals(), self._disk.lock("run", wait=0, refused=BUSY), contextlib.ExitStack() as stack:
            self._claim()
            durable.sweep(self._disk.root)
            stack.enter_context(looking_after(self._settler.effects, self._work, self._log))
            stack.enter_context(self._settler.checkup.prober.asking(self._stop.wake))
            self._healer.started()
            self._log.step("start", agent=f"{self._settings.tenant}/{self._settings.name}", server=self._settings.server)
            while not self._stop() and not self._is_left():
                self._contact.keep_certificate()
                code = self._guarded_poll()
                self._contact.report()
                if once and not self._healer.is_deciding():
                    self._healer.ended()
                    self._contact.keep_certificate()  # the server may have said just now that it ran out
                    return REFUSED if code == UNREACHABLE and self._contact.over else code
                if self._left or (not once and self._attend_upgrade(code)):
                    break
                if once:
                    self._stop.wait(DECIDING_SECONDS)
                    continue
                rest = self._settings.poll * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads load
                self._contact.wait(min(rest, self._healer.seconds()))
            self._healer.ended()
            self._log.step("stop")
        return DONE

    def _attend_upgrade(self, code: int) -> bool:
        """Confirm the version that runs once it has reached its server; return whether to end, for another to be tried."""
        if code == UNREACHABLE:
            return False
        if self._upgrades.confirm():
            self._log.step("upgraded", version=self._upgrades.running)
        wanted = self._upgrades.begin()
        if wanted is not None:
            self._log.step("upgrade", why=f"{self._upgrades.running} ends for the launcher to try {wanted}")
        return wanted is not None

    def _claim(self) -> None:
        settings = self._settings
        identity = Identity(
            format=DISK_FORMAT,
            tenant=settings.tenant,
            agent=settings.name,
            server=settings.server,
            root=str(settings.root),
            config=str(settings.config),
        )
        self._disk.claim(identity, settings.bootstrap)

    def _guarded_poll(self) -> int:
        """Poll; what goes wrong outside any one fleet (a full disk, a busy lock) is logged and tried again."""
        try:
            with self._disk.lock("step", wait=STEP_WAIT, refused="a rollback is under way"):
                return self._poll_or_leave()
        except (OrdainError, OSError) as error:
            known = disk_trouble(error) if isinstance(error, OSError) else error
            self._log.step("error", why=str(known))
            return known.exit_code

    def _poll_or_leave(self) -> int:
        try:
            return self.poll()
        except LeaveError as asked:
            left = leave(self._settler, asked.leave)
            self._left = True
            self._log.step("left", done=left.done, why=left.why)
            return DONE

    def _is_left(self) -> bool:
        """Return whether this host was let go before; it is managed again once it enrols again."""
        known = read_left(self._disk)
        if known is not None:
            self._log.step("left", done=known.done, why=f"{known.why} (at {known.at}); to manage this host again: ordain-agent enroll")
        return known is not None

    def poll(self) -> int:
        """Settle what a crash left, hear of fleets, follow each, bring the host to what they ask, and hold it there."""
        self._recover()
        reached("agent:after-recover")
        self._resume()
        self._problems = []
        self._look_at_config()
        self._look_at_host()
        hinted = self._hear()
        self._tell()
        self._healer.attend(in_contact=self._settler.in_contact)
        reached("agent:after-hear")
        followers = self._followers(hinted)
        wanted, errors = self._follow(followers)
        reached("agent:after-follow")
        left = left_behind(errors, hinted) | self._left_before(errors)
        self._settler.settle(wanted, left)
        if self._healer.awaits_contact():
            self._http.close()  # a connection that was there before proves nothing of what comes after
        reached("agent:after-settle")
        self._keep_heard(followers, errors)
        watch(self._settler, self._settler.table(wanted, left))
        reached("agent:after-watch")
        self._tidy(followers, wanted)
        reached("agent:after-tidy")
        return self._exit_code(hinted, errors, left)

    # Steps

    def _recover(self) -> None:
        done = recover(self._work.host, self._disk)
        if done is not None:
            self._log.step("recover", done=done)

    def _resume(self) -> None:
        """Have run what ran before this agent, or this machine, started: that waits for no server."""
        if not self._resumed:
            self._healer.settle_crashes()
            self._settler.bring_about(self._settler.table({}, self._settler.book.unlisted()))
            self._resumed = True

    def _look_at_config(self) -> None:
        """Read `agent.toml` at each poll, not only when something must be applied: whoever broke it should hear of it now."""
        try:
            read_allow(self._settings.config)
            read_downloads(self._settings.config)
            read_secrets(self._settings.config)
            read_confirm(self._settings.config)
        except InputError as error:
            self._problems.append(str(error))
        self._problems += [*self._settler.effects.leftovers, *self._settler.secrets.troubles()]
        self._problems += self._contact.problems()
        problem = self._upgrades.problem()
        if problem is not None:
            self._problems.append(problem)

    def _look_at_host(self) -> None:
        """Note what this host is, now and then: it seldom changes."""
        if time.monotonic() < self._facts_due:
            return
        self._facts_due = time.monotonic() + FACTS_SECONDS
        if facts.note(
            self._disk, facts.gather(self._work.host, self._settler.effects.supported(), recipient=self._settler.secrets.keys.recipient())
        ):
            self._log.step("facts")

    def _tell(self) -> None:
        """Keep what is wrong for `status`, and log what of it is new."""
        for problem in self._settler.book.trouble(self._problems):
            self._log.step("problem", why=problem)
            self._settler.spool.note("problem", text=problem)

    def _hear(self) -> list[str] | None:
        """Return the fleets that the server names, None if it does not answer or knows no such agent."""
        self._unknown, self._settler.in_contact = False, False
        try:
            hinted = self._contact.source.fleets()
        except (UnknownAgentError, HeldBackError) as error:
            self._unknown = True
            self._problems.append(str(error))
            hinted = None
        except RetryError as error:
            self._log.step("unreachable", why=str(error))
            return None
        self._settler.in_contact = True
        self._settler.book.contacted()
        return hinted

    def _followers(self, hinted: list[str] | None) -> list[Follower]:
        return [
            Follower(
                fleet,
                settings=self._settings,
                http=self._http,
                directory=self._disk.fleet(fleet),
                cache=self._disk.fleet(fleet) / "cache",
                generations=Generations(self._disk.fleet(fleet)),
                answered=self._contact.source.answered(fleet),
            )
            for fleet in fleets_to_follow(hinted, self._disk)
        ]

    def _follow(self, followers: list[Follower]) -> tuple[dict[str, Wanted], dict[str, Exception | None]]:
        """Return what each fleet asks of this host, and what following it ended with."""
        wanted: dict[str, Wanted] = {}
        errors: dict[str, Exception | None] = {}
        until = time.monotonic() + FOLLOW_SECONDS
        for follower in followers:
            if self._stop():
                break
            fleet = follower.fleet
            errors[fleet] = None
            try:
                _require_time(until)
                wanted[fleet] = follower.follow()
            except OrdainError as error:
                errors[fleet] = error
                self._note(follower, error)
                self._leave_mode(follower, error, wanted)
            except Exception as error:  # noqa: BLE001 - not even a fault of ours in one fleet may hold up the others
                errors[fleet] = error
                self._settler.fault(fleet, error)
            self._warn_of_development(follower)
        return wanted, errors

    def _leave_mode(self, follower: Follower, error: OrdainError, wanted: dict[str, Wanted]) -> None:
        """End a mode whose time is over here where nobody says so: no server answers, or it is not believed."""
        if isinstance(error, NotListedError):
            return
        try:
            back = follower.mode_over()
        except OrdainError as trouble:
            self._log.step("error", fleet=follower.fleet, why=str(trouble))
            return
        if back is not None:
            wanted[follower.fleet] = back

    def _keep_heard(self, followers: list[Follower], errors: Mapping[str, Exception | None]) -> None:
        """Keep of which fleets there was news at all: refusing a release is news, a server that is away is none."""
        for follower in followers:
            error = errors.get(follower.fleet)
            why = str(error) if _is_away(error) else ""
            self._settler.book.hear(follower.fleet, unheard=why, fresh_until=follower.repository.fresh_until)

    def _note(self, follower: Follower, error: OrdainError) -> None:
        """Keep why nothing came of a fleet's news. A server that is only away changes no fleet's result."""
        serial = follower.document.serial if follower.document else None
        listed = not isinstance(error, NotListedError)
        if isinstance(error, RefusedError):
            self._settler.trouble(follower.fleet, "refused", str(error), listed=listed, serial=serial)
        elif isinstance(error, WaitingError):
            self._settler.trouble(follower.fleet, "waiting", str(error), listed=listed, serial=serial)
        else:
            self._log.step("unreachable", fleet=follower.fleet, why=str(error))

    def _left_before(self, errors: Mapping[str, Exception | None]) -> frozenset[str]:
        """Return fleets that let this host go earlier and have not taken it back by a release that lists it."""
        return frozenset(fleet for fleet in self._settler.book.unlisted() if errors.get(fleet, RetryError()) is not None)

    def _warn_of_development(self, follower: Follower) -> None:
        if follower.repository.development and not self._warned:
            self._warned = True
            self._log.step("warning", why="the root metadata is one of development keys: trust it on no host that matters")

    def _tidy(self, followers: list[Follower], wanted: Mapping[str, Wanted]) -> None:
        """Drop cached artifacts and bundles that no kept generation and no release of now needs."""
        states = [one.state for one in wanted.values()]
        for fleet in self._disk.known_fleets():
            generations = self._settler.generations(fleet)
            states += [generations.state(number) for number in generations.numbers()]
        sources = [source for state in states for artifact in state.artifacts for source in artifact.platforms.values()]
        self._work.cache.prune({source.sha256 for source in sources})
        for follower in followers:
            follower.prune()
        self._disk.forget_unverified({follower.fleet for follower in followers})

    def _exit_code(self, hinted: list[str] | None, errors: Mapping[str, Exception | None], left: frozenset[str]) -> int:
        statuses = [self._settler.book.read(fleet) for fleet in errors if fleet not in left or fleet in (hinted or [])]
        if self._unknown or any(status is not None and status.result in ("refused", "failed") for status in statuses):
            return REFUSED
        away = hinted is None or any(map(_is_away, errors.values()))
        return UNREACHABLE if away else DONE


def _is_away(error: Exception | None) -> bool:
    return isinstance(error, RetryError) and not isinstance(error, WaitingError)


def _require_time(until: float) -> None:
    if time.monotonic() > until:
        message = f"not asked for at this poll: the server took more than {FOLLOW_SECONDS:.0f} seconds over other fleets"
        raise RetryError(message)
