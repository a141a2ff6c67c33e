"""Both zones as processes on a bucket: what passes between them, what a lost disk costs, and what a stolen key of a zone can't do."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.protocol.errors import RetryError
from reconciler.control.publish import PLACES as PUBLISH_PLACES
from reconciler.pipeline.approve import PLACES as APPROVE_PLACES
from reconciler.publication.leadership import LEASE_TTL
from reconciler.publication.published import read_published
from tests import s3_server
from tests.acceptance_cases import component, repository
from tests.conftest import part
from tests.e2e.installation import until
from tests.e2e.two_zones import TwoZones
from tests.s3_server import S3Server

pytestmark = [pytest.mark.needs("opa", "git", "s3"), pytest.mark.timeout(600)]
MOTD = "tenants/shop/components/motd.yaml"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[S3Server]:
    program = part("s3")
    assert program is not None
    with s3_server.running(program, tmp_path / "s3") as made:
        yield made


@pytest.fixture
def zones(tmp_path: Path, server: S3Server) -> Iterator[TwoZones]:
    made = TwoZones(tmp_path, server, f"{server.bucket('ordain-store')}/production")
    yield made
    made.stop()


@pytest.mark.slow
def test_disks_are_lost_and_the_server_is_away_and_all_goes_on_from_the_bucket(zones: TwoZones, server: S3Server) -> None:
    installation = zones.installation
    installation.commit(repository())
    reconcile, serve = zones.copy("reconcile"), zones.copy("serve")
    reconcile.start()
    serve.start()
    zones.reaches(serve, "hello")
    reconcile.lose_disk()
    serve.lose_disk()
    installation.commit({MOTD: component("motd", "/etc/motd", "after the loss")})
    reconcile.start()
    serve.start()
    zones.reaches(serve, "after the loss")
    server.stop()
    installation.commit({MOTD: component("motd", "/etc/motd", "after the outage")})
    until("it is said that the store is away", lambda: "it is tried again" in reconcile.said and "it is tried again" in serve.said)
    server.start()
    zones.reaches(serve, "after the outage")
    assert reconcile.stop() == 0
    assert serve.stop() == 0
    for one in (reconcile, serve):
        assert "Traceback" not in one.log.read_text()
        assert s3_server.SECRET not in one.log.read_text()


def test_each_zone_writes_its_own_prefixes_alone_by_the_buckets_policy(zones: TwoZones, server: S3Server) -> None:
    server.user("reconcile", "reconcile-secret")
    server.user("serve", "serve-secret")
    server.allow("ordain-store", s3_server.policy("ordain-store", "production"))
    zones.installation.commit(repository())
    reconcile = zones.copy("reconcile", credentials=server.credentials("reconcile", "reconcile-secret"))
    serve = zones.copy("serve", credentials=server.credentials("serve", "serve-secret"))
    reconcile.start()
    serve.start()
    zones.reaches(serve, "hello")
    stolen = server.open(zones.url, "serve", "serve-secret")
    assert stolen.get("approved/accepted.json") is not None
    for write in (stolen.create, lambda key, data: stolen.replace(key, data, stolen.version(key))):
        for key in ("approved/shop/web/99.releases.json", "approved/shop/controls.json", "trust/shop/2.root.json"):
            with pytest.raises(RetryError, match="AccessDenied"):
                write(key, b"forged")
    with pytest.raises(RetryError, match="AccessDenied"):
        stolen.delete("approved/shop/controls.json")
    other = server.open(zones.url, "reconcile", "reconcile-secret")
    with pytest.raises(RetryError, match="AccessDenied"):
        other.create("public/shop/web/metadata/99.snapshot.json", b"forged")


def test_a_zone_without_permission_to_write_ends_at_its_start_and_says_so(zones: TwoZones, server: S3Server) -> None:
    server.user("reader", "reader-secret")
    zones.installation.commit(repository())
    reconcile = zones.copy("reconcile", credentials=server.credentials("reader", "reader-secret"))
    reconcile.start()
    until("it ends", lambda: reconcile.ended, log=reconcile.log)
    assert reconcile.process is not None
    assert reconcile.process.returncode == 3
    assert "refuses these credentials" in reconcile.said
    assert "Traceback" not in reconcile.said


@pytest.mark.slow
def test_of_two_reconcilers_the_second_takes_over_from_a_dead_one(zones: TwoZones) -> None:
    zones.installation.commit(repository())
    first, second, serve = zones.copy("reconcile", name="first"), zones.copy("reconcile", name="second"), zones.copy("serve")
    first.start()
    serve.start()
    zones.reaches(serve, "hello")
    second.start()
    until("the second stands by", lambda: "standing by: approved/_lease.json: held by" in second.said, log=second.log)
    first.kill()
    zones.installation.commit({MOTD: component("motd", "/etc/motd", "from the second")})
    zones.reaches(serve, "from the second")
    first.start()
    until("the first stands by", lambda: "standing by" in first.said, log=first.log)
    assert LEASE_TTL.total_seconds() < 10


@pytest.mark.slow
@pytest.mark.parametrize("place", [*APPROVE_PLACES, *PUBLISH_PLACES])
def test_a_death_between_two_writes_leaves_the_old_or_the_new_release_and_the_next_run_converges(
    tmp_path: Path, server: S3Server, place: str
) -> None:
    url = server.bucket("between-writes")

    def step(content: str, fault: str = "") -> int:
        command = [sys.executable, "-m", "tests.publication_cases", str(tmp_path), content, url]
        environment = {**os.environ, **server.environment(), "ORDAIN_FAULT": fault}
        return subprocess.run(command, env=environment, check=False, timeout=120).returncode

    def stands() -> str:
        published = read_published(server.open(url), "shop", "web")
        assert published is not None
        assert published.document.stable is not None
        return published.document.stable.digest

    assert step("old") == 0
    old = stands()
    if place.endswith("-controls"):
        server.open(url).delete("approved/shop/controls.json")  # or there would be nothing to write
    assert step("new", place) == -signal.SIGKILL
    between = stands()
    assert step("new") == 0
    assert stands() != old
    assert between in {old, stands()}
