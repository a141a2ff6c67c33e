"""How far a doubt reaches: along one line of history it ends where a file is as it was accepted, and nowhere else."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from reconciler.pipeline.accepted import Doubt
from reconciler.pipeline.signatures.doubts import spread
from reconciler.pipeline.signatures.touching import Touch
from reconciler.pipeline.source import CommitInfo
from reconciler.pipeline.source.directories import Node

ACCEPTED = "0"
Step = tuple[str, bool]
"""What a commit makes of the file, and whether its signer may."""
steps = st.lists(st.tuples(st.sampled_from(["0", "1", "2"]), st.booleans()), min_size=1, max_size=12)


def node(content: str) -> Node:
    return 0o100644, content * 40


def info(sha: str, *parents: str) -> CommitInfo:
    return CommitInfo(sha=sha, author="", email="", time="", subject="", paths=(), parents=parents)


def left(line: list[Step], *, known: bool = False) -> bool:
    """Return whether the file is in doubt after a line of commits on what is accepted, or on a doubtful "2"."""
    contents = {"base": "2" if known else ACCEPTED} | {f"c{index}": content for index, (content, _) in enumerate(line)}
    names = list(contents)
    commits = [info(name, before) for before, name in pairwise(names)]
    doubt = Doubt(rule="unsigned", message="", commit="")
    touched = {
        one.sha: {"f": Touch(before=(node(contents[one.parents[0]]),), after=node(contents[one.sha]))}
        for one in commits
        if contents[one.sha] != contents[one.parents[0]]
    }
    bad = {f"c{index}": {"f": doubt} for index, (_, good) in enumerate(line) if not good and f"c{index}" in touched}
    found = spread(
        commits,
        bad,
        known={"f": doubt} if known else {},
        touched=touched,
        node=lambda sha, _: node(contents[sha]),
        accepted=lambda _: node(ACCEPTED),
    )
    return "f" in found


@given(steps, st.booleans())
def test_a_doubt_ends_where_the_file_is_as_accepted_and_nowhere_else(line: list[Step], known: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    expected, before = known, "2" if known else ACCEPTED
    for content, good in line:
        expected = content != ACCEPTED and (expected or (not good and content != before))
        before = content
    assert left(line, known=known) is expected


@given(st.sampled_from(["1", "2"]), st.sampled_from(["1", "2"]), st.sampled_from(["0", "1", "2", "3"]))
def test_a_merge_is_in_doubt_unless_it_takes_the_side_that_is_not(bad: str, good: str, merged: str) -> None:
    # base ── u (bad) ── m
    #    └─── g (good) ──┘
    contents = {"base": ACCEPTED, "u": bad, "g": good, "m": merged}
    doubt = Doubt(rule="unsigned", message="", commit="u")
    found = spread(
        [info("u", "base"), info("g", "base"), info("m", "u", "g")],
        {"u": {"f": doubt}},
        known={},
        touched={},
        node=lambda sha, _: node(contents[sha]),
        accepted=lambda _: node(ACCEPTED),
    )
    assert ("f" in found) is (merged not in (ACCEPTED, good))
