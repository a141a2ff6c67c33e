"""An agent killed at any named place: after it the host holds all of the old generation or all of the new one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.protocol import codec
from agent.protocol.state import File, State
from tests import agent_cases
from tests.agent_cases import Rig, artifact_of

KILLED = -9
PLACES = [
    "agent:after-floors",
    "agent:after-plan",
    "agent:after-stage",
    "agent:after-journal",
    "agent:mid-switch",
    "agent:mid-switch@3",
    "agent:before-commit",
    "agent:after-commit",
]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A host with a file of its own, that runs a first release; a second one is published."""
    with agent_cases.rig(tmp_path) as made:
        (made.root / "etc").mkdir()
        (made.root / "etc/foreign").write_text("was here before")
        made.fleet().publish(_release(made, "old"), ["web-01"])
        assert made.poll() == 0, made.log
        made.fleet().publish(_release(made, "new"), ["web-01"])
        yield made


def _release(rig: Rig, word: str) -> State:
    tool = rig.directory / f"tool-{word}"
    tool.write_text(word)
    files = [
        File(path="/etc/app", type="directory", mode="0750" if word == "old" else "0755"),
        File(path="/etc/app/both", content=word),
        File(path="/etc/app/link", type="symlink", target=word),
        File(path=f"/etc/{word}-only/deep/file", content=word),
        File(path="/etc/foreign", content="ours") if word == "old" else File(path="/etc/shape/x", content="x"),
        File(path="/etc/kept", content="same", mode="0600" if word == "old" else "0644"),
    ]
    if word == "old":
        files.append(File(path="/etc/shape", content="a file first"))
    return State(artifacts=[artifact_of("/opt/tool", tool, codec.sha256(word.encode()))], files=files)


def _modes(rig: Rig) -> dict[str, str]:
    return {str(path.relative_to(rig.root)): oct(path.lstat().st_mode) for path in rig.root.rglob("*")}


@pytest.mark.parametrize("place", PLACES)
def test_a_killed_agent_leaves_the_old_or_the_new_after_recovery_and_then_converges(rig: Rig, place: str) -> None:
    old = rig.tree(), _modes(rig)
    assert rig.run(fault=place).returncode == KILLED
    assert rig.ask("recover").returncode == 0
    found = rig.tree(), _modes(rig)
    assert rig.run().returncode == 0
    new = rig.tree(), _modes(rig)
    assert found in (old, new)
    assert found == (new if place == "agent:after-commit" else old)
    assert rig.files() == {
        "/etc/app/both": "new",
        "/etc/app/link": "-> new",
        "/etc/foreign": "was here before",
        "/etc/kept": "same",
        "/etc/new-only/deep/file": "new",
        "/etc/shape/x": "x",
        "/opt/tool": "new",
    }
    assert rig.status()["result"] == "applied"
    assert not (rig.state / "journal.json").exists()
    assert not (rig.state / "preimages").exists()


def test_a_recovery_that_is_killed_too_is_finished_by_the_next(rig: Rig) -> None:
    old = rig.tree(), _modes(rig)
    assert rig.run(fault="agent:before-commit").returncode == KILLED
    for passed in (1, 3):
        assert rig.run(fault=f"agent:mid-restore@{passed}").returncode == KILLED
    assert rig.ask("recover").returncode == 0
    assert (rig.tree(), _modes(rig)) == old


def test_a_crash_in_the_first_apply_gives_the_host_back_as_it_was(tmp_path: Path) -> None:
    with agent_cases.rig(tmp_path) as rig:
        (rig.root / "etc").mkdir()
        (rig.root / "etc/foreign").write_text("was here before")
        before = rig.tree()
        rig.fleet().publish(_release(rig, "old"), ["web-01"])
        assert rig.run(fault="agent:before-commit").returncode == KILLED
        assert "put back" in rig.ask("recover").stdout
        assert rig.tree() == before
        rig.fleet().publish(State(), ["web-01"])
        assert rig.run().returncode == 0
        assert rig.tree() == before


def test_recovery_survives_what_others_did_meanwhile(rig: Rig) -> None:
    assert rig.run(fault="agent:before-commit").returncode == KILLED
    for path in ("etc/kept", "etc/new-only/deep/file"):
        (rig.root / path).unlink()
    (rig.root / "etc/new-only/theirs").write_text("theirs")
    assert rig.run().returncode == 0
    assert rig.text("/etc/new-only/theirs") == "theirs"
    assert rig.text("/etc/new-only/deep/file") == "new"


def test_a_switch_that_fails_half_way_is_taken_back_at_once(rig: Rig) -> None:
    """A directory of others' fills up between plan and switch: the check of one file puts something into it."""
    old = rig.tree()
    fill = ["/bin/sh", "-c", f"echo x > {rig.root}/etc/app/link.d/theirs || true"]
    (rig.root / "etc/app/link.d").mkdir()
    state = State(
        files=[
            File(path="/etc/app/both", content="newest", check=fill),
            File(path="/etc/app/link.d", content="a file where a directory was empty"),
        ]
    )
    rig.fleet().publish(state, ["web-01"])
    assert rig.poll() == 1
    assert rig.status()["result"] == "failed"
    assert rig.tree() == old | {"/etc/app/link.d": "directory", "/etc/app/link.d/theirs": "x\n"}
