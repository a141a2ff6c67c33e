"""Hearing of fleets: which there are, and what each asks of this host, verified."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from tuf.api.exceptions import DownloadHTTPError

from agent.apply.generations import Generations, Meta
from agent.disk import FLEETS_LIMIT, Disk
from agent.fetching.fetcher import Http
from agent.following import admission, kept
from agent.following.admission import NotListedError, WaitingError, Wanted
from agent.following.repository import Repository
from agent.protocol import durable
from agent.protocol.bundle import Bundle
from agent.protocol.errors import RefusedError, RetryError
from agent.protocol.identity import LABEL
from agent.protocol.membership import Member
from agent.protocol.rollout import Release, RolloutDocument
from agent.settings import Settings
from agent.watching.answered import Answered

NOT_FOUND = 404
HINT_LIMIT = 16 * 1024
"""Bytes of the server's list of fleets: 64 names of 63 characters are a quarter of it."""


class UnknownAgentError(RefusedError):
    """The server answers, and knows no such agent."""


class _Hint(msgspec.Struct):
    """The server's answer; it may gain fields, since nothing is believed of it."""

    fleets: list[str]


def hinted_fleets(settings: Settings, http: Http, disk: Disk) -> list[str]:
    """Return the fleets that the server says this agent is in: a hint of where to look, nothing more.

    The answer is kept, so that one that is the same needn't be sent again.

    Raises:
        UnknownAgentError: the server knows no such agent.
        RetryError: no answer, or none that makes sense.
    """
    url = f"{settings.server}/v1/agents/{settings.tenant}/{settings.name}/fleets"
    known = disk.hint.read_bytes() if disk.hint.is_file() else None
    try:
        data = http.read_again(url, limit=HINT_LIMIT, known=known)
        names = msgspec.json.decode(data, type=_Hint).fleets
    except DownloadHTTPError as error:
        if error.status_code == NOT_FOUND:
            message = (
                f"the server knows no agent {settings.tenant}/{settings.name}: compare --tenant and --name with the manifests; "
                "an agent is known once its manifest is accepted"
            )
            raise UnknownAgentError(message) from error
        raise RetryError(str(error)) from error
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        message = f"{url}: {error}"
        raise RetryError(message) from error
    if data != known:
        durable.replace(disk.hint, data, mode=0o600, lasting=False)
    return [name for name in names if LABEL.fullmatch(name)][:FLEETS_LIMIT]


def fleets_to_follow(hinted: list[str] | None, disk: Disk) -> list[str]:
    """Return the fleets to ask for: those hinted at, and those that hold something here, whatever the server says.

    Without a hint (the server did not answer) all that were ever verified here are asked for.
    """
    known = disk.known_fleets()
    held = [fleet for fleet in known if hinted is None or Generations(disk.fleet(fleet)).pointer() is not None]
    others = [fleet for fleet in hinted or [] if fleet not in held]
    return sorted([*held, *others][:FLEETS_LIMIT])


class Follower:
    """Follows one fleet through one poll. `directory` holds its metadata and floors, `settled` its generations."""

    def __init__(
        self,
        fleet: str,
        *,
        settings: Settings,
        http: Http,
        directory: Path,
        cache: Path,
        generations: Generations,
        answered: Answered | None = None,
    ) -> None:
        self.fleet = fleet
        self.document: RolloutDocument | None = None
        """The rollout document, once it is verified."""
        self._settings = settings
        self._directory, self._cache = directory, cache
        self._generations = generations
        self._bundles: dict[str, Bundle] = {}
        self._members: dict[int, Member | None] = {}
        self.repository = Repository(
            fleet=fleet,
            tenant=settings.tenant,
            server=settings.server,
            directory=directory,
            cache=cache,
            http=http,
            bootstrap=settings.bootstrap,
            answered=answered,
        )

    def follow(self) -> Wanted:
        """Return what the fleet asks of this host now.

        Raises:
            WaitingError: nothing yet.
            NotListedError: it does not list this host.
            RefusedError: it can't be trusted, or not be understood.
            RetryError: it can't be fetched.
        """
        document = self.document = self.repository.refresh(datetime.now(UTC))
        agent, now = self._settings.name, self.repository.now
        choice = admission.choose(document, agent=agent, now=now, member=self._member)
        kept.note(self._directory, document, choice.member)
        meta = self._generations.current()
        source = self.repository.provenance(choice.release)
        mode: str | None = None
        warnings: tuple[str, ...] = ()
        if meta is not None and _same_base(meta, document, choice):
            state = self._generations.state(meta.generation)
        else:
            group = admission.group_of(choice, document, self._bundle(choice.release.digest))
            mode, warnings = admission.choose_mode(document, group, agent=agent, now=now, member=choice.member)
            state = admission.state_in(group, mode)
        return Wanted(
            fleet=self.fleet,
            release=choice.release,
            group=choice.member.group,
            mode=mode,
            attempt=document.attempt,
            serial=document.serial,
            state=state,
            commit=source.commit,
            decision=source.decision,
            warnings=warnings,
        )

    def mode_over(self) -> Wanted | None:
        """Return what runs here as it is without a mode whose time is over, by what was verified last; None where none is.

        For whenever `follow` has no answer: a mode ends by itself.

        Raises:
            OrdainError: what was kept is damaged, or gone.
        """
        meta, known = self._generations.current(), kept.read(self._directory)
        if meta is None or meta.mode is None or known is None:
            return None
        group = kept.read_bundle(self._cache, self.fleet, meta.digest).groups.get(meta.group)
        if group is None:
            return None
        now = self.repository.latest(datetime.now(UTC))
        mode, warnings = admission.choose_mode(known.document, group, agent=self._settings.name, now=now, member=known.member)
        if mode == meta.mode:
            return None
        return Wanted(
            fleet=self.fleet,
            release=Release(digest=meta.digest, members=meta.members),
            group=meta.group,
            mode=mode,
            attempt=meta.attempt,
            serial=meta.serial,
            state=admission.state_in(group, mode),
            commit=meta.commit,
            decision=meta.decision,
            warnings=warnings,
        )

    def prune(self) -> None:
        """Drop cached bundles and members that neither the newest document nor a kept generation names."""
        if self.document is None:
            return
        kept = [self._generations.meta(number) for number in self._generations.numbers()]
        digests = {meta.digest for meta in kept}
        digests.update(release.digest for release in (self.document.stable, self.document.candidate) if release is not None)
        self.repository.prune(digests)

    def _member(self, sequence: int) -> Member | None:
        if sequence not in self._members:
            self._members[sequence] = self.repository.member(sequence, self._settings.name)
        return self._members[sequence]

    def _bundle(self, digest: str) -> Bundle:
        if digest not in self._bundles:
            self._bundles[digest] = self.repository.bundle(digest)
        return self._bundles[digest]


def _same_base(meta: Meta, document: RolloutDocument, choice: admission.Choice) -> bool:
    """Return whether the current generation is what is asked for, so that no bundle need be read."""
    return not document.modes and (meta.digest, meta.group, meta.mode) == (choice.release.digest, choice.member.group, None)


def left_behind(statuses: Mapping[str, Exception | None], hinted: list[str] | None) -> frozenset[str]:
    """Return the fleets that let this host go: its paths are then free for others, and nothing of it is enforced.

    `statuses` is fleet → the error that following it ended with. A release that does not list this host says so by
    signature. A repository that has ended can't; then the server's word, that the fleet is none of this agent's, is
    enough, since another fleet's signed release must claim a path before anything of it changes.
    """
    unlisted = {fleet for fleet, error in statuses.items() if isinstance(error, NotListedError)}
    unnamed = {fleet for fleet in statuses if hinted is not None and fleet not in hinted}
    ended = {fleet for fleet in unnamed if statuses[fleet] is not None and not isinstance(statuses[fleet], WaitingError)}
    return frozenset(unlisted | ended)
