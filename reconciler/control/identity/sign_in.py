"""How people sign in: an id token of the one issuer that the settings name becomes a session, whose bearer token they use from then on.

Who they are is `oidc:<issuer>#<subject>`; by which other names roles may know them (their verified e-mail, their groups) is kept from the
last sign-in. Somebody who leaves a group loses its roles when the session ends, at the latest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from reconciler.control.identity.oidc import Issuers

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
    """Where operators sign in, as `[operators]` says; `audience` is mostly the client id."""

    issuer: str
    client_id: str
    audience: str
    groups_claim: str
    issuers: Issuers

    def person(self, id_token: str) -> Person:
        """Return whose id token it is. Blocks while keys are fetched; raises as `Issuers.claims`."""
        return self._person(self.issuers.claims(id_token, issuer=self.issuer, audience=self.audience))

    def _person(self, claims: Mapping[str, Any]) -> Person:
        subject = f"oidc:{self.issuer}#{claims['sub']}"
        email = claims.get("email")
        verified = isinstance(email, str) and claims.get("email_verified") is True
        names = [f"oidc:{self.issuer}#{email}"] if verified else []
        groups = [f"group:{self.issuer}#{name}" for name in _texts(claims.get(self.groups_claim))]
        shown = next((str(claims[name]) for name in ("email", "preferred_username", "name") if claims.get(name)), str(claims["sub"]))
        return Person(subject=subject, shown=shown[:GROUP_LIMIT], groups=(*names, *groups))


def _texts(value: object) -> Sequence[str]:
    listed = value if isinstance(value, list) else []
    return [one for one in listed if isinstance(one, str) and 0 < len(one) <= GROUP_LIMIT][:GROUPS]
