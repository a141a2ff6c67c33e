"""Who may change what: real git histories, signed by real ssh-keygen and gpg, and which files of them are refused."""

import shutil
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.pipeline.manifests import Layout
from reconciler.pipeline.signatures import review as review_module
from reconciler.pipeline.signatures.signers import principal
from reconciler.pipeline.signatures.verifier import Verifier
from tests.acceptance_cases import REPOSITORY, component, repository
from tests.signing_cases import (
    CO_SIGNED,
    NOW,
    REQUIRED,
    Person,
    documents,
    owner,
    refused,
    reviewed,
    signer,
    with_gpg,
    with_ssh,
    within,
)
from tests.source_cases import WorkingCopy

pytestmark = pytest.mark.needs("git", "ssh-keygen", "gpg")
MOTD, ISSUE, BASE = "tenants/shop/components/motd.yaml", "tenants/lab/components/issue.yaml", "library/base.yaml"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="module")
def ana(keys: Path) -> Person:
    """The policy owner, by SSH."""
    return with_ssh("ana", keys)


@pytest.fixture(scope="module")
def bob(keys: Path) -> Person:
    """Somebody of tenant shop, by SSH."""
    return with_ssh("bob", keys)


@pytest.fixture(scope="module")
def cy(keys: Path) -> Person:
    """A second policy owner, by OpenPGP."""
    return with_gpg("cy", keys)


@pytest.fixture(scope="module")
def mallory(keys: Path) -> Person:
    """Somebody whom no manifest names."""
    return with_ssh("mallory", keys)


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    made = Verifier()
    yield made
    made.close()


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, ana: Person, bob: Person, cy: Person) -> Path:
    copy = WorkingCopy.make(tmp_path_factory.mktemp("begun") / "fleets")
    ana.commit(copy, "begin", {**repository(), **people(ana, bob, cy), "ordain.yaml": REQUIRED})
    copy.git("branch", "base")
    return copy.path


@pytest.fixture
def copy(tmp_path: Path, begun: Path) -> WorkingCopy:
    return WorkingCopy(shutil.copytree(begun, tmp_path / "fleets", symlinks=True))


def people(ana: Person, bob: Person, cy: Person) -> dict[str, str | None]:
    return {
        "signers/ana.yaml": owner(ana),
        "signers/cy.yaml": owner(cy),
        "tenants/shop/signers/bob.yaml": within(bob, "tenants/shop/**", tenant="shop"),
    }


def motd(text: str) -> dict[str, str | None]:
    return {MOTD: component("motd", "/etc/motd", text)}


def test_a_commit_by_somebody_who_may_is_let_in_and_named(copy: WorkingCopy, bob: Person, cy: Person) -> None:
    first, second = bob.commit(copy, "one", motd("one")), cy.commit(copy, "two", motd("two"))
    found = reviewed(copy, "base")
    assert refused(found) == {}
    assert found.signers == {first: "shop/bob", second: "cy"}


def test_an_unsigned_commit_and_one_by_a_stranger_are_refused_file_by_file(copy: WorkingCopy, bob: Person, mallory: Person) -> None:
    copy.commit("unsigned", motd("mine"))
    mallory.commit(copy, "strange", {ISSUE: component("issue", "/etc/issue", "mine", owner="lab")})
    bob.commit(copy, "fine", {"tenants/shop/components/backup.yaml": component("backup", "/etc/backup.conf", "two")})
    found = reviewed(copy, "base")
    assert refused(found) == {MOTD: "unsigned", ISSUE: "unverified"}
    assert "is by a key that no signer states (SHA256:" in {one.place.file: one.message for one in found.findings}[ISSUE]


def test_a_signature_over_something_else_is_none(copy: WorkingCopy, bob: Person) -> None:
    signed = bob.commit(copy, "fine", motd("one"))
    raw = copy.git("cat-file", "commit", signed).replace("fine", "evil") + "\n"
    copy.git("reset", "--quiet", "--hard", copy.object("commit", raw.encode(errors="surrogateescape")))
    found = reviewed(copy, "base")
    assert refused(found) == {MOTD: "unverified"}
    assert "does not fit the commit" in found.findings[0].message


def test_openpgp_signatures_are_held_to_the_commit_too(copy: WorkingCopy, cy: Person) -> None:
    signed = cy.commit(copy, "fine", motd("one"))
    raw = copy.git("cat-file", "commit", signed).replace("fine", "evil") + "\n"
    copy.git("reset", "--quiet", "--hard", copy.object("commit", raw.encode(errors="surrogateescape")))
    assert refused(reviewed(copy, "base")) == {MOTD: "unverified"}


def test_nobody_reaches_beyond_the_own_tenant_and_paths(copy: WorkingCopy, bob: Person) -> None:
    other = {ISSUE: component("issue", "/etc/issue", "mine", owner="lab"), "README.md": "read me\n"}
    bob.commit(copy, "far", {**other, **motd("fine")})
    assert refused(reviewed(copy, "base")) == {ISSUE: "not-allowed", "README.md": "not-allowed"}


def test_a_grant_of_kinds_counts_for_what_a_file_held_and_holds(copy: WorkingCopy, ana: Person, mallory: Person) -> None:
    who = {"tenants/shop/signers/mallory.yaml": within(mallory, "tenants/shop/**", kinds="Component", tenant="shop")}
    ana.commit(copy, "let in", dict(who))
    copy.git("branch", "let-in")
    fleet = "tenants/shop/fleets/web.yaml"
    mallory.commit(copy, "mixed", {**motd("fine"), fleet: component("web", "/etc/web"), "tenants/shop/fleets/db.yaml": None})
    mallory.commit(copy, "broken", {"tenants/shop/agents/web-01.yaml": "{"})
    found = refused(reviewed(copy, "let-in"))
    assert found == dict.fromkeys((fleet, "tenants/shop/fleets/db.yaml", "tenants/shop/agents/web-01.yaml"), "not-allowed")


def test_an_unsigned_commit_hidden_under_a_signed_merge_is_found(copy: WorkingCopy, ana: Person, bob: Person) -> None:
    # base ── B (bob) ───────────── M (ana)
    #    └─── S (bob) ── U (nobody) ──┘
    copy.git("checkout", "--quiet", "-b", "side")
    bob.commit(copy, "S", {"tenants/shop/components/backup.yaml": component("backup", "/etc/backup.conf", "two")})
    copy.commit("U", motd("hidden"))
    copy.git("checkout", "--quiet", "main")
    bob.commit(copy, "B", {"tenants/shop/notes.txt": "noted\n"})
    ana.merge(copy, "side")
    assert refused(reviewed(copy, "base")) == {MOTD: "unsigned"}


def test_a_merge_that_changes_something_itself_needs_a_signer_for_that(copy: WorkingCopy, ana: Person, bob: Person) -> None:
    # base ── A (ana) ── M (bob), with an edit of the library in M
    #    └─── S (bob) ───┘
    copy.git("checkout", "--quiet", "-b", "side")
    bob.commit(copy, "S", motd("side"))
    copy.git("checkout", "--quiet", "main")
    ana.commit(copy, "A", {ISSUE: component("issue", "/etc/issue", "ana's", owner="lab")})
    copy.git("merge", "--quiet", "--no-commit", "--no-ff", "side")
    bob.commit(copy, "M", {BASE: component("base", "/etc/base", owner="").replace(", tenant: ", "")})
    assert refused(reviewed(copy, "base")) == {BASE: "not-allowed"}


def test_a_merge_that_only_brings_together_needs_no_right_to_what_it_brings(copy: WorkingCopy, ana: Person, bob: Person) -> None:
    copy.git("checkout", "--quiet", "-b", "side")
    ana.commit(copy, "A", {ISSUE: component("issue", "/etc/issue", "ana's", owner="lab")})
    copy.git("checkout", "--quiet", "main")
    bob.commit(copy, "B", motd("fine"))
    bob.merge(copy, "side")
    assert refused(reviewed(copy, "base")) == {}


def test_a_conflict_is_settled_by_somebody_who_may_touch_the_file(copy: WorkingCopy, ana: Person, bob: Person) -> None:
    copy.git("checkout", "--quiet", "-b", "side")
    ana.commit(copy, "one", {ISSUE: component("issue", "/etc/issue", "one", owner="lab")})
    copy.git("checkout", "--quiet", "main")
    ana.commit(copy, "two", {ISSUE: component("issue", "/etc/issue", "two", owner="lab")})
    copy.git("merge", "--quiet", "--no-ff", "--no-commit", "--strategy-option=theirs", "side")
    bob.commit(copy, "settled", {})
    assert refused(reviewed(copy, "base")) == {ISSUE: "not-allowed"}


def test_a_forge_may_merge_and_may_not_squash(copy: WorkingCopy, ana: Person, bob: Person, mallory: Person) -> None:
    # base ── F (forge merges side) ── Q (forge squashes other)
    ana.commit(copy, "forge", {"signers/forge.yaml": signer(mallory, "role: forge", name="forge")})
    copy.git("branch", "with-forge")
    copy.git("checkout", "--quiet", "-b", "side")
    bob.commit(copy, "S", motd("side"))
    copy.git("checkout", "--quiet", "main")
    mallory.merge(copy, "side")
    assert refused(reviewed(copy, "with-forge")) == {}
    mallory.commit(copy, "squash", motd("squashed"))
    assert refused(reviewed(copy, "with-forge")) == {MOTD: "not-allowed"}


def test_an_unsigned_merge_lets_nothing_in_that_it_brings(copy: WorkingCopy, bob: Person) -> None:
    copy.git("checkout", "--quiet", "-b", "side")
    bob.commit(copy, "S", motd("never meant for main"))
    copy.git("checkout", "--quiet", "main")
    copy.git("merge", "--quiet", "--no-ff", "-m", "merge", "side")
    assert refused(reviewed(copy, "base")) == {MOTD: "unsigned"}


def test_a_later_signature_does_not_vouch_for_what_is_under_it(copy: WorkingCopy, bob: Person) -> None:
    # base ── U (nobody) ── B (bob, the same file) ── R (bob: as accepted) ── D (bob: done again)
    copy.commit("U", motd("evil"))
    bob.commit(copy, "B", motd("evil and one line more"))
    found = reviewed(copy, "base")
    assert refused(found) == {MOTD: "unsigned"}
    copy.git("branch", "examined")
    bob.commit(copy, "C", motd("evil and two lines more"))
    bob.git(copy, "mv", MOTD, MOTD.replace("motd", "renamed"))
    bob.commit(copy, "renamed", {})
    later = reviewed(copy, "examined", accepted="base", known=dict(found.doubts))
    assert refused(later) == {MOTD: "unsigned", MOTD.replace("motd", "renamed"): "unsigned"}
    bob.git(copy, "mv", MOTD.replace("motd", "renamed"), MOTD)
    bob.commit(copy, "R", dict(motd("hello")))
    assert refused(reviewed(copy, "examined", accepted="base", known=dict(found.doubts))) == {}
    bob.commit(copy, "D", motd("evil and one line more"))
    assert refused(reviewed(copy, "examined", accepted="base", known=dict(found.doubts))) == {}


def test_a_merge_takes_a_file_from_the_side_without_doubt(copy: WorkingCopy, bob: Person) -> None:
    # base ── U (nobody) ── M (bob, with his own file as it is on his side)
    #    └─── S (bob) ──────┘
    copy.git("checkout", "--quiet", "-b", "side")
    bob.commit(copy, "S", motd("bob's own"))
    copy.git("checkout", "--quiet", "main")
    copy.commit("U", motd("evil"))
    bob.git(copy, "merge", "--quiet", "--no-ff", "--gpg-sign", "-m", "M", "--strategy-option=theirs", "side")
    assert refused(reviewed(copy, "base")) == {}


def test_the_time_that_counts_is_that_of_the_decision(copy: WorkingCopy, ana: Person, mallory: Person) -> None:
    who = within(mallory, "tenants/shop/**", tenant="shop", more="from: 2026-11-22T00:00:00Z\n      until: 2026-12-01T00:00:00Z")
    ana.commit(copy, "let in", {"tenants/shop/signers/mallory.yaml": who})
    copy.git("branch", "let-in")
    mallory.commit(copy, "in time", motd("mine"))
    assert refused(reviewed(copy, "let-in")) == {}
    late = reviewed(copy, "let-in", now=NOW + timedelta(days=30))
    assert refused(late) == {MOTD: "unverified"}
    assert "signed it with a key that ended at 2026-12-01" in late.findings[0].message
    assert refused(reviewed(copy, "let-in", now=NOW - timedelta(days=1))) == {MOTD: "unverified"}


def test_what_a_signer_who_was_removed_did_stays_and_nothing_new_comes(copy: WorkingCopy, ana: Person, bob: Person) -> None:
    bob.commit(copy, "published", motd("published"))
    ana.commit(copy, "bob leaves", {"tenants/shop/signers/bob.yaml": None})
    assert refused(reviewed(copy, "base")) == {}
    copy.git("branch", "left")
    bob.commit(copy, "too late", {"tenants/shop/components/backup.yaml": component("backup", "/etc/backup.conf", "late")})
    assert refused(reviewed(copy, "left")) == {"tenants/shop/components/backup.yaml": "unverified"}


def test_a_range_is_judged_by_the_signers_before_it(copy: WorkingCopy, mallory: Person) -> None:
    mallory.commit(copy, "me too", {"tenants/shop/signers/mallory.yaml": within(mallory, "tenants/shop/**", tenant="shop")})
    mallory.commit(copy, "and now", motd("mine"))
    assert refused(reviewed(copy, "base")) == {"tenants/shop/signers/mallory.yaml": "unverified", MOTD: "unverified"}


def test_only_policy_owners_change_what_judges(copy: WorkingCopy, ana: Person, mallory: Person) -> None:
    ana.commit(copy, "much", {"signers/mallory.yaml": within(mallory, '"**"')})
    copy.git("branch", "much")
    files: dict[str, str | None] = {
        "ordain.yaml": REPOSITORY,
        "policies/x/y.rego": "package x\n",
        "signers/ana.yaml": None,
        "Policies/z.rego": "package z\n",
        "tenants/shop/signers/bob.yaml": None,
        "library/fine.txt": "fine\n",
    }
    mallory.commit(copy, "loosen", files)
    found = refused(reviewed(copy, "much"))
    judge = dict.fromkeys(("ordain.yaml", "policies/x/y.rego", "signers/ana.yaml"), "judge")
    assert found == {**judge, "Policies/z.rego": "not-allowed", "tenants/shop/signers/bob.yaml": "not-allowed"}
    ana.commit(copy, "the owner may", {"policies/a/b.rego": "package a\n"})
    assert "policies/a/b.rego" not in refused(reviewed(copy, "much"))


def test_nobody_gives_away_more_than_they_have(copy: WorkingCopy, ana: Person, bob: Person, mallory: Person) -> None:
    grants = "may:\n  - {paths: [tenants/shop/**]}\n  - {paths: [tenants/shop/signers/**], kinds: [Signer]}"
    peer = within(mallory, "tenants/shop/components/**", tenant="shop")
    excuser = signer(mallory, "may:\n  - {paths: [tenants/shop/**], kinds: [Waiver]}", tenant="shop", name="excuser")
    ana.commit(
        copy, "lead", {"tenants/shop/signers/bob.yaml": signer(bob, grants, tenant="shop"), "tenants/shop/signers/excuser.yaml": excuser}
    )
    copy.git("branch", "lead")
    other = within(mallory, "tenants/lab/**", tenant="lab")
    higher = signer(mallory, "may:\n  - {paths: [tenants/shop/**], kinds: [Waiver, Signer]}", tenant="shop", name="higher")
    bob.commit(
        copy,
        "friends",
        {
            "tenants/shop/signers/peer.yaml": peer,
            "tenants/shop/signers/higher.yaml": higher,
            "tenants/shop/signers/excuser.yaml": excuser.replace(mallory.key, bob.key),
            "tenants/lab/signers/other.yaml": other,
        },
    )
    assert refused(reviewed(copy, "lead")) == {
        "tenants/shop/signers/higher.yaml": "signer",
        "tenants/shop/signers/excuser.yaml": "signer",
        "tenants/lab/signers/other.yaml": "not-allowed",
    }


def test_what_two_must_sign_is_merged_by_another_than_its_author(copy: WorkingCopy, ana: Person, bob: Person, cy: Person) -> None:
    # base ── P (ana, alone)            refused
    # base ── M (cy) brings P (ana)     let in
    # base ── M (bob) brings P (ana)    refused: bob may not touch policies
    ana.commit(copy, "two of us", {"ordain.yaml": CO_SIGNED})
    copy.git("branch", "two")
    rule = "policies/x/y.rego"
    ana.commit(copy, "P", {rule: "package x\n"})
    assert refused(reviewed(copy, "two")) == {rule: "co-signer"}
    copy.git("checkout", "--quiet", "-B", "side")
    for who, outcome in ((cy, {}), (bob, {rule: "co-signer"}), (ana, {rule: "co-signer"})):
        copy.git("checkout", "--quiet", "-B", "main", "two")
        who.merge(copy, "side")
        assert refused(reviewed(copy, "two")) == outcome


def test_the_first_import_is_signed_by_somebody_whom_the_settings_pin(tmp_path: Path, ana: Person, bob: Person, cy: Person) -> None:
    copy = WorkingCopy.make(tmp_path / "fleets")
    copy.commit("unsigned past", {**repository()})
    pinned = documents(owner(cy))
    ana.commit(copy, "begin", {**people(ana, bob, cy), "ordain.yaml": REQUIRED})
    assert set(refused(reviewed(copy, None, pinned=pinned)).values()) == {"unverified"}
    cy.commit(copy, "vouched for", {})
    assert refused(reviewed(copy, None, pinned=pinned)) == {}
    assert not reviewed(copy, None).required


def test_paths_that_mean_another_place_to_somebody_are_nobodys(bob: Person) -> None:
    may = principal(documents(within(bob, "tenants/shop/**", tenant="shop"))[0]).may
    assert may("tenants/shop/x.txt", frozenset(), [Layout()])
    for path in (
        "tenants/shop/../../policies/x.rego",
        "tenants/shop//x",
        "tenants/shop/.git/config",
        "tenants/shop/./x",
        "tenants/shopping/x",
    ):
        assert not may(path, frozenset(), [Layout()])


def test_what_was_verified_once_is_not_verified_again(copy: WorkingCopy, bob: Person, verifier: Verifier) -> None:
    bob.commit(copy, "one", motd("one"))
    reviewed(copy, "base", verifier=verifier)
    asked = verifier.asked
    assert asked > 0
    reviewed(copy, "base", verifier=verifier)
    assert verifier.asked == asked


def test_a_signer_that_lies_where_it_may_not_lets_nobody_in(copy: WorkingCopy, ana: Person, mallory: Person) -> None:
    ana.commit(copy, "misplaced", {"library/mallory.yaml": owner(mallory), "tenants/shop/mallory.yaml": owner(mallory)})
    copy.git("branch", "misplaced")
    mallory.commit(copy, "mine", motd("mine"))
    assert refused(reviewed(copy, "misplaced")) == {MOTD: "unverified"}


@pytest.mark.parametrize("limit", ["RANGE_LIMIT", "TOUCHED_LIMIT"])
def test_a_range_that_is_too_long_lets_nothing_in(limit: str, copy: WorkingCopy, bob: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review_module, limit, 1)
    bob.commit(copy, "one", motd("one"))
    assert refused(reviewed(copy, "base")) == {}
    bob.commit(copy, "two", {"tenants/shop/notes.txt": "noted\n"})
    found = reviewed(copy, "base")
    assert refused(found) == {MOTD: "too-many", "tenants/shop/notes.txt": "too-many"}
    assert found.findings[0].message.startswith("more than 1 c")


@pytest.mark.parametrize(
    "header",
    [
        "gpgsig garbage",
        "gpgsig -----BEGIN SSH SIGNATURE-----\n AAAA\n -----END SSH SIGNATURE-----",
        "gpgsig -----BEGIN PGP SIGNATURE-----\n \n AAAA\n -----END PGP SIGNATURE-----",
        "gpgsig -----BEGIN SIGNED MESSAGE-----\n AAAA",
        "gpgsig-sha256 -----BEGIN SSH SIGNATURE-----\n AAAA",
        "gpgsig " + "A" * 70_000,
    ],
)
def test_what_only_looks_like_a_signature_is_none(header: str, copy: WorkingCopy, bob: Person) -> None:
    bob.commit(copy, "fine", motd("one"))
    unsigned = copy.git("commit-tree", "HEAD^{tree}", "-p", "base", "-m", "odd")
    raw = copy.git("cat-file", "commit", unsigned).replace("\n\n", f"\n{header}\n\n", 1) + "\n"
    copy.git("reset", "--quiet", "--hard", copy.object("commit", raw.encode(errors="surrogateescape")))
    assert refused(reviewed(copy, "base")) == {MOTD: "unverified"}


def test_a_commit_that_is_signed_twice_is_none(copy: WorkingCopy, bob: Person) -> None:
    raw = copy.git("cat-file", "commit", bob.commit(copy, "fine", motd("one"))) + "\n"
    start = raw.index("gpgsig ")
    signature = raw[start : raw.index("-----END SSH SIGNATURE-----")] + "-----END SSH SIGNATURE-----\n"
    twice = raw[:start] + signature + raw[start:]
    copy.git("reset", "--quiet", "--hard", copy.object("commit", twice.encode()))
    assert refused(reviewed(copy, "base")) == {MOTD: "unverified"}
    assert "more than one signature" in reviewed(copy, "base").findings[0].message


@pytest.mark.parametrize(("purpose", "outcome"), [("git", {}), ("file", {MOTD: "unverified"})])
def test_a_signature_for_another_purpose_is_none(purpose: str, outcome: dict[str, str], copy: WorkingCopy, bob: Person, keys: Path) -> None:
    raw = copy.git("cat-file", "commit", copy.commit("fine", motd("one"))) + "\n"
    key = keys / f"{bob.name}.key"
    sign = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", purpose]
    armour = subprocess.run(sign, check=True, capture_output=True, input=raw.encode()).stdout.decode().strip().replace("\n", "\n ")
    signed = raw.replace("\n\n", f"\ngpgsig {armour}\n\n", 1)
    copy.git("reset", "--quiet", "--hard", copy.object("commit", signed.encode()))
    assert refused(reviewed(copy, "base")) == outcome


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"expires": "1d"}, "is made with a key that has expired"),
        ({"revoked": True}, "is made with a key that was revoked"),
        ({"expires": "30d"}, ""),
    ],
)
def test_an_openpgp_key_that_expired_or_was_revoked_counts_for_nothing(
    options: dict[str, Any], said: str, copy: WorkingCopy, ana: Person, tmp_path: Path
) -> None:
    dee = with_gpg("dee", tmp_path, **options)
    ana.commit(copy, "dee", {"tenants/shop/signers/dee.yaml": within(dee, "tenants/shop/**", tenant="shop")})
    copy.git("branch", "dee")
    dee.commit(copy, "one", motd("one"))
    found = reviewed(copy, "dee")
    assert bool(found.findings) is bool(said)
    assert [said in one.message for one in found.findings] == [True] * bool(said), found.findings[0].message


def test_a_merge_that_a_forge_makes_to_try_it_counts_for_what_it_changes_itself(copy: WorkingCopy, bob: Person) -> None:
    copy.git("checkout", "--quiet", "-b", "side")
    bob.commit(copy, "S", motd("side"))
    copy.git("checkout", "--quiet", "main")
    copy.git("merge", "--quiet", "--no-ff", "-m", "try", "side")
    tried = reviewed(copy, "base", trial=True)
    assert tried.trial
    assert refused(tried) == {}
    copy.commit("more", {"tenants/shop/notes.txt": "noted\n"}, options=("-c", "user.name=forge"))
    copy.git("reset", "--quiet", "--soft", "HEAD~1")
    copy.git("commit", "--quiet", "--amend", "--no-edit")
    assert refused(reviewed(copy, "base", trial=True)) == {"tenants/shop/notes.txt": "unsigned"}
    copy.git("commit", "--quiet", "--allow-empty", "-m", "on top")
    assert refused(reviewed(copy, "base", trial=True)) == {MOTD: "unsigned", "tenants/shop/notes.txt": "unsigned"}
