"""`ordain audit verify`: what an honest reconciler left is proven, and each thing that was tampered with is named."""

import json
import shutil
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from securesystemslib.signer import Signer

from agent.protocol import bundle, codec
from agent.protocol.errors import InputError
from agent.protocol.membership import Member
from reconciler import settings
from reconciler.cli import cli
from reconciler.cli.audit_verify import _known, _lines
from reconciler.cli.evidence import gather
from reconciler.opa.program import find_opa
from reconciler.pipeline import accepted
from reconciler.pipeline.approve import approve_release
from reconciler.pipeline.audit import PAYLOAD_TYPE, DecisionRecord, decode_record, encode_record, record_digest, record_key
from reconciler.pipeline.listing import read_standing
from reconciler.pipeline.proof.shape import Misfit, Report
from reconciler.pipeline.proof.verify import Proving, prove
from reconciler.pipeline.releasing import renew
from reconciler.pipeline.signing import releases_signing, repository_signing
from reconciler.publication import envelope, layout
from reconciler.publication.store import LocalStore
from tests.proof_cases import MOTD, Copy, Made, decided, eventful, handed_over
from tests.pruning_cases import EVERYTHING, prune
from tests.publication_cases import bundle_of
from tests.source_cases import WorkingCopy

pytestmark = pytest.mark.needs("opa", "git")
LAST = 4


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return decided(tmp_path_factory.mktemp("made"))


@pytest.fixture
def copy(made: Made, tmp_path: Path) -> Copy:
    return handed_over(made, tmp_path)


def verify(copy: Copy, *more: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code and the report; decisions are made again only where that is asked for."""
    replay = [] if "--replay" in more else ["--no-replay"]
    options = [*copy.options, *replay, *(one for one in more if one != "--replay"), "--format", "json"]
    done = CliRunner().invoke(cli, ["audit", "verify", *options], catch_exceptions=False)
    found: dict[str, Any] = json.loads(done.stdout)
    return done.exit_code, found


def test_all_that_an_honest_reconciler_left_is_proven(copy: Copy) -> None:
    code, found = verify(copy, "--replay")
    assert (code, found["misfits"], found["unproven"]) == (0, [], [])
    assert found["proven"]["decision"] == found["proven"]["record"] == found["proven"]["note"] == found["proven"]["accepted tree"] == LAST
    assert found["proven"]["bundle"] == 5
    assert found["proven"]["members document"] == 4


def test_a_store_that_was_pruned_is_proven_as_far_as_it_goes(copy: Copy) -> None:
    gone = prune(LocalStore(copy.store), EVERYTHING)
    assert gone.files
    code, found = verify(copy)
    assert (code, found["misfits"], [one["what"] for one in found["unproven"]]) == (0, [], ["verdicts"]), "which were not asked for"
    assert found["proven"]["record"] == found["proven"]["accepted tree"] == LAST


def test_a_bundle_that_is_gone_though_it_is_desired_is_put_there_again(made: Made) -> None:
    store = made.parts.store
    listed = read_standing(store, releases_signing(store, made.parts.ring, "shop").known, tenant="shop", fleet="web")
    key = layout.approved("shop", "web", bundle.target("web", listed.bundles[-1].digest or ""))
    data = store.get(key)
    store.delete(key)
    renew(made.parts, made.session)
    assert store.get(key) == data is not None
    assert layout.versions(store, layout.approved("shop", "web"), "releases")[-1] == listed.version


@pytest.mark.needs("ssh-keygen")
def test_decisions_of_rules_signers_time_and_restarts_are_proven_too(tmp_path: Path) -> None:
    copy = handed_over(eventful(tmp_path), tmp_path / "copy")
    code, found = verify(copy, "--replay")
    assert (code, found["misfits"], found["unproven"]) == (0, [], [])
    assert found["proven"]["decision"] >= 8
    told = WorkingCopy(copy.repo).git("log", "--notes=ordain/*", "--format=%N")
    assert all(said in told for said in ("waived by shop/motd", "signatures/unsigned", "(standing)"))
    asked = CliRunner().invoke(cli, ["why", "shop/web-01:/etc/motd:1", *copy.options], catch_exceptions=False).output
    assert all(said in asked for said in ("signed by ana", "waived by shop/motd", "the tests want it so (ana@example.com)"))
    left = CliRunner().invoke(cli, ["state", "shop/db-01", "--at", "2026-12-31", *copy.options], catch_exceptions=False).output
    assert "the fleet was deleted before" in left


def test_the_reconciler_s_own_host_proves_it_too(made: Made) -> None:
    done = CliRunner().invoke(
        cli, ["audit", "verify", "--no-replay", "--state", str(made.state), "--repo", str(made.copy.path)], catch_exceptions=False
    )
    assert done.exit_code == 0
    assert "nothing that does not fit" in done.output
    assert "not proven: verdicts, all decisions: they were not replayed, as was asked" in done.output


def test_since_leaves_out_what_is_older_and_verifies_the_chain_all_the_same(copy: Copy) -> None:
    _, found = verify(copy, "--since", "3", "--replay")
    assert found["misfits"] == []
    assert found["proven"]["decision"] == found["proven"]["note"] == 2
    assert found["proven"]["record"] == LAST
    assert verify(copy, "--since", "2026-11-22T15:00:00Z", "--replay")[1]["proven"]["decision"] == 2


def test_since_a_decision_that_there_is_not_yet_is_wrong_usage(copy: Copy) -> None:
    for since in ("99", "2031-01-01"):
        done = CliRunner().invoke(cli, ["audit", "verify", *copy.options, "--no-replay", "--since", since])
        assert isinstance(done.exception, InputError)
        assert "the newest decision here is 4" in str(done.exception)


def test_a_file_of_git_that_is_damaged_is_named_and_what_does_not_need_it_is_proven(copy: Copy) -> None:
    git = WorkingCopy(copy.repo)
    damage(copy, git.git("rev-parse", f"HEAD:{MOTD}"))
    shutil.rmtree(copy.store / "approved" / "_objects")
    (copy.store / accepted.KEY).unlink()
    code, found = verify(copy, "--replay")
    assert code == 1
    assert any(one["what"] == "git object" and git.git("rev-parse", "HEAD~1") in one["where"] for one in found["misfits"])
    assert {one["what"] for one in found["misfits"]} <= {"git object", "release", "bundle", "members document"}
    assert any("can't be read" in one["why"] for one in found["unproven"] if one["what"] == "decision")
    assert found["proven"]["decision"] == 2
    assert found["proven"]["record"] == LAST


def test_a_note_that_somebody_removed_is_told_from_one_that_is_not_fetched_yet(copy: Copy) -> None:
    git = WorkingCopy(copy.repo)
    git.git("notes", "--ref", "ordain/decisions", "remove", "HEAD~1")
    missing = [one["why"] for one in verify(copy)[1]["unproven"] if one["what"] == "note"]
    git.git("notes", "--ref", "ordain/decisions", "remove", "HEAD")
    later = [one["why"] for one in verify(copy)[1]["unproven"] if one["what"] == "note"]
    assert ["removed" in why for why in missing] == [True]
    assert ["removed" in why for why in later] == [False, False]


def test_what_one_cause_makes_wrong_in_many_places_is_told_once() -> None:
    one = Misfit(what="judge", where="1.json", expected="judge a", found="judge b")
    told = "\n".join(_lines(Report(misfits=[replace(one, where=f"{number}.json") for number in range(1, 21)])))
    assert told.count("DOES NOT FIT") == 1
    assert "1.json and 19 more, to 20.json" in told
    assert "20 things that do not fit" in told


def test_a_proof_that_was_stopped_goes_on_where_it_was_and_one_that_ended_begins_anew(
    copy: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDAIN_OPA", str(find_opa(None)))
    monkeypatch.setenv("ORDAIN_CACHE", str(tmp_path / "cache"))
    evidence, opa = gather(repo=copy.repo, state=None, file=None, url=str(copy.store), keys=copy.keys), find_opa(None)

    def stop(said: str) -> None:
        """Do as somebody who presses Ctrl-C at the third of four decisions."""
        if said.startswith("deciding again: decision 3 "):
            raise KeyboardInterrupt

    begun = Proving(
        repository=evidence.place.git(),
        store=LocalStore(copy.store),
        decision_keys=evidence.decision_keys,
        release_keys=evidence.release_keys,
        opa=opa,
        known=_known(opa, ()),
    )
    with pytest.raises(KeyboardInterrupt):
        prove(begun, stop)
    done = CliRunner().invoke(cli, ["audit", "verify", *copy.options])
    assert "note: 2 decisions had been made again by a run that was stopped" in done.stderr
    assert "4 decisions" in done.stdout
    again = CliRunner().invoke(cli, ["audit", "verify", *copy.options])
    assert again.stderr == ""
    assert again.stdout == done.stdout


def edit(copy: Copy, key: str, change: Callable[[bytes], bytes]) -> None:
    """Change a file of the store."""
    place = copy.store / key
    place.write_bytes(change(place.read_bytes()))


def first(copy: Copy, pattern: str) -> str:
    """Return the key of the first file in the store that a pattern matches."""
    return next(str(one.relative_to(copy.store)) for one in sorted(copy.store.glob(pattern)))


def flipped(data: bytes) -> bytes:
    """Return bytes with one bit in their middle changed."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def a_changed_note(copy: Copy) -> str:
    head = WorkingCopy(copy.repo).git("rev-parse", "HEAD~2")
    git = WorkingCopy(copy.repo)
    note = git.git("notes", "--ref", "ordain/decisions", "show", head)
    git.git("notes", "--ref", "ordain/decisions", "add", "--force", "--message", note.replace("1 file refused", "0 files refused"), head)
    return head


def a_note_of_nothing(copy: Copy) -> str:
    git = WorkingCopy(copy.repo)
    git.git(
        "notes", "--ref", "ordain/decisions", "append", "--message", "ordain decision 9: accepted\nat x by ordain 1, OPA 1, judge y", "HEAD"
    )
    return git.git("rev-parse", "HEAD")


def a_changed_record(copy: Copy) -> str:
    edit(copy, record_key(2), flipped)
    return record_key(2)


def a_removed_record(copy: Copy) -> str:
    (copy.store / record_key(2)).unlink()
    return record_key(3)


def a_removed_last_record(copy: Copy) -> str:
    (copy.store / record_key(LAST)).unlink()
    return record_key(LAST)


def a_record_in_another_s_place(copy: Copy) -> str:
    shutil.copy(copy.store / record_key(1), copy.store / record_key(2))
    return record_key(2)


def accepted_state_that_is_changed(copy: Copy) -> str:
    edit(copy, accepted.KEY, flipped)
    return accepted.KEY


def a_changed_bundle(copy: Copy) -> str:
    key = first(copy, "approved/shop/web/bundles/*")
    edit(copy, key, flipped)
    return key


def a_removed_bundle(copy: Copy) -> str:
    key = first(copy, "approved/shop/db/bundles/*")
    for place in (copy.store / "approved/shop/db/bundles").iterdir():
        place.unlink()
    return key.rpartition("/")[0]


def changed_members(copy: Copy) -> str:
    key = "approved/shop/web/members/1.json"
    edit(copy, key, lambda data: data.replace(b"web-02", b"web-20"))
    return key


def a_changed_list_of_releases(copy: Copy) -> str:
    key = "approved/shop/web/1.releases.json"
    edit(copy, key, lambda data: data.replace(b'"decision":1', b'"decision":3'))
    return key


def changed_controls(copy: Copy) -> str:
    edit(copy, "approved/shop/controls.json", flipped)
    return "approved/shop/controls.json"


def a_changed_archive(copy: Copy) -> str:
    key = first(copy, "approved/_objects/*")
    edit(copy, key, flipped)
    return key


def a_removed_archive(copy: Copy) -> str:
    key = first(copy, "approved/_objects/*")
    (copy.store / key).unlink()
    return key


def a_changed_public_bundle(copy: Copy) -> str:
    key = first(copy, "public/shop/web/targets/bundles/*")
    edit(copy, key, flipped)
    return key


def a_public_file_that_nobody_approved(copy: Copy) -> str:
    data = b"made up"
    key = f"public/shop/web/targets/bundles/{codec.sha256(data)}.web-{'0' * 64}.tar.gz"
    (copy.store / key).write_bytes(data)
    return key


def a_changed_public_list_of_releases(copy: Copy) -> str:
    key = first(copy, "public/shop/web/metadata/*.releases.json")
    edit(copy, key, lambda data: data + b" ")
    return key


def damage(copy: Copy, oid: str) -> None:
    """Change a git object of the clone under its name."""
    place = copy.repo / ".git" / "objects" / oid[:2] / oid[2:]
    place.chmod(0o644)
    data = zlib.decompress(place.read_bytes())
    place.write_bytes(zlib.compress(flipped(data)))


def a_damaged_git_object(copy: Copy) -> str:
    git = WorkingCopy(copy.repo)
    damage(copy, git.git("rev-parse", "HEAD^{tree}"))
    return git.git("rev-parse", "HEAD")


TAMPERED: dict[str, tuple[Callable[[Copy], str], str]] = {
    "note": (a_changed_note, "note"),
    "note of nothing": (a_note_of_nothing, "note"),
    "record": (a_changed_record, "record"),
    "removed record": (a_removed_record, "record"),
    "removed last record": (a_removed_last_record, "record"),
    "record in another's place": (a_record_in_another_s_place, "record"),
    "accepted state": (accepted_state_that_is_changed, "accepted state"),
    "bundle": (a_changed_bundle, "bundle"),
    "removed bundle": (a_removed_bundle, "bundle"),
    "members": (changed_members, "members document"),
    "list of releases": (a_changed_list_of_releases, "release list"),
    "controls": (changed_controls, "controls"),
    "archive": (a_changed_archive, "object archive"),
    "removed archive": (a_removed_archive, "object archive"),
    "public bundle": (a_changed_public_bundle, "public copy"),
    "public file of nobody": (a_public_file_that_nobody_approved, "public copy"),
    "public list": (a_changed_public_list_of_releases, "public copy"),
    "git object": (a_damaged_git_object, "git object"),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_what_was_tampered_with_is_named_and_nothing_else_is(copy: Copy, case: str) -> None:
    tamper, what = TAMPERED[case]
    where = tamper(copy)
    code, found = verify(copy)
    assert code == 1
    assert {one["what"] for one in found["misfits"]} == {what}
    assert any(where in one["where"] for one in found["misfits"])
    assert all(one["expected"] != one["found"] for one in found["misfits"])
    assert found["proven"]["public copy"] > 5


def rewrite(made: Made, copy: Copy, **more: Any) -> None:
    """Write the last record anew, and the accepted state to it, as somebody who has the repository key can."""
    signer = repository_signing(settings.Settings(state=made.state).ring("pipeline")).signer
    store = LocalStore(copy.store)
    stored = accepted.read(store, signer.public_key)
    assert stored is not None
    changed = msgspec.structs.replace(last_record(store, signer), **more)
    (copy.store / record_key(LAST)).write_bytes(envelope.sign(encode_record(changed), PAYLOAD_TYPE, [signer]))
    state = msgspec.structs.replace(stored.state, record=record_digest(encode_record(changed)))
    (copy.store / accepted.KEY).write_bytes(envelope.sign(codec.canonical(state), accepted.PAYLOAD_TYPE, [signer]))


def last_record(store: LocalStore, signer: Signer) -> DecisionRecord:
    data = store.get(record_key(LAST)) or b""
    return decode_record(envelope.verify(data, PAYLOAD_TYPE, [signer.public_key], what="the last record"))


def test_whoever_has_the_key_can_not_leave_out_a_refusal_a_commit_or_a_release(made: Made, copy: Copy) -> None:
    rewrite(made, copy, refused={MOTD: "made up"}, commits=[], releases=[])
    code, found = verify(copy, "--replay")
    assert code == 1
    assert {one["what"] for one in found["misfits"]} == {"note", "refused files", "commits", "releases"}


def test_whoever_has_the_key_can_not_let_another_tree_in(made: Made, copy: Copy) -> None:
    other = WorkingCopy(copy.repo).git("rev-parse", "HEAD~3^{tree}")
    rewrite(made, copy, tree=other)
    _, found = verify(copy)
    assert "accepted tree" in {one["what"] for one in found["misfits"]}


def test_whoever_has_the_releases_key_can_not_make_up_a_bundle(made: Made, copy: Copy) -> None:
    ring, store = settings.Settings(state=made.state).ring("pipeline"), LocalStore(copy.store)
    data, digest = bundle_of("made up")
    approve_release(
        store,
        releases_signing(store, ring, "shop").signer,
        tenant="shop",
        fleet="web",
        data=data,
        digest=digest,
        pools={},
        agents={"web-01": Member(group="all")},
        commit=WorkingCopy(copy.repo).git("rev-parse", "HEAD"),
        decision=LAST,
        freshness_seconds=86_400,
        now=made.now,
    )
    _, found = verify(copy)
    assert {one["what"] for one in found["misfits"]} == {"bundle", "members document"}
    assert any(one["where"].endswith(bundle.target("web", digest)) and digest in one["found"] for one in found["misfits"])


def test_a_part_of_a_store_proves_that_part_and_says_what_is_missing(copy: Copy) -> None:
    for part in ("approved/accepted.json", "approved/_objects", "public"):
        place = copy.store / part
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    code, found = verify(copy)
    assert (code, found["misfits"]) == (0, [])
    assert {one["what"] for one in found["unproven"]} == {"accepted state", "verdicts"}
    assert found["proven"]["bundle"] == 5


def test_without_commits_nothing_is_said_of_them_that_the_store_does_not_prove(copy: Copy, tmp_path: Path) -> None:
    empty = WorkingCopy.make(tmp_path / "empty")
    code, found = verify(Copy(empty.path, copy.store, copy.keys))
    assert (code, found["misfits"]) == (0, [])
    assert {one["what"] for one in found["unproven"]} == {"notes", "verdicts", "accepted tree"}
    assert found["proven"]["bundle"] == 5


def test_keys_of_somebody_else_prove_nothing(copy: Copy) -> None:
    keys = json.loads(copy.keys.read_text())
    keys["keys"]["repository"] = keys["keys"]["shop/releases"]
    copy.keys.write_text(json.dumps(keys))
    code, found = verify(copy)
    assert code == 1
    assert {one["what"] for one in found["misfits"]} == {"record", "accepted state"}
    assert found["proven"] == {}


def test_a_store_without_keys_is_wrong_usage(copy: Copy) -> None:
    for options, said in ((copy.options[:4], "--store needs --keys"), (copy.options[:2], "nothing to prove it by")):
        done = CliRunner().invoke(cli, ["audit", "verify", *options])
        assert isinstance(done.exception, InputError)
        assert said in str(done.exception)
