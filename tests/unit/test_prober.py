"""Probes are asked at their period by a thread, and what turns is said once; failures count one a period, and none within the grace."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from agent.commands import Commands
from agent.health.prober import Prober, Standing
from agent.host import Host
from agent.protocol.state import Probe

PATIENCE = 60.0


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_who_may_not_ask_hears_that_nobody_does(tmp_path: Path) -> None:
    prober = Prober(Host(tmp_path), Commands())
    prober.want("web", 1, [Probe(name="a", file="/a")])
    assert prober.standing("web") is None


def test_verdicts_turn_with_what_is_asked_and_wake_whoever_waits(tmp_path: Path) -> None:
    prober, woken = Prober(Host(tmp_path), Commands()), threading.Event()
    beat = Probe(name="beat", file="/beat", every="1s", failures=1)
    with prober.asking(woken.set):
        prober.want("web", 1, [beat])
        assert woken.wait(PATIENCE)
        assert prober.standing("web") == Standing(verdict="failed", why="probe beat: there is no file /beat")
        (tmp_path / "beat").touch()
        until(lambda: prober.standing("web") == Standing(verdict="holds"))
        assert [one.verdict for one in prober.changes("web")] == ["failed", "holds"]
        assert prober.changes("web") == []
        prober.keep([])
        assert prober.standing("web") is None
    assert not [thread for thread in threading.enumerate() if thread.name == "probes"]


def test_nothing_counts_within_the_grace_and_another_generation_begins_anew(tmp_path: Path) -> None:
    prober = Prober(Host(tmp_path), Commands())
    with prober.asking(lambda: None):
        prober.want("web", 1, [Probe(name="a", file="/a", failures=1, grace="1h")])
        until(lambda: prober.seen("web")[0].why != "")
        assert prober.seen("web")[0].verdict == "unknown"
        prober.want("web", 2, [Probe(name="a", file="/a", failures=1)])
        until(lambda: prober.seen("web")[0].verdict == "failed")


def test_a_probe_that_can_not_be_asked_fails_and_the_others_are_asked(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    prober = Prober(Host(tmp_path), Commands())
    with prober.asking(lambda: None):
        prober.want("web", 1, [Probe(name="odd", tcp="nowhere", timeout="soon", every="", failures=1), Probe(name="a", file="/a")])
        until(lambda: [one.verdict for one in prober.seen("web")] == ["failed", "holds"])
