"""What a plan says of what runs on hosts: what starts, stops and restarts, and what a rollback does not restore."""

import pytest

from agent.protocol.bundle import Group
from agent.protocol.state import (
    Action,
    Artifact,
    ArtifactSource,
    File,
    HostFile,
    Package,
    Process,
    Reboot,
    Service,
    State,
    Sysctl,
)
from reconciler.cli.planned import words
from reconciler.pipeline.plan.noting import Noting

CONFIG = "/etc/app.conf"
BEFORE = State(
    files=[File(path=CONFIG, content="a\n"), File(path="/etc/b.conf", content="a\n")],
    artifacts=[Artifact(name="app", path="/opt/app", unpack="tar.gz", platforms={"any": ArtifactSource(url="store:a", sha256="00")})],
    processes=[Process(name="app", command=["/opt/app/bin"], restart_on=[CONFIG, "/opt/app/bin"]), Process(name="old", command=["/o"])],
    services=[
        Service(name="ssh.service", state="running", reload_on=[CONFIG]),
        Service(name="web.service", state="running", restart_on=["/etc/b.conf"], unit_files=["/etc/systemd/system/web.service"]),
    ],
    actions=[Action(name="certs", on=["/etc/b.conf"], run=["/usr/sbin/update-ca-certificates"])],
)


def told(before: State | None, after: State) -> dict[str, str]:
    """Return the line of each item that differs, by its name."""
    noting = Noting(withheld={})
    noting.look(0, Group(base=before) if before is not None else None, Group(base=after))
    items = [item for items in noting.by_sets().values() for item in items]
    return {item.name: words.item_line(item) for item in items}


def changed(**lists: object) -> State:
    fields = {name: getattr(BEFORE, name) for name in BEFORE.__struct_fields__}
    return State(**{**fields, **lists})


def test_a_changed_file_says_what_it_restarts_reloads_and_runs() -> None:
    after = changed(files=[File(path=CONFIG, content="b\n"), File(path="/etc/b.conf", content="b\n")])
    assert told(BEFORE, after) == {
        CONFIG: "file /etc/app.conf, +1 -1; restarts process app; reloads service ssh.service",
        "/etc/b.conf": "file /etc/b.conf, +1 -1; restarts service web.service; runs action certs",
    }


def test_a_new_archive_restarts_what_runs_out_of_it() -> None:
    [line] = told(BEFORE, changed(artifacts=[])).values()
    assert line.endswith("; restarts process app")


def test_processes_are_started_restarted_and_stopped() -> None:
    processes = [Process(name="app", command=["/opt/app/bin", "-v"], restart_on=[CONFIG]), Process(name="new", command=["/n"])]
    lines = told(BEFORE, changed(processes=processes, files=[File(path=CONFIG, content="b\n"), BEFORE.files[1]]))
    assert lines["app"].endswith("; restarts it")
    assert lines["new"] == "process new, 1 line; starts it"
    assert lines["old"] == "process old, REMOVED, 1 line; stops it"
    assert "restarts process app" not in lines[CONFIG], "it says so itself"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (None, Service(name="a.service", state="running", enabled=True), "starts it; has it start at boot"),
        (Service(name="a.service", state="running"), Service(name="a.service", state="stopped"), "stops it"),
        (Service(name="a.service"), Service(name="a.service", masked=True), "masks it"),
        (Service(name="a.service", unit_files=["/etc/systemd/system/a.service"]), None, "stops it"),
        (Service(name="a.service", unit_files=["/etc/systemd/system/a.service.d/b.conf"]), None, "REMOVED, 1 line"),
    ],
)
def test_a_service_says_what_becomes_of_it(old: Service | None, new: Service | None, said: str) -> None:
    [line] = told(State(services=[old] if old else []), State(services=[new] if new else [])).values()
    assert line.endswith(said)


def test_what_only_goes_forward_says_that_a_rollback_does_not_restore_it() -> None:
    after = State(
        packages=[Package(name="nginx", version="1.2")],
        sysctls=[Sysctl(name="vm.swappiness", value="1")],
        host_files=[HostFile(name="a", path="/etc/hosts", content="x\n"), HostFile(name="b", path="/etc/hosts", content="y\n")],
        files=[File(path=CONFIG, content="a\n")],
        reboot=Reboot(when="required"),
    )
    assert told(State(), after) == {
        "nginx": "package nginx, 1 line; not restored by a rollback",
        "vm.swappiness": "kernel setting vm.swappiness, 1 line; not restored by a rollback",
        "/etc/hosts [a]": "block /etc/hosts [a], 3 lines; not restored by a rollback",
        "/etc/hosts [b]": "block /etc/hosts [b], 3 lines; not restored by a rollback",
        CONFIG: "file /etc/app.conf, 1 line",
        "": "reboot, 1 line",
    }
