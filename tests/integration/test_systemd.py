"""Services and transient processes on a real systemd, booted for these tests (see tests/systemd_machine.py)."""

import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Literal

import pytest

from agent.host import Host
from agent.processes.interface import Seen as SeenProcess
from agent.processes.interface import Wanted
from agent.protocol.errors import RefusedError, RetryError
from agent.protocol.state import CrashLoop, Limits, Process, Service
from agent.services.noted import WantedService
from agent.services.seen import Seen, look
from agent.services.services import Services
from agent.services.transient import TransientUnits
from tests.systemd_machine import Machine, booted

pytestmark = [pytest.mark.needs("systemd"), pytest.mark.xdist_group("systemd")]

DIRECTORY = "/etc/systemd/system"
SLEEPS = "[Service]\nExecStart=/bin/sleep 1000\n"
STARTS_AT_BOOT = "[Install]\nWantedBy=multi-user.target\n"
EVENTUALLY = 60
_number = count(1)


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with booted() as one:
        yield one


@pytest.fixture
def unit(machine: Machine) -> Iterator[str]:
    """A name that no other test uses; what has it is stopped at the end."""
    name = f"web{next(_number)}.service"
    yield name
    machine.systemd.commands.run("systemctl", "stop", name)


@pytest.fixture
def services(machine: Machine, tmp_path: Path) -> Services:
    return Services(systemd=machine.systemd, record=tmp_path / "services.json")


@pytest.fixture
def processes(machine: Machine) -> Iterator[TransientUnits]:
    made = TransientUnits(machine.shared / "environments", host=Host(Path("/")), systemd=machine.systemd)
    yield made
    made.close(leave_running=False)


def wanted(name: str, *, unit: str | None = None, restart: str = "1", reload: str = "1", **fields: object) -> WantedService:
    """A service that is restarted by /etc/web.conf and reloaded by /etc/web.routes, which hold `restart` and `reload`."""
    files = [f"{DIRECTORY}/{name}"] if unit is not None else []
    service = Service(name=name, restart_on=["/etc/web.conf"], reload_on=["/etc/web.routes"], unit_files=files, **fields)  # type: ignore[arg-type]
    contents = {"restart_on": {"/etc/web.conf": restart}, "reload_on": {"/etc/web.routes": reload}}
    return WantedService(service=service, **contents, unit_files=dict.fromkeys(files, unit or ""))


def settle(services: Services, *all_wanted: WantedService) -> list[str]:
    """Do what the agent does after a switch; return what was done."""
    done = services.retire([one.service.name for one in all_wanted])
    seen = services.refresh(all_wanted)
    for one in all_wanted:
        done += services.bring(one, seen[one.service.name])
    return [step.kind for step in done]


def now(machine: Machine, unit: str) -> Seen:
    return look(machine.systemd, [unit])[unit]


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + EVENTUALLY
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


# Services


def test_one_call_tells_of_units_of_all_kinds_also_of_those_that_are_not_there(machine: Machine) -> None:
    seen = look(machine.systemd, ["basic.target", "nobody.service", "tmp.mount", "dbus.socket", "systemd-tmpfiles-clean.timer"])
    assert {name: one.load for name, one in seen.items() if one.load != "loaded"} == {"nobody.service": "not-found"}
    assert seen["nobody.service"].error == "Unit nobody.service not found."
    assert seen["basic.target"].runs
    assert not seen["nobody.service"].runs


def test_a_service_that_comes_with_a_release_is_enabled_and_started_and_a_second_look_does_nothing(
    machine: Machine, services: Services, unit: str
) -> None:
    text = SLEEPS + STARTS_AT_BOOT
    machine.write(f"{DIRECTORY}/{unit}", text)
    asked = wanted(unit, unit=text, state="running", enabled=True)
    assert settle(services, asked) == ["enable", "start"]
    assert (now(machine, unit).active, now(machine, unit).file_state) == ("active", "enabled")
    assert settle(services, asked) == []


def test_a_change_has_the_unit_file_read_anew_and_restarts_the_service_once(machine: Machine, services: Services, unit: str) -> None:
    machine.write(f"{DIRECTORY}/{unit}", SLEEPS)
    settle(services, wanted(unit, unit=SLEEPS, state="running"))
    before = now(machine, unit).pid
    other = SLEEPS.replace("1000", "2000")
    machine.write(f"{DIRECTORY}/{unit}", other)
    changed = wanted(unit, unit=other, state="running", restart="2", reload="2")
    assert settle(services, changed) == ["restart"]
    after = now(machine, unit).pid
    assert after not in (None, before)
    assert machine.run("cat", f"/proc/{after}/cmdline") == "/bin/sleep\0002000\0"
    assert settle(services, changed) == []
    assert now(machine, unit).pid == after


def test_a_service_that_can_be_reloaded_is_not_restarted_for_it(machine: Machine, services: Services, unit: str) -> None:
    text = f"{SLEEPS}ExecReload=/bin/sh -c 'echo reloaded >> /run/{unit}.log'\n"
    machine.write(f"{DIRECTORY}/{unit}", text)
    settle(services, wanted(unit, unit=text, state="running"))
    before = now(machine, unit).pid
    assert settle(services, wanted(unit, unit=text, state="running", reload="2")) == ["reload"]
    assert now(machine, unit).pid == before
    assert machine.run("cat", f"/run/{unit}.log") == "reloaded\n"


def test_an_agent_that_died_between_switch_and_restart_restarts_when_it_is_back(machine: Machine, tmp_path: Path, unit: str) -> None:
    machine.write(f"{DIRECTORY}/{unit}", SLEEPS)
    record = tmp_path / "services.json"
    settle(Services(systemd=machine.systemd, record=record), wanted(unit, unit=SLEEPS, state="running"))
    changed = wanted(unit, unit=SLEEPS, state="running", restart="2")
    Services(systemd=machine.systemd, record=record).adopt([changed], {"/etc/web.conf"})
    assert settle(Services(systemd=machine.systemd, record=record), changed) == ["restart"]
    assert settle(Services(systemd=machine.systemd, record=record), changed) == []


def test_a_service_that_ran_before_ordain_came_is_restarted_only_for_what_the_first_release_changes(
    machine: Machine, services: Services, unit: str
) -> None:
    machine.write(f"{DIRECTORY}/{unit}", SLEEPS)
    machine.run("systemctl", "start", unit)
    services.adopt([wanted(unit, state="running")], {"/etc/web.routes"})
    services.adopt([wanted(unit, state="running")], set())
    assert settle(services, wanted(unit, state="running")) == ["restart"]  # for routes, and without ExecReload
    assert settle(services, wanted(unit, state="running")) == []


def test_a_unit_that_leaves_the_release_is_stopped_and_no_longer_starts_at_boot(machine: Machine, services: Services, unit: str) -> None:
    text = SLEEPS + STARTS_AT_BOOT
    machine.write(f"{DIRECTORY}/{unit}", text)
    settle(services, wanted(unit, unit=text, state="running", enabled=True))
    (machine.root / DIRECTORY.lstrip("/") / unit).unlink()
    assert settle(services) == ["stop", "disable"]
    assert now(machine, unit).load == "not-found"
    assert not list((machine.root / DIRECTORY.lstrip("/")).glob(f"*.wants/{unit}"))
    assert settle(services) == []


def test_the_hosts_own_unit_stays_as_it_is_when_a_release_no_longer_names_it(machine: Machine, services: Services, unit: str) -> None:
    machine.write(f"{DIRECTORY}/{unit}", SLEEPS)
    assert settle(services, wanted(unit, state="running")) == ["start"]
    assert settle(services) == []
    assert now(machine, unit).runs


def test_masking_stops_a_unit_and_unmasking_gives_it_back(machine: Machine, services: Services, unit: str) -> None:
    machine.write(f"/run/systemd/system/{unit}", SLEEPS)
    settle(services, wanted(unit, state="running"))
    assert settle(services, wanted(unit, masked=True)) == ["stop", "mask"]
    assert now(machine, unit).masked
    assert settle(services, wanted(unit, masked=True)) == []
    assert settle(services, wanted(unit, state="running")) == ["unmask", "start"]


def test_a_timer_is_enabled_and_runs_and_its_service_is_left_to_it(machine: Machine, services: Services, unit: str) -> None:
    timer = unit.replace(".service", ".timer")
    text = "[Service]\nType=oneshot\nExecStart=/bin/true\n"
    clock = "[Timer]\nOnActiveSec=1h\n[Install]\nWantedBy=timers.target\n"
    machine.write(f"{DIRECTORY}/{unit}", text)
    machine.write(f"{DIRECTORY}/{timer}", clock)
    both = (wanted(unit, unit=text), wanted(timer, unit=clock, state="running", enabled=True))
    assert settle(services, *both) == ["enable", "start"]
    assert (now(machine, timer).sub, now(machine, unit).active) == ("waiting", "inactive")
    assert settle(services, *both) == []
    assert settle(services) == ["stop", "disable"]


def test_a_one_shot_runs_once_for_each_change(machine: Machine, services: Services, unit: str) -> None:
    text = f"[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo ran >> /run/{unit}.log'\n"
    machine.write(f"{DIRECTORY}/{unit}", text)
    kinds = [settle(services, wanted(unit, unit=text, state="running", restart=content)) for content in ("1", "1", "2", "2")]
    assert kinds == [["start"], [], ["start"], []]
    assert machine.run("cat", f"/run/{unit}.log") == "ran\nran\n"


def test_a_service_that_can_not_start_is_an_error_with_its_last_words_and_is_tried_again(
    machine: Machine, services: Services, unit: str
) -> None:
    text = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo port 80 is taken >&2; exit 3'\n"
    machine.write(f"{DIRECTORY}/{unit}", text)
    asked = wanted(unit, unit=text, state="running")
    with pytest.raises(RetryError) as refused:
        settle(services, asked)
    assert f"systemd can't start {unit}: Job for {unit} failed" in str(refused.value)
    assert "port 80 is taken" in str(refused.value)
    assert [step.why for step in services.plan(asked, now(machine, unit))] == [("failed (exit-code)",)]


def test_a_service_that_crashed_too_often_is_started_by_a_release_that_changes_it(machine: Machine, services: Services, unit: str) -> None:
    limits = "[Unit]\nStartLimitIntervalSec=1h\nStartLimitBurst=2\n"
    text = f"{limits}[Service]\nExecStart=/bin/sh -c 'test -e /run/{unit}.mended && exec sleep 1000'\nRestart=always\nRestartSec=0\n"
    machine.write(f"{DIRECTORY}/{unit}", text)
    settle(services, wanted(unit, unit=text, state="running"))
    eventually(lambda: now(machine, unit).active == "failed")
    with pytest.raises(RetryError, match=r"too quickly|start-limit"):
        settle(services, wanted(unit, unit=text, state="running"))
    machine.write(f"/run/{unit}.mended", "")
    assert settle(services, wanted(unit, unit=text, state="running", restart="2")) == ["start"]
    assert now(machine, unit).runs


def test_what_systemd_says_no_to_comes_with_what_to_do(machine: Machine, services: Services, unit: str) -> None:
    with pytest.raises(RetryError, match=rf"Unit {unit} not found(.|\n)*Give {unit} a unit file"):
        settle(services, wanted(unit, state="running"))
    machine.write(f"{DIRECTORY}/{unit}", SLEEPS)
    with pytest.raises(RefusedError, match=f"{unit} can't be enabled: it has no \\[Install\\] section"):
        settle(services, wanted(unit, unit=SLEEPS, enabled=True))


def test_no_service_is_had_where_systemd_does_not_run_the_host(services: Services, machine: Machine, tmp_path: Path) -> None:
    service = Service(name="web.service", state="running")
    services.require([service])
    elsewhere = type(machine.systemd)(root=tmp_path)
    with pytest.raises(RefusedError, match=r"service web.service: systemd does not run this host"):
        Services(systemd=elsewhere, record=tmp_path / "services.json").require([service])


# Processes


def run(processes: TransientUnits, process: Process, digest: str = "d1") -> SeenProcess:
    processes.want({process.name: Wanted(process=process, digest=digest)})
    processes.start(process.name)
    return processes.look()[process.name]


ODD = "a b\"c\\d$HOME ${HOME} %h 'x' `id` é\n2nd line\ttab #no ;no  "
"""What systemd would read as more than itself in one place or another."""


def test_a_process_gets_just_its_words_and_its_environment_also_when_it_is_started_again_after_a_daemon_reload(
    machine: Machine, processes: TransientUnits
) -> None:
    command = ["/bin/sh", "-c", "sleep 1000; :", ODD, "$HOME", "%n $$x", "", ";", "\\;", "bell\x07"]
    process = Process(name="odd", command=command, environment={"ODD": ODD, "SHELL": "/bin/own"}, back_off="0s")
    first = run(processes, process)
    for _ in range(2):
        pid = processes.look()["odd"].pid
        assert machine.run("cat", f"/proc/{pid}/cmdline").split("\0")[:-1] == command
        variables = set(machine.run("cat", f"/proc/{pid}/environ").split("\0")[:-1])
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        assert variables == {f"ODD={ODD}", "SHELL=/bin/own", "HOME=/root", "LOGNAME=root", "USER=root", path}
        machine.systemd.daemon_reload()
        if pid == first.pid:
            machine.run("kill", "-KILL", str(pid))
            eventually(lambda: processes.look()["odd"].pid not in (None, first.pid))


def test_no_secret_of_a_process_can_be_read_by_another_user(machine: Machine, processes: TransientUnits) -> None:
    run(processes, Process(name="vault", command=["/bin/sleep", "1000"], environment={"TOKEN": "s3cret"}))
    assert "s3cret" not in machine.run("systemctl", "show", "ordain-process-vault.service")
    assert "s3cret" not in machine.run("systemctl", "cat", "ordain-process-vault.service")
    assert [oct(path.stat().st_mode & 0o777) for path in (machine.shared / "environments").glob("vault*")] == ["0o600"]


def test_a_process_is_confined_as_it_asks(machine: Machine, processes: TransientUnits) -> None:
    machine.run("mkdir", "-p", "/run/read", "/run/a b%")
    limits = Limits(memory="64Mi", cpu="50%", processes=33, open_files=512)
    looks = 'touch /run/read/x; touch "/run/a b%/mine" && ls -A "/run/a b%"; ulimit -n; grep NoNewPrivs /proc/self/status; id -un; pwd'
    process = Process(
        name="tight",
        command=["/bin/sh", "-c", f"{looks}; sleep 1000"],
        user="nobody",
        working_directory="/usr",
        limits=limits,
        no_new_privileges=True,
        read_only_paths=["/run/read"],
        private_paths=["/run/a b%"],
    )
    run(processes, process)
    eventually(lambda: "/usr" in processes.tail("tight").splitlines())
    said = processes.tail("tight")
    assert "cannot touch '/run/read/x': Read-only file system" in said
    assert [line.split() for line in said.splitlines()[-5:]] == [["mine"], ["512"], ["NoNewPrivs:", "1"], ["nobody"], ["/usr"]]
    shown = machine.run("systemctl", "show", "--property=MemoryMax,CPUQuotaPerSecUSec,TasksMax,Slice", "ordain-process-tight.service")
    assert set(shown.split()) == {"MemoryMax=67108864", "CPUQuotaPerSecUSec=500ms", "TasksMax=33", "Slice=ordain.slice"}


def test_an_agent_that_comes_back_finds_what_runs_and_for_what_it_was_started(machine: Machine, processes: TransientUnits) -> None:
    process = Process(name="kept", command=["/bin/sleep", "1000"])
    before = run(processes, process, "sha256:1")
    processes.close()
    after = TransientUnits(machine.shared / "environments", host=Host(Path("/")), systemd=machine.systemd)
    assert after.look()["kept"] == before
    assert (before.standing, before.digest) == ("running", "sha256:1")
    after.want({"kept": Wanted(process=process, digest="sha256:2")})
    after.start("kept")
    assert after.look()["kept"].digest == "sha256:1"
    after.restart("kept")
    assert after.look()["kept"].digest == "sha256:2"
    assert after.look()["kept"].pid != before.pid


def test_a_process_that_keeps_ending_is_left_alone_until_it_is_restarted(processes: TransientUnits) -> None:
    loop = CrashLoop(starts=3, within="1h")
    process = Process(name="ends", command=["/bin/sh", "-c", "echo no licence; exit 7"], back_off="0s", crash_loop=loop)
    run(processes, process)
    eventually(lambda: processes.look()["ends"].standing == "looping")
    seen = processes.look()["ends"]
    assert (seen.why, seen.restarts) == ("ended with 7; started too often within too short", 3)
    assert processes.tail("ends").count("no licence") == 3
    processes.want({"ends": Wanted(process=Process(name="ends", command=["/bin/sleep", "1000"]), digest="d2")})
    processes.restart("ends")
    assert processes.look()["ends"].standing == "running"


@pytest.mark.parametrize(
    ("restart", "script", "why"),
    [("never", "exit 3", "ended with 3"), ("on-failure", "exit 0", "ended with 0")],
)
def test_a_process_that_ended_and_is_not_to_be_started_again_is_remembered(
    processes: TransientUnits, restart: Literal["never", "on-failure"], script: str, why: str
) -> None:
    process = Process(name="task", command=["/bin/sh", "-c", script], restart=restart)
    run(processes, process)
    eventually(lambda: processes.look()["task"].standing == "ended")
    assert (processes.look()["task"].why, processes.look()["task"].digest) == (why, "d1")


def test_a_process_that_a_signal_ended_has_failed_and_is_to_be_started_again(machine: Machine, processes: TransientUnits) -> None:
    process = Process(name="ended", command=["/bin/sleep", "1000"], restart="on-failure", back_off="0s")
    before = run(processes, process).pid
    machine.run("kill", "-TERM", str(before))
    eventually(lambda: processes.look()["ended"].standing == "stopped")
    assert processes.look()["ended"].why == "ended by signal 15"
    processes.start("ended")
    assert processes.look()["ended"].standing == "running"


def test_stopping_ends_all_that_a_process_started_though_it_ignores_the_signal(machine: Machine, processes: TransientUnits) -> None:
    script = "trap '' TERM; (setsid sh -c 'trap \"\" TERM; while :; do sleep 0.2; done' &) ; while :; do sleep 0.2; done"
    process = Process(name="deaf", command=["/bin/sh", "-c", script], stop_timeout="1s")
    run(processes, process)
    processes.stop("deaf")
    assert processes.look()["deaf"].standing == "stopped"
    assert machine.systemd.commands.run("systemctl", "cat", "ordain-process-deaf.service").code != 0
    assert not list((machine.shared / "environments").glob("deaf*"))
    processes.stop("deaf")


def test_a_program_that_is_not_there_is_said_to_be(processes: TransientUnits) -> None:
    process = Process(name="gone", command=["/opt/no/such"], back_off="1h")
    with pytest.raises(RetryError, match=r"systemd can't start ordain-process-gone\.service(.|\n)*Its program is not there"):
        run(processes, process)
    assert processes.look()["gone"].standing == "waiting"


def test_what_can_not_be_run_here_is_refused_and_what_runs_goes_on(processes: TransientUnits) -> None:
    before = run(processes, Process(name="app", command=["/bin/sleep", "1000"]))
    wrong = Process(name="app", command=["/bin/sleep", "1000"], user="no-such-user")
    with pytest.raises(RefusedError, match="no-such-user"):
        processes.require(wrong)
    processes.want({"app": Wanted(process=wrong, digest="d2")})
    with pytest.raises(RefusedError, match="no-such-user"):
        processes.restart("app")
    assert processes.look()["app"].pid == before.pid
