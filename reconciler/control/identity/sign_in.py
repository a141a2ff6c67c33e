"""How people sign in: an id token of the one issuer that the settings name becomes a session, whose bearer token they use from then on.

Who they are is `oidc:<issuer>#<subject>`; by which other names roles may know them (their verified e-mail, their groups) is kept from the
last sign-in. Somebody who leaves a group loses its roles when the session ends, at the latest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from reconciler.control.enrolment.platforms import Platforms
from reconciler.control.refusal import Denied
from reconciler.publication.controls import Platform

SESSION = timedelta(hours=12)
"""A working day: then one signs in again."""
GROUPS = 500
"""Groups of one person that are kept; roles name some ten."""
GROUP_LIMIT = 300
"""Characters of a group's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who signed in, with all that roles may name them by besides the subject."""

    subject: str
    shown: str
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """Where operators sign in, as `[operators]` says; `tokens` verifies what the issuer signed."""

    issuer: str
    client_id: str
    audience: str
    groups_claim: str
    tokens: Platforms

    async def person(self, id_token: str) -> Person:
        """Return whose id token it is; raises `Denied` as `Platforms.verify`, or where it names nobody."""
        wanted = Platform(issuer=self.issuer, audience=self.audience or self.client_id)
        _, claims = await self.tokens.verify(id_token, [wanted])
        return self._person(claims)

    def _person(self, claims: Mapping[str, Any]) -> Person:
        name = claims.get("sub")
        if not isinstance(name, str) or not 0 < len(name) <= GROUP_LIMIT:
            message = "the id token does not say whose it is (sub)"
            raise Denied("unauthenticated", message)
        email = claims.get("email")
        verified = isinstance(email, str) and claims.get("email_verified") is True
        names = [f"oidc:{self.issuer}#{email}"] if verified else []
        groups = [f"group:{self.issuer}#{group}" for group in _texts(claims.get(self.groups_claim))]
        shown = next((str(claims[one]) for one in ("email", "preferred_username", "name") if claims.get(one)), name)
        return Person(subject=f"oidc:{self.issuer}#{name}", shown=shown[:GROUP_LIMIT], groups=(*names, *groups))


def _texts(value: object) -> Sequence[str]:
    listed = value if isinstance(value, list) else []
    return [one for one in listed if isinstance(one, str) and 0 < len(one) <= GROUP_LIMIT][:GROUPS]
