"""`ordain state`, `ordain history`, and `ordain why` with a store: what was meant to be where, when, and by which decision."""

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from agent.protocol import codec
from agent.protocol.errors import InputError, RefusedError
from agent.protocol.rollout import BOUND_ALL
from reconciler.cli import cli
from reconciler.pipeline.trail.released import published
from reconciler.publication import layout
from reconciler.publication.store import LocalStore
from tests.acceptance_cases import component, fleet, repository
from tests.proof_cases import MOTD, WAIVER, Copy, begin, decided, handed_over
from tests.source_cases import WorkingCopy

pytestmark = pytest.mark.needs("opa", "git")
CONFIG = "tenants/shop/components/config.yaml"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return handed_over(decided(tmp_path_factory.mktemp("made")), tmp_path_factory.mktemp("copy"))


def run(copy: Copy, *arguments: str, notes: bool = False) -> str:
    """Return what a command prints; with the store, or by notes alone."""
    done = CliRunner().invoke(cli, [*arguments, *(copy.options[:2] if notes else copy.options)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def plain(copy: Copy, *arguments: str, notes: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(copy, *arguments, "--format", "json", notes=notes))
    return found


@pytest.mark.parametrize("notes", [False, True])
@pytest.mark.parametrize(
    ("at", "content"),
    [("2026-11-22T13:00:00Z", "hello"), ("2026-11-22T14:30:00Z", "hello"), ("2026-11-22T15:00:00Z", "welcome"), ("2026-12-01", "welcome")],
)
def test_a_host_s_file_is_as_it_was_meant_to_be_at_a_time(copy: Copy, at: str, content: str, *, notes: bool) -> None:
    assert run(copy, "state", "shop/web-01", "--at", at, "--show", "/etc/motd", notes=notes) == content


def test_a_state_names_the_release_its_decision_and_the_digest_of_each_file(copy: Copy) -> None:
    [fleet] = plain(copy, "state", "shop/web-01", "--at", "2026-11-22T15:30:00Z")["fleets"]
    assert (fleet["fleet"], fleet["decision"]["sequence"], fleet["decision"]["signed"]) == ("shop/web", 3, True)
    assert fleet["published"] == "2026-11-22T15:00:00Z"
    assert [(file["path"], file["mode"], len(file["sha256"])) for file in fleet["files"]] == [("/etc/motd", "0644", 64)]


def test_a_host_is_in_a_fleet_from_the_decision_that_let_it_in(copy: Copy) -> None:
    assert plain(copy, "state", "shop/web-03")["fleets"][0]["decision"]["sequence"] == 4
    with pytest.raises(RefusedError, match="was in no fleet at 2026-11-22T15:30:00Z"):
        run(copy, "state", "shop/web-03", "--at", "2026-11-22T15:30:00Z")


def test_while_a_wave_is_on_its_way_a_host_is_meant_to_have_what_it_was_admitted_to(copy: Copy, tmp_path: Path) -> None:
    shutil.copytree(copy.store, tmp_path / "store")
    made, store = Copy(copy.repo, tmp_path / "store", copy.keys), LocalStore(tmp_path / "store")
    before, *_, newest = (one.document for one in published(store, "shop/web"))
    assert before.stable != newest.stable
    wave: dict[str, Any] = {
        "candidate": newest.stable,
        "stable": before.stable,
        "serial": newest.serial + 1,
        "not_before": "2026-11-24T00:00:00Z",
    }
    for bound, content in ((0, "hello"), (BOUND_ALL, "welcome")):
        data = codec.canonical(msgspec.structs.replace(newest, **wave, bound=bound))
        key = layout.targets("shop", "web") + f"rollouts/{codec.sha256(data)}.web.json"
        store.create(key, data)
        assert run(made, "state", "shop/web-01", "--at", "2026-11-25", "--show", "/etc/motd") == content
        store.delete(key)


def test_what_is_not_known_of_a_time_is_said(copy: Copy) -> None:
    with pytest.raises(RefusedError, match="the first is of 2026-11-22T13:00:00Z"):
        run(copy, "state", "shop/web-01", "--at", "2026-11-20")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("shop/web-99",), "there is no agent or pool web-99 in tenant shop; did you mean"),
        (("shop/web-99", "--at", "2026-11-20"), "there is no agent or pool web-99"),
        (("none/web-01",), "no agent or pool web-01 in tenant none; tenants are"),
    ],
)
def test_a_host_that_there_is_not_is_wrong_usage(copy: Copy, arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        run(copy, "state", *arguments)


def test_a_path_or_a_mode_that_there_was_not_is_wrong_usage(copy: Copy) -> None:
    with pytest.raises(InputError, match="was no file of any fleet"):
        run(copy, "state", "shop/web-01", "--show", "/etc/none")
    with pytest.raises(InputError, match="had no mode incident"):
        run(copy, "state", "shop/web-01", "--mode", "incident")


def test_the_history_of_a_fleet_says_what_each_release_changed(copy: Copy) -> None:
    found = plain(copy, "history", "shop/web")["releases"]
    assert [one["changes"] for one in found] == ["joined: web-03", "changed: /etc/motd", "the first, with 2 members"]
    assert [one["decision"]["sequence"] for one in found] == [4, 3, 1]
    assert [one["published"]["at"][11:13] for one in found] == ["16", "15", "13"]
    by_notes = plain(copy, "history", "shop/web", notes=True)["releases"]
    assert [one["changes"] for one in by_notes] == [one["changes"] for one in found]
    assert [one["published"] for one in by_notes] == [None, None, None]
    assert "2 more" not in run(copy, "history", "shop/web")


def test_a_fleet_without_a_release_is_said_to_have_none(copy: Copy) -> None:
    with pytest.raises(RefusedError, match="no release of shop/none is known here"):
        run(copy, "history", "shop/none")
    with pytest.raises(RefusedError, match="did you mean shop/web"):
        run(copy, "history", "shop/wbe")
    with pytest.raises(InputError, match="write TENANT/FLEET, such as shop/web"):
        run(copy, "history", "shop")


def test_why_tells_the_decision_by_its_record_or_by_its_note(copy: Copy) -> None:
    question = ("why", "shop/web-01:/etc/motd:1")
    [with_store] = plain(copy, *question)["answers"]
    [by_note] = plain(copy, *question, notes=True)["answers"]
    assert with_store["release"]["decision"] | {"signed": False} == by_note["release"]["decision"]
    assert with_store["release"]["decision"]["sequence"] == 4
    assert with_store["release"]["published"] == {"since": "2026-11-22T15:00:00Z", "serial": 2}
    assert "published  since 2026-11-22T15:00:00Z" in run(copy, *question)


def test_why_tells_what_was_said_of_a_file_when_it_was_judged_last(tmp_path: Path) -> None:
    made = begin(tmp_path / "made")
    both = fleet("web", "motd", role="web").replace("{name: motd}", "{name: motd}, {name: config}")
    made.decide("Begin", {**repository(), CONFIG: component("config", "/etc/web.conf"), "tenants/shop/fleets/web.yaml": both})
    everybody = component("motd", "/etc/motd", "hello", mode="0666")
    made.decide("Everybody may write, as is excused", {MOTD: everybody, "tenants/shop/waivers/motd.yaml": WAIVER})
    made.decide("Another file of the same fleet", {CONFIG: component("config", "/etc/web.conf", "another")})
    copy = handed_over(made, tmp_path / "one")
    release = plain(copy, "why", "shop/web-01:/etc/motd")["answers"][0]["release"]
    assert release["decision"]["sequence"] == 3
    assert [(one["rule"], one["waived"]) for one in release["verdicts"]] == [("host-safety/world-writable", "shop/motd")]
    assert [one["reason"] for one in release["waivers"]] == ["the tests want it so"]
    assert plain(copy, "why", "shop/web-01:/etc/web.conf")["answers"][0]["release"]["verdicts"] == []
    made.decide("Nobody else may write", {MOTD: component("motd", "/etc/motd", "hello")})
    made.decide("Once more another file", {CONFIG: component("config", "/etc/web.conf", "a third")})
    made.session.close()
    after = plain(handed_over(made, tmp_path / "two"), "why", "shop/web-01:/etc/motd")["answers"][0]["release"]
    assert (after["decision"]["sequence"], after["verdicts"], after["waivers"]) == (5, [], [])


def test_why_goes_by_what_was_accepted_and_not_by_a_head_that_was_refused(tmp_path: Path) -> None:
    made = begin(tmp_path / "made")
    files = {MOTD: component("motd", "/etc/motd", "welcome")}
    made.decide("Begin", {**repository(), **files})
    made.decide("Refused", {MOTD: component("motd", "/etc/motd", "evil", mode="0666")})
    made.session.close()
    copy = handed_over(made, tmp_path)
    [answer] = plain(copy, "why", "shop/web-01:/etc/motd:1")["answers"]
    assert answer["text"] == "welcome"
    assert answer["sources"][0]["author"]["subject"] == "Begin"
    empty = WorkingCopy.make(tmp_path / "empty")
    [lost] = plain(Copy(empty.path, copy.store, copy.keys), "why", "shop/web-01:/etc/motd:1")["answers"]
    assert lost["text"] == "welcome"
    assert lost["sources"][0]["author"] is None
