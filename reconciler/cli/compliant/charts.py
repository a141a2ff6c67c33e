"""Charts as inline SVG: no script and nothing fetched; each says in words what it shows, and colours come from the page's own style."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape

from reconciler.pipeline.compliance.shape import Point, Share
from reconciler.printable import printable

WIDTH, HEIGHT = 640, 200
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 12, 28
"""Room for the numbers at the left, the days below, and half a mark at the other sides."""
MARKS = 60
"""Points up to which each has a mark of its own."""


def bar(name: str, share: Share) -> str:
    """Return one share as a bar of three parts: conforming, waived, standing."""
    parts, at = [], 0.0
    for kind, number in (("conform", share.conform), ("waived", share.waived), ("standing", share.standing)):
        wide = 100 * number / share.total if share.total else 0.0
        if wide:
            parts.append(f'<rect class="{kind}" x="{at:.2f}%" y="0" width="{wide:.2f}%" height="14"></rect>')
        at += wide
    said = f"{printable(name)}: {share.conform} of {share.total} conform, {share.waived} waived, {share.standing} standing"
    title = f"<title>{escape(said)}</title>"
    return f'<svg class="bar" role="img" aria-label="{escape(said)}" height="14" width="100%">{title}{"".join(parts)}</svg>'


def trend(points: Sequence[Point]) -> str:
    """Return the shares of manifests and agents over time as two lines; nothing for less than two points."""
    if len(points) < 2:  # noqa: PLR2004 - one point is no line
        return ""
    times = [datetime.fromisoformat(one.time).timestamp() for one in points]
    low = _low(points)
    first, wide = min(times), max(1.0, max(times) - min(times))
    across = [LEFT + (time - first) / wide * (WIDTH - LEFT - RIGHT) for time in times]
    lines = "".join(
        _line(kind, list(zip(across, (_up(share.percent, low) for share in shares), strict=True)))
        for kind, shares in (("objects", [one.objects for one in points]), ("agents", [one.agents for one in points]))
    )
    said = (
        f"From {points[0].time[:10]} to {points[-1].time[:10]}: manifests from {points[0].objects.percent:g} % to "
        f"{points[-1].objects.percent:g} %, agents from {points[0].agents.percent:g} % to {points[-1].agents.percent:g} %"
    )
    return (
        f'<svg class="trend" role="img" aria-label="{escape(said)}" viewBox="0 0 {WIDTH} {HEIGHT}" width="100%">'
        f"<title>{escape(said)}</title>{_grid(low)}{_days(points)}{lines}</svg>"
    )


def _low(points: Iterable[Point]) -> int:
    """Return where the axis begins: a multiple of ten below all points, so that small changes are seen, and said by its numbers."""
    least = min(min(one.objects.percent, one.agents.percent) for one in points)
    return min(90, int(least // 10) * 10)


def _up(percent: float, low: int) -> float:
    return TOP + (100 - percent) / (100 - low) * (HEIGHT - TOP - BOTTOM)


def _line(kind: str, places: Sequence[tuple[float, float]]) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    marks = "".join(_mark(kind, x, y) for x, y in places) if len(places) <= MARKS else ""
    return f'<polyline class="{kind}" fill="none" points="{path}"></polyline>{marks}'


def _mark(kind: str, x: float, y: float) -> str:
    """Return a mark: round for manifests and square for agents, so that nobody needs to tell colours apart."""
    if kind == "objects":
        return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"></circle>'
    return f'<rect class="{kind}" x="{x - 3:.1f}" y="{y - 3:.1f}" width="6" height="6"></rect>'


def _grid(low: int) -> str:
    steps = (low, (low + 100) // 2, 100)
    return "".join(
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_up(step, low):.1f}" y2="{_up(step, low):.1f}"></line>'
        f'<text x="{LEFT - 6}" y="{_up(step, low) + 4:.1f}" text-anchor="end">{step} %</text>'
        for step in steps
    )


def _days(points: Sequence[Point]) -> str:
    first, last = points[0].time[:10], points[-1].time[:10]
    return f'<text x="{LEFT}" y="{HEIGHT - 8}">{first}</text><text x="{WIDTH - RIGHT}" y="{HEIGHT - 8}" text-anchor="end">{last}</text>'
