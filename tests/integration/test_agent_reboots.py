"""A release that asks for a reboot counts as applied only once the host came back and its probes hold. The boot is simulated."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.commands import Commands
from agent.health.probes import ask
from agent.host import Host
from agent.protocol.state import File, Probe, Reboot, State, Window
from tests import agent_cases
from tests.agent_cases import Rig

KILLED = -9
ALIVE = "/run/alive"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A host whose reboot writes a line, and that boots when the test says so."""
    with agent_cases.rig(tmp_path) as made:
        made.config.parent.mkdir(parents=True)
        command = ["/bin/sh", "-c", f"echo asked >> {made.directory}/asked"]
        made.config.write_text(f"[allow]\nreboot = true\n[reboot]\ncommand = {command!r}\n")
        boot(made, "first")
        yield made


def boot(rig: Rig, name: str) -> None:
    """Have the host be in another boot: first what a crash left is settled, then the agent starts, as units are ordered."""
    place = rig.root / "proc/sys/kernel/random/boot_id"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f"{name}\n")
    assert not rig.state.exists() or rig.ask("recover").returncode == 0


def asked(rig: Rig) -> int:
    path = rig.directory / "asked"
    return len(path.read_text().splitlines()) if path.exists() else 0


def release(word: str, reboot: Reboot, *probes: Probe) -> State:
    return State(files=[File(path="/etc/kernel.conf", content=word)], reboot=reboot, probes=list(probes))


ALWAYS = Reboot(when="always")
PROBE = Probe(name="alive", file=ALIVE, failures=2, every="1s")


def test_a_generation_waits_until_the_host_came_back_and_its_probes_hold(rig: Rig) -> None:
    rig.fleet().publish(release("one", ALWAYS, PROBE), ["web-01"])
    assert rig.poll() == 0, rig.log
    assert (rig.status()["result"], rig.status()["why"]) == ("waiting", "reboot: the host goes down now")
    assert rig.status()["receipt"]["result"] == "waiting"
    assert rig.poll() == 0
    assert asked(rig) == 1, "it is asked for once"
    assert rig.status()["probes"] == [], "nothing is asked of what is about to go"
    (rig.root / "run").mkdir()
    (rig.root / ALIVE.lstrip("/")).touch()
    boot(rig, "second")
    assert rig.poll() == 0
    assert (rig.status()["result"], rig.status()["receipt"]["result"]) == ("applied", "applied")
    assert [rig.poll(), asked(rig)] == [0, 1], "a second look changes nothing"
    boot(rig, "third")
    assert rig.poll() == 0
    assert (rig.status()["result"], asked(rig)) == ("applied", 1)


def test_a_host_whose_probes_fail_after_the_boot_goes_back(rig: Rig) -> None:
    rig.fleet().publish(release("one", ALWAYS, PROBE), ["web-01"])
    assert rig.poll() == 0
    boot(rig, "second")
    rig.poll()
    assert rig.status()["result"] == "restored"
    assert "probe alive" in rig.status()["why"]
    assert not (rig.root / "etc/kernel.conf").exists()


def test_a_reboot_is_asked_for_only_where_the_system_requires_it(rig: Rig) -> None:
    required = Reboot(when="required")
    rig.fleet().publish(release("one", required), ["web-01"])
    assert rig.poll() == 0
    assert (rig.status()["result"], asked(rig)) == ("applied", 0)
    (rig.root / "run").mkdir()
    (rig.root / "run/reboot-required").touch()
    assert [rig.poll(), asked(rig)] == [0, 0], "what came later is no affair of this release"
    rig.fleet().publish(release("two", required), ["web-01"])
    assert [rig.poll(), asked(rig)] == [0, 1]


def test_a_reboot_waits_for_its_window_and_for_the_owners_leave(rig: Rig) -> None:
    never = Window(cron="0 0 29 2 *", duration="1m")
    rig.fleet().publish(release("one", Reboot(when="always", within=never)), ["web-01"])
    assert rig.poll() == 0
    assert "reboot: due; its window opens at " in rig.status()["why"]
    assert asked(rig) == 0
    rig.config.write_text("[allow]\n")
    rig.fleet().publish(release("two", ALWAYS), ["web-01"])
    rig.config.write_text(rig.config.read_text() + '[reboot]\ncommand = ["true"]\n')
    assert rig.poll() == 1
    assert "`reboot` does not allow" in rig.status()["why"]
    assert rig.text("/etc/kernel.conf") == "one"


def test_a_reboot_that_can_not_be_had_is_a_failure_with_its_reason(rig: Rig) -> None:
    rig.config.write_text('[allow]\nreboot = true\n[reboot]\ncommand = ["/nowhere/reboot"]\n')
    rig.fleet().publish(release("one", ALWAYS), ["web-01"])
    assert rig.poll() == 1
    assert "/nowhere/reboot can't be run" in rig.status()["why"]


@pytest.mark.parametrize("place", ["agent:before-reboot", "agent:after-reboot"])
def test_an_agent_killed_around_the_reboot_counts_on_nothing_but_the_boot(rig: Rig, place: str) -> None:
    rig.fleet().publish(release("one", ALWAYS), ["web-01"])
    assert rig.run(fault=place).returncode == KILLED
    assert rig.run().returncode == 0
    assert rig.status()["result"] == "waiting"
    boot(rig, "second")
    assert rig.run().returncode == 0
    assert rig.status()["result"] == "applied"


def test_probes_say_why_they_fail(rig: Rig) -> None:
    host, run = Host(rig.root), Commands()
    (rig.root / "old").touch()

    def said(**probe: object) -> str | None:
        return ask(Probe(name="x", **probe), host=host, run=run)  # type: ignore[arg-type]

    port = int(rig.server.url.rpartition(":")[2])
    assert said(tcp=f"127.0.0.1:{port}") is None
    assert said(http=f"{rig.server.url}/v1/agents/shop/web-01/fleets") is None
    assert said(http=f"{rig.server.url}/nothing") == f"{rig.server.url}/nothing answers 404"
    assert said(command=["/bin/true"]) is None
    assert said(command=["/bin/sh", "-c", "echo no; exit 3"]) == "/bin/sh ended with 3: no"
    assert said(file="/old", max_age="1h") is None
    assert said(file="/none") == "there is no file /none"
    rig.server.close()
    assert said(tcp=f"127.0.0.1:{port}") is not None
