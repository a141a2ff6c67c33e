"""Notes: what plain git shows of a decision is what its record says, and nothing is shown of what was never decided."""

from collections.abc import Iterator, Mapping

import pygit2

from reconciler.pipeline.audit import DecisionRecord, note_text
from reconciler.pipeline.notes import DECISIONS
from reconciler.pipeline.proof.records import Chain
from reconciler.pipeline.proof.shape import Finding, Misfit, Report, Unproven
from reconciler.pipeline.trail.decided import blocks, noted, sequence_of

Blocks = Mapping[tuple[str, int], str]
"""The notes of single decisions by commit and number."""


def check_notes(repository: pygit2.Repository, chain: Chain, first: int, report: Report, *, version: str) -> None:
    """Compare the notes of a repository with the records from number `first` on; `version` is that of the ordain that compares."""
    if DECISIONS not in repository.references:
        why = "there are none here; with --repo name a clone that has them (git fetch origin 'refs/notes/ordain/*:refs/notes/ordain/*')"
        report.take("note", [Unproven(what="notes", where=DECISIONS, why=why)])
        return
    found: Blocks = {(commit, sequence_of(block)): block for commit, note in noted(repository) for block in blocks(note)}
    records = chain.by_number
    newest = max((number for _, number in found if number in records), default=0)
    for number, record in records.items():
        if number >= first:
            report.take("note", _compared(record, found.get((record.head, number)), version, newest=newest))
    for (commit, number), block in found.items():
        if number >= first and (number not in records or records[number].head != commit):
            report.take("note", [_stranger(chain, commit, number, block)])


def _stranger(chain: Chain, commit: str, number: int, block: str) -> Finding:
    """Return what is to be said of a note that no record is like."""
    where, about = f"note of commit {commit}, decision {number}", chain.by_number.get(number)
    if about is None and number < chain.last + 1:
        return Unproven(what="note", where=where, why="the record of this decision is not here, or does not hold")
    expected = f"it on commit {about.head}" if about is not None else f"no note of a decision after {chain.last}"
    return Misfit(what="note", where=where, expected=expected, found=block.partition("\n")[0])


def _compared(record: DecisionRecord, block: str | None, version: str, *, newest: int) -> Iterator[Finding]:
    where = f"note of commit {record.head}, decision {record.sequence}"
    if block is None:
        why = "that of a later decision is: somebody removed it" if record.sequence < newest else "it may not be written or fetched yet"
        yield Unproven(what="note", where=where, why=f"it is not here; {why}")
        return
    expected, there = note_text(record).strip("\n").split("\n"), block.split("\n")
    if expected == there:
        return
    if record.ordain != version and expected[-1] == there[-1]:
        yield Unproven(
            what="note", where=where, why=f"ordain {record.ordain} worded it otherwise; it names the record's digest, which fits"
        )
        return
    wrong = next((pair for pair in zip(expected, there, strict=False) if pair[0] != pair[1]), None)
    expected_line, found_line = wrong or (f"{len(expected)} lines", f"{len(there)} lines")
    yield Misfit(what="note", where=where, expected=expected_line, found=found_line)
