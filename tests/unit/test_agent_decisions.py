"""Decisions that are pure: floors, admission, ownership and what an owner allows."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.apply.plan import claims, declared, parents
from agent.following.admission import NotListedError, WaitingError, choose, choose_mode, group_of, state_in
from agent.host import Host
from agent.owner.allow import read_allow
from agent.protocol.bundle import Bundle, Group, Mode
from agent.protocol.errors import InputError, MalformedError, RefusedError
from agent.protocol.membership import Member
from agent.protocol.rollout import Held, ModeSwitch, Release, RolloutDocument
from agent.protocol.state import Action, File, HostFile, Package, Probe, Process, Reboot, Service, State, Sysctl, User
from agent.protocol.state import Group as OsGroup
from agent.providers.item import resolve_mode
from agent.settling.supported import require_supported, within_reach
from agent.trust import floors
from agent.trust.floors import Floors, floor, raised

NOW = "2026-11-22T12:00:00Z"
OLD, NEW = Release(digest="0" * 64, members=1), Release(digest="1" * 64, members=2)


def document(**fields: object) -> RolloutDocument:
    known = {"stable": OLD, "candidate": None, "not_before": "2026-01-01T00:00:00Z", "attempt": 1}
    return RolloutDocument(format=1, fleet="shop/web", serial=7, epoch=1, **(known | fields))  # type: ignore[arg-type]


def decide(given_document: RolloutDocument, members: dict[int, Member]) -> tuple[Release, str]:
    choice = choose(given_document, agent="web-01", now=NOW, member=members.get)
    return choice.release, choice.member.group


def test_without_a_candidate_everyone_takes_stable() -> None:
    assert decide(document(), {1: Member(group="x")}) == (OLD, "x")


def test_labels_are_the_candidates_and_the_group_is_the_chosen_releases() -> None:
    members = {1: Member(group="old", labels={"canary": "no"}), 2: Member(group="new", labels={"canary": "yes"})}
    canary = document(candidate=NEW, selectors=[{"canary": "yes"}])
    assert decide(canary, members) == (NEW, "new")
    assert decide(document(candidate=NEW, selectors=[{"canary": "no"}]), members) == (OLD, "old")


def test_a_host_that_joined_in_mid_rollout_takes_stable_in_its_new_group() -> None:
    assert decide(document(candidate=NEW), {2: Member(group="new")}) == (OLD, "new")


def test_a_host_that_the_candidate_drops_stays_until_it_is_stable() -> None:
    with pytest.raises(WaitingError):
        decide(document(candidate=NEW, selectors=[{}]), {1: Member(group="old")})


@pytest.mark.parametrize("held", [Held(names=["web-01"]), Held(selectors=[{"region": "eu"}])])
def test_held_hosts_stay(held: Held) -> None:
    with pytest.raises(WaitingError):
        decide(document(held=held), {1: Member(group="x", labels={"region": "eu"})})


def test_nothing_is_touched_outside_a_first_wave() -> None:
    with pytest.raises(WaitingError):
        decide(document(stable=None, candidate=NEW), {2: Member(group="x")})


def test_a_host_that_nobody_lists_takes_nothing() -> None:
    with pytest.raises(NotListedError):
        decide(document(), {})


def test_a_group_that_stable_lacks_waits_and_one_that_all_lack_is_refused() -> None:
    bundle = Bundle(format=1, fleet="shop/web", groups={})
    choice = choose(document(candidate=NEW), agent="web-01", now=NOW, member={2: Member(group="new")}.get)
    with pytest.raises(WaitingError, match="from before this host came, and has nothing for it; it waits for its wave of 111"):
        group_of(choice, document(candidate=NEW), bundle)
    with pytest.raises(RefusedError):
        group_of(choice, document(), bundle)


def test_the_highest_mode_that_is_on_and_allowed_counts() -> None:
    base, low, high = (State(files=[File(path=f"/{name}")]) for name in ("base", "low", "high"))
    group = Group(base=base, modes=[Mode(name="low", at_most="4h", state=low), Mode(name="high", at_most="1h", state=high)])

    def on(name: str, start: str, until: str) -> ModeSwitch:
        return ModeSwitch(name=name, start=f"2026-11-22T{start}:00Z", until=f"2026-11-22T{until}:00Z")

    def due(*modes: ModeSwitch) -> tuple[str | None, int]:
        mode, warnings = choose_mode(document(modes=list(modes)), group, agent="web-01", now=NOW, member=Member(group="x"))
        return mode, len(warnings)

    assert due(on("low", "11:30", "12:30"), on("high", "11:30", "12:30")) == ("high", 0)
    assert due(on("low", "11:00", "13:00"), on("high", "11:00", "13:00")) == ("low", 1)
    assert due(on("other", "11:30", "12:30")) == (None, 1)
    assert due(ModeSwitch(name="low", start="yesterday", until="tomorrow")) == (None, 1)
    assert (state_in(group, "high"), state_in(group, None)) == (high, base)


KEYS = st.lists(st.sampled_from(["k1", "k2", "k3"]), min_size=1, unique=True)


@given(steps=st.lists(st.tuples(KEYS, st.integers(0, 9)), max_size=8))
def test_a_floor_never_falls_under_a_key_that_stays(steps: list[tuple[list[str], int]]) -> None:
    known = Floors()
    for keys, value in steps:
        before = floor(known, "serial", keys)
        try:
            known = raised(known, "serial", keys, value)
        except RefusedError:
            assert value < before
        else:
            assert floor(known, "serial", keys) == value >= before
            assert set(known.marks["serial"]) == set(keys), "rotated keys' marks are dropped"


def test_a_clock_is_never_refused_and_never_falls() -> None:
    known = raised(Floors(), "clock", ["k"], 100)
    assert floor(raised(known, "clock", ["k"], 50), "clock", ["k"]) == 100


def test_floors_survive_on_disk_and_damage_is_not_ignored(tmp_path: Path) -> None:
    path = tmp_path / "floors.json"
    assert floors.read(path) == Floors()
    known = raised(Floors(root=3), "epoch", ["k"], 4)
    floors.write(path, known)
    assert floors.read(path) == known
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(MalformedError):
        floors.read(path)


def test_a_state_claims_its_paths_and_what_is_above_those_that_shall_be_there() -> None:
    state = State(files=[File(path="/a/b/c"), File(path="/x/y", absent=True)])
    assert declared(state) == {"/a/b/c", "/x/y"}
    assert claims(state) == {"/a", "/a/b", "/a/b/c", "/x/y"}
    assert claims(State()) == frozenset()
    assert parents("/a") == []


@pytest.mark.parametrize("mode", ["", "8", "0x1f", "rwx", "\uff10\uff10\uff10", "-1", "123456"])
def test_a_mode_that_is_not_octal_is_refused(mode: str) -> None:
    with pytest.raises(RefusedError):
        resolve_mode("/x", mode, 0o644)


def test_without_agent_toml_everything_is_allowed(tmp_path: Path) -> None:
    allow = read_allow(tmp_path / "agent.toml")
    assert allow.refuse_path("files", "/etc/passwd") is None
    assert allow.refuse_command("/bin/sh") is None


def test_agent_toml_allows_whole_components_named_providers_and_commands_only(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('[allow]\nproviders = ["files"]\n\npaths = ["/etc/app/", "/srv"]\ncommands = ["/usr/sbin/nginx"]\n')
    allow = read_allow(path)
    assert [allow.refuse_path("files", name) for name in ("/etc/app/x", "/srv", "/srv/a/b")] == [None] * 3
    assert str(allow.refuse_path("files", "/etc/application")).startswith(f"{path}:4: `paths`")
    assert str(allow.refuse_path("artifacts", "/srv/x")).startswith(f"{path}:2: `providers`")
    assert str(allow.refuse_command("/bin/sh")).startswith(f"{path}:5: `commands`")
    assert allow.refuse_command("/usr/sbin/nginx") is None


EVERYTHING = State(
    processes=[Process(name="app", command=["/opt/app"], user="daemon")],
    services=[Service(name="nginx.service")],
    packages=[Package(name="nginx"), Package(name="otelcol-contrib")],
    users=[User(name="otel")],
    sysctls=[Sysctl(name="net.core.somaxconn", value="1")],
    host_files=[HostFile(name="hosts", path="/etc/hosts")],
    actions=[Action(name="warm", on=["/etc/x"], run=["/opt/warm"])],
    probes=[Probe(name="ready", command=["/opt/ready"])],
    reboot=Reboot(when="required"),
)


def test_a_reboot_alone_must_be_allowed_by_name(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    assert "`reboot` does not allow" in str(read_allow(path).refuse(EVERYTHING, agent_is_root=True))
    path.write_text("[allow]\nreboot = true\n")
    assert read_allow(path).refuse(EVERYTHING, agent_is_root=True) is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('providers = ["files", "services"]', "`providers` does not allow processes (for processes app)"),
        ('commands = ["/opt/app", "/opt/ready"]', "`commands` does not allow /opt/warm"),
        ('users = ["daemon"]', "`users` does not allow otel"),
        ('packages = ["otelcol-*"]', "`packages` does not allow nginx"),
        ('paths = ["/etc/app"]', "`paths` does not allow /etc/hosts"),
    ],
)
def test_what_a_release_holds_is_held_against_agent_toml_and_its_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(f"[allow]\nreboot = true\n{line}\n")
    assert str(read_allow(path).refuse(EVERYTHING, agent_is_root=True)).startswith(f"{path}:3: {said}")


@pytest.mark.parametrize(("user", "refused"), [(None, True), ("root", True), ("0", True), ("00", True), ("daemon", False)])
def test_root_is_root_by_whatever_name(tmp_path: Path, user: str | None, *, refused: bool) -> None:
    path = tmp_path / "agent.toml"
    path.write_text("[allow]\nroot_processes = false\n")
    state = State(processes=[Process(name="app", command=["/opt/app"], user=user)])
    assert (read_allow(path).refuse(state, agent_is_root=True) is not None) is refused


@pytest.mark.parametrize(
    ("state", "refused"),
    [
        (State(processes=[Process(name="app", command=["/opt/app"], user="otel", group="otel")]), ""),
        (State(processes=[Process(name="app", command=["/opt/app"])]), "root (for process/app)"),
        (State(processes=[Process(name="app", command=["/opt/app"], user="otel", group="docker")]), "docker (for process/app)"),
        (State(users=[User(name="otel", group="otel", groups=["sudo"])]), "sudo (for users otel)"),
        (State(users=[User(name="otel", group="disk")]), "disk (for users otel)"),
        (State(groups=[OsGroup(name="wheel", absent=True)]), "wheel (for groups wheel)"),
    ],
)
def test_users_that_are_allowed_are_allowed_no_rights_of_others(tmp_path: Path, state: State, refused: str) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('[allow]\nusers = ["otel"]\n')
    said = read_allow(path).refuse(state, agent_is_root=True)
    assert said == (f"{path}:2: `users` does not allow {refused}" if refused else None)


@pytest.mark.parametrize(
    ("mode", "owner", "refused"), [("4755", None, True), ("6755", "0", True), ("4755", "daemon", False), ("0755", None, False)]
)
def test_where_no_process_may_be_roots_no_file_makes_one_so(tmp_path: Path, mode: str, owner: str | None, *, refused: bool) -> None:
    path = tmp_path / "agent.toml"
    path.write_text("[allow]\nroot_processes = false\n")
    state = State(files=[File(path="/opt/su", mode=mode, owner=owner)])
    assert (read_allow(path).refuse(state, agent_is_root=True) is not None) is refused


@pytest.mark.parametrize(
    ("file", "provider"),
    [
        ("/etc/containers/systemd/web.container", "containers"),
        ("/etc/systemd/system/web.service", "services"),
        ("/etc/systemd/system/multi-user.target.wants/web.service", "services"),
        ("/run/systemd/system/ssh.service.d/x.conf", "services"),
    ],
)
def test_a_container_or_a_unit_is_one_whoever_calls_it_a_file(tmp_path: Path, file: str, provider: str) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('[allow]\nproviders = ["files"]\n')
    assert read_allow(path).refuse_path("files", file) == f"{path}:2: `providers` does not allow {provider} (for {file})"
    path.write_text(f'[allow]\nproviders = ["files", "{provider}"]\n')
    assert read_allow(path).refuse_path("files", file) is None


def test_below_a_root_what_can_not_be_had_is_left_out_with_a_warning(tmp_path: Path) -> None:
    state, warnings = within_reach(EVERYTHING, Host(tmp_path), has_systemd=lambda: False, reboots=False)
    assert (state.services, state.packages, state.users, state.host_files, state.reboot) == ([], [], [], [], None)
    assert (state.processes, state.sysctls) == (EVERYTHING.processes, EVERYTHING.sysctls)
    assert "services nginx.service: left out, no systemd runs what is below --root" in warnings
    assert len(warnings) == 6
    assert within_reach(EVERYTHING, Host(Path("/")), has_systemd=lambda: False, reboots=False) == (EVERYTHING, ())


def test_a_release_that_holds_what_this_agent_can_not_do_is_refused_by_name() -> None:
    with pytest.raises(RefusedError, match="processes app: this agent can't"):
        require_supported(EVERYTHING, supported=())
    everything = ("processes", "services", "packages", "users", "kernelSettings", "hostFiles", "actions")
    with pytest.raises(RefusedError, match="reboot"):
        require_supported(EVERYTHING, supported=everything)
    require_supported(EVERYTHING, supported=(*everything, "reboot"))


@pytest.mark.parametrize(
    "text",
    ["[allow", "[deny]\n", "[allow]\npath = []\n", '[allow]\npaths = "/etc"\n', '[allow]\npaths = ["etc"]\n', '[allow]\nreboot = "yes"\n'],
)
def test_agent_toml_that_is_not_understood_in_full_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"agent\.toml"):
        read_allow(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[allow]\nproviders = ["file"]\n', "2: file is no provider; there are files, artifacts, containers, processes,"),
        ('[allow]\n\nreboot = "yes"\n', "3: allow.reboot must be true or false"),
        ("[reboot]\ncommand = []\n[allow]\nreboot = 1\n", "4: allow.reboot must be"),
        ("[allow]\nusers = [33]\n", "2: allow.users must be a list of strings"),
        ("[downloads]\n[alow]\n", "2: alow is not known"),
        ("[allow]\n# provider\nprovider = []\n", "3: provider is not known"),
    ],
)
def test_what_is_wrong_with_agent_toml_is_said_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_allow(path)
    assert str(error.value).startswith(f"{path}:{said}")
