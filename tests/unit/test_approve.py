"""Approving: what is desired, what stays listed, and numbers that only grow."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from agent.protocol import bundle, membership
from agent.protocol.errors import MalformedError, RefusedError
from agent.protocol.membership import Member
from agent.protocol.rollout import Release
from reconciler.pipeline.approve import renew_releases
from reconciler.pipeline.listing import KEPT
from reconciler.publication import controls, layout
from reconciler.publication.releases import Releases, read_newest
from tests.publication_cases import COMMIT, ONE_AGENT, Zone, bundle_of, make_zone, now


@pytest.fixture
def zone(tmp_path: Path) -> Zone:
    return make_zone(tmp_path)


def newest(zone: Zone, fleet: str = "web") -> Releases:
    found = read_newest(zone.store, zone.trust, fleet)
    assert found is not None
    return found


def everything(zone: Zone) -> dict[str, bytes | None]:
    return {key: zone.store.get(key) for key in zone.store.list("")}


def test_what_is_approved_is_desired_with_its_commit_and_decision(zone: Zone) -> None:
    approved = zone.approve("one", decision=7)
    releases = newest(zone)
    assert releases.desired == approved.release == Release(digest=bundle_of("one")[1], members=1)
    assert releases.bundle is not None
    assert (releases.bundle[1].commit, releases.bundle[1].decision, approved.version) == (COMMIT, 7, 1)


def test_approving_the_same_again_writes_nothing(zone: Zone) -> None:
    zone.approve("one")
    before = everything(zone)
    assert not zone.approve("one").changed
    assert everything(zone) == before


def test_a_new_bundle_keeps_the_members_and_new_members_keep_the_bundle(zone: Zone) -> None:
    zone.approve("one")
    assert zone.approve("two").release.members == 1
    more = {**ONE_AGENT, "web-02": Member(group="all")}
    assert zone.approve("two", agents=more).release == Release(digest=bundle_of("two")[1], members=2)


def test_a_digest_that_comes_back_is_desired_again_with_the_bytes_that_are_stored(zone: Zone) -> None:
    zone.approve("one")
    path = bundle.target("web", bundle_of("one")[1])
    first = newest(zone).signed.targets[path].hashes
    zone.approve("two")
    zone.approve("one")
    assert newest(zone).desired == Release(digest=bundle_of("one")[1], members=1)
    assert newest(zone).signed.targets[path].hashes == first


@pytest.mark.parametrize(
    ("agents", "additive"),
    [
        ({"web-01": Member(group="all"), "web-02": Member(group="eu")}, True),
        ({"web-02": Member(group="eu")}, True),
        ({"web-01": Member(group="eu")}, False),
        ({"web-01": Member(group="all", labels={"role": "db"})}, True),
    ],
    ids=["one more", "one less and one more", "another group", "another label, same group"],
)
def test_members_are_additive_unless_a_present_one_moves_to_another_group(
    zone: Zone,
    agents: Mapping[str, Member],
    additive: bool,  # noqa: FBT001 - a parameter of the table above
) -> None:
    zone.approve("one")
    zone.approve("one", agents=agents)
    found = newest(zone).members
    assert found is not None
    assert found[1].additive is additive


def test_a_large_fleet_reuses_the_shards_in_which_nothing_changed(zone: Zone) -> None:
    agents = {f"web-{number:04}": Member(group="all") for number in range(600)}
    zone.approve("one", agents=agents)
    before = {path for path in newest(zone).approvals if len(path) > len("members/1000.json")}
    zone.approve("one", agents=agents | {"one-more": Member(group="all")})
    after = newest(zone)
    shards = {path for path, approval in after.approvals.items() if approval.digest is None and approval.members is None}
    assert len(shards & before) >= len(shards) - 1
    assert after.members is not None
    assert after.members[1].additive


def test_the_last_few_stay_listed_and_older_ones_with_their_shards_do_not(zone: Zone) -> None:
    for number in range(KEPT + 3):
        agents = {f"web-{number}-{name}": Member(group="all") for name in range(300)}
        zone.approve(f"content {number}", agents=agents)
    listed = newest(zone).approvals.values()
    assert len([one for one in listed if one.digest]) == KEPT
    kept = [one for one in listed if one.members]
    assert len(kept) == KEPT
    shards = [one for one in listed if one.digest is None and one.members is None]
    assert min(one.sequence for one in shards) == min(one.sequence for one in kept)


def test_what_a_rollout_document_names_stays_listed(zone: Zone) -> None:
    zone.approve("the one that runs")
    zone.publish()
    for number in range(KEPT + 3):
        zone.approve(f"content {number}")
    assert bundle.target("web", bundle_of("the one that runs")[1]) in newest(zone).approvals


def test_a_rollout_document_can_not_have_something_listed_that_is_not(zone: Zone) -> None:
    zone.approve("one")
    zone.publish()
    key = next(key for key in zone.store.list("public/shop/web/targets/rollouts/"))
    document = (zone.store.get(key) or b"").replace(bundle_of("one")[1].encode(), b"e" * 64)
    zone.store.replace(key, document, zone.store.version(key))
    zone.approve("two")
    assert bundle.target("web", "e" * 64) not in newest(zone).approvals


def test_numbers_go_on_from_what_is_published_when_approved_files_were_lost(zone: Zone) -> None:
    zone.approve("one")
    zone.approve("two")
    zone.publish()
    for key in list(zone.store.list("approved/shop/web/")):
        zone.store.delete(key)
    assert zone.approve("three").version == 3
    publication = zone.publish()
    assert publication.document.stable is not None
    assert publication.document.stable.digest == bundle_of("three")[1]


def test_members_that_a_crash_left_unlisted_are_stepped_over(zone: Zone) -> None:
    zone.approve("one")
    zone.store.create(layout.approved("shop", "web", membership.target(2)), b"left by a crash")
    assert zone.approve("one", agents={"web-09": Member(group="all")}).release.members == 3


def test_a_damaged_stored_bundle_is_not_approved(zone: Zone) -> None:
    zone.store.create(layout.approved("shop", "web", bundle.target("web", bundle_of("one")[1])), b"damaged")
    with pytest.raises(MalformedError):
        zone.approve("one")
    assert read_newest(zone.store, zone.trust, "web") is None


def test_releases_signed_by_another_key_are_not_built_upon(zone: Zone, tmp_path: Path) -> None:
    stranger = make_zone(tmp_path / "elsewhere")
    stranger.approve("theirs")
    key = layout.approved("shop", "web", "1.releases.json")
    zone.store.create(key, stranger.store.get(key) or b"")
    with pytest.raises(RefusedError, match="releases"):
        zone.approve("ours")


def test_releases_are_renewed_at_half_of_their_life_and_not_before(zone: Zone) -> None:
    zone.approve("one")
    signer = zone.rings.pipeline.signer("shop/releases")

    def renew(days: int) -> bool:
        return renew_releases(zone.store, signer, tenant="shop", fleet="web", freshness_seconds=86400, now=now() + timedelta(days=days))

    desired = newest(zone).desired
    assert not renew(29)
    assert renew(31)
    assert not renew(31)
    assert (newest(zone).version, newest(zone).desired) == (2, desired)


def test_controls_are_written_again_only_for_news_or_before_they_lapse(zone: Zone) -> None:
    first = zone.write_controls(head="a" * 40, decision=1)
    assert zone.write_controls(head="b" * 40, decision=2) == first
    changed = zone.write_controls(("web", "db"), head="c" * 40, decision=3)
    renewed = zone.write_controls(("web", "db"), head="c" * 40, decision=3, at=now() + controls.LIFE * 0.6)
    assert [first.sequence, changed.sequence, renewed.sequence] == [1, 2, 3]
    assert renewed.expires > changed.expires


def test_controls_of_one_tenant_are_not_those_of_another(zone: Zone, tmp_path: Path) -> None:
    zone.write_controls()
    data = zone.store.get(layout.controls("shop")) or b""
    keys = zone.trust.keys("releases")
    assert controls.read(data, keys, tenant="shop").tenant == "shop"
    with pytest.raises(MalformedError):
        controls.read(data, keys, tenant="lab")
    with pytest.raises(RefusedError):
        controls.read(data, make_zone(tmp_path / "other").trust.keys("releases"), tenant="shop")
