"""`ordain signers`: the manifests that it writes let their owner in, and what is in force is looked at again."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agent.protocol.errors import InputError
from reconciler.cli.signers import signers
from tests.acceptance_cases import REPOSITORY, component, repository
from tests.signing_cases import REQUIRED, Person, refused, reviewed, with_gpg, with_ssh
from tests.source_cases import WorkingCopy

pytestmark = pytest.mark.needs("git", "ssh-keygen", "gpg")
MOTD = "tenants/shop/components/motd.yaml"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(signers, [str(one) for one in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="module")
def ana(keys: Path) -> Person:
    return with_ssh("ana", keys)


@pytest.fixture(scope="module")
def cy(keys: Path) -> Person:
    return with_gpg("cy", keys)


@pytest.fixture
def copy(tmp_path: Path, keys: Path, ana: Person, cy: Person) -> WorkingCopy:
    """A repository whose signers the command wrote: ana, a policy owner, by SSH, and cy of the shop by OpenPGP."""
    copy = WorkingCopy.make(tmp_path / "fleets")
    copy.commit("before signatures", {**repository(), "ordain.yaml": REPOSITORY})
    exported = keys / "cy.asc"
    exported.write_text("\n".join(line.strip() for line in cy.key.removeprefix("gpg: |\n").splitlines()) + "\n")
    added = run("add", "ana", copy.path, "--ssh-key", keys / "ana.key.pub", "--policy-owner")
    assert added.output.strip() == str(copy.path / "signers/ana.yaml")
    run("add", "cy", copy.path, "--tenant", "shop", "--gpg-key", exported, "--paths", "tenants/shop/**", "--until", "2099-01-01")
    ana.commit(copy, "signatures on", {"ordain.yaml": REQUIRED})
    copy.git("branch", "base")
    return copy


def test_manifests_that_are_written_let_their_owners_in_and_are_listed(copy: WorkingCopy, cy: Person) -> None:
    cy.commit(copy, "fine", {MOTD: component("motd", "/etc/motd", "cy's")})
    assert refused(reviewed(copy, "base")) == {}
    found = json.loads(run("list", copy.path, "--format", "json").output)
    assert found["required"]
    assert [(one["name"], one["policyOwner"]) for one in found["signers"]] == [("ana", True), ("shop/cy", False)]
    text = run("list", copy.path).output
    assert "ana: policy owner, may touch everything\n  ssh SHA256:" in text
    assert "shop/cy: person, may touch tenants/shop/**\n  gpg " in text
    assert "until 2099-01-01T00:00:00Z" in text


def test_a_private_key_or_a_second_signer_of_a_name_is_not_written(copy: WorkingCopy, keys: Path) -> None:
    with pytest.raises(InputError, match="not a public key"):
        run("add", "bob", copy.path, "--ssh-key", keys / "ana.key", "--policy-owner")
    with pytest.raises(InputError, match="is there already"):
        run("add", "ana", copy.path, "--ssh-key", keys / "ana.key.pub", "--policy-owner")
    with pytest.raises(InputError, match="--paths or --policy-owner is missing"):
        run("add", "bob", copy.path, "--ssh-key", keys / "ana.key.pub")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--tenant", "shop", "--paths", "tenants/other/**"), "reaches nothing, since a signer of a tenant may touch tenants/shop/ alone"),
        (("--tenant", "shop", "--paths", "tenants/shop"), "reaches nothing"),
        (("--tenant", "shpo", "--paths", "**"), r"no such tenant; did you mean shop\?"),
        (("--policy-owner", "--until", "yesterday"), "--until yesterday: write a day or an instant in UTC"),
        (("--policy-owner", "--until", "2027-02-30"), "--until 2027-02-30: write a day"),
    ],
)
def test_what_would_let_nobody_in_is_not_written(copy: WorkingCopy, keys: Path, arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        run("add", "bob", copy.path, "--ssh-key", keys / "ana.key.pub", *arguments)
    with pytest.raises(InputError, match="--ssh-key or --gpg-key is missing"):
        run("add", "bob", copy.path, "--policy-owner")
    for reaching in ("**", "tenants/*/components/**", "tenants/shop/notes.txt"):
        assert run("add", "bob", copy.path, "--ssh-key", keys / "ana.key.pub", "--tenant", "shop", "--paths", reaching, "--stdout").output


def test_a_range_is_looked_at_commit_by_commit(copy: WorkingCopy, cy: Person) -> None:
    signed = cy.commit(copy, "fine", {MOTD: component("motd", "/etc/motd", "cy's")})
    unsigned = copy.commit("unsigned", {"tenants/shop/notes.txt": "noted\n"})
    done = run("check", "HEAD", copy.path, "--base", "base", "--format", "json")
    assert done.exit_code == 1
    rows = json.loads(done.output)["commits"]
    assert [(one["commit"], one["signer"], sorted(one["refused"])) for one in rows] == [
        (signed, "shop/cy", []),
        (unsigned, None, ["tenants/shop/notes.txt"]),
    ]


def test_what_a_removed_signer_left_in_force_is_shown(copy: WorkingCopy, ana: Person, cy: Person) -> None:
    left = cy.commit(copy, "cy's work", {MOTD: component("motd", "/etc/motd", "cy's")})
    ana.commit(copy, "cy leaves", {"tenants/shop/signers/cy.yaml": None})
    rows = json.loads(run("check", "HEAD", copy.path, "--format", "json").output)["commits"]
    assert {one["commit"]: list(one["refused"]) for one in rows}[left] == [MOTD]
    text = run("check", "HEAD", copy.path).output
    assert f"{left[:12]}  not signed by anybody who counts  {MOTD}\n  refused: {MOTD}: commit {left[:12]}" in text
    ana.commit(copy, "vouched for", {MOTD: component("motd", "/etc/motd", "again")})
    assert left not in {one["commit"] for one in json.loads(run("check", "HEAD", copy.path, "--format", "json").output)["commits"]}


def test_what_came_before_signatures_is_counted_and_not_held_against_anybody(copy: WorkingCopy, cy: Person) -> None:
    on = copy.git("rev-parse", "base")
    fine = cy.commit(copy, "fine", {MOTD: component("motd", "/etc/motd", "cy's")})
    done = run("check", "HEAD", copy.path, "--format", "json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["since"], [one["commit"] for one in found["commits"]]) == (0, {"commit": on, "earlier": 2}, [fine])
    assert f"commit {on[:12]} turned signatures on: it and 1 earlier commit were not looked at" in run("check", "HEAD", copy.path).stderr
    off = copy.commit("off", {"ordain.yaml": REPOSITORY})
    with pytest.raises(InputError, match="signatures are off at HEAD"):
        run("check", "HEAD", copy.path)
    copy.commit("on again", {"ordain.yaml": REQUIRED})
    done = run("check", "HEAD", copy.path, "--format", "json")
    assert (done.exit_code, json.loads(done.stdout)["since"]["commit"]) == (1, on), f"{off} hides nothing"


def test_a_commit_that_touches_nothing_is_said_to(copy: WorkingCopy) -> None:
    empty = copy.git("commit-tree", "-p", "HEAD", "-m", "empty", "HEAD^{tree}")
    done = run("check", empty, copy.path, "--base", "base")
    assert (done.exit_code, done.output) == (0, f"{empty[:12]}  not signed by anybody who counts, and it touches nothing\n")
