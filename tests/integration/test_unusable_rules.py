"""Rules that no OPA takes up in time hold up themselves and nothing else: the pipeline's own loop, with real git and OPA."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler import settings, wiring
from reconciler.pipeline import loop as pipeline_loop
from reconciler.pipeline.loop import Progress
from reconciler.pipeline.policy import server
from tests.acceptance_cases import repository
from tests.e2e.installation import Installation, until
from tests.policy_cases import finds, rego

pytestmark = pytest.mark.needs("opa", "git")
RULE = "policies/slow.rego"
COMPONENT = "tenants/shop/components/motd.yaml"


def test_rules_that_opa_can_not_take_up_wait_while_all_else_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = repository()
    installation = Installation(tmp_path)
    installation.commit(files)
    loaded = settings.Settings(state=installation.state, source=settings.SourceSettings(repository=str(installation.repo), poll=0.2))
    progress, stop = Progress(), threading.Event()
    loop = wiring.pipeline(loaded, progress, make_keys=wiring.development(loaded))
    thread = threading.Thread(target=loop, args=(stop,))
    thread.start()
    try:
        until("ready", lambda: progress.ready)
        monkeypatch.setattr(pipeline_loop, "RETRY_AFTER", timedelta(seconds=1))
        with monkeypatch.context() as hasty:
            hasty.setattr(server, "START_SECONDS", 0.0)  # as if the rules took longer to compile than a start may
            content = files[COMPONENT].replace("content: ", "content: more ", 1)
            sha = installation.commit({RULE: rego("ordain.custom.slow.rule", finds("false")).decode(), COMPONENT: content})
            until("examined", lambda: progress.examined == sha and progress.ready)
            held = installation.status()["refused"]
            assert progress.refused_files == 1
            assert [one["file"] for one in held] == [RULE]
            assert "the new rules can't be taken up: OPA" in held[0]["why"]
        until("taken up", lambda: progress.refused_files == 0)
    finally:
        stop.set()
        thread.join(60)
