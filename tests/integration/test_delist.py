"""A release that nobody may return to is taken off the list, and with it out of reach of whoever steals the control zone."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agent.protocol.errors import InputError, RefusedError
from agent.protocol.rollout import Release
from reconciler.cli.release import release
from reconciler.control.api.application import application
from tests.key_cases import Host
from tests.publication_cases import Zone, bundle_of, make_zone, serving
from tests.thief_cases import Thief


@pytest.fixture
def zone(tmp_path: Path) -> Zone:
    made = make_zone(tmp_path)
    for content in ("first", "second", "third"):
        made.approve(content)
        made.publish()
    return made


@pytest.fixture
def host(zone: Zone, tmp_path: Path) -> Iterator[Host]:
    with serving(application(zone.store)) as url:
        yield Host(root=zone.trust.roots[0], directory=tmp_path / "host", url=url)


def typed(tmp_path: Path, *words: str) -> Result:
    return CliRunner().invoke(release, [*words, "--state", str(tmp_path)])


def listed(tmp_path: Path) -> list[str]:
    return [one["digest"] for one in json.loads(typed(tmp_path, "list", "shop/web", "--format", "json").stdout)["bundles"]]


def test_a_delisted_release_is_out_of_reach_of_a_stolen_control_zone(zone: Zone, host: Host, tmp_path: Path) -> None:
    digests = {content: bundle_of(content)[1] for content in ("first", "second", "third")}
    assert listed(tmp_path) == [digests["third"], digests["second"], digests["first"]]
    done = typed(tmp_path, "delist", "shop/web", digests["first"][:12])
    assert done.exit_code == 0, done.exception
    assert listed(tmp_path) == [digests["third"], digests["second"]]
    zone.publish()
    assert host.takes() == "third"
    thief = Thief(zone=zone)
    thief.publish(thief.document(stable=Release(digest=digests["second"], members=1), serial=90), number=90)
    assert host.takes() == "second"
    thief.publish(thief.document(stable=Release(digest=digests["first"], members=1), serial=91), number=91)
    with pytest.raises(RefusedError, match="listed by nobody who may"):
        host.takes()


def test_what_hosts_run_stays_listed(zone: Zone, tmp_path: Path) -> None:
    refused = typed(tmp_path, "delist", "shop/web", bundle_of("third")[1])
    assert isinstance(refused.exception, RefusedError)
    zone.approve("fourth")
    named = typed(tmp_path, "delist", "shop/web", bundle_of("third")[1])
    assert isinstance(named.exception, RefusedError), "the rollout document still names it"
    zone.publish()
    assert typed(tmp_path, "delist", "shop/web", bundle_of("third")[1]).exit_code == 0


def test_what_is_published_must_be_readable_to_know_what_hosts_run(zone: Zone, tmp_path: Path) -> None:
    key = "public/shop/web/metadata/timestamp.json"
    zone.store.replace(key, b"damaged", zone.store.version(key))
    assert isinstance(typed(tmp_path, "delist", "shop/web", bundle_of("first")[1]).exception, RefusedError)


@pytest.mark.parametrize("digest", ["", "f" * 11, "f" * 64])
def test_a_digest_that_names_no_bundle_lists_those_that_there_are(zone: Zone, tmp_path: Path, digest: str) -> None:
    refused = typed(tmp_path, "delist", f"{zone.tenant}/web", digest)
    assert isinstance(refused.exception, InputError)
    assert bundle_of("first")[1] in str(refused.exception)


def test_it_is_not_listed_again_by_the_next_approval(zone: Zone, tmp_path: Path) -> None:
    typed(tmp_path, "delist", "shop/web", bundle_of("first")[1])
    zone.approve("fourth")
    assert bundle_of("first")[1] not in listed(tmp_path)
