"""Decisions, kept twice: as a signed and chained record in the store, and as a note that plain git shows.

The record is what counts and what `ordain audit` replays: what was judged, by what, when, and what came of it,
with the digest of the record before it. The note (see `notes`) is for people.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from msgspec import field

from agent.protocol.codec import canonical, decode, sha256
from agent.protocol.state import Struct
from reconciler.pipeline.acceptance import Judged
from reconciler.pipeline.finding import Verdict


class RecordedObject(Struct, kw_only=True):
    """Which manifest a verdict is about."""

    kind: str
    tenant: str
    name: str


class RecordedVerdict(Struct, kw_only=True):
    """A verdict, as `ordain check --format json` prints it, and whether it is a standing one."""

    action: Literal["deny", "warn", "audit", "error"]
    rule: str
    code: str
    message: str
    remedy: str
    file: str
    line: int
    column: int
    pointer: str
    object: RecordedObject | None = None
    standing: bool = False
    waived: str = ""
    """The waiver that excuses it, `tenant/name`; more of it stands among the record's waivers."""


class RecordedCommit(Struct, kw_only=True):
    """A commit that arrived with the head."""

    sha: str
    author: str
    email: str
    time: str
    signer: str | None = None


class RecordedRelease(Struct, kw_only=True):
    """A release that this decision approved; the releases role names the decision in turn, with the sequences that it got."""

    tenant: str
    fleet: str
    digest: str


class RecordedWaiver(Struct, kw_only=True):
    """A waiver that excused a verdict. `expires` is its last day or, where it broke the glass, the instant at which it ends."""

    tenant: str
    name: str
    rule: str
    expires: str
    owner: str = ""
    reason: str = ""
    incident: str = ""


class DecisionRecord(Struct, kw_only=True):
    """One decision: what was judged, by what, when, and what came of it. `previous` is the SHA-256 of the record before it."""

    format: Literal[1]
    sequence: int
    previous: str | None
    head: str
    from_: str | None = field(name="from")
    at: str
    tree: str
    judge: str
    opa: str
    ordain: str
    commits: list[RecordedCommit]
    verdicts: list[RecordedVerdict]
    refused: dict[str, str]
    waivers: list[RecordedWaiver]
    releases: list[RecordedRelease]
    since: str | None = None
    """The instant up to which ends of waivers and dates of rules had been judged before; those until `at` were judged now."""


RECORDS = "approved/_decisions/"
PAYLOAD_TYPE = "application/vnd.ordain.decision+json"
RECORD_LIMIT = 64 * 1024 * 1024
"""Bytes of one record: 10,000 commits and 100,000 verdicts of a few hundred bytes each, with room."""
COUNTED = ("deny", "error", "warn", "audit", "waived", "standing")
"""What the first line of a note counts, in this order: what is excused or stood before refuses nothing, and is counted apart."""
NOTE_LINES = 40
"""Lines of one decision's note: a screen of `git log --notes`; the record has the rest."""
LINE_LIMIT = 240
"""Characters of a line in a note."""


def recorded_verdict(verdict: Verdict) -> RecordedVerdict:
    """Return a verdict as records hold it."""
    named = verdict.object
    return RecordedVerdict(
        action=verdict.action,
        rule=verdict.rule,
        code=verdict.code,
        message=verdict.message,
        remedy=verdict.remedy,
        file=verdict.file,
        line=verdict.line,
        column=verdict.column,
        pointer=verdict.pointer,
        object=RecordedObject(kind=named.kind, tenant=named.tenant, name=named.name) if named else None,
        standing=verdict.standing,
        waived=verdict.waived.waiver if verdict.waived else "",
    )


def recorded_waivers(judged: Iterable[Judged]) -> list[RecordedWaiver]:
    """Return the waivers that excused something, each once."""
    used = {one.waived.title: one.waived for one in judged if one.waived is not None}
    return [
        RecordedWaiver(
            tenant=one.name.tenant,
            name=one.name.name,
            rule=one.rule,
            expires=one.until if one.incident else one.last_day,
            owner=one.owner,
            reason=one.reason,
            incident=one.incident,
        )
        for _, one in sorted(used.items())
    ]


def recorded_commits(commits: Iterable[Mapping[str, Any]]) -> list[RecordedCommit]:
    """Return commits, as rules see them, as records hold them."""
    return [RecordedCommit(**{name: one[name] for name in ("sha", "author", "email", "time", "signer")}) for one in commits]


def encode_record(record: DecisionRecord) -> bytes:
    """Return the record's canonical bytes: the payload that is signed."""
    return canonical(record)


def decode_record(data: bytes) -> DecisionRecord:
    """Read a record's payload; raise `MalformedError`."""
    return decode(data, DecisionRecord, what="decision record", limit=RECORD_LIMIT)


def record_digest(payload: bytes) -> str:
    """Return what the next record names as `previous`."""
    return sha256(payload)


def record_key(sequence: int) -> str:
    """Return the store key of a decision's signed record."""
    return f"{RECORDS}{sequence}.json"


def chained(records: Sequence[DecisionRecord]) -> list[DecisionRecord]:
    """Return those records that the last one stands on, oldest first.

    A record whose decision a crash cut short, before its state was accepted, is left out.
    """
    chain = list(records[-1:])
    for record in reversed(records[:-1]):
        if record_digest(encode_record(record)) == chain[-1].previous:
            chain.append(record)
    return chain[::-1]


def note_text(record: DecisionRecord) -> str:
    """Return the note of a decision: at most NOTE_LINES lines for people, without what could pass for another line.

    Its first line begins `ordain decision <sequence>:`, which is how the note of a decision is known again.
    """
    before, after = _opening(record), _closing(record)
    findings = [
        *(f"refused {path}: {reason}" for path, reason in sorted(record.refused.items())),
        *(_verdict_line(verdict) for verdict in record.verdicts),
    ]
    room = NOTE_LINES - len(before) - len(after)
    if len(findings) > room:
        findings = [*findings[: room - 1], f"… and {len(findings) - room + 1} more in the record"]
    return "\n".join(_one_line(line) for line in (*before, *findings, *after)) + "\n"


def _opening(record: DecisionRecord) -> list[str]:
    counts = Counter("waived" if one.waived else "standing" if one.standing else one.action for one in record.verdicts)
    said = ", ".join(f"{counts[word]} {word}" for word in COUNTED if counts[word]) or "no findings"
    refused = len(record.refused)
    outcome = f"{refused} file{'' if refused == 1 else 's'} refused, the accepted version stays" if refused else "accepted"
    return [
        f"ordain decision {record.sequence}: {outcome}; {said}",
        f"at {record.at} by ordain {record.ordain}, OPA {record.opa}, judge {record.judge}",
        f"from {record.from_ or 'nothing'}, {len(record.commits)} commit{'' if len(record.commits) == 1 else 's'}{_signed(record)}",
    ]


def _signed(record: DecisionRecord) -> str:
    names = sorted({one.signer for one in record.commits if one.signer})
    return f", signed by {', '.join(names)}" if names else ""


def _closing(record: DecisionRecord) -> list[str]:
    releases = [f"release {one.tenant}/{one.fleet}: bundle sha256:{one.digest}" for one in record.releases]
    waivers = [_waiver_line(one) for one in record.waivers]
    lines = [*releases[:15], *waivers[:5]]
    left = len(releases) + len(waivers) - len(lines)
    more = [f"… and {left} more releases and waivers in the record"] if left else []
    return [*lines, *more, f"record {record_key(record.sequence)} sha256:{record_digest(encode_record(record))}"]


def _waiver_line(waiver: RecordedWaiver) -> str:
    glass = f"glass broken for {waiver.incident}: " if waiver.incident else ""
    by = f" ({waiver.owner}: {waiver.reason})" if waiver.owner else ""
    return f"{glass}waiver {waiver.tenant}/{waiver.name} excused {waiver.rule} until {waiver.expires}{by}"


def _verdict_line(verdict: RecordedVerdict) -> str:
    standing = f" (waived by {verdict.waived})" if verdict.waived else " (standing)" if verdict.standing else ""
    return f"{verdict.action} {verdict.rule} {verdict.file}:{verdict.line}:{verdict.column} {verdict.message}{standing}"


def _one_line(text: str) -> str:
    """Return the text on one line without control characters: messages hold what authors wrote."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return plain if len(plain) <= LINE_LIMIT else plain[: LINE_LIMIT - 1] + "…"
