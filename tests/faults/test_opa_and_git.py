"""The parts that the pipeline asks fall silent or die in the midst of it: it says so, decides nothing wrong, and goes on."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import https_cases
from tests.acceptance_cases import component, repository
from tests.e2e.installation import BIN, Installation, until
from tests.faults import checks

pytestmark = [pytest.mark.needs("opa", "git"), pytest.mark.timeout(600)]
MOTD = "tenants/shop/components/motd.yaml"
COMPONENTS = 400
"""Enough for several batches: OPA is met at work."""


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path)
    yield made
    made.stop()


def opa_of(parent: int) -> int:
    """Return the process id of the OPA that a process started; 0 while there is none."""
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            child = (place / "stat").read_text().rpartition(")")[2].split()[1] == str(parent)
            if child and b"judge.tar.gz" in (place / "cmdline").read_bytes():
                return int(place.name)
    return 0


def many(word: str) -> dict[str, str]:
    return {f"tenants/shop/components/c{number}.yaml": component(f"c{number}", f"/etc/c{number}", word) for number in range(COMPONENTS)}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_an_opa_that_dies_or_stops_in_a_batch_is_an_error_and_never_a_pass(installation: Installation, number: signal.Signals) -> None:
    head = installation.commit(repository())
    installation.up()
    installation.examined(head)
    assert installation.process is not None
    victim = opa_of(installation.process.pid)
    assert victim
    bad = many("x") | {MOTD: component("motd", "/etc/motd", "worse", mode="0666")}
    bad_head = installation.commit(bad)
    os.kill(victim, number)
    until("judged by another OPA", lambda: installation.status()["head"] == bad_head, log=installation.log)
    head = installation.commit({MOTD: component("motd", "/etc/motd", "worst", mode="0666")})
    until("examined", lambda: installation.status()["head"] == head, log=installation.log)
    assert installation.once("web-01").returncode == 0
    assert installation.content("web-01", "/etc/motd") == "hello", "a world-writable file passed while OPA was away"
    head = installation.commit({MOTD: component("motd", "/etc/motd", "well")})
    installation.examined(head)
    assert installation.once("web-01").returncode == 0
    assert installation.content("web-01", "/etc/motd") == "well"
    assert checks.tracebacks([installation.log]) == []
    installation.down()


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    taken.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        for one in taken:
            one.close()
        thread.join()


def _reconcile(tmp_path: Path, made: Installation, port: int, certificate: Path, log: Path) -> "subprocess.Popen[bytes]":
    settings = tmp_path / "ordain.toml"
    url = f"https://localhost:{port}/fleets.git"
    settings.write_text(f'[source]\nrepository = "{url}"\npoll = 0.5\nfetch_timeout = 2.0\n')
    command: list[str | Path] = [BIN / "ordain", "reconcile", "--state", made.state, "--settings", settings, "--listen", "127.0.0.1:0"]
    with log.open("ab") as stream:
        return subprocess.Popen(command, stderr=stream, env={**os.environ, "SSL_CERT_FILE": str(certificate)})


def test_a_git_remote_that_hangs_holds_up_only_what_is_new(installation: Installation, tmp_path: Path, silent: int) -> None:
    head = installation.commit(repository())
    installation.up()
    installation.examined(head)
    installation.down()
    certificate, log = https_cases.certificate(tmp_path), tmp_path / "reconcile.log"
    process = _reconcile(tmp_path, installation, silent, certificate, log)
    try:
        until("said", lambda: b"fetch failed" in log.read_bytes(), log=log)
        assert process.poll() is None
        assert installation.status()["head"] == head
    finally:
        process.terminate()
        assert process.wait(60) == 0
    installation.git("clone", "--quiet", "--bare", ".", str(tmp_path / "served" / "fleets.git"))
    with https_cases.serving(tmp_path / "served", certificate) as server:
        process = _reconcile(tmp_path, installation, server.port, certificate, log)
        try:
            until("resumed", lambda: log.read_bytes().count(b"resumed") > 1, log=log)
        finally:
            process.terminate()
            assert process.wait(60) == 0
    assert checks.tracebacks([log]) == []
