"""`ordain gc`: what no host can ask for any more goes, and nothing else, whoever publishes beside it and whenever it is killed."""

import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agent.protocol import bundle
from agent.protocol.errors import InputError, RefusedError
from agent.protocol.membership import Member
from reconciler.cli import cli
from reconciler.control.api.application import application
from reconciler.control.pruning import PublishedFleet
from reconciler.pipeline.delist import delist
from reconciler.pipeline.pruning import ApprovedFleet
from reconciler.publication import layout
from reconciler.publication.pruning.carrying import carry_out, plan
from reconciler.publication.pruning.listed import listed_at
from reconciler.publication.published import read_published
from reconciler.publication.releases import Releases, read_newest
from reconciler.publication.store import CONTROL_PREFIXES, LocalStore, Scoped, Store
from tests import s3_server
from tests.conductor_cases import make_told
from tests.conftest import part
from tests.polling_cases import Host
from tests.pruning_cases import EVERYTHING, RELEASES, grow_old, pass_days, prune, rule
from tests.publication_cases import Zone, bundle_of, make_zone, serving
from tests.registry_cases import empty

LAST = str(RELEASES - 1)
DEADLINE = 120


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a past, which tests copy with the age of its files."""
    made = tmp_path_factory.mktemp("past")
    grow_old(make_zone(made), made)
    return made


@pytest.fixture
def zone(past: Path, tmp_path: Path) -> Zone:
    shutil.copytree(past, tmp_path, dirs_exist_ok=True)
    return make_zone(tmp_path)


def typed(tmp_path: Path, *words: str) -> Result:
    settings = tmp_path / "gc.toml"
    settings.write_text("[gc]\nnewest = 2\ndays = 50\nhistory = 100\n")
    return CliRunner().invoke(cli, ["gc", "--state", str(tmp_path), "--settings", str(settings), *words])


def shown(tmp_path: Path, *words: str) -> dict[str, Any]:
    done = typed(tmp_path, *words, "--format", "json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextmanager
def host(zone: Zone, directory: Path) -> Iterator[Host]:
    with serving(application(zone.store)) as url:
        yield Host(root=zone.trust.roots[0], directory=directory, url=url)


def newest(zone: Zone, fleet: str = "web") -> Releases:
    found = read_newest(zone.store, zone.trust, fleet)
    assert found is not None
    return found


def keys(store: Store, prefix: str = "") -> set[str]:
    return set(store.list(prefix))


def fetchable(zone: Zone, directory: Path) -> str:
    """Have python-tuf's own client, which starts from the first root, fetch all that is offered; return what a host takes."""
    published = read_published(zone.store, "shop", "web")
    assert published is not None
    with host(zone, directory) as made:
        client = made.tuf()
        client.refresh()
        for path in listed_at(zone.store, layout.metadata("shop", "web"), published.file("releases").version):
            listed = client.get_targetinfo(path)
            assert listed is not None, path
            client.download_target(listed)
        return made.takes()


def test_it_says_what_it_would_do_and_does_it_when_told_to(zone: Zone, tmp_path: Path) -> None:
    before = keys(zone.store)
    said = typed(tmp_path)
    assert said.exit_code == 0
    assert "nothing was removed; the same with --yes does it" in said.stderr
    assert keys(zone.store) == before
    named = [key for zone_ in shown(tmp_path, "--verbose")["zones"] for fleet in zone_["fleets"] for key in fleet["files"]]
    assert set(typed(tmp_path, "--verbose").stdout.split()) >= set(named)
    done = shown(tmp_path, "--yes")
    assert before - keys(zone.store) == set(named)
    assert sum(one["gone"]["files"] for one in done["zones"]) == len(named) > RELEASES
    assert [one["going"] for one in shown(tmp_path)["zones"]] == [[], []]
    assert "--yes" not in typed(tmp_path).stderr


def test_agents_fetch_all_that_stays_and_what_is_old_is_gone(zone: Zone, tmp_path: Path) -> None:
    old = bundle_of("0")[1]
    with host(zone, tmp_path / "running") as running:
        assert running.takes() == LAST
        shown(tmp_path, "--yes")
        assert running.takes() == LAST
    assert fetchable(zone, tmp_path / "new") == LAST
    assert {one for one in keys(zone.store) if old in one} == set()
    assert layout.metadata("shop", "web", "1.root.json") in keys(zone.store)
    assert len(layout.versions(zone.store, layout.approved("shop", "web"), "releases")) < RELEASES
    zone.approve("next")
    zone.publish()
    assert fetchable(zone, tmp_path / "new") == "next"


def test_what_was_in_use_within_the_days_stays_although_it_is_older(tmp_path: Path) -> None:
    zone = make_zone(tmp_path)
    for content, days in (("first", 300), ("second", 1), ("third", 1), ("fourth", 1)):
        zone.approve(content)
        zone.publish()
        pass_days(tmp_path, days)
    before = keys(zone.store)
    assert prune(zone.store, rule()).files == 0, "the first release was in use until three days ago"
    assert keys(zone.store) == before


def test_each_zone_prunes_its_own_prefixes_and_the_trail_stays(zone: Zone, tmp_path: Path) -> None:
    kept = {"approved/_decisions/1.json", "approved/_objects/1.tar.gz", "approved/shop/_artifacts/" + "f" * 64, "records/shop/_status.json"}
    kept |= {"approved/shop/controls.json", "approved/accepted.json", "records/shop/_operations/0001-000000001.json"}
    for key in kept:
        zone.store.create(key, b"something")
    pass_days(tmp_path, 4000)
    before = keys(zone.store)
    wrong = Scoped(inner=zone.store, write=CONTROL_PREFIXES)
    planned = plan(ApprovedFleet(store=wrong, tenant="shop", fleet="web", rule=rule()))
    with pytest.raises(RefusedError, match="writes under"):
        carry_out(wrong, planned, lambda _: None)
    assert keys(zone.store) == before
    shown(tmp_path, "--yes", "--zone", "control")
    after = keys(zone.store)
    assert {key.partition("/")[0] for key in before - after} == {"public"}
    shown(tmp_path, "--yes", "--zone", "pipeline")
    assert {key.partition("/")[0] for key in after - keys(zone.store)} == {"approved"}
    assert kept <= keys(zone.store)


def test_a_fleet_that_can_t_be_read_is_left_alone_and_the_others_are_not(zone: Zone, tmp_path: Path) -> None:
    zone.approve("other", fleet="db")
    zone.publish(fleet="db")
    for number in range(6):
        zone.approve(f"other {number}", fleet="db")
        zone.publish(fleet="db")
        pass_days(tmp_path, 60)
    stamp = layout.metadata("shop", "web", "timestamp.json")
    zone.store.replace(stamp, b"damaged", zone.store.version(stamp))
    zone.store.create("approved/Shop/web/1.releases.json", b"{}")
    before = keys(zone.store)
    done = typed(tmp_path, "--yes", "--format", "json")
    assert done.exit_code == 1
    assert "shop/web: left alone (pipeline)" in done.stderr
    assert "shop/web: left alone (control)" in done.stderr
    assert "Shop/web: left alone (pipeline)" in done.stderr
    gone = before - keys(zone.store)
    assert {key.split("/")[2] for key in gone} == {"db"}
    assert {key.partition("/")[0] for key in gone} == {"approved", "public"}


@pytest.mark.parametrize("words", ["--newest 1", "--days 0.5", "--days 30 --history 10", "--history 1e9", "--days nan"])
def test_a_rule_that_would_take_what_is_in_use_is_wrong_usage(tmp_path: Path, words: str) -> None:
    done = typed(tmp_path, *words.split(), "--yes")
    assert isinstance(done.exception, InputError)
    assert done.stdout == ""


def test_a_rollback_to_an_older_stable_release_works_afterwards(tmp_path: Path) -> None:
    with empty(tmp_path, None) as registry:
        site = make_told(tmp_path, registry)
        site.done("1")
        for number in range(6):
            site.approve(f"bad {number}")
            site.step()
            site.admitted("failed")
            site.step()
        pass_days(tmp_path, 1000)
        assert prune(site.zone.store, rule()).files
        site.order(kind="rollback", to=site.first)
        site.step()
        assert site.document is not None
        assert site.document.stable is not None
        assert site.document.stable.digest == site.first
        with host(site.zone, tmp_path / "host") as back:
            document, repository = back.poll()
            assert document.stable is not None
            assert repository.bundle(document.stable.digest).groups["all"].base.files[0].content == "0"


def test_what_serve_recorded_that_hosts_may_go_back_to_stays_in_both_zones(zone: Zone) -> None:
    digest = bundle_of("0")[1]
    record = f'{{"rollout":{{"returns":[{{"digest":"{digest}","members":1}}]}}}}'.encode()
    zone.store.create(layout.record("shop", "web", "status.json"), record)
    there = {one for one in keys(zone.store) if digest in one}
    assert prune(zone.store, rule()).files
    assert {one.partition("/")[0] for one in there} == {"approved", "public"}
    assert {one for one in keys(zone.store) if digest in one} == there


def test_killed_at_any_deletion_agents_go_on_and_the_next_run_goes_on(zone: Zone, tmp_path: Path) -> None:
    left = what_would_be_left(zone)
    going = len(keys(zone.store)) - len(left)
    for number in (going // 3, going // 2):
        command = [sys.executable, "-m", "tests.pruning_cases", str(tmp_path), str(number)]
        assert subprocess.run(command, check=False, timeout=DEADLINE).returncode == -signal.SIGKILL
        assert fetchable(zone, tmp_path / "host") == LAST
        assert fetchable(zone, tmp_path / f"new {number}") == LAST
    assert keys(zone.store) > left
    prune(zone.store, rule())
    assert prune(zone.store, rule()).files == 0
    zone.approve("next")
    zone.publish()
    assert fetchable(zone, tmp_path / "host") == "next"


def what_would_be_left(zone: Zone) -> set[str]:
    going: set[str] = set()
    for subject in (
        ApprovedFleet(store=zone.store, tenant="shop", fleet="web", rule=rule()),
        PublishedFleet(store=zone.store, tenant="shop", fleet="web", rule=rule()),
    ):
        going |= {entry.key for entry in plan(subject).going}
    return keys(zone.store) - going


class Meeting(LocalStore):
    """A store in which something else happens right before or after one file is deleted or put."""

    met: dict[str, Callable[[], object]]

    def __init__(self, root: Path, what: str, happens: Callable[[], object]) -> None:
        LocalStore.__init__(self, root)
        object.__setattr__(self, "met", {what: happens})

    def delete(self, key: str) -> None:
        LocalStore.delete(self, key)
        self._met(f"delete {key}")

    def create(self, key: str, data: bytes) -> bool:
        self._met(f"create {key}")
        return LocalStore.create(self, key, data)

    def _met(self, what: str) -> None:
        self.met.pop(what, int)()


def test_what_comes_back_through_git_meanwhile_is_put_back(zone: Zone, tmp_path: Path) -> None:
    digest = bundle_of("0")[1]
    gone = layout.approved("shop", "web", bundle.target("web", digest))
    before_it = layout.approved("shop", "web", bundle.target("web", min(bundle_of(str(number))[1] for number in range(3))))
    store = Meeting(tmp_path / "store", f"delete {before_it}", lambda: zone.approve("0"))
    subject = ApprovedFleet(store=store, tenant="shop", fleet="web", rule=rule())
    assert gone in {entry.key for entry in plan(subject).going}
    carry_out(store, plan(subject), lambda _: None)
    assert newest(zone).desired is not None
    assert zone.store.get(gone) is not None
    zone.publish()
    assert fetchable(zone, tmp_path / "host") == "0"


def test_what_goes_as_it_is_listed_again_is_put_back_by_who_lists_it(zone: Zone, tmp_path: Path) -> None:
    gone = layout.approved("shop", "web", bundle.target("web", bundle_of("0")[1]))
    lists = layout.approved("shop", "web", f"{RELEASES + 1}.releases.json")
    store = Meeting(tmp_path / "store", f"create {lists}", lambda: zone.store.delete(gone))
    Zone(store=store, rings=zone.rings).approve("0")
    assert zone.store.get(gone) is not None
    zone.publish()
    assert fetchable(zone, tmp_path / "host") == "0"


def test_a_copy_that_is_offered_again_meanwhile_is_put_back(zone: Zone, tmp_path: Path) -> None:
    sha256 = newest_hash(zone, "0")
    gone = layout.target("shop", "web", bundle.target("web", bundle_of("0")[1]), sha256)

    def again() -> None:
        zone.approve("0")
        zone.publish()
        LocalStore(tmp_path / "store").delete(gone)  # as if it had been published a moment before

    store = Meeting(tmp_path / "store", f"delete {gone}", again)
    carry_out(store, plan(PublishedFleet(store=store, tenant="shop", fleet="web", rule=rule())), lambda _: None)
    assert fetchable(zone, tmp_path / "host") == "0"


def newest_hash(zone: Zone, content: str) -> str:
    path = layout.approved("shop", "web", bundle.target("web", bundle_of(content)[1]))
    return hashlib.sha256(zone.store.get(path) or b"").hexdigest()


def test_a_lost_bundle_of_the_desired_release_is_stored_again(tmp_path: Path) -> None:
    zone = make_zone(tmp_path)
    zone.approve("one")
    key = layout.approved("shop", "web", bundle.target("web", bundle_of("one")[1]))
    zone.store.delete(key)
    assert not zone.approve("one").changed
    assert zone.store.get(key) is not None


@pytest.mark.parametrize("seed", range(2))
def test_nothing_that_anybody_can_reach_is_removed_whatever_came_before(tmp_path: Path, seed: int) -> None:
    dice, zone = random.Random(seed), make_zone(tmp_path)
    many = dice.choice((0, 300))
    for number in range(10):
        content = str(dice.randrange(number + 1))
        what = dice.choice(("approve", "approve", "publish", "both", "both", "delist", "prune"))
        if what != "publish" or number < 2:
            zone.approve(content, **agents(many, dice))
        if what in ("publish", "both") or number < 2:
            zone.publish()
        if what == "delist":
            delist_one(zone, dice)
        pass_days(tmp_path, dice.choice((0, 1, 20, 60, 200)))
        if what == "prune":
            prune(zone.store, rule(newest=dice.choice((2, 3)), days=dice.choice((1, 50))))
    offered = fetchable(zone, tmp_path / "before")
    young = {entry.key for entry in zone.store.entries("") if entry.written >= rule().since}
    prune(zone.store, rule())
    assert young <= keys(zone.store)
    assert fetchable(zone, tmp_path / "after") == offered
    listed = {layout.approved("shop", "web", path) for path in newest(zone).signed.targets}
    assert listed <= keys(zone.store), "what is approved and not published yet"
    zone.publish()
    fetchable(zone, tmp_path / "before")
    assert prune(zone.store, rule()).back == 0


def agents(many: int, dice: random.Random) -> dict[str, Any]:
    changed = dice.randrange(many or 1)
    found = {f"web-{one:02}": Member(group="all", labels={"n": str(dice.random())} if one == changed else {}) for one in range(1, many + 1)}
    return {"agents": found} if many else {}


def delist_one(zone: Zone, dice: random.Random) -> None:
    signer = zone.rings.pipeline.signer("shop/releases")
    digest = dice.choice([one.digest for one in newest(zone).approvals.values() if one.digest])
    try:
        delist(zone.store, signer, tenant="shop", fleet="web", digest=digest or "", known=[signer.public_key], now=rule().since)
    except RefusedError:
        return


@pytest.mark.needs("s3")
def test_a_bucket_is_pruned_as_a_directory_is(tmp_path: Path) -> None:
    program = part("s3")
    assert program is not None
    with s3_server.running(program, tmp_path / "server") as server:
        url = server.bucket("gc-of-both-zones")
        zone = Zone(store=server.open(url), rings=make_zone(tmp_path).rings)
        for key in LocalStore(tmp_path / "store").list("trust/"):
            zone.store.create(key, LocalStore(tmp_path / "store").get(key) or b"")
        for number in range(4):
            zone.approve(str(number))
            zone.publish()
        before = len(keys(zone.store))
        assert prune(zone.store, EVERYTHING).files == before - len(keys(zone.store)) > 0
        assert fetchable(zone, tmp_path / "host") == "3"
        settings, empty = tmp_path / "gc.toml", tmp_path / "empty"  # all that a job in a cluster has
        settings.write_text(
            f'[store]\nurl = "{url}"\nendpoint = "{server.endpoint}"\nregion = "us-east-1"\ncredentials = "{server.credentials()}"\n'
        )
        empty.mkdir()
        for name in ("pipeline", "control"):
            options = ["--state", str(empty), "--settings", str(settings), "--yes", "--format", "json"]
            ran = CliRunner().invoke(cli, ["gc", "--zone", name, *options], catch_exceptions=False)
            assert [one["fleet"] for shown in json.loads(ran.stdout)["zones"] for one in shown["fleets"]] == ["shop/web"]
