"""What `ordain forge report` does to a forge, whatever the forge and the network do to it."""

import contextlib
import itertools
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from agent.protocol.errors import InputError, MalformedError, OrdainError, RefusedError, RetryError
from reconciler.forges import connect
from reconciler.forges.deliver import Delivered, Report, deliver
from reconciler.forges.environment import Surroundings
from reconciler.forges.http import PAGES_LIMIT, Api, Token
from reconciler.forges.patience import Patience, WaitError
from reconciler.forges.shape import Status
from tests import https_cases
from tests.forges.gitea import Gitea
from tests.forges.github import Account, GitHub
from tests.forges.gitlab import GitLab
from tests.forges.standin import Fault, Reply, StandIn, serving

TOKEN = "hunter2-of-the-job"
STRANGER = "stranger"
HEAD, NEWER = "a" * 40, "b" * 40
MARKER = "<!-- ordain forge report: ordain -->"
REPORT = Report(
    commit=HEAD,
    statuses=(
        Status(context="ordain/schema", state="success", description="every manifest is valid", link="https://ci.example.com/1"),
        Status(context="ordain/policy", state="failure", description="1 new finding that refuses"),
        Status(context="ordain/plan", state="success", description="6 agents of 8 (75 %) in 4 fleets"),
    ),
    pull_request=7,
    marker=MARKER,
    body="### the plan, at 2026-11-23T12:00:00Z\n\n- nothing",
)
SECRET = Token(header="Authorization", prefix="Bearer ", secret=TOKEN, named="env:TOKEN")
SPEAKERS: dict[str, Callable[[], GitHub | GitLab]] = {"github": GitHub, "gitlab": GitLab, "gitea": Gitea}


@dataclass
class Clock:
    """A clock that only waiting moves."""

    now: float = 0.0
    waits: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


@dataclass
class Stage:
    """A forge with an open pull request, and how to report to it."""

    kind: str
    forge: StandIn
    speaker: GitHub | GitLab
    clock: Clock = field(default_factory=Clock)
    told: list[str] = field(default_factory=list)

    def report(self, report: Report = REPORT, *, token: str = TOKEN, repository: str = "", seconds: float = 120.0) -> Delivered:
        trying = Patience(seconds=seconds, clock=lambda: self.clock.now, sleep=self.clock.sleep, random=lambda: 0.5, told=self.told.append)
        about = Surroundings(
            forge=self.kind,
            api=self.forge.address + self.speaker.prefix,
            repository=repository or self.speaker.project,
            commit=report.commit,
            token="env:TOKEN",
        )
        return deliver(connect.to(about, token=token, author="", patience=trying), report, trying)

    def is_as_wanted(self, report: Report = REPORT) -> bool:
        said = {one.context: (one.state, one.description) for one in report.statuses}
        ours = [text for author, text in self.speaker.texts() if author != STRANGER]
        return self.speaker.shown(report.commit) == said and ours == [f"{report.marker}\n{report.body}"]


@pytest.fixture(params=SPEAKERS)
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    speaker = SPEAKERS[request.param]()
    speaker.tokens = {
        TOKEN: Account(login="github-actions[bot]" if request.param == "github" else "ordain", app=True),
        "reader": Account(login="reader", writes=False),
    }
    speaker.pulls = {7: {"state": "open", "head": HEAD}}
    with serving(speaker) as forge:
        yield Stage(kind=request.param, forge=forge, speaker=speaker)
    assert forge.wrong == []


def test_a_first_report_posts_three_statuses_and_one_comment(stage: Stage) -> None:
    done = stage.report()
    assert stage.is_as_wanted()
    assert {one.done for one in done.statuses.values()} == {"created"}
    assert done.comment is not None
    assert done.comment.done == "created"
    assert len(stage.forge.writes()) == 4


def test_the_same_report_again_writes_nothing(stage: Stage) -> None:
    stage.report()
    before = stage.forge.writes()
    done = stage.report(replace(REPORT, body=REPORT.body.replace("12:00:00", "12:34:56")))
    assert stage.forge.writes() == before
    assert {one.done for one in done.statuses.values()} == {"unchanged"}
    assert done.comment is not None
    assert done.comment.done == "unchanged"


def test_another_verdict_changes_what_differs_and_nothing_else(stage: Stage) -> None:
    stage.report()
    before = len(stage.forge.writes())
    schema, _, hosts = REPORT.statuses
    other = replace(REPORT, statuses=(schema, Status(context="ordain/policy", state="success", description="fine"), hosts), body="### fine")
    stage.report(other)
    assert stage.is_as_wanted(other)
    assert len(stage.forge.writes()) == before + 2


def test_our_comment_is_found_on_a_later_page(stage: Stage) -> None:
    for number in range(150):
        stage.speaker.say(STRANGER, f"comment {number}")
    stage.report()
    for number in range(150):
        stage.speaker.say(STRANGER, f"more {number}")
    stage.report(replace(REPORT, body="### later"))
    assert stage.is_as_wanted(replace(REPORT, body="### later"))


def test_a_stranger_who_pastes_the_marker_does_not_get_to_own_the_comment(stage: Stage) -> None:
    stage.speaker.say(STRANGER, f"{MARKER}\nall is fine")
    stage.report()
    assert stage.is_as_wanted()
    assert (STRANGER, f"{MARKER}\nall is fine") in stage.speaker.texts()


def test_a_comment_of_ours_that_only_quotes_the_marker_is_left_alone(stage: Stage) -> None:
    author = stage.speaker.tokens[TOKEN].login
    stage.speaker.say(author, f"somebody wrote {MARKER}")
    stage.report()
    assert [text for _, text in stage.speaker.texts()] == [f"somebody wrote {MARKER}", f"{MARKER}\n{REPORT.body}"]


@pytest.mark.parametrize(
    ("status", "headers"),
    [(429, {"Retry-After": "7"}), (403, {"Retry-After": "7"}), (503, {"Retry-After": "7"})],
    ids=["429", "403", "503"],
)
@pytest.mark.parametrize("about", ["status", "comment", "comments", "edit"])
def test_a_forge_that_names_a_time_is_asked_again_then(stage: Stage, status: int, headers: dict[str, str], about: str) -> None:
    if about == "edit":
        stage.report(replace(REPORT, body="### before"))
    stage.forge.faults.append(
        Fault(about=stage.speaker.paths[about], reply=Reply(status=status, body={"message": "wait"}, headers=headers))
    )
    stage.report()
    assert stage.clock.waits == [7.5]
    assert stage.is_as_wanted()


def test_a_rate_limit_that_ends_too_late_is_given_up_and_says_when_to_come_back(stage: Stage) -> None:
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "4102444800", "Date": "Thu, 31 Dec 2099 23:00:00 GMT"}
    stage.forge.faults.append(Fault(about="GET", reply=Reply(status=403, body={"message": "API rate limit exceeded"}, headers=headers)))
    with pytest.raises(RetryError, match=r"rate limit.*run it again after 20\d\d-\d\d-\d\dT"):
        stage.report()
    assert stage.clock.waits == []


def test_a_secondary_limit_without_a_time_is_left_alone_for_a_minute(stage: Stage) -> None:
    headers = {"X-RateLimit-Remaining": "4000", "X-RateLimit-Reset": "4102444800"}
    reply = Reply(status=403, body={"message": "You have exceeded a secondary rate limit"}, headers=headers)
    stage.forge.faults.append(Fault(about=stage.speaker.paths["status"], reply=reply))
    stage.report()
    assert stage.clock.waits == [60.5]
    assert stage.is_as_wanted()


def test_a_forge_that_is_not_well_is_tried_again_ever_more_slowly_and_then_given_up(stage: Stage) -> None:
    stage.forge.faults += [Fault(about="GET", reply=Reply(status=502, body={"message": "oops"})) for _ in range(40)]
    with pytest.raises(RetryError, match=r"HTTP 502.*--patience"):
        stage.report()
    assert stage.clock.waits[:4] == [0.75, 1.5, 3.0, 6.0]
    assert sum(stage.clock.waits) <= 120


@pytest.mark.parametrize("about", ["status", "comment"])
def test_an_answer_that_is_lost_after_it_was_done_does_not_have_it_done_twice(stage: Stage, about: str) -> None:
    stage.forge.faults.append(Fault(about=stage.speaker.paths[about], lost=True))
    done = stage.report()
    assert stage.is_as_wanted()
    assert len(stage.forge.writes()) == 4
    assert {one.done for one in done.statuses.values()} == {"created"}
    assert done.comment is not None
    assert done.comment.done == "created"


@pytest.mark.parametrize("after", range(1, 5))
def test_a_report_that_died_between_two_requests_is_finished_by_the_next(stage: Stage, after: int) -> None:
    """It did not live to hear of what the forge did last."""
    paths = (*(stage.speaker.paths["status"],) * 3, stage.speaker.paths["comment"])[:after]
    stage.forge.faults += [Fault(about=path, lost=number == after) for number, path in enumerate(paths, 1)]
    with pytest.raises(RetryError):
        stage.report(seconds=0)
    assert len(stage.forge.writes()) == after
    stage.report()
    assert stage.is_as_wanted()
    assert len(stage.forge.writes()) == 4


def test_two_reports_at_once_leave_one_comment(stage: Stage) -> None:
    both = threading.Barrier(2)
    stage.forge.faults += [Fault(about=stage.speaker.paths["comment"], first=lambda: both.wait(10)) for _ in range(2)]
    failed: list[BaseException] = []

    def run() -> None:
        try:
            Stage(kind=stage.kind, forge=stage.forge, speaker=stage.speaker).report()
        except BaseException as error:  # noqa: BLE001 - the test says what it was
            failed.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert sum(re.search(stage.speaker.paths["comment"], one) is not None for one in stage.forge.writes()) == 2
    assert stage.is_as_wanted()


def test_what_a_redirect_leads_to_is_never_told_the_token(stage: Stage) -> None:
    stage.speaker.renamed = "acme/old-name"
    with pytest.raises(InputError, match=r"renamed or moved\? Name it as it is called now"):
        stage.report(repository="acme/old-name")
    assert len(stage.forge.requests) == 1


def test_a_next_page_elsewhere_is_never_told_the_token(stage: Stage) -> None:
    for url in ("https://evil.example.com/next?page=2", "//evil.example.com/", "https://[x", "http://127.0.0.1:1@evil.example.com/"):
        reply = Reply(body=[], headers={"Link": f'<{url}>; rel="next"'})
        stage.forge.faults.append(Fault(about=stage.speaker.paths["comments"], reply=reply))
        with pytest.raises(RefusedError, match="a token goes to one place only"):
            stage.report()


def test_a_wrong_token_is_named_by_where_it_is_and_shown_nowhere(stage: Stage) -> None:
    with pytest.raises(InputError, match="env:TOKEN is not accepted") as error:
        stage.report(token="wrong-secret")
    assert "wrong-secret" not in str(error.value)
    assert stage.forge.writes() == []


@pytest.mark.parametrize("token", ["two words", "line\nend", "ünicode", "\x07"])
def test_what_can_be_no_token_is_refused_without_being_shown(stage: Stage, token: str) -> None:
    with pytest.raises(InputError) as error:
        stage.report(token=token)
    assert token not in str(error.value)
    assert stage.forge.requests == []


def test_a_forge_that_sends_the_token_back_does_not_get_it_printed(stage: Stage) -> None:
    stage.forge.faults.append(Fault(about="GET", reply=Reply(status=404, body={"message": "x" * 285 + TOKEN})))
    with pytest.raises(OrdainError) as error:
        stage.report()
    assert "hunt" not in str(error.value)
    assert "xxx***" in str(error.value)


def test_a_token_that_may_only_read_is_told_what_it_needs_and_about_forks(stage: Stage) -> None:
    with pytest.raises(RefusedError, match=r"may not do that; .*docs/forges\.md#forks"):
        stage.report(token="reader")
    assert stage.clock.waits == []


def test_a_closed_pull_request_gets_statuses_and_no_comment(stage: Stage) -> None:
    stage.speaker.pulls[7]["state"] = "closed"
    done = stage.report()
    assert done.comment is not None
    assert (done.comment.done, done.comment.why) == ("left", "the pull request is closed")
    assert stage.speaker.texts() == []
    assert len(stage.speaker.shown(HEAD)) == 3


def test_a_report_on_a_commit_that_is_no_longer_the_head_leaves_the_comment_to_the_newer_one(stage: Stage) -> None:
    stage.report()
    stage.speaker.pulls[7]["head"] = NEWER
    stage.report(replace(REPORT, commit=NEWER, body="### newer"))
    done = stage.report(replace(REPORT, body="### late"))
    assert done.comment is not None
    assert done.comment.why.startswith("the pull request has moved on to bbbbbbbbbbbb")
    assert stage.is_as_wanted(replace(REPORT, commit=NEWER, body="### newer"))


def test_a_pull_request_that_does_not_exist_is_an_input_error(stage: Stage) -> None:
    with pytest.raises(InputError, match="--pull-request"):
        stage.report(replace(REPORT, pull_request=9))


def test_without_a_pull_request_there_are_statuses_alone(stage: Stage) -> None:
    assert stage.report(replace(REPORT, pull_request=None)).comment is None
    assert len(stage.forge.writes()) == 3


def test_what_is_no_answer_of_a_forge_is_refused(stage: Stage) -> None:
    stage.forge.wrong = []
    stage.forge.faults.append(Fault(about="GET", reply=Reply(body={"hello": "I am a captive portal"})))
    with pytest.raises(RefusedError, match="not what its API says"):
        stage.report()
    stage.forge.wrong = []


def test_a_list_without_end_is_not_read_to_its_end_and_nothing_is_written(stage: Stage) -> None:
    endless = Reply(body=[], headers={"Link": f'<{stage.forge.address}/x>; rel="next"'})
    stage.forge.faults += [Fault(about="GET .*(/comments|/notes|/x)$", reply=endless) for _ in range(PAGES_LIMIT)]
    with pytest.raises(RefusedError, match="more than 50 pages"):
        stage.report()
    assert stage.speaker.texts() == []
    stage.forge.wrong = []


@pytest.fixture
def raw() -> Iterator[socket.socket]:
    """A port on which a test answers byte by byte."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def answering(listening: socket.socket, chunks: Iterable[bytes], pause: float = 0.0) -> threading.Thread:
    """Answer one request with these bytes, until the other side hangs up."""

    def run() -> None:
        connection, _ = listening.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            for chunk in chunks:
                connection.sendall(chunk)
                time.sleep(pause)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def api_at(listening: socket.socket, seconds: float) -> Api:
    base = f"http://127.0.0.1:{listening.getsockname()[1]}"
    return Api(base=base, token=SECRET, headers={}, rights="", patience=Patience(seconds=seconds))


def test_an_answer_larger_than_any_forge_s_is_broken_off(raw: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.forges.http.ANSWER_LIMIT", 100_000)
    thread = answering(raw, itertools.chain([b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n"], itertools.repeat(b" " * 10_000)))
    with pytest.raises(MalformedError, match="more than 100000 bytes"):
        api_at(raw, 60).get("/user", dict)
    thread.join()


def test_an_answer_that_drips_is_given_up_when_patience_is(raw: socket.socket) -> None:
    thread = answering(raw, itertools.chain([b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"], itertools.repeat(b" ")), pause=0.1)
    with pytest.raises(WaitError, match="does not end"):
        api_at(raw, 0).get("/user", dict)
    thread.join()


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}"])
def test_what_breaks_off_or_is_no_http_may_do_better_later(raw: socket.socket, answer: bytes) -> None:
    thread = answering(raw, [answer])
    with pytest.raises(WaitError):
        api_at(raw, 5).get("/user", dict)
    thread.join()


def test_a_forge_whose_certificate_nobody_trusts_is_told_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "localhost")
    with https_cases.serving(tmp_path, https_cases.certificate(tmp_path)) as server:
        api = Api(base=server.url("api"), token=SECRET, headers={}, rights="", patience=Patience())
        with pytest.raises(RefusedError, match="set SSL_CERT_FILE"):
            api.get("/user", dict)
        assert server.seen == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
        trusting = Api(base=server.url("api"), token=SECRET, headers={}, rights="", patience=Patience())
        with pytest.raises(OrdainError):
            trusting.get("/user", dict)
        assert server.seen == [("localhost", f"Bearer {TOKEN}")]


def test_a_proxy_sees_the_host_and_not_the_token(raw: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def refuse() -> None:
        connection, _ = raw.accept()
        with connection:
            asked.append(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

    thread = threading.Thread(target=refuse)
    thread.start()
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("HTTPS_PROXY", f"http://ana:proxy%20word@127.0.0.1:{raw.getsockname()[1]}")
    api = Api(base="https://forge.example.com", token=SECRET, headers={}, rights="", patience=Patience(seconds=5))
    with pytest.raises(WaitError, match="403 Forbidden") as error:
        api.get("/user", dict)
    thread.join()
    assert asked[0].startswith(b"CONNECT forge.example.com:443 ")
    assert b"Basic YW5hOnByb3h5IHdvcmQ=" in asked[0]
    assert TOKEN.encode() not in asked[0]
    assert "word" not in str(error.value)


def test_what_is_no_proxy_is_said_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("HTTPS_PROXY", "socks5://ana:secret@127.0.0.1:1080")
    with pytest.raises(InputError, match="HTTPS_PROXY") as error:
        Api(base="https://forge.example.com", token=SECRET, headers={}, rights="", patience=Patience())
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    "api",
    ["http://forge.example.com", "ftp://forge.example.com", "https://user:secret@forge.example.com", "forge", "https://[x", "https://h:x"],
)
def test_a_token_is_sent_over_https_only(api: str) -> None:
    about = Surroundings(forge="github", api=api, repository="acme/fleets", commit=HEAD, token="env:TOKEN")
    with pytest.raises(InputError) as error:
        connect.to(about, token=TOKEN, author="", patience=Patience())
    assert "secret" not in str(error.value)


def test_a_personal_token_of_github_finds_its_comment_by_its_own_name() -> None:
    speaker = GitHub(tokens={TOKEN: Account(login="Ana")}, pulls={7: {"state": "open", "head": HEAD}})
    speaker.say("github-actions[bot]", f"{MARKER}\nanother job's")
    with serving(speaker) as forge:
        Stage(kind="github", forge=forge, speaker=speaker).report()
    assert forge.wrong == []
    assert speaker.texts()[1] == ("Ana", f"{MARKER}\n{REPORT.body}")


def test_github_says_which_comment_is_too_long_and_nothing_is_repeated() -> None:
    speaker = GitHub(tokens={TOKEN: Account(login="Ana")}, pulls={7: {"state": "open", "head": HEAD}})
    with serving(speaker) as forge:
        stage = Stage(kind="github", forge=forge, speaker=speaker)
        with pytest.raises(RefusedError, match="maximum is 65536 characters"):
            stage.report(replace(REPORT, body="x" * 70_000))
    assert stage.clock.waits == []


def test_gitlab_s_own_notes_are_never_taken_for_ours() -> None:
    speaker = GitLab(tokens={TOKEN: Account(login="ordain")}, pulls={7: {"state": "open", "head": HEAD}})
    speaker.say("ordain", f"{MARKER}\nchanged the description", system=True)
    with serving(speaker) as forge:
        Stage(kind="gitlab", forge=forge, speaker=speaker).report()
    assert speaker.texts() == [("ordain", f"{MARKER}\n{REPORT.body}")]
    assert forge.wrong == []


def test_gitlab_refuses_the_state_that_a_status_has_already_and_that_is_fine() -> None:
    speaker = GitLab(tokens={TOKEN: Account(login="ordain")})
    reply = Reply(status=400, body={"message": "Cannot transition status via :run from :running"})
    with serving(speaker) as forge:
        forge.faults.append(Fault(about=speaker.paths["status"], reply=reply))
        Stage(kind="gitlab", forge=forge, speaker=speaker).report(replace(REPORT, pull_request=None))
    assert len(speaker.shown(HEAD)) == 2


def test_what_could_not_be_judged_is_no_success_and_no_failure_on_any_forge(stage: Stage) -> None:
    unjudged = replace(REPORT, statuses=(Status(context="ordain/policy", state="error", description="could not be judged"),))
    stage.report(unjudged)
    assert stage.is_as_wanted(unjudged)
    before = stage.forge.writes()
    stage.report(unjudged)
    assert stage.forge.writes() == before


def test_the_stand_in_notes_what_is_not_described() -> None:
    with serving(GitHub(tokens={TOKEN: Account(login="Ana")})) as forge:
        api = Api(base=forge.address, token=SECRET, headers={}, rights="", patience=Patience(seconds=5))
        api.send("POST", f"/repos/acme/fleets/statuses/{HEAD}", {"state": "maybe", "context": "x", "colour": "red"})
    assert [one.partition(": ")[2] for one in forge.wrong] == [
        "sent: 'maybe' is not one of ['error', 'failure', 'pending', 'success']",
        "sent: Additional properties are not allowed ('colour' was unexpected)",
    ]


def test_the_vectors_say_where_they_are_from() -> None:
    for file in sorted((Path(__file__).parents[1] / "vectors" / "forges").glob("*.json")):
        about = json.loads(file.read_text())["about"]
        assert about["from"], file
        assert about["notInTheDescription"], file
