"""What is known now of the hosts that a change reaches: said beside the plan, and never part of what it decides.

Facts come from hosts, so they are claims; a plan without a server lacks them and is otherwise the same. Pure: who asks a server makes
`LiveHost`s of its answers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from agent.protocol.bundle import Bundle
from reconciler.pipeline.plan.hosts import NAMES_LIMIT
from reconciler.pipeline.plan.shape import Hosts, Live, Unserved, Versions

AWAY = frozenset({"", "lost", "flapping"})
"""How a host is heard that can't be counted on to take a release now; "" was never heard."""
FAILING = frozenset({"refused", "failed", "restored"})
ANYWHERE = "any"
"""What an artifact says that is the same on all platforms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a fleet stands on a host, in the words of its report; `drift` is how many paths drifted."""

    result: str
    digest: str = ""
    drift: int = 0
    held: bool = False
    since: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveHost:
    """A host as a server knows it: `name` is `web-01` or `runners/7f3a`, `member` what git calls it, `state` that of its enrolment.

    `detailed` says whether `platform` and `standing` (by the fleet's own name) were asked for.
    """

    name: str
    member: str
    state: str
    presence: str
    version: str = ""
    platform: str = ""
    standing: Mapping[str, Standing] = field(default_factory=dict)
    detailed: bool = False


Asked = Callable[[str, Sequence[str]], Sequence[LiveHost]]
"""Returns the hosts of a tenant that are these members of git: an agent is one, a pool any number."""


def live_of(fleet: str, members: Sequence[str], pools: frozenset[str], hosts: Iterable[LiveHost], bundle: Bundle) -> Live:
    """Return what is known of the hosts that a change reaches; `fleet` is its own name, `members` who is hit, `bundle` what they would get.

    An agent of git that no server knows has never enrolled; of a pool that cannot be said.
    """
    known = sorted((one for one in hosts if one.state not in ("revoked", "decommissioned")), key=lambda one: one.name)
    there = {one.member for one in known}
    detailed = [one for one in known if one.detailed]
    return Live(
        known=len(known),
        unknown=_hosts(name for name in members if name not in there and name not in pools),
        offline=_hosts(one.name for one in known if one.presence in AWAY),
        quarantined=_hosts(one.name for one in known if one.state == "quarantined"),
        held=_hosts(one.name for one in detailed if _standing(one, fleet).held),
        drifted=_hosts(one.name for one in detailed if _standing(one, fleet).drift),
        failing=_hosts(one.name for one in detailed if _standing(one, fleet).result in FAILING),
        unserved=tuple(_unserved(detailed, bundle)),
        versions=tuple(_versions(known)),
        unasked=len(known) - len(detailed),
    )


def _standing(host: LiveHost, fleet: str) -> Standing:
    return host.standing.get(fleet, Standing(result=""))


def _hosts(names: Iterable[str]) -> Hosts:
    listed = sorted(names)
    return Hosts(count=len(listed), names=tuple(listed[:NAMES_LIMIT]), more=max(0, len(listed) - NAMES_LIMIT))


def _unserved(hosts: Sequence[LiveHost], bundle: Bundle) -> Iterable[Unserved]:
    """Yield artifacts that some host has no platform for, by what any state of the bundle asks for."""
    states = [state for group in bundle.groups.values() for state in (group.base, *(mode.state for mode in group.modes))]
    wanted = {artifact.name: artifact.platforms.keys() for state in states for artifact in state.artifacts}
    for name, platforms in sorted(wanted.items()):
        for platform in sorted({one.platform for one in hosts if one.platform} - platforms) if ANYWHERE not in platforms else ():
            yield Unserved(artifact=name, platform=platform, hosts=_hosts(one.name for one in hosts if one.platform == platform))


def _versions(hosts: Sequence[LiveHost]) -> Iterable[Versions]:
    for version in sorted({one.version for one in hosts if one.version}):
        yield Versions(version=version, agents=sum(one.version == version for one in hosts))
