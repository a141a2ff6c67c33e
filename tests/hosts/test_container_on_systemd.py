"""A container as Podman runs it: its Quadlet file made by the compiler, read by Podman's generator, started by a real systemd."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.protocol.state import Service
from agent.services.noted import WantedService
from agent.services.services import Services
from agent.services.verify import find_generator
from reconciler.pipeline.compile.quadlets import quadlet
from tests.systemd_machine import Machine, booted

pytestmark = [pytest.mark.slow, pytest.mark.needs("systemd", "quadlet"), pytest.mark.timeout(600)]

PATH = "/etc/containers/systemd/edge.container"
SERVICE = Service(name="edge.service", state="running", restart_on=[PATH], unit_files=[PATH])
PROGRAM = ("/usr/bin/sleep", "/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2")


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    if shutil.which("podman") is None:
        pytest.skip("podman itself is missing, of which the generator is a part")
    # Podman makes keyrings and control groups, which systemd-nspawn keeps from what runs in it unless it is told not to.
    with booted(options=["--system-call-filter=@keyring bpf", "--capability=all"]) as one:
        for group in one.run("ls", "/sys/fs/cgroup").split():
            one.run("mount", "-o", "remount,rw,bind", f"/sys/fs/cgroup/{group}")
        generator = find_generator()
        assert generator is not None
        place = one.root / "etc/systemd/system-generators/podman-system-generator"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(generator, place)
        one.write("/etc/containers/policy.json", '{"default": [{"type": "insecureAcceptAnything"}]}')
        one.write("/var/tmp/made", "")
        one.run("systemctl", "mask", "--now", "systemd-networkd-wait-online.service")  # there is no network to wait for
        # A Podman older than its generator leaves this file behind, and does not start where it is.
        one.write("/etc/systemd/system/edge.service.d/10-old-podman.conf", "[Service]\nExecStopPost=-/usr/bin/rm -f %t/%N.cid\n")
        yield one


def image(machine: Machine) -> str:
    """Return an image that holds `sleep` and nothing else, by its digest."""
    for program in PROGRAM:
        machine.run("install", "-D", program, f"/tmp/image{program}")
    machine.run("sh", "-c", "tar -C /tmp/image -c . | podman import - localhost/edge:1")
    return f"localhost/edge@{machine.run('podman', 'images', '--format', '{{.Digest}}').strip()}"


def asked(machine: Machine, item: dict[str, object]) -> WantedService:
    text = quadlet(item)
    machine.write(PATH, text)
    return WantedService(service=SERVICE, restart_on={PATH: text}, unit_files={PATH: text})


def settle(services: Services, *wanted: WantedService) -> list[str]:
    done = services.retire([one.service.name for one in wanted])
    seen = services.refresh(wanted)
    for one in wanted:
        done += services.bring(one, seen[one.service.name])
    return [step.kind for step in done]


def test_a_container_is_started_restarted_once_for_a_change_and_gone_with_its_release(machine: Machine, tmp_path: Path) -> None:
    services = Services(systemd=machine.systemd, record=tmp_path / "services.json")
    item: dict[str, object] = {"name": "edge", "image": image(machine), "network": "none", "command": ["/usr/bin/sleep", "1000"]}
    first = asked(machine, item)
    assert settle(services, first) == ["start"]
    assert machine.run("podman", "ps", "--no-trunc", "--format", "{{.Names}} {{.Command}}").split() == ["edge", "/usr/bin/sleep", "1000"]
    assert settle(services, first) == []
    changed = asked(machine, {**item, "command": ["/usr/bin/sleep", "2000"], "environment": {"MOOD": 'a "b" $c %d\ne'}})
    assert settle(services, changed) == ["restart"]
    assert machine.run("podman", "ps", "--no-trunc", "--format", "{{.Command}}").split() == ["/usr/bin/sleep", "2000"]
    variables = machine.run("podman", "inspect", "edge", "--format", "{{json .Config.Env}}")
    assert r'"MOOD=a \"b\" $c %d\ne"' in variables
    assert settle(services, changed) == []
    (machine.root / PATH.lstrip("/")).unlink()
    assert settle(services) == ["stop"]
    assert machine.run("podman", "ps", "--all", "--quiet") == ""
    assert services.look(["edge.service"])["edge.service"].active == "inactive"
