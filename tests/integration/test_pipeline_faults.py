"""A fault of ordain's own costs a round, never the process that agents talk to."""

import threading
from pathlib import Path

import pytest

from reconciler import settings, wiring
from reconciler.pipeline.loop import Progress
from tests.acceptance_cases import repository
from tests.e2e.installation import Installation, until

pytestmark = pytest.mark.needs("opa", "git")


def test_a_state_directory_that_breaks_under_the_loop_is_a_problem_and_not_the_end(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    installation.commit(repository())
    loaded = settings.Settings(state=installation.state, source=settings.SourceSettings(repository=str(installation.repo), poll=0.2))
    progress, stop = Progress(), threading.Event()
    loop = wiring.pipeline(loaded, progress, make_keys=wiring.development(loaded))
    thread = threading.Thread(target=loop, args=(stop,))
    thread.start()
    try:
        until("ready", lambda: progress.ready)
        (installation.state / "history-exception.json").mkdir()
        installation.commit({"tenants/shop/agents/web-01.yaml": "{"})
        until("a problem", lambda: "fault of ordain" in progress.problem)
        assert thread.is_alive()
        (installation.state / "history-exception.json").rmdir()
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()
