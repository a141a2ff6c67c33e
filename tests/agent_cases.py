"""A control plane as an agent sees it: signed repositories in the real format over real HTTP, and agents as processes.

What is signed is made with the same functions that the control plane signs with. A test may put other bytes in the
place of any file, as a server taken over would.
"""

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Root, Signed

from agent.disk import Disk
from agent.logs import Log
from agent.loop import Agent
from agent.protocol import bundle, codec, membership, rollout
from agent.protocol.bundle import Bundle, Group
from agent.protocol.membership import Member
from agent.protocol.rollout import Release, RolloutDocument
from agent.protocol.state import Artifact, ArtifactSource, File, State
from agent.reporting.status import overview
from agent.settings import Settings
from agent.stopping import Stop
from reconciler.publication import metadata

COMMIT = "c0ffee" * 6 + "c0ff"


def file_state(**content: str) -> State:
    """Return a state with files under /etc/app: name → content."""
    return State(files=[File(path=f"/etc/app/{name}", content=text) for name, text in sorted(content.items())])


def artifact_of(path: str, source: Path, sha256: str) -> Artifact:
    """Return an artifact that is fetched from a local file."""
    return Artifact(name="tool", path=path, platforms={"any": ArtifactSource(url=source.as_uri(), sha256=sha256)})


@dataclass(slots=True)
class Keys:
    """One tenant's keys."""

    root: list[CryptoSigner] = field(default_factory=lambda: [CryptoSigner.generate_ed25519() for _ in range(2)])
    targets: CryptoSigner = field(default_factory=CryptoSigner.generate_ed25519)
    releases: CryptoSigner = field(default_factory=CryptoSigner.generate_ed25519)
    rollouts: CryptoSigner = field(default_factory=CryptoSigner.generate_ed25519)
    snapshot: CryptoSigner = field(default_factory=CryptoSigner.generate_ed25519)
    timestamp: CryptoSigner = field(default_factory=CryptoSigner.generate_ed25519)


class Tenant:
    """A tenant's trust: root and targets, and a repository for each fleet."""

    def __init__(self, files: dict[str, bytes], name: str = "shop", keys: Keys | None = None) -> None:
        self.name = name
        self.files = files
        self.keys = keys or Keys()
        self.roots: list[bytes] = []
        self.targets = b""
        self.fleets: dict[str, Repository] = {}
        self.rotate()

    def rotate(self) -> None:
        """Sign the next root, and targets, with the keys as they are now."""
        keys, now = self.keys, datetime.now(UTC)
        held = {
            "root": [signer.public_key for signer in keys.root],
            "targets": [keys.targets.public_key],
            "snapshot": [keys.snapshot.public_key],
            "timestamp": [keys.timestamp.public_key],
        }
        version = len(self.roots) + 1
        root: Root = metadata.root(self.name, held, now=now, development=True, version=version)
        self.roots.append(metadata.sign(root, keys.root))
        delegated = metadata.targets(
            self.name, releases=keys.releases.public_key, rollouts=keys.rollouts.public_key, now=now, version=version
        )
        self.targets = metadata.sign(delegated, [keys.targets])

    def fleet(self, name: str) -> "Repository":
        """Return the repository of a fleet, made at the first call."""
        if name not in self.fleets:
            self.fleets[name] = Repository(self, name)
        return self.fleets[name]


class Repository:
    """One fleet's repository. `publish` is what pipeline and control zone do together."""

    def __init__(self, tenant: Tenant, fleet: str) -> None:
        self.tenant = tenant
        self.fleet = fleet
        self.full = f"{tenant.name}/{fleet}"
        self.prefix = f"/v1/repositories/{tenant.name}/{fleet}"
        self.version = 0
        self.serial = 0
        self.epoch = 1
        self.sequence = 0
        self.listed: dict[str, Any] = {}
        self.digest = ""
        self.members: tuple[dict[str, Member], dict[str, Member]] | None = None
        self.members_sequence = 0

    def publish(
        self,
        state: State | dict[str, Group],
        agents: dict[str, Member] | list[str],
        *,
        pools: dict[str, Member] | None = None,
        freshness: timedelta = timedelta(hours=24),
        **document: Any,
    ) -> str:
        """Approve and publish a release, and return its bundle's digest; `document` overrides fields of the rollout document."""
        groups = state if isinstance(state, dict) else {"all": Group(base=state)}
        listed = agents if isinstance(agents, dict) else {name: Member(group="all") for name in agents}
        data = bundle.encode(Bundle(format=bundle.FORMAT, fleet=self.full, groups=groups))
        self.digest = codec.sha256(data)
        self._list(bundle.target(self.fleet, self.digest), bundle.pack(data))
        self._list_members(pools or {}, listed)
        self.roll_out(freshness=freshness, **document)
        return self.digest

    def _list_members(self, pools: dict[str, Member], agents: dict[str, Member]) -> None:
        if self.members == (pools, agents):
            return
        self.members = (pools, agents)
        self.members_sequence = self.sequence + 1
        members, shards = membership.split(self.full, self.members_sequence, pools, agents)
        for digest, data in shards.items():
            self._list(membership.shard_target(digest), data)
        self._list(membership.target(self.members_sequence), codec.canonical(members))

    def _list(self, target: str, data: bytes) -> None:
        if target not in self.listed:
            self.sequence += 1
            custom = {"sequence": self.sequence, "commit": COMMIT, "decision": self.sequence, "additive": False}
            self.listed[target] = metadata.target_file(target, data, custom)
            self._put_target(target, data)

    def roll_out(self, *, freshness: timedelta = timedelta(hours=24), now: datetime | None = None, **document: Any) -> None:
        """Publish a new rollout document for the newest release."""
        self.serial += 1
        fields: dict[str, Any] = {
            "format": rollout.FORMAT,
            "fleet": self.full,
            "serial": self.serial,
            "epoch": self.epoch,
            "attempt": 1,
            "stable": Release(digest=self.digest, members=self.members_sequence),
            "candidate": None,
            "not_before": "2026-01-01T00:00:00Z",
        }
        data = codec.canonical(RolloutDocument(**(fields | document)))
        self.sign(rollout.target(self.fleet), data, freshness=freshness, now=now or datetime.now(UTC))

    def sign(self, target: str, data: bytes, *, freshness: timedelta, now: datetime, fleet: str | None = None) -> None:
        """Sign and put all roles; `fleet` is what they claim to be of, this one unless told otherwise."""
        self.version += 1
        keys, full, expires = self.tenant.keys, fleet or self.full, now + freshness * 7
        self._put_target(target, data)
        releases = self._put("releases", metadata.role(full, self.listed, version=self.version, expires=expires), keys.releases)
        named = {target: metadata.target_file(target, data)}
        rollouts = self._put("rollouts", metadata.role(full, named, version=self.version, expires=expires), keys.rollouts)
        roles = {"releases": metadata.meta_file(self.version, releases), "rollouts": metadata.meta_file(self.version, rollouts)}
        top = metadata.snapshot(full, targets_version=len(self.tenant.roots), roles=roles, version=self.version, expires=expires)
        snapshot = self._put("snapshot", top, keys.snapshot)
        self._put_trust()
        stamp = metadata.timestamp(
            full, snapshot_file=metadata.meta_file(self.version, snapshot), version=self.version, expires=now + freshness, now=now
        )
        self.tenant.files[f"{self.prefix}/metadata/timestamp.json"] = metadata.sign(stamp, [keys.timestamp])

    def _put(self, role: str, signed: Signed, signer: CryptoSigner) -> bytes:
        data = metadata.sign(signed, [signer])
        self.tenant.files[f"{self.prefix}/metadata/{self.version}.{role}.json"] = data
        return data

    def _put_trust(self) -> None:
        for number, data in enumerate(self.tenant.roots, start=1):
            self.tenant.files[f"{self.prefix}/metadata/{number}.root.json"] = data
        self.tenant.files[f"{self.prefix}/metadata/{len(self.tenant.roots)}.targets.json"] = self.tenant.targets

    def _put_target(self, target: str, data: bytes) -> None:
        directory, _, name = target.rpartition("/")
        self.tenant.files[f"{self.prefix}/targets/{directory}/{codec.sha256(data)}.{name}"] = data

    def files(self, part: str) -> list[str]:
        """Return the addresses of this repository's files that contain `part`."""
        return [path for path in self.tenant.files if path.startswith(self.prefix + "/") and part in path]


class Server:
    """Hands out files, remembers what was asked for and how large the answers were."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.hints: dict[str, list[str]] = {}
        self.requests: list[tuple[str, int]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = server.body(self.path)
                server.requests.append((self.path, len(body or b"")))
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_: Any) -> None:
                """Keep the test's output clean."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def body(self, path: str) -> bytes | None:
        """Return what stands at an address."""
        if path.startswith("/v1/agents/") and path.endswith("/fleets"):
            agent = path.removeprefix("/v1/agents/").removesuffix("/fleets")
            return json.dumps({"fleets": self.hints.get(agent, [])}).encode()
        return self.files.get(path)

    def asked(self, part: str) -> list[str]:
        """Return the addresses asked for that contain `part`."""
        return [path for path, _ in self.requests if part in path]

    def close(self) -> None:
        """Stop serving."""
        self._http.shutdown()
        self._http.server_close()


class Rig:
    """One host, its agent and its control plane, in one directory."""

    def __init__(self, directory: Path, server: Server, tenant: Tenant, name: str = "web-01") -> None:
        self.directory = directory
        self.server = server
        self.tenant = tenant
        self.name = name
        self.root = directory / "host"
        self.state = directory / "state"
        self.anchor = directory / "root.json"
        self.root.mkdir(parents=True, exist_ok=True)
        self.anchor.write_bytes(tenant.roots[0])
        self.config = self.root / "etc/ordain/agent.toml"
        self.log = ""

    def fleet(self, name: str = "web") -> Repository:
        """Return a fleet that the server says this agent is in."""
        key = f"{self.tenant.name}/{self.name}"
        self.server.hints.setdefault(key, [])
        if name not in self.server.hints[key]:
            self.server.hints[key].append(name)
        return self.tenant.fleet(name)

    def command(self, *options: str) -> list[str]:
        """Return the command line of a running agent."""
        identity = ["--tenant", self.tenant.name, "--name", self.name]
        places = ["--root", str(self.root), "--state", str(self.state), "--root-metadata", str(self.anchor)]
        return [sys.executable, "-m", "agent", "run", "--server", self.server.url, *identity, *places, *options]

    def poll(self) -> int:
        """Poll once in this process; `log` then holds what the agent said."""
        settings = Settings(
            server=self.server.url,
            bootstrap=self.anchor.read_bytes(),
            tenant=self.tenant.name,
            name=self.name,
            root=self.root.resolve(),
            state=self.state,
            config=self.config,
        )
        said = io.StringIO()
        try:
            return Agent(settings, Log("text", said), Stop()).run(once=True)
        finally:
            self.log = said.getvalue()

    def run(self, *, fault: str | None = None) -> subprocess.CompletedProcess[str]:
        """Poll once, in a process of its own; `fault` is where it dies."""
        environment = {**os.environ, "ORDAIN_FAULT": fault or ""}
        return subprocess.run(self.command("--once"), env=environment, capture_output=True, text=True, check=False, timeout=60)

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another command on this agent's state."""
        command = [sys.executable, "-m", "agent", *arguments, "--state", str(self.state)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    def answer(self, *arguments: str) -> Any:
        """Return what a command prints as JSON."""
        done = self.ask(*arguments, "--format", "json")
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def status(self, fleet: str = "web") -> dict[str, Any]:
        """Return what the agent says of one fleet."""
        shown: Any = overview(Disk(root=self.state))["fleets"]
        found: dict[str, Any] = next(entry for entry in shown if entry["fleet"] == fleet)
        return found

    def text(self, path: str) -> str:
        """Return the content of a file on the host."""
        return (self.root / path.lstrip("/")).read_text()

    def tree(self) -> dict[str, str]:
        """Return all that is on the host but agent.toml: path → content, target or "directory"; staged leftovers too."""
        shown = [path for path in sorted(self.root.rglob("*")) if "etc/ordain" not in str(path)]
        return {f"/{path.relative_to(self.root)}": _described(path) for path in shown}

    def kept(self) -> dict[Path, bytes]:
        """Return what the agent keeps on disk, without what it may fetch again."""
        return {path: path.read_bytes() for path in self.state.rglob("*.json") if "cache" not in path.parts}

    def files(self) -> dict[str, str]:
        """Return the files and links on the host."""
        return {path: what for path, what in self.tree().items() if what != "directory"}


def _described(path: Path) -> str:
    if path.is_symlink():
        return f"-> {path.readlink()}"
    return "directory" if path.is_dir() else path.read_text()


@contextmanager
def rig(directory: Path, name: str = "web-01") -> Iterator[Rig]:
    """Give a host with its agent and control plane."""
    server = Server()
    try:
        yield Rig(directory, server, Tenant(server.files), name)
    finally:
        server.close()


def hours_from_now(hours: int) -> str:
    """Return an instant as wire formats write it."""
    return seconds_from_now(hours * 3600)


def seconds_from_now(seconds: int) -> str:
    """Return an instant as wire formats write it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def checked(file: File, check: list[str]) -> File:
    """Return a file with a check."""
    return msgspec.structs.replace(file, check=check)
