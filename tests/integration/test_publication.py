"""What is published, as others see it: python-tuf's own client over HTTP, and a stock OPA."""

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tuf.ngclient import Updater

from agent.protocol import bundle, membership, rollout
from agent.protocol.membership import Member
from reconciler.control.api.application import application
from reconciler.publication.metadata import RENEW_AT_MOST
from tests.polling_cases import updater
from tests.publication_cases import ONE_AGENT, Zone, bundle_of, make_zone, now, serving


@pytest.fixture
def zone(tmp_path: Path) -> Zone:
    made = make_zone(tmp_path)
    made.approve("one")
    made.write_controls()
    made.publish()
    return made


@pytest.fixture
def url(zone: Zone) -> Iterator[str]:
    with serving(application(zone.store)) as address:
        yield address


def client(zone: Zone, url: str, directory: Path) -> Updater:
    """Return python-tuf's own client, which knows an address and root metadata and nothing else."""
    return updater(url, directory, zone.trust.roots[0])


def download(by: Updater, path: str) -> bytes:
    found = by.get_targetinfo(path)
    assert found is not None, path
    return Path(by.download_target(found)).read_bytes()


def status(url: str, headers: dict[str, str] | None = None) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {})) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_pythons_own_tuf_client_downloads_all_of_a_release_with_nothing_but_root_metadata(zone: Zone, url: str, tmp_path: Path) -> None:
    updater = client(zone, url, tmp_path / "client")
    document = rollout.decode(download(updater, rollout.target("web")), fleet="shop/web")
    assert document.stable is not None
    packed = download(updater, bundle.target("web", document.stable.digest))
    content = bundle.unpack(packed, digest=document.stable.digest)
    assert content.groups["all"].base.files[0].content == "one"
    members = membership.decode(
        download(updater, membership.target(document.stable.members)), fleet="shop/web", sequence=document.stable.members
    )
    assert members.agents == ONE_AGENT


def test_a_client_that_comes_back_takes_what_is_new_and_its_own_shard(zone: Zone, url: str, tmp_path: Path) -> None:
    client(zone, url, tmp_path / "client").refresh()
    zone.approve("two", agents={f"web-{number}": Member(group="all") for number in range(700)})
    zone.publish(at=now() + RENEW_AT_MOST)
    updater = client(zone, url, tmp_path / "client")
    document = rollout.decode(download(updater, rollout.target("web")), fleet="shop/web")
    assert document.stable is not None
    assert document.stable.digest == bundle_of("two")[1]
    members = membership.decode(download(updater, membership.target(2)), fleet="shop/web", sequence=2)
    digest = membership.needed_shard(members, "web-42")
    assert digest is not None
    shard = membership.decode_shard(download(updater, membership.shard_target(digest)), fleet="shop/web", digest=digest)
    assert membership.find(members, shard, "web-42") == Member(group="all")


def test_a_stock_opa_loads_a_published_bundle(zone: Zone, url: str, tmp_path: Path, opa: Path) -> None:
    path = bundle.target("web", bundle_of("one")[1])
    packed = tmp_path / "bundle.tar.gz"
    packed.write_bytes(download(client(zone, url, tmp_path / "client"), path))
    query = "data.ordain.groups.all.base.files[0].content"
    ended = subprocess.run([opa, "eval", "-b", packed, "--format", "json", query], capture_output=True, check=False, timeout=60, text=True)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["result"][0]["expressions"][0]["value"] == "one"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/repositories/shop/web/metadata/2.root.json",
        "/v1/repositories/shop/web/metadata/",
        "/v1/repositories/shop/web/targets/",
        "/v1/repositories/shop/web/targets/bundles/",
        "/v1/repositories/shop/web/metadata/..%2F..%2F..%2F..%2Fapproved%2Faccepted.json",
        "/v1/repositories/shop/web/targets/../../../../approved/shop/controls.json",
        "/v1/repositories/shop/web/targets/bundles/..%2f..%2fmetadata%2ftimestamp.json",
        "/v1/repositories/shop/%2e%2e/metadata/timestamp.json",
        "/v1/repositories/shop/db/metadata/timestamp.json",
        "/v1/repositories/Shop/web/metadata/timestamp.json",
        "/v1/artifacts/shop/" + "a" * 64,
        "/v1/artifacts/shop/controls.json",
        "/v1/agents/shop/stranger/fleets",
        "/v1/agents/lab/web-01/fleets",
        "/records/shop/web/status.json",
        "/",
    ],
)
def test_what_is_not_there_for_agents_is_not_found(url: str, path: str) -> None:
    assert status(url + path) == 404


def test_nothing_can_be_written(url: str) -> None:
    request = urllib.request.Request(f"{url}/v1/repositories/shop/web/metadata/timestamp.json", data=b"x", method="PUT")
    with pytest.raises(urllib.error.HTTPError, match="405"):
        urllib.request.urlopen(request)


def test_an_agent_and_an_agent_of_a_pool_learn_their_fleets(url: str) -> None:
    for agent in ("web-01", "runners/7f3a"):
        with urllib.request.urlopen(f"{url}/v1/agents/shop/{agent}/fleets") as response:
            assert json.load(response) == {"fleets": ["web"]}


def test_controls_that_the_tenant_did_not_sign_name_no_fleets(zone: Zone, url: str, tmp_path: Path) -> None:
    stranger = make_zone(tmp_path / "stranger")
    stranger.write_controls(("web", "evil"))
    key = "approved/shop/controls.json"
    zone.store.replace(key, stranger.store.get(key) or b"", zone.store.version(key))
    assert status(f"{url}/v1/agents/shop/web-01/fleets") == 404


def test_a_timestamp_is_not_sent_again_to_who_has_it(zone: Zone, url: str) -> None:
    path = f"{url}/v1/repositories/shop/web/metadata/timestamp.json"
    with urllib.request.urlopen(path) as response:
        tag = response.headers["ETag"]
        assert int(response.headers["Content-Length"]) == len(response.read())
    assert status(path, {"If-None-Match": tag}) == 304
    zone.publish(at=now() + RENEW_AT_MOST)
    assert status(path, {"If-None-Match": tag}) == 200


def test_a_stored_artifact_is_handed_out_by_its_digest(zone: Zone, url: str) -> None:
    zone.store.create(f"approved/shop/_artifacts/{'b' * 64}", b"artifact")
    with urllib.request.urlopen(f"{url}/v1/artifacts/shop/{'b' * 64}") as response:
        assert response.read() == b"artifact"
