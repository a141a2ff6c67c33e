"""Compliance as CSV (RFC 4180): one line for each thing that is counted, to be filtered by its first column."""

import csv
import io
from collections.abc import Iterator

from reconciler.pipeline.compliance.shape import GroupRow, Report, Share

HEAD = ("about", "name", "level", "what", "total", "conform", "waived", "standing", "percent", "time", "detail")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula: an apostrophe before it keeps it text."""


def render(report: Report) -> str:
    """Return it as CSV, with a line of heads."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(HEAD)
    writer.writerows([_safe(cell) for cell in row] for row in _rows(report))
    return file.getvalue().rstrip("\n")


def _rows(report: Report) -> Iterator[tuple[str, ...]]:
    yield _counted("repository", report.repository, "manifests", report.objects, time=report.at, detail=f"{report.head} {report.judge}")
    yield _counted("repository", report.repository, "agents", report.agents, time=report.at)
    for rule in report.rules:
        yield _counted("rule", rule.id, "manifests", rule.objects, level=rule.level, detail=rule.title)
    for about, groups in (("tenant", report.tenants), ("fleet", report.fleets), ("label", report.labels)):
        for one in groups:
            yield from _group(about, one)
    for point in report.trend:
        yield _counted("trend", point.commit, "manifests", point.objects, time=point.time)
        yield _counted("trend", point.commit, "agents", point.agents, time=point.time)
    for waiver in report.waivers:
        detail = f"{waiver.object} {waiver.at}; {waiver.owner}: {waiver.reason}"
        yield ("waiver", waiver.name, "", waiver.rule, "", "", "", "", "", waiver.until, detail)
    for signer in report.signers:
        yield ("signer", signer.name, "", signer.role, "", "", "", "", "", "", signer.may)
    for commit in report.unsigned:
        yield ("unsigned", commit.commit, "", commit.author, "", "", "", "", "", commit.time, commit.subject)
    for found in report.standing:
        yield (
            "standing",
            str(found.object or ""),
            found.action,
            found.rule,
            "",
            "",
            "",
            "",
            "",
            "",
            f"{found.file}:{found.line} {found.message}",
        )


def _group(about: str, one: GroupRow) -> Iterator[tuple[str, ...]]:
    if one.objects is not None:
        yield _counted(about, one.name, "manifests", one.objects)
    yield _counted(about, one.name, "agents", one.agents)


def _counted(about: str, name: str, what: str, share: Share, *, level: str = "", time: str = "", detail: str = "") -> tuple[str, ...]:
    counts = (f"{share.total}", f"{share.conform}", f"{share.waived}", f"{share.standing}", f"{share.percent:g}")
    return (about, name, level, what, *counts, time, detail)


def _safe(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
