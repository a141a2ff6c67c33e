"""What a fleet might return to stays listed, however its rollout stands: decided by the conductor, published, approved on top of."""

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from agent.protocol import membership
from agent.protocol.membership import Member
from agent.protocol.rollout import Release
from reconciler.control.conduct.viewing import Viewer
from reconciler.pipeline.delist import delist_outdated
from reconciler.pipeline.listing import KEPT
from reconciler.publication import layout
from reconciler.publication.controls import Controls, Fleet
from reconciler.publication.releases import Releases, read_newest
from reconciler.publication.returns import LIMIT, recorded
from tests.conductor_cases import HOSTS, Site, Told, make_told
from tests.publication_cases import Zone, make_zone
from tests.registry_cases import empty

STEPS = 15
HAPPENINGS = (
    *("approve", "again", "well", "well", "bad", "later", "unrecorded", "freeze", "mode"),
    *("pause", "resume", "abort", "rollback", "retry"),
)
FREEZE = {
    "name": "peak",
    "fleets": ["web"],
    "reason": "peak",
    "owner": "ana",
    "from": "2026-01-01T00:00:00Z",
    "until": "2099-01-01T00:00:00Z",
}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Told]:
    with empty(tmp_path, None) as registry:
        yield make_told(tmp_path, registry)


def test_the_stable_release_before_stays_listed_however_many_are_tried_and_taken_back(site: Told) -> None:
    before = site.kept().progress.stable
    assert before is not None
    stable = site.done("1")
    for number in range(KEPT + 1):
        site.approve(f"bad-{number}")
        site.step()
        site.admitted("failed")
        site.step()
        assert site.kept().progress.phase == "stopped"
    assert site.releases.lists(stable)
    assert site.releases.lists(before)
    assert shown(site) == [before.digest]
    site.order(kind="rollback")
    site.step()
    assert (site.kept().progress.stable, site.told()[-1]) == (stable, "order-ignored"), "it went back already: further only by name"
    site.order(kind="rollback", to=before.digest)
    site.step()
    assert site.kept().progress.stable == before
    site.zone.publish(at=site.now)  # read back as an agent would


def test_a_rollback_names_only_what_is_still_listed(site: Told) -> None:
    first = site.done("1")
    site.done("2")
    signer = site.zone.rings.pipeline.signer("shop/releases")
    gone = delist_outdated(
        site.zone.store, signer, tenant="shop", fleet="web", judged_now=lambda _: False, known=[signer.public_key], now=site.now
    )
    assert first.digest in gone, "another judge approved it, and no document names it"
    stands = site.kept().progress.stable
    assert site.kept().progress.former
    assert shown(site) == []
    site.order(kind="rollback")
    site.step()
    assert (site.kept().progress.stable, site.told()[-1]) == (stands, "order-ignored")
    site.order(kind="rollback", to=first.digest)
    site.step()
    assert (site.kept().progress.stable, site.told()[-1]) == (stands, "order-ignored")


def shown(site: Told) -> list[str]:
    """Return the digests that `ordain rollout show` says one may go back to."""
    controls = Controls(tenant="shop", fleets={"web": Fleet(freshness=86_400, rollout=site.rollout)})
    with site.registry.read() as connection:
        view = Viewer(site.zone.store).view(connection, controls, "web", now=site.now)
    assert view is not None
    return [one.digest for one in view.former]


def test_a_candidate_that_was_delisted_as_its_wave_began_is_given_up(site: Told) -> None:
    stable = site.kept().progress.stable
    site.approve("1")
    site.approve("2", decision=2)
    site.approve("1")
    decided = Site.step(site)
    assert decided.document.candidate == site.releases.desired
    site.approve("2", decision=2)
    signer = site.zone.rings.pipeline.signer("shop/releases")
    keys = [signer.public_key]
    delist_outdated(site.zone.store, signer, tenant="shop", fleet="web", judged_now=lambda one: one == 2, known=keys, now=site.now)
    site.step()
    assert site.told()[-3:] == ["withdrawn", "candidate", "admitted"]
    assert site.document is not None
    assert (site.document.stable, site.document.candidate) == (stable, site.releases.desired)


def test_where_what_is_published_is_damaged_nothing_leaves_the_list(site: Told) -> None:
    there = set(site.releases.signed.targets)
    key = layout.metadata("shop", "web", "timestamp.json")
    site.zone.store.replace(key, b"damaged", site.zone.store.version(key))
    for number in range(2 * KEPT):
        site.approve(str(number))
    assert there <= set(site.releases.signed.targets)


@pytest.mark.parametrize("record", [b"damaged", b"[]", b'{"rollout":{"returns":[{"digest":1}]}}', b"{}" + b" " * 70_000])
def test_a_record_that_says_nothing_keeps_nothing(site: Told, record: bytes) -> None:
    key = layout.record("shop", "web", "status.json")
    site.zone.store.replace(key, record, site.zone.store.version(key))
    assert recorded(site.zone.store, "shop", "web") == set()


def test_a_thief_of_the_control_zone_can_keep_no_more_listed_than_a_fleet_returns_to(site: Told) -> None:
    key = layout.record("shop", "web", "status.json")
    named = ",".join(f'{{"digest":"{number:064x}","members":{number}}}' for number in range(1, 100))
    record = f'{{"rollout":{{"returns":[{named}]}}}}'.encode()
    site.zone.store.replace(key, record, site.zone.store.version(key))
    assert len(recorded(site.zone.store, "shop", "web")) == LIMIT


def test_older_members_that_hosts_may_go_back_to_keep_their_own_shards_and_no_others(tmp_path: Path) -> None:
    zone = make_zone(tmp_path)

    def approve(number: int) -> Release:
        labels = {f"web-{one}": {"number": str(number)} if one % 64 == number else {} for one in range(300)}
        agents = {name: Member(group="all", labels=own) for name, own in labels.items()}
        return zone.approve(f"content {number}", agents=agents).release

    first = approve(0)
    zone.publish()
    for number in range(1, 3 * KEPT):
        approve(number)
    newest = read_newest(zone.store, zone.trust, "web")
    assert newest is not None
    listed = {path for path, one in newest.approvals.items() if one.digest is None and one.members is None}
    named = {path for members in members_listed(newest) for path in shards(zone, members)}
    assert shards(zone, first.members) <= listed
    assert listed == named


def members_listed(found: Releases) -> list[int]:
    return [one.members for one in found.approvals.values() if one.members is not None]


def shards(zone: Zone, members: int) -> set[str]:
    data = zone.store.get(layout.approved("shop", "web", membership.target(members))) or b""
    document = membership.decode(data, fleet="shop/web", sequence=members)
    assert document.shards is not None
    return {membership.shard_target(digest) for digest in document.shards.digests.values()}


@pytest.mark.parametrize("seed", [7, 8])
def test_whatever_happens_all_that_a_fleet_might_return_to_is_listed(site: Told, seed: int) -> None:
    dice = random.Random(seed)
    site.done("begun")
    for number in range(STEPS):
        happens(site, dice.choice(HAPPENINGS), number, dice)
        require_listed(site)


def happens(site: Told, what: str, number: int, dice: random.Random) -> None:
    site.recording = what != "unrecorded"
    if what in ("approve", "unrecorded"):
        for more in range(dice.choice((1, 1, KEPT + 1))):
            site.approve(f"{number}-{more}")
    elif what == "again":
        site.approve(str(dice.randrange(number + 1)))
    elif what in ("well", "bad"):
        site.admitted("applied" if what == "well" else "failed")
    elif what == "later":
        site.now += timedelta(hours=1)
        site.beat(*HOSTS)
    elif what == "freeze":
        site.freezes = [] if site.freezes else [FREEZE]
    elif what == "mode":
        site.order(kind=what, mode="incident", until="2099-01-01T00:00:00Z")
    else:
        site.order(kind=what)
    site.step()


def require_listed(site: Told) -> None:
    progress, document, releases = site.kept().progress, site.document, site.releases
    assert document is not None
    assert progress.candidate is None or progress.wave >= 0 or progress.candidate.release == releases.desired
    candidate = progress.candidate.release if progress.candidate else None
    back = [document.stable, document.candidate, progress.stable, candidate, *progress.former]
    assert [one for one in back if one is not None and not releases.lists(one)] == []
