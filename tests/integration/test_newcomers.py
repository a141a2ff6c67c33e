"""Whoever takes a name that is taken is refused, and stops nobody: in the reconciler's loop and in plans, signatures on and off."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.cli.judging import Bench, Opened, opened
from reconciler.cli.sources import head_of, merge_base_of, place_of
from reconciler.opa.program import find_opa
from reconciler.pipeline.acceptance import Released
from reconciler.pipeline.audit import DecisionRecord
from reconciler.pipeline.plan.sides import both_sides
from reconciler.publication.times import stamp
from tests.acceptance_cases import agent, component, fleet, repository
from tests.integration.test_signatures_loop import Team, team
from tests.plan_cases import NOW, planned
from tests.signing_cases import REQUIRED, Person, owner, with_ssh
from tests.source_cases import WorkingCopy

pytestmark = pytest.mark.needs("opa", "git", "ssh-keygen")
MOTD, BACKUP = "tenants/shop/components/motd.yaml", "tenants/shop/components/backup.yaml"
SPELT: dict[str, str | None] = {
    "Tenants/x/README.md": "hi\n",
    "Tenants/shop/components/x56.yaml": "kind: Component\n",
    "tenants/Shop/notes.txt": "hi\n",
    "tenants/shop/components/MOTD.yaml": component("other", "/etc/other"),
}
"""Other spellings of names that are there."""
COPIES: dict[str, str | None] = {
    "tenants/shop/agents/a.yaml": agent("web-01", role="web"),
    "tenants/shop/components/a.yaml": component("motd", "/etc/motd", "evil"),
    "tenants/shop/fleets/a.yaml": fleet("web", "backup", role="web"),
    "tenants/shop/zz.yaml": agent("db-01", role="web"),
}
"""Copies of what is there, most under names that come before."""


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> tuple[Person, Person]:
    keys = tmp_path_factory.mktemp("keys")
    return with_ssh("ana", keys), with_ssh("bob", keys)


@pytest.fixture(scope="module", params=[True, False], ids=["signed", "unsigned"])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, people: tuple[Person, Person]) -> Iterator[Team]:
    """A pipeline that has accepted three fleets, with signatures on and off; each test leaves it with nothing refused."""
    host = team(tmp_path_factory.mktemp("host"), people)
    if request.param:
        host.begin()
    else:
        host.parts = replace(host.parts, pinned=())
        host.copy.commit("begin", dict(repository()))
        assert host.round().refused == {}
    yield host
    host.session.close()


def pushed(host: Team, files: dict[str, str | None], mend: str) -> DecisionRecord:
    """Let somebody push files without a signature, and bob a good change of the fleets web and db with one; return what came of both."""
    host.copy.commit("newcomers", files)
    good: dict[str, str | None] = {MOTD: component("motd", "/etc/motd", mend), BACKUP: component("backup", "/etc/backup.conf", mend)}
    host.bob.commit(host.copy, "mend", good)
    return host.round()


@pytest.mark.parametrize("files", [SPELT, COPIES], ids=["spelt", "copies"])
def test_a_name_that_is_taken_is_refused_to_the_newcomer_and_all_others_go_on(host: Team, files: dict[str, str | None]) -> None:
    record = pushed(host, files, f"mended, {min(files)}")
    assert record.refused.keys() == files.keys()
    assert host.session.released.frozen == {}
    assert {(one.tenant, one.fleet) for one in record.releases} == {("shop", "web"), ("shop", "db")}
    host.bob.commit(host.copy, "out", dict.fromkeys(files))
    assert host.round().refused == {}


def test_a_name_that_nobody_may_have_written_is_taken_by_whoever_signs_it_next(people: tuple[Person, Person], tmp_path: Path) -> None:
    host = team(tmp_path, people)
    host.begin()
    new = {"tenants/shop/components/New.yaml": component("new", "/etc/new")}
    host.copy.commit("squat", {"tenants/shop/components/NEW.yaml": component("new", "/etc/squat")})
    host.bob.commit(host.copy, "mine", dict(new))
    assert host.round().refused.keys() == {"tenants/shop/components/NEW.yaml"}
    assert host.session.released.frozen == {}
    host.session.close()


SOURCE = "tenants/shop/components/files/issue"


def from_source(name: str) -> str:
    return component(name, f"/etc/{name}").replace('content: "hello"', "source: files/issue")


def test_what_nobody_may_have_written_is_no_part_of_the_change_and_ties_nothing_to_it(
    people: tuple[Person, Person], tmp_path: Path
) -> None:
    ana, _ = people
    copy = WorkingCopy.make(tmp_path / "fleets")
    first = {"ordain.yaml": REQUIRED, "signers/ana.yaml": owner(ana), SOURCE: "one\n", "tenants/shop/components/i.yaml": from_source("i")}
    ana.commit(copy, "begin", {**repository(), **first})
    copy.git("branch", "accepted")
    flood: dict[str, str | None] = {f"tenants/shop/agents/new-{number}.yaml": agent(f"new-{number}") for number in range(3)}
    flood["tenants/shop/components/evil.yaml"] = from_source("evil")
    copy.commit("flood", flood)
    ana.commit(copy, "mine", {"tenants/shop/agents/mine.yaml": agent("mine"), SOURCE: "two\n"})
    with judged(copy) as found:
        decision = found.judgement.decision
    assert decision.refused.keys() == flood.keys()
    assert [one["name"] for one in decision.change["objects"]["added"]] == ["mine"]


def accepted(root: Path, files: dict[str, str]) -> WorkingCopy:
    copy = WorkingCopy.make(root)
    copy.commit("begin", {**files})
    copy.git("branch", "accepted")
    return copy


@contextmanager
def judged(copy: WorkingCopy) -> Iterator[Opened]:
    """Judge what is checked out as a change of what was accepted."""
    place = place_of(copy.path)
    tree, revision = head_of(place, "HEAD")
    with opened(
        tree, merge_base_of(place, "accepted", revision), bench=Bench(opa=find_opa(None)), now=stamp(NOW), revision=revision
    ) as found:
        yield found


def test_two_that_are_new_and_differ_only_in_case_are_both_refused_with_one_finding(tmp_path: Path) -> None:
    copy = accepted(tmp_path / "fleets", repository())
    both = ("docs/a/x/one.md", "docs/A/x/one.md")
    copy.commit("both", dict.fromkeys(both, "hi\n"))
    with judged(copy) as found:
        assert found.judgement.decision.refused.keys() == set(both)
        assert [one.finding.rule for one in found.judgement.decision.judged if one.blocking] == ["manifest/case-clash"]


def test_who_comes_in_the_place_of_what_may_not_go_is_refused_too(tmp_path: Path) -> None:
    copy = accepted(tmp_path / "fleets", repository())
    instead = "tenants/shop/components/Motd.yaml"
    copy.commit("instead", {MOTD: None, instead: component("other", "/etc/other")})
    with judged(copy) as found:
        assert found.judgement.decision.refused.keys() == {MOTD, instead}


@pytest.mark.parametrize("files", [SPELT, COPIES], ids=["spelt", "copies"])
def test_a_plan_shows_nothing_that_reaches_a_host_where_only_newcomers_are_refused(tmp_path: Path, files: dict[str, str | None]) -> None:
    copy = accepted(tmp_path / "fleets", repository())
    copy.commit("newcomers", files)
    plan = planned(copy.path, find_opa(None), base="accepted", head="HEAD")
    assert not plan.accepted
    assert plan.fleets == ()
    assert {one["file"] for one in plan.verdicts.new if one["blocking"]} <= files.keys()
    assert plan.impact.agents == 0


def test_a_finding_of_a_clash_names_its_topmost_directory_once(tmp_path: Path) -> None:
    copy = accepted(tmp_path / "fleets", repository())
    copy.commit("deep", {"Tenants/shop/components/motd.yaml": "hi\n", "Tenants/shop/agents/web-01.yaml": "hi\n"})
    plan = planned(copy.path, find_opa(None), base="accepted", head="HEAD")
    [found] = plan.verdicts.new
    assert found["message"].startswith("'Tenants' and 'tenants' differ only in case")


def test_a_fleet_that_a_refusal_holds_up_without_touching_it_is_no_new_one(tmp_path: Path) -> None:
    copy = accepted(tmp_path / "fleets", repository())
    copy.commit("apart", {"docs/readme.md": "hi\n"})
    with judged(copy) as found:
        held = replace(found.judgement.decision, frozen={("shop", "web"): "something else is refused"})
        sides = both_sides(found.base, found.head, found.changed, held, Released(), layout=found.layout, bundle_format=found.bundle_format)
    assert sides.fleets == (("shop", "web"),)
    assert sides.old[("shop", "web")].digest == sides.new[("shop", "web")].digest
