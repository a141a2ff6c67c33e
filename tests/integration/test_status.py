"""What `ordain status` and its neighbours say: lines that stay whole, the commit that agents say too, and what is in the way."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from agent.protocol.membership import Member
from reconciler.cli import cli
from reconciler.cli.status import lines
from reconciler.control import records
from reconciler.control.numbering import floors_of
from reconciler.control.publish import publish_fleet
from reconciler.pipeline import problem
from reconciler.pipeline.source import Mirror, full_sha, mirror_path
from reconciler.publication.published import read_published
from reconciler.publication.releases import read_newest
from reconciler.status import gather
from tests.publication_cases import COMMIT, Zone, make_zone
from tests.source_cases import WorkingCopy

WHY = "tenants/shop/components/a-component-with-a-long-name.yaml is refused: host-safety/world-writable: mode 0666 lets everybody write"


@pytest.fixture
def zone(tmp_path: Path) -> Zone:
    return make_zone(tmp_path)


def status(state: Path, *more: str) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(cli, ["status", "--state", str(state), *more], catch_exceptions=False)


def test_no_line_is_folded_and_a_reason_stands_below_its_fleet() -> None:
    shown = list(lines(found(why=WHY)))
    row = next(index for index, line in enumerate(shown) if line.startswith("shop/web "))
    assert re.fullmatch(r"shop/web +c{12} +d{12} +3 +7 +frozen", shown[row])
    assert shown[row + 1] == f"  why: {WHY}"


def test_how_far_a_rollout_got_stands_below_its_fleet_and_is_no_trouble(zone: Zone) -> None:
    zone.write_controls()
    for content in ("one", "two"):
        zone.approve(content)
        if content == "one":
            zone.publish()
    store, newest = zone.store, read_newest(zone.store, zone.trust, "web")
    published = read_published(store, "shop", "web")
    assert newest is not None
    assert newest.desired is not None
    assert published is not None
    assert standing(zone) == ("publishing", False)
    wave: dict[str, Any] = {"wave": "canary", "number": 1, "waves": 3, "waits": ["approval"]}
    for phase, state in {"applying": "rolling out", "paused": "paused", "stopped": "stopped"}.items():
        rolled = records.Rolled(phase=phase, digest=newest.desired.digest, members=newest.desired.members, **wave)
        status = records.published("shop", "web", newest, published.document, records.Floors(), rollout=rolled)
        records.write_status(store, status)
        assert (status.state, standing(zone)) == (state, (state, True))
    text = "\n".join(lines(said(zone)))
    assert "  rollout: wave canary (1 of 3): approval" in text


def test_a_wave_of_an_older_release_is_not_told_as_the_newest_ones(zone: Zone) -> None:
    zone.write_controls()
    zone.approve("one")
    zone.publish()
    zone.approve("two")
    before, published = read_newest(zone.store, zone.trust, "web"), read_published(zone.store, "shop", "web")
    assert before is not None
    assert before.desired is not None
    assert published is not None
    document = msgspec.structs.replace(published.document, serial=published.document.serial + 1, candidate=before.desired)
    work, floors = zone.work(), floors_of(published, records.Floors())
    publish_fleet(work, releases=before, document=document, standing=published, floors=floors, stored=published.stored)
    zone.approve("three")
    newest = read_newest(zone.store, zone.trust, "web")
    assert newest is not None
    assert newest.desired is not None
    rolled = records.Rolled(phase="applying", digest=newest.desired.digest, members=newest.desired.members, wave="half", number=2, waves=3)
    records.write_status(zone.store, records.published("shop", "web", newest, document, records.Floors(), rollout=rolled))
    text = "\n".join(lines(said(zone)))
    assert f"  rollout: {before.desired.digest[:12]} is on its way before it: wave half (2 of 3)" in text


def standing(zone: Zone) -> tuple[str, bool]:
    """Return the state of fleet web, and whether all is ready."""
    found = said(zone)
    return found["fleets"][0]["state"], found["ready"]


def said(zone: Zone) -> dict[str, Any]:
    """Return the status as whoever has only the control zone's keys sees it."""
    return gather(zone.store, zone.rings.control, source=None)


def test_what_a_file_is_called_can_not_forge_a_line() -> None:
    refused = [{"file": "a\nready: examined b\x1b[2K.yaml", "commit": "e" * 40, "why": "bad"}]
    shown = list(lines(found(why="a\nb") | {"refused": refused}))
    assert all(line.isprintable() for line in shown)
    assert "  why: a\\nb" in shown


def test_the_commit_is_that_of_the_part_that_was_approved_last(zone: Zone) -> None:
    zone.approve("first")
    later = "f" * 40
    zone.approve("first", agents={"web-01": Member(group="all"), "web-02": Member(group="all")}, commit=later)
    newest = read_newest(zone.store, zone.trust, "web")
    assert newest is not None
    assert newest.bundle is not None
    assert newest.bundle[1].commit == COMMIT
    assert newest.commit == later


def test_a_state_directory_in_which_nothing_has_begun_is_not_ready(tmp_path: Path) -> None:
    said = CliRunner().invoke(cli, ["status", "--state", str(tmp_path)], catch_exceptions=False).stdout
    assert said.startswith("not ready")


def test_a_problem_is_shown_until_it_is_gone(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    problem.keep(state, "history was rewritten", datetime(2026, 11, 22, 10, tzinfo=UTC))
    assert "problem since 2026-11-22T10:00:00Z: history was rewritten" in status(state).output
    assert json.loads(status(state, "--format", "json").stdout)["problem"] == {
        "why": "history was rewritten",
        "since": "2026-11-22T10:00:00Z",
    }
    problem.keep(state, "", datetime(2026, 11, 22, 11, tzinfo=UTC))
    assert "problem" not in status(state).output
    assert json.loads(status(state, "--format", "json").stdout)["problem"] is None


@pytest.mark.needs("git")
def test_a_mirror_knows_head_and_branches_as_the_watched_repository_does(tmp_path: Path) -> None:
    copy = WorkingCopy.make(tmp_path / "fleets")
    first, second = copy.commit("first", {"a": "1"}), copy.commit("second", {"a": "2"})
    Mirror(mirror_path(tmp_path / "state"), str(copy.path)).fetch()
    mirror = mirror_path(tmp_path / "state")
    for revision, sha in {"HEAD": second, "HEAD~1": first, "@": second, "main": second, "main^": first, second[:8]: second}.items():
        assert full_sha(mirror, revision) == sha, revision


@pytest.mark.parametrize("command", ["up", "reconcile"])
def test_a_repository_that_is_not_there_ends_it_at_once(tmp_path: Path, command: str) -> None:
    done = CliRunner().invoke(cli, [command, "--repo", str(tmp_path / "nowhere"), "--state", str(tmp_path / "state")])
    assert getattr(done.exception, "exit_code", None) == 2
    assert "there is no such directory" in str(done.exception)


def found(*, why: str) -> dict[str, object]:
    fleet = {
        "tenant": "shop",
        "name": "web",
        "commit": "c" * 40,
        "digest": "d" * 64,
        "members": 3,
        "serial": 7,
        "published": False,
        "frozen": True,
        "state": "frozen",
        "rollout": None,
        "why": why,
        "since": None,
    }
    return {
        "ready": True,
        "pipeline": True,
        "head": "c" * 40,
        "source": "c" * 40,
        "problem": None,
        "decision": 2,
        "refused": [],
        "standing": [],
        "standingLeftOut": 0,
        "waivers": [],
        "tenants": [],
        "fleets": [fleet],
    }
