"""Whose metadata this is: what it must say of its tenant and fleet, beside being signed.

All of a tenant's fleets share keys, and tenants may share offline keys. One fleet's timestamp, correctly signed, would otherwise be
taken for another's and block it for good. So this is checked before the TUF client sees the bytes. The parser is the one that
python-tuf uses, so both read the same value from the same bytes.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tuf.api.metadata import Timestamp

from agent.protocol.errors import MalformedError, RefusedError

TENANT_FIELD = "x-tenant"
FLEET_FIELD = "x-fleet"
SIGNED_AT_FIELD = "x-signed-at"
TENANT_ROLES = ("root", "targets")
"""Roles that are a tenant's; every other role is a fleet's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """One fleet of one tenant; `fleet` is its own name."""

    tenant: str
    fleet: str

    def check(self, data: bytes, *, role: str, what: str) -> None:
        """Raise `RefusedError` unless metadata of `role` names this tenant or fleet, `MalformedError` if it is no metadata."""
        field, expected = (TENANT_FIELD, self.tenant) if role in TENANT_ROLES else (FLEET_FIELD, f"{self.tenant}/{self.fleet}")
        found = _signed(data, what).get(field)
        if found != expected:
            said = f"is of {str(found)[:130]!r}" if found is not None else f"has no {field}, so it could be anybody's"
            message = f"{what}: {said}; expected {expected!r}. Nothing of it is used: see that --server and --tenant fit the root metadata"
            raise RefusedError(message)

    def signed_at(self, stamp: Timestamp) -> int:
        """Return when a timestamp was signed, in seconds since 1970; raise `RefusedError` if it does not say."""
        try:
            return int(datetime.strptime(stamp.unrecognized_fields[SIGNED_AT_FIELD], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())
        except (KeyError, TypeError, ValueError) as error:
            message = f"timestamp {stamp.version} has no {SIGNED_AT_FIELD} that is a time; nothing of it is used"
            raise RefusedError(message) from error


def _signed(data: bytes, what: str) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        message = f"{what}: not JSON ({error}); nothing of it is used. Does something else answer at this address?"
        raise MalformedError(message) from error
    signed = document.get("signed") if isinstance(document, dict) else None
    if not isinstance(signed, dict):
        message = f"{what}: no signed part; nothing of it is used. Does something else answer at this address?"
        raise MalformedError(message)
    return signed
