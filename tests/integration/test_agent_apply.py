"""What signed releases do to a host, end to end: over HTTP, through the TUF client, onto a file system."""

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.disk import Disk
from agent.protocol import codec
from agent.protocol.bundle import Group, Mode
from agent.protocol.membership import Member
from agent.protocol.rollout import ModeSwitch
from agent.protocol.state import Artifact, ArtifactSource, File, HostFile, State
from agent.reporting.spool import Spool
from tests import agent_cases
from tests.agent_cases import Rig, artifact_of, file_state
from tests.e2e.installation import until

TOOL = b"#!/bin/sh\nexit 0\n"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with agent_cases.rig(tmp_path) as made:
        yield made


def test_a_release_lands_with_its_agent_filled_in_and_its_modes(rig: Rig) -> None:
    state = State(
        files=[
            File(path="/etc/app", type="directory", mode="0750"),
            File(path="/etc/app/config", content="host: ${agent.name}\nkeep: $${labels.x} ${other}\n", mode="0640"),
            File(path="/etc/app/current", type="symlink", target="config"),
            File(path="/etc/app/raw", content_base64="AAEC/w=="),
        ]
    )
    rig.fleet().publish(state, ["web-01"])
    assert rig.poll() == 0
    assert rig.text("/etc/app/config") == "host: web-01\nkeep: ${labels.x} ${other}\n"
    assert (rig.root / "etc/app/raw").read_bytes() == b"\0\1\2\xff"
    assert (rig.root / "etc/app/current").readlink() == Path("config")
    assert stat.S_IMODE((rig.root / "etc/app").stat().st_mode) == 0o750
    assert stat.S_IMODE((rig.root / "etc/app/config").stat().st_mode) == 0o640


def test_what_leaves_the_release_leaves_the_host(rig: Rig) -> None:
    rig.fleet().publish(file_state(a="1", b="2"), ["web-01"])
    assert rig.poll() == 0
    rig.fleet().publish(file_state(a="changed"), ["web-01"])
    assert rig.poll() == 0
    assert rig.files() == {"/etc/app/a": "changed"}
    rig.fleet().publish(State(), ["web-01"])
    assert rig.poll() == 0
    assert rig.tree() == {}


def test_what_stood_there_before_ordain_comes_back_when_its_path_is_let_go(rig: Rig) -> None:
    before = rig.root / "etc/app/a"
    before.parent.mkdir(parents=True)
    before.write_text("the distribution's own")
    before.chmod(0o604)
    (rig.root / "etc/app/unwanted").write_text("also there before")
    state = State(files=[File(path="/etc/app/a", content="ours"), File(path="/etc/app/unwanted", absent=True)])
    rig.fleet().publish(state, ["web-01"])
    assert rig.poll() == 0
    assert rig.files() == {"/etc/app/a": "ours"}
    rig.fleet().publish(file_state(a="ours again"), ["web-01"])
    assert rig.poll() == 0
    rig.fleet().publish(State(), ["web-01"])
    assert rig.poll() == 0
    assert rig.files() == {"/etc/app/a": "the distribution's own", "/etc/app/unwanted": "also there before"}
    assert stat.S_IMODE(before.stat().st_mode) == 0o604


def test_an_original_that_a_release_left_in_use_comes_back_as_it_was_then(rig: Rig) -> None:
    (rig.root / "etc/app").mkdir(parents=True)
    (rig.root / "etc/app/a").write_text("the same")
    rig.fleet().publish(file_state(a="the same"), ["web-01"])
    rig.poll()
    with (rig.root / "etc/app/a").open("w") as stream:
        stream.write("written in place")
    rig.fleet().publish(State(), ["web-01"])
    rig.poll()
    assert rig.files() == {"/etc/app/a": "the same"}


def test_a_check_is_asked_again_when_another_path_that_it_reads_changes(rig: Rig) -> None:
    check = ["/bin/grep", "-q", "good", "{staged:/etc/app/b}"]
    for content, code in (("good", 0), ("bad", 1)):
        files = [File(path="/etc/app/a", content="a", check=check), File(path="/etc/app/b", content=content)]
        rig.fleet().publish(State(files=files), ["web-01"])
        assert rig.poll() == code
    assert rig.text("/etc/app/b") == "good"


def test_a_directory_that_others_use_stays_when_it_leaves_the_release(rig: Rig) -> None:
    rig.fleet().publish(State(files=[File(path="/srv/data", type="directory"), File(path="/srv/data/x", content="x")]), ["web-01"])
    assert rig.poll() == 0
    (rig.root / "srv/data/theirs").write_text("not ordain's")
    rig.fleet().publish(State(), ["web-01"])
    assert rig.poll() == 0
    assert rig.files() == {"/srv/data/theirs": "not ordain's"}


def test_a_path_changes_between_file_directory_and_link(rig: Rig) -> None:
    shapes = [
        State(files=[File(path="/opt/x", content="file")]),
        State(files=[File(path="/opt/x", type="directory"), File(path="/opt/x/y", content="below")]),
        State(files=[File(path="/opt/x", type="symlink", target="/nowhere")]),
        State(files=[File(path="/opt/x/y", content="below again")]),
        State(files=[File(path="/opt/x", content="file")]),
    ]
    expected = [{"/opt/x": "file"}, {"/opt/x/y": "below"}, {"/opt/x": "-> /nowhere"}, {"/opt/x/y": "below again"}, {"/opt/x": "file"}]
    for state, files in zip(shapes, expected, strict=True):
        rig.fleet().publish(state, ["web-01"])
        assert rig.poll() == 0, rig.log
        assert rig.files() == files


def test_a_failing_check_leaves_everything_and_is_not_run_again(rig: Rig) -> None:
    rig.fleet().publish(file_state(a="good", b="good"), ["web-01"])
    rig.poll()
    before = rig.tree()
    counter = rig.directory / "count"
    program = f"import sys; open({str(counter)!r}, 'a').write('x'); print('no such directive'); sys.exit(open(sys.argv[1]).read() == 'bad')"
    check = [sys.executable, "-c", program, "{staged}"]
    bad = State(files=[File(path="/etc/app/a", content="bad", check=check), File(path="/etc/app/c", content="new")])
    rig.fleet().publish(bad, ["web-01"])
    assert rig.poll() == 1
    assert rig.tree() == before
    status = rig.status()
    assert status["result"] == "failed"
    assert "no such directive" in status["why"]
    assert status["generation"] == 1
    assert rig.poll() == 1
    assert counter.read_text() == "x"
    mended = State(files=[File(path="/etc/app/a", content="fine", check=check)])
    rig.fleet().publish(mended, ["web-01"])
    assert rig.poll() == 0
    assert rig.files() == {"/etc/app/a": "fine"}


def test_a_check_sees_every_staged_path_of_its_release(rig: Rig) -> None:
    tool = rig.directory / "tool"
    tool.write_text('#!/bin/sh\ngrep -q two "$2" && echo "$1" | grep -q "[.]ordain-.*a[.]conf$"\n')
    state = State(
        artifacts=[artifact_of("/opt/tool", tool, codec.sha256(tool.read_bytes()))],
        files=[
            File(path="/etc/app/a.conf", content="one", check=["{staged:/opt/tool}", "{staged}", "{staged:/etc/app/b}"]),
            File(path="/etc/app/b", content="two"),
        ],
    )
    rig.fleet().publish(state, ["web-01"])
    assert rig.poll() == 0, rig.log


def test_an_artifact_is_fetched_once_and_a_rollback_needs_no_source(rig: Rig) -> None:
    tool = rig.directory / "tool"
    tool.write_bytes(TOOL)
    state = State(artifacts=[artifact_of("/opt/tool", tool, codec.sha256(TOOL))])
    rig.fleet().publish(state, ["web-01"])
    assert rig.poll() == 0
    assert stat.S_IMODE((rig.root / "opt/tool").stat().st_mode) == 0o755
    rig.fleet().publish(State(), ["web-01"])
    assert rig.poll() == 0
    tool.unlink()
    done = rig.ask("rollback", "web")
    assert done.returncode == 0, done.stderr
    assert rig.text("/opt/tool").encode() == TOOL


def test_an_artifact_from_the_store_comes_from_the_tenants_own_place(rig: Rig) -> None:
    digest = codec.sha256(TOOL)
    rig.server.files[f"/v1/artifacts/shop/{digest}"] = TOOL
    source = ArtifactSource(url="store:tool", sha256=digest, size=len(TOOL))
    rig.fleet().publish(State(artifacts=[Artifact(name="tool", path="/opt/tool", platforms={"any": source})]), ["web-01"])
    assert rig.poll() == 0, rig.log
    assert rig.text("/opt/tool").encode() == TOOL


@pytest.mark.parametrize(("size", "content"), [(None, b"other bytes"), (3, TOOL)])
def test_an_artifact_that_is_not_what_policy_approved_is_not_used(rig: Rig, size: int | None, content: bytes) -> None:
    tool = rig.directory / "tool"
    tool.write_bytes(content)
    source = ArtifactSource(url=tool.as_uri(), sha256=codec.sha256(TOOL), size=size)
    files = [File(path="/etc/app/a", content="new")]
    state = State(artifacts=[Artifact(name="tool", path="/opt/tool", platforms={"any": source})], files=files)
    rig.fleet().publish(state, ["web-01"])
    assert rig.poll() == 1
    assert rig.tree() == {}
    assert rig.status()["result"] == "failed"
    tool.write_bytes(TOOL)
    assert rig.poll() == (0 if size is None else 1)


def test_an_artifact_for_other_platforms_only_is_refused_by_name(rig: Rig) -> None:
    source = ArtifactSource(url="https://example.com/x", sha256="0" * 64)
    state = State(artifacts=[Artifact(name="tool", path="/opt/tool", platforms={"plan9/mips": source})])
    rig.fleet().publish(state, ["web-01"])
    assert rig.poll() == 1
    assert "tool" in rig.status()["why"]
    assert "plan9/mips" in rig.status()["why"]


def test_agent_toml_has_the_last_word_and_its_line_is_named(rig: Rig) -> None:
    rig.config.parent.mkdir(parents=True)
    rig.config.write_text('[allow]\n# what the collector needs\npaths = ["/etc/otelcol"]\n')
    rig.fleet().publish(State(files=[File(path="/etc/otelcol/a", content="a"), File(path="/etc/otelcol2", content="b")]), ["web-01"])
    assert rig.poll() == 1
    assert rig.tree() == {"/etc": "directory"}
    assert f"{rig.config}:3" in rig.status()["why"]
    assert "/etc/otelcol2" in rig.status()["why"]
    rig.config.write_text('[allow]\npaths = ["/etc"]\n')
    assert rig.poll() == 0, "a refusal by the owner lasts only as long as the owner's file says so"


def test_agent_toml_is_held_against_links_too(rig: Rig) -> None:
    rig.config.parent.mkdir(parents=True)
    rig.config.write_text('[allow]\npaths = ["/srv"]\n')
    (rig.root / "srv").symlink_to("etc")
    rig.fleet().publish(State(files=[File(path="/srv/passwd", content="root::0:0")]), ["web-01"])
    assert rig.poll() == 1
    assert "/etc/passwd" in rig.status()["why"]


def test_agent_toml_that_is_not_understood_allows_nothing(rig: Rig) -> None:
    rig.fleet().publish(file_state(a="1"), ["web-01"])
    rig.config.parent.mkdir(parents=True)
    rig.config.write_text('[allow]\npath = ["/etc"]\n')
    assert rig.poll() == 1
    assert rig.files() == {}
    assert rig.run().returncode == 2


def test_status_says_whether_an_agent_runs(rig: Rig) -> None:
    rig.fleet().publish(file_state(a="1"), ["web-01"])
    rig.poll()
    assert "; no agent runs now" in rig.ask("status").stdout.splitlines()[0]
    with Disk(root=rig.state).lock("run", wait=0, refused="it is held"):
        assert "no agent runs" not in rig.ask("status").stdout
        assert rig.answer("status")["pid"] == os.getpid()


@pytest.mark.parametrize("path", ["/etc/ordain/agent.toml", "/etc/ordain/agent.env", "/etc/ordain/root.json"])
def test_no_bundle_touches_the_agents_own_files(rig: Rig, path: str) -> None:
    rig.fleet().publish(State(files=[File(path=path, content="")]), ["web-01"])
    assert rig.poll() == 1
    assert "the agent's own" in rig.status()["why"]


def test_lines_in_a_file_are_judged_by_where_the_release_own_links_lead(rig: Rig) -> None:
    rig.config.parent.mkdir(parents=True)
    rig.config.write_text('[allow]\npaths = ["/srv/app"]\n')
    (rig.root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    link = File(path="/srv/app/link", type="symlink", target="../../etc")
    rig.fleet().publish(State(files=[link]), ["web-01"])
    assert rig.poll() == 0
    for path, said in (
        ("hosts", "`paths` does not allow /etc/hosts"),
        ("ordain/agent.toml", "`paths` does not allow /etc/ordain/agent.toml"),
    ):
        block = HostFile(name="x", path=f"/srv/app/link/{path}", content="reboot = true")
        rig.fleet().publish(State(files=[link], host_files=[block]), ["web-01"])
        assert rig.poll() == 1
        assert said in rig.status()["why"]
    assert rig.text("/etc/hosts") == "127.0.0.1 localhost\n"
    assert rig.text("/etc/ordain/agent.toml") == '[allow]\npaths = ["/srv/app"]\n'


def test_no_lines_go_into_the_agents_own_files(rig: Rig) -> None:
    rig.config.parent.mkdir(parents=True)
    rig.config.write_text("[allow]\nroot_processes = false\n")
    rig.fleet().publish(State(host_files=[HostFile(name="x", path="/etc/ordain/agent.toml", content="reboot = true")]), ["web-01"])
    assert rig.poll() == 1
    assert "the agent's own" in rig.status()["why"]
    assert rig.text("/etc/ordain/agent.toml") == "[allow]\nroot_processes = false\n"


def test_an_owner_that_is_unknown_is_skipped_with_a_warning_under_root(rig: Rig) -> None:
    rig.fleet().publish(State(files=[File(path="/etc/a", content="a", owner="nobody-of-this-name")]), ["web-01"])
    assert rig.poll() == 0
    assert rig.files() == {"/etc/a": "a"}
    assert any("nobody-of-this-name" in warning for warning in rig.status()["warnings"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_root_gives_files_to_their_owner(rig: Rig) -> None:
    rig.fleet().publish(State(files=[File(path="/etc/a", content="a", owner="65534", group="65534", mode="4750")]), ["web-01"])
    assert rig.poll() == 0
    info = (rig.root / "etc/a").stat()
    assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (65534, 65534, 0o4750)


def test_drift_is_repaired_where_it_is_enforced(rig: Rig) -> None:
    rig.fleet().publish(file_state(a="1", b="2"), ["web-01"])
    rig.poll()
    (rig.root / "etc/app/a").write_text("tampered")
    (rig.root / "etc/app/b").unlink()
    assert rig.poll() == 0
    assert rig.files() == {"/etc/app/a": "1", "/etc/app/b": "2"}
    assert rig.status()["drift"] == []
    assert "path=/etc/app/a" in rig.log


def test_drift_is_only_told_where_it_is_only_reported(rig: Rig) -> None:
    rig.fleet().publish(State(files=[File(path="/etc/app/a", content="1")], drift="report"), ["web-01"])
    rig.poll()
    (rig.root / "etc/app/a").chmod(0o600)
    assert rig.poll() == 0
    assert stat.S_IMODE((rig.root / "etc/app/a").stat().st_mode) == 0o600
    (drift,) = rig.status()["drift"]
    assert (drift["path"], drift["differs"], drift["expected"], drift["actual"]) == ("/etc/app/a", ["mode"], "file 0644", "file 0600")
    since = drift["since"]
    rig.poll()
    assert rig.status()["drift"][0]["since"] == since


def test_a_rollback_by_hand_holds_until_a_newer_release(rig: Rig) -> None:
    for content in ("1", "2", "3"):
        rig.fleet().publish(file_state(a=content), ["web-01"])
        rig.poll()
    assert rig.ask("rollback", "web", "--to", "1").returncode == 0
    assert rig.text("/etc/app/a") == "1"
    assert rig.poll() == 0
    assert rig.text("/etc/app/a") == "1"
    assert rig.status()["held"]
    assert rig.status()["result"] == "restored"
    rig.fleet().publish(file_state(a="4"), ["web-01"])
    assert rig.poll() == 0
    assert rig.text("/etc/app/a") == "4"
    assert not rig.status()["held"]
    assert rig.ask("rollback", "web", "--to", "99").returncode == 2


def test_five_generations_are_kept_and_listed(rig: Rig) -> None:
    for number in range(7):
        rig.fleet().publish(file_state(a=str(number)), ["web-01"])
        rig.poll()
    rows = rig.answer("generations")["generations"]
    assert [row["generation"] for row in rows] == [3, 4, 5, 6, 7]
    assert [row["current"] for row in rows] == [False] * 4 + [True]


def test_a_new_bundle_that_leaves_this_host_alone_makes_no_generation(rig: Rig) -> None:
    mine = file_state(a="1")
    rig.fleet().publish({"x": Group(base=mine)}, {"web-01": Member(group="x")})
    rig.poll()
    digest = rig.fleet().publish({"x": Group(base=mine), "y": Group(base=State())}, {"web-01": Member(group="x")})
    rig.poll()
    assert rig.status()["generation"] == 1
    assert rig.status()["digest"] == digest


def test_a_mode_is_followed_while_it_is_on_and_not_longer_than_it_may_be(rig: Rig) -> None:
    group = Group(base=file_state(a="calm"), modes=[Mode(name="incident", at_most="4h", state=file_state(a="loud"))])
    rig.fleet().publish({"x": group}, {"web-01": Member(group="x")})
    rig.poll()
    rig.fleet().roll_out(modes=[ModeSwitch(name="incident", start="2026-01-01T00:00:00Z", until="2999-01-01T00:00:00Z")])
    rig.poll()
    assert rig.text("/etc/app/a") == "calm"
    assert any("incident" in warning for warning in rig.status()["warnings"])
    start, until = agent_cases.hours_from_now(-1), agent_cases.hours_from_now(1)
    rig.fleet().roll_out(modes=[ModeSwitch(start=start, until=until, name=name) for name in ("incident", "unknown")])
    rig.poll()
    assert rig.text("/etc/app/a") == "loud"
    assert rig.status()["mode"] == "incident"
    rig.fleet().roll_out()
    rig.poll()
    assert rig.text("/etc/app/a") == "calm"


def test_modes_end_by_themselves_where_no_server_answers_and_the_next_highest_counts(rig: Rig) -> None:
    modes = [Mode(name=name, at_most="4h", state=file_state(a=name)) for name in ("sale", "incident")]
    digest = rig.fleet().publish({"x": Group(base=file_state(a="base"), modes=modes)}, {"web-01": Member(group="x")})
    rig.poll()
    for seconds in (2, 8, 32):  # a slow machine is given longer: it is to be seen in the mode first
        ends = {"sale": agent_cases.hours_from_now(1), "incident": agent_cases.seconds_from_now(seconds)}
        start = agent_cases.hours_from_now(-1)
        rig.fleet().roll_out(modes=[ModeSwitch(name=name, start=start, until=until) for name, until in ends.items()])
        rig.poll()
        if rig.text("/etc/app/a") == "incident":
            break
    assert rig.text("/etc/app/a") == "incident"
    rig.server.close()
    until("incident is over", lambda: rig.poll() == 3 and rig.text("/etc/app/a") == "sale")
    assert (rig.status()["mode"], rig.status()["digest"], rig.status()["result"]) == ("sale", digest, "applied")
    told = [(one.mode, one.result) for one in Spool(disk=Disk(root=rig.state)).read().receipts]
    assert told[-2:] == [("incident", "applied"), ("sale", "applied")]


def test_every_outcome_leaves_one_receipt(rig: Rig) -> None:
    first = rig.fleet().publish(file_state(a="1"), ["web-01"])
    rig.poll()
    rig.poll()
    second = rig.fleet().publish(State(files=[File(path="/etc/app/a", content="2", check=["/bin/false"])]), ["web-01"])
    rig.poll()
    rig.poll()
    kept = Spool(disk=Disk(root=rig.state)).read().receipts
    assert [(receipt.digest, receipt.result, receipt.generation) for receipt in kept] == [(first, "applied", 1), (second, "failed", 1)]
    assert {(receipt.fleet, receipt.agent, receipt.group, receipt.mode, receipt.attempt) for receipt in kept} == {
        ("shop/web", "web-01", "all", None, 1)
    }


def test_plan_says_what_would_change_and_changes_nothing(rig: Rig) -> None:
    rig.fleet().publish(file_state(a="1", b="2"), ["web-01"])
    rig.poll()
    before, state = rig.tree(), rig.kept()
    digest = rig.fleet().publish(file_state(a="new", c="3"), ["web-01"])
    (fleet,) = rig.answer("plan")["fleets"]
    assert fleet["digest"] == digest
    assert {(action["path"], action["action"]) for action in fleet["actions"]} == {
        ("/etc/app/a", "replace"),
        ("/etc/app/b", "remove"),
        ("/etc/app/c", "create"),
    }
    assert rig.tree() == before
    assert rig.kept() == state


def test_something_in_the_way_is_named_and_left(rig: Rig) -> None:
    (rig.root / "etc/app").mkdir(parents=True)
    os.mkfifo(rig.root / "etc/app/a")
    rig.fleet().publish(file_state(a="1"), ["web-01"])
    assert rig.poll() == 1
    assert "/etc/app/a is a device, pipe or socket" in rig.status()["why"]
    (rig.root / "etc/app/a").unlink()
    (rig.root / "etc/app/a").mkdir()
    (rig.root / "etc/app/a/theirs").write_text("x")
    assert rig.poll() == 1
    assert "theirs" in rig.status()["why"]
    assert rig.files() == {"/etc/app/a/theirs": "x"}


NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.builds("/m/{}".format, NAMES)
FILES = st.one_of(
    st.builds(File, path=PATHS, content=st.text("xy", max_size=3), mode=st.sampled_from(["0600", "0644"])),
    st.builds(File, path=PATHS, type=st.just("directory")),
    st.builds(File, path=PATHS, type=st.just("symlink"), target=st.sampled_from(["t", "/u"])),
    st.builds(File, path=PATHS, absent=st.just(value=True)),
    st.builds(File, path=st.builds("/m/{}/{}".format, NAMES, NAMES), content=st.just("deep")),
)


def _consistent(files: list[File]) -> bool:
    leaves = {file.path for file in files if file.type != "directory" or file.absent}
    return not any(file.path.rpartition("/")[0] in leaves for file in files if not file.absent)


STATES = st.lists(FILES, max_size=5, unique_by=lambda file: file.path).filter(_consistent).map(lambda files: State(files=files))


@pytest.mark.no_cover
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(states=st.lists(STATES, min_size=1, max_size=3))
def test_a_second_apply_changes_nothing_and_an_empty_release_leaves_nothing(
    tmp_path_factory: pytest.TempPathFactory, states: list[State]
) -> None:
    with agent_cases.rig(tmp_path_factory.mktemp("rig")) as rig:
        for state in states:
            rig.fleet().publish(state, ["web-01"])
            assert rig.poll() == 0, rig.log
            before = {path: os.lstat(path).st_ino for path in rig.root.rglob("*")}
            assert rig.poll() == 0
            assert {path: os.lstat(path).st_ino for path in rig.root.rglob("*")} == before
            assert set(rig.files()) == {file.path for file in state.files if not file.absent and file.type != "directory"}
        rig.fleet().publish(State(), ["web-01"])
        assert rig.poll() == 0
        assert rig.tree() == {}


def test_a_check_that_fails_without_a_word_is_said_to(rig: Rig) -> None:
    rig.fleet().publish(State(files=[File(path="/etc/app/a", content="2", check=["/bin/false"])]), ["web-01"])
    assert rig.poll() == 1
    assert rig.status()["why"] == "/etc/app/a: its check /bin/false ended with 1 and said nothing"
