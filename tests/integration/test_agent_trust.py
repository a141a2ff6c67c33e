"""What an agent does not believe. Each refusal has an error of its own, and leaves the host as it was."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Timestamp

from agent.disk import Disk
from agent.protocol import bundle, codec, rollout
from agent.protocol.bundle import Bundle, Group
from agent.protocol.membership import Member
from agent.protocol.rollout import Release, RolloutDocument
from agent.protocol.state import File, State
from agent.trust import floors
from reconciler.publication import metadata
from tests import agent_cases
from tests.agent_cases import Keys, Rig, Tenant, file_state


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A host that runs the first release of fleet web."""
    with agent_cases.rig(tmp_path) as made:
        made.fleet().publish(file_state(a="first"), ["web-01"])
        assert made.poll() == 0
        yield made


def refused(rig: Rig, why: str) -> None:
    """Poll, and check that it was refused for this reason and changed nothing."""
    before = rig.tree()
    assert rig.poll() == 1, rig.log
    assert why in rig.status()["why"]
    assert rig.tree() == before
    assert rig.status()["generation"] == 1


def test_a_bundle_that_was_tampered_with_is_refused(rig: Rig) -> None:
    rig.fleet().publish(file_state(a="second"), ["web-01"])
    (path,) = [path for path in rig.fleet().files("/targets/bundles/") if rig.fleet().digest in path]
    good = rig.server.files[path]
    rig.server.files[path] = good[:-1] + bytes([good[-1] ^ 1])
    refused(rig, "LengthOrHashMismatchError")
    rig.server.files[path] = good
    assert rig.poll() == 0
    assert rig.text("/etc/app/a") == "second"


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "releases", "rollouts"])
def test_metadata_signed_by_another_key_is_refused(rig: Rig, role: str) -> None:
    setattr(rig.tenant.keys, role, CryptoSigner.generate_ed25519())
    rig.fleet().publish(file_state(a="second"), ["web-01"])
    refused(rig, "UnsignedMetadataError")


def test_a_server_with_all_online_keys_can_not_make_up_a_bundle(rig: Rig) -> None:
    evil = bundle.encode(Bundle(format=1, fleet="shop/web", groups={"all": Group(base=file_state(a="evil"))}))
    repository = rig.fleet()
    repository._put_target(bundle.target("web", codec.sha256(evil)), bundle.pack(evil))  # noqa: SLF001 - as a thief would
    repository.roll_out(stable=Release(digest=codec.sha256(evil), members=repository.members_sequence))
    refused(rig, "is listed by nobody who may")


def test_an_older_rollout_document_is_refused_even_when_signed_anew(rig: Rig) -> None:
    repository = rig.fleet()
    first = repository.digest
    repository.publish(file_state(a="second"), ["web-01"])
    assert rig.poll() == 0
    before = rig.tree()
    repository.serial = 0
    repository.roll_out(stable=Release(digest=first, members=repository.members_sequence))
    assert rig.poll() == 1
    assert "serial 1 is older than 2" in rig.status()["why"]
    assert rig.tree() == before


def test_a_document_of_an_older_epoch_is_refused(rig: Rig) -> None:
    rig.fleet().roll_out(epoch=5)
    assert rig.poll() == 0
    rig.fleet().roll_out(epoch=4)
    refused(rig, "epoch 4 is older than 5")


def test_old_metadata_replayed_is_refused_even_after_the_clients_own_copy_is_lost(rig: Rig) -> None:
    old = dict(rig.server.files)
    rig.fleet().publish(file_state(a="second"), ["web-01"])
    assert rig.poll() == 0
    rig.server.files.clear()
    rig.server.files.update(old)
    assert rig.poll() == 1
    assert "BadVersionNumberError" in rig.status()["why"]
    for name in ("timestamp.json", "snapshot.json"):
        (rig.state / "fleets/web/metadata" / name).unlink()
    assert rig.poll() == 1
    assert "timestamp 1 is older than 2" in rig.status()["why"]
    assert rig.text("/etc/app/a") == "second"


def test_expired_metadata_starts_nothing_new_and_keeps_what_runs(rig: Rig) -> None:
    repository = rig.fleet()
    repository.publish(file_state(a="second"), ["web-01"])
    repository.roll_out(now=datetime.now(UTC) - timedelta(days=2), freshness=timedelta(hours=1))
    refused(rig, "timestamp.json is expired")
    (rig.root / "etc/app/a").write_text("drifted")
    rig.poll()
    assert rig.text("/etc/app/a") == "first", "what it has is still held to"
    repository.roll_out()
    assert rig.poll() == 0
    assert rig.text("/etc/app/a") == "second"


def test_a_clock_set_back_does_not_revive_expired_metadata(rig: Rig) -> None:
    repository = rig.fleet()
    ahead = datetime.now(UTC) + timedelta(days=30)
    repository.roll_out(now=ahead)
    assert rig.poll() == 0
    repository.roll_out(now=ahead - timedelta(days=10), freshness=timedelta(days=1))
    refused(rig, "expired")


def test_what_begins_as_it_is_signed_begins_on_a_host_whose_clock_is_behind(rig: Rig) -> None:
    repository = rig.fleet()
    repository.publish(file_state(a="second"), ["web-01"])
    ahead = datetime.now(UTC) + timedelta(hours=12)
    repository.roll_out(now=ahead, not_before=ahead.strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert rig.poll() == 0
    assert rig.text("/etc/app/a") == "second"


def test_another_fleets_metadata_is_refused_before_the_client_keeps_it(rig: Rig) -> None:
    other = rig.tenant.fleet("other")
    for number in range(4):
        other.publish(file_state(a=f"other {number}"), ["web-01"])
    for path in other.files("/metadata/"):
        rig.server.files[path.replace("/other/", "/web/")] = rig.server.files[path]
    kept = (rig.state / "fleets/web/metadata/timestamp.json").read_bytes()
    refused(rig, "is of 'shop/other'; expected 'shop/web'")
    assert (rig.state / "fleets/web/metadata/timestamp.json").read_bytes() == kept
    rig.fleet().publish(file_state(a="second"), ["web-01"])
    assert rig.poll() == 0


def test_metadata_that_says_nothing_of_its_fleet_is_refused(rig: Rig) -> None:
    path = f"{rig.fleet().prefix}/metadata/timestamp.json"
    stamp = Metadata[Timestamp].from_bytes(rig.server.files[path])
    del stamp.signed.unrecognized_fields[metadata.FLEET]
    stamp.signed.version += 1
    stamp.sign(rig.tenant.keys.timestamp)
    rig.server.files[path] = stamp.to_bytes()
    refused(rig, "has no x-fleet")


def test_another_tenants_root_is_refused_though_the_same_people_signed_it(rig: Rig) -> None:
    keys = rig.tenant.keys
    other = Tenant({}, "bank", Keys(root=keys.root, targets=keys.targets))
    other.rotate()
    rig.server.files[f"{rig.fleet().prefix}/metadata/2.root.json"] = other.roots[1]
    refused(rig, "is of 'bank'; expected 'shop'")
    del rig.server.files[f"{rig.fleet().prefix}/metadata/2.root.json"]
    rig.anchor.write_bytes(other.roots[0])
    refused(rig, "root metadata: is of 'bank'")


@pytest.mark.parametrize("hostile", [b"", b"[]", b"{" * 100_000, b'{"signed": 1}', b"\xff\xfe", b"x" * 20_000])
def test_hostile_bytes_are_refused_or_called_unreachable_and_nothing_else(rig: Rig, hostile: bytes) -> None:
    rig.server.files[f"{rig.fleet().prefix}/metadata/timestamp.json"] = hostile
    before = rig.tree()
    assert rig.poll() in (1, 3)
    assert rig.tree() == before
    rig.server.files[f"{rig.fleet().prefix}/targets/rollouts/x"] = hostile


def test_rotating_keys_undoes_a_fast_forward_attack(rig: Rig) -> None:
    repository, keys = rig.fleet(), rig.tenant.keys
    repository.version = repository.serial = 2**31
    repository.roll_out(now=datetime.now(UTC) + timedelta(days=3650))
    assert rig.poll() == 0
    repository.version = repository.serial = 10
    repository.roll_out()
    refused(rig, "root.json is expired")
    for role in ("timestamp", "snapshot", "rollouts"):
        setattr(keys, role, CryptoSigner.generate_ed25519())
    rig.tenant.rotate()
    rig.tenant.targets = metadata.sign(
        metadata.targets("shop", releases=keys.releases.public_key, rollouts=keys.rollouts.public_key, now=datetime.now(UTC), version=2),
        [keys.targets],
    )
    repository.version = 2**31 + 5
    repository.listed = dict(repository.listed)
    repository.serial = 20
    repository.publish(file_state(a="second"), ["web-01"])
    assert rig.poll() == 0, rig.log
    kept = floors.read(Disk(root=rig.state).fleet("web") / "floors.json")
    assert list(kept.marks["serial"].values()) == [21]
    assert set(kept.marks["timestamp"]) == {keys.timestamp.public_key.keyid}


def test_damaged_floors_are_never_ignored(rig: Rig) -> None:
    (rig.state / "fleets/web/floors.json").write_bytes(b"{}x")
    rig.fleet().publish(file_state(a="second"), ["web-01"])
    refused(rig, "floors.json")


def test_damaged_metadata_on_disk_is_fetched_again(rig: Rig) -> None:
    for path in (rig.state / "fleets/web/metadata").rglob("*.json"):
        path.write_bytes(path.read_bytes()[:40])
    rig.fleet().publish(file_state(a="second"), ["web-01"])
    assert rig.poll() == 0
    assert rig.text("/etc/app/a") == "second"


def test_a_host_that_a_release_does_not_list_is_left_as_it_is(rig: Rig) -> None:
    rig.fleet().publish(file_state(a="second"), ["web-02"])
    refused(rig, "does not list web-01")
    (rig.root / "etc/app/a").write_text("the owner's from now on")
    rig.poll()
    assert rig.text("/etc/app/a") == "the owner's from now on"
    rig.fleet().publish(file_state(a="third"), ["web-01"])
    assert rig.poll() == 0
    assert rig.text("/etc/app/a") == "third"


def test_members_and_bundle_that_do_not_fit_are_refused(rig: Rig) -> None:
    rig.fleet().publish({"x": Group(base=State())}, {"web-01": Member(group="y")})
    refused(rig, "has no group 'y'")


def test_a_part_that_this_agent_does_not_know_refuses_the_release(rig: Rig) -> None:
    repository = rig.fleet()
    data = bundle.encode(Bundle(format=1, fleet="shop/web", groups={"all": Group(base=State())}))
    newer = data.replace(b'"base":{}', b'"base":{"widgets":[{"name":"x"}]}')
    repository._list(bundle.target("web", codec.sha256(newer)), bundle.pack(newer))  # noqa: SLF001 - a later version's bundle
    repository.digest = codec.sha256(newer)
    repository.roll_out()
    refused(rig, "widgets")


def test_nothing_starts_before_its_time(rig: Rig) -> None:
    rig.fleet().publish(file_state(a="second"), ["web-01"], not_before=agent_cases.hours_from_now(1))
    assert rig.poll() == 0
    assert rig.text("/etc/app/a") == "first"
    assert rig.status()["result"] == "waiting"


def test_a_candidate_reaches_only_the_hosts_it_is_for(rig: Rig) -> None:
    repository = rig.fleet()
    stable = Release(digest=repository.digest, members=repository.members_sequence)
    repository.publish(file_state(a="second"), {"web-01": Member(group="all", labels={"canary": "true"})})
    candidate = Release(digest=repository.digest, members=repository.members_sequence)
    repository.roll_out(stable=stable, candidate=candidate, selectors=[{"canary": "false"}])
    rig.poll()
    assert rig.text("/etc/app/a") == "first"
    repository.roll_out(stable=stable, candidate=candidate, selectors=[{"canary": "true"}])
    rig.poll()
    assert rig.text("/etc/app/a") == "second"


def test_a_host_added_makes_no_other_host_fetch_a_bundle(rig: Rig) -> None:
    rig.server.requests.clear()
    rig.fleet().publish(file_state(a="first"), ["web-01", "web-02"])
    assert rig.poll() == 0
    assert rig.server.asked("/targets/members/")
    assert not rig.server.asked("/targets/bundles/")
    assert rig.status()["generation"] == 1


def test_of_three_hundred_agents_each_reads_its_own_shard(tmp_path: Path) -> None:
    with agent_cases.rig(tmp_path, "web-007") as rig:
        agents = {f"web-{number:03}": Member(group=f"g{number % 3}") for number in range(300)}
        groups = {f"g{number}": Group(base=file_state(a=f"group {number}")) for number in range(3)}
        rig.fleet().publish(groups, agents)
        assert rig.poll() == 0, rig.log
        assert rig.text("/etc/app/a") == "group 1"
        assert len(rig.server.asked("/targets/members/")) == 2
        assert len(rig.fleet().files("/targets/members/")) == 3
    with agent_cases.rig(tmp_path / "stranger", "web-999") as rig:
        rig.fleet().publish(groups, agents)
        assert rig.poll() == 1
        assert "does not list web-999" in rig.status()["why"]


def test_a_pools_agent_is_known_by_its_pool_and_names_itself(tmp_path: Path) -> None:
    with agent_cases.rig(tmp_path, "runners/7f3a") as rig:
        state = State(files=[File(path="/etc/me", content="${agent.name} ${agent.pool} ${agent.id}")])
        rig.fleet().publish(state, [], pools={"runners": Member(group="all")})
        assert rig.poll() == 0, rig.log
        assert rig.text("/etc/me") == "runners/7f3a runners 7f3a"


def test_a_server_that_is_away_changes_nothing_and_is_said_to_be(rig: Rig) -> None:
    rig.server.close()
    before, status = rig.tree(), rig.status()
    assert rig.poll() == 3
    assert "unreachable" in rig.log
    assert rig.tree() == before
    after = rig.status()
    assert "Connection refused" in after["unheard"]
    assert after["unheardSince"] is not None
    assert after["freshUntil"] == status["freshUntil"] is not None
    assert {**after, "unheard": "", "unheardSince": None} == status


def test_a_server_that_stops_naming_a_fleet_changes_nothing(rig: Rig) -> None:
    rig.server.hints.clear()
    assert rig.poll() == 0
    assert rig.text("/etc/app/a") == "first"
    rig.fleet().publish(file_state(a="second"), ["web-01"])
    rig.server.hints.clear()
    assert rig.poll() == 0
    assert rig.text("/etc/app/a") == "second"


def test_fleets_made_up_by_a_server_leave_nothing_behind(rig: Rig) -> None:
    rig.server.hints["shop/web-01"] = ["web", "../../etc", *(f"made-up-{number}" for number in range(100))]
    rig.poll()
    assert len(rig.server.asked("/2.root.json")) <= 66
    rig.server.hints["shop/web-01"] = ["web"]
    rig.poll()
    assert Disk(root=rig.state).shown_fleets() == ["web"]
    assert [path.name for path in (rig.state / "fleets").iterdir()] == ["web"]


def test_a_poll_without_change_costs_under_600_bytes_of_body(rig: Rig) -> None:
    rig.server.requests.clear()
    assert rig.poll() == 0
    assert sum(size for _, size in rig.server.requests) < 600
    assert len(rig.server.requests) == 3


def test_a_document_of_another_format_is_refused(rig: Rig) -> None:
    repository = rig.fleet()
    document = RolloutDocument(
        format=2, fleet="shop/web", serial=9, epoch=1, attempt=1, stable=None, candidate=None, not_before="2026-01-01T00:00:00Z"
    )
    repository.sign(rollout.target("web"), codec.canonical(document), freshness=timedelta(hours=1), now=datetime.now(UTC))
    refused(rig, "format 2")
