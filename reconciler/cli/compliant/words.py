"""What is said of compliance in every format that people read, and the tables that all of them have."""

from collections.abc import Iterator
from dataclasses import dataclass

from reconciler.cli.planned.words import counted
from reconciler.pipeline.compliance.shape import GroupRow, Report, Share

MEANING = (
    "An object conforms where no rule at deny or warn finds anything on it, waived or not; an agent, where all that it runs does: its "
    "own manifest, the fleets that select it and their components. A pool counts as one agent. Audit findings count by rule alone."
)
TREND = "The trend measures earlier commits by the object rules of today, so it shows the repository and not the rules."
UNSIGNED_OFF = "Signatures are off: whoever may merge may change everything, and no commit is held to be signed."


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table: its title, the heads of its columns, and its rows as text; `numbers` are the columns that hold numbers, from 0."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()


def percent(share: Share) -> str:
    """Return a share as `98.5 %`, or as nothing where there is nothing to count."""
    return f"{share.percent:g} %" if share.total else "none"


def headline(report: Report) -> str:
    """Return in a sentence how much conforms."""
    objects, agents = report.objects, report.agents
    return (
        f"{percent(agents)} of {counted(agents.total, 'agent')} and {percent(objects)} of {counted(objects.total, 'manifest')} conform; "
        f"manifests with findings that stand: {objects.standing:,}, with waived ones alone: {objects.waived:,}"
    )


def period(report: Report) -> str:
    """Return what was looked at, in a sentence."""
    return (
        f"{report.repository or 'The repository'} at commit {report.head[:12]}, {report.at}, judged by {report.judge[:12]}; "
        f"commits since {report.since[:10]}: {report.commits:,}"
    )


def tables(report: Report) -> Iterator[Table]:
    """Yield all tables that hold something."""
    found = (_rules(report), *_groups(report), _trend(report), _waivers(report), _signers(report), _unsigned(report), _standing(report))
    yield from (table for table in (*found, _unread(report)) if table.rows)


def _rules(report: Report) -> Table:
    rows = tuple((one.id, one.level, one.title, *_cells(one.objects)) for one in report.rules)
    return Table(title="By rule", head=("rule", "level", "what holds", "manifests", *_REST), rows=rows, numbers=frozenset({3, 4, 5, 6}))


def _groups(report: Report) -> Iterator[Table]:
    yield _both("By tenant", "tenant", report.tenants, nameless="(no tenant)")
    yield _both("By fleet", "fleet", report.fleets)
    rows = tuple((one.name, *_cells(one.agents)) for one in report.labels)
    yield Table(title="By label", head=("label", "agents", *_REST), rows=rows, numbers=frozenset({1, 2, 3, 4}))


def _both(title: str, what: str, groups: tuple[GroupRow, ...], *, nameless: str = "") -> Table:
    rows = tuple((one.name or nameless, *_cells(one.objects or Share()), *_cells(one.agents)) for one in groups)
    head = (what, "manifests", *_REST, "agents", *_REST)
    return Table(title=title, head=head, rows=rows, numbers=frozenset(range(1, 9)))


_REST = ("share", "waived", "standing")
"""Heads after the one of those that conform: `3 of 4`, `75 %`, `0`, `1`."""


def _cells(share: Share) -> tuple[str, ...]:
    return f"{share.conform:,} of {share.total:,}", percent(share), f"{share.waived:,}", f"{share.standing:,}"


def _trend(report: Report) -> Table:
    rows = tuple((one.time[:10], one.commit[:12], percent(one.objects), percent(one.agents)) for one in report.trend)
    return Table(title="Trend", head=("day", "commit", "manifests", "agents"), rows=rows, numbers=frozenset({2, 3}))


def _waivers(report: Report) -> Table:
    rows = tuple(
        (one.name, one.rule, f"{one.object} {one.at}", one.owner, one.reason, one.until, "yes" if one.used else "no")
        for one in report.waivers
    )
    return Table(title="Waivers in force", head=("waiver", "rule", "excuses", "owner", "reason", "until", "needed"), rows=rows)


def _signers(report: Report) -> Table:
    rows = tuple((one.name, one.role, one.may, f"{one.keys}") for one in report.signers)
    return Table(title="Who may change what", head=("signer", "role", "may", "keys that count"), rows=rows, numbers=frozenset({3}))


def _unsigned(report: Report) -> Table:
    rows = tuple((one.commit[:12], one.time, one.author, one.subject, one.why) for one in report.unsigned)
    return Table(
        title="Commits that no signer of today stands behind", head=("commit", "time", "author", "subject", "its signature"), rows=rows
    )


def _standing(report: Report) -> Table:
    rows = tuple((one.action, one.rule, f"{one.file}:{one.line}", str(one.object or ""), one.message) for one in report.standing)
    return Table(title="Findings that stand", head=("level", "rule", "where", "object", "finding"), rows=rows)


def _unread(report: Report) -> Table:
    rows = tuple((f"{one.file}:{one.line}", one.message) for one in (*report.unread, *report.unjudged))
    return Table(title="Could not be judged", head=("where", "why"), rows=rows)


def notes(report: Report) -> Iterator[str]:
    """Yield what has to be known to read it."""
    yield MEANING
    if report.trend:
        yield TREND
    if not report.signatures:
        yield UNSIGNED_OFF
    yield from report.left
