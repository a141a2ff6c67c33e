"""What happened between two heads, and the steps in which it is judged, on real histories drawn beside each test."""

from pathlib import Path

import pygit2
import pytest

from reconciler.pipeline.source import commits_between, descends, judge_steps, open_repository
from reconciler.pipeline.source.commits import FIRST_LIMIT
from tests.source_cases import WorkingCopy

pytestmark = pytest.mark.needs("git")


@pytest.fixture
def copy(tmp_path: Path) -> WorkingCopy:
    return WorkingCopy.make(tmp_path / "copy")


@pytest.fixture
def repository(copy: WorkingCopy) -> pygit2.Repository:
    return open_repository(copy.path)


def is_judge(path: str) -> bool:
    return path == "ordain.yaml" or path.startswith("policies/")


def test_commits_come_oldest_first_with_who_when_and_what(copy: WorkingCopy, repository: pygit2.Repository) -> None:
    first = copy.commit("first", {"a": "1"})
    second = copy.commit("second\n\nand why", {"b": "2", "d/c": "3"})
    third = copy.commit("third", {"a": None})
    found = commits_between(repository, first, third)
    assert [one.sha for one in found] == [second, third]
    assert [one.paths for one in found] == [("b", "d/c"), ("a",)]
    assert (found[0].author, found[0].email, found[0].subject, found[0].parents) == ("Ana", "ana@example.com", "second", (first,))
    assert found[0].time.endswith("Z")


def test_a_merge_touches_what_differs_from_its_first_parent(copy: WorkingCopy, repository: pygit2.Repository) -> None:
    # 1 -- 2 ------- 4, the merge
    #  \-- 3 -------/
    first = copy.commit("1", {"a": "1"})
    copy.git("checkout", "--quiet", "-b", "side")
    third = copy.commit("3", {"side": "3"})
    copy.git("checkout", "--quiet", "main")
    second = copy.commit("2", {"main": "2"})
    copy.git("merge", "--quiet", "--no-ff", "-m", "4", "side")
    fourth = copy.git("rev-parse", "HEAD")
    found = {one.sha: one for one in commits_between(repository, first, fourth)}
    assert found.keys() == {second, third, fourth}
    assert found[fourth].paths == ("side",)
    assert found[fourth].parents == (second, third)


def test_the_first_decision_lists_only_the_newest(copy: WorkingCopy, repository: pygit2.Repository) -> None:
    shas = copy.commits(FIRST_LIMIT + 3)
    assert [one.sha for one in commits_between(repository, None, shas[-1])] == shas[3:]
    assert [one.sha for one in commits_between(repository, shas[0], shas[-1], limit=2)] == shas[-2:]


def test_texts_that_are_no_utf8_and_times_beyond_any_calendar_are_told_all_the_same(
    copy: WorkingCopy, repository: pygit2.Repository
) -> None:
    tree = copy.git("mktree", stdin=b"")
    who = b"\xff\xfe <ana@example.com> 99999999999999 +0000"
    sha = copy.object("commit", b"tree %s\nauthor %s\ncommitter %s\n\n%s\n" % (tree.encode(), who, who, b"x" * 1000))
    [found] = commits_between(repository, None, sha)
    assert found.author == "��"
    assert found.time == "9999-12-31T23:59:59Z"
    assert len(found.subject) == 200


def test_commits_coalesce_to_the_newest(copy: WorkingCopy, repository: pygit2.Repository) -> None:
    first, *_, last = (copy.commit(str(number), {"a": str(number)}) for number in range(5))
    assert judge_steps(repository, first, last, is_judge) == [last]
    assert judge_steps(repository, last, last, is_judge) == []
    assert judge_steps(repository, None, last, is_judge) == [last]


def test_a_change_of_the_judge_is_a_step_of_its_own(copy: WorkingCopy, repository: pygit2.Repository) -> None:
    # 0 -- 1 -- 2 -- J -- 3 -- J -- J      J touches the judge
    start = copy.commit("0", {"a": "0"})
    copy.commit("1", {"a": "1"})
    second = copy.commit("2", {"a": "2"})
    loosened = copy.commit("J", {"ordain.yaml": "loose"})
    third = copy.commit("3", {"a": "3"})
    ruled = copy.commit("J", {"policies/x/y.rego": "rule"})
    tightened = copy.commit("J", {"ordain.yaml": "tight"})
    assert judge_steps(repository, start, tightened, is_judge) == [second, loosened, third, ruled, tightened]
    assert judge_steps(repository, third, tightened, is_judge) == [ruled, tightened]


def test_a_judge_that_is_loosened_and_put_back_at_once_is_seen_in_between(copy: WorkingCopy, repository: pygit2.Repository) -> None:
    # 0 -- J -- 1 -- J'     where J' undoes J: from end to end the judge did not change
    start = copy.commit("0", {"ordain.yaml": "tight"})
    loosened = copy.commit("J", {"ordain.yaml": "loose"})
    sneaked = copy.commit("1", {"a": "bad"})
    back = copy.commit("J'", {"ordain.yaml": "tight"})
    assert judge_steps(repository, start, back, is_judge) == [loosened, sneaked, back]


def test_a_merged_branch_is_one_step_and_its_judge_counts(copy: WorkingCopy, repository: pygit2.Repository) -> None:
    # 0 -- 1 ------------ M -- 2
    #  \-- s -- J -------/
    start = copy.commit("0", {"a": "0"})
    copy.git("checkout", "--quiet", "-b", "side")
    copy.commit("s", {"side": "s"})
    copy.commit("J", {"ordain.yaml": "new"})
    copy.git("checkout", "--quiet", "main")
    first = copy.commit("1", {"a": "1"})
    copy.git("merge", "--quiet", "--no-ff", "-m", "M", "side")
    merged = copy.git("rev-parse", "HEAD")
    last = copy.commit("2", {"a": "2"})
    assert judge_steps(repository, start, last, is_judge) == [first, merged, last]


def test_no_step_takes_back_what_was_examined(copy: WorkingCopy, repository: pygit2.Repository) -> None:
    # 0 -- 1 -- J -- M -- 2       examined: s, which main has only since M
    #  \-- s -------/
    copy.commit("0", {"a": "0"})
    copy.git("checkout", "--quiet", "-b", "side")
    examined = copy.commit("s", {"side": "s"})
    copy.git("checkout", "--quiet", "main")
    copy.commit("1", {"a": "1"})
    copy.commit("J", {"ordain.yaml": "new"})
    copy.git("merge", "--quiet", "--no-ff", "-m", "M", "side")
    merged = copy.git("rev-parse", "HEAD")
    last = copy.commit("2", {"a": "2"})
    steps = judge_steps(repository, examined, last, is_judge)
    assert steps == [merged, last]
    assert all(descends(repository, examined, step) for step in steps)


def test_rewritten_history_is_one_step(copy: WorkingCopy, repository: pygit2.Repository) -> None:
    # 0 -- 1             examined
    #  \-- J -- 2        the new head
    start = copy.commit("0", {"a": "0"})
    examined = copy.commit("1", {"a": "1"})
    copy.git("reset", "--quiet", "--hard", start)
    copy.commit("J", {"ordain.yaml": "new"})
    last = copy.commit("2", {"a": "2"})
    assert judge_steps(repository, examined, last, is_judge) == [last]


def test_more_commits_than_a_round_takes_come_in_the_next(
    copy: WorkingCopy, repository: pygit2.Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.pipeline.source.commits.COMMITS_LIMIT", 3)
    start, *shas = (copy.commit(str(number), {"a": str(number)}) for number in range(6))
    assert judge_steps(repository, start, shas[-1], is_judge) == [shas[2]]
    assert judge_steps(repository, shas[2], shas[-1], is_judge) == [shas[-1]]
