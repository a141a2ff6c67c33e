"""Which release this host takes, in which group and mode: decided purely from signed documents and a time.

The rollout document says who takes what, by the same function as the control plane's. Labels and group come from the
signed members alone: a server can't hand one host's state to another, nor an old mode that should have ended.
"""

from collections.abc import Callable
from dataclasses import dataclass

from agent.protocol import rollout
from agent.protocol.bundle import Bundle, Group
from agent.protocol.errors import RefusedError, RetryError
from agent.protocol.membership import Member
from agent.protocol.rollout import Release, RolloutDocument
from agent.protocol.state import State


class WaitingError(RetryError):
    """Nothing is wrong; it is only not this host's turn yet."""


class NotListedError(RefusedError):
    """The release does not list this host: what runs stays, and the fleet's paths are free for another fleet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A release and what its members say of this host."""

    release: Release
    member: Member


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """All that one fleet asks of this host now."""

    fleet: str
    release: Release
    group: str
    mode: str | None
    attempt: int
    serial: int
    state: State
    commit: str = ""
    decision: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What a failure is remembered by: tried again only when one of these changes."""
        return f"{self.release.digest}/{self.group}/{self.mode or ''}/{self.attempt}"


def choose(document: RolloutDocument, *, agent: str, now: str, member: Callable[[int], Member | None]) -> Choice:
    """Return the release that this host takes; `member` looks a members sequence up.

    Raises:
        WaitingError: not before a later time, held, or outside a first wave.
        NotListedError: the release does not list this host.
    """
    if now < document.not_before:
        message = f"serial {document.serial} starts at {document.not_before}"
        raise WaitingError(message)
    ahead = member(document.candidate.members) if document.candidate else None
    current = member(document.stable.members) if document.stable else None
    known = ahead or current
    if known is None:
        message = f"{document.fleet} does not list {agent}: the host is left as it is"
        raise NotListedError(message)
    release = rollout.choose(document, agent=agent, labels=known.labels)
    if release is None:
        message = f"serial {document.serial} leaves this host where it is"
        raise WaitingError(message)
    listed = ahead if release == document.candidate else current or ahead
    if listed is None:
        message = f"{document.fleet}: the candidate does not list {agent}, and the stable release does: it waits for the stable one"
        raise WaitingError(message)
    return Choice(release=release, member=listed)


def group_of(choice: Choice, document: RolloutDocument, bundle: Bundle) -> Group:
    """Return this host's group in the bundle.

    Raises:
        WaitingError: a host that joined in mid-rollout, into a group that the stable release does not have yet.
        RefusedError: bundle and members don't fit together.
    """
    group = bundle.groups.get(choice.member.group)
    if group is not None:
        return group
    if document.candidate is not None and choice.release == document.stable:
        message = (
            f"{document.fleet}: the stable release {choice.release.digest[:12]} is from before this host came, and has nothing for it; "
            f"it waits for its wave of {document.candidate.digest[:12]}"
        )
        raise WaitingError(message)
    message = f"{document.fleet}: bundle {choice.release.digest[:12]} has no group {choice.member.group!r}"
    raise RefusedError(message)


def choose_mode(document: RolloutDocument, group: Group, *, agent: str, now: str, member: Member) -> tuple[str | None, tuple[str, ...]]:
    """Return the mode that is due now, None for base, and warnings on switches that are not followed."""
    followed, warnings = rollout.followed(document, group.limits)
    return rollout.mode_due(followed, known=[mode.name for mode in group.modes], now=now, agent=agent, labels=member.labels), warnings


def state_in(group: Group, mode: str | None) -> State:
    """Return a group's state in a mode."""
    return next((known.state for known in group.modes if known.name == mode), group.base)
