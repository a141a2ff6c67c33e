"""A release's services, all the way from what a fleet asks for to a real systemd, booted for these tests."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.disk import Disk
from agent.effects.units import Units
from agent.fetching.fetcher import Http
from agent.following.admission import Wanted
from agent.logs import Log
from agent.loop import looking_after, make_settler, make_workspace
from agent.protocol import codec
from agent.protocol.rollout import Release
from agent.protocol.state import File, Process, Service, State
from agent.services.seen import Seen, look
from agent.services.services import Services
from agent.settings import Settings
from agent.settling.drift import watch
from agent.settling.settle import Settler
from agent.stopping import Stop
from agent.trust.floors import Floors
from tests.systemd_machine import Machine, booted

pytestmark = [pytest.mark.needs("systemd"), pytest.mark.xdist_group("systemd")]
UNIT = "app.service"
PLACE = f"/etc/systemd/system/{UNIT}"
TEXT = "[Service]\nExecStart=/bin/sleep 1000\n"


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with booted() as one:
        yield one


@pytest.fixture
def settler(machine: Machine, tmp_path: Path) -> Iterator[Settler]:
    """An agent's settler, whose root is a directory that the booted machine sees too, and has its unit from."""
    root = machine.shared / "host"
    root.mkdir(exist_ok=True)
    machine.run("ln", "-sf", str(root / PLACE.lstrip("/")), PLACE)
    state = tmp_path / "state"
    settings = Settings(
        server="http://127.0.0.1:1", bootstrap=b"", tenant="shop", name="web-01", root=root, state=state, config=tmp_path / "none"
    )
    work, log = make_workspace(settings, Http(), Stop()), Log("text", io.StringIO())
    made = make_settler(settings, work, log)
    made.effects.units = Units(services=Services(systemd=machine.systemd, record=Disk(root=state).services))
    floors = state / "fleets/web/floors.json"
    floors.parent.mkdir(parents=True)
    floors.write_bytes(codec.canonical(Floors()))
    with looking_after(made.effects, work, log):
        yield made
        settle(made, State())


def release(word: str, *, drift: str = "enforce", processes: tuple[Process, ...] = ()) -> State:
    service = Service(name=UNIT, state="running", restart_on=["/etc/app.conf"], unit_files=[PLACE])
    files = [File(path="/etc/app.conf", content=word), File(path=PLACE, content=TEXT)]
    return State(files=files, services=[service], processes=list(processes), drift=drift)  # type: ignore[arg-type]


def settle(settler: Settler, state: State) -> None:
    digest = codec.sha256(codec.canonical(state))
    wanted = Wanted(fleet="web", release=Release(digest=digest, members=1), group="all", mode=None, attempt=1, serial=1, state=state)
    settler.settle({"web": wanted}, frozenset())


def unit(machine: Machine) -> Seen:
    return look(machine.systemd, [UNIT])[UNIT]


def test_a_service_is_started_restarted_once_for_a_change_and_taken_down(settler: Settler, machine: Machine) -> None:
    waiting = Process(name="after", command=["/bin/sleep", "1000"], after=[f"service/{UNIT}"])
    settle(settler, release("one", processes=(waiting,)))
    status = settler.book.read("web")
    assert status is not None
    assert (status.result, status.why) == ("applied", "")
    first = unit(machine)
    assert first.runs
    assert settler.effects.processes.look()["after"].standing == "running"
    settle(settler, release("one", processes=(waiting,)))
    assert unit(machine).pid == first.pid, "a second apply changes nothing"
    settle(settler, release("two", processes=(waiting,)))
    second = unit(machine)
    assert second.runs
    assert second.pid != first.pid
    settle(settler, release("two", processes=(waiting,)))
    assert unit(machine).pid == second.pid
    settle(settler, State())
    assert not unit(machine).runs
    assert settler.effects.processes.look() == {}


def test_a_service_that_somebody_stopped_is_started_again_or_reported(settler: Settler, machine: Machine) -> None:
    settle(settler, release("one"))
    machine.run("systemctl", "stop", UNIT)
    settle(settler, release("one"))
    assert unit(machine).runs
    settle(settler, release("one", drift="report"))
    machine.run("systemctl", "stop", UNIT)
    settle(settler, release("one", drift="report"))
    watch(settler, settler.table({}, frozenset()))
    status = settler.book.read("web")
    assert status is not None
    assert not unit(machine).runs
    assert [(one.path, one.expected, one.actual) for one in status.drift] == [(f"service/{UNIT}", "running", "inactive, linked")]


def test_a_service_that_can_not_start_fails_its_fleet_with_its_reason(settler: Settler, machine: Machine) -> None:
    broken = release("one")
    broken.files[1] = File(
        path=PLACE, content="[Service]\nType=notify\nTimeoutStartSec=2\nExecStart=/bin/sh -c 'echo no licence; exit 3'\n"
    )
    settle(settler, broken)
    status = settler.book.read("web")
    assert status is not None
    assert status.result == "failed"
    assert f"service/{UNIT}: " in status.why
    settle(settler, release("one"))
    assert unit(machine).runs
    status = settler.book.read("web")
    assert status is not None
    assert status.result == "applied"
