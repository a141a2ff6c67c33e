"""Both zones as processes of their own, on one store, each with a state directory that may be lost."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.publication import layout
from reconciler.publication.ceremony import development_keys
from reconciler.publication.key_making import make_keys
from reconciler.publication.store import Store, open_store
from tests.e2e.installation import BIN, PATIENCE, Installation, until
from tests.s3_server import S3Server

TENANT = "shop"


@dataclass(slots=True)
class Copy:
    """One process of a zone; `log` is what it said since its first start."""

    zone: str
    state: Path
    settings: Path
    log: Path
    process: subprocess.Popen[bytes] | None = None
    began: int = 0

    def start(self, *, fault: str = "", environment: Mapping[str, str] | None = None) -> None:
        """Start it; what it listens on is known once `local` or `agents` is asked for."""
        self.log.touch()
        self.began = self.log.stat().st_size
        named = ["--state", str(self.state), "--settings", str(self.settings), "--log-format", "json"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(BIN / "ordain"), self.zone, *named], stderr=log, env={**os.environ, **(environment or {}), "ORDAIN_FAULT": fault}
            )

    @property
    def said(self) -> str:
        """What it said since it was started last."""
        return self.log.read_bytes()[self.began :].decode(errors="replace")

    @property
    def ended(self) -> bool:
        """Whether it runs no longer."""
        return self.process is None or self.process.poll() is not None

    def url(self, what: str) -> str:
        """Return where it says that `what` (health, local, agents) is."""
        marker = f"ordain: {what} at "
        until(f"{self.zone} says where {what} is", lambda: marker in self.said or self.ended, log=self.log)
        assert marker in self.said, self.said[-4000:]
        return self.said.split(marker, 1)[1].split("\n", 1)[0].strip()

    def stop(self, how: int = signal.SIGTERM) -> int:
        """End it; return its exit code."""
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.process is not None and self.process.poll() is None:
            self.stop(signal.SIGKILL)

    def lose_disk(self) -> None:
        """Kill it, and take its state directory away."""
        self.kill()
        shutil.rmtree(self.state)


def _bucket(server: S3Server, credentials: Path | None) -> Sequence[str]:
    return (
        f'endpoint = "{server.endpoint}"',
        'region = "us-east-1"',
        f'credentials = "{credentials or server.credentials()}"',
    )


@dataclass(slots=True)
class TwoZones:
    """A fleet repository, a store, keys, and copies of both zones; without a `server` of buckets the store's `url` is a directory."""

    directory: Path
    server: S3Server | None
    url: str
    installation: Installation = field(init=False)
    store: Store = field(init=False)
    copies: list[Copy] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the repository, the keys of both zones, and the trust of one tenant."""
        self.installation = Installation(self.directory)
        self.store = self.server.open(self.url) if self.server else open_store(self.url)
        make_keys("pipeline", self.directory / "keys" / "pipeline")
        development_keys(self.directory / "keys", self.store, TENANT)
        trust = self.installation.state / "trust"
        trust.mkdir(parents=True)
        (trust / f"{TENANT}.root.json").write_bytes(self.store.get(layout.trust(TENANT, "1.root.json")) or b"")

    def copy(self, zone: str, *, name: str = "", more: Mapping[str, Sequence[str]] | None = None, credentials: Path | None = None) -> Copy:
        """Return a copy of a zone that is not started yet; `more` are lines of its settings by table."""
        name = name or zone
        tables: dict[str, list[str]] = {
            "source": [f'repository = "{self.installation.repo}"', "poll = 1.0"],
            "store": [f'url = "{self.url}"', *(_bucket(self.server, credentials) if self.server else ())],
            "keys": [f'directory = "{self.directory / "keys"}"'],
            "listen": ['control = "127.0.0.1:0"', 'local = "127.0.0.1:0"', 'health = "127.0.0.1:0"', "files = true"],
        }
        for table, lines in (more or {}).items():
            tables.setdefault(table, []).extend(lines)
        settings = self.directory / f"{name}.toml"
        settings.write_text("".join(f"[{table}]\n" + "".join(f"{line}\n" for line in lines) for table, lines in tables.items()))
        made = Copy(zone, self.directory / f"{name}-state", settings, self.directory / f"{name}.log")
        self.copies.append(made)
        return made

    def reaches(self, serve: Copy, content: str, *, agent: str = "web-01", path: str = "/etc/motd") -> None:
        """Wait until an agent that asks a copy of `serve` now and then holds this content."""

        def holds() -> bool:
            self.installation.once(agent, server=serve.url("local"))
            return self.installation.content(agent, path) == content

        until(f"{agent} holds {content!r}", holds, log=serve.log)

    def stop(self) -> None:
        """End everything."""
        for one in self.copies:
            one.kill()
        self.installation.stop()
