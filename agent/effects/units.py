"""Services of all fleets: what their releases want of systemd, what differs, and whether that is an effect that is due or drift."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from agent.effects.digests import contents
from agent.effects.holding import Holding
from agent.effects.order import SERVICE
from agent.effects.plan import Due
from agent.logs import timestamp
from agent.protocol import codec
from agent.protocol.errors import RefusedError
from agent.protocol.state import Service, State
from agent.providers.item import Item
from agent.reporting.status import Drift
from agent.services.noted import WantedService
from agent.services.seen import Seen
from agent.services.services import Services
from agent.services.steps import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Differing:
    """How one fleet's units differ: those to bring to what their release says, with what for; what went wrong; what is left so."""

    bring: Mapping[str, Due]
    troubles: tuple[str, ...]
    drifts: tuple[Drift, ...]


@dataclass(slots=True, kw_only=True)
class Units:
    """The services that fleets hold. Where none does and none did, systemd is not even asked."""

    services: Services

    def adopt(self, state: State, items: Mapping[str, Item], changing: Collection[str]) -> None:
        """Before a switch of `changing` paths: note what units that run now have read already."""
        self.services.adopt([_wanted(service, items) for service in state.services], changing)

    def settle(self, holdings: Iterable[Holding], spared: Collection[str]) -> tuple[dict[str, Seen], list[Step]]:
        """Take down what came with releases and none names any more, and have systemd read its files; return what it then says.

        Raises:
            RetryError: systemd does not answer, or a unit can't be stopped.
        """
        listed = list(holdings)
        wanted = _wanted_of(listed)
        names = _names(listed, spared)
        stopped = self.services.retire(names) if self.services.leaving(names) else []
        return (self.services.refresh(wanted) if wanted or stopped else {}), stopped

    def look(self, holdings: Iterable[Holding]) -> dict[str, Seen]:
        """Return what systemd says of all units that fleets hold."""
        return self.services.look(one.service.name for one in _wanted_of(holdings))

    def leaving(self, holdings: Iterable[Holding], spared: Collection[str]) -> list[Step]:
        """Return what `settle` would take down."""
        return self.services.leaving(_names(holdings, spared))

    def differing(self, holding: Holding, seen: Mapping[str, Seen], *, due: bool) -> Differing:
        """Return how one fleet's units differ. What is not `due` and not to be enforced is drift that is left as it is."""
        bring, troubles, drifts = {}, [], []
        for one in _wanted_of([holding]):
            name = one.service.name
            try:
                steps = self.services.plan(one, seen[name])
            except RefusedError as error:
                troubles.append(f"{SERVICE}{name}: {error}")
                continue
            if steps and (due or holding.state.drift == "enforce"):
                bring[name] = Due(why=tuple(f"{step.kind}: {', '.join(step.why)}" for step in steps), digest=_digest(one))
            elif steps:
                drifts.append(_drift(one.service, seen[name], steps))
        return Differing(bring=bring, troubles=tuple(troubles), drifts=tuple(drifts))

    def bring(self, holdings: Iterable[Holding], name: str, seen: Mapping[str, Seen]) -> None:
        """Bring one unit to what its release says; raises as `Services.bring`."""
        wanted = next(one for one in _wanted_of(holdings) if one.service.name == name)
        self.services.bring(wanted, seen[name])


def _wanted_of(holdings: Iterable[Holding]) -> list[WantedService]:
    known = [holding for holding in holdings if holding.items is not None]
    return [_wanted(service, holding.items or {}) for holding in known for service in holding.state.services]


def _wanted(service: Service, items: Mapping[str, Item]) -> WantedService:
    return WantedService(
        service=service,
        restart_on=contents(service.restart_on, items),
        reload_on=contents(service.reload_on, items),
        unit_files=contents(service.unit_files, items),
    )


def _digest(wanted: WantedService) -> str:
    read = [dict(wanted.restart_on), dict(wanted.reload_on), dict(wanted.unit_files)]
    return codec.sha256(codec.canonical([msgspec.to_builtins(wanted.service), read]))


def _names(holdings: Iterable[Holding], spared: Collection[str]) -> list[str]:
    """Return the units that stay: those that fleets hold, and those that one is about to."""
    held = [service.name for holding in holdings for service in holding.state.services]
    return [*held, *(name.removeprefix(SERVICE) for name in spared if name.startswith(SERVICE))]


def _drift(service: Service, seen: Seen, steps: Sequence[Step]) -> Drift:
    stated = [service.state, None if service.enabled is None else "enabled" if service.enabled else "disabled"]
    expected = "masked" if service.masked else ", ".join(one for one in stated if one) or "what it reads"
    actual = ", ".join(one for one in (seen.active, seen.file_state) if one)
    return Drift(
        path=f"{SERVICE}{service.name}", differs=[step.kind for step in steps], expected=expected, actual=actual, since=timestamp()
    )
