"""A short campaign in each run of the tests; `make test-faults` is the long one, which must reach every named place."""

from pathlib import Path

import pytest

from tests.faults.campaign import Campaign

pytestmark = [pytest.mark.needs("opa", "git")]
SHORT = 10
SEED = 4


@pytest.mark.timeout(240)
def test_nothing_breaks_and_all_converges_while_processes_are_killed(tmp_path: Path) -> None:
    summary = Campaign(tmp_path, SHORT, SEED).run()
    assert summary["failures"] == []
    assert summary["kills"] >= SHORT
    assert summary["polls"]["files"][0] > 0
