"""What the handlers for operators work with: wired once, and handed to each group of routes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from reconciler.control.api.asked import Bodied
from reconciler.control.authz.permissions import Permissions
from reconciler.control.conduct.viewing import Viewer
from reconciler.control.identity.sign_in import SignIn
from reconciler.control.identity.standing import Standing
from reconciler.control.intake.taking import Intake
from reconciler.control.known import KnownTenants
from reconciler.control.registry.registry import Registry
from reconciler.publication.store import Store
from reconciler.publication.times import stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """The parts behind `/api/v1`; `fingerprints` are the SHA-256 of the authority's roots (DER), which enrolment tokens carry."""

    registry: Registry
    known: KnownTenants
    standing: Standing
    store: Store
    permissions: Permissions
    viewer: Viewer
    fingerprints: Callable[[], Sequence[str]]
    sign_in: SignIn | None = None
    admins: Sequence[str] = ()
    intake: Intake | None = None
    bodies: Bodied = field(default_factory=Bodied)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


def stamped(instant: datetime | None) -> str:
    """Return an instant as the API says it, "" for none."""
    return stamp(instant) if instant else ""
