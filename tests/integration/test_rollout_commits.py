"""What became of commits, as operators and pipelines are told."""

from datetime import UTC, datetime

import msgspec
import pytest

from reconciler.pipeline.approve import write_controls
from reconciler.publication.controls import Fleet
from tests.integration.test_rollouts_operated import Operated, conducted, operated  # noqa: F401 - a fixture

pytestmark = pytest.mark.needs("opa")


def test_show_says_that_the_newest_commit_was_refused_and_why(operated: Operated) -> None:  # noqa: F811
    operated.stable("good", "5")
    stands = Fleet(freshness=3600, state="frozen", why="fleets/web.yaml is refused: no root", since="2026-11-23T12:00:00Z", commit="6" * 40)
    known = conducted()
    web = msgspec.structs.replace(known.fleets["web"], state=stands.state, why=stands.why, since=stands.since, commit=stands.commit)
    signer = operated.zone.rings.pipeline.signer("shop/releases")
    write_controls(operated.zone.store, signer, msgspec.structs.replace(known, fleets={**known.fleets, "web": web}), now=datetime.now(UTC))
    shown = operated.until(lambda shown: shown["inGit"]["state"] == "frozen")
    assert (shown["inGit"]["why"], shown["inGit"]["commit"]) == (stands.why, "6" * 40)
    why = "frozen since 2026-11-23T12:00:00Z by commit 666666666666, nothing newer is released: fleets/web.yaml is refused: no root"
    lines = operated.run("rollout", "show", "shop/web").stdout.splitlines()
    assert (lines[1], "moved by: a commit that is let through: the newest was refused" in lines) == (why, True)
