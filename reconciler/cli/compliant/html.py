"""Compliance for a browser: one file with its own styles and charts, no script, nothing fetched; all that manifests say is escaped."""

from collections.abc import Iterator
from html import escape

from reconciler.cli.compliant import charts, words
from reconciler.cli.compliant.words import Table
from reconciler.pipeline.compliance.shape import Report, Share
from reconciler.printable import printable

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --line: #d8dee4;
  --well: #1a7f37; --waived: #9a6700; --bad: #cf222e; --agents: #0550ae }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117; --line: #30363d;
  --well: #3fb950; --waived: #d29922; --bad: #ff7b72; --agents: #79c0ff } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: var(--ink);
  background: var(--paper) }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem } .scroll { overflow-x: auto } .note { font-size: 14px }
table { border-collapse: collapse; width: 100%; font-size: 14px }
th, td { text-align: left; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: break-word; min-width: 3rem; max-width: 24rem }
td.number, th.number { text-align: right; white-space: nowrap }
svg text { fill: var(--ink); font: 11px system-ui, sans-serif } .grid { stroke: var(--line) }
.bar { min-width: 8rem; border: 1px solid var(--line) } .trend { max-width: 60rem; min-width: 34rem }
.key { display: inline-block; width: .8em; height: .8em; margin: 0 .3em 0 .8em }
.key.conform { background: var(--well) } .key.waived { background: var(--waived) } .key.standing { background: var(--bad) }
rect.conform { fill: var(--well) } rect.waived { fill: var(--waived) } rect.standing { fill: var(--bad) }
polyline.objects { stroke: var(--well); stroke-width: 2 }
polyline.agents { stroke: var(--agents); stroke-width: 2; stroke-dasharray: 6 3 }
circle.objects { fill: var(--well) } rect.agents { fill: var(--agents) }
@media print { body { max-width: none } }
"""


def render(report: Report) -> str:
    """Return a whole page."""
    title = escape(printable(f"Compliance of {report.repository or 'a fleet repository'}"))
    body = "\n".join(_body(report, title))
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width">\n'
        f"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>"
    )


def _body(report: Report, title: str) -> Iterator[str]:
    yield f"<h1>{title}</h1>\n<p><strong>{_text(words.headline(report))}.</strong></p>\n<p>{_text(words.period(report))}.</p>"
    for name, share in (("Agents", report.agents), ("Manifests", report.objects)):
        yield f"<p>{name}{_key(share)}</p>\n{charts.bar(name, share)}"
    drawn = charts.trend(report.trend)
    if drawn:
        yield "<h2>Over time</h2>\n<p>Round marks and the whole line are manifests, square marks and the broken line agents.</p>"
        yield f'<div class="scroll">{drawn}</div>'
    for table in words.tables(report):
        yield from _table(table, [charts.bar(one.id, one.objects) for one in report.rules] if table.title == "By rule" else [])
    yield from (f'<p class="note">{_text(note)}</p>' for note in words.notes(report))


def _key(share: Share) -> str:
    """Return what the colours of a bar mean, with the numbers behind them."""
    parts = (("conform", share.conform, f"{share.conform} of {share.total} conform"), ("waived", share.waived, f"{share.waived} waived"))
    shown = [(kind, said) for kind, number, said in (*parts, ("standing", share.standing, f"{share.standing} standing")) if number]
    return "".join(f'<span class="key {kind}"></span>{said}' for kind, said in shown)


def _table(table: Table, bars: list[str]) -> Iterator[str]:
    heads = (*table.head, *(("",) if bars else ()))
    yield f'<h2>{table.title}</h2>\n<div class="scroll"><table>\n<thead><tr>'
    yield "".join(f'<th scope="col"{_number(table, column)}>{head}</th>' for column, head in enumerate(heads))
    yield "</tr></thead>\n<tbody>"
    for number, row in enumerate(table.rows):
        cells = "".join(f"<td{_number(table, column)}>{_text(cell)}</td>" for column, cell in enumerate(row))
        yield f"<tr>{cells}{f'<td>{bars[number]}</td>' if bars else ''}</tr>"
    yield "</tbody></table></div>"


def _number(table: Table, column: int) -> str:
    return ' class="number"' if column in table.numbers else ""


def _text(text: str) -> str:
    return escape(printable(text))
