"""A control zone on disk with enrolled agents, a server over it in a process of its own, and the agents in another, in Go (`agents/`)."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import Connection, select

from agent.protocol import bundle, codec
from agent.protocol.bundle import Bundle, Group
from agent.protocol.identity import AgentName
from agent.protocol.membership import Member
from agent.protocol.state import File, State
from reconciler.control.authority.ceremony import DOMAIN, development_authority
from reconciler.control.authority.keeper import Keeper
from reconciler.control.identity.recording import row
from reconciler.control.registry import agents as rows
from reconciler.control.registry import certificates, schema
from reconciler.control.registry.registry import Registry
from reconciler.opa.program import cache_directory
from reconciler.pipeline.approve import approve_release, write_controls
from reconciler.publication import controls
from reconciler.publication.ceremony import Rings, development_keys
from reconciler.publication.controls import Controls, Quotas
from reconciler.publication.store import LocalStore

TENANT, FLEET = "shop", "web"
PATIENCE = 900.0
"""Seconds for anything: ten thousand agents on a busy machine take minutes to connect."""


@dataclass(frozen=True, slots=True)
class Zone:
    """A control zone on disk, with so many enrolled agents."""

    directory: Path
    rings: Rings
    store: LocalStore
    agents: int
    port: int
    bare_port: int

    def hosts(self, tenant: str) -> Path:
        """Return the file with keys and certificates of all agents of a tenant."""
        return self.directory / f"{tenant}.json"

    @property
    def timestamp(self) -> Path:
        """The file that moves when something is published."""
        return self.directory / "store" / "public" / TENANT / FLEET / "metadata" / "timestamp.json"

    def approve(self, content: str) -> None:
        """Approve a release of the fleet."""
        state = State(files=[File(path="/etc/motd", content=content)])
        data = bundle.encode(Bundle(format=bundle.FORMAT, fleet=f"{TENANT}/{FLEET}", groups={"all": Group(base=state)}))
        approve_release(
            self.store,
            self.rings.pipeline.signer(f"{TENANT}/releases"),
            tenant=TENANT,
            fleet=FLEET,
            data=data,
            digest=codec.sha256(data),
            pools={},
            agents={name_of(number): Member(group="all") for number in range(self.agents)},
            commit="c" * 40,
            decision=1,
            freshness_seconds=86_400,
            now=datetime.now(UTC),
        )

    def version(self) -> int:
        """Return the version of the timestamp that stands published, 0 for none."""
        if not self.timestamp.is_file():
            return 0
        found: int = json.loads(self.timestamp.read_bytes())["signed"]["version"]
        return found

    def receipts(self) -> set[tuple[str, int]]:
        """Return which receipts are kept: agent, and generation."""
        registry = Registry.open(f"sqlite:///{self.directory}/registry.db", create=False)
        with registry.read() as connection:
            found = connection.execute(select(schema.receipts.c.agent, schema.receipts.c.signed)).all()
        registry.close()
        return {(row[0], row[1]["receipt"]["generation"]) for row in found}


@dataclass(slots=True)
class Told:
    """What the agents said, by the letter of each line; for any thread."""

    lines: dict[str, list[list[str]]] = field(default_factory=lambda: {letter: [] for letter in "BHPWRLES"})

    def read(self, stream: Iterator[str]) -> None:
        """Take every line until there are no more."""
        for line in stream:
            letter, *rest = line.split(" ", 3)
            self.lines[letter].append(rest)


@contextmanager
def made_zone(counts: Mapping[str, int], *, rate: int = 0) -> Iterator[Zone]:
    """Make a control zone with so many enrolled agents of each tenant, and one release of shop's fleet approved.

    `rate` is each tenant's quota of reports, 0 for what is usual.
    """
    with tempfile.TemporaryDirectory(prefix="ordain-bench-") as name:
        directory = Path(name)
        store = LocalStore(directory / "store")
        rings = {tenant: development_keys(directory / "keys", store, tenant) for tenant in counts}
        development_authority(directory / "keys", store, list(counts))
        zone = Zone(directory, rings[TENANT], store, counts[TENANT], _free_port(), _free_port())
        _enrol(zone, counts)
        for tenant, count in counts.items():
            stated = Controls(
                tenant=tenant,
                agents={name_of(number): controls.Agent(fleets=[FLEET]) for number in range(count)},
                fleets={FLEET: controls.Fleet(freshness=86_400)},
                quotas=Quotas(report_rate=rate),
            )
            write_controls(store, rings[tenant].pipeline.signer(f"{tenant}/releases"), stated, now=datetime.now(UTC))
        zone.approve("content\n")
        yield zone


def _enrol(zone: Zone, counts: Mapping[str, int]) -> None:
    """Enrol all agents, and write their keys where those who play them find them."""
    keeper = Keeper(zone.store, zone.rings.control)
    keeper.look()
    registry = Registry.open(f"sqlite:///{zone.directory}/registry.db")
    registry.migrate()
    for tenant, count in counts.items():
        with registry.begin() as connection:
            hosts = [_enrolled(connection, keeper, tenant, name_of(number)) for number in range(count)]
        zone.hosts(tenant).write_text(json.dumps({"Root": keeper.authority(), "Agents": hosts}))
    registry.close()


def _enrolled(connection: Connection, keeper: Keeper, tenant: str, agent: str) -> dict[str, str]:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = AgentName(domain=DOMAIN, tenant=tenant, agent=agent)
    made = keeper.issue(key.public_key(), name, lifetime=timedelta(days=1))
    rows.enrol(connection, tenant, agent, by="bench", now=now)
    certificates.record(connection, row(made.certificate, name), how="enrolled", now=now)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {"Name": agent, "Chain": made.chain, "Key": private}


@contextmanager
def serving(zone: Zone, *, kill: bool = False) -> Iterator[int]:
    """Run the server; yield its process id once it answers. With `kill` it ends as by a power cut."""
    command = [sys.executable, "-m", "benchmarks.talk_server", str(zone.directory), str(zone.port), str(zone.bare_port)]
    with (zone.directory / "server.log").open("ab") as log:
        running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
    try:
        assert running.stdout is not None  # noqa: S101 - a pipe
        if running.stdout.readline() != b"ready\n":
            message = f"the server did not start: {(zone.directory / 'server.log').read_text()[-800:]}"
            raise RuntimeError(message)
        yield running.pid
    finally:
        if kill:
            running.send_signal(signal.SIGKILL)
        for stream in (running.stdin, running.stdout):
            if stream is not None:
                stream.close()
        running.wait(PATIENCE)


NICE = "10"
"""Agents are elsewhere: the server goes before them on the cores that it shares with them here."""


@contextmanager
def playing(zone: Zone, *options: str, tenant: str = TENANT) -> Iterator[Told]:
    """Run a tenant's agents; yield what they tell."""
    command: list[str | Path] = [
        "nice",
        "-n",
        NICE,
        _program(),
        "-hosts",
        zone.hosts(tenant),
        "-address",
        f"127.0.0.1:{zone.port}",
        *options,
    ]
    running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    told = Told()
    assert running.stdout is not None  # noqa: S101 - a pipe
    reader = threading.Thread(target=told.read, args=(running.stdout,))
    reader.start()
    try:
        yield told
    finally:
        running.kill()
        running.wait(PATIENCE)
        reader.join()
        for stream in (running.stdin, running.stdout):
            if stream is not None:
                stream.close()


def played(zone: Zone, *options: str, port: int = 0) -> Told:
    """Run shop's agents to their end; return what they told."""
    command: list[str | Path] = [_program(), "-hosts", zone.hosts(TENANT), "-address", f"127.0.0.1:{port or zone.port}", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    if done.returncode:
        message = f"the agents ended: {done.stderr[:800]} {(zone.directory / 'server.log').read_text()[-800:]}"
        raise RuntimeError(message)
    told = Told()
    told.read(iter(done.stdout.splitlines()))
    return told


def _program() -> Path:
    """Build the agents, which takes a moment where nothing changed."""
    target = cache_directory(os.environ) / "bench-agents"
    target.parent.mkdir(parents=True, exist_ok=True)
    source = Path(__file__).parent / "agents"
    subprocess.run(["go", "build", "-trimpath", "-o", target, "."], cwd=source, check=True, env={**os.environ, "CGO_ENABLED": "0"})
    return target


def can_play() -> bool:
    """Return whether there is a Go to build the agents with."""
    return shutil.which("go") is not None


def name_of(number: int) -> str:
    """Return what an agent is called."""
    return f"host-{number:05d}"


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def until(true: Callable[[], bool], what: str, *, patience: float = PATIENCE, every: float = 0.02) -> None:
    """Wait until something is so, looking `every` so many seconds; raise `TimeoutError` saying what was waited for."""
    begin = time.monotonic()
    while not true():
        if time.monotonic() - begin > patience:
            message = f"{what}: not within {patience:.0f} s"
            raise TimeoutError(message)
        time.sleep(every)


def memory_of(process: int, which: str) -> float:
    """Return the megabytes of a process: `VmRSS` now, `VmHWM` at most (proc(5))."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(which)).split()[1]) / 1000


def processor_of(process: int) -> float:
    """Return the processor seconds of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
