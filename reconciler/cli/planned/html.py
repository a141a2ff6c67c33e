"""For a browser: one file with its own styles, no script, nothing fetched; all that manifests say is escaped."""

from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

from reconciler.cli.planned import words
from reconciler.pipeline.plan.shape import Difference, Fleet, Item, Plan, Wave
from reconciler.printable import printable

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24; background: #fff }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem } code, pre { font: 13px/1.45 ui-monospace, monospace }
pre { background: #f6f8fa; padding: .6rem; overflow-x: auto; margin: .3rem 0 1rem } table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid #d8dee4; vertical-align: top }
p, li, summary, td { overflow-wrap: break-word }
summary { cursor: pointer; padding: .3rem 0 } .note { background: #fff8c5; padding: .6rem; border-left: 4px solid #bf8700 }
.deny, .error, .refused, .removed, del { color: #a40e26 } .accepted, .added, ins { color: #116329 } .warn { color: #7d4e00 }
.removed { font-weight: bold } ins, del { text-decoration: none; display: block } pre span { display: block }
@media (prefers-color-scheme: dark) { body { background: #0d1117; color: #e6edf3 } pre { background: #161b22 } .note { background: #3b2f00 }
  th, td { border-color: #30363d }
  .deny, .error, .refused, .removed, del { color: #ff7b72 } .accepted, .added, ins { color: #56d364 } .warn { color: #e3b341 } }
"""


def render(plan: Plan) -> str:
    """Return a whole page."""
    title = f"ordain plan: {plan.word}"
    body = "\n".join(_body(plan))
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width">\n'
        f"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>"
    )


def _body(plan: Plan) -> Iterator[str]:
    if plan.signatures.sentence:
        yield f'<p class="note">{_text(plan.signatures.sentence)}</p>'
    yield f'<h1>ordain plan: <span class="{"accepted" if plan.accepted else "refused"}">{plan.word}</span></h1>'
    yield f"<p>{words.headline(plan)}</p>\n<p>{words.compared(plan)}, at {plan.at}</p>"
    granted = words.granted_lines(plan)
    if granted:
        yield f'<p class="note">{words.GRANTS}:</p>'
    yield from _list("Waivers granted by this change", map(_text, granted))
    yield from _list("The judge", [_text(line) for line in words.judge_lines(plan)])
    yield from _verdicts("Only the base's judge says", plan.judge.base_only)
    yield from _verdicts("Only the new judge says", plan.judge.head_only)
    objects = plan.objects
    for change, found in (("removed", objects.removed), ("added", objects.added), ("changed", objects.changed)):
        lines = [f'<span class="{change}">{_text(words.object_line(one, change))}</span> {_code(one.file)}' for one in found]
        yield from _list(f"Manifests {change}", lines)
    yield from _verdicts("New verdicts", plan.verdicts.new)
    for fleet in plan.fleets:
        yield from _fleet(fleet)
    yield from _more(plan.more_fleets, "fleet")
    moves = [
        f"{_code(f'{one.tenant}/{one.host}')} from {_code(', '.join(one.left))} to {_code(', '.join(one.joined))}" for one in plan.moves
    ]
    yield from _list("Hosts that move between fleets", moves)
    yield from _list("Waivers", [_text(words.waiver_line(one)) for one in plan.waivers])
    yield from _verdicts("Verdicts gone", plan.verdicts.gone)
    yield from _verdicts("Verdicts unchanged", plan.verdicts.unchanged)


def _fleet(fleet: Fleet) -> Iterator[str]:
    gone = ' class="removed"' if fleet.kind == "deleted" else ""
    yield f"<h2{gone}>Fleet {_text(fleet.fleet)}</h2>\n<p>{_text(words.fleet_line(fleet))}</p>"
    yield from (f'<p class="note">{_text(note)}</p>' for note in words.fleet_notes(fleet))
    yield from (line for difference in fleet.differences for line in _difference(difference))
    yield from _more(fleet.more, "set of hosts that differ in another way")
    if fleet.waves:
        yield f"<p>{words.waves_title(fleet).capitalize()}</p>"
        yield "<table><tr><th>wave</th><th>agents</th><th>who</th><th>when</th></tr>"
        yield from (_wave(wave) for wave in fleet.waves)
        yield "</table>"


def _wave(wave: Wave) -> str:
    reach = f"{wave.hosts.count:,}{f' (to {wave.limit})' if wave.limit else ''}"
    cells = (wave.name, reach, words.names(wave.hosts) or "nobody new", words.when(wave) if wave.hosts.count else "")
    return f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in cells)}</tr>"


def _difference(difference: Difference) -> Iterator[str]:
    hosts = difference.hosts
    yield f"<p>On {words.counted(hosts.count, 'agent')} ({_text(words.names(hosts))}):</p>"
    yield from (line for item in difference.items for line in _item(item))
    yield from _more(difference.more, "item")


def _item(item: Item) -> Iterator[str]:
    yield f'<details open><summary class="{item.change}">{_code(words.item_line(item))}</summary>'
    if item.lines:
        yield f"<pre>{''.join(_line(line) for line in item.lines)}</pre>"
    if words.left_out(item):
        yield f"<p>{_text(words.left_out(item))}</p>"
    yield "</details>"


def _line(line: str) -> str:
    tag = {"+": "ins", "-": "del"}.get(line[:1], "span")
    return f"<{tag}>{_text(line)}</{tag}>"


def _verdicts(title: str, found: Iterable[dict[str, Any]]) -> Iterator[str]:
    lines = [
        f'<span class="{one["action"]}">{one["action"]}</span> {_text(words.verdict_line(one))}'
        + (f"<br>remedy: {_text(one['remedy'])}" if one["remedy"] else "")
        for one in found
    ]
    yield from _list(title, lines)


def _list(title: str, lines: Iterable[str]) -> Iterator[str]:
    items = "".join(f"<li>{line}</li>\n" for line in lines)
    if items:
        yield f"<h2>{title}</h2>\n<ul>\n{items}</ul>"


def _more(count: int, what: str) -> Iterator[str]:
    if count:
        yield f"<p>and {words.counted(count, what)} more</p>"


def _code(text: str) -> str:
    return f"<code>{_text(text)}</code>"


def _text(text: str) -> str:
    return escape(printable(text))
