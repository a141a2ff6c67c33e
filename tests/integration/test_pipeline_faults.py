"""A fault of ordain's own costs a round, never the process that agents talk to."""

from pathlib import Path

import pytest

from tests.acceptance_cases import repository
from tests.e2e.installation import Installation, until
from tests.pipeline_cases import following

pytestmark = pytest.mark.needs("opa", "git")


def test_a_state_directory_that_breaks_under_the_loop_is_a_problem_and_not_the_end(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    installation.commit(repository())
    with following(installation) as loop:
        (installation.state / "history-exception.json").mkdir()
        installation.commit({"tenants/shop/agents/web-01.yaml": "{"})
        until("a problem", lambda: "fault of ordain" in loop.progress.problem)
        assert loop.thread.is_alive()
        (installation.state / "history-exception.json").rmdir()
