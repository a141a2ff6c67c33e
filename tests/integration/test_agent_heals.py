"""A release that hurts its host is taken back by that host: by its probes, for silence, and where the agent dies of it."""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent.disk import Disk
from agent.healing.healer import STARTS
from agent.healing.trial import TRIES, Trials
from agent.protocol import codec
from agent.protocol.state import File, Probe, State
from tests import agent_cases
from tests.agent_cases import Rig

KILLED = -9
PLACES = [
    *("healing:after-trial", "agent:before-commit", "agent:after-commit"),
    *("healing:before-restore", "agent:before-commit@2", "agent:after-commit@2", "healing:mid-restore", "healing:after-restore"),
]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A host that runs a first release, which works."""
    with agent_cases.rig(tmp_path) as made:
        made.fleet().publish(release("good"), ["web-01"])
        assert made.poll() == 0, made.log
        assert made.status()["result"] == "applied"
        yield made


def release(word: str, *probes: Probe) -> State:
    """Return a release that works where its probe finds what it wants: `good` in the file that it brings."""
    works = Probe(name="works", command=["/bin/sh", "-c", "exit 1"], failures=1)
    files = [File(path="/etc/app/word", content=word), File(path=f"/etc/app/{word}", content=word)]
    return State(files=files, probes=[works] if word == "bad" and not probes else list(probes))


def trials(rig: Rig) -> Trials:
    return Trials(Disk(root=rig.state).fleet("web"))


def test_a_release_whose_probes_hold_is_applied_and_shown_with_them(rig: Rig) -> None:
    (rig.root / "run").mkdir()
    (rig.root / "run/beat").touch()
    beat = Probe(name="beat", file="/run/beat", max_age="1h")
    answers = Probe(name="answers", http=f"{rig.server.url}/v1/agents/shop/web-01/fleets")
    rig.fleet().publish(release("good", beat, answers), ["web-01"])
    assert rig.poll() == 0, rig.log
    assert rig.status()["result"] == "applied"
    assert [(one["name"], one["verdict"]) for one in rig.status()["probes"]] == [("beat", "holds")]
    assert rig.status()["warnings"] == ["probe answers: left out, nothing runs below --root that it asks"]
    assert "probe: beat holds since" in rig.ask("status").stdout


def test_a_release_whose_probe_fails_is_taken_back_and_not_tried_again(rig: Rig) -> None:
    before = rig.tree()
    rig.fleet().publish(release("bad"), ["web-01"])
    assert rig.poll() == 0
    shown = rig.status()
    assert (shown["result"], shown["generation"]) == ("restored", 1)
    assert shown["why"] == "generation 1 is back: probe works: /bin/sh ended with 1 and said nothing"
    assert rig.tree() == before
    receipt = shown["receipt"]
    assert (receipt["result"], receipt["generation"], receipt["digest"]) == ("restored", 1, shown["desired"])
    rig.poll()
    assert "apply" not in rig.log
    assert rig.status()["result"] == "restored"
    assert trials(rig).read() is None
    rig.fleet().publish(release("better"), ["web-01"])
    assert rig.poll() == 0
    assert rig.status()["result"] == "applied"


def test_a_first_release_that_fails_leaves_what_was_there_before(tmp_path: Path) -> None:
    with agent_cases.rig(tmp_path) as rig:
        (rig.root / "etc/app").mkdir(parents=True)
        (rig.root / "etc/app/word").write_text("theirs")
        rig.fleet().publish(release("bad"), ["web-01"])
        rig.poll()
        assert rig.files() == {"/etc/app/word": "theirs"}
        assert rig.status()["why"].startswith("what was there before is back: probe works")
        assert "runs: nothing yet" in rig.ask("status").stdout
        rig.fleet().publish(release("good"), ["web-01"])
        assert rig.poll() == 0
        assert rig.text("/etc/app/word") == "good"
        refused = rig.ask("rollback", "web")
        assert (refused.returncode, "has no generation before" in refused.stderr) == (2, True)


def test_a_probe_is_given_its_grace_and_its_number_of_failures(rig: Rig) -> None:
    marks = rig.directory / "asked"
    script = f"echo x >> {marks}; test $(wc -l < {marks}) -ge 3"
    slow = Probe(name="slow", command=["/bin/sh", "-c", script], every="1s", failures=1, grace="1m")
    rig.fleet().publish(release("slow", slow), ["web-01"])
    assert rig.poll() == 0
    assert rig.status()["result"] == "applied"
    assert len(marks.read_text().split()) >= 3


@pytest.mark.parametrize("place", PLACES)
def test_an_agent_killed_at_any_place_ends_with_the_generation_before(rig: Rig, place: str) -> None:
    before = rig.tree()
    rig.fleet().publish(release("bad"), ["web-01"])
    assert rig.run(fault=place).returncode == KILLED
    rig.poll()
    assert rig.tree() == before
    assert rig.status()["result"] == "restored"
    assert rig.status()["receipt"]["result"] == "restored"
    assert rig.status()["generation"] == 1
    assert trials(rig).read() is None


def test_a_host_that_no_longer_reaches_its_server_goes_back_and_tries_again_on_contact(rig: Rig) -> None:
    before, url = rig.tree(), rig.server.url
    rig.config.parent.mkdir(parents=True, exist_ok=True)
    rig.config.write_text('[confirm]\nwithin = "10s"\n')
    rig.fleet().publish(release("cut"), ["web-01"])
    assert rig.poll() == 0
    assert rig.status()["result"] == "applied"
    _age(rig, 9)
    rig.server.url = "http://127.0.0.1:1"
    assert rig.poll() == 3
    assert rig.text("/etc/app/word") == "cut", "it is given its time"
    assert rig.poll() == 3
    assert rig.tree() == before
    assert rig.status()["result"] == "restored"
    assert "the server could not be reached for" in rig.status()["why"]
    rig.server.url = url
    assert rig.poll() == 0
    assert rig.tree() == before, "whoever watches the rollout has time to stop it"
    _rest(rig)
    assert rig.poll() == 0
    assert rig.status()["result"] == "applied"
    assert rig.text("/etc/app/word") == "cut"


def test_a_release_that_cuts_the_host_off_again_and_again_is_given_up(rig: Rig) -> None:
    url = rig.server.url
    rig.fleet().publish(release("cut"), ["web-01"])
    for _ in range(TRIES):
        assert rig.poll() == 0
        assert rig.text("/etc/app/word") == "cut"
        _age(rig, 299)
        rig.server.url = "http://127.0.0.1:1"
        rig.poll()
        assert [rig.poll(), rig.text("/etc/app/word")] == [3, "good"]
        rig.server.url = url
        _rest(rig)
    rig.poll()
    assert (rig.text("/etc/app/word"), rig.status()["result"]) == ("good", "restored")


def test_a_release_that_came_while_the_server_was_away_is_not_taken_back_for_silence(rig: Rig) -> None:
    rig.fleet().publish(release("local"), ["web-01"])
    assert rig.poll() == 0
    trial = trials(rig).read()
    assert trial is not None
    trials(rig).write(msgspec.structs.replace(trial, contact=False))
    rig.server.url = "http://127.0.0.1:1"
    assert [rig.poll(), rig.text("/etc/app/word")] == [3, "local"]
    assert trials(rig).read() is None


def test_a_release_of_which_the_agent_dies_again_and_again_is_taken_back_at_its_start(rig: Rig) -> None:
    before = rig.tree()
    rig.fleet().publish(release("deadly"), ["web-01"])
    assert rig.run(fault="agent:after-commit").returncode == KILLED
    trial = trials(rig).read()
    assert trial is not None
    trials(rig).write(msgspec.structs.replace(trial, starts=STARTS - 2))  # as if it had died more often
    assert rig.run(fault="agent:after-recover").returncode == KILLED
    assert rig.text("/etc/app/word") == "deadly"
    rig.poll()
    assert rig.tree() == before
    assert rig.status()["result"] == "restored"
    assert f"the agent died {STARTS} times since the switch" in rig.status()["why"]


def test_an_agent_that_ends_in_order_counts_as_one_that_lives(rig: Rig) -> None:
    rig.fleet().publish(release("fine"), ["web-01"])
    for _ in range(STARTS + 1):
        assert rig.poll() == 0
    assert (rig.status()["result"], trials(rig).read()) == ("applied", None)


def test_what_fails_later_is_reported_and_taken_back_by_nobody_here(rig: Rig) -> None:
    (rig.root / "run").mkdir()
    (rig.root / "run/beat").touch()
    rig.fleet().publish(release("beats", Probe(name="beat", file="/run/beat", failures=1)), ["web-01"])
    assert [rig.poll(), rig.status()["result"]] == [0, "applied"]
    assert rig.poll() == 0
    (rig.root / "run/beat").unlink()
    assert rig.poll() == 1
    assert (rig.status()["result"], rig.status()["why"]) == ("failed", "probe beat: there is no file /run/beat")
    assert rig.text("/etc/app/word") == "beats"
    (rig.root / "run/beat").touch()
    assert [rig.poll(), rig.status()["result"]] == [0, "applied"]


def _age(rig: Rig, seconds: int) -> None:
    """Have the host try in vain for this long."""
    trial = trials(rig).read()
    assert trial is not None
    assert trial.contact
    trials(rig).write(msgspec.structs.replace(trial, silent=seconds - 1))


def _rest(rig: Rig) -> None:
    """Have the time be over for which a release is left alone."""
    cut = trials(rig).cut()
    assert cut is not None
    path = rig.state / "fleets/web/cut.json"
    path.write_bytes(codec.canonical(msgspec.structs.replace(cut, at=int(time.time()) - 3600)))
