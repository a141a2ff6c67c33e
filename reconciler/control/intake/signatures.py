"""Keys by which receipts are checked: of every certificate that the registry knows, also of one that ran out since."""

import asyncio
import base64
import logging
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from sqlalchemy import Connection

from agent.protocol.errors import RefusedError
from agent.protocol.report import SignedReceipt
from reconciler.control.intake.receipts import require_own, require_signed
from reconciler.control.lookups import Lookups
from reconciler.control.registry import certificates
from reconciler.control.registry.registry import Registry

REMEMBERED = 20_000
"""Keys that are remembered: twice the agents that one process serves; some hundred bytes each."""
FEW = 4
"""Receipts that are checked on the spot, within half a millisecond: handing them to a thread would cost as much."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Whose key it is; kept as it is written (DER), since ready for use it takes some kilobytes."""

    tenant: str
    agent: str
    written: bytes

    @property
    def key(self) -> ec.EllipticCurvePublicKey:
        """The key; raises `RefusedError` for one of another kind."""
        key = load_der_public_key(self.written)
        if not isinstance(key, ec.EllipticCurvePublicKey):
            message = "a certificate whose key is of another kind"
            raise RefusedError(message)
        return key


class Signatures:
    """Checks receipts; `dropped` counts those that don't hold, by reason."""

    def __init__(self, registry: Registry) -> None:
        """No key is known yet."""
        self.dropped: Counter[str] = Counter()
        self._lookups: Lookups[str, Holder] = Lookups(registry, _read)
        self._holders: OrderedDict[str, Holder] = OrderedDict()

    async def holder(self, fingerprint: str) -> Holder | None:
        """Return whose key a certificate has, None where the registry does not know it or it is revoked."""
        found = self._holders.get(fingerprint)
        if found is None:
            found = await self._lookups.find(fingerprint)
            if found is not None:
                self._holders[fingerprint] = found
                if len(self._holders) > REMEMBERED:
                    self._holders.popitem(last=False)
        return found

    def forget_all(self) -> None:
        """Ask the registry again for every key: some certificate was revoked."""
        self._holders.clear()

    async def sorted_out(self, receipts: Sequence[SignedReceipt], *, tenant: str, agent: str) -> tuple[list[SignedReceipt], list[str]]:
        """Return the receipts that this agent signed, of fleets of its tenant, and why each of the others is dropped.

        Those are not sent back: a host with a bad receipt on its disk would send it for ever, and nothing else.
        """
        keys = {one.certificate: await self.holder(one.certificate) for one in receipts}

        def check() -> list[str]:
            return [_wrong(one, keys[one.certificate], tenant, agent) for one in receipts]

        found = check() if len(receipts) <= FEW else await asyncio.to_thread(check)
        dropped = [why for why in found if why]
        self.dropped.update(dropped)
        for why in set(dropped):
            _log.warning("receipts are dropped: %s", why, extra={"tenant": tenant, "agent": agent, "count": dropped.count(why)})
        return [one for one, why in zip(receipts, found, strict=True) if not why], dropped


def _wrong(one: SignedReceipt, holder: Holder | None, tenant: str, agent: str) -> str:
    if holder is None:
        return "its certificate is not known, or revoked"
    if (holder.tenant, holder.agent) != (tenant, agent):
        return "its certificate is another agent's"
    try:
        require_own(one, tenant=tenant, agent=agent)
    except RefusedError:
        return "it is of another agent, or of no fleet of its tenant"
    try:
        require_signed(one, holder.key)
    except RefusedError:
        return "its signature does not hold"
    return ""


def _read(connection: Connection, fingerprints: Sequence[str]) -> dict[str, Holder]:
    """Return the holders of those certificates that are known and not revoked."""
    found = (one for one in certificates.some(connection, fingerprints) if one.revoked_at is None)
    return {one.fingerprint: Holder(tenant=one.tenant, agent=one.agent, written=base64.b64decode(one.key)) for one in found}
