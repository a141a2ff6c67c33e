"""A server that means harm, and one that holds stolen keys: each attack has its own error, and leaves the host as it was."""

import contextlib
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root

from agent import loop
from agent.disk import Disk
from agent.fetching import bounds, fetcher
from agent.fetching.fetcher import Http
from agent.following.repository import Repository
from agent.protocol import bundle, codec
from agent.protocol.bundle import Bundle, Group
from agent.protocol.errors import RefusedError
from agent.protocol.state import Artifact, ArtifactSource, State
from agent.trust import floors, trusted
from reconciler.publication import metadata
from tests import agent_cases, hostile_cases
from tests.agent_cases import Keys, Rig, Tenant, file_state
from tests.hostile_cases import Front, Trick, expired, in_front, republish, reroot, retarget

FAR = 2**40
ALL_ROLES = ("timestamp", "snapshot", "rollouts", "releases")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A host that runs the first release of fleet web, while a second one is waiting for it."""
    with agent_cases.rig(tmp_path) as made:
        made.fleet().publish(file_state(a="first"), ["web-01"])
        assert made.poll() == 0
        made.fleet().publish(file_state(a="second"), ["web-01"])
        yield made


@pytest.fixture
def front(rig: Rig) -> Iterator[Front]:
    with in_front(rig) as made:
        yield made


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that waits for nobody: the limits are the product's, only shorter."""
    monkeypatch.setattr(fetcher, "PATIENCE_SECONDS", 0.6)
    monkeypatch.setattr(fetcher, "GAP_SECONDS", 0.3)
    monkeypatch.setattr(fetcher, "SLOWEST", 10**9)


def refused(rig: Rig, *words: str) -> None:
    """Poll: it is refused with these words, in log and status, and the host stays as it was."""
    _unchanged(rig, 1, "why", words)
    assert rig.status()["result"] == "refused"


def unheard(rig: Rig, *words: str) -> None:
    """Poll: there is no news, for this reason, in log and status, and the host stays as it was."""
    _unchanged(rig, 3, "unheard", words)
    assert rig.status()["unheardSince"] is not None


def _unchanged(rig: Rig, code: int, field: str, words: tuple[str, ...]) -> None:
    before = rig.tree()
    assert rig.poll() == code, rig.log
    said = rig.status()[field]
    for word in words:
        assert word in said
        assert word in rig.log
    assert rig.tree() == before
    assert rig.status()["generation"] == 1


def recovers(rig: Rig) -> None:
    """Poll an honest server: the release is applied, and no trouble is left in the status."""
    assert rig.poll() == 0, rig.log
    status = rig.status()
    assert (status["result"], status["why"], status["unheard"]) == ("applied", "", "")
    assert rig.text("/etc/app/a") == "second"


# The way to the server


@pytest.mark.parametrize("trick", [hostile_cases.endless_body, hostile_cases.endless_chunks, hostile_cases.endless_headers])
def test_an_answer_without_end_is_broken_off(rig: Rig, front: Front, trick: Trick) -> None:
    before = rig.tree()
    for part in ("/metadata/2.root.json", "/metadata/timestamp.json", "/metadata/2.snapshot.json", "/targets/bundles/"):
        front.tricks = {part: trick}
        front.sent = 0
        assert rig.poll() in (1, 3)
        assert rig.tree() == before
        assert any(words in rig.log for words in ("that it may have; broken off", "got more than", "LineTooLong"))
        assert front.sent < 20_000_000, "it listened for too long"
    front.tricks.clear()
    recovers(rig)


def test_what_is_larger_than_it_may_be_is_refused(rig: Rig, front: Front) -> None:
    front.tricks["/metadata/timestamp.json"] = hostile_cases.oversized
    refused(rig, "timestamp.json: more than the 16384 bytes that it may have", "see what answers at this address")
    front.tricks.clear()
    recovers(rig)


def test_promises_of_an_answer_without_end_are_broken_off(rig: Rig, front: Front) -> None:
    front.tricks["/metadata/timestamp.json"] = hostile_cases.endless_promises
    refused(rig, "more than the 16384 bytes")
    assert front.sent < 20_000_000


def test_a_page_without_end_about_an_error_is_not_read(rig: Rig, front: Front) -> None:
    front.tricks["/metadata/2.root.json"] = hostile_cases.endless_error
    assert rig.poll() == 0
    assert front.sent < 20_000_000
    assert rig.text("/etc/app/a") == "second", "an error for a root that is not there is an honest answer"


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("trick", [hostile_cases.dripped_body, hostile_cases.dripped_headers])
def test_a_server_that_drips_is_given_up_on(rig: Rig, front: Front, trick: Trick) -> None:
    for part in ("/metadata/timestamp.json", "/targets/bundles/"):
        front.tricks = {part: trick}
        unheard(rig, "not whole after", "overloaded?")
    front.tricks.clear()
    recovers(rig)


@pytest.mark.usefixtures("hurried")
def test_a_server_that_says_nothing_is_given_up_on(rig: Rig, front: Front) -> None:
    front.tricks["/metadata/timestamp.json"] = hostile_cases.silence
    unheard(rig, "Read timed out")


@pytest.mark.usefixtures("hurried")
def test_a_server_that_drips_can_not_keep_a_host_from_being_held_to_what_it_has(
    rig: Rig, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "FOLLOW_SECONDS", 0.1)
    rig.fleet("another")
    rig.fleet("other")
    front.tricks["/metadata/"] = hostile_cases.dripped_headers
    (rig.root / "etc/app/a").write_text("drifted")
    assert rig.poll() == 3
    assert rig.text("/etc/app/a") == "first"
    assert "not asked for at this poll" in rig.status("web")["unheard"]
    assert "nothing of it was ever verified here" in rig.status("another")["why"]


@pytest.mark.parametrize(
    ("trick", "words"),
    [
        (hostile_cases.truncated, "IncompleteRead"),
        (hostile_cases.unbelievable_length, "Content-Length contained multiple unmatching values"),
        (hostile_cases.redirected, "HTTP 302 to 'http://127.0.0.1:9/elsewhere': repositories are never redirected"),
        (hostile_cases.out_of_order, "HTTP 500"),
        (hostile_cases.not_http, "Connection aborted: SSH-2.0"),
    ],
)
def test_an_answer_that_does_not_arrive_whole_is_no_news(rig: Rig, front: Front, trick: Trick, words: str) -> None:
    for part in ("/metadata/timestamp.json", "/targets/bundles/"):
        front.tricks = {part: trick}
        unheard(rig, words)
    front.tricks.clear()
    recovers(rig)


@pytest.mark.parametrize("trick", [hostile_cases.cut_short, hostile_cases.gzip_bomb])
def test_other_bytes_than_were_signed_are_refused(rig: Rig, front: Front, trick: Trick) -> None:
    front.tricks["/metadata/timestamp.json"] = trick
    refused(rig, "timestamp.json: not JSON", "Does something else answer at this address?")
    front.tricks = {"/targets/rollouts/": trick}
    refused(rig, "that it may have; broken off" if trick is hostile_cases.gzip_bomb else "not the bytes that were signed")
    front.tricks.clear()
    recovers(rig)


@pytest.mark.parametrize(
    "trick", [hostile_cases.endless_body, hostile_cases.redirected, hostile_cases.not_http, hostile_cases.out_of_order]
)
def test_a_hostile_list_of_fleets_keeps_no_host_from_its_own(rig: Rig, front: Front, trick: Trick) -> None:
    front.tricks["/v1/agents/"] = trick
    assert rig.poll() == 3
    assert rig.text("/etc/app/a") == "second"


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("http://[", "which is no address"),
        ("ftp://127.0.0.1/tool", "which is not https"),
        ("file:///etc/hostname", "which is not https"),
        ("http://elsewhere.example/tool", "which is not https"),
        ("/tool", "more than 5 redirects"),
    ],
)
def test_an_artifact_follows_no_redirect_into_the_dark(rig: Rig, front: Front, location: str, words: str) -> None:
    head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    front.tricks["/tool"] = lambda send, _: send(head.encode())
    source = ArtifactSource(url=f"{front.url}/tool", sha256=codec.sha256(b"tool"))
    rig.fleet().publish(State(artifacts=[Artifact(name="tool", path="/opt/tool", platforms={"any": source})]), ["web-01"])
    before = rig.tree()
    assert rig.poll() == 1
    assert words in rig.status()["why"]
    assert rig.tree() == before


def test_no_redirect_leads_away_from_https() -> None:
    assert fetcher.next_address("https://a.example/x", "https://b.example/y") == "https://b.example/y"
    with pytest.raises(RefusedError, match="which is not https"):
        fetcher.next_address("https://a.example/x", "http://a.example/x")


def test_a_real_agent_survives_a_hostile_server_and_says_what_to_do(rig: Rig, front: Front) -> None:
    front.tricks["/metadata/timestamp.json"] = hostile_cases.endless_body
    before = rig.tree()
    done = rig.run()
    assert done.returncode == 1
    assert "see what answers at this address" in done.stderr
    assert "Traceback" not in done.stderr
    assert rig.tree() == before
    assert "more than the 16384 bytes" in rig.ask("status").stdout


# Files of others, and files changed on the way


@pytest.mark.parametrize("role", ["timestamp", "2.snapshot", "2.rollouts", "2.releases"])
def test_metadata_changed_on_the_way_is_refused(rig: Rig, role: str) -> None:
    place = f"{rig.fleet().prefix}/metadata/{role}.json"
    rig.server.files[place] = rig.server.files[place].replace(b'"version": 2', b'"version": 3').replace(b'"version":2', b'"version":3')
    refused(rig, "UnsignedMetadataError" if role == "timestamp" else "LengthOrHashMismatchError", "nothing of it is used")


def test_a_root_that_the_old_keys_did_not_sign_is_refused(rig: Rig) -> None:
    evil = Tenant({}, "shop")
    evil.rotate()
    rig.server.files[f"{rig.fleet().prefix}/metadata/2.root.json"] = evil.roots[1]
    refused(rig, "UnsignedMetadataError", "trust no more of this server")


@pytest.mark.parametrize("part", ["/targets/members/", "/targets/rollouts/", "/targets/bundles/"])
def test_targets_of_another_fleet_are_refused_in_this_ones_place(rig: Rig, part: str) -> None:
    rig.tenant.fleet("other").publish(file_state(a="other"), ["web-01", "web-02"])
    theirs = rig.server.files[rig.tenant.fleet("other").files(part)[-1]]
    for place in rig.fleet().files(part):
        rig.server.files[place] = theirs
    rig.fleet().publish(file_state(a="second"), ["web-01", "web-03"]) if "members" in part else None
    for place in rig.fleet().files(part):
        rig.server.files[place] = theirs
    before = rig.tree()
    assert rig.poll() == 1
    assert any(words in rig.status()["why"] for words in ("LengthOrHashMismatchError", "that it may have; broken off"))
    assert rig.tree() == before


def test_a_bundle_of_another_fleet_is_refused_even_when_the_releases_key_lists_it(rig: Rig) -> None:
    repository = rig.fleet()
    data = bundle.encode(Bundle(format=1, fleet="shop/other", groups={"all": Group(base=file_state(a="other"))}))
    repository._list(bundle.target("web", codec.sha256(data)), bundle.pack(data))  # noqa: SLF001 - with a stolen releases key
    repository.digest = codec.sha256(data)
    repository.roll_out()
    refused(rig, "it is of shop/other, not of shop/web")


def test_another_tenants_whole_repository_is_refused(rig: Rig) -> None:
    bank = Tenant({}, "bank", Keys(root=rig.tenant.keys.root, targets=rig.tenant.keys.targets))
    bank.fleet("web").publish(file_state(a="bank"), ["web-01"])
    rig.server.files.clear()
    rig.server.files.update({place.replace("/bank/", "/shop/"): data for place, data in bank.files.items()})
    refused(rig, "is of 'bank/web'; expected 'shop/web'")


def test_another_tenants_targets_are_refused_though_the_same_key_signed_them(rig: Rig) -> None:
    bank = Tenant({}, "bank", Keys(root=rig.tenant.keys.root, targets=rig.tenant.keys.targets))
    rig.tenant.rotate()
    bank.rotate()
    republish(rig.fleet(), changes={})
    rig.server.files[f"{rig.fleet().prefix}/metadata/2.targets.json"] = bank.targets
    refused(rig, "2.targets.json: is of 'bank'; expected 'shop'")


def test_parts_of_two_times_are_not_mixed(rig: Rig) -> None:
    prefix = f"{rig.fleet().prefix}/metadata"
    rig.server.files[f"{prefix}/2.snapshot.json"] = rig.server.files[f"{prefix}/1.snapshot.json"]
    refused(rig, "LengthOrHashMismatchError")


# Time


def test_a_server_that_stands_still_is_refused_once_freshness_is_over(rig: Rig) -> None:
    rig.fleet().roll_out(now=datetime.now(UTC) - timedelta(hours=2), freshness=timedelta(hours=1))
    refused(rig, "timestamp.json is expired", "this host's clock", "see whether `ordain serve` runs")


@pytest.mark.parametrize(
    ("role", "remedy"), [("snapshot", "`ordain serve`"), ("rollouts", "`ordain serve`"), ("releases", "`ordain reconcile`")]
)
def test_an_expired_role_is_refused_and_says_who_renews_it(rig: Rig, role: str, remedy: str) -> None:
    republish(rig.fleet(), changes={role: expired})
    refused(rig, f"{role}{'.json' if role == 'snapshot' else ''} is expired", f"see whether {remedy} runs", "what runs is kept")


@pytest.mark.parametrize(("role", "sign"), [("root", reroot), ("targets", retarget)])
def test_expired_offline_metadata_is_refused_and_asks_for_the_ceremony(rig: Rig, role: str, sign: Any) -> None:
    sign(rig.tenant, expired)
    republish(rig.fleet(), changes={})
    refused(rig, f"{role}", "is expired", "repeat the key ceremony")


def test_an_expiry_that_the_hosts_own_clock_makes_up_says_so(rig: Rig) -> None:
    ahead = datetime.now(UTC) + timedelta(days=400)
    rig.fleet().roll_out(now=ahead)
    assert rig.poll() == 0
    rig.fleet().roll_out()
    assert rig.poll() == 1
    clock = datetime.now(UTC).strftime("%Y-%m-%dT")
    assert f"the latest signed time; this host's clock says {clock}" in rig.status()["why"]


# Numbers pushed to where nothing is newer, and the way back


@pytest.mark.parametrize(
    ("pushed", "rotated"),
    [
        pytest.param("timestamp", ("timestamp",), id="timestamp"),
        pytest.param("digits", ("timestamp",), id="timestamp-of-4000-digits"),
        pytest.param("clock", ("timestamp",), id="clock"),
        pytest.param("snapshot", ("timestamp", "snapshot"), id="snapshot"),
        pytest.param("snapshot", ("snapshot", "timestamp"), id="snapshot-in-another-order"),
        pytest.param("rollouts", ("snapshot", "rollouts"), id="rollouts"),
        pytest.param("rollouts", ("rollouts", "snapshot"), id="rollouts-in-another-order"),
        pytest.param("releases", ("snapshot", "releases"), id="releases"),
        pytest.param("releases", ("releases", "snapshot"), id="releases-in-another-order"),
        pytest.param("serial", ("rollouts",), id="serial"),
        pytest.param("epoch", ("rollouts",), id="epoch"),
    ],
)
def test_what_a_thief_pushed_up_comes_down_with_these_keys_and_no_fewer(rig: Rig, pushed: str, rotated: tuple[str, ...]) -> None:
    repository, keys = rig.fleet(), rig.tenant.keys
    _push(rig, pushed)
    assert rig.poll() == 0, rig.log
    repository.version, repository.serial, repository.epoch = 10, 10, 1
    repository.roll_out()
    assert rig.poll() == 1
    assert "older than" in rig.status()["why"] or "the latest signed time" in rig.status()["why"]
    for number, role in enumerate(rotated):
        if number:
            assert rig.poll() == 1, f"{pushed} came down before {role} was rotated"
        setattr(keys, role, CryptoSigner.generate_ed25519())
        rig.tenant.rotate()
        repository.roll_out()
    repository.publish(file_state(a="after"), ["web-01"])
    assert rig.poll() == 0, rig.log
    assert rig.text("/etc/app/a") == "after"
    kept = floors.read(Disk(root=rig.state).fleet("web") / "floors.json").marks
    assert max(number for mark in set(kept) - {"clock"} for number in kept[mark].values()) < FAR


def _push(rig: Rig, what: str) -> None:
    repository = rig.fleet()
    if what == "clock":
        republish(repository, changes={"timestamp": hostile_cases.signed_in_the_future})
    elif what == "digits":
        republish(repository, changes={"timestamp": lambda signed: setattr(signed, "version", 10**4000)})
    elif what in ("serial", "epoch"):
        setattr(repository, what, FAR)
        repository.roll_out()
    else:
        republish(repository, changes={what: lambda signed: setattr(signed, "version", FAR)})


def test_more_roots_than_anybody_signs_are_refused_and_a_newer_anchor_helps(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    assert trusted.ROOTS_LIMIT <= 1000
    monkeypatch.setattr(trusted, "ROOTS_LIMIT", 25)  # signing hundreds takes longer than the point is worth
    for _ in range(trusted.ROOTS_LIMIT + 20):
        rig.tenant.rotate()
    republish(rig.fleet(), changes={})
    rig.server.requests.clear()
    refused(rig, f"{trusted.ROOTS_LIMIT} roots newer than version 1", "give it a newer --root-metadata")
    assert len(rig.server.requests) < trusted.ROOTS_LIMIT + 5
    rig.anchor.write_bytes(rig.tenant.roots[-10])
    recovers(rig)


# One stolen key, and not those that it needs


def test_one_root_key_of_two_signs_no_root(rig: Rig) -> None:
    rig.tenant.keys.timestamp = CryptoSigner.generate_ed25519()
    rig.tenant.rotate()
    root = Metadata[Root].from_bytes(rig.tenant.roots[-1]).signed
    rig.tenant.roots[-1] = metadata.sign(root, rig.tenant.keys.root[:1])
    republish(rig.fleet(), changes={})
    refused(rig, "UnsignedMetadataError", "root was signed by 1/2 keys")


def test_a_root_that_is_held_back_after_a_rotation_starts_nothing_new(rig: Rig) -> None:
    rig.tenant.keys.timestamp = CryptoSigner.generate_ed25519()
    rig.tenant.rotate()
    republish(rig.fleet(), changes={})
    newest = rig.server.files.pop(f"{rig.fleet().prefix}/metadata/2.root.json")
    refused(rig, "UnsignedMetadataError", "After keys were rotated the newer root must be published too")
    rig.server.files[f"{rig.fleet().prefix}/metadata/2.root.json"] = newest
    recovers(rig)


def test_a_releases_key_alone_lists_nothing_that_an_online_key_does_not_point_at(rig: Rig) -> None:
    _list_evil(rig, rig.tenant.keys.releases)
    refused(rig, "LengthOrHashMismatchError")


def test_a_targets_key_alone_delegates_to_nobody_that_an_online_key_does_not_point_at(rig: Rig, tmp_path: Path) -> None:
    thief = CryptoSigner.generate_ed25519()
    delegated = metadata.targets(
        "shop", releases=thief.public_key, rollouts=rig.tenant.keys.rollouts.public_key, now=datetime.now(UTC), version=1
    )
    rig.server.files[f"{rig.fleet().prefix}/metadata/1.targets.json"] = metadata.sign(delegated, [rig.tenant.keys.targets])
    _list_evil(rig, thief)
    newcomer = Rig(tmp_path / "newcomer", rig.server, rig.tenant)
    assert newcomer.poll() == 1
    assert "LengthOrHashMismatchError" in newcomer.status()["why"]
    assert newcomer.files() == {}


def _list_evil(rig: Rig, signer: CryptoSigner) -> None:
    """Put a releases role that lists a bundle of the thief's in the place of the published one."""
    repository = rig.fleet()
    data = bundle.encode(Bundle(format=1, fleet="shop/web", groups={"all": Group(base=file_state(a="evil"))}))
    target = bundle.target("web", codec.sha256(data))
    repository._put_target(target, bundle.pack(data))  # noqa: SLF001 - as a thief would
    place = f"{repository.prefix}/metadata/2.releases.json"
    releases: Any = Metadata.from_bytes(rig.server.files[place]).signed
    releases.targets = {target: metadata.target_file(target, bundle.pack(data), {"sequence": 99})}
    rig.server.files[place] = metadata.sign(releases, [signer])


NONSENSE = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from([2**70, -(2**70)]) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
FIELDS = st.sampled_from(
    ["_type", "expires", "meta", "spec_version", "version", "x-signed-at", "x-fleet", "targets", "delegations", "roles", "keys"]
)


@pytest.mark.no_cover
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(role=st.sampled_from(ALL_ROLES), field=FIELDS, value=NONSENSE)
def test_nonsense_signed_with_stolen_keys_raises_nothing_but_refusals(rig: Rig, role: str, field: str, value: Any) -> None:
    honest = dict(rig.server.files)
    _sign_nonsense(rig, role, field, value)
    try:
        with contextlib.suppress(RefusedError), tempfile.TemporaryDirectory() as directory:
            document = _repository(rig, Path(directory)).refresh(datetime.now(UTC))
            assert document.serial == 2, "then the nonsense did not matter"
    finally:
        rig.server.files.clear()
        rig.server.files.update(honest)


def _repository(rig: Rig, directory: Path) -> Repository:
    return Repository(
        fleet="web", tenant="shop", server=rig.server.url, directory=directory, cache=directory, http=Http(), bootstrap=rig.tenant.roots[0]
    )


def _sign_nonsense(rig: Rig, role: str, field: str, value: Any) -> None:
    """Put a value in the place of a signed field, and sign it and all that refers to it."""
    files, keys, prefix = rig.server.files, rig.tenant.keys, f"{rig.fleet().prefix}/metadata"
    place = f"{prefix}/timestamp.json" if role == "timestamp" else f"{prefix}/2.{role}.json"
    files[place] = hostile_cases.signed_anyhow(files[place], {field: value}, getattr(keys, role))
    if role in ("rollouts", "releases"):
        snapshot: Any = Metadata.from_bytes(files[f"{prefix}/2.snapshot.json"]).signed
        snapshot.meta[f"{role}.json"] = metadata.meta_file(2, files[place])
        files[f"{prefix}/2.snapshot.json"] = metadata.sign(snapshot, [keys.snapshot])
    if role != "timestamp":
        stamp: Any = Metadata.from_bytes(files[f"{prefix}/timestamp.json"]).signed
        stamp.snapshot_meta = metadata.meta_file(2, files[f"{prefix}/2.snapshot.json"])
        files[f"{prefix}/timestamp.json"] = metadata.sign(stamp, [keys.timestamp])


def test_the_agents_bounds_leave_room_for_what_is_honest() -> None:
    assert bounds.OVERHEAD >= 100 * 1024, "a hundred headers of a kilobyte"
    assert fetcher.PATIENCE_SECONDS >= 10
