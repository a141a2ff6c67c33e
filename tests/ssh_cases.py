"""A real sshd for tests: on a free loopback port, with keys of its own, run by whoever runs the tests."""

import getpass
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reconciler.pipeline.source import SshAccess

START_SECONDS = 10.0
SETTINGS = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {directory}/host
AuthorizedKeysFile {directory}/authorized
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PidFile none
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SshServer:
    """What it serves lies below `root`; `directory` has its host key (`host.pub`) and the client's (`user`)."""

    root: Path
    directory: Path
    port: int

    def url(self, name: str) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{self.root / name}"

    def public(self, name: str = "host") -> str:
        return (self.directory / f"{name}.pub").read_text()

    def access(self, known_hosts: str | None = None, *, key: str = "user") -> SshAccess:
        """Return an operator's files: by default ones that name this server's own key."""
        file = self.directory / "known_hosts"
        file.write_text(f"[127.0.0.1]:{self.port} {self.public()}" if known_hosts is None else known_hosts)
        return SshAccess(key=self.directory / key, known_hosts=file)


def make_keys(directory: Path, *names: str, kind: str = "ed25519") -> None:
    directory.mkdir(exist_ok=True)
    for name in names:
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(directory / name)], check=True)


@contextmanager
def serving(sshd: Path, root: Path, directory: Path, *, port: int = 0) -> Iterator[SshServer]:
    """Run sshd until the block ends; `directory` holds the keys `host` and `user`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))
        port = probe.getsockname()[1]
    (directory / "authorized").write_bytes((directory / "user.pub").read_bytes())
    (directory / "sshd_config").write_text(SETTINGS.format(port=port, directory=directory))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # what a unit of systemd would make; sshd wants it as root alone
    with (directory / "log").open("wb") as log:
        running = subprocess.Popen([str(sshd), "-D", "-e", "-f", str(directory / "sshd_config")], stderr=log)
    try:
        _await(port, directory / "log", running)
        yield SshServer(root=root, directory=directory, port=port)
    finally:
        running.terminate()
        running.wait(10)


def _await(port: int, log: Path, running: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + START_SECONDS
    while time.monotonic() < limit and running.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(log.read_text())
