"""A short campaign in each run of the tests, and a long one by `make test-faults` or `pytest -m slow`."""

from pathlib import Path

import pytest

from tests.faults.campaign import Campaign

pytestmark = [pytest.mark.needs("opa", "git")]
SHORT, LONG = 15, 1000
SEED = 4


@pytest.mark.timeout(240)
def test_nothing_breaks_and_all_converges_while_processes_are_killed(tmp_path: Path) -> None:
    summary = Campaign(tmp_path, SHORT, SEED).run()
    assert summary["failures"] == []
    assert summary["kills"] >= SHORT
    assert summary["polls"]["files"][0] > 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_nothing_breaks_at_any_named_place_in_a_thousand_kills(tmp_path: Path) -> None:
    summary = Campaign(tmp_path, LONG, SEED).run()
    assert summary["failures"] == []
    assert summary["never_at"] == []
