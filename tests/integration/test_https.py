"""A fleet repository over https: tokens go to its host alone, silence ends, and notes are pushed without losing others'."""

import time
from collections.abc import Iterator
from pathlib import Path

import pygit2
import pytest

from agent.protocol.errors import RetryError
from reconciler.pipeline.notes import DECISIONS, read_note, write_notes
from reconciler.pipeline.source import CommitTree, Credentials, Mirror, SourceLimits
from tests.https_cases import TOKEN, GitServer, certificate, serving
from tests.source_cases import WorkingCopy

pytestmark = [pytest.mark.needs("git"), pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")]


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = certificate(tmp_path_factory.mktemp("tls"))
    pygit2.settings.set_ssl_cert_locations(str(file), None)
    return file


@pytest.fixture
def copy(tmp_path: Path) -> WorkingCopy:
    made = WorkingCopy.make(tmp_path / "copy")
    made.commit("first", {"ordain.yaml": "a: 1\n"})
    made.git("clone", "--quiet", "--bare", ".", str(tmp_path / "served" / "fleets.git"))
    made.git("remote", "add", "origin", str(tmp_path / "served" / "fleets.git"))
    return made


@pytest.fixture
def server(tmp_path: Path, copy: WorkingCopy, trusted: Path) -> Iterator[GitServer]:
    copy.git("-C", str(tmp_path / "served" / "fleets.git"), "config", "http.receivepack", "true")
    with serving(tmp_path / "served", trusted) as running:
        yield running


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> Credentials:
    monkeypatch.setenv("FLEETS_TOKEN", TOKEN)
    return Credentials.parse("env:FLEETS_TOKEN")


def test_a_commit_comes_over_https_and_an_idle_poll_is_one_request(tmp_path: Path, copy: WorkingCopy, server: GitServer) -> None:
    mirror = Mirror(tmp_path / "mirror.git", server.url("fleets.git"))
    first = mirror.fetch()
    assert first == copy.git("rev-parse", "HEAD")
    second = copy.commit("second", {"ordain.yaml": "a: 2\n"})
    copy.git("push", "--quiet", "origin", "main")
    assert mirror.fetch() == second
    assert CommitTree(mirror.repository, second).read("ordain.yaml") == b"a: 2\n"
    server.requests.clear()
    assert mirror.fetch() == second
    assert server.requests == ["GET /fleets.git/info/refs?service=git-upload-pack"]


def test_the_token_stays_out_of_the_mirror(tmp_path: Path, server: GitServer, token: Credentials) -> None:
    server.private = True
    mirror = Mirror(tmp_path / "mirror.git", server.url("fleets.git"), credentials=token)
    assert mirror.fetch() is not None
    written = b"".join(file.read_bytes() for file in (tmp_path / "mirror.git").rglob("*") if file.is_file())
    assert TOKEN.encode() not in written
    assert "localhost" not in (tmp_path / "mirror.git" / "config").read_text()


def test_a_private_repository_without_a_token_says_how_to_name_one(tmp_path: Path, server: GitServer) -> None:
    server.private = True
    with pytest.raises(RetryError, match="no token is named for it"):
        Mirror(tmp_path / "mirror.git", server.url("fleets.git")).fetch()


def test_a_token_that_is_not_taken_is_offered_once_and_never_shown(
    tmp_path: Path, server: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.private = True
    monkeypatch.setenv("FLEETS_TOKEN", "hunter2")
    mirror = Mirror(tmp_path / "mirror.git", server.url("fleets.git"), credentials=Credentials.parse("env:FLEETS_TOKEN"))
    with pytest.raises(RetryError, match="the token was not taken") as refused:
        mirror.fetch()
    assert "hunter2" not in str(refused.value)
    assert len(server.seen) == 1


def test_a_redirect_to_another_host_does_not_get_the_token(tmp_path: Path, server: GitServer, token: Credentials, trusted: Path) -> None:
    with serving(server.root, trusted) as elsewhere:
        elsewhere.private = True
        server.redirect = elsewhere.url("", host="127.0.0.1").rstrip("/")
        with pytest.raises(RetryError):
            Mirror(tmp_path / "mirror.git", server.url("fleets.git"), credentials=token).fetch()
        assert elsewhere.seen == []


def test_a_certificate_that_nobody_trusts_is_refused(tmp_path: Path, server: GitServer) -> None:
    with (
        serving(server.root, certificate(tmp_path)) as impostor,
        pytest.raises(RetryError, match=r"(?i)certificate|ssl"),
    ):
        Mirror(tmp_path / "mirror.git", impostor.url("fleets.git")).fetch()


def test_a_server_that_falls_silent_is_given_up(tmp_path: Path, server: GitServer) -> None:
    server.silent = 3.0
    mirror = Mirror(tmp_path / "mirror.git", server.url("fleets.git"), limits=SourceLimits(silence=0.3))
    began = time.monotonic()
    with pytest.raises(RetryError, match="fell silent"):
        mirror.fetch()
    assert time.monotonic() - began < 2


def test_a_server_that_sends_a_byte_now_and_then_is_given_up_and_not_asked_twice(tmp_path: Path, server: GitServer) -> None:
    server.drip = 0.1
    limits = SourceLimits(seconds=0.5, silence=5.0)
    mirror = Mirror(tmp_path / "mirror.git", server.url("fleets.git"), limits=limits)
    began = time.monotonic()
    with pytest.raises(RetryError, match=r"not done after 0\.5 s"):
        mirror.fetch()
    assert time.monotonic() - began < 3
    with pytest.raises(RetryError, match="an earlier transfer still hangs"):
        mirror.fetch()
    assert len(server.requests) == 1


def test_a_repository_that_is_not_there_is_told(tmp_path: Path, server: GitServer) -> None:
    with pytest.raises(RetryError, match="404"):
        Mirror(tmp_path / "mirror.git", server.url("other.git")).fetch()


def test_a_note_is_pushed_and_nothing_else(tmp_path: Path, copy: WorkingCopy, server: GitServer) -> None:
    mirror = Mirror(tmp_path / "mirror.git", server.url("fleets.git"))
    head = mirror.fetch()
    assert head is not None
    mirror.keep_accepted(head)
    write_notes(mirror, [(head, "ordain decision 1: accepted\n")])
    served = pygit2.Repository(str(server.root / "fleets.git"))
    assert sorted(served.references) == ["refs/heads/main", DECISIONS]
    assert copy.git("-C", served.path, "log", "-1", "--notes=ordain/*", "--format=%N", "main") == "ordain decision 1: accepted"


def test_a_note_survives_a_writer_that_was_quicker(tmp_path: Path, server: GitServer) -> None:
    mirror = Mirror(tmp_path / "mirror.git", server.url("fleets.git"))
    head = mirror.fetch()
    assert head is not None
    write_notes(mirror, [(head, "ordain decision 1: accepted\n")])
    quick = "git -C fleets.git -c user.name=Bo -c user.email=bo@example.com notes --ref ordain/decisions append -m 'by Bo' main"
    server.before_push.append(quick)
    write_notes(mirror, [(head, "ordain decision 2: accepted\n")])
    note = read_note(pygit2.Repository(str(server.root / "fleets.git")), head)
    assert note is not None
    assert note.split("\n\n") == ["ordain decision 1: accepted", "by Bo", "ordain decision 2: accepted\n"]


def test_a_remote_that_takes_no_notes_says_why(tmp_path: Path, copy: WorkingCopy, server: GitServer) -> None:
    copy.git("-C", str(server.root / "fleets.git"), "config", "http.receivepack", "false")
    mirror = Mirror(tmp_path / "mirror.git", server.url("fleets.git"))
    head = mirror.fetch()
    assert head is not None
    with pytest.raises(RetryError, match="let the reconciler write refs/notes/ordain/decisions there"):
        write_notes(mirror, [(head, "ordain decision 1: accepted\n")])
