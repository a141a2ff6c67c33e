"""What is told of a replay stays readable, whatever a repository says and however much was found."""

from dataclasses import replace

from reconciler.cli.backtested import render
from reconciler.pipeline.backtest.shape import Refusal, Replay, Side
from reconciler.pipeline.finding import Verdict

RULE = "host-safety/world-writable"


def test_a_comment_fits_a_forge_however_much_was_refused() -> None:
    refusal = Refusal(
        commit="c" * 40,
        time="2026-09-01T00:00:00Z",
        subject="<script>" * 50,
        author="Ben | @everybody",
        email="ben@x",
        verdict=Verdict(
            action="deny", rule=RULE, code="c", message="`" * 900, remedy="", file="f" * 900, line=1, column=1, pointer="", object=None
        ),
    )
    many = tuple(replace(refusal, commit=f"{number:040d}", author=f"<{number}>") for number in range(500) for _ in range(3))
    replay = Replay(
        subject=RULE,
        digest="d" * 64,
        head="h" * 40,
        since="",
        steps=500,
        first="2026",
        last="2026",
        side=Side(refusals=many),
        no_longer=many,
    )
    shown = render(replay, "markdown")
    assert len(shown) < 65_536
    assert "<script>" not in shown.split("```")[0]


def test_a_comment_about_nothing_found_has_no_empty_parts() -> None:
    replay = Replay(subject=RULE, digest="d" * 64, head="h" * 40, since="", steps=2, first="2026", last="2026", side=Side())
    assert "\n\n\n" not in render(replay, "markdown")
