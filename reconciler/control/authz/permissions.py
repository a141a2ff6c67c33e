"""What an operator may do, asked of the policy with what verified controls say: the one place that makes such questions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from reconciler.control.authz.asking import Authz, Decision
from reconciler.control.identity.operators import Operator
from reconciler.control.known import KnownTenants
from reconciler.publication.controls import Role
from reconciler.publication.times import stamp

ROLES = "roles"
"""The policy about operators: `policies/authz/roles.rego`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What an operator may see: in all tenants, or in these, and of each all or the fleets that the decision names."""

    everywhere: bool = False
    tenants: Mapping[str, Decision] = field(default_factory=dict)

    def names(self) -> Sequence[str] | None:
        """Return the tenants to look into, None for all."""
        return None if self.everywhere else sorted(self.tenants)

    def covers(self, tenant: str, fleets: Sequence[str]) -> bool:
        """Return whether something of a tenant that is in these fleets may be seen."""
        decision = self.tenants.get(tenant)
        return self.everywhere or (decision is not None and (decision.all or bool(set(decision.fleets) & set(fleets))))


class Permissions:
    """Asks about operators; `admins` are the subjects who run the installation (`[operators] admins`, and the local token)."""

    def __init__(
        self, authz: Authz, known: KnownTenants, admins: Sequence[str], *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Keep whom to ask."""
        self._authz, self._known, self._admins, self._now = authz, known, list(admins), now

    async def decide(
        self, operator: Operator, action: str, tenant: str, *, fleets: Sequence[str] | None = None, asked_by: str = ""
    ) -> Decision:
        """Return whether an operator may do something in a tenant ("" is the installation).

        `fleets` are those of what it is done to, None where the question is about all that may be seen. `asked_by` is who asked for
        what is to be approved.
        """
        controls = self._known.controls(tenant) if tenant else None
        question: dict[str, Any] = {
            "operator": {
                "names": [operator.subject],
                "groups": list(operator.groups),
                "scope": {"actions": list(operator.actions), "tenants": list(operator.tenants)},
            },
            "action": action,
            "tenant": tenant,
            "fleets": None if fleets is None else list(fleets),
            "asked_by": asked_by,
            "roles": [self._role(one) for one in controls.roles] if controls else [],
            "admins": self._admins,
        }
        return await self._authz.asked(ROLES, question, rules=controls.authz if controls else "")

    async def seen(self, operator: Operator, action: str) -> tuple[Seen, Decision]:
        """Return what an operator may see by a reading action, in any tenant; and the decision about the installation, for its reason."""
        overall = await self.decide(operator, action, "")
        if overall.failed or (overall.allow and not self._have_rules()):
            return Seen(everywhere=overall.allow), overall
        found = {}
        for tenant in self._named(operator):
            decision = await self.decide(operator, action, tenant)
            if decision.allow:
                found[tenant] = decision
        return Seen(tenants=found), overall

    def _have_rules(self) -> bool:
        """Return whether any tenant's repository has rules of its own, which are asked tenant by tenant."""
        return any(controls.authz for name in self._known.tenants() if (controls := self._known.controls(name)))

    def _named(self, operator: Operator) -> list[str]:
        """Return the tenants in which the policy need be asked at all: those whose roles name the operator, all for an admin."""
        subjects = {operator.subject, *operator.groups}
        if subjects & set(self._admins):
            return self._known.tenants()
        return [name for name in self._known.tenants() if self._roles_name(name, subjects)]

    def _roles_name(self, tenant: str, subjects: set[str]) -> bool:
        controls = self._known.controls(tenant)
        return controls is not None and any(subjects & set(role.subjects) for role in controls.roles)

    def _role(self, one: Role) -> dict[str, Any]:
        """Return a role in full: on the wire what is left out is the default, and a policy sees nothing there."""
        ended = not self.counts(one)
        return {"name": one.name, "role": one.role, "subjects": one.subjects, "fleets": one.fleets, "ended": ended}

    def counts(self, role: Role) -> bool:
        """Return whether a role counts now: to the second, which the minute that policies are told would not be."""
        return not role.until or stamp(self._now()) < role.until
