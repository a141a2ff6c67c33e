"""Taking reports for the uplink: verified, on disk, and only then acknowledged.

What a relay answers is what the uplink would have said to the batches before: how often to report, whether all is wanted anew, and that a
host lost count. Where its spool runs full hosts are asked for heartbeats only, and then for nothing: they keep what happens themselves.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from agent.protocol import report
from agent.protocol.enrolment import split_pem
from agent.protocol.errors import MalformedError, RefusedError, disk_trouble
from agent.protocol.report import Acknowledged, Batch, SignedBatch
from reconciler.control.authority import certificates
from reconciler.control.identity.agents import Issuers
from reconciler.control.intake import decoding, receipts
from reconciler.control.intake.groups import Groups
from reconciler.control.intake.pace import Pace
from reconciler.control.intake.taking import is_empty
from reconciler.control.refusal import Denied
from reconciler.relay.spool import Spool

Agent = tuple[str, str]
EVERY = 60
"""Seconds between a host's reports until the uplink says otherwise."""
RARELY = 600
"""The same while the spool is half full: heartbeats tell little that nobody hears."""
HALF = 0.5
FULL_SECONDS = 60
"""After which a host may ask again whether there is room."""
FIRST_SECONDS = 5


class Taking:
    """Takes reports of hosts; `counts` is by what became of a batch, for metrics."""

    def __init__(self, spool: Spool, issuers: Issuers) -> None:
        """Nothing is kept before `groups.run` runs."""
        self.counts: Counter[str] = Counter()
        self.groups: Groups[bytes, None] = Groups(self._keep)
        self.stirred = asyncio.Event()
        """Set when something new waits."""
        self._spool, self._issuers = spool, issuers
        self._paces: dict[Agent, Pace] = {}
        self._whole: set[Agent] = set()
        self._above: dict[Agent, int] = {}
        """The number above which a host is to go on that lost count."""

    async def take(self, agent: Agent, body: bytes) -> Acknowledged:
        """Keep what a host signed; return what it is told.

        Raises:
            MalformedError: no report.
            Denied: not signed by that host, or there is no room.
        """
        found = decoding.decode(body)
        if not isinstance(found, SignedBatch):  # the host has not heard yet that a relay answers
            message = "this is a relay, which takes what is signed as a whole; ask /v1/watch first"
            raise Denied("unavailable", message, retry_after=FIRST_SECONDS)
        batch = await asyncio.to_thread(self._verified, agent, found)
        if self._spool.fullness >= 1:
            self.counts["no-room"] += 1
            message = "reports wait for the server, and there is no room for more; keep yours"
            raise Denied("unavailable", message, retry_after=FULL_SECONDS)
        await self.groups.put(agent[0], body, soon=not is_empty(batch))
        self.counts["kept"] += 1
        above = self._above.pop(agent, 0)
        pace = self.pace(*agent)
        return Acknowledged(format=report.FORMAT, sequence=max(above, batch.sequence), every=pace.every, brief=pace.brief)

    def _verified(self, agent: Agent, carried: SignedBatch) -> Batch:
        leaf = signer(carried)
        name = certificates.agent_name(leaf)
        self._issuers.require_issued(leaf, name)
        if (name.tenant, name.agent) != agent:
            message = f"a batch of {name.tenant}/{name.agent}, brought by {agent[0]}/{agent[1]}"
            raise Denied("refused", message)
        data = decoding.carried_bytes(carried.batch, what="batch")
        try:
            receipts.require_batch_signed(data, carried.signature, _key(leaf))
        except RefusedError:
            self.counts["unsigned"] += 1
            raise
        return decoding.decode_batch(data)

    async def _keep(self, found: Sequence[bytes]) -> Sequence[None]:
        try:
            await asyncio.to_thread(self._spool.keep, found)
        except OSError as error:
            raise disk_trouble(error) from error
        self.stirred.set()
        return [None] * len(found)

    def heard(self, agent: Agent, sent: int, answer: Acknowledged) -> None:
        """Take what the uplink said to a batch of that number, to tell it to its host at the next occasion."""
        self._paces[agent] = Pace(every=answer.every, brief=answer.brief)
        if answer.report:
            self._whole.add(agent)
        if answer.sequence > sent:
            self._above[agent] = answer.sequence

    # What hosts are told; see `watch.answers.Reports`

    def pace(self, tenant: str, agent: str) -> Pace:
        """Return how a host reports: as the uplink said last, and rarely while there is little room."""
        found = self._paces.get((tenant, agent)) or Pace(every=EVERY, brief=False)
        return Pace(every=max(found.every, RARELY), brief=True) if self._spool.fullness >= HALF else found

    async def wants_whole(self, tenant: str, agent: str, fingerprint: str, reported: int) -> bool:
        """Return whether the uplink asked for everything of that host."""
        del fingerprint, reported
        wanted = (tenant, agent) in self._whole
        self._whole.discard((tenant, agent))
        return wanted

    def seen(self, tenant: str, agent: str) -> None:
        """Nothing is noted: that a host is there its reports tell."""


def _key(leaf: x509.Certificate) -> ec.EllipticCurvePublicKey:
    key = leaf.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        message = "a certificate whose key is of another kind"
        raise RefusedError(message)
    return key


def signer(carried: SignedBatch) -> x509.Certificate:
    """Return the certificate whose key is said to have signed a batch; raise `MalformedError` for none."""
    try:
        return x509.load_pem_x509_certificate(split_pem(carried.certificate)[0].encode())
    except ValueError as error:
        message = f"the batch's certificate can't be read: {error}"
        raise MalformedError(message) from error
