"""Benchmarks run, at tiny sizes: what they find is not judged here, only that they find it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import fleets, page, rules
from benchmarks.measuring import Sample, slope
from reconciler.pipeline.manifests import parse_file


def test_a_generated_repository_has_as_many_manifests_as_asked_for_and_the_same_bytes_again() -> None:
    planned = fleets.plan(1000)
    files = dict(fleets.manifests(planned))
    assert len(files) == 1 + 1000
    assert files == dict(fleets.manifests(planned))
    lines = [len(text.splitlines()) for text in files.values()]
    assert 25 <= sum(lines) / len(lines) <= 35
    assert not [finding for path, text in files.items() for finding in parse_file(path, text.encode()).findings]


def test_both_sides_get_the_same_rules() -> None:
    ours, theirs = rules.of_ordain(30), rules.of_conftest(30, packages=True)
    assert len(ours) == len(theirs) == 30
    assert {Path(path).stem for path in ours} == {Path(path).stem for path in theirs}


def test_a_slope_is_nought_where_size_does_not_matter_and_one_in_proportion() -> None:
    assert slope([10, 100, 1000], [5.0, 5.0, 5.0]) == pytest.approx(0.0)
    assert slope([10, 100, 1000], [1.0, 10.0, 100.0]) == pytest.approx(1.0)
    assert Sample((1.0, 2.0, 3.0, 4.0)).percentile(0.95) == 4.0
    assert Sample(tuple(range(1, 101))).percentile(0.95) == 95


@pytest.mark.needs("opa", "git")
def test_quick_benchmarks_leave_figures_that_say_on_what_machine(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--results", str(tmp_path), "sizes", "publication", "listed"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    found = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("*.json"))]
    assert [one["name"] for one in found] == ["listed", "publication", "sizes"]
    for one in found:
        assert one["quick"]
        assert one["machine"]["cores"] > 0
        assert all(row["least"] <= row["median"] <= row["most"] for row in one["rows"])
        assert str(Path.home()) not in json.dumps(one)
    assert "a host is added" in done.stdout


def test_the_page_of_benchmarks_shows_the_newest_results() -> None:
    text = page.PAGE.read_text()
    assert page.written(text) == text, "run: .venv/bin/python -m benchmarks.page"
