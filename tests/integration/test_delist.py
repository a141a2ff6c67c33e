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
from reconciler.pipeline.delist import delist_outdated
from reconciler.publication.releases import read_newest
from tests.polling_cases import Host
from tests.publication_cases import Zone, bundle_of, make_zone, now, serving
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


def outdated(zone: Zone, *decisions: int) -> list[str]:
    """Delist what these decisions approved, as after a change of the judge; return what is gone."""
    signer = zone.rings.pipeline.signer("shop/releases")
    return delist_outdated(
        zone.store,
        signer,
        tenant="shop",
        fleet="web",
        judged_now=lambda decision: decision not in decisions,
        known=[signer.public_key],
        now=now(),
    )


def test_what_another_judge_approved_is_out_of_reach_once_no_host_returns_to_it(zone: Zone, host: Host, tmp_path: Path) -> None:
    digests = [bundle_of(content)[1] for content in ("first", "second", "third")]
    zone.approve("fourth", decision=2)
    assert outdated(zone, 1) == sorted(digests[:2]), "the rollout document still names the third"
    zone.publish()
    assert host.takes() == "fourth"
    assert outdated(zone, 1) == digests[2:]
    assert listed(tmp_path) == [bundle_of("fourth")[1]]
    zone.publish()
    thief = Thief(zone=zone)
    for number, digest in enumerate(digests, 90):
        thief.publish(thief.document(stable=Release(digest=digest, members=1), serial=number), number=number)
        with pytest.raises(RefusedError, match="listed by nobody who may"):
            host.takes()


def test_the_desired_release_stays_whoever_approved_it_and_nothing_is_written_for_nothing(zone: Zone, tmp_path: Path) -> None:
    assert len(outdated(zone, 1)) == 2
    version = read_newest(zone.store, zone.trust, "web")
    assert outdated(zone, 1) == []
    assert listed(tmp_path) == [bundle_of("third")[1]]
    assert version == read_newest(zone.store, zone.trust, "web")


def test_a_return_through_git_lists_it_again(zone: Zone, tmp_path: Path) -> None:
    outdated(zone, 1)
    zone.approve("first", decision=2)
    zone.publish()
    assert outdated(zone, 1) == [bundle_of("third")[1]]
    assert listed(tmp_path) == [bundle_of("first")[1]]
