"""Rollouts as operators meet them: by the API and by commands, with the loop that conducts them, over hosts that report."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agent.protocol.errors import InputError, OrdainError, RefusedError, RetryError
from agent.protocol.membership import Member
from agent.protocol.report import FleetReport
from reconciler import metrics
from reconciler.cli import cli, receipts
from reconciler.cli.reasons import otherwise
from reconciler.cli.rollout_wait import outcome_of
from reconciler.control import loop
from reconciler.control.conduct.conductor import Conductor
from reconciler.control.identity import local
from reconciler.control.leading import rollouts_told
from reconciler.control.registry import agents, audit, batches, inventory
from reconciler.control.registry.inventory import Subject
from reconciler.pipeline.approve import write_controls
from reconciler.pipeline.why.address import Host
from reconciler.publication import controls
from reconciler.publication.ceremony import Rings
from reconciler.publication.controls import Controls, Mode, Role
from reconciler.publication.keys import KeyRing
from reconciler.publication.store import CONTROL_PREFIXES, LocalStore, Scoped
from reconciler.rollout_metrics import RolloutCollector
from tests import operator_cases, publication_cases
from tests.registry_cases import receipt, received

pytestmark = pytest.mark.needs("opa")

PATIENCE = 60.0
ROLLOUT: dict[str, Any] = {
    "waves": [
        {"name": "canary", "matchLabels": {"canary": "true"}, "soak": 0},
        {"name": "rest", "limit": "100%", "soak": 0, "approval": "required"},
    ]
}
HOSTS = {"web-01": {"canary": "true"}, "web-02": {}}
WHY = {"reason": "INC-4711"}


@dataclass(slots=True, kw_only=True)
class Operated:
    """A site whose releases are conducted."""

    site: operator_cases.Site
    zone: publication_cases.Zone
    digests: list[str] = field(default_factory=list)
    sequence: int = 1

    def approve(self, content: str, commit: str = "c") -> str:
        """Approve a release for both hosts; return its digest."""
        members = {name: Member(group="all", labels=labels) for name, labels in HOSTS.items()}
        self.digests.append(self.zone.approve(content, agents=members, commit=commit * 40).release.digest)
        return self.digests[-1]

    def say(self, *names: str, result: str = "applied", **more: Any) -> None:
        """Have hosts report about the newest release."""
        now, shown = datetime.now(UTC), self.show()
        self.sequence += 1
        said = {"digest": self.digests[-1], "attempt": shown["attempt"], "result": result, **more}
        with self.site.registry.begin() as connection:
            found = [received(one, sequence=self.sequence, at=now, receipts=[receipt(one, **said)]) for one in names]
            batches.write_batches(connection, found)
            rollouts_heard(connection)

    def show(self) -> dict[str, Any]:
        """Return how the rollout stands, {} where none is known yet."""
        found = self.site.ask("GET", "/api/v1/rollouts/shop/web", who="viewer")
        return dict(found.body) if found.status == 200 else {"attempt": 1, "phase": "", "stable": "", "candidate": ""}

    def until(self, true: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until the rollout stands so; return how it does."""
        deadline = time.monotonic() + PATIENCE
        while not true(shown := self.show()):
            assert time.monotonic() < deadline, shown
            time.sleep(0.02)
        return shown

    def turns(self, agent: str, digest: str) -> tuple[str, int, str] | None:
        """Return the wave of a host and how its release stands, as `ordain why` asks for it."""
        found = receipts.turn(Host(tenant="shop", agent=agent), "shop/web", digest, server=None, state=self.site.state)
        return (found.wave, found.number, found.state) if found else None

    def order(self, kind: str, who: str = "operator", **more: Any) -> Any:
        """Order something by the API."""
        return self.site.ask("POST", f"/api/v1/rollouts/shop/web/{kind}", who=who, body={**WHY, **more})

    def run(self, *arguments: str, raises: bool = False) -> Result:
        """Run a command as the machine's admin; its error is raised where one is expected."""
        runner = CliRunner(env={"COLUMNS": "200"})
        return runner.invoke(cli, [*arguments, "--state", str(self.site.state)], catch_exceptions=not raises)

    def stable(self, content: str, commit: str = "a") -> str:
        """Have a release stable for everybody, by all its waves."""
        digest = self.approve(content, commit)
        self.until(lambda shown: shown["candidate"] == digest and shown["wave"] == "canary")
        self.say("web-01")
        self.until(lambda shown: shown["phase"] == "waiting" and "approval" in kinds(shown))
        assert self.order("approve", "approver").status == 200
        self.until(lambda shown: shown["wave"] == "rest")
        self.say("web-02")
        self.until(lambda shown: shown["phase"] == "settled" and shown["stable"] == digest)
        return digest


def rollouts_heard(connection: Any) -> None:
    """Tell of receipts as the intake does."""
    from reconciler.control.registry import wakeups  # noqa: PLC0415 - used here alone

    wakeups.notify(connection, wakeups.REPORTS, "shop/web")


def kinds(shown: dict[str, Any]) -> set[str]:
    return {one["kind"] for one in shown["holds"]}


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """A site with a conducted fleet whose first release is stable."""
    from reconciler.opa.program import find_opa  # noqa: PLC0415 - only where OPA is there, see pytestmark

    directory = tmp_path_factory.mktemp("site")
    with operator_cases.site(directory, find_opa(None)) as site:
        rings = Rings(
            pipeline=KeyRing(zone="pipeline", directory=directory / "keys" / "pipeline"),
            control=KeyRing(zone="control", directory=directory / "keys" / "control"),
        )
        store = LocalStore(directory / "store")
        made = Operated(site=site, zone=publication_cases.Zone(store=store, rings=rings))
        write_controls(store, rings.pipeline.signer("shop/releases"), conducted(), now=datetime.now(UTC))
        with site.registry.begin() as connection:
            subjects = {name: Subject(kind="agent", labels=labels, fleets=["web"]) for name, labels in HOSTS.items()}
            inventory.replace(connection, "shop", subjects, sequence=2)
            agents.set_presence(connection, [("shop", name, "online") for name in HOSTS], now=datetime.now(UTC))
            batches.write_batches(connection, [received(name, sequence=1, at=datetime.now(UTC)) for name in HOSTS])
        written = Scoped(inner=store, write=CONTROL_PREFIXES)
        settings = loop.ControlSettings(
            store=written,
            keys=rings.control,
            holder="test",
            conductor=Conductor(site.registry, written),
            news=partial(rollouts_told, site.registry),
        )
        stop = threading.Event()
        thread = threading.Thread(target=loop.run, args=(settings, stop))
        thread.start()
        try:
            made.stable("one")
            yield made
        finally:
            stop.set()
            thread.join()


def conducted() -> Controls:
    """Return the controls of tenant shop with a strategy and a mode."""
    known = operator_cases.shop([Role(name="both", role="tenant-admin", subjects=["operator:ana"])])
    modes, objectives = [Mode(name=name, at_most=3600) for name in ("incident", "maintenance")], {"healthy": "90%", "window": 86_400}
    web = controls.Fleet(freshness=3600, rollout=ROLLOUT, modes=modes, objectives=objectives)
    return Controls(tenant="shop", agents=known.agents, pools={}, fleets={**known.fleets, "web": web}, roles=known.roles)


def test_a_rollout_says_where_it_is_what_it_waits_for_and_what_would_move_it(operated: Operated) -> None:
    digest = operated.approve("shown", "b")
    shown = operated.until(lambda shown: shown["candidate"] == digest and bool(shown["plan"]) and shown["wave"] == "canary")
    assert (shown["commit"], shown["number"], shown["waves"], shown["newest"]) == ("b" * 40, 1, 2, digest)
    assert [(one["name"], one["state"], one["hosts"]) for one in shown["plan"]] == [("canary", "current", 1), ("rest", "next", 1)]
    assert kinds(shown) == {"evidence"}
    assert any("taken back by itself" in one for one in shown["moves"])
    text = operated.run("rollout", "show", "shop/web").stdout
    assert f"rolling out {digest[:12]}, wave canary (1 of 2) since {shown['waveSince']}" in text
    assert "moved by: receipts" in text
    assert re.search(r"^waits for: .*; may change by itself at \d{4}-", text, re.MULTILINE), text
    assert operated.turns("web-01", digest) == ("canary", 1, "admitted")
    assert operated.turns("web-02", digest) == ("rest", 2, "next")
    operated.say("web-01")
    operated.until(lambda shown: "approval" in kinds(shown))
    assert "moved by: `ordain rollout approve shop/web" in operated.run("rollout", "show", "shop/web").stdout
    assert operated.order("approve", "operator").status == 403
    other = operated.run("rollout", "approve", "shop/web", "--commit", "fade" * 10, "--reason", "x", "--format", "json")
    assert (other.exit_code, json.loads(other.stdout)["ignored"]) == (1, True)
    assert operated.order("approve", "approver", digest="b").body["error"] == "digest 'b': write 7 digits of it or more"
    assert operated.order("pause", commit="b" * 40).body["code"] == "malformed"
    done = operated.order("approve", "approver", commit="b" * 7, digest=digest[:7]).body
    assert (done["followed"], done["digest"], done["commit"]) == (True, digest, "b" * 40)
    assert f"wave rest of {digest[:12]} of commit {'b' * 12} approved" in done["happened"][0]["why"]
    told = {one.action: one for one in operated.site.registry.look(audit.listed, "shop", limit=10).items[::-1]}
    assert told["rollouts.approve"].detail["commit"] == "b" * 7
    assert (told["rollout.approved"].target, told["rollout.approved"].detail["digest"]) == (f"shop/web@{'b' * 40}", digest)
    approved = operated.run("rollout", "show", "shop/web").stdout.split("\nAPPROVED")[1].splitlines()
    assert (approved[0].split(), approved[1].split()[:2]) == (["BY", "AT", "COMMENT"], ["rest", "operator:approver"])
    operated.say("web-02")
    operated.until(lambda shown: shown["stable"] == digest)
    assert operated.turns("web-02", digest) == ("rest", 2, "stable")
    assert operated.turns("web-99", digest) is None


def test_whoever_had_it_tried_again_can_not_approve_it(operated: Operated) -> None:
    digest = operated.approve("asked twice", "d")
    operated.until(lambda shown: shown["candidate"] == digest and shown["wave"] == "canary")
    operated.order("abort")
    assert operated.order("retry", "ana").body["followed"]
    operated.until(lambda shown: shown["candidate"] == digest and shown["wave"] == "canary")
    operated.say("web-01")
    operated.until(lambda shown: "approval" in kinds(shown))
    refused = operated.order("approve", "ana")
    assert (refused.status, refused.body["error"]) == (403, "who asked for it can't approve it")
    assert operated.order("approve", "approver").status == 200
    operated.say("web-02")
    operated.until(lambda shown: shown["stable"] == digest)


def test_a_canary_that_fails_is_shown_with_its_words_and_waiting_for_it_ends_with_1(operated: Operated) -> None:
    digest = operated.approve("bad", "e")
    operated.until(lambda shown: shown["candidate"] == digest and shown["wave"] == "canary")
    operated.say("web-01", result="failed", why="collector: probe http says 503")
    shown = operated.until(lambda shown: shown["phase"] == "stopped")
    assert [(one["agent"], one["why"]) for one in shown["failed"]] == [("web-01", "collector: probe http says 503")]
    text = operated.run("rollout", "show", "shop/web").stdout
    assert "TAKEN BACK" in text
    assert "probe http says 503" in text
    waited = operated.run("rollout", "wait", "shop/web", "--commit", "e" * 40, "--timeout", "1m")
    assert waited.exit_code == 1, waited.output
    assert "1 of 1 hosts of this wave failed" in waited.stderr
    assert "web-01: collector: probe http says 503" in waited.stderr
    assert operated.run("rollout", "wait", "shop/web", "--commit", "f" * 40, "--timeout", "1s").exit_code == 4
    retried = operated.run("rollout", "retry", "shop/web", "--reason", "the disk was full")
    assert "to be tried again" in retried.stderr
    operated.until(lambda shown: shown["attempt"] == 2 and shown["wave"] == "canary")
    operated.run("rollout", "abort", "shop/web", "--reason", "enough")


def test_orders_are_followed_at_once_and_stand_in_the_audit(operated: Operated) -> None:
    digest = operated.approve("paused", "1")
    operated.until(lambda shown: shown["candidate"] == digest and shown["wave"] == "canary")
    assert operated.order("pause", "viewer").status == 403
    done = operated.order("pause")
    assert (done.body["followed"], done.body["phase"]) == (True, "paused")
    assert [one["kind"] for one in done.body["happened"]] == ["paused"]
    again = operated.order("pause").body
    assert ([one["kind"] for one in again["happened"]], again["followed"], again["ignored"]) == (["order-ignored"], True, True)
    assert (done.body["ignored"], done.body["why"]) == (False, "")
    assert operated.order("resume").body["phase"] in {"waiting", "applying"}
    assert operated.order("pause", to="abc").body["code"] == "malformed"
    back = operated.order("rollback")
    assert (back.body["phase"], operated.show()["refused"]) == ("stopped", digest)
    found = operated.site.registry.look(audit.listed, "shop", limit=100).items
    ours = [one for one in found if one.action.startswith("rollouts.") and one.outcome == "done" and one.who == "operator:operator"]
    assert {"rollouts.pause", "rollouts.resume", "rollouts.rollback"} <= {one.action for one in ours}
    assert all((one.target, one.reason) == ("shop/web", "INC-4711") for one in ours)


def test_an_error_budget_that_is_not_measured_yet_holds_nothing_and_is_shown(operated: Operated) -> None:
    shown = operated.until(lambda shown: shown["budget"]["minutes"] > 0)
    assert (shown["budget"]["needs"], shown["budget"]["measured"], "budget" in kinds(shown)) == (30, False, False)
    said = operated.run("rollout", "show", "shop/web").stdout
    assert re.search(r"^holds nothing: budget not measured yet \(counts of \d+ minutes, needs 30\)$", said, re.MULTILINE), said


def test_a_wave_that_was_resumed_says_so(operated: Operated) -> None:
    digest = operated.approve("resumed", "e")
    before = operated.until(lambda shown: shown["candidate"] == digest and shown["wave"] == "canary")
    assert operated.order("pause").body["followed"]
    assert operated.order("resume").body["followed"]
    after = operated.until(lambda shown: shown["resumed"])
    assert (before["resumed"], after["waveSince"] >= before["waveSince"]) == (False, True)
    assert f"wave canary (1 of 2), resumed at {after['waveSince']}" in operated.run("rollout", "show", "shop/web").stdout
    assert operated.order("abort").body["followed"]


def test_a_rollback_from_the_stable_release_goes_to_the_one_before(operated: Operated) -> None:
    before, now = operated.stable("before", "2"), operated.stable("now", "3")
    assert operated.order("rollback", to="ffff").body["happened"][0]["kind"] == "order-ignored"
    assert operated.order("rollback", to=before[:10]).body["phase"] == "stopped"
    shown = operated.show()
    assert (shown["stable"], shown["stableCommit"]) == (before, "2" * 40)
    assert (shown["refused"], shown["refusedCommit"]) == (now, "3" * 40)


def test_a_freeze_by_hand_holds_a_fleet_until_it_is_ended_and_never_a_rollback(operated: Operated) -> None:
    put = operated.run("freeze", "--fleet", "shop/web", "--for", "2h", "--reason", "INC-4711")
    assert "shop/web: frozen until" in put.stderr
    digest = operated.approve("frozen", "4")
    shown = operated.until(lambda shown: shown["candidate"] == digest and "freeze" in kinds(shown))
    assert "INC-4711" in shown["why"]
    assert operated.order("abort").body["phase"] == "stopped"
    rows = json.loads(operated.run("freeze", "list", "--format", "json").stdout)["freezes"]
    assert [(one["tenant"], one["fleets"], one["reason"]) for one in rows] == [("shop", ["web"], "INC-4711")]
    assert operated.site.ask("GET", "/api/v1/freezes", who="lab-admin").body["freezes"] == []
    ended = operated.run("freeze", "end", str(rows[0]["number"]), "--reason", "repaired")
    assert ended.exit_code == 0, ended.output
    operated.order("retry")
    operated.until(lambda shown: shown["wave"] == "canary")
    operated.order("abort")


def test_the_global_stop_is_for_those_who_run_the_installation_and_holds_every_fleet(operated: Operated) -> None:
    place = "/api/v1/freezes/installation"
    assert operated.site.ask("POST", place, who="admin", body={**WHY, "seconds": 60}).status == 403
    put = operated.run("freeze", "--all", "--for", "1h", "--reason", "the network is being repaired", "--format", "json")
    number = json.loads(put.stdout)["freezes"][0]["number"]
    digest = operated.approve("stopped everywhere", "5")
    operated.until(lambda shown: shown["candidate"] == digest and "freeze" in kinds(shown))
    assert operated.site.ask("GET", "/api/v1/freezes", who="lab-admin").body["freezes"][0]["tenant"] == ""
    operated.run("freeze", "end", str(number), "--reason", "repaired")
    operated.until(lambda shown: shown["wave"] == "canary")
    operated.order("abort")
    for wrong in (["--for", "2h", "--reason", "x"], ["--all", "--reason", "x"], ["--all", "--tenant", "shop", "--for", "1h"]):
        refused = operated.run("freeze", *wrong)
        assert isinstance(refused.exception, OrdainError), refused.output
        assert refused.exception.exit_code == 2


def test_a_freeze_has_one_end(operated: Operated) -> None:
    twice = operated.run("freeze", "--all", "--for", "2h", "--until", "30m", "--reason", "x")
    assert (twice.exit_code, "give one end, not 2h and 30m" in twice.stderr) == (2, True)


def test_a_mode_goes_to_the_canary_and_by_its_receipts_everywhere_or_everywhere_now(operated: Operated) -> None:
    digest = operated.stable("with modes", "6")
    too_long = operated.run("mode", "set", "shop/web", "incident", "--until", "2h", "--reason", "INC")
    assert "up to 3600 s" in str(too_long.exception)
    assert "has no mode party" in str(operated.run("mode", "set", "shop/web", "party", "--until", "1h", "--reason", "INC").exception)
    on = operated.run("mode", "set", "shop/web", "incident", "--until", "30m", "--reason", "INC-4711")
    assert "on the first wave's hosts first" in on.stderr
    assert [(one["mode"], one["everywhere"]) for one in operated.show()["modes"]] == [("incident", False)]
    operated.digests.append(digest)
    operated.say("web-01", mode="incident")
    shown = operated.until(lambda shown: any(one["everywhere"] for one in shown["modes"]))
    assert shown["events"][0]["kind"] == "mode-everywhere"
    assert "everywhere" in operated.run("mode", "list").stdout
    off = operated.run("mode", "end", "shop/web", "incident", "--reason", "over")
    assert "mode incident off" in off.stderr
    now = operated.site.ask("POST", "/api/v1/modes/shop/web/incident/on", who="operator", body={**WHY, "seconds": 60, "now": True})
    assert now.body["happened"][0]["why"].count("everywhere at once") == 1
    assert operated.site.ask("GET", "/api/v1/modes", who="lab-admin").body["modes"] == []
    operated.run("mode", "set", "shop/web", "maintenance", "--until", "30m", "--reason", "INC-4713")
    assert [one["overruledEverywhere"] for one in operated.show()["modes"]] == [False, False]
    listed = operated.run("mode", "list").stdout
    assert re.search(r"incident +everywhere, overruled by maintenance on the first wave +", listed), listed
    operated.run("mode", "set", "shop/web", "maintenance", "--until", "30m", "--now", "--reason", "INC-4713")
    assert [(one["mode"], one["overruledBy"]) for one in operated.show()["modes"]] == [("incident", "maintenance"), ("maintenance", "")]
    assert "everywhere, overruled by maintenance  " in operated.run("mode", "list").stdout
    for mode in ("maintenance", "incident"):
        operated.run("mode", "end", "shop/web", mode, "--reason", "over")


def test_a_mode_that_hurts_the_canary_is_taken_back(operated: Operated) -> None:
    operated.run("mode", "set", "shop/web", "incident", "--until", "30m", "--reason", "INC-4712")
    operated.digests.append(operated.show()["stable"])
    operated.say("web-01", mode="incident", result="failed", why="no memory")
    shown = operated.until(lambda shown: not shown["modes"])
    assert shown["events"][0]["kind"] == "mode-taken-back"


def test_what_happened_is_in_the_audit_with_its_commit_and_counted_for_alerts(operated: Operated) -> None:
    digest = operated.approve("counted", "7")
    operated.until(lambda shown: shown["candidate"] == digest and shown["wave"] == "canary")
    numbers = metrics.exposition(RolloutCollector(operated.site.registry, operated.site.zone.known))().decode()
    assert 'ordain_rollouts{phase="applying"} 1.0' in numbers
    assert 'ordain_rollout_wave{fleet="web",tenant="shop"} 1.0' in numbers
    assert 'ordain_rollout_waiting_seconds{fleet="web",for="evidence",tenant="shop"}' in numbers
    operated.say("web-01", result="failed", why="no memory")
    operated.until(lambda shown: shown["phase"] == "stopped")
    after = metrics.exposition(RolloutCollector(operated.site.registry, operated.site.zone.known))().decode()
    assert 'ordain_rollouts{phase="stopped"} 1.0' in after
    assert 'ordain_rollout_transitions_total{fleet="web",kind="taken-back",tenant="shop"}' in after
    newest = operated.site.registry.look(audit.listed, "shop", limit=3).items
    assert [(one.action, one.target, one.who) for one in newest[::-1]] == [
        (f"rollout.{kind}", f"shop/web@{'7' * 40}", "system") for kind in ("candidate", "admitted", "taken-back")
    ]
    assert "1 of 1 hosts" in newest[0].reason


@pytest.mark.parametrize(
    ("order", "called"),
    [
        (("rollout", "resume", "shop/web"), "resume"),
        (("rollout", "rollback", "shop/web", "--to", "ffff"), "rollback"),
        (("mode", "end", "shop/web", "incident"), "mode end"),
    ],
)
def test_an_order_that_there_is_nothing_to_do_for_ends_with_1_and_is_ignored_in_json_and_audit(
    operated: Operated, order: tuple[str, ...], called: str
) -> None:
    with pytest.raises(RefusedError, match=f"shop/web: {called} by local: "):
        operated.run(*order, "--reason", "INC-4711", raises=True)
    asked = operated.run(*order, "--reason", "INC-4711", "--format", "json")
    said = json.loads(asked.stdout)
    assert (asked.exit_code, said["ignored"], said["why"].partition(" by ")[0]) == (1, True, called)
    entry = operated.site.registry.look(audit.listed, "shop", limit=1).items[0]
    assert (entry.action, entry.outcome, entry.reason) == ("rollout.order-ignored", "ignored", said["why"])


def test_waiting_outlasts_a_token_that_a_restart_made_worthless_and_never_takes_a_refusal_for_an_outcome(operated: Operated) -> None:
    place, asked = operated.site.state / local.TOKEN_FILE, ("rollout", "wait", "shop/web", "--commit", "fade" * 10)
    token = place.read_text()
    place.write_text(f"{local.text(local.make())}\n")
    try:
        with pytest.raises(RetryError, match="what became of shop/web can't be told: this is the local token of another start"):
            operated.run(*asked, "--timeout", "0s", raises=True)
        later = threading.Timer(1.5, place.write_text, [token])
        later.start()
        waited = operated.run(*asked, "--timeout", "4s")
        later.join()
    finally:
        place.write_text(token)
    assert waited.exit_code == 4, waited.output
    assert "nothing of commit fadefadefade yet" in waited.stderr


def test_a_freeze_of_git_is_not_ended_by_hand_and_its_name_is_answered_with_what_ends_it(operated: Operated) -> None:
    with pytest.raises(InputError, match=r"'peak-season' is no number of a freeze by hand: .* one of git ends by a commit"):
        operated.run("freeze", "end", "peak-season", "--reason", "repaired", raises=True)


def test_what_a_host_has_now_is_told_where_it_is_not_what_is_explained(operated: Operated) -> None:
    said = FleetReport(fleet="web", result="applied", digest="d" * 64, commit="c" * 40, mode="incident")
    with operated.site.registry.begin() as connection:
        batches.write_batches(connection, [received("web-02", sequence=1000, at=datetime.now(UTC), statuses=[said])])
    here = receipts.here(Host(tenant="shop", agent="web-02"), server=None, state=operated.site.state)["shop/web"]
    assert here == receipts.Here(digest="d" * 64, commit="c" * 40, mode="incident")
    assert list(otherwise(here, digest="d" * 64, mode="incident")) == []
    assert list(otherwise(here, digest="e" * 64, mode="")) == [
        f"now        the host runs {'d' * 12} of commit {'c' * 12}, not the release below: --rev {'c' * 12} tells of that",
        "now        the host is in mode incident: --mode incident tells of that",
    ]


def test_waiting_for_a_fleet_that_is_not_there_says_so(operated: Operated) -> None:
    with pytest.raises(InputError, match="tenant shop has no fleet nope"):
        operated.run("rollout", "wait", "shop/nope", raises=True)
    coming = operated.run("rollout", "wait", "shop/nope", "--commit", "fade" * 10, "--timeout", "0s")
    nothing = "tenant shop has no fleet nope, unless commit fadefadefade brings it, of which nothing is known here yet"
    assert (coming.exit_code, coming.stderr) == (4, f"shop/nope: going: {nothing}\n")
    waited = operated.run("rollout", "wait", "shop/nope", "--commit", "fade" * 10, "--timeout", "1s")
    assert (waited.exit_code, waited.stderr.splitlines()[0]) == (4, f"shop/nope: {nothing}")
    with pytest.raises(InputError, match=r"tenant shop has no fleet wep; did you mean web\?"):
        operated.run("rollout", "wait", "shop/wep", "--commit", "a" * 40, "--timeout", "1h", raises=True)
    with pytest.raises(InputError, match="write 7 digits"):
        operated.run("rollout", "wait", "shop/web", "--commit", "HEAD~123", raises=True)


@pytest.mark.parametrize(
    ("row", "outcome"),
    [
        ({"phase": "settled", "stable": "d"}, "done"),
        ({"phase": "paused", "stable": "d"}, "going"),
        ({"phase": "stopped", "stable": "d"}, "taken back"),
        ({"phase": "settled", "stable": ""}, "going"),
    ],
)
def test_what_became_of_the_newest_release_is_told_by_its_phase(row: dict[str, Any], outcome: str) -> None:
    assert outcome_of(row) == outcome
