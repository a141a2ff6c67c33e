"""Many simulated hosts in this process: they enrol by tokens as any host does, and live in one event loop, in a thread of its own."""

import asyncio
import ssl
import threading
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agent.fetching.tls import Tls
from agent.joining.requests import certificate_request, certificates, fingerprint, require_issued
from agent.protocol import codec, enrolment
from agent.protocol.enrolment import EnrolmentRequest, Issued
from reconciler.cli.connection import Server
from tests.simulator.chances import Chances, fate_of
from tests.simulator.host import Host, Identity
from tests.simulator.line import Line
from tests.simulator.reading import Verified
from tests.simulator.tally import Tally

TOGETHER = 16
"""Hosts that enrol at the same time: what they wait for is the server's disk."""
RACK = 100
"""Hosts behind one address of loopback: a server takes so many that show no certificate from one address at once."""
TOKEN_SECONDS = 3600
PATIENCE = 900.0
T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Population:
    """Hosts of one tenant of one server; `directory` is for keys, and for what those that verify keep."""

    server: Server
    tenant: str
    directory: Path
    chances: Chances
    loop: asyncio.AbstractEventLoop
    tally: Tally = field(default_factory=Tally)
    hosts: dict[str, Host] = field(default_factory=dict)
    good: set[str] = field(default_factory=set)
    """Digests of releases that fail nowhere."""
    _living: dict[str, "asyncio.Task[None]"] = field(default_factory=dict)

    # What a test or a benchmark does

    def join(self, names: Sequence[str]) -> None:
        """Have hosts enrol, and begin to live."""
        self._do(self._join(names))

    def leave(self, names: Iterable[str]) -> None:
        """Have hosts vanish; they come back by `start`."""
        self._do(self._leave(list(names)))

    def start(self, names: Iterable[str]) -> None:
        """Have hosts live that enrolled."""
        self._do(self._start(list(names)))

    def have(self, digest: str, *, told: bool = True) -> int:
        """Return how many hosts run a release, or have `told` the server so."""
        return len({one.host for one in self.tally.of(digest) if one.result == "applied" and (one.told_at or not told)})

    @property
    def verifying(self) -> int:
        """How many hosts verify with the agent's own client."""
        return sum(host.fate.verifies for host in self.hosts.values())

    @property
    def troubles(self) -> list[str]:
        """What must not happen: hosts that died of a fault, readings that differ, what the real client refused with its clock right."""
        died = [f"{name}: {task.exception()!r}" for name, task in self._living.items() if _failed(task)]
        return [*died, *self.tally.disagreed]

    def close(self) -> None:
        """Have all hosts vanish for good."""
        self.leave(list(self.hosts))

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE)

    # In the loop

    async def _start(self, names: Sequence[str]) -> None:
        for name in names:
            self._living[name] = asyncio.create_task(self.hosts[name].live(), name=name)

    async def _leave(self, names: Sequence[str]) -> None:
        tasks = [self._living.pop(name) for name in names if name in self._living]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _join(self, names: Sequence[str]) -> None:
        waiting = iter(enumerate(names, start=len(self.hosts)))

        async def enrol() -> None:
            operator = self._line(own="127.0.0.1", context=self._context(), token=self.server.token)
            for number, name in waiting:
                self.hosts[name] = await self._enrolled(operator, name, own=f"127.0.{1 + number // RACK // 250}.{1 + number // RACK % 250}")
            operator.close()

        await asyncio.gather(*(enrol() for _ in range(TOGETHER)))
        await self._start(names)

    async def _enrolled(self, operator: Line, name: str, *, own: str) -> Host:
        """Have one host enrol: a token for its name, then a certificate for a key of its own."""
        asked = {"agent": name, "ttl": TOKEN_SECONDS}
        made = msgspec.json.decode(await operator.post(f"/api/v1/tokens/{self.tenant}", msgspec.json.encode(asked)))
        key = ec.generate_private_key(ec.SECP256R1())
        request = EnrolmentRequest(format=enrolment.FORMAT, request=certificate_request(key), token=made["token"])
        line = self._line(own=own, context=self._context())
        data = await line.post("/v1/enrol", codec.canonical(request))
        line.close()
        issued = codec.decode(data, Issued, what="enrolment", limit=enrolment.ANSWER_LIMIT)
        require_issued(issued, key, tenant=self.tenant, agent=name)
        file = self.directory / f"{name}.pem"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(private + issued.certificate.encode())
        tls = Tls(server=self.server.url, authority=issued.authority, certificate=file)
        identity = Identity(tenant=self.tenant, name=name, key=key, fingerprint=fingerprint(certificates(issued.certificate)[0]))
        fate = fate_of(name, self.chances)
        return Host(
            identity=identity,
            line=self._line(own=own, context=tls.context()),
            fate=fate,
            chances=self.chances,
            tally=self.tally,
            verified=partial(self._verified, name, tls, issued.root.encode()) if fate.verifies else None,
            bad=lambda digest: digest not in self.good,
        )

    def _verified(self, name: str, tls: Tls, bootstrap: bytes, fleet: str) -> Verified:
        directory = self.directory / name / fleet
        directory.mkdir(parents=True)
        return Verified(self.tenant, fleet, name, tls=tls, directory=directory, bootstrap=bootstrap)

    def _context(self) -> ssl.SSLContext:
        return Tls(server=self.server.url, authority=self.server.authority).context()

    def _line(self, *, own: str, context: ssl.SSLContext, token: str = "") -> Line:
        parts = urlsplit(self.server.url)
        assert parts.hostname is not None
        assert parts.port is not None
        return Line(host=parts.hostname, port=parts.port, own=own, context=context, token=token)


def _failed(task: "asyncio.Task[None]") -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None


@contextmanager
def populated(server: Server, tenant: str, directory: Path, chances: Chances) -> Iterator[Population]:
    """Give a population without hosts, in a loop that runs as long as the context lasts."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="simulated hosts")
    thread.start()
    try:
        made = Population(server=server, tenant=tenant, directory=directory, chances=chances, loop=loop)
        try:
            yield made
        finally:
            made.close()
    finally:
        asyncio.run_coroutine_threadsafe(loop.shutdown_default_executor(), loop).result(PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
