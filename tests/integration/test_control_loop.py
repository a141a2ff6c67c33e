"""The control zone's loop over a real store: quick, unmoved by one fleet's trouble, and without a state of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from agent.protocol import bundle, rollout
from reconciler.control.api.application import application
from reconciler.control.loop import ControlSettings, run
from reconciler.control.publish import PLACES as PUBLISH_PLACES
from reconciler.control.records import Status, read_status, read_tenant_status
from reconciler.pipeline.approve import PLACES as APPROVE_PLACES
from reconciler.publication import layout, lease
from reconciler.publication.published import read_published
from reconciler.publication.store import CONTROL_PREFIXES, LocalStore, Scoped
from tests.polling_cases import updater
from tests.publication_cases import Zone, bundle_of, make_zone, now, serving

PATIENCE = 20.0


@pytest.fixture
def zone(tmp_path: Path) -> Zone:
    made = make_zone(tmp_path)
    made.write_controls(("db", "web"))
    return made


@contextmanager
def looping(zone: Zone, holder: str = "one", poll: float = 0.2) -> Iterator[threading.Event]:
    """Run the loop in a thread; yield the event that says a whole pass was done."""
    stop, passed = threading.Event(), threading.Event()
    store = Scoped(inner=zone.store, write=CONTROL_PREFIXES)
    settings = ControlSettings(store=store, keys=zone.rings.control, holder=holder, poll=poll)
    thread = threading.Thread(target=run, args=(settings, stop), kwargs={"ready": passed.set})
    thread.start()
    try:
        yield passed
    finally:
        stop.set()
        thread.join()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def status(zone: Zone, fleet: str = "web") -> Status:
    found = read_status(zone.store, zone.tenant, fleet)
    assert found is not None
    return found


def digest(zone: Zone, fleet: str = "web") -> str:
    published = read_published(zone.store, zone.tenant, fleet)
    return published.document.stable.digest if published and published.document.stable else ""


def test_what_is_approved_is_published_and_recorded(zone: Zone) -> None:
    approved = zone.approve("one", decision=5)
    with looping(zone) as passed:
        assert passed.wait(PATIENCE)
    found = status(zone)
    assert (found.state, found.digest, found.members, found.serial) == ("published", approved.release.digest, 1, 1)
    assert status(zone, "db").state == "waiting"
    assert read_tenant_status(zone.store, "shop").state == "ok"  # type: ignore[union-attr]


def test_a_write_wakes_the_loop_long_before_it_would_look_again(zone: Zone) -> None:
    with looping(zone, poll=600) as passed:
        assert passed.wait(PATIENCE)
        for content in ("one", "two"):
            zone.approve(content)
            until(lambda content=content: digest(zone) == bundle_of(content)[1])  # type: ignore[misc]


def test_where_nothing_wakes_it_the_loop_looks_again(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.control.wakeup.WATCHED", ())
    with looping(zone, poll=0.05) as passed:
        assert passed.wait(PATIENCE)
        zone.approve("one")
        until(lambda: digest(zone) == bundle_of("one")[1])


def test_a_fleet_that_fails_is_an_error_of_that_fleet_alone_and_ends_with_its_cause(zone: Zone) -> None:
    zone.approve("one", fleet="db")
    zone.approve("one")
    key = layout.approved("shop", "db", bundle.target("db", bundle_of("one", fleet="db")[1]))
    good = zone.store.get(key) or b""
    zone.store.replace(key, b"damaged", zone.store.version(key))
    with looping(zone) as passed:
        assert passed.wait(PATIENCE)
        assert digest(zone) == bundle_of("one")[1]
        assert status(zone, "db").state == "error"
        assert key in status(zone, "db").why
        zone.store.replace(key, good, zone.store.version(key))
        until(lambda: status(zone, "db").state == "published")


def test_an_error_keeps_saying_what_stands_published(zone: Zone) -> None:
    zone.approve("one")
    with looping(zone) as passed:
        assert passed.wait(PATIENCE)
    zone.store.create(layout.approved("shop", "web", "2.releases.json"), b"nonsense")
    with looping(zone) as passed:
        assert passed.wait(PATIENCE)
    assert (status(zone).state, status(zone).digest, status(zone).serial) == ("error", bundle_of("one")[1], 1)


def test_a_tenant_that_waits_for_keys_holds_up_nobody(zone: Zone) -> None:
    zone.store.create("approved/lab/controls.json", b"whatever")
    zone.approve("one")
    with looping(zone) as passed:
        assert passed.wait(PATIENCE)
    assert digest(zone) == bundle_of("one")[1]
    waiting = read_tenant_status(zone.store, "lab")
    assert waiting is not None
    assert (waiting.state, "waiting for keys" in waiting.why) == ("waiting", True)


def test_a_name_that_is_no_tenants_holds_up_nobody(zone: Zone) -> None:
    (zone.store.root / "approved" / "Not A Tenant").mkdir()  # type: ignore[attr-defined]
    zone.store.create("approved/NotATenant/controls.json", b"whatever")
    zone.approve("one")
    with looping(zone) as passed:
        assert passed.wait(PATIENCE)
    assert digest(zone) == bundle_of("one")[1]


def test_controls_older_than_those_taken_are_refused(zone: Zone) -> None:
    key = layout.controls("shop")
    old = zone.store.get(key) or b""
    zone.write_controls(("web",))
    with looping(zone) as passed:
        assert passed.wait(PATIENCE)
    zone.store.replace(key, old, zone.store.version(key))
    zone.approve("one")
    with looping(zone) as passed:
        assert passed.wait(PATIENCE)
    found = read_tenant_status(zone.store, "shop")
    assert found is not None
    assert (found.state, found.controls) == ("error", 2)
    assert digest(zone) == ""


def test_a_loop_that_starts_anew_changes_nothing_and_goes_on_with_the_numbers(zone: Zone) -> None:
    zone.approve("one")
    with looping(zone) as passed:
        assert passed.wait(PATIENCE)
    before = {key: zone.store.get(key) for key in zone.store.list("public/")}
    with looping(zone) as passed:
        assert passed.wait(PATIENCE)
        assert {key: zone.store.get(key) for key in zone.store.list("public/")} == before
        zone.approve("two")
        until(lambda: status(zone).serial == 2)


def test_records_that_were_lost_do_not_take_epochs_or_serials_back(zone: Zone) -> None:
    zone.approve("one")
    for content in ("two", "three"):
        with looping(zone) as passed:
            assert passed.wait(PATIENCE)
        zone.approve(content)
    with looping(zone) as passed:
        assert passed.wait(PATIENCE)
    before = read_published(zone.store, "shop", "web")
    for key in list(zone.store.list("records/")):
        zone.store.delete(key)
    zone.approve("four")
    with looping(zone) as passed:
        assert passed.wait(PATIENCE)
    after = read_published(zone.store, "shop", "web")
    assert before is not None
    assert after is not None
    assert after.document.serial == before.document.serial + 1
    assert after.document.epoch > before.document.epoch


def test_public_files_that_were_lost_are_published_above_what_agents_have_seen(zone: Zone) -> None:
    zone.approve("one")
    with looping(zone) as passed:
        assert passed.wait(PATIENCE)
    before = status(zone).floors
    for key in list(zone.store.list("public/")):
        zone.store.delete(key)
    with looping(zone) as passed:
        assert passed.wait(PATIENCE)
    after = status(zone).floors
    assert after.timestamp > before.timestamp
    assert after.snapshot > before.snapshot
    assert after.serial > before.serial
    assert digest(zone) == bundle_of("one")[1]


def test_a_damaged_repository_is_published_anew_under_higher_numbers(zone: Zone) -> None:
    zone.approve("one")
    with looping(zone) as passed:
        assert passed.wait(PATIENCE)
    before = status(zone).floors
    zone.store.delete(layout.metadata("shop", "web", "1.snapshot.json"))
    with looping(zone) as passed:
        assert passed.wait(PATIENCE)
    assert status(zone).floors.timestamp > before.timestamp
    assert digest(zone) == bundle_of("one")[1]


def leading(zone: Zone) -> tuple[str, int]:
    found = json.loads(zone.store.get(layout.CONTROL_LEASE) or b"{}")
    return found["holder"], found["epoch"]


def test_a_second_loop_stands_by_while_the_first_holds_the_lease(zone: Zone) -> None:
    with looping(zone, "one") as passed:
        assert passed.wait(PATIENCE)
        with looping(zone, "two", poll=0.05) as second:
            assert second.wait(PATIENCE)
            time.sleep(0.5)
            assert leading(zone) == ("one", 1)
    with looping(zone, "two"):
        until(lambda: leading(zone) == ("two", 2))  # the first gave its lease back when it ended


def test_a_loop_that_stands_by_says_so_once_and_is_ready_to_answer_agents(zone: Zone, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with looping(zone, "one") as passed:
        assert passed.wait(PATIENCE)
        with looping(zone, "two", poll=0.05) as second:
            assert second.wait(PATIENCE)
            time.sleep(0.5)
    said = [record.getMessage() for record in caplog.records if "not publishing" in record.getMessage()]
    assert len(said) == 1
    assert "held by one" in said[0]


def test_a_lease_of_a_dead_process_runs_out(zone: Zone) -> None:
    dead = lease.acquire(zone.store, layout.CONTROL_LEASE, holder="dead", ttl=timedelta(seconds=1), now=now())
    with looping(zone, "one", poll=0.1):
        until(lambda: leading(zone) == ("one", dead.epoch + 1))


def step(directory: Path, content: str, fault: str = "") -> int:
    command = [sys.executable, "-m", "tests.publication_cases", str(directory), content]
    return subprocess.run(command, env=os.environ | {"ORDAIN_FAULT": fault}, check=False, timeout=60).returncode


@pytest.fixture(scope="module")
def before_the_crash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("before")
    assert step(made, "old") == 0
    return made


@pytest.mark.parametrize("place", [*APPROVE_PLACES, *PUBLISH_PLACES])
def test_a_crash_at_this_place_leaves_the_old_or_the_new_release_and_the_next_run_converges(
    before_the_crash: Path, tmp_path: Path, place: str
) -> None:
    shutil.copytree(before_the_crash, tmp_path, dirs_exist_ok=True)
    store = LocalStore(tmp_path / "store")
    if place.endswith("-controls"):
        store.delete("approved/shop/controls.json")  # or there would be nothing to write
    assert step(tmp_path, "new", place) == -signal.SIGKILL
    zone = make_zone(tmp_path)
    assert fetched(zone, tmp_path / "client") in {"old", "new"}
    assert step(tmp_path, "new") == 0
    assert fetched(zone, tmp_path / "client") == "new"


def fetched(zone: Zone, directory: Path) -> str:
    """Return the content that python-tuf's own client gets, which keeps what it saw from one call to the next."""
    with serving(application(zone.store)) as url:
        client = updater(url, directory, zone.trust.roots[0])
        listed = client.get_targetinfo(rollout.target("web"))
        assert listed is not None
        document = rollout.decode(Path(client.download_target(listed)).read_bytes(), fleet="shop/web")
        assert document.stable is not None
        listed = client.get_targetinfo(bundle.target("web", document.stable.digest))
        assert listed is not None
        packed = Path(client.download_target(listed)).read_bytes()
    return bundle.unpack(packed, digest=document.stable.digest).groups["all"].base.files[0].content or ""
