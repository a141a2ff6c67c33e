"""What must start, stop or run so that a host is as its generations say: values in, ordered effects out. Pure.

What goes stops first, in the reverse of `after`; then what comes or changed, in its order, each once whatever changed
about it; then actions.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from agent.effects.order import ACTION, PROCESS, SERVICE, ordered
from agent.processes.interface import Seen, Wanted

Kind = Literal["stop", "start", "restart", "bring", "run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One effect on one resource (`process/app`, `service/nginx.service`, `action/warm`), and what it is for."""

    kind: Kind
    resource: str
    why: tuple[str, ...]
    fleet: str = ""
    """Whose it is; empty for what no fleet asks for any more."""
    digest: str = ""
    """What it brings: one that failed is tried at once where this is another."""

    @property
    def name(self) -> str:
        """The resource's own name."""
        return self.resource.partition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A unit that is to be brought to what its release says: what its steps are for, and a digest of what that is."""

    why: tuple[str, ...]
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one fleet's generation asks to run. `services` are the units that differ."""

    fleet: str
    processes: Mapping[str, Wanted]
    services: Mapping[str, Due]
    actions: Mapping[str, str]
    """Action → digest of what it is run for; only those that were not run for it yet."""
    after: Mapping[str, Sequence[str]]
    frozen: bool = False
    """Whether nothing of it is started or changed: what runs goes on, and what doesn't stays so."""


def plan_effects(
    parts: Iterable[Part], seen: Mapping[str, Seen], *, spared: Collection[str] = (), before: Mapping[str, Sequence[str]] | None = None
) -> tuple[Effect, ...]:
    """Return what to do, in order.

    `seen` are the processes of the host. `spared` are resources that no generation asks for yet and another fleet will take
    over as they are. `before` is the order of what there was, for what stops.

    Raises:
        RefusedError: `after` goes in a circle.
    """
    listed = sorted(parts, key=lambda part: part.fleet)
    wanted = {name for part in listed for name in part.processes}
    going = [f"{PROCESS}{name}" for name, one in seen.items() if name not in wanted and one.standing in ("running", "waiting")]
    stops = [name for name in reversed(ordered(_among(before or {}, going))) if name not in spared]
    changes = {effect.resource: effect for part in listed for effect in _changes(part, seen)}
    order = ordered({name: waits for part in listed for name, waits in part.after.items()})
    return (
        *(Effect(kind="stop", resource=name, why=("leaves the release",)) for name in stops),
        *(changes[name] for name in order if name in changes),
        *(effect for part in listed for effect in _runs(part)),
    )


def _among(after: Mapping[str, Sequence[str]], names: Collection[str]) -> dict[str, Sequence[str]]:
    return {name: after.get(name, ()) for name in names}


def _changes(part: Part, seen: Mapping[str, Seen]) -> Iterable[Effect]:
    for name, wanted in () if part.frozen else part.processes.items():
        now, resource = seen.get(name), f"{PROCESS}{name}"
        if now is None or now.standing == "stopped":
            yield Effect(kind="start", resource=resource, why=("not running",), fleet=part.fleet, digest=wanted.digest)
        elif now.digest != wanted.digest:
            changed = ("it, or what it reads, changed",)
            yield Effect(kind="restart", resource=resource, why=changed, fleet=part.fleet, digest=wanted.digest)
    for name, unit in part.services.items():
        yield Effect(kind="bring", resource=f"{SERVICE}{name}", why=unit.why, fleet=part.fleet, digest=unit.digest)


def _runs(part: Part) -> Iterable[Effect]:
    for name, digest in part.actions.items():
        yield Effect(kind="run", resource=f"{ACTION}{name}", why=("what it is for changed",), fleet=part.fleet, digest=digest)
