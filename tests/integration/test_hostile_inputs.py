"""Hostile manifests, trees and archives: each is answered by its own finding or refusal, within a second and 200 MB of its own.

`tests/hostile_inputs.py` is the table. Each runs in a process of its own.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hostile_inputs import ARCHIVES, MEGABYTES, REPOSITORIES, SECONDS, honest
from tests.hostile_runs import MEGABYTE, Run, Runs

BUSY = 2
"""How much longer a machine takes that does other things beside: tests run in parallel, and caches are shared."""
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f]")


IN_GATE = frozenset(
    {
        "billion laughs",
        "100,000 anchors",
        "a million levels of brackets",
        "a scalar of 10 MB",
        "half a million values",
        "40,000 fields that nobody knows",
        "numbers that begin everywhere",
        "a tag of 1 MiB",
        "near misses without end",
        "an absolute symlink",
    }
)
"""Repositories that every run of the tests takes; the others take half a minute and are for `make test-hostile`."""


def _in_turn() -> list[Any]:
    return [name if name in IN_GATE else pytest.param(name, marks=pytest.mark.slow) for name in REPOSITORIES]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Runs, float]]:
    """Return what runs them, and the seconds that an honest repository takes, its verdicts remembered as on any laptop."""
    with Runs(cache=tmp_path_factory.mktemp("cache")) as started:
        root = tmp_path_factory.mktemp("honest")
        honest(root)
        started.check(root)
        (root / "README.md").write_text("changed, so that it is judged again\n")
        yield started, started.check(root).seconds


def affordable(run: Run, base: float) -> None:
    assert run.seconds - base < SECONDS * BUSY
    assert run.memory < MEGABYTES * MEGABYTE
    assert run.opa < MEGABYTES * MEGABYTE


@pytest.mark.needs("opa")
@pytest.mark.xdist_group("hostile-inputs")
@pytest.mark.parametrize("name", _in_turn())
def test_a_repository_is_answered_with_its_own_finding(name: str, runs: tuple[Runs, float], tmp_path: Path) -> None:
    case = REPOSITORIES[name]
    honest(tmp_path)
    case.change(tmp_path)
    run = runs[0].check(tmp_path, "--format", "json")
    assert run.code == 1, run.output
    codes = {verdict["code"] for verdict in json.loads(run.output)["verdicts"]}
    assert case.code in {"", *codes}
    assert "policy/timeout" not in codes
    assert "Traceback" not in run.output
    assert not CONTROL.search(run.output)
    affordable(run, runs[1])


@pytest.mark.xdist_group("hostile-inputs")
@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_is_answered_with_its_own_refusal(name: str, runs: tuple[Runs, float], tmp_path: Path) -> None:
    case = ARCHIVES[name]
    file = tmp_path / "archive"
    file.write_bytes(case.make())
    run = runs[0].unpack(file, case.form, case.limit, tmp_path / "into")
    assert run.code == (1 if case.says else 0), run.output
    assert re.search(case.says, run.output)
    affordable(run, 0)
