"""Signatures in the reconciler's own loop: what is held back stays so over restarts, and nobody loosens the judge of a change."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.cli import cli
from reconciler.pipeline.audit import note_text
from tests.acceptance_cases import REPOSITORY, component, repository
from tests.host_cases import Host, made
from tests.signing_cases import REQUIRED, Person, owner, signer, with_ssh, within

pytestmark = pytest.mark.needs("opa", "git", "ssh-keygen")
MOTD, BACKUP = "tenants/shop/components/motd.yaml", "tenants/shop/components/backup.yaml"
WRITABLE = component("motd", "/etc/motd", mode="0666")
RULE = "host-safety/world-writable"


@dataclass
class Team(Host):
    """A host with the people who push to it."""

    ana: Person
    bob: Person

    def begin(self) -> None:
        """Let the first import in."""
        files = {**repository(), "ordain.yaml": REQUIRED, "signers/ana.yaml": owner(self.ana)}
        files["tenants/shop/signers/bob.yaml"] = within(self.bob, "tenants/shop/**", tenant="shop")
        self.ana.commit(self.copy, "begin", dict(files))
        assert self.round().refused == {}


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> tuple[Person, Person]:
    keys = tmp_path_factory.mktemp("keys")
    return with_ssh("ana", keys), with_ssh("bob", keys)


def team(directory: Path, people: tuple[Person, Person]) -> Team:
    return Team(**vars(made(directory, pinned=owner(people[0]))), ana=people[0], bob=people[1])


@pytest.fixture
def host(tmp_path: Path, people: tuple[Person, Person]) -> Iterator[Team]:
    host = team(tmp_path, people)
    yield host
    host.session.close()


def test_what_nobody_signed_is_held_back_over_restarts_until_it_is_taken_back(host: Team) -> None:
    host.copy.commit("unsigned", dict(repository()))
    assert "signatures/unsigned" in {one.rule for one in host.round().verdicts}
    host.restart()
    host.begin()
    host.copy.commit("evil", {MOTD: component("motd", "/etc/motd", "evil")})
    first = host.round()
    assert first.refused.keys() == {MOTD}
    assert [one.signer for one in first.commits] == [None]
    host.restart()
    host.bob.commit(
        host.copy, "on top", {MOTD: component("motd", "/etc/motd", "evil, edited"), BACKUP: component("backup", "/etc/b", "new")}
    )
    second = host.round()
    assert second.refused.keys() == {MOTD}
    assert [one.signer for one in second.commits] == ["shop/bob"]
    assert ", 1 commit, signed by shop/bob\n" in note_text(second)
    host.bob.commit(host.copy, "taken back", {MOTD: repository()[MOTD]})
    assert host.round().refused == {}
    host.bob.commit(host.copy, "again", {MOTD: component("motd", "/etc/motd", "fine")})
    assert host.round().refused == {}
    assert host.session.state is not None
    assert host.session.state.doubts == {}


def test_a_signer_who_is_let_in_counts_from_the_next_commit_on_though_both_came_at_once(host: Team) -> None:
    host.begin()
    lab = "tenants/lab/components/issue.yaml"
    host.ana.commit(host.copy, "let bob in", {"tenants/lab/signers/bob.yaml": within(host.bob, "tenants/lab/**", tenant="lab")})
    host.bob.commit(host.copy, "and now", {lab: component("issue", "/etc/issue", "bob's", owner="lab")})
    assert host.round().refused == {}
    host.ana.commit(host.copy, "out", {"tenants/lab/signers/bob.yaml": None})
    host.bob.commit(host.copy, "too late", {lab: component("issue", "/etc/issue", "late", owner="lab")})
    assert host.round().refused.keys() == {lab}
    assert b"bob's" in host.session.corpus.tree.read(lab)


def test_a_force_push_back_to_an_old_signed_commit_is_refused(host: Team) -> None:
    host.begin()
    old = host.bob.commit(host.copy, "old", {MOTD: component("motd", "/etc/motd", "old and weak")})
    host.round()
    host.bob.commit(host.copy, "new", {MOTD: component("motd", "/etc/motd", "mended")})
    host.round()
    host.copy.git("reset", "--quiet", "--hard", old)
    host.round()
    assert "history was rewritten" in host.progress.problem
    assert b"mended" in host.session.corpus.tree.read(MOTD)


def test_signatures_are_not_turned_on_where_nobody_could_turn_them_off(host: Team) -> None:
    host.ana.commit(host.copy, "begin", {**repository(), "ordain.yaml": REQUIRED})
    found = host.round()
    assert found.refused.keys() == {"ordain.yaml"}
    assert "signatures/owner" in {one.rule for one in found.verdicts}


def test_rules_that_nobody_may_have_written_are_not_even_compiled(host: Team) -> None:
    host.begin()
    host.copy.commit("strange", {"policies/x/y.rego": "no rego at all {"})
    assert {one.rule for one in host.round().verdicts} == {"signatures/unsigned"}


LEVEL = REQUIRED + f"  rules: {{{RULE}: {{level: audit}}}}\n"
OVERRIDE = REQUIRED + f"  overrides: [{{tenants: [shop], rules: {{{RULE}: {{level: audit}}}}}}]\n"
WAIVER = f"""\
apiVersion: ordain.dev/v1
kind: Waiver
metadata: {{name: motd, tenant: shop}}
spec:
  rule: {RULE}
  object: {{kind: Component, name: motd}}
  at: files[/etc/motd].mode
  value: "0666"
  reason: it is mine
  owner: bob@example.com
  expires: 2026-12-01
"""
LIBRARY = "policies/library/rules/host-safety/world-writable/world-writable.rego"
WAYS: dict[str, dict[str, str | None]] = {
    "a rule file": {LIBRARY: "package ordain.rules.host_safety.world_writable\n"},
    "a level": {"ordain.yaml": LEVEL},
    "an override": {"ordain.yaml": OVERRIDE},
    "a waiver": {"tenants/shop/waivers/motd.yaml": WAIVER},
    "a schema": {".ordain/schemas/component.schema.json": "{}", "policies/schemas/component.schema.json": "{}"},
    "capabilities": {"policies/capabilities.json": "{}"},
    "the layout of ordain.yaml": {
        "ordain.yaml": REPOSITORY + "  policies: tenants/shop/mine\n",
        "tenants/shop/mine/x/y.rego": "package x\n",
    },
    "a path with dots": {"tenants/shop/..policies/x/y.rego": "package x\n", "policies/conftest/../x.rego": None},
    "a symlink": {"tenants/shop/policies": "-> ../../policies", "policies/x": "-> ../tenants/shop"},
    "another case": {"Ordain.yaml": LEVEL, "POLICIES/x/y.rego": "package x\n"},
    "signatures off": {"ordain.yaml": REPOSITORY},
    "a signer": {"signers/bob.yaml": "", "tenants/shop/signers/bob.yaml": ""},
}
"""Ways to loosen what judges, each of which comes with a file that the accepted judge refuses."""


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, people: tuple[Person, Person]) -> Iterator[Team]:
    host = team(tmp_path_factory.mktemp("begun"), people)
    host.begin()
    host.copy.git("branch", "accepted")
    yield host
    host.session.close()


def put(host: Team, files: dict[str, str | None]) -> None:
    for name, text in files.items():
        path = host.copy.path / name
        if text is None:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("-> "):
            path.symlink_to(text[3:])
        else:
            path.write_text(text)


@pytest.mark.parametrize("way", WAYS)
def test_nobody_but_a_policy_owner_loosens_the_judge_of_a_change(way: str, begun: Team) -> None:
    #  accepted ── bob loosens by one way, and brings what the judge refuses: in one commit, then in one more
    host, files = begun, dict(WAYS[way])
    if way == "a signer":
        files = {"signers/bob.yaml": owner(host.bob), "tenants/shop/signers/bob.yaml": within(host.bob, '"**"', tenant="shop")}
    assert host.session.policies is not None
    judge = host.session.policies.judge.digest
    put(host, files)
    host.bob.commit(host.copy, way, {MOTD: WRITABLE})
    host.bob.commit(host.copy, "once more", {"tenants/shop/again.txt": way})
    record = host.round()
    assert host.session.policies.judge.digest == judge
    assert host.session.corpus.tree.read("ordain.yaml") == REQUIRED.encode()
    assert host.session.corpus.tree.read(MOTD) == repository()[MOTD].encode()
    assert {name.name for name in host.session.corpus.objects if name.kind in ("Signer", "Waiver")} == {"ana", "bob"}
    denied = {(one.file, one.rule) for one in record.verdicts if one.action == "deny" and not one.standing}
    assert (MOTD, RULE) in denied
    touched = {path for path, text in files.items() if text is not None and path != "tenants/shop/mine/x/y.rego"}
    assert touched <= record.refused.keys() | {"tenants/shop/..policies/x/y.rego"}
    host.copy.git("read-tree", "-u", "--reset", "accepted")
    host.ana.commit(host.copy, "put back", {})
    assert host.round().refused == {}


def test_check_with_a_base_says_what_the_reconciler_will(begun: Team, capsys: pytest.CaptureFixture[str]) -> None:
    begun.copy.git("checkout", "--quiet", "-B", "request", "accepted")
    begun.copy.commit("unsigned", {MOTD: component("motd", "/etc/motd", "unsigned")})
    begun.bob.commit(begun.copy, "loosened", {"ordain.yaml": LEVEL})
    with pytest.raises(SystemExit) as ended:
        cli.main(["check", str(begun.copy.path), "--base", "accepted", "--rev", "request", "--no-cache"], standalone_mode=False)
    said = capsys.readouterr().out
    begun.copy.git("checkout", "--quiet", "main")
    assert ended.value.code == 1
    assert f"{MOTD}:9:1 deny signatures/unsigned" in said
    assert "changes what judges, and shop/bob, who signed it, is no policy owner" in said
    assert f"loosened: {RULE} is audit instead of deny" in said


def test_a_waiver_excuses_the_change_that_it_comes_with_only_if_its_signer_may_grant_it(host: Team) -> None:
    host.begin()
    change: dict[str, str | None] = {MOTD: WRITABLE, "tenants/shop/waivers/motd.yaml": WAIVER}
    host.bob.commit(host.copy, "excused by oneself", change)
    assert host.round().refused.keys() == change.keys()
    grants = "may:\n  - {paths: [tenants/shop/**]}\n  - {paths: [tenants/shop/waivers/**], kinds: [Waiver]}"
    host.ana.commit(host.copy, "bob may", {"tenants/shop/signers/bob.yaml": signer(host.bob, grants, tenant="shop")})
    assert host.round().refused.keys() == change.keys()
    host.bob.commit(host.copy, "taken back", {MOTD: repository()[MOTD], "tenants/shop/waivers/motd.yaml": None})
    host.bob.commit(host.copy, "granted", change)
    record = host.round()
    assert record.refused == {}
    assert [one.waived for one in record.verdicts if one.rule == RULE] == ["shop/motd"]
