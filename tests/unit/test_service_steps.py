"""What is done to units of systemd: decided purely, and right after any of it nothing is left to do."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.host import Host
from agent.processes.interface import Wanted
from agent.protocol.errors import InputError, RefusedError, RetryError
from agent.protocol.state import Process, Service
from agent.services.noted import Noted, Record, WantedService
from agent.services.seen import Seen, read, require_unit
from agent.services.steps import Step, require_consistent, retiring, steps
from agent.services.systemd import Systemd
from agent.services.transient import TransientUnits

UNIT = "web.service"
RECORDED = Path(__file__).parent / "systemctl_show.txt"
"""What `systemctl show` of systemd 252 printed of a service, no unit, a target, a mount, a timer and a one-shot that failed."""


def unit(**fields: object) -> Seen:
    return Seen(**{"unit": UNIT, "load": "loaded", "active": "inactive", "file_state": "disabled", **fields})  # type: ignore[arg-type]


def wanted(restart: str = "1", reload: str = "1", **fields: object) -> WantedService:
    service = Service(name=UNIT, restart_on=["/etc/web"], reload_on=["/etc/routes"], **fields)  # type: ignore[arg-type]
    return WantedService(service=service, restart_on={"/etc/web/a": restart}, reload_on={"/etc/routes": reload})


READ = Record(restart_on={"/etc/web/a": "1"}, reload_on={"/etc/routes": "1"}, brought=True)
RUNS = unit(active="active", can_reload=True)


def done(asked: WantedService, seen: Seen, noted: Record = READ) -> list[str]:
    return [step.kind for step in steps(asked, seen, noted)]


def test_what_systemctl_showed_is_read() -> None:
    service, missing, target, mount, timer, failed = read(RECORDED.read_text())
    assert (service.unit, service.kind, service.pid, service.since) == ("dbus.service", "notify", 46, "2026-11-23T05:27:04Z")
    assert (service.can_reload, service.cpu, service.memory) == (True, None, None)
    assert (missing.load, missing.error, missing.runs) == ("not-found", "Unit nope.service not found.", False)
    assert (target.active, target.kind, target.pid) == ("active", "", None)
    assert mount.file_state == ""
    assert (timer.sub, timer.runs) == ("waiting", True)
    assert (failed.active, failed.result, failed.status, failed.by_signal) == ("failed", "exit-code", 1, False)


@pytest.mark.parametrize(
    "text", ["Id=a.service\n", "nonsense\n", "Id=a\nId=b\n", RECORDED.read_text().replace("CanReload=yes", "CanReload=maybe")]
)
def test_an_answer_that_is_not_systemctls_is_no_state_of_a_unit(text: str) -> None:
    with pytest.raises(RetryError, match="answered what can't be read"):
        read(text)


@pytest.mark.parametrize(
    "name",
    ["web", "web.servic", "a b.service", "web@.service", "--all", "../web.service", "w*.service", ".service", "x" * 250 + ".service"],
)
def test_what_is_no_whole_name_of_a_unit_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="no whole name of a unit"):
        require_unit(name)


@pytest.mark.parametrize("name", ["web.service", "getty@tty1.service", "dev-disk-by\\x2duuid.mount", "backup.timer"])
def test_whole_names_of_units_are_taken(name: str) -> None:
    assert require_unit(name) == name


@pytest.mark.parametrize(
    ("asked", "seen", "noted", "kinds"),
    [
        (wanted(), RUNS, READ, []),
        (wanted(state="running"), unit(), READ, ["start"]),
        (wanted(state="running"), unit(active="failed"), READ, ["start"]),
        (wanted(state="running", restart="2"), unit(), READ, ["start"]),
        (wanted(state="running"), RUNS, READ, []),
        (wanted(state="running"), RUNS, Record(), ["restart"]),
        (wanted(restart="2"), RUNS, READ, ["restart"]),
        (wanted(restart="2", reload="2"), RUNS, READ, ["restart"]),
        (wanted(reload="2"), RUNS, READ, ["reload"]),
        (wanted(reload="2"), unit(active="active"), READ, ["restart"]),
        (wanted(restart="2"), unit(), READ, []),
        (wanted(state="stopped", restart="2"), RUNS, READ, ["stop"]),
        (wanted(state="stopped"), unit(active="failed"), READ, []),
        (wanted(state="running"), unit(active="activating", sub="auto-restart"), READ, []),
        (wanted(enabled=True), RUNS, READ, ["enable"]),
        (wanted(enabled=True), unit(active="active", file_state="enabled"), READ, []),
        (wanted(enabled=True), unit(active="active", file_state="generated"), READ, []),
        (wanted(enabled=False), unit(file_state="enabled"), READ, ["disable"]),
        (wanted(enabled=False), unit(file_state="static"), READ, []),
        (wanted(state="running", enabled=True), unit(load="masked", file_state="masked"), READ, ["unmask", "enable", "start"]),
        (wanted(masked=True, enabled=False), unit(active="active", file_state="enabled"), READ, ["stop", "disable", "mask"]),
        (wanted(masked=True), unit(load="masked", file_state="masked"), READ, []),
    ],
)
def test_a_unit_is_brought_to_what_its_release_says(asked: WantedService, seen: Seen, noted: Record, kinds: list[str]) -> None:
    assert done(asked, seen, noted) == kinds


def test_a_file_that_left_a_listed_directory_is_a_change_and_a_path_that_is_no_longer_listed_is_none() -> None:
    more = Record(restart_on={**READ.restart_on, "/etc/web/b": "1", "/etc/other": "1"}, reload_on=READ.reload_on)
    assert [step.why for step in steps(wanted(), RUNS, more)] == [("/etc/web/b changed",)]


def test_a_failed_unit_is_given_a_fresh_count_of_starts_only_when_something_changed() -> None:
    failed = unit(active="failed", result="exit-code")
    assert [step.after_failure for step in steps(wanted(state="running"), failed, READ)] == [False]
    assert [step.after_failure for step in steps(wanted(state="running", restart="2"), failed, READ)] == [True]


def test_what_can_not_be_enabled_is_refused_with_why() -> None:
    with pytest.raises(RefusedError, match=r"web.service can't be enabled: it has no \[Install\] section"):
        steps(wanted(enabled=True), unit(file_state="static"), READ)


@pytest.mark.parametrize("fields", [{"state": "running"}, {"enabled": True}, {"unit_files": [f"/etc/systemd/system/{UNIT}"]}])
def test_a_masked_service_that_is_to_do_something_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(RefusedError, match="masked, and yet"):
        require_consistent(Service(name=UNIT, masked=True, **fields))  # type: ignore[arg-type]


def test_a_container_that_leaves_is_stopped_and_not_disabled_since_no_link_leads_to_it() -> None:
    assert [step.kind for step in retiring(UNIT, unit(active="active", file_state="generated"))] == ["stop"]


def test_a_record_that_is_damaged_counts_as_none(tmp_path: Path) -> None:
    path = tmp_path / "services.json"
    Noted(path).note({UNIT: READ})
    assert Noted(path).unit(UNIT) == READ
    path.write_bytes(path.read_bytes()[:-5])
    assert Noted(path).unit(UNIT) == Record()


def test_a_record_that_can_not_be_written_is_tried_again_later(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    noted = Noted(tmp_path / "file" / "services.json")
    with pytest.raises(RetryError, match="see to the disk"):
        noted.note({UNIT: READ})
    assert noted.unit(UNIT) == Record()


def test_the_environment_of_a_process_that_is_gone_since_a_boot_is_not_kept(tmp_path: Path) -> None:
    kept, running, gone = (tmp_path / f"{name}.environment" for name in ("kept", "running", "gone"))
    for place in (kept, running, gone):
        place.write_text('TOKEN="s3cret"\n')
    units = tmp_path / "run" / "systemd" / "system"
    units.mkdir(parents=True)
    (units / "ordain-process-running.service").write_text("[Service]\n")
    processes = TransientUnits(tmp_path, host=Host(tmp_path), systemd=Systemd(root=tmp_path))
    processes.want({"kept": Wanted(process=Process(name="kept", command=["/bin/true"]), digest="1")})
    assert [place.exists() for place in (kept, running, gone)] == [True, True, False]


def carried_out(seen: Seen, step: Step) -> Seen:
    """What systemd has after a step, as far as steps look at it."""
    match step.kind:
        case "unmask":
            return replace(seen, load="loaded", file_state="disabled")
        case "enable" | "disable":
            return replace(seen, file_state=f"{step.kind}d")
        case "stop":
            return replace(seen, active="inactive")
        case "mask":
            return replace(seen, load="masked", file_state="masked")
        case "start" | "restart" | "reload":
            ends = seen.kind == "oneshot" and not seen.stays
            return replace(seen, active="inactive" if ends else "active", result="success")


CONTENTS = st.sampled_from("123")
SERVICES = st.builds(
    wanted,
    restart=CONTENTS,
    reload=CONTENTS,
    state=st.sampled_from([None, "running", "stopped"]),
    enabled=st.sampled_from([None, True, False]),
    masked=st.booleans(),
).filter(lambda asked: not asked.service.masked or not (asked.service.state == "running" or asked.service.enabled))
STATES = st.builds(
    unit,
    active=st.sampled_from(["active", "inactive", "failed", "activating", "deactivating"]),
    file_state=st.sampled_from(["enabled", "disabled", "masked", "generated", "linked", "enabled-runtime", ""]),
    load=st.sampled_from(["loaded", "not-found"]),
    kind=st.sampled_from(["simple", "oneshot"]),
    stays=st.booleans(),
    can_reload=st.booleans(),
)
RECORDS = st.builds(lambda *two: Record(restart_on={"/etc/web/a": two[0]}, reload_on={"/etc/routes": two[1]}), CONTENTS, CONTENTS)


@given(asked=SERVICES, seen=STATES, noted=RECORDS)
def test_whatever_there_was_a_second_look_finds_nothing_to_do(asked: WantedService, seen: Seen, noted: Record) -> None:
    todo = steps(asked, seen, noted)
    assert len({step.kind for step in todo} & {"start", "restart", "reload", "stop"}) <= 1
    for step in todo:
        seen = carried_out(seen, step)
    assert steps(asked, seen, Record(restart_on=dict(asked.restart_on), reload_on=dict(asked.reload_on), brought=True)) == []
