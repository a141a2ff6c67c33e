"""A fleet repository over ssh, from a real sshd: whom it is believed to be, who we are, and what becomes of silence."""

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pygit2
import pytest

from agent.protocol.errors import InputError, RetryError
from reconciler.pipeline.notes import DECISIONS, write_notes
from reconciler.pipeline.source import CommitTree, Mirror, SourceLimits, SshAccess, locate
from reconciler.settings import load
from reconciler.wiring import mirror as wired
from tests.conftest import part
from tests.source_cases import WorkingCopy
from tests.ssh_cases import SshServer, make_keys, serving

pytestmark = [pytest.mark.needs("git", "sshd"), pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")]


@pytest.fixture(autouse=True)
def _home() -> Iterator[None]:
    before = str(pygit2.settings.homedir or "")
    yield
    pygit2.settings.homedir = before


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    sshd = part("sshd")
    assert sshd is not None
    directory = tmp_path_factory.mktemp("ssh")
    make_keys(directory / "keys", "host", "user", "stranger")
    with serving(sshd, directory, directory / "keys") as running:
        yield running


@pytest.fixture
def copy(tmp_path: Path) -> WorkingCopy:
    made = WorkingCopy.make(tmp_path / "copy")
    made.commit("first", {"ordain.yaml": "a: 1\n"})
    made.git("clone", "--quiet", "--bare", ".", str(tmp_path / "fleets.git"))
    made.git("remote", "add", "origin", str(tmp_path / "fleets.git"))
    return made


def mirror(tmp_path: Path, server: SshServer, access: SshAccess, limits: SourceLimits | None = None) -> Mirror:
    return Mirror(tmp_path / "state" / "mirror.git", server.url(str(tmp_path / "fleets.git")), limits=limits, ssh=access)


def test_commits_come_and_notes_go_over_ssh(tmp_path: Path, copy: WorkingCopy, server: SshServer) -> None:
    ours = mirror(tmp_path, server, server.access())
    assert ours.fetch() == copy.git("rev-parse", "HEAD")
    second = copy.commit("second", {"ordain.yaml": "a: 2\n"})
    copy.git("push", "--quiet", "origin", "main")
    assert ours.fetch() == second
    assert CommitTree(ours.repository, second).read("ordain.yaml") == b"a: 2\n"
    ours.keep_accepted(second)
    write_notes(ours, [(second, "ordain decision 1: accepted\n")])
    assert DECISIONS in copy.git("ls-remote", "origin")


def test_the_settings_file_names_key_and_known_hosts(tmp_path: Path, copy: WorkingCopy, server: SshServer) -> None:
    access = server.access()
    url = server.url(str(tmp_path / "fleets.git"))
    file = tmp_path / "settings.toml"
    file.write_text(f'[source]\nrepository = "{url}"\nssh_key = "{access.key}"\nssh_known_hosts = "{access.known_hosts}"\n')
    assert wired(load(file, state=tmp_path / "state")).fetch() == copy.git("rev-parse", "HEAD")


def refused(tmp_path: Path, server: SshServer, access: SshAccess) -> str:
    """Return what is said of a server that is not believed; our key must not even have been offered."""
    log = server.directory / "log"
    before = log.stat().st_size
    with pytest.raises(RetryError) as error:
        mirror(tmp_path, server, access).fetch()
    assert "ublickey" not in log.read_text()[before:]
    return str(error.value)


@pytest.mark.parametrize("known", ["", "# nothing yet\n\n", "elsewhere.example.com {other}", "[127.0.0.1]:1 {host}"])
def test_an_unknown_server_is_never_believed_at_first_sight(tmp_path: Path, server: SshServer, known: str) -> None:
    said = refused(tmp_path, server, server.access(known.format(host=server.public(), other=server.public("stranger"))))
    assert f"run `ssh-keyscan -p {server.port} 127.0.0.1`, compare with what its owner publishes, and add the line" in said


@pytest.mark.parametrize("how", ["plain", "hashed"])
def test_a_changed_host_key_is_refused_with_the_line_that_says_otherwise(tmp_path: Path, server: SshServer, how: str) -> None:
    access = server.access(f"# of the fleet repository\n[127.0.0.1]:{server.port} {server.public('stranger')}")
    if how == "hashed":
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(access.known_hosts)], check=True, capture_output=True)
    said = refused(tmp_path, server, access)
    assert f"shows another host key than {access.known_hosts} has for it (line 2)" in said


def test_hashed_hosts_are_understood_and_a_mended_file_is_read_at_the_next_fetch(
    tmp_path: Path, copy: WorkingCopy, server: SshServer
) -> None:
    ours = mirror(tmp_path, server, server.access(""))
    with pytest.raises(RetryError, match="is not in"):
        ours.fetch()
    access = server.access()
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(access.known_hosts)], check=True, capture_output=True)
    assert ours.fetch() == copy.git("rev-parse", "HEAD")
    server.access("")
    with pytest.raises(RetryError, match="is not in"):
        ours.fetch()


@pytest.mark.parametrize("marker", ["@revoked", "@cert-authority"])
def test_a_line_that_would_not_be_heeded_refuses_the_file(tmp_path: Path, server: SshServer, marker: str) -> None:
    good = f"[127.0.0.1]:{server.port} {server.public()}"
    said = refused(tmp_path, server, server.access(f"{good}{marker} {good}"))
    assert f"known_hosts:2: {marker} is not understood" in said


def test_the_users_own_known_hosts_are_not_asked(tmp_path: Path, server: SshServer, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home" / ".ssh").mkdir(parents=True)
    (tmp_path / "home" / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{server.port} {server.public()}")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    pygit2.settings.homedir = str(tmp_path / "home")
    refused(tmp_path, server, server.access(""))


def test_a_key_that_the_server_does_not_know_is_said(tmp_path: Path, server: SshServer) -> None:
    with pytest.raises(RetryError, match=r"was not taken for .*add its public half to the repository"):
        mirror(tmp_path, server, server.access(key="stranger")).fetch()


def test_a_key_that_others_can_read_is_not_used(tmp_path: Path, server: SshServer) -> None:
    open_key = server.directory / "open"
    open_key.write_bytes((server.directory / "user").read_bytes())
    open_key.chmod(0o640)
    with pytest.raises(RetryError, match=f"others may read this private key; run `chmod 600 {open_key}`"):
        mirror(tmp_path, server, server.access(key="open")).fetch()


@pytest.mark.parametrize("key", ["absent", "."])
def test_a_key_that_is_none_is_said(tmp_path: Path, server: SshServer, key: str) -> None:
    with pytest.raises(RetryError, match="private key"):
        mirror(tmp_path, server, server.access(key=key)).fetch()


def test_a_known_hosts_file_that_is_not_there_refuses_the_server(tmp_path: Path, server: SshServer) -> None:
    access = SshAccess(key=server.directory / "user", known_hosts=tmp_path / "absent")
    assert "it must hold the host key" in refused(tmp_path, server, access)


def test_ssh_without_key_and_known_hosts_is_a_setting_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ssh_key and ssh_known_hosts"):
        Mirror(tmp_path / "mirror.git", "git@git.example.com:acme/fleets.git")


@contextmanager
def listening(behave: Callable[[socket.socket], None]) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):  # whoever was kept waiting has left
                behave(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def _silent(connection: socket.socket) -> None:
    del connection
    time.sleep(5)


def _greets(connection: socket.socket) -> None:
    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
    time.sleep(5)


def _drips(connection: socket.socket) -> None:
    for _ in range(50):
        connection.sendall(b"S")
        time.sleep(0.1)


@pytest.mark.parametrize("behave", [_silent, _greets, _drips])
def test_a_server_that_hangs_is_given_up(tmp_path: Path, server: SshServer, behave: Callable[[socket.socket], None]) -> None:
    with listening(behave) as port:
        url = f"ssh://git@127.0.0.1:{port}/fleets.git"
        limits = SourceLimits(seconds=1.0, silence=0.3)
        hung = Mirror(tmp_path / "mirror.git", url, limits=limits, ssh=server.access())
        began = time.monotonic()
        with pytest.raises(RetryError):
            hung.fetch()
        assert time.monotonic() - began < 4


@pytest.mark.parametrize(
    "repository",
    [
        "ssh://-oProxyCommand=evil/fleets.git",
        "ssh://git@-oProxyCommand=evil/fleets.git",
        "ssh://-l@host/fleets.git",
        "git@-evil:fleets.git",
        "git@host:--upload-pack=evil",
        "git@host:fleets.git;evil",
        "git@host:$(evil)",
        "ssh://host/fleets.git",
        "ssh://git@host/fleets'.git",
        "ssh://git@host:99999/fleets.git",
        "ssh://git@host",
    ],
)
def test_no_word_of_an_address_can_be_an_option_or_a_command(repository: str) -> None:
    with pytest.raises(InputError):
        locate(repository)


@pytest.mark.parametrize("repository", ["git@git.example.com:acme/fleets.git", "ssh://git@[::1]:2222/srv/fleets.git", "ana@host:~/fleets"])
def test_usual_addresses_are_taken(repository: str) -> None:
    assert locate(repository).user in ("git", "ana")
