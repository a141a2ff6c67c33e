"""TLS of the control zone's listener: the server's own certificate, renewed without a restart, and clients' verified where they show one.

The server's key lives in this process alone: it is made anew with each certificate, and OpenSSL, which reads keys from files only, gets
it from one that is in no directory. Connections that stand keep what they began with.

The listener is tuned for ten thousand connections (measured; see docs/adr): asyncio reserves 256 KiB for each by itself, and fills
them with zeros; more than one session ticket for each costs a signature's time; the garbage collector looks at all that lives too often.
"""

import asyncio
import gc
import logging
import os
import resource
import ssl
import tempfile
from asyncio import sslproto
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agent.protocol.errors import OrdainError
from reconciler.control.authority.certificates import SERVER_LIFETIME
from reconciler.control.authority.keeper import Keeper, keep_looking, pem
from reconciler.publication.times import stamp

BACKLOG = 4096
"""Connections that may wait to be accepted: with the usual 128, ten thousand agents took 62 s to come back, and some failed."""
TLS_BUFFER = 2048
"""Bytes that asyncio reserves for reading of each TLS connection: nearly all requests are smaller, and a larger one is read in parts."""
GARBAGE = (50_000, 20, 100)
"""Thresholds of the garbage collector: a hundred thousand requests make no garbage that counting references does not free."""
DESCRIPTORS = 65_536
"""Files and connections that this process may have open, where the system allows it."""
NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL: whose certificate is not in its time hears that from the gate, in words.

A handshake that fails is cut off by asyncio before the other side knows why, and a host whose clock differs would never learn it.
"""
LOOK_EVERY = 2.0
"""Seconds between looks at the store for another generation, and at the clock for renewal."""

_log = logging.getLogger(__name__)


def tune() -> None:
    """Tune this process for many TLS connections; before it serves any."""
    if hasattr(sslproto.SSLProtocol, "max_size"):  # private: without it nothing breaks, and memory is what it was
        sslproto.SSLProtocol.max_size = TLS_BUFFER
    gc.set_threshold(*GARBAGE)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft < most:  # systemd and most shells start with 1,024 and allow more
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class Listening:
    """The context of one listener, and how it is kept fresh."""

    def __init__(self, keeper: Keeper, names: Sequence[str], *, lifetime: timedelta = SERVER_LIFETIME) -> None:
        """`names` are host names and addresses by which agents and operators reach this server."""
        self._keeper, self._names, self._lifetime = keeper, tuple(dict.fromkeys(names)), lifetime
        self._context: ssl.SSLContext | None = None
        self._renew_at = datetime.max.replace(tzinfo=UTC)
        self._shown = 0
        self._roots: set[str] = set()

    def context(self) -> ssl.SSLContext | None:
        """Return the context, made at the first call; None while there is no authority to make it by. For a thread."""
        if self._context is None:
            keep_looking(self._keeper)
            if not self._keeper.generations:
                return None
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.verify_mode = ssl.CERT_OPTIONAL
            context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
            context.num_tickets = 1
            self._renew(context)
            self._trust(context)
            self._context = context
        return self._context

    def refresh(self) -> None:
        """Take over what changed: another generation's root, the plan, a certificate whose time comes. For a thread."""
        keep_looking(self._keeper)
        if self._context is None or not self._keeper.generations:
            return
        self._trust(self._context)
        if datetime.now(UTC) >= self._renew_at or self._keeper.plan.server != self._shown:
            self._renew(self._context)

    async def keep_fresh(self) -> None:
        """Refresh for ever; what fails is logged, and tried again."""
        while True:
            await asyncio.sleep(min(LOOK_EVERY, self._lifetime.total_seconds() / 10))
            try:
                await asyncio.to_thread(self.refresh)
            except (OrdainError, OSError, ssl.SSLError) as error:
                _log.error("the server's certificate can't be renewed: %s", error)

    def _trust(self, context: ssl.SSLContext) -> None:
        """Believe clients of all roots; one that is gone is no longer believed by the gate, and by TLS after a restart."""
        for root in map(pem, self._keeper.roots()):
            if root not in self._roots:
                context.load_verify_locations(cadata=root)
                self._roots.add(root)

    def _renew(self, context: ssl.SSLContext) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._keeper.issue_server(key.public_key(), self._names, lifetime=self._lifetime)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        load_chain(context, made.chain.encode() + private)
        now = datetime.now(UTC)
        self._renew_at = now + (made.certificate.not_valid_after_utc - now) * 2 / 3
        self._shown = self._keeper.plan.server
        _log.info(
            "the server's certificate is valid until %s",
            stamp(made.certificate.not_valid_after_utc),
            extra={"names": ", ".join(self._names)},
        )


def load_chain(context: ssl.SSLContext, data: bytes) -> None:
    """Load a chain and its key from memory, or where the system can't name memory, from a file of our own that goes at once."""
    if not hasattr(os, "memfd_create"):
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            context.load_cert_chain(file.name)
        return
    descriptor = os.memfd_create("ordain", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, data)
        context.load_cert_chain(Path(f"/proc/self/fd/{descriptor}"))
    finally:
        os.close(descriptor)
