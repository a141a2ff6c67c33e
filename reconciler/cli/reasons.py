"""An answer of `ordain why` as people read it, and as programs do."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import click
import msgspec

from reconciler.cli.receipts import Here, Turn
from reconciler.pipeline.trail.applied import Applied, told
from reconciler.pipeline.trail.released import Told
from reconciler.pipeline.why.answer import Answer, Source
from reconciler.pipeline.why.blame import Author
from reconciler.printable import clipped, printable

SHORT = 12
"""Characters of a commit or digest on a terminal; JSON has all of them."""
VALUE = 80
"""Characters of a value on a terminal."""
MISSING = "is missing"
UNSEEN = ("", "was not looked at")
STANDS = {
    "admitted": "which is admitted",
    "next": "and it is not its turn yet (ordain rollout show)",
    "stable": "and by now stable for everybody",
    "refused": "and it was taken back",
}
"""How a release stands for a host, by the state of its turn."""
STORE_SILENT = "no record in the store is of this very bundle: it is not accepted yet, or was decided by another format"
NOTES_SILENT = "no git note here is of this very bundle (git fetch origin 'refs/notes/ordain/*:refs/notes/ordain/*')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Answers about one place, with all that the trail says of them.

    `failed` are fleets of the host that don't compile. `signers` is (signer, why nobody) by commit, `told` what is known of the
    release by fleet.
    """

    head: str
    answers: tuple[Answer, ...]
    failed: tuple[tuple[str, str], ...]
    signers: Mapping[str, tuple[str, str]]
    told: Mapping[str, Told]
    has_store: bool
    applied: Mapping[str, Applied | None] = field(default_factory=dict)
    """What the host's receipts say of the release, by fleet; None where no server was asked."""
    turns: Mapping[str, Turn | None] = field(default_factory=dict)
    """In which wave the host gets the release, by fleet; None where no server was asked, or it knows of no wave."""
    here: Mapping[str, Here] = field(default_factory=dict)
    """What the host said last that runs there, by fleet; nothing where no server was asked, or it never said."""
    waves: Mapping[str, str] = field(default_factory=dict)
    """How far the rollout of the release went, by fleet, as the control zone recorded it; "" where it recorded none of it."""


def lines(found: Found) -> Iterator[str]:
    """Yield the lines that a terminal shows."""
    for number, answer in enumerate(found.answers):
        if number:
            yield ""
        yield from _Shown(found).answer(answer)
    for fleet, why in found.failed:
        yield f"note: fleet {fleet} of this host can't be compiled, so nothing is said of it: {printable(why)}"


class _Shown:
    """Shows one answer; a commit is told once, however many lines are from it."""

    def __init__(self, found: Found) -> None:
        self._found, self._told = found, set[str]()

    def answer(self, answer: Answer) -> Iterator[str]:
        mode = f"mode {answer.mode}" if answer.mode else "no mode on"
        where = f" (inside it: {printable(answer.below)})" if answer.below else ""
        yield (
            click.style(f"{answer.asked}: {f'{answer.kind} {answer.name}'.strip()}{where} of fleet {answer.fleet}", bold=True) + f", {mode}"
        )
        if answer.line is not None:
            yield f"  {answer.line} | {printable(answer.text)}"
        yield from otherwise(self._found.here.get(answer.fleet), digest=answer.digest, mode=answer.mode)
        yield f"component  {answer.component}, used by {', which is used by '.join(reversed(answer.via))}"
        for source in answer.sources:
            yield from self._source(source)
        for other in answer.otherwise:
            yield f"in mode {other.mode} it reads: {printable(other.text)}"
            for source in other.sources:
                yield from self._source(source)
        yield from _release(self._found, answer)

    def _source(self, source: Source) -> Iterator[str]:
        value = f"{source.name} = {_value(source)}, " if source.name else ""
        yield f"{source.role:<10} {value}{printable(source.how)}: {printable(source.file)}:{source.line}:{source.column}"
        yield from (f"           {line}" for line in self._author(source.author, source.unknown))
        for weaker in source.overruled:
            yield f"           overrules {_value(weaker)}, {weaker.how}: {printable(weaker.file)}:{weaker.line}"

    def _author(self, author: Author | None, unknown: str) -> Iterator[str]:
        if author is None:
            yield f"nobody can be named: {printable(unknown)}"
            return
        commit = author.commit
        if commit.sha in self._told:
            yield f"{commit.sha[:SHORT]}, as above"
            return
        self._told.add(commit.sha)
        yield f"{commit.sha[:SHORT]} {commit.time} {printable(commit.author)} <{printable(commit.email)}>: {printable(commit.subject)}"
        yield "; ".join(_people(author, *self._found.signers.get(commit.sha, UNSEEN)))


def otherwise(here: Here | None, *, digest: str, mode: str) -> Iterator[str]:
    """Yield in which way a host has something else now than what is told: another release than of `digest`, or another mode."""
    if here is None:
        return
    if here.digest != digest:
        runs = f"runs {here.digest[:SHORT]} of commit {here.commit[:SHORT]}" if here.digest else "runs nothing of this fleet yet"
        yield f"now        the host {runs}, not the release below{f': --rev {here.commit[:SHORT]} tells of that' if here.commit else ''}"
    if here.mode != mode:
        is_in, asks = (f"in mode {here.mode}", f": --mode {here.mode} tells of that") if here.mode else ("in no mode", "")
        yield f"now        the host is {is_in}{asks}"


def _people(author: Author, signer: str, why: str) -> Iterator[str]:
    yield f"signed by {signer}" if signer else "not signed" if why == MISSING else f"its signature {printable(why)}"
    for one in author.trailers:
        yield f"{one.key.lower().replace('-by', ' by')} {printable(one.who)}"
    if author.merged is not None:
        yield f"merged by {printable(author.merged.author)} in {author.merged.sha[:SHORT]}"
    if author.change:
        yield f"change {author.change}"


def _value(source: Source) -> str:
    return printable(clipped(source.value, VALUE))


def _release(found: Found, answer: Answer) -> Iterator[str]:
    known = found.told[answer.fleet]
    yield f"release    {answer.fleet}, bundle sha256:{answer.digest}"
    if known.decision is None:
        yield f"decision   {STORE_SILENT if found.has_store else NOTES_SILENT}"
    else:
        proof = "by its signed record" if known.signed else "by its git note, which nobody signed"
        yield f"decision   {known.decision.sequence} at {known.decision.at}, about {known.decision.head[:SHORT]} ({proof})"
    if found.has_store or known.published:
        yield f"published  {_published(known, found.waves.get(answer.fleet, ''))}"
    turn = found.turns.get(answer.fleet)
    if turn is not None and turn.wave:
        yield f"wave       {turn.wave} ({turn.number} of {turn.waves}) of attempt {turn.attempt}, {STANDS[turn.state]}"
    receipts = found.applied.get(answer.fleet)
    if receipts is not None:
        yield f"applied    {printable(told(receipts, answer.digest))}"
    for verdict in known.verdicts:
        how = f", waived by {verdict.waived}" if verdict.waived else ", standing" if verdict.standing else ""
        yield f"verdict    {verdict.action} {verdict.rule}{how}: {printable(verdict.file)}:{verdict.line}: {printable(verdict.message)}"
    for waiver in known.waivers:
        glass = f"glass broken for {printable(waiver.incident)}: " if waiver.incident else ""
        said = f"{glass}{printable(waiver.reason)} ({printable(waiver.owner)})"
        yield f"waiver     {waiver.tenant}/{waiver.name} until {waiver.expires}: {said}"


def _published(known: Told, wave: str) -> str:
    """Return since when hosts were given a release; `wave` is how far its rollout went, "" where nobody recorded that."""
    offered = known.offered
    if offered is not None and not offered.until:
        return f"since {offered.since} (serial {offered.serial}) for some hosts{f', {wave}' if wave else ''}, as the control zone says"
    if known.published:
        return f"since {known.published} (serial {known.serial}), as the control zone says"
    if offered is not None:
        return (
            f"since {offered.since} (serial {offered.serial}) for some hosts, and taken back at {offered.until}, as the control zone says"
        )
    return "not yet, as far as this store has it"


def as_plain(found: Found) -> dict[str, Any]:
    """Return an answer in plain values, for JSON."""
    return {
        "revision": found.head,
        "answers": [_plain(found, one) for one in found.answers],
        "failed": [{"fleet": fleet, "why": why} for fleet, why in found.failed],
    }


def _plain(found: Found, answer: Answer) -> dict[str, Any]:
    known = found.told[answer.fleet]
    decision = known.decision
    return {
        "asked": answer.asked,
        "fleet": answer.fleet,
        "group": answer.group,
        "mode": answer.mode or None,
        "component": answer.component,
        "usedBy": list(answer.via),
        "kind": answer.kind,
        "name": answer.name,
        "inside": answer.below or None,
        "line": answer.line,
        "text": answer.text if answer.line is not None else None,
        "sources": [_plain_source(found, one) for one in answer.sources],
        "otherwise": [
            {"mode": one.mode, "text": one.text, "sources": [_plain_source(found, each) for each in one.sources]}
            for one in answer.otherwise
        ],
        "release": {
            "digest": answer.digest,
            "decision": {"sequence": decision.sequence, "at": decision.at, "head": decision.head, "signed": known.signed}
            if decision
            else None,
            "published": {"since": known.published, "serial": known.serial} if known.published else None,
            "offered": msgspec.to_builtins(known.offered),
            "here": msgspec.to_builtins(found.here.get(answer.fleet)),
            "wave": msgspec.to_builtins(found.turns.get(answer.fleet)),
            "applied": msgspec.to_builtins(found.applied.get(answer.fleet)),
            "verdicts": msgspec.to_builtins(list(known.verdicts)),
            "waivers": msgspec.to_builtins(list(known.waivers)),
        },
    }


def _plain_source(found: Found, source: Source) -> dict[str, Any]:
    author = source.author
    return {
        "role": source.role,
        "how": source.how,
        "name": source.name or None,
        "value": source.value if source.name else None,
        "file": source.file,
        "line": source.line,
        "column": source.column,
        "text": source.text,
        "author": _plain_author(found, author) if author is not None else None,
        "unknown": source.unknown or None,
        "overruled": [{"how": one.how, "value": one.value, "file": one.file, "line": one.line} for one in source.overruled],
    }


def _plain_author(found: Found, author: Author) -> dict[str, Any]:
    commit, merged = author.commit, author.merged
    signer, why = found.signers.get(commit.sha, UNSEEN)
    return {
        "commit": commit.sha,
        "author": commit.author,
        "email": commit.email,
        "time": commit.time,
        "subject": commit.subject,
        "signer": signer or None,
        "unsigned": why or None,
        "trailers": [{"key": one.key, "who": one.who} for one in author.trailers],
        "merge": {"commit": merged.sha, "author": merged.author, "time": merged.time, "subject": merged.subject} if merged else None,
        "change": author.change or None,
    }
