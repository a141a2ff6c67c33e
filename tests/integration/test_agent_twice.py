"""Random releases over random starting states: whatever came before, one apply brings the host there and a second changes nothing."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from agent.disk import Disk
from agent.host import Host
from agent.logs import Log
from agent.processes.supervisor import Supervisor
from agent.protocol.state import Action, File, HostFile, Process, State
from agent.reporting.running import running as running_of
from tests import agent_cases
from tests.agent_cases import Rig

NAMES = ("a", "b", "c")
WORDS = st.sampled_from(["one", "two"])
SHARED = "/etc/shared"


def process(name: str, script: str, waits: frozenset[str]) -> Process:
    after = sorted(f"process/{one}" for one in waits if one < name)
    return Process(name=name, command=["/bin/sh", "-c", f"{script}; exec sleep 10000"], after=after, restart_on=[f"/etc/{name}"])


@st.composite
def releases(draw: st.DrawFn) -> State:
    """Return files, processes that read them and wait for one another, lines in a shared file, and an action."""
    chosen = draw(st.frozensets(st.sampled_from(NAMES)))
    waits = draw(st.frozensets(st.sampled_from(NAMES)))
    blocks = draw(st.dictionaries(st.sampled_from(NAMES), WORDS, max_size=2))
    return State(
        files=[File(path=f"/etc/{name}", content=draw(WORDS)) for name in sorted(chosen)],
        processes=[process(name, draw(st.sampled_from([":", "true"])), waits & chosen) for name in sorted(chosen)],
        host_files=[HostFile(name=name, path=SHARED, content=word) for name, word in sorted(blocks.items())],
        actions=[Action(name="note", on=["/etc/a"], run=["/bin/true"])] if draw(st.booleans()) else [],
    )


@contextmanager
def host() -> Iterator[Rig]:
    with tempfile.TemporaryDirectory() as made, agent_cases.rig(Path(made)) as rig:
        (rig.root / "etc").mkdir()
        (rig.root / SHARED.lstrip("/")).write_text("theirs\n")
        try:
            yield rig
        finally:
            Supervisor(rig.state / "processes", host=Host(rig.root), log=Log()).close(leave_running=False)


def running(rig: Rig) -> dict[str, int | None]:
    """Return process → pid, as what runs says itself."""
    return {one.name: one.pid for one in running_of(Disk(root=rig.state), rig.root) if one.standing == "running"}


@pytest.mark.no_cover
@settings(max_examples=6, deadline=None, phases=(Phase.generate,), suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.lists(releases(), min_size=1, max_size=2), st.dictionaries(st.sampled_from(NAMES), WORDS))
def test_a_second_apply_changes_nothing_and_says_so(states: list[State], by_hand: dict[str, str]) -> None:
    with host() as rig:
        for state in states:
            for name, word in by_hand.items():
                (rig.root / "etc" / name).write_text(word)
            rig.fleet().publish(state, ["web-01"])
            assert rig.poll() == 0, rig.log
        before = rig.tree(), running(rig)
        assert set(before[1]) == {one.name for one in states[-1].processes}
        assert rig.text(SHARED).startswith("theirs\n")
        assert rig.poll() == 0, rig.log
        assert (rig.tree(), running(rig)) == before
        assert {line.split(" ")[1] for line in rig.log.splitlines()} <= {"start", "warning"}
        assert rig.answer("plan")["fleets"][0]["result"] == "unchanged"
