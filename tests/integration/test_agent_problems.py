"""What is wrong on a host, or with one fleet: said once, shown in status, and no hindrance to the others."""

import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path

import pytest

from agent.disk import Disk
from agent.following.follow import Follower
from agent.logs import Log
from agent.loop import Agent
from agent.protocol.state import Artifact, ArtifactSource, State
from agent.reporting.status import overview
from agent.settings import Settings
from agent.stopping import Stop
from reconciler.control.api.application import application
from reconciler.publication import layout
from tests import agent_cases
from tests.agent_cases import Rig, file_state
from tests.publication_cases import Zone, make_zone, serving

FLEETS = ["base", "db", "edge", "logs", "web"]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with agent_cases.rig(tmp_path) as made:
        yield made


def published(directory: Path, *fleets: str) -> Zone:
    """Return a zone with a release of each fleet, as `serve` hands it out."""
    zone = make_zone(directory)
    for fleet in fleets:
        zone.approve("first", fleet=fleet)
        zone.publish(fleet=fleet)
    zone.write_controls(fleets)
    return zone


def poll(directory: Path, zone: Zone, url: str, *, name: str = "web-01") -> tuple[int, str]:
    """Poll once; return the exit code and what was logged."""
    root = directory / name
    root.mkdir(exist_ok=True)
    said = StringIO()
    settings = Settings(
        server=url,
        bootstrap=zone.store.get(layout.trust("shop", "1.root.json")) or b"",
        tenant="shop",
        name=name,
        root=root,
        state=directory / f"{name}-state",
        config=root / "agent.toml",
    )
    return Agent(settings, Log("text", said), Stop()).run(once=True), said.getvalue()


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def problems(state: Path) -> list[str]:
    found = overview(Disk(root=state))["problems"]
    assert isinstance(found, list)
    return found


class _Counting(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream = ""
    bodies: list[int]

    def do_GET(self) -> None:
        kept = {name: value for name, value in self.headers.items() if name.lower() in ("if-none-match", "range", "if-range")}
        try:
            with urllib.request.urlopen(urllib.request.Request(self.upstream + self.path, headers=kept), timeout=20) as answer:
                status, headers, body = answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            status, headers, body = error.code, error.headers, error.read()
        self.bodies.append(len(body))
        self.send_response(status)
        self.send_header("ETag", headers.get("ETag", ""))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name in the base class
        """Say nothing."""


@contextmanager
def counted(upstream: str) -> Iterator[tuple[str, list[int]]]:
    """Stand between agent and server; yield the address and the sizes of the bodies that went through."""
    bodies: list[int] = []
    handler = type("Handler", (_Counting,), {"upstream": upstream, "bodies": bodies})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", bodies
    finally:
        server.shutdown()
        server.server_close()


def test_a_poll_without_change_brings_no_bodies_however_many_fleets_there_are(tmp_path: Path) -> None:
    zone = published(tmp_path, *FLEETS)
    with serving(application(zone.store)) as url, counted(url) as (address, bodies):
        assert poll(tmp_path, zone, address)[0] == 0
        assert sum(bodies) > 0
        bodies.clear()
        assert poll(tmp_path, zone, address)[0] == 0
        assert sum(bodies) == 0
        zone.approve("second", fleet="base")
        zone.publish(fleet="base")
        code, log = poll(tmp_path, zone, address)
    assert code == 0
    assert "applied fleet=base" in log
    assert (tmp_path / "web-01/etc/motd").read_text() == "second"


def test_a_timestamp_that_is_damaged_on_this_host_is_fetched_again(tmp_path: Path) -> None:
    zone = published(tmp_path, "web")
    with serving(application(zone.store)) as url:
        assert poll(tmp_path, zone, url)[0] == 0
        kept = tmp_path / "web-01-state/fleets/web/metadata/timestamp.json"
        before = kept.read_bytes()
        kept.write_bytes(before[:-20])
        assert poll(tmp_path, zone, url)[0] == 0
    assert kept.read_bytes() == before


def test_an_agent_that_the_server_does_not_know_is_told_so(tmp_path: Path) -> None:
    zone = published(tmp_path, "web")
    with serving(application(zone.store)) as url:
        code, log = poll(tmp_path, zone, url, name="web-09")
        assert code == 1
        assert "the server knows no agent shop/web-09: compare --tenant and --name with the manifests" in log
        assert "unreachable" not in log
        [said] = problems(tmp_path / "web-09-state")
        assert "knows no agent" in said
        assert "knows no agent" not in poll(tmp_path, zone, url, name="web-09")[1]


def test_a_fault_in_one_fleet_is_that_fleets_problem(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.fleet("db").publish(file_state(db="1"), ["web-01"])
    rig.fleet("web").publish(file_state(web="1"), ["web-01"])
    follow = Follower.follow

    def fails(follower: Follower) -> object:
        return 1 // 0 if follower.fleet == "db" else follow(follower)

    monkeypatch.setattr(Follower, "follow", fails)  # no input is known that makes it fail: this is the last line of defence
    assert rig.poll() == 1
    assert rig.text("/etc/app/web") == "1"
    assert rig.status("db")["result"] == "failed"
    assert "a fault of ordain" in rig.status("db")["why"]
    assert "ZeroDivisionError" in rig.log
    assert "Traceback" in rig.log
    monkeypatch.undo()
    assert rig.poll() == 0
    assert rig.text("/etc/app/db") == "1"


def artifact(url: str) -> State:
    source = ArtifactSource(url=url, sha256="a" * 64)
    return State(artifacts=[Artifact(name="tool", path="/opt/tool", platforms={"any": source})])


def test_an_artifact_that_is_not_there_fails_its_fleet_alone_and_is_not_asked_for_at_each_poll(rig: Rig) -> None:
    rig.fleet("db").publish(artifact(f"{rig.server.url}/gone"), ["web-01"])
    rig.fleet("web").publish(file_state(web="1"), ["web-01"])
    assert rig.poll() == 1
    assert rig.text("/etc/app/web") == "1"
    assert rig.status("db")["result"] == "failed"
    assert "404" in rig.status("db")["why"]
    assert len(rig.server.asked("/gone")) == 1


def test_a_broken_agent_toml_is_said_when_it_breaks_and_once(rig: Rig) -> None:
    rig.fleet().publish(file_state(a="1"), ["web-01"])
    assert rig.poll() == 0
    assert problems(rig.state) == []
    rig.config.parent.mkdir(parents=True, exist_ok=True)
    rig.config.write_text("[allow]\npaths = 7\n")
    rig.poll()
    assert "problem why=" in rig.log
    assert "agent.toml" in str(problems(rig.state))
    assert "problem: " in rig.ask("status").stdout
    rig.poll()
    assert "problem why=" not in rig.log
    rig.config.unlink()
    assert rig.poll() == 0
    assert problems(rig.state) == []


@pytest.mark.parametrize("what", ["nothing", "no JSON", "a timestamp", "unsigned", "another tenant's"])
def test_root_metadata_that_can_not_be_trusted_ends_the_agent_at_its_start(rig: Rig, what: str) -> None:
    fleet = rig.fleet()
    fleet.publish(file_state(a="1"), ["web-01"])
    [stamp] = fleet.files("timestamp.json")
    root = rig.tenant.roots[0]
    bad = {
        "nothing": b"",
        "no JSON": b"<html>",
        "a timestamp": rig.tenant.files[stamp],
        "unsigned": root.replace(root[root.index(b'"sig":"') :][:20], b'"sig":"00000000000' + b"0" * 2),
        "another tenant's": root,
    }
    rig.anchor.write_bytes(bad[what])
    command = rig.command("--once")
    if what == "another tenant's":
        command[command.index("--tenant") + 1] = "bank"
    done = run(command)
    assert done.returncode == 2, done.stderr
    assert str(rig.anchor) in done.stderr
    assert not (rig.state / "agent.json").exists()


def test_a_hold_is_shown_as_text_too(rig: Rig) -> None:
    for content in "12":
        rig.fleet().publish(file_state(a=content), ["web-01"])
        assert rig.poll() == 0
    assert rig.ask("rollback", "web").returncode == 0
    assert "  held: " in rig.ask("status").stdout
