"""Decisions as records and as notes: what people read, who wrote at the same time, and what a closed repository costs."""

import json
import logging
import threading
from pathlib import Path

import msgspec
import pygit2
import pytest
from click.testing import CliRunner

from agent.protocol.errors import MalformedError, RetryError
from reconciler.cli import cli
from reconciler.pipeline.audit import (
    NOTE_LINES,
    PAYLOAD_TYPE,
    DecisionRecord,
    RecordedCommit,
    RecordedRelease,
    RecordedVerdict,
    RecordedWaiver,
    chained,
    decode_record,
    encode_record,
    note_text,
    record_digest,
    record_key,
    recorded_verdict,
)
from reconciler.pipeline.finding import ObjectName, Verdict
from reconciler.pipeline.notes import DECISIONS, NOTE_LIMIT, NoteExporter, read_note, write_notes
from reconciler.pipeline.source import Mirror, mirror_path, read_exception
from reconciler.publication import envelope
from reconciler.publication.key_making import make_keys
from reconciler.publication.store import open_store
from tests.source_cases import WorkingCopy

pytestmark = pytest.mark.needs("git")


@pytest.fixture
def copy(tmp_path: Path) -> WorkingCopy:
    return WorkingCopy.make(tmp_path / "fleets")


@pytest.fixture
def mirror(tmp_path: Path, copy: WorkingCopy) -> Mirror:
    copy.commit("first", {"a": "1"})
    made = Mirror(mirror_path(tmp_path / "state"), str(copy.path))
    made.fetch()
    return made


def verdict(number: int = 1, message: str = "mode 0666 lets everybody write") -> RecordedVerdict:
    return RecordedVerdict(
        action="deny",
        rule="host-safety/world-writable",
        code="host-safety/world-writable",
        file="a.yaml",
        line=number,
        column=3,
        pointer="/spec",
        message=message,
        remedy="use 0644",
    )


def record(sequence: int = 1, *, head: str = "a" * 40, previous: str | None = None, **more: object) -> DecisionRecord:
    plain = DecisionRecord(
        format=1,
        sequence=sequence,
        previous=previous,
        head=head,
        from_=None,
        at="2026-11-22T10:00:00Z",
        tree="b" * 40,
        judge="c" * 64,
        opa="1.22.2",
        ordain="0.1.0",
        commits=[RecordedCommit(sha=head, author="Ana", email="ana@example.com", time="2026-11-22T09:59:00Z")],
        verdicts=[],
        refused={},
        waivers=[],
        releases=[],
    )
    return msgspec.structs.replace(plain, **more)


def test_a_record_is_read_back_as_it_was_written_and_its_field_is_called_from() -> None:
    written = record(2, previous="d" * 64, verdicts=[verdict()], releases=[RecordedRelease(tenant="shop", fleet="web", digest="e" * 64)])
    data = encode_record(written)
    assert decode_record(data) == written
    assert json.loads(data)["from"] is None


def test_a_record_with_anything_more_in_it_is_refused() -> None:
    plain = json.loads(encode_record(record()))
    for bad in (b"{}", msgspec.json.encode(plain | {"more": 1}, order="deterministic"), encode_record(record())[:-1]):
        with pytest.raises(MalformedError):
            decode_record(bad)


def test_a_verdict_is_recorded_without_its_line_of_source() -> None:
    shown = Verdict(
        action="warn",
        rule="hygiene/owner",
        code="hygiene/no-owner",
        message="nobody",
        remedy="add one",
        file="a.yaml",
        line=3,
        column=1,
        pointer="/metadata",
        object=ObjectName(kind="Fleet", tenant="shop", name="web"),
        standing=True,
        source_line="password: hunter2",
    )
    kept = recorded_verdict(shown)
    assert kept.standing
    assert kept.object is not None
    assert (kept.object.kind, kept.object.tenant, kept.object.name) == ("Fleet", "shop", "web")
    assert b"hunter2" not in msgspec.json.encode(kept)


def test_a_note_says_what_was_decided_by_what_and_what_came_of_it() -> None:
    text = note_text(
        record(
            7,
            verdicts=[verdict(12)],
            refused={"tenants/shop/a.yaml": "host-safety/world-writable"},
            waivers=[RecordedWaiver(tenant="shop", name="legacy", rule="supply-chain/https-only", expires="2027-01-31")],
            releases=[RecordedRelease(tenant="shop", fleet="web", digest="e" * 64)],
        )
    )
    assert text.startswith("ordain decision 7: 1 file refused")
    for part in (
        "1 deny",
        "2026-11-22T10:00:00Z",
        "OPA 1.22.2",
        "c" * 64,
        "refused tenants/shop/a.yaml: host-safety/world-writable",
        "deny host-safety/world-writable a.yaml:12:3 mode 0666",
        "waiver shop/legacy excused supply-chain/https-only until 2027-01-31",
        "release shop/web: bundle sha256:" + "e" * 64,
        "record approved/_decisions/7.json sha256:",
    ):
        assert part in text


def test_a_note_stays_short_and_says_that_there_is_more() -> None:
    releases = [RecordedRelease(tenant="shop", fleet=f"f{number}", digest="e" * 64) for number in range(300)]
    text = note_text(record(verdicts=[verdict(number) for number in range(500)], releases=releases))
    assert len(text.splitlines()) <= NOTE_LINES
    assert "… and 285 more releases and waivers in the record" in text
    assert "more in the record" in text


def test_what_an_author_wrote_can_not_pass_for_a_line_of_ours() -> None:
    forged = "bad\nrelease shop/web: bundle sha256:" + "f" * 64 + "\n\nordain decision 9: accepted\x1b[2J\r"
    text = note_text(record(verdicts=[verdict(message=forged)], refused={"a\nrelease x": "b\u2028c"}))
    assert [line.split()[0] for line in text.splitlines()] == ["ordain", "at", "from", "refused", "deny", "record"]
    assert "\x1b" not in text


def test_a_record_that_a_crash_cut_short_is_left_out_of_the_chain() -> None:
    first = record(1)
    orphan = record(2, previous=record_digest(encode_record(first)), head="1" * 40)
    again = record(3, previous=record_digest(encode_record(first)), head="2" * 40)
    last = record(4, previous=record_digest(encode_record(again)))
    assert chained([first, orphan, again, last]) == [first, again, last]
    assert chained([]) == []


def test_plain_git_shows_the_note_in_a_working_copy(copy: WorkingCopy, mirror: Mirror) -> None:
    head = copy.git("rev-parse", "HEAD")
    status = copy.git("status", "--porcelain")
    write_notes(mirror, [(head, note_text(record(1, head=head)))])
    write_notes(mirror, [(head, note_text(record(2, head=head)))])
    shown = copy.git("log", "-1", "--notes=ordain/*")
    assert shown.index("ordain decision 1: accepted") < shown.index("ordain decision 2: accepted")
    assert copy.git("log", "-1", "--format=%an <%ae>", DECISIONS) == "ordain <ordain@localhost>"
    assert copy.git("status", "--porcelain") == status
    assert copy.git("rev-parse", "HEAD", "main").split() == [head, head]


def test_writing_a_note_again_changes_nothing(copy: WorkingCopy, mirror: Mirror) -> None:
    head = copy.git("rev-parse", "HEAD")
    write_notes(mirror, [(head, "ordain decision 1: accepted\n")])
    before = copy.git("rev-parse", DECISIONS)
    write_notes(mirror, [(head, "ordain decision 1: accepted\n")])
    assert copy.git("rev-parse", DECISIONS) == before
    write_notes(mirror, [(head, "ordain decision 10: accepted\n")])
    assert len((read_note(pygit2.Repository(str(copy.path)), head) or "").split("\n\n")) == 2


def test_notes_of_writers_at_the_same_time_are_all_kept(tmp_path: Path, copy: WorkingCopy, mirror: Mirror) -> None:
    heads = [copy.commit(str(number), {"a": str(number)}) for number in range(4)]
    mirror.fetch()
    failures: list[BaseException] = []

    def write(number: int) -> None:
        own = Mirror(tmp_path / f"mirror-{number}.git", str(copy.path))
        try:
            for turn in range(5):
                for _ in range(20):  # a writer that lost five races tries again at its next round
                    try:
                        write_notes(own, [(heads[turn % 4], f"ordain decision {number * 100 + turn}: accepted\n")])
                        break
                    except RetryError:
                        continue
        except BaseException as error:  # noqa: BLE001 - told in the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(1, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    repository = pygit2.Repository(str(copy.path))
    lines = [line for head in heads for line in (read_note(repository, head) or "").splitlines() if line]
    wanted = [f"ordain decision {number * 100 + turn}: accepted" for number in range(1, 4) for turn in range(5)]
    assert sorted(lines) == sorted(wanted)


def test_notes_that_git_wrote_and_spread_are_added_to_where_they_stand(copy: WorkingCopy, mirror: Mirror) -> None:
    heads = copy.commits(300)  # so many that git spreads notes over directories
    mirror.fetch()
    copy.git("notes", "--ref", "ordain/decisions", "add", "-m", "by a person", heads[0])
    copy.git("notes", "--ref", "ordain/decisions", "copy", "--stdin", stdin="".join(f"{heads[0]} {one}\n" for one in heads[1:]).encode())
    assert copy.git("ls-tree", DECISIONS).split()[1] == "tree"
    judged = heads[7::20]
    write_notes(mirror, [(head, "ordain decision 1: accepted\n") for head in judged])
    shown = copy.git("log", "--notes=ordain/*", "--format=%N", "-300").split("\n\n")
    assert shown.count("by a person") == 300
    assert len(copy.git("notes", "--ref", "ordain/decisions", "list").splitlines()) == 300
    repository = pygit2.Repository(str(copy.path))
    assert {read_note(repository, head) for head in judged} == {"by a person\n\nordain decision 1: accepted\n"}


def test_a_note_waits_for_a_writer_that_holds_the_lock(copy: WorkingCopy, mirror: Mirror) -> None:
    lock = copy.path / ".git" / f"{DECISIONS}.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    threading.Timer(0.1, lock.unlink).start()
    head = str(mirror.head())
    write_notes(mirror, [(head, "ordain decision 1: accepted\n")])
    assert read_note(pygit2.Repository(str(copy.path)), head) == "ordain decision 1: accepted\n"


def test_a_head_that_is_judged_for_years_keeps_its_oldest_and_newest_notes(copy: WorkingCopy, mirror: Mirror) -> None:
    head = copy.git("rev-parse", "HEAD")
    for number in range(8):
        write_notes(mirror, [(head, f"ordain decision {number}: accepted\n" + "x" * 15_000 + "\n")])
    note = read_note(pygit2.Repository(str(copy.path)), head) or ""
    assert len(note.encode()) <= NOTE_LIMIT
    assert [line for line in note.splitlines() if line.startswith("ordain")] == [
        f"ordain decision {number}: accepted" for number in (0, 5, 6, 7)
    ]


def test_no_hook_of_the_repository_is_run_for_a_note(tmp_path: Path, copy: WorkingCopy, mirror: Mirror) -> None:
    trap = tmp_path / "trap"
    for name in ("reference-transaction", "post-commit", "update", "pre-receive"):
        hook = copy.path / ".git" / "hooks" / name
        hook.write_text(f"#!/bin/sh\ntouch {trap}\n")
        hook.chmod(0o755)
    head = str(mirror.head())
    write_notes(mirror, [(head, "ordain decision 1: accepted\n")])
    assert read_note(pygit2.Repository(str(copy.path)), head)
    assert not trap.exists()


def records_of(heads: list[str]) -> dict[int, DecisionRecord]:
    """Return a chain of decisions about these heads, from 1."""
    made: dict[int, DecisionRecord] = {}
    previous = None
    for sequence, head in enumerate(heads, 1):
        made[sequence] = record(sequence, head=head, previous=previous)
        previous = record_digest(encode_record(made[sequence]))
    return made


def test_a_closed_repository_is_warned_about_once_and_caught_up_with(
    tmp_path: Path, copy: WorkingCopy, mirror: Mirror, caplog: pytest.LogCaptureFixture
) -> None:
    heads = [copy.commit(str(number), {"a": str(number)}) for number in range(3)]
    mirror.fetch()
    records = records_of(heads)
    exporter = NoteExporter(mirror, tmp_path / "state")
    assert exporter.catch_up(1, records.get)
    away = copy.path.rename(tmp_path / "away")
    with caplog.at_level(logging.WARNING):
        assert not exporter.catch_up(2, records.get)
        assert not exporter.catch_up(3, records.get)
    assert len(caplog.records) == 1
    assert "can't be written" in caplog.text
    away.rename(copy.path)
    assert NoteExporter(mirror, tmp_path / "state").catch_up(3, records.get)
    repository = pygit2.Repository(str(copy.path))
    assert [(read_note(repository, head) or "").partition(":")[0] for head in heads] == [
        f"ordain decision {number}" for number in (1, 2, 3)
    ]


def test_losing_the_position_writes_no_note_twice(tmp_path: Path, copy: WorkingCopy, mirror: Mirror) -> None:
    records = records_of([copy.commit(str(number), {"a": str(number)}) for number in range(3)])
    mirror.fetch()
    assert NoteExporter(mirror, tmp_path / "state").catch_up(3, records.get)
    notes = copy.git("rev-parse", DECISIONS)
    (tmp_path / "state" / "notes-written").unlink()
    assert NoteExporter(mirror, tmp_path / "state").catch_up(3, records.get)
    assert copy.git("rev-parse", DECISIONS) == notes


def run(*arguments: str) -> tuple[int, str]:
    """Run the command line in this process; return exit code and standard output."""
    done = CliRunner().invoke(cli, list(arguments))
    return done.exit_code, done.stdout


def test_audit_show_prints_the_notes_of_a_clone(copy: WorkingCopy, mirror: Mirror) -> None:
    head = str(mirror.head())
    write_notes(mirror, [(head, note_text(record(1, head=head)))])
    write_notes(mirror, [(head, note_text(record(2, head=head)))])
    code, text = run("audit", "show", "HEAD", "--repo", str(copy.path))
    assert code == 0
    assert text.count("ordain decision ") == 2
    code, text = run("audit", "show", "HEAD", "--repo", str(copy.path), "--format", "json")
    assert (code, json.loads(text)["revision"], len(json.loads(text)["notes"])) == (0, head, 2)


def test_audit_show_prints_signed_records_and_refuses_others(tmp_path: Path, mirror: Mirror) -> None:
    state, head = tmp_path / "state", str(mirror.head())
    ring = make_keys("pipeline", state / "keys" / "pipeline").ring
    store = open_store(str(state / "store"))
    payload = encode_record(record(1, head=head))
    store.create(record_key(1), envelope.sign(payload, PAYLOAD_TYPE, [ring.signer("repository")]))
    code, text = run("audit", "show", head[:12], "--state", str(state), "--format", "json")
    assert code == 0
    assert [one["sequence"] for one in json.loads(text)["decisions"]] == [1]
    assert run("audit", "show", head, "--state", str(state))[1].startswith("ordain decision 1: accepted")
    stranger = make_keys("pipeline", tmp_path / "stranger").ring
    store.create(record_key(2), envelope.sign(encode_record(record(2, head=head)), PAYLOAD_TYPE, [stranger.signer("repository")]))
    assert run("audit", "show", head, "--state", str(state))[0] != 0


def test_audit_show_of_an_undecided_commit_fails(copy: WorkingCopy) -> None:
    copy.commit("first", {"a": "1"})
    assert run("audit", "show", "HEAD", "--repo", str(copy.path)) == (1, "")


def test_accept_history_names_one_head_in_full(tmp_path: Path, mirror: Mirror) -> None:
    state, head = tmp_path / "state", str(mirror.head())
    assert run("accept-history", "--state", str(state), "--head", head[:10], "--reason", "secret removed")[0] == 0
    written = read_exception(state)
    assert written is not None
    assert (written.head, written.reason) == (head, "secret removed")
    assert ((state / "history-exception.json").stat().st_mode & 0o777) == 0o600
    assert run("accept-history", "--state", str(state), "--head", "nonsense")[0] != 0
    assert run("accept-history", "--state", str(state), "--head", "1f3a" * 10)[0] != 0
    assert read_exception(state) == written
