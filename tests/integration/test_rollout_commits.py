"""What became of a commit, as a pipeline that waits for it is told: at once, where it is known."""

import json
import time
from datetime import UTC, datetime

import msgspec
import pytest

from reconciler.pipeline.approve import write_controls
from reconciler.publication.controls import Fleet
from tests.integration.test_rollouts_operated import Operated, conducted, operated  # noqa: F401 - a fixture

pytestmark = pytest.mark.needs("opa")


def waited(site: Operated, commit: str) -> tuple[int, str, str]:
    """Wait for a commit: the exit code, the outcome, and what is said; it is known, so nobody waits."""
    asked = ("rollout", "wait", "shop/web", "--commit", commit[0] * 40, "--timeout", "1h")
    began = time.monotonic()
    found = site.run(*asked)
    assert time.monotonic() - began < 20
    return found.exit_code, json.loads(site.run(*asked, "--format", "json").stdout)["outcome"], found.stderr


def test_a_commit_that_was_stable_once_is_done_when_a_newer_one_is_and_says_what_is_stable(operated: Operated) -> None:  # noqa: F811
    first, second = operated.stable("first", "1"), operated.stable("second", "2")
    code, outcome, said = waited(operated, "1")
    assert (code, outcome, f"{second[:12]} of commit {'2' * 12} is stable" in said) == (0, "done", True)
    assert "commit 111111111111 became stable for everybody at " in said
    assert operated.order("rollback", to=first).body["phase"] == "stopped"
    assert waited(operated, "1")[:2] == (0, "done")
    assert waited(operated, "2")[:2] == (1, "taken back")
    shown, text = operated.show(), operated.run("rollout", "show", "shop/web").stdout
    assert (shown["stable"], shown["stableCommit"]) == (first, "1" * 40)
    assert {"digest": operated.digests[0], "commit": "a" * 40} in shown["backTo"]
    back = next(line for line in text.splitlines() if line.startswith("back to"))
    assert f"{operated.digests[0][:12]} of commit {'a' * 12}" in back


def test_a_commit_that_a_newer_one_overtook_ends_at_once_and_is_told_by_which(operated: Operated) -> None:  # noqa: F811
    digest = operated.approve("overtaken", "3")
    operated.until(lambda shown: shown["candidate"] == digest and shown["wave"] == "canary")
    operated.order("pause")
    newer = operated.approve("newer", "4")
    operated.until(lambda shown: shown["candidate"] == newer)
    code, outcome, said = waited(operated, "3")
    assert (code, outcome) == (1, "superseded")
    assert "commit 333333333333 never was stable, and will not be: commit 444444444444 came before it was" in said
    operated.order("abort")
    assert waited(operated, "4")[:2] == (1, "taken back")


def test_a_commit_that_policy_refused_ends_at_once_and_show_says_why_the_fleet_stands_still(operated: Operated) -> None:  # noqa: F811
    operated.stable("good", "5")
    stands = Fleet(freshness=3600, state="frozen", why="fleets/web.yaml is refused: no root", since="2026-11-23T12:00:00Z", commit="6" * 40)
    known = conducted()
    web = msgspec.structs.replace(known.fleets["web"], state=stands.state, why=stands.why, since=stands.since, commit=stands.commit)
    signer = operated.zone.rings.pipeline.signer("shop/releases")
    write_controls(operated.zone.store, signer, msgspec.structs.replace(known, fleets={**known.fleets, "web": web}), now=datetime.now(UTC))
    shown = operated.until(lambda shown: shown["inGit"]["state"] == "frozen")
    assert (shown["inGit"]["why"], shown["inGit"]["commit"]) == (stands.why, "6" * 40)
    code, outcome, said = waited(operated, "6")
    assert (code, outcome) == (1, "refused")
    assert "commit 666666666666 was refused at 2026-11-23T12:00:00Z, and has no release: fleets/web.yaml is refused: no root" in said
    why = "frozen since 2026-11-23T12:00:00Z by commit 666666666666, nothing newer is released: fleets/web.yaml is refused: no root"
    lines = operated.run("rollout", "show", "shop/web").stdout.splitlines()
    assert (lines[1], "moved by: a commit that is let through: the newest was refused" in lines) == (why, True)
    other = operated.run("rollout", "wait", "shop/web", "--commit", "f" * 40, "--timeout", "0s")
    assert (other.exit_code, why in other.stderr) == (4, True)
    assert waited(operated, "5")[:2] == (0, "done")
