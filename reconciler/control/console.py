"""What operators face, wired: their routes, and who lets them in. `control.zone` has the rest of what faces the network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from reconciler.control.api import operating
from reconciler.control.api.admission import Admission
from reconciler.control.api.desk import Desk
from reconciler.control.api.routes import Route
from reconciler.control.authz.asking import Authz
from reconciler.control.authz.permissions import Permissions
from reconciler.control.conduct.viewing import Viewer
from reconciler.control.identity import local
from reconciler.control.identity.operators import Bearers
from reconciler.control.identity.sign_in import SignIn
from reconciler.control.identity.standing import Standing
from reconciler.control.intake.taking import Intake
from reconciler.control.known import KnownTenants
from reconciler.control.registry.registry import Registry
from reconciler.publication.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleSettings:
    """What a console is made of; `admins` are subjects who run the installation, beside the local token."""

    registry: Registry
    known: KnownTenants
    standing: Standing
    store: Store
    authz: Authz
    fingerprints: Callable[[], Sequence[str]]
    admins: Sequence[str] = ()
    sign_in: SignIn | None = None
    intake: Intake | None = None


class Console:
    """Operators' part of the application: give `admission` and `routes` to `Zone.application`, and call `announce` once it listens."""

    def __init__(self, settings: ConsoleSettings) -> None:
        """Wire it, with a new local token."""
        admins = [*settings.admins, local.SUBJECT]
        permissions = Permissions(settings.authz, settings.known, admins)
        self._own = local.make()
        self.desk = Desk(
            registry=settings.registry,
            known=settings.known,
            standing=settings.standing,
            store=settings.store,
            permissions=permissions,
            viewer=Viewer(settings.store),
            fingerprints=settings.fingerprints,
            sign_in=settings.sign_in,
            admins=admins,
            intake=settings.intake,
        )
        self.admission = Admission(
            bearers=Bearers(settings.registry, own=self._own),
            permissions=permissions,
            known=settings.known,
            registry=settings.registry,
        )

    def routes(self) -> list[Route]:
        """Return operators' routes."""
        return operating.routes(self.desk)

    def announce(self, state: Path, *, url: str, authority: str) -> None:
        """Leave in the state directory how commands on this machine get in: `url` is behind TLS, `authority` its roots (PEM)."""
        local.announce(state, self._own, url=url, authority=authority)
