"""Each command as its user meets it: on a repository with 300 commits by five people for three tenants, and all kinds of mistakes.

What they say was read and kept under `tests/golden/history/`. `python -m tests.history.questions [NAME…]` keeps it anew.
"""

from collections.abc import Iterator
from pathlib import Path

import pygit2
import pytest

from tests.history.installation import DAYS, lived
from tests.history.questions import GOLDEN, QUESTIONS, SELDOM, Asker, asker
from tests.history.story import COMMITS, told

pytestmark = [pytest.mark.needs("opa", "git", "ssh-keygen"), pytest.mark.xdist_group("history")]


@pytest.fixture(scope="module")
def asks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    with asker(tmp_path_factory.mktemp("history")) as made:
        yield made


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) if name in SELDOM else name for name in sorted(QUESTIONS)])
def test_a_command_says_what_was_read_and_kept(asks: Asker, name: str) -> None:
    assert asks.answer(QUESTIONS[name]) == (GOLDEN / name).read_text(), (
        f"read what it says now; `python -m tests.history.questions {name}` keeps it, if that is better"
    )


def test_the_history_is_as_large_as_it_is_said_to_be(asks: Asker) -> None:
    repository = pygit2.Repository(str(asks.told.root))
    commits = list(repository.walk(repository.head.target))
    assert len(commits) == COMMITS
    assert len({commit.author.email for commit in commits}) == 5
    assert {path.name for path in Path(asks.told.root, "tenants").iterdir()} == {"edge", "games", "shop"}
    assert sum(len(commit.parents) > 1 for commit in commits) >= 5


def test_nothing_is_kept_that_nobody_asks() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {*QUESTIONS, DAYS}


@pytest.mark.slow
def test_each_mistake_is_refused_on_its_day_and_nothing_else_is(tmp_path: Path) -> None:
    assert lived(told(tmp_path / "fleets"), tmp_path / "installation") == (GOLDEN / DAYS).read_text()
