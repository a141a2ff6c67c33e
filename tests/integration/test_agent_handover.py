"""Several fleets on one host: each with generations of its own, and paths that move between them in place."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.protocol.state import State
from tests import agent_cases
from tests.agent_cases import Rig, file_state


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A host in two fleets, that own /etc/app/moving and /etc/app/own."""
    with agent_cases.rig(tmp_path) as made:
        made.fleet("alpha").publish(file_state(moving="same", stays="a"), ["web-01"])
        made.fleet("beta").publish(file_state(own="b"), ["web-01"])
        assert made.poll() == 0, made.log
        yield made


def test_each_fleet_has_its_own_generations(rig: Rig) -> None:
    rig.fleet("beta").publish(file_state(own="b2"), ["web-01"])
    assert rig.poll() == 0
    assert (rig.status("alpha")["generation"], rig.status("beta")["generation"]) == (1, 2)
    assert rig.files() == {"/etc/app/moving": "same", "/etc/app/own": "b2", "/etc/app/stays": "a"}


def test_a_path_waits_for_its_old_owner_and_then_moves_in_place(rig: Rig) -> None:
    inode = (rig.root / "etc/app/moving").stat().st_ino
    rig.fleet("beta").publish(file_state(own="b2", moving="same"), ["web-01"])
    assert rig.poll() == 0
    waiting = rig.status("beta")
    assert waiting["result"] == "waiting"
    assert "/etc/app/moving still belongs to fleet alpha" in waiting["why"]
    assert rig.text("/etc/app/own") == "b"
    rig.fleet("alpha").publish(file_state(stays="a"), ["web-01"])
    assert rig.poll() == 0
    assert rig.status("beta")["result"] == "applied"
    assert rig.files() == {"/etc/app/moving": "same", "/etc/app/own": "b2", "/etc/app/stays": "a"}
    assert (rig.root / "etc/app/moving").stat().st_ino == inode
    rig.fleet("beta").publish(file_state(own="b3"), ["web-01"])
    assert rig.poll() == 0
    assert rig.files() == {"/etc/app/own": "b3", "/etc/app/stays": "a"}


def test_a_path_given_up_to_a_release_that_fails_stays_until_nobody_asks_for_it(rig: Rig) -> None:
    failing = agent_cases.file_state(own="b2", moving="same")
    failing.files[1] = agent_cases.checked(failing.files[1], ["/bin/false"])
    rig.fleet("alpha").publish(file_state(stays="a"), ["web-01"])
    rig.fleet("beta").publish(failing, ["web-01"])
    assert rig.poll() == 1
    assert rig.text("/etc/app/moving") == "same"
    rig.fleet("beta").publish(file_state(own="b"), ["web-01"])
    assert rig.poll() == 0
    assert rig.files() == {"/etc/app/own": "b", "/etc/app/stays": "a"}


def test_a_fleet_that_lets_the_host_go_leaves_its_paths_free_and_in_place(rig: Rig) -> None:
    rig.fleet("alpha").publish(file_state(moving="same"), ["web-02"])
    assert rig.poll() == 1
    assert rig.text("/etc/app/moving") == "same"
    rig.fleet("beta").publish(file_state(own="b", moving="beta's now"), ["web-01"])
    rig.poll()
    assert rig.text("/etc/app/moving") == "beta's now"
    rig.poll()
    assert rig.text("/etc/app/moving") == "beta's now", "the fleet that let go does not enforce"
    rig.fleet("beta").publish(file_state(own="b"), ["web-01"])
    rig.poll()
    assert rig.files() == {"/etc/app/own": "b", "/etc/app/stays": "a"}


def test_a_fleet_whose_repository_ended_and_that_is_not_named_any_more_makes_way(rig: Rig) -> None:
    for path in rig.tenant.fleet("alpha").files(""):
        del rig.server.files[path]
    rig.server.hints["shop/web-01"] = ["beta"]
    rig.fleet("beta").publish(file_state(own="b", moving="beta's now"), ["web-01"])
    rig.poll()
    assert rig.files() == {"/etc/app/moving": "beta's now", "/etc/app/own": "b", "/etc/app/stays": "a"}


def test_a_directory_two_fleets_need_goes_with_the_last(rig: Rig) -> None:
    rig.fleet("alpha").publish(State(), ["web-01"])
    assert rig.poll() == 0
    assert rig.tree() == {"/etc": "directory", "/etc/app": "directory", "/etc/app/own": "b"}
    rig.fleet("beta").publish(State(), ["web-01"])
    assert rig.poll() == 0
    assert rig.tree() == {}


def test_one_fleets_trouble_does_not_hold_up_another(rig: Rig) -> None:
    rig.server.files[f"{rig.fleet('alpha').prefix}/metadata/timestamp.json"] = b"{}"
    rig.fleet("beta").publish(file_state(own="b2"), ["web-01"])
    assert rig.poll() == 1
    assert rig.text("/etc/app/own") == "b2"
    assert rig.status("alpha")["result"] == "refused"


def test_a_rollback_does_not_take_a_path_back_from_its_new_owner(rig: Rig) -> None:
    rig.fleet("alpha").publish(file_state(stays="a"), ["web-01"])
    rig.fleet("beta").publish(file_state(own="b", moving="beta's"), ["web-01"])
    assert rig.poll() == 0
    done = rig.ask("rollback", "alpha")
    assert done.returncode == 1
    assert "/etc/app/moving still belongs to fleet beta" in done.stderr
    assert rig.text("/etc/app/moving") == "beta's"
